"""Robust points against a slow reference with the exact projection, for every lens and any share of wrong pixels."""

import numpy as np
import pytest
from ring_rigs import DISTORTION, make_mixed_rig, make_rig

from calib import Rig
from calib.distortion import padded
from calib.geometry import least_eigenvalue, solve_symmetric
from calib.robust_triangulation import RESIDUAL_GATE, pair_points, triangulate_robust

NOISE_PX = 2.0
WITHIN = (3.5059, 7.8147)  # squared Mahalanobis distances that hold 68 and 95 % in three dimensions
LENSES = {
    **{model: lambda count, model=model: make_rig(count, model) for model in DISTORTION},
    "plain": lambda count: make_rig(count, distortion=[]),
    "strong": lambda count: make_rig(count, distortion=[-0.35, 0.12, 0.002, -0.001, -0.02]),
    "mixed": lambda count: make_mixed_rig(),
}


def room(count, seed=0):
    """Points (N, 3) that every camera of the rings sees."""
    return np.random.default_rng(seed).uniform((-0.8, -0.8, 0.2), (0.8, 0.8, 1.8), (count, 3))


def looked(rig, points, seed=1):
    """Pixels (C, N, 2) with noise."""
    xy = rig.project(points)
    return xy + np.random.default_rng(seed).normal(0, NOISE_PX, xy.shape)


def reference(rig, xy, noise, start):
    """The point of least robust cost, with the exact projection, from a start near it."""
    from scipy.optimize import least_squares

    scale = 1.4 * RESIDUAL_GATE

    def root(x):  # of the kernel of Geman and McClure, view by view
        square = (((rig.project(x) - xy) / noise[:, None]) ** 2).sum(-1)
        return np.sqrt(square / (1 + square / scale**2))[np.isfinite(square)]

    return least_squares(root, start, xtol=1e-14, ftol=1e-14, gtol=1e-14).x


@pytest.mark.parametrize("cameras", [2, 4])
@pytest.mark.parametrize("lens", LENSES)
def test_points_are_those_of_the_slow_reference(lens, cameras):
    rig = LENSES[lens](4)
    rig = rig.select(rig.names[:cameras])
    points = room(8)
    xy, noise = looked(rig, points), np.random.default_rng(2).uniform(1, 3, (cameras, 8))
    found = triangulate_robust(rig, xy, noise)
    for at in np.flatnonzero(found.used.all(0)):
        slow = reference(rig, xy[:, at], noise[:, at], points[at])
        tolerance = 0.05 * np.sqrt(np.trace(found.cov[at]))  # a twentieth of what the noise moves
        np.testing.assert_allclose(found.xyz[at], slow, atol=max(tolerance, 2e-4))
    assert found.used.all(0).sum() >= 6


@pytest.mark.parametrize("lens", LENSES)
def test_pixels_without_noise_give_the_points(lens):
    rig, points = LENSES[lens](4), room(50)
    xy = rig.project(points)
    found = triangulate_robust(rig, xy, NOISE_PX)
    np.testing.assert_allclose(found.xyz, points, atol=1e-6)
    assert found.used.all() and found.residual_px.max() < 1e-3
    np.testing.assert_allclose(found.residual_px, np.linalg.norm(rig.project(found.xyz) - xy, axis=-1), atol=1e-3)


