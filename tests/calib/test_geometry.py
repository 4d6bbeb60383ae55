"""Axioms of the geometry, over shapes, with OpenCV and finite differences as witnesses."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from calib import geometry as g

angles = hnp.arrays(float, st.sampled_from([(3,), (4, 3), (2, 5, 3), (0, 3)]), elements=st.floats(-1.8, 1.8))


def poses(rng, *lead):
    return g.pose(g.rotation_from_vector(rng.normal(size=(*lead, 3))), rng.normal(size=(*lead, 3)))


@given(angles)
def test_rotation_vectors_round_trip_and_are_rotations(vector):
    R = g.rotation_from_vector(vector)
    np.testing.assert_allclose(R @ np.swapaxes(R, -1, -2), np.broadcast_to(np.eye(3), R.shape), atol=1e-12)
    if vector.size:
        np.testing.assert_allclose(np.linalg.det(R), 1.0, atol=1e-12)
    short = np.linalg.norm(vector, axis=-1) < np.pi - 1e-6
    np.testing.assert_allclose(g.vector_from_rotation(R)[short], vector[short], atol=1e-9)


@pytest.mark.parametrize("vector", [(0, 0, 0), (1e-9, 0, 0), (1e-5, -1e-5, 0), (0, np.pi, 0), (2.2, 2.2, -0.3)])
def test_rotation_vectors_agree_with_opencv(vector):
    np.testing.assert_allclose(g.rotation_from_vector(vector), cv2.Rodrigues(np.array(vector, float))[0], atol=1e-12)
    R = g.rotation_from_vector(vector)
    np.testing.assert_allclose(g.rotation_from_vector(g.vector_from_rotation(R)), R, atol=1e-12)


@pytest.mark.parametrize("lead", [(), (4,), (2, 3), (0,)])
def test_inverse_and_composition(lead):
    rng = np.random.default_rng(0)
    a_from_b, b_from_c, points = poses(rng, *lead), poses(rng, *lead), rng.normal(size=(*lead, 3))
    np.testing.assert_allclose(g.transform(g.invert(a_from_b), g.transform(a_from_b, points)), points, atol=1e-12)
    twice = g.transform(a_from_b, g.transform(b_from_c, points))
    np.testing.assert_allclose(g.transform(a_from_b @ b_from_c, points), twice, atol=1e-12)


def test_pixels_and_normalise_are_inverse_with_skew():
    K = np.array([[800.0, 3.0, 320.5], [0, 790.0, 241.0], [0, 0, 1]])
    xy = np.random.default_rng(0).uniform(0, 640, (7, 2))
    np.testing.assert_allclose(g.pixels(g.normalise(xy, K), K), xy, atol=1e-10)


def test_projection_is_nan_at_and_behind_the_camera(rig):
    camera = rig[0]
    world_from_cam = g.invert(camera.cam_from_world)
    ahead = g.transform(world_from_cam, [[0, 0, 2.0], [0, 0, 0.0], [0.1, 0, -1.0], [0, np.nan, 1]])
    xy = camera.project(ahead)
    np.testing.assert_allclose(xy[0], camera.lens.K[:2, 2], atol=1e-9)
    assert np.isnan(xy[1:]).all()


def test_projection_does_not_fold_back_into_the_picture():
    K, k, eye = np.array([[900.0, 0, 640], [0, 900, 360], [0, 0, 1]]), [-0.33, 0, 0, 0], np.eye(4)
    outside = np.array([1.5, 0.0, 1.0])  # 56 degrees off the axis, the picture ends at 35
    naive = g.pixels(g.distort(outside[:2], k, "pinhole"), K)
    assert 0 < naive[0] < 1280
    assert np.isnan(g.project(outside, K, eye, k)).all()
    assert np.isnan(g.project_with_jacobian(outside, K, eye, k)[0]).all()
    assert np.isfinite(g.project([0.9, 0.0, 1.0], K, eye, k)).all()


def test_jacobian_is_the_derivative(mixed_rig, points):
    xy, slope = mixed_rig.project_with_jacobian(points)
    np.testing.assert_allclose(xy, mixed_rig.project(points), atol=1e-9)
    step = 1e-6
    numeric = np.stack(
        [(mixed_rig.project(points + d) - mixed_rig.project(points - d)) / (2 * step) for d in step * np.eye(3)], -1
    )
    np.testing.assert_allclose(slope, numeric, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("lead", [(), (6,), (3, 4), (0,)])
def test_triangulation_is_exact_without_noise(mixed_rig, lead):
    X = np.random.default_rng(1).uniform((-0.8, -0.8, 0.2), (0.8, 0.8, 1.8), (*lead, 3))
    found = mixed_rig.triangulate(mixed_rig.project(X))
    assert found.shape == X.shape
    np.testing.assert_allclose(found, X, atol=1e-8)


def test_triangulation_needs_two_views_that_cross(rig, points):
    xy = rig.project(points)
    for unseen in (1, 2, 3):
        xy[unseen] = np.nan
    assert np.isnan(rig.triangulate(xy)).all()
    xy = rig.project(points)
    assert np.isnan(rig.triangulate(xy, np.array([1.0, 0, 0, 0])[:, None] * np.ones(60))).all()
    assert np.isnan(rig.triangulate(np.full((4, 3, 2), np.nan))).all()
    beside = rig.select(["cam_1"])[0]
    apart = g.pose(np.eye(3), [0.005, 0, 0]) @ beside.cam_from_world  # 5 mm at 4 m: a fourteenth of a degree
    flat = beside.lens.undistort(beside.project(points))
    both = np.stack([flat, flat])
    assert np.isnan(g.triangulate(both, None, np.stack([beside.cam_from_world, apart]))).all()


def test_a_point_behind_a_camera_is_none(rig):
    """Rays that cross behind: seen left of the middle by the left camera and right of it by the right one."""
    left, right = g.pose(np.eye(3), [0.0, 0, 0]), g.pose(np.eye(3), [-1.0, 0, 0])
    diverging = np.array([[[-0.2, 0.0]], [[0.2, 0.0]]])
    assert np.isnan(g.triangulate(diverging, None, np.stack([left, right]))).all()
    assert np.isfinite(g.triangulate(-diverging, None, np.stack([left, right]))).all()


def test_triangulation_survives_wild_weights(rig, points):
    xy = rig.project(points)
    weight = np.ones((4, 60))
    weight[0], weight[1, :5], weight[2, :5] = 1e-300, np.nan, np.inf
    np.testing.assert_allclose(rig.triangulate(xy, weight)[5:], points[5:], atol=1e-8)


def test_triangulation_is_close_to_the_least_pixel_error(rig):
    """Against Gauss-Newton on the exact pixel error, near and far cameras together."""
    rng = np.random.default_rng(5)
    X = rng.uniform((-2.5, -2.5, 0.2), (2.5, 2.5, 1.8), (300, 3))
    xy = rig.project(X) + rng.normal(size=(4, 300, 2))
    whole = np.isfinite(xy).all((0, 2))
    X, xy = X[whole], xy[:, whole]
    linear = rig.triangulate(xy)
    best = linear.copy()
    for _ in range(5):
        value, slope = rig.project_with_jacobian(best)
        J = np.moveaxis(slope, 0, 1).reshape(len(best), 8, 3)
        best -= (np.linalg.pinv(J) @ np.moveaxis(value - xy, 0, 1).reshape(len(best), 8, 1))[..., 0]
    error = [np.sqrt(np.mean(np.sum((found - X) ** 2, -1))) for found in (linear, best)]
    assert error[0] < 1.03 * error[1]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.booleans())
def test_similarity_recovers(seed, scale):
    rng = np.random.default_rng(seed)
    factor = rng.uniform(0.2, 5) if scale else 1.0
    R, t, source = g.rotation_from_vector(rng.normal(size=3)), rng.normal(size=3), rng.normal(size=(8, 3))
    target = factor * source @ R.T + t
    source[2] = np.nan
    weight = rng.uniform(0.1, 1, 8)
    weight[3], target[3] = 0, 99
    found = g.similarity(source, target, weight, scale=scale)
    for one, true in zip(found, (factor, R, t), strict=True):
        np.testing.assert_allclose(one, true, atol=1e-9)


def test_similarity_never_mirrors():
    source = np.random.default_rng(0).normal(size=(10, 3))
    _, R, _ = g.similarity(source, source * [1, 1, -1])
    assert np.linalg.det(R) == pytest.approx(1)
    flat = source * [1, 1, 0]
    scale, R, _ = g.similarity(flat, flat)
    np.testing.assert_allclose(R, np.eye(3), atol=1e-9)
    assert np.linalg.det(R) == pytest.approx(1) and scale == pytest.approx(1)
    assert np.isnan(g.similarity(source[:2], source[:2])[0])
