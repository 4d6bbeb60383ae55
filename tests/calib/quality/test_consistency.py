"""Calibrations that a good fit hides: rigs that moved in the take, images of another rig, boards of another size."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from made_calibrations import UNKNOWN, calibration_of
from ring_rigs import make_rig

from calib import Camera, Rig
from calib.calibration import Finding
from calib.geometry import pose, rotation_from_vector
from calib.quality.consistency import check_consistency

MOMENTS = 40
EVERY = np.arange(MOMENTS)


@cache
def good():
    """A calibration of three cameras that all see the board at all moments, and all of it is used."""
    made = calibration_of(make_rig(3), moments=MOMENTS, accuracy=UNKNOWN)
    xy = np.nan_to_num(made.observations.xy)  # where they are does not count here
    seen = replace(made.observations, xy=xy, sigma=np.full(made.used.shape, 0.1))
    return replace(made, observations=seen, used=seen.seen)


def without(*lost):
    """The calibration with the observations of (view, moments) left out."""
    used = np.array(good().used)
    for view, moments in lost:
        used[view, moments] = False
    return replace(good(), used=used)


def checked(made, old=None):
    return check_consistency(made, good().observations, old)


def new_findings(made, old=None):
    return [one for one in checked(made, old).findings if one not in made.findings]


def test_what_is_consistent_is_left_as_it_is():
    assert check_consistency(good(), good().observations, None).verdict == "good"
    assert new_findings(good()) == [] and checked(good()).reason == good().reason


def test_a_few_detections_that_are_left_out_here_and_there_are_no_fault():
    moments = EVERY[::9]
    assert new_findings(without((1, moments))) == []


def test_images_of_which_many_fit_no_rig_are_refused_with_their_number_and_moments():
    moments = EVERY[::2]
    made = without((0, moments), (1, moments), (2, moments))
    (finding,) = new_findings(made)
    assert finding.severity == "refuse" and finding.about == "the rig"
    assert "60 of 120 detections" in finding.what
    names = good().observations.moments
    assert names[moments[0]] in finding.what and names[moments[-1]] in finding.what
    found = checked(made)
    assert found.verdict == "do not use" and found.reason.startswith("the rig: ") and found.next_action == finding.todo


@pytest.mark.parametrize(("side", "part"), [("until", slice(None, 8)), ("from", slice(-8, None))])
def test_a_camera_that_fits_for_a_part_of_the_take_only_is_named_with_the_moment(side, part):
    moments = EVERY[part]
    (finding,) = new_findings(without((1, moments)))
    assert finding.about == "cam_2" and finding.severity == "limit" and finding.what.startswith(side)
    edge = moments[-1] if side == "until" else moments[0]
    assert good().observations.moments[edge] in finding.what
    found = checked(without((1, moments)))
    assert found.verdict == "usable with limits" and found.reason.startswith("cam_2: ")


def test_a_short_stretch_at_an_end_is_no_moved_camera():
    assert new_findings(without((1, EVERY[:3]))) == []


def test_a_stretch_in_the_middle_is_no_moved_camera():
    assert new_findings(without((1, EVERY[8:16]))) == []


def test_detections_of_fewer_than_four_points_tell_nothing():
    made = good()
    few = np.array(made.observations.sigma)
    few[1, :, 3:] = np.nan
    seen = replace(made.observations, sigma=few)
    used = seen.seen & (np.arange(3) != 1)[:, None, None]
    found = check_consistency(replace(made, observations=seen, used=used), seen, None)
    assert found.findings == made.findings and found.verdict == "good"


# --- size ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.9, 1.25])
def test_cameras_that_are_all_farther_apart_than_before_point_to_the_board(factor):
    old = replace(good().rig.scaled_world(1 / factor), source="before.yaml")
    (finding,) = new_findings(good(), old)
    assert finding.about == "the size of the board" and finding.severity == "limit"
    assert f"{factor:.3g}" in finding.what and "before.yaml" in finding.what and f"{1 / factor:.3g}" in finding.todo
    assert checked(good(), old).verdict == "usable with limits"


def test_an_old_rig_in_another_world_is_the_same_size():
    old = good().rig.moved(pose(rotation_from_vector([0.3, -1, 2]), [4, 5, 6]))
    assert new_findings(good(), old) == []
    assert len(new_findings(good(), old.scaled_world(1.3))) == 1


def test_a_slight_difference_is_no_other_size():
    assert new_findings(good(), good().rig.scaled_world(1.02)) == []


def test_a_rig_in_which_a_camera_was_turned_or_moved_says_nothing_about_the_size():
    turned = pose(rotation_from_vector([0, np.deg2rad(3), 0]), [0.3, 0, 0])
    cameras = list(good().rig.scaled_world(1.25))
    cameras[0] = Camera(cameras[0].lens, turned @ cameras[0].cam_from_world)
    assert new_findings(good(), Rig(tuple(cameras))) == []
    beside = pose(np.eye(3), [0.5, 0, 0])
    cameras[0] = Camera(cameras[0].lens, beside @ good().rig.scaled_world(1.25)[0].cam_from_world)
    assert new_findings(good(), Rig(tuple(cameras))) == []


def test_a_rig_of_other_cameras_says_nothing():
    other = make_rig(3, names=["a", "b", "c"]).scaled_world(2.0)
    assert new_findings(good(), other) == []


# --- verdicts --------------------------------------------------------------------------------------------------------


def test_the_only_camera_left_is_told_why_the_others_are_gone():
    rig = make_rig(1)
    lost = Finding("limit", "cam_9", "it never saw the target", "film it where both see it")
    made = replace(calibration_of(rig, moments=9, accuracy=UNKNOWN), findings=(lost,))
    found = check_consistency(made, made.observations, None)
    (issue,) = [one for one in found.findings if one is not lost]
    assert issue.severity == "refuse" and issue.about == "cam_9" and issue.todo == lost.todo
    assert "it never saw the target" in issue.what and "cam_1" in issue.what
    assert found.verdict == "do not use"


def test_a_limit_changes_no_verdict_that_is_worse_already():
    made = replace(without((1, EVERY[:8])), verdict="do not use", reason="wrong unit", next_action="measure")
    found = checked(made)
    assert (found.verdict, found.reason, found.next_action) == ("do not use", "wrong unit", "measure")
    assert len(found.findings) == len(made.findings) + 1
