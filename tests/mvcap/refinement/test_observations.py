"""One person's evidence over a window: what is gathered, and its normal equations against finite differences."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refined_walk import RATE_HZ, case, walk
from synthetic_take import COCO, ring_rig

from mvcap.refinement.observations import Observations2D
from mvcap.structures.contracts import Evidence
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D, full_covariance
from mvcap.structures.skeleton import skeleton

JOINTS = len(COCO)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def walked():
    """A walk of 20 frames seen by four cameras: poses, evidence, and the truth."""
    xyz = walk(20)
    return *case(xyz, cameras=4, missing=0.1), xyz


@pytest.fixture(scope="module")
def seen(walked):
    return Observations2D.of(*walked[:2])


def without_pixels(poses):
    """Observations of points alone."""
    return Observations2D.of(poses, Evidence(ring_rig(3), Detections2D.empty(COCO), RATE_HZ, np.ones(9)))


# --- what is gathered ------------------------------------------------------------------------------------------------


def test_every_pixel_is_where_its_view_and_frame_say(walked, seen):
    poses, evidence, _ = walked
    rows = evidence.rows
    assert seen.xy.shape == (4, 20, JOINTS, 2) and seen.first == 0 and seen.row.tolist() == list(range(20))
    for row in (0, 7, len(rows) - 1):
        view, frame = int(rows.view[row]), int(rows.frame[row])
        np.testing.assert_array_equal(seen.xy[view, frame], rows.xy[row].astype(float))
        there = rows.score[row] > 0
        np.testing.assert_array_equal(seen.noise_px[view, frame][there], rows.noise_px[row][there].astype(float))
        np.testing.assert_allclose(seen.score[view, frame], rows.score[row])
    assert seen.seen.sum() == (rows.score > 0).sum()
    np.testing.assert_array_equal(seen.point, poses.xyz.astype(float))
    np.testing.assert_array_equal(seen.cov, full_covariance(poses.cov.astype(float)))
    assert not seen.given.any(), "every point has its pixels"


def test_gaps_between_rows_are_frames_without_a_row(walked):
    poses, evidence, _ = walked
    some = poses[[3, 4, 9]]
    found = Observations2D.of(some, evidence)
    assert found.first == 3 and found.row.tolist() == [0, 1, -1, -1, -1, -1, 2]
    assert np.isnan(found.point[2:6]).all() and found.seen[:, 2:6].any(), "pixels between the rows count"
    assert found.xy.shape[1] == 7


def test_of_two_rows_at_a_frame_the_last_counts(walked):
    poses, evidence, _ = walked
    again = poses[[2]].with_columns(xyz=poses.xyz[[2]] + 1)
    both = Poses3D.concatenate([poses[[2]], again], COCO)
    found = Observations2D.of(both, evidence)
    assert found.row.tolist() == [1]
    np.testing.assert_array_equal(found.point[0], again.xyz[0].astype(float))


def test_a_point_without_a_covariance_is_no_point(walked):
    poses, evidence, _ = walked
    found = Observations2D.of(poses.with_columns(cov=np.full_like(poses.cov, np.nan)), evidence)
    assert np.isnan(found.point).all() and not found.given.any()


def test_joints_of_another_skeleton_go_by_name(walked):
    poses, evidence, _ = walked
    body25 = skeleton("body25")
    rows = evidence.rows
    xy = rows.skeleton.apply(body25, rows.xy)
    noise = rows.skeleton.apply(body25, rows.noise_px[..., None])[..., 0]
    there = np.isfinite(xy).all(-1)
    other = Detections2D(body25, rows.frame, rows.view, rows.person, rows.carried, rows.box, xy, 0.9 * there, noise)
    found = Observations2D.of(poses, replace(evidence, rows=other))
    plain = Observations2D.of(poses, evidence)
    np.testing.assert_array_equal(found.seen, plain.seen)
    np.testing.assert_allclose(found.xy[found.seen], plain.xy[plain.seen], atol=1e-4)


def test_some_joints_and_some_frames(seen):
    joints, frames = np.array([2, 5]), np.array([1, 4, 4])
    part = seen.of_joints(joints)
    assert part.xy.shape == (4, 20, 2, 2) and part.point.shape == (20, 2, 3)
    np.testing.assert_array_equal(part.noise_px, seen.noise_px[:, :, joints])
    some = seen.at_frames(frames)
    assert some.row.tolist() == [1, 4, 4]
    np.testing.assert_array_equal(some.xy[:, 2], seen.xy[:, 4])


# --- residuals and noise ---------------------------------------------------------------------------------------------


def test_residuals_are_pixels_over_their_noise(seen, walked):
    xyz = walked[2]
    off = np.linalg.norm(seen.rig.project(xyz) - seen.xy, axis=-1)
    np.testing.assert_allclose(seen.residuals(xyz, 2.0), off / (2 * seen.noise_px), equal_nan=True)
    known = np.isfinite(off)
    assert np.sqrt((seen.residuals(xyz, 1.0)[known] ** 2).mean() / 2) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("stated", [1.5, 2.0, 4.0])
def test_the_noise_is_found_whatever_was_stated(stated):
    xyz = walk(40)
    seen = Observations2D.of(*case(xyz, cameras=5, noise_px=2.0, stated=stated))
    assert seen.noise_scale() == pytest.approx(2.0 / stated, rel=0.06)


def test_of_too_little_the_noise_is_as_stated(walked):
    poses, evidence, _ = walked
    assert Observations2D.of(poses[:1], evidence).noise_scale() == 1.0
    assert without_pixels(poses).noise_scale() == 1.0


# --- normal equations ------------------------------------------------------------------------------------------------


def robust_cost(seen, x, kernel, scale):
    """Half the sum of r^2 / (1 + r^2 / k^2) of each joint (T, J), r in deviations (Geman and McClure)."""
    square = seen.residuals(x, scale) ** 2
    return 0.5 * np.nansum(square / (1 + square / kernel**2), axis=0)


@given(seeds)
@settings(derandomize=True, max_examples=6, deadline=None)
def test_the_gradient_is_that_of_the_robust_cost(seed):
    rng = np.random.default_rng(seed)
    seen = Observations2D.of(*case(walk(3), cameras=3, seed=seed % 1000, missing=0.2))
    x = walk(3)[seen.first : seen.first + len(seen.row)]  # frames at which too few views see anything have no row
    x = x + rng.normal(0, 0.02, x.shape)
    kernel, scale, step = rng.uniform(2, 9, x.shape[:2]), 1.5, 1e-6
    information, gradient = seen.normal(x, scale, kernel)
    for axis in range(3):
        moved = np.zeros(3)
        moved[axis] = step
        slope = (robust_cost(seen, x + moved, kernel, scale) - robust_cost(seen, x - moved, kernel, scale)) / (2 * step)
        np.testing.assert_allclose(gradient[..., axis], -slope, rtol=1e-3, atol=1e-3 * np.abs(slope).max())
    np.testing.assert_allclose(information, information.swapaxes(-1, -2), rtol=1e-9)
    assert (np.linalg.eigvalsh(information) > -1e-6).all()


def dense_information(seen, x, used, scale):
    """Information (T, J, 3, 3) by finite differences of the projections."""
    step, out = 1e-5, np.zeros((*x.shape, 3))
    slopes = np.stack([(seen.rig.project(x + step * axis) - seen.rig.project(x - step * axis)) / (2 * step)
                       for axis in np.eye(3)], -1)  # fmt: skip
    slopes = slopes / (seen.noise_px * scale)[..., None, None]
    for view, frame, joint in np.argwhere(used):
        J = slopes[view, frame, joint]
        out[frame, joint] += J.T @ J
    return out


def test_information_is_that_of_the_projections(seen, walked):
    xyz = walked[2]
    used = seen.seen & (np.arange(4) != 2)[:, None, None]
    found = seen.information(xyz, 1.3, used)
    np.testing.assert_allclose(found, dense_information(seen, xyz, used, 1.3), rtol=1e-5, atol=1e-3)
    nothing = seen.information(xyz, 1.0, np.zeros_like(used))
    assert not nothing.any()


def test_far_kernels_make_full_weights(seen, walked):
    xyz = walked[2]
    information, _ = seen.normal(xyz, 1.0, np.full(xyz.shape[:2], 1e9))
    np.testing.assert_allclose(information, seen.information(xyz, 1.0, seen.seen), rtol=1e-9)
    close, _ = seen.normal(xyz, 1.0, np.full(xyz.shape[:2], 0.1))
    assert np.trace(close, axis1=-2, axis2=-1).sum() < 0.1 * np.trace(information, axis1=-2, axis2=-1).sum()


def test_points_without_pixels_count_with_their_covariance(walked):
    seen = without_pixels(walked[0])
    assert seen.given.all() and not seen.seen.any()
    x = seen.point + np.array([0.03, 0, 0])
    information, gradient = seen.normal(x, 1.0, np.full(x.shape[:2], 1e9))
    precision = np.linalg.inv(seen.cov + np.eye(3) * 0.002**2)
    np.testing.assert_allclose(information, precision, rtol=1e-6)
    np.testing.assert_allclose(gradient, precision @ [-0.03, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(seen.information(x, 1.0, seen.seen), precision, rtol=1e-6)


def test_one_step_from_nearby_finds_the_point_of_least_squares(walked, seen):
    xyz = walked[2]
    information, gradient = seen.normal(xyz, 1.0, np.full(xyz.shape[:2], 1e9))
    enough = seen.seen.sum(0) >= 2
    better = xyz[enough] + np.linalg.solve(information[enough], gradient[enough][..., None])[..., 0]
    before, after = (np.nansum(seen.residuals(x, 1.0) ** 2, axis=0)[enough]
                     for x in (xyz, np.where(enough[..., None], _filled(xyz, enough, better), xyz)))  # fmt: skip
    assert (after <= before + 1e-6).all() and after.mean() < 0.8 * before.mean()


def _filled(xyz, where, values):
    out = xyz.copy()
    out[where] = values
    return out


# --- errors of the calibration ---------------------------------------------------------------------------------------


def test_without_errors_of_the_calibration_nothing_is_in_common(seen, walked):
    assert not seen.view_covariances(walked[2], 1.0, seen.seen)[1].any()


def test_common_covariance_is_that_of_views_with_an_error(walked):
    """Against the spread of points triangulated by least squares from views moved as a whole."""
    poses, evidence, xyz = walked
    error = np.array([3.0, 1.0, 5.0, 2.0])
    seen = Observations2D.of(poses, replace(evidence, calibration_px=error))
    used = seen.seen
    found = seen.view_covariances(xyz, 1.0, used)[1]
    rng = np.random.default_rng(0)
    frame, joint = np.argwhere(used.all(0))[0]
    step = 1e-5
    J = np.stack([(seen.rig.project(xyz[frame, joint] + step * axis) - seen.rig.project(xyz[frame, joint])) / step
                  for axis in np.eye(3)], -1)  # fmt: skip
    A = (J / seen.noise_px[:, frame, joint, None, None]).reshape(-1, 3)
    off = error[:, None] * rng.normal(size=(20000, 4, 2)) / seen.noise_px[:, frame, joint, None]
    moved = off.reshape(20000, -1) @ np.linalg.pinv(A).T
    np.testing.assert_allclose(
        found[frame, joint], np.cov(moved.T), rtol=0.1, atol=0.05 * np.trace(found[frame, joint])
    )


def test_who_is_not_seen_has_the_error_of_when_they_were(walked):
    poses, evidence, xyz = walked
    seen = Observations2D.of(poses, replace(evidence, calibration_px=np.full(4, 2.0)))
    used = seen.seen.copy()
    used[:, 8:12, 4] = False
    used[:, :3, 5] = False
    used[:, :, 6] = False
    found = seen.view_covariances(xyz, 1.0, used)[1]
    for frame in range(8, 12):
        np.testing.assert_array_equal(found[frame, 4], found[7, 4])
    np.testing.assert_array_equal(found[0, 5], found[3, 5])
    others = np.delete(found, 6, axis=1).mean(1)
    np.testing.assert_allclose(found[:, 6], others)


def test_a_frame_that_was_not_looked_at_has_the_views_of_its_neighbours():
    poses, evidence = case(walk(7))
    evidence = replace(evidence, frame_step=3)
    observations = Observations2D.of(poses, evidence)
    assert observations.looked_at.tolist() == [True, False, False, True, False, False, True]
    views = np.array([4, 0, 0, 2, 0, 0, 5])[:, None]
    assert observations.with_skipped(views)[:, 0].tolist() == [4, 2, 2, 2, 2, 2, 5]
    late = replace(observations, first=1)  # frames 1 to 7: the last one has no frame after it
    assert late.looked_at.tolist() == [False, False, True, False, False, True, False]
    assert late.with_skipped(views)[:, 0].tolist() == [4, 0, 0, 0, 0, 0, 5]
