"""Bundle adjustment: the minimum that others find, whatever is filmed; what is held and known before stays so."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares
from seen_boards import (
    BOARD,
    SMALL,
    arc_rig,
    board_sightings,
    in_place,
    problem_of,
    scattered,
    sightings,
    small_problem,
)

from calib import bundle, geometry
from calib.bundle.adjustment import common_time, lateness
from calib.bundle.equations import LENS, Layout, Rows, State, apply_step, lens_numbers, residuals
from calib.bundle.equations import small_motion as motion
from calib.quality.uncertainty import rig_of
from calib.targets import Target, free_points, scene_points, wand


def by_scipy(problem):
    """scipy's minimum: cost, state, from the same start, with the kernel of a sighting's distance."""
    seen, cameras, moments = problem.observations, len(problem.lenses), len(problem.observations.moments)
    held = np.zeros((cameras, 1), bool)
    free = np.concatenate([np.repeat(problem.poses_free[:, None], 6, 1), problem.lens_free, held], 1)
    layout = Layout.of(free, 0, 0, moments, 6)
    start = State(
        np.stack([lens_numbers(lens) for lens in problem.lenses]),
        problem.cam_from_world,
        problem.world_from_body,
        problem.body_from_piece,
        seen.target.points,
        None,
        np.zeros(cameras),
    )
    rows = []
    for view, lens in enumerate(problem.lenses):
        moment, point = np.nonzero(problem.used[view])
        over = 1 / seen.sigma[view, moment, point]
        rows.append(Rows.of(lens, moment, point, moment, seen.xy[view, moment, point], over))
    piece = seen.target.of_piece

    def state_of(x):
        return apply_step(start, layout, x[: layout.size], x[layout.size :].reshape(moments, 6), np.arange(moments))

    def fun(x):
        state = state_of(x)
        world = state.world_points(piece)
        off = np.concatenate([residuals(state, view, row, world, None) for view, row in enumerate(rows)])
        size = np.linalg.norm(off, axis=-1, keepdims=True)
        k = problem.huber
        pulled = np.sqrt(np.where(size > k, 2 * k * np.maximum(size, k) - k * k, size**2))
        return (off * np.where(size > k, pulled / np.maximum(size, 1e-12), 1.0)).ravel()

    scale = np.ones(layout.size + 6 * moments)
    for at, kinds in zip(layout.columns, layout.free, strict=True):
        scale[np.arange(at.start, at.stop)[(kinds >= 6) & (kinds < 10)]] = 100.0
    best = least_squares(fun, 0 * scale, x_scale=scale, method="trf", ftol=1e-14, xtol=1e-14, gtol=1e-14, max_nfev=60)
    return best.cost, state_of(best.x)


@pytest.mark.parametrize("outliers", [False, True], ids=["squares", "huber"])
def test_scipy_finds_the_same_minimum(outliers):
    problem = small_problem(outliers=outliers)
    cost, state = by_scipy(problem)
    solution = bundle.adjust(problem, tolerance=1e-14)
    assert solution.converged
    assert solution.cost == pytest.approx(cost, rel=1e-7)
    sigma = np.sqrt(np.diagonal(solution.covariance(scatter=False)))
    for view, (lens, at, free) in enumerate(zip(solution.lenses, solution.columns, solution.free, strict=True)):
        off = lens_numbers(lens) - state.lens[view]
        assert np.all(np.abs(off[free[free >= 6] - 6]) < 0.02 * sigma[at][free >= 6])
        np.testing.assert_array_equal(off[~problem.lens_free[view]], 0.0)
    np.testing.assert_allclose(solution.cam_from_world, state.cam_from_world, atol=2e-4)
    np.testing.assert_allclose(solution.world_from_body, state.world_from_body, atol=2e-4)


def test_exact_sightings_give_the_truth_from_a_start_far_off():
    rig, poses = arc_rig(3, 6), scattered(8, 4)
    problem = problem_of(board_sightings(rig, poses, 0.0), rig, poses)
    rng = np.random.default_rng(0)
    worse = np.array(problem.cam_from_world)
    worse[1:] = motion(rng.normal(0, 0.08, (2, 6))) @ worse[1:]
    start = replace(
        problem,
        cam_from_world=worse,
        world_from_body=poses @ motion(rng.normal(0, 0.1, (8, 6))),
        lenses=tuple(
            replace(lens, K=lens.K * [[1.05], [1.05], [1]], distortion=np.zeros(5)) for lens in problem.lenses
        ),
    )
    solution = bundle.adjust(start, iterations=25, tolerance=0.0)
    assert solution.cost < 1e-8
    np.testing.assert_allclose(solution.cam_from_world, rig.cam_from_world, atol=1e-5)
    for lens, camera in zip(solution.lenses, rig, strict=True):
        np.testing.assert_allclose(lens.K, camera.lens.K, atol=0.02)


def test_sightings_that_a_first_guess_has_behind_the_camera_do_no_harm():
    rig, poses = arc_rig(2, 5), scattered(8, 3)
    problem = problem_of(board_sightings(rig, poses, 0.1), rig, poses, free=None)
    lost = np.array(poses)
    lost[3, :3, 3] += 4 * rig.positions[1]
    solution = bundle.adjust(replace(problem, world_from_body=lost))
    assert np.isfinite(solution.cost)
    assert np.isfinite(solution.covariance()).all()
    np.testing.assert_allclose(solution.cam_from_world, rig.cam_from_world, atol=5e-3)


def test_one_sighting_far_off_hardly_moves_the_rig():
    rig, poses = arc_rig(2, 5), scattered(8, 3)
    seen = board_sightings(rig, poses, 0.1)
    spoilt = np.array(seen.xy)
    view, moment, point = np.argwhere(seen.seen)[40]
    spoilt[view, moment, point] += 400.0
    clean = bundle.adjust(problem_of(seen, rig, poses, free=None))
    robust = bundle.adjust(problem_of(replace(seen, xy=spoilt), rig, poses, free=None))
    trusting = bundle.adjust(problem_of(replace(seen, xy=spoilt), rig, poses, free=None, huber=1e9))
    off = np.abs(robust.cam_from_world - clean.cam_from_world).max()
    assert off < 1e-3
    assert np.abs(trusting.cam_from_world - clean.cam_from_world).max() > 10 * off


@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6))
@settings(max_examples=8)
def test_where_the_world_is_changes_nothing(numbers):
    problem = small_problem()
    new_from_old = motion(np.array(numbers))
    turned = replace(
        problem,
        cam_from_world=problem.cam_from_world @ geometry.invert(new_from_old),
        world_from_body=new_from_old @ problem.world_from_body,
    )
    here, there = bundle.adjust(problem, tolerance=1e-12), bundle.adjust(turned, tolerance=1e-12)
    assert there.cost == pytest.approx(here.cost, rel=1e-8)
    np.testing.assert_allclose(there.cam_from_world @ new_from_old, here.cam_from_world, atol=2e-5)
    np.testing.assert_allclose(there.covariance(), here.covariance(), rtol=1e-2, atol=1e-9)


def test_which_camera_is_held_changes_nothing():
    rig, poses = arc_rig(3, 6), scattered(8, 4)
    seen = board_sightings(rig, poses, 0.1)
    first, last, none = (
        rig_of(bundle.adjust(problem_of(seen, rig, poses, hold=hold, seed=1), tolerance=1e-13)) for hold in (0, 2, None)
    )
    between = [found.cam_from_world @ geometry.invert(found.cam_from_world[1]) for found in (first, last, none)]
    np.testing.assert_allclose(between[1], between[0], atol=1e-5)
    np.testing.assert_allclose(between[2], between[0], atol=1e-5)


def test_a_unit_of_length_changes_only_lengths():
    rig, poses = arc_rig(2, 5), scattered(6, 3)
    seen = board_sightings(rig, poses, 0.1)
    in_mm = replace(seen, target=replace(seen.target, points=seen.target.points * 1000))
    scale = np.diag([1e3, 1e3, 1e3, 1.0])
    start = problem_of(seen, rig, poses)
    large = replace(
        start,
        observations=in_mm,
        cam_from_world=scale @ start.cam_from_world @ np.linalg.inv(scale),
        world_from_body=scale @ start.world_from_body @ np.linalg.inv(scale),
    )
    here, there = bundle.adjust(start, tolerance=1e-12), bundle.adjust(large, tolerance=1e-12)
    assert there.cost == pytest.approx(here.cost, rel=1e-7)
    np.testing.assert_allclose(there.cam_from_world[:, :3, 3] / 1000, here.cam_from_world[:, :3, 3], atol=1e-4)


# --- what is held and what is known before ---------------------------------------------------------------------------


def test_what_is_held_does_not_move():
    problem = small_problem()
    solution = bundle.adjust(replace(problem, lens_free=np.zeros((2, LENS), bool)))
    assert np.array_equal(solution.cam_from_world[0], problem.cam_from_world[0])
    assert not np.array_equal(solution.cam_from_world[1], problem.cam_from_world[1])
    for lens, given_lens in zip(solution.lenses, problem.lenses, strict=True):
        assert np.array_equal(lens.K, given_lens.K)
        assert np.array_equal(lens.distortion, given_lens.distortion)
    held = bundle.adjust(replace(problem, poses_free=np.zeros(2, bool), bodies_free=False))
    assert np.array_equal(held.cam_from_world, problem.cam_from_world)
    assert np.array_equal(held.world_from_body, problem.world_from_body)
    assert not np.array_equal(held.lenses[1].K, problem.lenses[1].K)
    assert held.covariance().shape == (10, 10)  # fx fy cx cy k1 of two cameras


def test_coefficients_that_are_held_stay_what_they_are():
    problem = small_problem()
    free = np.array(problem.lens_free)
    free[:, 4] = False
    solution = bundle.adjust(replace(problem, lens_free=free))
    for lens, given_lens in zip(solution.lenses, problem.lenses, strict=True):
        assert np.array_equal(lens.distortion, given_lens.distortion)


def test_a_sharp_prior_holds_and_a_vague_one_says_nothing():
    problem = small_problem()
    mean = np.stack([lens_numbers(lens) for lens in problem.lenses])
    mean[:, 0] += 3.0

    def with_sigma(sigma):
        information = np.tile(np.diag([1 / sigma**2, *[0.0] * 15]), (2, 1, 1))
        return bundle.adjust(replace(problem, prior_mean=mean, prior_information=information), tolerance=1e-12)

    free = bundle.adjust(problem, tolerance=1e-12)
    for view in range(2):
        assert with_sigma(1e-4).lenses[view].K[0, 0] == pytest.approx(mean[view, 0], abs=1e-3)
        assert with_sigma(1e6).lenses[view].K[0, 0] == pytest.approx(free.lenses[view].K[0, 0], abs=1e-2)


def test_a_prior_and_sightings_meet_by_their_weights():
    """A Gaussian of one focal length: the answer is the mean of both by information, and both add up."""
    rig, poses = arc_rig(1, 5), scattered(8, 3)
    seen = board_sightings(rig, poses, 0.1)
    one = np.zeros((1, LENS), bool)
    one[0, 0] = True
    problem = replace(problem_of(seen, rig, poses), lens_free=one)
    alone = bundle.adjust(problem, tolerance=1e-14)
    mean, information = lens_numbers(alone.lenses[0])[None], np.zeros((1, LENS, LENS))
    mean[0, 0] += 0.5
    information[0, 0, 0] = 3 * alone.information[0, 0]
    both = bundle.adjust(replace(problem, prior_mean=mean, prior_information=information), tolerance=1e-14)
    assert both.lenses[0].K[0, 0] == pytest.approx(alone.lenses[0].K[0, 0] + 0.75 * 0.5, abs=0.01)
    assert both.information[0, 0] == pytest.approx(4 * alone.information[0, 0], rel=0.01)


# --- targets ---------------------------------------------------------------------------------------------------------


def test_pieces_are_found_and_the_first_is_the_body():
    rig, poses = arc_rig(3, 6), scattered(10, 4, spread_m=0.3)
    target = Target("three tags", np.tile(SMALL.points, (3, 1)), np.repeat([0, 1, 2], 12), ("a", "b", "c"))
    pieces = np.stack([np.eye(4), *motion(np.array([[0.2, 0.1, -0.3, 0.5, 0, 0.1], [-0.1, 0.6, 0.2, 0, 0.5, -0.2]]))])
    body = geometry.transform(pieces[target.of_piece], target.points)
    seen = sightings(rig, target, geometry.transform(poses[:, None], body[None]), 0.05)
    off = np.array(pieces)
    off[1:] = off[1:] @ motion(np.random.default_rng(1).normal(0, 0.05, (2, 6)))
    solution = bundle.adjust(problem_of(seen, rig, poses, free=None, seed=3, body_from_piece=off))
    assert np.array_equal(solution.body_from_piece[0], np.eye(4))
    np.testing.assert_allclose(solution.body_from_piece, pieces, atol=3e-4)
    held = bundle.adjust(problem_of(seen, rig, poses, free=None, seed=3, body_from_piece=off, pieces_free=False))
    assert np.array_equal(held.body_from_piece, off)
    assert held.cost > 100 * solution.cost


def test_a_wand_gives_the_rig_and_its_size():
    """Its turn about itself is undetermined at every moment; that harms nothing."""
    rig = arc_rig(3, 6)
    target = wand([0.0, 0.3, 0.5])
    poses = scattered(40, 5, target=target, turned=1.5)
    seen = sightings(rig, target, in_place(target, poses), 0.05)
    solution = bundle.adjust(problem_of(seen, rig, poses, free=None, seed=4))
    assert solution.converged
    found = rig_of(solution)
    np.testing.assert_allclose(found.positions, rig.positions, atol=4e-3)
    points = found.triangulate(seen.xy)
    assert np.linalg.norm(points[:, 2] - points[:, 0], axis=-1).mean() == pytest.approx(0.5, abs=2e-4)
    assert np.isfinite(solution.covariance()).all()


def test_free_points_give_the_rig_but_for_its_size():
    rig = arc_rig(3, 6)
    world = np.random.default_rng(3).uniform((-0.8, -0.8, 0.2), (0.8, 0.8, 1.8), (6, 9, 3))
    seen = sightings(rig, free_points(9), world, 0.05)
    problem = problem_of(seen, rig, np.tile(np.eye(4), (6, 1, 1)), free=None, seed=4)
    solution = bundle.adjust(replace(problem, free_points=world + 0.02))
    assert solution.converged
    a, b = rig.positions, rig_of(solution).positions
    scale, R, t = geometry.similarity(b, a)
    assert scale == pytest.approx(1.0, abs=0.05)  # nothing but the start says so
    np.testing.assert_allclose(scale * b @ R.T + t, a, atol=3e-3)
    assert solution.free_points.shape == (6, 9, 3)
    variance = np.diagonal(solution.covariance(scatter=False))
    assert np.isfinite(variance).all()
    assert variance.max() < 1e-4  # the size that nobody knows is left out, not infinite


def test_points_of_a_scene_hold_the_world_where_it_is():
    rig = arc_rig(2, 6)
    world = np.random.default_rng(3).uniform((-0.8, -0.8, 0.2), (0.8, 0.8, 1.8), (12, 3))
    seen = sightings(rig, scene_points(world), world[None], 0.0)
    still = problem_of(seen, rig, np.eye(4)[None], free=None, hold=None, seed=4)
    still = replace(still, world_from_body=np.eye(4)[None], bodies_free=False)
    solution = bundle.adjust(still, tolerance=1e-16)
    np.testing.assert_allclose(solution.cam_from_world, rig.cam_from_world, atol=1e-6)
    assert solution.information.shape == (12, 12)


def test_the_shape_of_a_bent_board_is_found():
    rig, poses = arc_rig(3, 6), scattered(16, 4)
    board = BOARD.target
    middle = board.points - board.points.mean(0)
    bent = board.points + np.stack([0 * middle[:, 0], 0 * middle[:, 0], 0.05 * middle[:, 0] ** 2], -1)
    seen = sightings(rig, board, in_place(replace(board, points=bent), poses), 0.05)
    flat = bundle.adjust(problem_of(seen, rig, poses, free=None))
    shaped = bundle.adjust(problem_of(seen, rig, poses, free=None, shape_sigma_m=0.003))
    assert shaped.cost < 0.1 * flat.cost
    _, R, t = geometry.similarity(shaped.points, bent, scale=False)
    np.testing.assert_allclose(shaped.points @ R.T + t, bent, atol=3e-4)
    np.testing.assert_allclose(flat.points, board.points)


def test_clocks_that_are_off_are_found():
    rig, late = arc_rig(3, 6), np.array([0.0, 0.021, -0.013])
    rate, count = 20.0, 60
    board = SMALL

    def poses(time_s):
        angle = 0.6 * np.sin(0.7 * time_s[:, None] + [0.0, 1.0, 2.0])
        place = np.array([0, 0, 1.1]) + 0.5 * np.sin(0.9 * time_s[:, None] + [1.0, 2.0, 3.0])
        facing = np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])
        return geometry.pose(geometry.rotation_from_vector(angle) @ facing, place)

    time_s = np.arange(count) / rate
    world = np.stack([in_place(board, poses(time_s + off)) for off in late])
    seen = sightings(rig, board, world, 0.05, time_s=time_s)
    free = np.array([False, True, True])
    problem = problem_of(seen, rig, poses(time_s), free=None)
    blind = bundle.adjust(problem)
    found = blind
    for _ in range(3):  # each time the target's speed is known better
        again = replace(problem, world_from_body=found.world_from_body, cam_from_world=found.cam_from_world)
        found = bundle.adjust(replace(again, offset_s=found.offset_s, offsets_free=free))
    np.testing.assert_allclose(found.offset_s, late, atol=4e-4)
    sightings_in_motion = np.isfinite(found.residual).all(-1).sum()
    assert found.cost < 1.1 * sightings_in_motion < 0.1 * blind.cost
    off = [np.abs(rig_of(solution).positions - rig.positions).max() for solution in (found, blind)]
    assert off[0] < 0.5 * off[1]


def test_moments_without_a_pose_and_views_without_a_sighting_are_left_alone():
    rig, poses = arc_rig(3, 6), scattered(8, 4)
    seen = board_sightings(rig, poses, 0.1)
    seen = replace(seen, sigma=np.where(np.arange(3)[:, None, None] == 2, np.nan, seen.sigma))
    problem = problem_of(seen, rig, poses, free=None)
    unknown = np.array(poses)
    unknown[3] = np.nan
    solution = bundle.adjust(replace(problem, world_from_body=unknown))
    assert np.isnan(solution.residual[:, 3]).all()
    assert np.isnan(solution.world_from_body[3]).all()
    np.testing.assert_allclose(solution.cam_from_world[2], rig.cam_from_world[2])
    assert solution.cost < 1.5 * np.isfinite(solution.residual).all(-1).sum()


def test_the_same_problem_has_the_same_solution():
    problem = small_problem(outliers=True)
    first, second = bundle.adjust(problem), bundle.adjust(problem)
    assert np.array_equal(first.cam_from_world, second.cam_from_world)
    assert np.array_equal(first.residual, second.residual, equal_nan=True)
    assert first.cost == second.cost


# --- time ------------------------------------------------------------------------------------------------------------


def test_the_common_time_is_the_mean_of_the_cameras_that_have_an_image():
    time_s = np.array([[0.0, 1.0, np.nan, np.nan], [0.2, np.nan, 2.2, np.nan], [0.1, 1.4, 2.0, np.nan]])
    np.testing.assert_allclose(common_time(time_s), [0.1, 1.2, 2.1, np.nan])


def late_images(delay_s, noise_px=0.05):
    """A problem at the truth in which each image (C, T) of a moving board is late by its own delay."""
    rig, rate_hz = arc_rig(*delay_s.shape[:1], 6), 10.0
    time_s = np.arange(delay_s.shape[1]) / rate_hz

    def poses(at):
        place = np.array([0, 0, 1.1]) + 0.5 * np.sin(1.1 * at[:, None] + [1.0, 2.0, 3.0])
        facing = np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])
        return geometry.pose(np.broadcast_to(facing, (len(at), 3, 3)), place)

    world = np.stack([in_place(SMALL, poses(time_s + delay)) for delay in delay_s])
    seen = sightings(rig, SMALL, world, noise_px, time_s=time_s)
    return problem_of(seen, rig, poses(time_s), free=None)


def test_the_delay_of_every_image_is_read_from_its_own_observations():
    true = np.random.default_rng(0).normal(0, 0.006, (3, 30))
    delay, sigma = lateness(replace(late_images(true), jitter_s=0.006))
    assert np.isnan(delay[:, [0, -1]]).all()  # the motion is known between two neighbours only
    inner = slice(1, -1)
    assert np.isfinite(delay[:, inner]).all()
    np.testing.assert_allclose(delay[:, inner], true[:, inner], atol=5e-4)
    scaled = (delay - true)[:, inner] / sigma[:, inner]
    assert 0.7 < np.sqrt((scaled**2).mean()) < 1.5
    assert np.isnan(lateness(late_images(true))[0]).all()  # without a jitter nothing is late


def test_delays_of_images_do_not_bend_a_rig_that_allows_for_them():
    true = np.random.default_rng(0).normal(0, 0.006, (3, 30))
    problem = late_images(true)
    plain, aware = (bundle.adjust(replace(problem, jitter_s=jitter)) for jitter in (0.0, 0.006))
    error = [
        np.linalg.norm(rig_of(solution).positions - rig_of(problem).positions, axis=-1).max()
        for solution in (plain, aware)
    ]
    assert error[1] < 0.5 * error[0]
    inner = aware.residual[:, 1:-1]
    assert np.sqrt(np.nanmean(inner**2)) < 0.2 < np.sqrt(np.nanmean(plain.residual[:, 1:-1] ** 2))


def test_a_prior_on_poses_holds_what_the_points_do_not_determine():
    """Without points the result is the old rig; with points, poses between theirs and those of the prior."""
    problem = small_problem()
    poses = problem.cam_from_world
    away = motion(np.array([[0.0, 0.004, 0, 0.02, 0, 0]] + [[0.0] * 6] * (len(poses) - 1)))
    nobody = replace(
        problem, used=np.zeros_like(problem.used), poses_free=np.ones(len(poses), bool), cam_from_world=away @ poses,
        pose_mean=poses, pose_information=np.broadcast_to(np.diag([1e4] * 3 + [1e3] * 3), (len(poses), 6, 6)),
    )  # fmt: skip
    found = bundle.adjust(nobody)
    np.testing.assert_allclose(found.cam_from_world, poses, atol=1e-6)
    known = replace(nobody, used=problem.used, cam_from_world=poses)
    both = bundle.adjust(known)
    assert both.converged and both.cost <= bundle.adjust(known, iterations=0).cost
    held = replace(known, pose_information=1e9 * known.pose_information)
    np.testing.assert_allclose(bundle.adjust(held).cam_from_world, poses, atol=1e-5)
