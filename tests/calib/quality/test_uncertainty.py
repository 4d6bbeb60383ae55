"""How good a calibration is: what is predicted happens, and nothing is judged by its own sightings."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seen_boards import SMALL, arc_rig, board_sightings, in_place, problem_of, scattered, sightings, with_poses

from calib import bundle, geometry
from calib.bundle.equations import small_motion
from calib.calibrate import calibrate
from calib.calibration import POSE
from calib.lenses.models import PINHOLE, common_sense
from calib.quality.uncertainty import (
    measure_accuracy,
    predicted_error,
    rig_of,
    seen_points,
    seen_volume,
    trusted_covariance,
)

AXES = [np.linspace(-0.7, 0.7, 5) for _ in range(3)]
GRID = np.stack(np.meshgrid(*AXES, indexing="ij"), -1).reshape(-1, 3) + np.array([0, 0, 1.1])


def columns_of(rig):
    """Where each camera's numbers are among all, as in a `Calibration`."""
    ends = np.cumsum([0, *(POSE + 4 + camera.lens.distortion.size for camera in rig)])
    return {camera.name: slice(int(a), int(b)) for camera, a, b in zip(rig, ends[:-1], ends[1:], strict=True)}


def happened(found, true, places=GRID):
    """How far (G,) m each place comes out from where it belongs, without the rigid motion of all."""
    points = found.triangulate(true.project(places))
    _, R, t = geometry.similarity(points, places, scale=False)
    return np.linalg.norm(points @ R.T + t - places, axis=-1)


def solved(rig, poses, seed, noise=0.15, lens=True):
    """A rig adjusted from the truth to sightings drawn anew, and its numbers' covariance as a calibration has it."""
    seen = sightings(rig, SMALL, in_place(SMALL, poses), noise, seed=seed)
    problem = problem_of(seen, rig, poses, free=PINHOLE[1] if lens else None)
    mean, information = (np.stack(part) for part in zip(*(common_sense(camera.lens) for camera in rig), strict=True))
    solution = bundle.adjust(replace(problem, prior_mean=mean, prior_information=information), tolerance=1e-5)
    columns = columns_of(rig)
    full = np.zeros((max(at.stop for at in columns.values()),) * 2)
    to = np.concatenate([columns[c.name].start + free for c, free in zip(rig, solution.free, strict=True)])
    full[np.ix_(to, to)] = trusted_covariance(solution)
    return solution, full, columns


# --- predicted -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lens", [False, True], ids=["lenses known", "lenses found"])
def test_the_predicted_error_is_what_happens_in_many_rigs(lens):
    ratios = []
    for seed in range(30):
        rig, poses = arc_rig(2 + seed % 3, seed, degrees=60 + 20 * (seed % 4)), scattered(14, seed, spread_m=0.6)
        solution, covariance, columns = solved(rig, poses, seed, lens=lens)
        said = predicted_error(rig_of(solution), covariance, columns, GRID)
        true = happened(rig_of(solution), rig)
        ratios.append(np.nanmean(true**2) / np.nanmean(said**2))
    assert 0.8 < 1 / np.sqrt(np.mean(ratios)) < 1.25, np.round(ratios, 2)


def test_it_says_where_the_error_is():
    rig, poses = arc_rig(3, 2), scattered(16, 1, spread_m=0.5)
    errors = []
    for seed in range(40):
        solution, covariance, columns = solved(rig, poses, seed, lens=False)
        errors.append(happened(rig_of(solution), rig))
    said = predicted_error(rig_of(solution), covariance, columns, GRID)
    true = np.sqrt((np.array(errors) ** 2).mean(0))
    assert np.corrcoef(said, true)[0, 1] > 0.7
    np.testing.assert_allclose(said / true, 1.0, atol=0.45)


def test_it_is_the_spread_of_rigs_drawn_from_the_covariance():
    rig = arc_rig(3, 2)
    columns = columns_of(rig)
    size = max(at.stop for at in columns.values())
    rng = np.random.default_rng(0)
    sigma = np.tile([*[3e-4] * 3, *[5e-4] * 3, *[0.5] * 4, 2e-4, *[0.0] * 4], 3)
    root = rng.normal(0, 1, (size, size)) * sigma[:, None]
    root /= np.sqrt(size)
    said = predicted_error(rig, root @ root.T, columns, GRID)
    drawn = []
    for _ in range(80):
        step = root @ rng.normal(0, 1, size)
        cameras = []
        for camera in rig:
            own = step[columns[camera.name]]
            K = np.array(camera.lens.K)
            K[[0, 1, 0, 1], [0, 1, 2, 2]] += own[6:10]
            lens = replace(camera.lens, K=K, distortion=camera.lens.distortion + own[10:])
            cameras.append(replace(camera, lens=lens, cam_from_world=small_motion(own[:6]) @ camera.cam_from_world))
        drawn.append(happened(replace(rig, cameras=tuple(cameras)), rig))
    np.testing.assert_allclose(said, np.sqrt((np.array(drawn) ** 2).mean(0)), rtol=0.4)
    assert np.sqrt((said**2).mean()) == pytest.approx(np.sqrt((np.array(drawn) ** 2).mean()), rel=0.1)