@pytest.mark.parametrize(("cameras", "wrong"), [(3, 1), (4, 1), (5, 2), (8, 3), (12, 5)])
def test_wrong_views_are_left_out(cameras, wrong):
    """Of all views so many are 60 to 200 px off, each its own way."""
    rig, points, rng = make_rig(cameras), room(300), np.random.default_rng(3)
    xy = looked(rig, points)
    bad = np.argsort(rng.random((cameras, 300)), axis=0) < wrong
    angle = rng.uniform(0, 2 * np.pi, bad.shape)
    far = rng.uniform(60, 200, bad.shape)[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    found = triangulate_robust(rig, np.where(bad[..., None], xy + far, xy), NOISE_PX)
    off = np.linalg.norm(found.xyz - points, axis=-1)
    assert (off < 0.05).mean() > (0.9 if cameras == 3 else 0.97)
    assert (found.used & bad)[:, off < 0.05].mean() < 0.01


@pytest.mark.parametrize("cameras", [3, 8, 12, 16])
def test_which_views_see_a_point_does_not_matter(cameras):
    """Three views see a point, one of them 100 px off, however many there are: every pair of the three is tried."""
    rig, points, rng = make_rig(cameras), room(400), np.random.default_rng(4)
    xy = looked(rig, points)
    rank = np.argsort(rng.random((cameras, 400)), axis=0)
    xy[rank >= 3] = np.nan
    xy[rank == 0] += 100 / np.sqrt(2) * rng.choice([-1, 1], ((rank == 0).sum(), 2))
    found = triangulate_robust(rig, xy, NOISE_PX)
    assert np.isfinite(found.xyz).all(-1).mean() > 0.98
    assert (np.linalg.norm(found.xyz - points, axis=-1) < 0.1).mean() > 0.9


@pytest.mark.parametrize("cameras", [2, 3, 4, 5, 8])
def test_covariance_is_what_noise_makes(cameras):
    rig, points = make_rig(cameras if cameras != 2 else 3), room(3000)
    rig = rig.select(rig.names[:cameras])
    found = triangulate_robust(rig, looked(rig, points), NOISE_PX)
    off = found.xyz - points
    known = np.isfinite(off).all(-1)
    square = np.einsum("ni,ni->n", off[known], np.linalg.solve(found.cov[known], off[known][..., None])[..., 0])
    assert known.mean() > 0.99
    assert 0.63 <= (square < WITHIN[0]).mean() <= 0.73 and 0.90 <= (square < WITHIN[1]).mean() <= 0.98
    np.testing.assert_allclose(found.cov[known], np.swapaxes(found.cov[known], -1, -2), atol=1e-12)


def test_more_error_than_stated_widens_the_covariance():
    rig, points = make_rig(8), room(500)
    exact = rig.project(points)
    twice = exact + np.random.default_rng(5).normal(0, 2 * NOISE_PX, exact.shape)
    sizes = [np.trace(triangulate_robust(rig, xy, NOISE_PX).cov, axis1=1, axis2=2) for xy in (exact, twice)]
    assert np.nanmedian(sizes[1]) > 1.5 * np.nanmedian(sizes[0])


def test_one_view_or_none_make_no_point():
    rig, points = make_rig(4), room(6)
    xy = looked(rig, points)
    xy[1:, 0], xy[:, 1], xy[2:, 2] = np.nan, np.nan, np.nan
    noise = np.full((4, 6), NOISE_PX)
    noise[1:, 3], noise[:, 4] = np.nan, 0
    found = triangulate_robust(rig, xy, noise)
    np.testing.assert_array_equal(np.isfinite(found.xyz).all(-1), [0, 0, 1, 0, 0, 1])
    np.testing.assert_array_equal(found.used.sum(0), [0, 0, 2, 0, 0, 4])
    assert np.isnan(found.cov[[0, 1, 3, 4]]).all() and np.isnan(found.residual_px[1:, 0]).all()


def test_rays_that_are_nearly_one_make_no_sure_point():
    camera = make_rig(1)[0]
    moved = np.array(camera.cam_from_world)
    moved[0, 3] += 0.002
    twin = type(camera)(type(camera.lens)("twin", camera.size, camera.lens.K, camera.lens.distortion), moved)
    rig, points = Rig((camera, twin)), room(20)
    found = triangulate_robust(rig, looked(rig, points), NOISE_PX)
    known = np.isfinite(found.xyz).all(-1)
    assert (np.sqrt(np.trace(found.cov[known], axis1=1, axis2=2)) > 0.5).all()


def test_any_shape_and_no_points():
    rig, points = make_rig(4), room(24)
    xy = looked(rig, points)
    flat, deep = triangulate_robust(rig, xy, 2.0), triangulate_robust(rig, xy.reshape(4, 2, 3, 4, 2), 2.0)
    np.testing.assert_array_equal(deep.xyz.reshape(-1, 3), flat.xyz)
    np.testing.assert_array_equal(deep.cov.reshape(-1, 3, 3), flat.cov)
    assert deep.used.shape == deep.residual_px.shape == (4, 2, 3, 4)
    assert triangulate_robust(rig, np.zeros((4, 0, 2)), np.zeros((4, 0))).xyz.shape == (0, 3)
    alone = triangulate_robust(make_rig(1), xy[:1], 2.0)
    assert np.isnan(alone.xyz).all() and not alone.used.any()


@pytest.mark.parametrize("lens", ["pinhole", "fisheye"])
def test_pairs_make_the_points_that_they_agree_on(lens):
    rig, points = LENSES[lens](4), room(40)
    xy = rig.project(points)
    xy[0, :10] += 150
    xy[3, 10:20] = np.nan
    made = pair_points(rig, xy, np.full((4, 40), NOISE_PX))
    assert made.shape == (40, 6, 3)
    there = np.isfinite(made).all(-1)
    assert there[20:].all() and (there[10:20].sum(1) == 3).all() and (there[:10].sum(1) >= 3).all()
    np.testing.assert_allclose(
        made[10:][there[10:]], np.broadcast_to(points[10:, None], (30, 6, 3))[there[10:]], atol=1e-5
    )
    near = (np.linalg.norm(made[:10] - points[:10, None], axis=-1) < 1e-4).sum(1)
    assert (near == 3).all(), "the pairs without the wrong view"
    assert pair_points(make_rig(1), xy[:1], np.full((1, 40), NOISE_PX)).shape == (40, 0, 3)


def test_small_matrices_are_solved_as_large_ones():
    rng = np.random.default_rng(6)
    half = rng.normal(size=(200, 3, 3))
    half[:20, 2] = 0
    matrix = half @ np.swapaxes(half, -1, -2)
    six = [matrix[:, i, j] for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))]
    np.testing.assert_allclose(least_eigenvalue(*six), np.linalg.eigvalsh(matrix)[:, 0], atol=1e-6)
    np.testing.assert_allclose(least_eigenvalue(*(np.eye(3)[i, j : j + 1] for i, j in
                                                  ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)))), 1)  # fmt: skip
    right = rng.normal(size=(200, 3))
    firm = np.linalg.cond(matrix) < 1e6
    solved = solve_symmetric(*(number[firm] for number in six), right[firm])
    np.testing.assert_allclose(np.einsum("nij,nj->ni", matrix[firm], solved), right[firm], rtol=1e-6, atol=1e-6)


def test_the_short_formula_of_a_lens_is_the_long_one():
    from calib.distortion import _brown, _polynomial

    rng = np.random.default_rng(7)
    x, y = rng.uniform(-0.7, 0.7, (2, 100))
    k = padded(rng.normal(0, 0.1, 5), "pinhole")
    long = np.array(k)
    long[5] = 1e-300  # takes the long way, and changes nothing
    for short, full in zip(_brown(x, y, k), _polynomial(x, y, long), strict=True):
        np.testing.assert_allclose(short, full, rtol=1e-12, atol=1e-14)
