"""Cameras that are late, and single images that are: found, corrected and told, and never where there are none."""

import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from seen_boards import SMALL, arc_rig, in_place, problem_of, scattered, sightings

from calib import bundle
from calib.geometry import pose, rotation_from_vector
from calib.quality.uncertainty import rig_of
from calib.solving.time_offsets import noise_of, with_time_offsets
from calib.targets import free_points

RIG, RATE_HZ, MOMENTS = arc_rig(3, 6), 10.0, 40


def carried(time_s):
    """Poses (T, 4, 4) of a board that is moved and turned."""
    angle = 0.5 * np.sin(0.7 * time_s[:, None] + [0.0, 1.0, 2.0])
    place = np.array([0, 0, 1.1]) + 0.5 * np.sin(0.9 * time_s[:, None] + [1.0, 2.0, 3.0])
    facing = np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])
    return pose(rotation_from_vector(angle) @ facing, place)


def solved(offset_s=(0.0, 0.0, 0.0), *, jitter_s=0.0, moments=MOMENTS, rate_hz=RATE_HZ, still=False):
    """A rig that is solved without regard to time, of cameras and images that are late."""
    rng = np.random.default_rng(0)
    time_s = np.arange(moments) / rate_hz
    late = np.array(offset_s)[:, None] + rng.normal(0, jitter_s, (3, moments))
    world = np.stack([in_place(SMALL, carried(0 * time_s if still else time_s + delay)) for delay in late])
    seen = sightings(RIG, SMALL, world, 0.05, time_s=time_s)
    return bundle.adjust(problem_of(seen, RIG, carried(0 * time_s if still else time_s), free=None), tolerance=1e-6)


@cache
def late_solution():
    return with_time_offsets(solved((0.0, 0.015, -0.008)))


def test_cameras_in_step_are_left_as_they_are():
    solution = solved()
    again, findings = with_time_offsets(solution)
    assert again is solution and findings == []


def test_offsets_are_found_and_corrected_relative_to_the_first_camera():
    found, _ = late_solution()
    np.testing.assert_allclose(found.offset_s, [0, 0.015, -0.008], atol=5e-4)
    blind = solved((0.0, 0.015, -0.008))
    off = [np.linalg.norm(rig_of(one).positions - RIG.positions, axis=-1).max() for one in (found, blind)]
    assert off[0] < 0.5 * off[1]
    inner = slice(1, -1)
    assert np.nanmean(found.residual[:, inner] ** 2) < 0.05 * np.nanmean(blind.residual[:, inner] ** 2)


def test_each_late_camera_is_named_with_its_milliseconds_relative_to_the_middle_one():
    _, findings = late_solution()
    assert [(one.about, one.severity) for one in findings] == [("cam02", "note"), ("cam03", "note")]
    told = [re.search(r"([\d.]+) ms (later|earlier)", one.what).groups() for one in findings]
    assert [side for _, side in told] == ["later", "earlier"]
    np.testing.assert_allclose([float(number) for number, _ in told], [15.0, 8.0], atol=0.5)
    assert all(one.todo for one in findings)


def test_an_offset_of_most_of_a_frame_is_a_limit():
    _, findings = with_time_offsets(solved((0.0, 0.06, 0.0)))
    (finding,) = findings
    assert finding.about == "cam02" and finding.severity == "limit" and "later" in finding.what


@pytest.mark.parametrize("jitter_s", [0.004, 0.016], ids=["4 ms", "16 ms"])
def test_images_that_are_late_one_by_one_are_told_as_such(jitter_s):
    blind = solved(jitter_s=jitter_s)
    found, findings = with_time_offsets(blind)
    assert 0.5 * jitter_s <= found.problem.jitter_s <= 2 * jitter_s and not np.any(found.offset_s)
    (finding,) = findings
    assert finding.about == "the rig" and finding.severity == "note" and "ms" in finding.what
    off = [np.linalg.norm(rig_of(one).positions - RIG.positions, axis=-1).max() for one in (found, blind)]
    assert off[0] < 0.6 * off[1]


@pytest.mark.parametrize(
    "options",
    [{"moments": 15}, {"rate_hz": 0.5}, {"still": True}],
    ids=["few moments", "moments far apart", "nothing moves"],
)
def test_where_time_cannot_be_told_nothing_is_changed(options):
    solution = solved((0.0, 0.015, 0.0), **options)
    again, findings = with_time_offsets(solution)
    assert again is solution and findings == []


def test_the_noise_is_that_of_the_observations_over_what_the_detector_expects():
    poses = scattered(14, 3, spread_m=0.4, turned=0.3)
    seen = sightings(RIG, SMALL, in_place(SMALL, poses), 0.2, seed=1)
    for factor in (1.0, 2.0, 0.5):
        stated = replace(seen, sigma=factor * seen.sigma)
        np.testing.assert_allclose(
            noise_of(bundle.adjust(problem_of(stated, RIG, poses, free=None))), 1 / factor, rtol=0.2
        )


def test_the_noise_of_free_points_is_one_for_all_cameras():
    rng = np.random.default_rng(3)
    world = rng.uniform((-0.8, -0.8, 0.2), (0.8, 0.8, 1.8), (6, 12, 3))
    seen = sightings(RIG, free_points(12), world, 0.4)
    seen = replace(seen, sigma=0.5 * seen.sigma)
    problem = problem_of(seen, RIG, np.tile(np.eye(4), (6, 1, 1)), free=None)
    noise = noise_of(bundle.adjust(replace(problem, free_points=world)))
    assert len(set(noise.tolist())) == 1 and noise[0] == pytest.approx(2.0, rel=0.25)


def test_a_camera_with_too_few_observations_has_the_noise_that_is_stated():
    poses = scattered(6, 3, spread_m=0.4, turned=0.3)
    seen = sightings(RIG, SMALL, in_place(SMALL, poses), 0.2, seed=1)
    sigma = np.array(seen.sigma) / 3
    sigma[2, 1:] = np.nan
    sigma[2, 0, 6:] = np.nan
    noise = noise_of(bundle.adjust(problem_of(replace(seen, sigma=sigma), RIG, poses, free=None)))
    assert noise[2] == 1.0 and (noise[:2] > 2).all()