@given(st.lists(st.floats(-2, 2), min_size=6, max_size=6))
@settings(max_examples=10)
def test_where_the_world_is_changes_no_error(numbers):
    rig = arc_rig(2, 2)
    columns = columns_of(rig)
    covariance = np.diag(np.tile([1e-7] * 6 + [0.25] * 4 + [1e-8] * 5, 2))
    to = small_motion(np.array(numbers))
    turned = with_poses(rig, rig.cam_from_world @ geometry.invert(to))
    np.testing.assert_allclose(
        predicted_error(turned, covariance, columns, geometry.transform(to, GRID)),
        predicted_error(rig, covariance, columns, GRID),
        rtol=1e-6,
    )


def test_a_motion_of_the_whole_rig_is_no_error():
    rig = arc_rig(3, 2)
    columns = columns_of(rig)
    size = max(at.stop for at in columns.values())
    together = np.zeros((size, 6))
    for camera in rig:
        R, t = camera.cam_from_world[:3, :3], camera.cam_from_world[:3, 3]
        at = columns[camera.name].start
        together[at : at + 3, :3] = R
        together[at + 3 : at + 6, :3] = -np.cross(R.T, t).T
        together[at + 3 : at + 6, 3:] = R
    said = predicted_error(rig, 1e-6 * together @ together.T, columns, GRID)
    assert said.max() < 1e-6
    only = np.array(together)
    only[columns["cam02"]] = 0
    assert predicted_error(rig, 1e-6 * only @ only.T, columns, GRID).min() > 1e-5


def test_places_that_one_camera_sees_have_no_error_to_predict():
    rig = arc_rig(2, 2)
    covariance = np.diag(np.tile([1e-7] * 15, 2))
    behind = rig.positions[0] * 1.5
    said = predicted_error(rig, covariance, columns_of(rig), np.stack([GRID[0], behind, [0, 0, 90.0]]))
    assert np.isfinite(said[0])
    assert np.isnan(said[1:]).all()
    assert predicted_error(rig, covariance, columns_of(rig), behind).shape == (1,)


# --- volume ----------------------------------------------------------------------------------------------------------


def test_the_volume_is_where_the_target_was_and_two_see():
    rig, poses = arc_rig(3, 2), scattered(12, 1)
    solution = bundle.adjust(problem_of(board_sightings(rig, poses, 0.1), rig, poses))
    points = seen_points(solution)
    assert points.shape[1] == 3
    assert np.isfinite(points).all()
    places, shared = seen_volume(rig, points)
    assert len(places) == len(shared) > 100
    assert shared.min() >= 2
    assert shared.max() <= 3
    low, high = points.min(0) - 0.2, points.max(0) + 0.2
    assert np.all((places > low) & (places < high))
    assert seen_volume(rig, points[:1])[0].shape == (0, 3)
    assert seen_volume(rig.select(["cam01"]), points)[0].shape == (0, 3)


def test_a_camera_that_sees_nothing_new_moves_the_volume_nowhere():
    rig, poses = arc_rig(3, 2), scattered(12, 1)
    seen = board_sightings(rig, poses, 0.1)
    alone = replace(seen, sigma=np.where(np.arange(3)[:, None, None] == 2, np.nan, seen.sigma))
    both = bundle.adjust(problem_of(alone, rig, poses, free=None))
    np.testing.assert_array_equal(seen_points(both).shape[0], (alone.seen.sum(0) >= 2).sum())


# --- left out --------------------------------------------------------------------------------------------------------


def test_halves_and_what_is_left_out_agree_with_what_is_predicted():
    rig, poses = arc_rig(3, 2), scattered(40, 1)
    solution, covariance, columns = solved(rig, poses, 1, lens=False)
    accuracy = measure_accuracy(solution, covariance, columns)
    assert accuracy.held_out_px == pytest.approx(0.15, rel=0.15)
    assert 0.3 < accuracy.halves_rms_m / accuracy.predicted_rms_m < 2.5
    assert 0.0001 < accuracy.held_out_m < 0.002
    assert len(accuracy.held_out_places) == len(accuracy.held_out_errors_m) > 30
    assert accuracy.predicted_m.shape == accuracy.halves_m.shape == accuracy.shared_by.shape


def test_too_few_moments_leave_nothing_out():
    rig, poses = arc_rig(2, 2), scattered(8, 1)
    accuracy = measure_accuracy(*solved(rig, poses, 1, lens=False))
    assert np.isfinite(accuracy.predicted_rms_m)
    assert np.isnan(accuracy.held_out_px)
    assert np.isnan(accuracy.halves_rms_m)
    assert len(accuracy.held_out_errors_m) == 0


def test_a_camera_that_moves_in_the_middle_shows_in_halves_but_hardly_in_pixels():
    """What a fit to all of it spreads over everything, halves that stand apart tell."""
    rig, poses = arc_rig(3, 2), scattered(40, 1)
    seen = sightings(rig, SMALL, in_place(SMALL, poses), 0.15, seed=1)
    bump = small_motion(np.array([[0.0] * 6, [0, 0.01, 0, 0, 0, 0], [0.0] * 6]))
    moved = with_poses(rig, bump @ rig.cam_from_world)
    late = sightings(moved, SMALL, in_place(SMALL, poses), 0.15, seed=1)
    xy = np.where((np.arange(40) >= 20)[None, :, None, None], late.xy, seen.xy)
    lenses = {camera.name: camera.lens for camera in rig}
    still, bumped = (calibrate(replace(seen, xy=pixels), lenses=lenses, fix_lenses=True) for pixels in (seen.xy, xy))
    assert still.verdict == "good"
    assert bumped.verdict != "good"
    assert bumped.accuracy.held_out_px > 3 * still.accuracy.held_out_px
