"""Evidence of rays against its closed forms, worked out by hand or by another way of computing them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_take import COCO, body

from mvcap.association.ray_affinity import (
    ALIKE,
    ELSEWHERE_M,
    WRONG,
    BodyRays,
    body_evidence,
    body_total,
    ray_distances,
    size_evidence,
)
from mvcap.structures.anthropometry import body_scale

seeds = st.integers(0, 2**32 - 1)
PAIR = np.array([0]), np.array([1])


def rays(origin, direction, sigma=0.01):
    """One joint's rays of views, each its own."""
    origin, direction = np.asarray(origin, float), np.asarray(direction, float)
    direction = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    count = len(origin)
    return BodyRays(
        np.arange(count), origin, direction[:, None], np.full((count, 1), sigma**2), np.ones((count, 1), bool)
    )


def density(off, variance):
    return np.exp(-0.5 * off**2 / variance) / np.sqrt(2 * np.pi * variance)


@pytest.mark.parametrize("gap", [0.0, 0.03, 0.2, 3.0])
@pytest.mark.parametrize("sigma", [0.002, 0.01])
def test_two_rays_at_a_right_angle_that_pass_at_a_gap(gap, sigma):
    """Along x from (-4, 0, 0) and along y from (0, -3, gap): depths 4 and 3, apart by the gap."""
    met = ray_distances(rays([(-4, 0, 0), (0, -3, gap)], [(1, 0, 0), (0, 1, 0)], sigma), *PAIR)
    variance = sigma**2 * (4**2 + 3**2)
    assert met.square[0, 0] == pytest.approx(gap**2, abs=1e-12)
    assert met.variance[0, 0] == pytest.approx(variance) and met.reach2[0, 0] == pytest.approx(25)
    np.testing.assert_allclose(met.middle[0, 0], [0, 0, gap / 2], atol=1e-12)
    assert met.sine2[0, 0] == pytest.approx(1)
    expected = np.log((1 - WRONG) * ELSEWHERE_M * density(gap, variance) + WRONG)
    assert met.evidence()[0, 0] == pytest.approx(expected)
    wider = np.log((1 - WRONG) * ELSEWHERE_M * density(gap, variance + 0.005**2 * 25) + WRONG)
    assert met.evidence(0.005**2)[0, 0] == pytest.approx(wider)


@given(seeds)
@settings(derandomize=True, max_examples=40)
def test_the_nearest_points_are_those_of_a_least_squares(seed):
    rng = np.random.default_rng(seed)
    origin, target = rng.uniform(-5, 5, (2, 3)), rng.uniform(-1, 1, (2, 3))
    both = rays(origin, target - origin)
    met = ray_distances(both, *PAIR)
    a, b = both.direction[:, 0]
    depth, (square,), *_ = np.linalg.lstsq(np.stack([a, -b], 1), origin[1] - origin[0], rcond=None)
    assert met.square[0, 0] == pytest.approx(square, rel=1e-6, abs=1e-12)
    if (depth > 0).all():
        np.testing.assert_allclose(
            met.middle[0, 0], (origin[0] + depth[0] * a + origin[1] + depth[1] * b) / 2, atol=1e-6
        )
        assert met.variance[0, 0] == pytest.approx(0.01**2 * (depth**2).sum(), rel=1e-6)
    else:
        assert met.variance[0, 0] == np.inf and met.evidence()[0, 0] == pytest.approx(np.log(WRONG))
    assert met.sine2[0, 0] == pytest.approx(np.linalg.norm(np.cross(a, b)) ** 2, abs=1e-9)


def test_parallel_rays_give_finite_and_little_evidence():
    met = ray_distances(rays([(0, 0, 0), (0, 0.5, 0)], [(1, 0, 0), (1, 0, 0)]), *PAIR)
    assert np.isfinite(met.evidence()).all() and met.evidence()[0, 0] < 0.1


@pytest.mark.parametrize("across", [0.0, 0.04, 1.0])
def test_a_body_off_a_ray_by_so_much(across):
    """A joint 5 m down the ray and aside, its place known to 3 cm: two dimensions across the ray count."""
    one = rays([(0, 0, 0)], [(1, 0, 0)], 0.004)
    xyz, cov = np.array([[[5.0, across, 0.0]]]), np.diag([9.0, 0.03**2, 0.03**2])[None, None]
    variance = (0.004 * 5) ** 2 + 0.03**2
    expected = np.log(
        (1 - WRONG) * (ELSEWHERE_M * density(across, variance)) * ELSEWHERE_M * density(0, variance) + WRONG
    )
    assert body_evidence(one, xyz, cov, np.ones((1, 1), bool))[0, 0, 0] == pytest.approx(expected)
    behind = body_evidence(one, -xyz, cov, np.ones((1, 1), bool))[0, 0, 0]
    assert behind == pytest.approx(np.log(WRONG))
    assert np.isnan(body_evidence(one, xyz, cov, np.zeros((1, 1), bool))[0, 0, 0])


@given(seeds, st.integers(1, 20))
@settings(derandomize=True, max_examples=40)
def test_joints_of_a_body_count_as_errors_alike_do(seed, count):
    """The mean of n numbers that correlate by rho has the variance of n / (1 + (n - 1) rho) independent ones."""
    rng = np.random.default_rng(seed)
    nats = rng.normal(0, 3, 25)
    nats[rng.permutation(25)[count:]] = np.nan
    shared = np.full((count, count), ALIKE) + (1 - ALIKE) * np.eye(count)
    effective = count**2 / shared.sum()
    assert body_total(nats) == pytest.approx(np.nansum(nats) / count * effective)
    assert body_total(np.full(5, np.nan)) == 0


def test_two_rows_of_one_joint_are_one_joint():
    assert body_total(np.array([3.0])) == 3.0
    assert body_total(np.full(1000, 1.0)) == pytest.approx(1 / ALIKE, rel=0.01)


def body_pair(scale, sigma=0.002):
    """Rows of two views of a typical body of a size."""
    xyz = body(0.0, (0.0, 0.0, 1.0, 0.3, 0.8))
    xyz = (xyz - xyz.mean(0)) * scale / body_scale(COCO, xyz) + [0, 0, 1]
    origin = np.array([[-5.0, 0, 2], [0, -5.0, 2]])
    direction = xyz - origin[:, None]
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    shape = (2, len(COCO))
    return BodyRays(np.arange(2), origin, direction, np.full(shape, sigma**2), np.ones(shape, bool))


def test_size_is_evidence_for_human_bodies_and_against_others():
    adult, child, giant, doll = (
        size_evidence(ray_distances(body_pair(scale), *PAIR), COCO)[0] for scale in (1.0, 0.75, 2.5, 0.2)
    )
    assert adult > 0.5 and adult > child > giant and giant == pytest.approx(np.log(0.05), abs=0.1)
    assert doll == pytest.approx(np.log(0.05), abs=0.1)
    vague = size_evidence(ray_distances(body_pair(2.5, 0.5), *PAIR), COCO)[0]
    assert vague == 0, "an uncertain size is no evidence"
    blind = body_pair(1.0)
    blind = BodyRays(blind.view, blind.origin, blind.direction, blind.variance, blind.seen & False)
    assert size_evidence(ray_distances(blind, *PAIR), COCO)[0] == 0
