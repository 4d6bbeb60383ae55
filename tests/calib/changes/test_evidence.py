"""Evidence of a take: exact to second order in every camera, blind to the world's frame, the same in any blocks."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from moved_cameras import arc, board_places, body_places, bumped, filmed

from calib.changes.events import apply_change
from calib.changes.evidence import CAMERA, CHANGE, collect_evidence, columns, moment_costs, sightings
from calib.geometry import pose, rotation_from_vector, vector_from_rotation

MOMENTS, NOISE_PX = 24, 0.2
TARGETS = ("board", "people")


@cache
def take(target):
    """A rig of three cameras and what they see of a target."""
    rng = np.random.default_rng(2)
    rig = arc(3)
    made, places = board_places(rng, MOMENTS) if target == "board" else body_places(rng, MOMENTS, people=1)
    return rig, filmed([rig], [0], made, places, NOISE_PX, rng), places


@cache
def weighted(target):
    """The same with its weights."""
    rig, seen, _ = take(target)
    return sightings([rig], [0], seen)


@cache
def whole(target):
    return collect_evidence([take(target)[0]], [0], weighted(target), 1)


def test_columns_are_one_after_the_other():
    assert [columns(camera) for camera in range(3)] == [slice(0, 12), slice(12, 24), slice(24, 36)]
    assert columns(2, CHANGE) == slice(24, 31)


# --- observations and their weights ----------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_positions_start_at_the_truth_and_the_noise_is_measured(target):
    seen, places = weighted(target), take(target)[2]
    shared = (seen.weight > 0).sum(0) >= 2
    assert np.linalg.norm(seen.start - places, axis=-1)[shared].max() < 0.004
    np.testing.assert_allclose(seen.sigma_px, NOISE_PX, rtol=0.3)  # three views of a point leave little to measure it
    for view, sigma_px in enumerate(seen.sigma_px):
        used = seen.weight[view][seen.weight[view] > 0]
        np.testing.assert_allclose(used, sigma_px**-2)


def test_a_detector_that_promises_too_much_is_measured_all_the_same():
    rig, seen, _ = take("board")
    hopeful = sightings([rig], [0], replace(seen, sigma=seen.sigma / 5))
    np.testing.assert_allclose(hopeful.sigma_px, weighted("board").sigma_px, rtol=0.1)


def test_an_outlier_has_no_weight_and_a_moved_camera_keeps_all_of_its():
    rig, seen, _ = take("board")
    xy = np.array(seen.xy)
    xy[1, 5, 3] += [12.0, -9.0]
    spoiled = sightings([rig], [0], replace(seen, xy=xy))
    assert spoiled.weight[1, 5, 3] == 0
    assert (spoiled.weight[seen.seen] > 0).mean() > 0.97
    moved = sightings([bumped(rig, 1, 0.5)], [0], seen)
    assert (moved.weight[1][seen.seen[1]] > 0).mean() > 0.97


@pytest.mark.parametrize("moments", [16, 40])
def test_a_camera_that_moves_during_a_take_keeps_its_observations_of_before_and_after(moments):
    rng = np.random.default_rng(2)
    rig, at = arc(3), 5 * moments // 8
    made, places = board_places(rng, moments)
    seen = filmed([rig, bumped(rig, 1, 1.0)], [0, at], made, places, NOISE_PX, rng)
    kept = sightings([rig], [0], seen).weight[1] > 0
    assert kept[:at][seen.seen[1, :at]].mean() > 0.9
    assert kept[at:][seen.seen[1, at:]].mean() > 0.9


def test_boards_are_bodies_with_poses_and_free_points_are_not():
    board, people = weighted("board"), weighted("people")
    assert len(board.bodies) == 1 and len(board.free) == 0 and board.bodies[0].tolist() == list(range(20))
    assert not people.bodies and people.free.tolist() == list(range(15))
    shape, places = take("board")[1].target.points, take("board")[2]
    poses = board.poses[0]
    known = np.isfinite(poses).all((1, 2))
    assert known.sum() > 0.8 * MOMENTS
    there = np.einsum("tij,nj->tni", poses[:, :3, :3], shape) + poses[:, None, :3, 3]
    np.testing.assert_allclose(there[known], places[known], atol=0.003)


def test_shared_moments_are_those_at_which_another_camera_sees_the_same_points():
    rig, seen, _ = take("board")
    sigma = np.array(seen.sigma)
    sigma[0, 10:] = np.nan  # the first sees ten moments, the others after ten only
    sigma[1:, :10] = np.nan
    assert sightings([rig], [0], replace(seen, sigma=sigma)).shared[0] == 0
    assert (weighted("board").shared <= MOMENTS).all() and (weighted("board").shared > 10).all()
    some = weighted("board").at(np.arange(4))
    assert some.start.shape[0] == some.weight.shape[1] == len(some.observations.moments) == 4


# --- the evidence ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_score_and_information_are_the_first_and_second_derivative_of_the_cost(target):
    """With the target's positions at their best for each rig; the first ten numbers, as the others bend the lens."""
    rig, found = take(target)[0], whole(target)
    rng = np.random.default_rng(0)
    size = np.array([2e-4] * 3 + [8e-4] * 3 + [3e-4] + [0.3] * 2 + [3e-4] + [0, 0])
    for _ in range(3):
        step = rng.normal(size=(3, CAMERA)) * size
        cameras = tuple(apply_change(camera, numbers) for camera, numbers in zip(rig, step, strict=True))
        there = collect_evidence([replace(rig, cameras=cameras)], [0], weighted(target), 1)
        d = step.ravel()
        first, second = -2 * found.score[0] @ d, d @ found.information[0] @ d
        assert second > 50  # a step that shows
        assert there.cost - found.cost == pytest.approx(first + second, rel=0.02)


