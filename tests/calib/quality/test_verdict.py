"""One verdict: by the error of points against the distance, by what is refused, and by cameras that do not fit."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from seen_boards import SMALL, arc_rig, in_place, problem_of, scattered, sightings

from calib import bundle
from calib.calibration import Accuracy, Finding
from calib.quality.verdict import LEFT_OUT, decide_verdict
from calib.targets import scene_points

RIG = arc_rig(3, 6)
DISTANCE_M = 3.5  # of the cameras from the middle
PLACES = np.stack(np.meshgrid([-0.3, 0.3], [-0.3, 0.3], [0.9, 1.3], indexing="ij"), -1).reshape(-1, 3)
LIMIT = Finding("limit", "cam02", "the board was never tilted", "tilt it")
NOTE = Finding("note", "cam01", "it is late", "synchronise it")
WRONG = Finding("refuse", "cam03", "its images are mirrored", "turn them")


@cache
def solution():
    poses = scattered(12, 4, spread_m=0.4, turned=0.3)
    seen = sightings(RIG, SMALL, in_place(SMALL, poses), 0.1, seed=1)
    return bundle.adjust(problem_of(seen, RIG, poses, free=None), tolerance=1e-6)


def accuracy(predicted_m=1e-4, halves_m=None, *, held_out_px=0.1, places=PLACES):
    count = len(places)
    halves = predicted_m if halves_m is None else halves_m
    nothing = np.zeros((0, 3)), np.zeros(0)
    return Accuracy(
        places, np.full(count, 3), np.full(count, predicted_m), np.full(count, halves), held_out_px, 1e-4, *nothing
    )


def decided(made=None, findings=(), *, rig=RIG, solved=None):
    return decide_verdict(rig, solved or solution(), made or accuracy(), findings)


def test_a_good_rig_is_good_and_says_how_good():
    verdict, reason, action, more = decided(findings=(NOTE,))
    assert verdict == "good" and more == () and action == "record"
    assert "0.1 mm" in reason and "3.5 m" in reason


@pytest.mark.parametrize(
    ("share", "verdict"), [(0.0009, "good"), (0.0011, "usable with limits"), (0.0049, "usable with limits"),
                           (0.0051, "do not use")],
)  # fmt: skip
def test_the_error_counts_against_the_distance(share, verdict):
    distance = np.median(np.linalg.norm(RIG.positions[:, None] - PLACES, axis=-1))
    found, reason, action, _ = decided(accuracy(share * distance))
    assert found == verdict
    if verdict != "good":
        assert "mm at 3.5 m" in reason and "film the board" in action


def test_the_larger_of_the_predicted_and_the_measured_error_counts():
    assert decided(accuracy(1e-4, 0.03))[0] == "do not use"
    assert decided(accuracy(0.03, 1e-4))[0] == "do not use"
    assert decided(accuracy(1e-4, np.nan))[0] == "good"


def test_the_advice_names_the_place_where_the_error_is_largest():
    made = accuracy(0.01)
    worst = np.where(np.arange(len(PLACES)) == 5, 0.02, 0.01)
    action = decided(replace(made, predicted_m=worst))[2]
    assert "({:+.1f}, {:+.1f}, {:+.1f}) m".format(*PLACES[5]) in action


def test_a_limit_of_a_camera_of_the_rig_limits_the_verdict():
    verdict, reason, action, _ = decided(findings=(NOTE, LIMIT))
    assert (verdict, reason, action) == ("usable with limits", "cam02: the board was never tilted", "tilt it")
    assert decided(findings=(replace(LIMIT, about="cam99"),))[0] == "good"


def test_a_camera_that_was_left_out_comes_first_of_the_limits():
    lost = Finding("limit", "cam99", f"{LEFT_OUT}, it saw nothing", "film with it")
    assert decided(findings=(LIMIT, lost))[:3] == ("usable with limits", f"cam99: {lost.what}", "film with it")


def test_what_is_refused_goes_before_everything_and_the_rig_before_its_cameras():
    assert decided(accuracy(0.01), (LIMIT, WRONG))[:3] == ("do not use", "cam03: its images are mirrored", "turn them")
    whole = Finding("refuse", "the rig", "two rigs", "take one")
    assert decided(findings=(WRONG, whole))[1] == "the rig: two rigs"


def test_without_a_shared_place_there_is_no_rig_but_one_camera_has_its_lens():
    nowhere = accuracy(places=np.zeros((0, 3)))
    assert decided(nowhere)[0] == "do not use"
    verdict, reason, *_ = decided(nowhere, rig=RIG.select(["cam01"]))
    assert verdict == "usable with limits" and "one camera" in reason


# --- findings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.001, 1000.0])
def test_a_target_at_an_impossible_distance_is_of_another_unit(factor):
    made = accuracy(1e-4 * factor, places=PLACES * factor)
    verdict, reason, action, (finding, *_) = decided(made, rig=RIG.scaled_world(factor))
    assert verdict == "do not use" and "unit" in action and finding.about == "the rig"
    assert f"{DISTANCE_M * factor:.2g}"[:3] in reason


def test_a_camera_whose_images_do_not_fit_the_others_is_named():
    residual = solution().residual * np.array([1, 80.0, 1])[:, None, None, None]
    verdict, reason, _, (finding,) = decided(solved=replace(solution(), residual=residual))
    assert verdict == "do not use" and finding.about == "cam02" and reason.startswith("cam02: ")
    rms = np.sqrt(np.nanmean(residual[1] ** 2))
    assert f"{rms:.1f} px" in finding.what


def test_residuals_that_are_large_in_all_cameras_accuse_none_of_them():
    loud = replace(solution(), residual=80 * solution().residual)
    assert all(one.about == "the rig" for one in decided(solved=loud)[3])


@pytest.mark.parametrize(("times", "severity"), [(4.0, None), (8.0, "limit"), (20.0, "refuse")])
def test_held_out_residuals_beyond_the_detector_s_error_contradict_the_rig(times, severity):
    more = decided(accuracy(held_out_px=times * 0.1))[3]
    assert [one.severity for one in more] == ([severity] if severity else [])
    assert all(f"{times:.0f} times" in one.what for one in more)


def test_halves_that_differ_more_than_noise_explains_are_told_with_both_numbers():
    (finding,) = decided(accuracy(1e-4, 1.2e-3))[3]
    assert finding.severity == "limit" and "1.2 mm" in finding.what and "0.1 mm" in finding.what
    assert decided(accuracy(1e-4, 2e-4))[3] == ()
    assert decided(accuracy(1e-5, 2e-4))[3] == ()  # too little to matter


def test_measured_points_leave_nothing_to_check_them_by():
    scene = scene_points(SMALL.points)
    seen = replace(solution().problem.observations, target=scene)
    solved = replace(solution(), problem=replace(solution().problem, observations=seen))
    verdict, reason, _, (finding,) = decided(solved=solved)
    assert verdict == "usable with limits" and "12 measured points" in finding.what and finding.what in reason