@pytest.mark.parametrize(("target", "gauges"), [("board", 6), ("people", 7)])
def test_moving_the_whole_world_costs_nothing(target, gauges):
    """A shift, a rotation and, for free points, a larger world with all cameras farther apart."""
    rig = take(target)[0]
    information = whole(target).information[0]
    scale = np.sqrt(np.diagonal(information))
    steps = []
    for axis in range(gauges):
        numbers = np.zeros(6)
        numbers[axis % 6] = 1e-6
        world = pose(rotation_from_vector(numbers[:3]), numbers[3:]) if axis < 6 else np.eye(4)
        for camera in rig:
            motion = camera.cam_from_world @ world @ np.linalg.inv(camera.cam_from_world)
            shift = motion[:3, 3] if axis < 6 else 1e-6 * camera.cam_from_world[:3, 3]
            steps.append(np.concatenate([vector_from_rotation(motion[:3, :3]), shift, np.zeros(CAMERA - 6)]))
    steps = np.reshape(steps, (gauges, -1))
    for step in steps:
        assert step @ information @ step < 1e-6 * ((scale * step) ** 2).sum()
    values = np.linalg.eigvalsh(information / np.outer(scale, scale))
    assert (values < 1e-9).sum() == gauges


def test_evidence_is_the_sum_of_its_blocks():
    rig = take("board")[0]
    parts = collect_evidence([rig], [0], weighted("board"), 6)
    assert len(parts.score) == 6 and parts.first.tolist() == [0, 4, 8, 12, 16, 20, 24]
    one = whole("board")
    np.testing.assert_allclose(parts.information.sum(0), one.information[0], rtol=1e-6, atol=1e-3)
    np.testing.assert_allclose(parts.score.sum(0), one.score[0], rtol=1e-6, atol=1e-3)
    assert parts.cost == pytest.approx(one.cost) and parts.count.tolist() == one.count.tolist()
    np.testing.assert_allclose(parts.spread, one.spread)


def test_blocks_are_split_where_the_rig_changes():
    rig = take("board")[0]
    found = collect_evidence([rig, bumped(rig, 1, 0.3)], [0, 7], weighted("board"), 4)
    assert found.first.tolist() == [0, 6, 7, 12, 18, 24]
    plain = collect_evidence([rig], [0], weighted("board"), 4)
    np.testing.assert_allclose(found.information[0], plain.information[0])
    assert found.cost > 10 * plain.cost  # the second rig is not the one that filmed


@pytest.mark.parametrize("target", TARGETS)
def test_costs_of_moments_add_up_to_about_one_for_each_free_residual(target):
    costs = moment_costs(take(target)[0], weighted(target), 0, MOMENTS)
    assert costs.sum() == pytest.approx(whole(target).cost, rel=1e-9)
    np.testing.assert_allclose(moment_costs(take(target)[0], weighted(target), 5, 9), costs[5:9], rtol=1e-9)
    used = weighted(target).weight > 0
    used &= used.sum(0) >= 2
    unknowns = 6 * used.any((0, 2)).sum() if target == "board" else 3 * used.any(0).sum()
    assert 0.8 < costs.sum() / (2 * used.sum() - unknowns) < 1.6
    assert (costs >= 0).all()


def test_residuals_are_in_pixels_and_unknown_for_a_camera_that_sees_nothing():
    rig, seen, _ = take("board")
    found = whole("board")
    assert ((found.rms_px > 0.6 * NOISE_PX) & (found.rms_px < 1.1 * NOISE_PX)).all()
    blind = np.where(np.arange(3)[:, None, None] == 1, np.nan, seen.sigma)
    lost = collect_evidence([rig], [0], sightings([rig], [0], replace(seen, sigma=blind)), 2)
    assert np.isnan(lost.rms_px[1]) and np.isfinite(lost.rms_px[[0, 2]]).all()
    assert not lost.information[:, columns(1)].any() and not lost.score[:, columns(1)].any()


def test_the_spread_of_a_change_is_what_it_displaces_across_the_line_of_sight():
    """Cameras stand 4 m from the middle: a rotation displaces by its angle times that, a shift aside by itself."""
    spread = whole("board").spread
    for axis in (0, 1):
        np.testing.assert_allclose(np.sqrt(spread[:, axis, axis]), 4.0, atol=0.6)
        np.testing.assert_allclose(np.sqrt(spread[:, 3 + axis, 3 + axis]), 1.0, atol=0.05)
    assert (np.sqrt(spread[:, 2, 2]) < 1.5).all()  # about the line of sight
    assert (np.sqrt(spread[:, 5, 5]) < 0.4).all()  # along it
    np.testing.assert_allclose(spread, spread.swapaxes(1, 2))
    assert (np.linalg.eigvalsh(spread) > -1e-12).all()
