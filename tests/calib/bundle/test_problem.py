"""A problem continues from its solution, and covariances are inverses where the information determines something."""

from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seen_boards import small_problem

from calib import bundle
from calib.bundle.problem import Problem, Solution


@cache
def solution():
    """A small problem solved once; tests change parts of copies only."""
    return bundle.adjust(small_problem(), tolerance=1e-12)


def informed(information, scores=None) -> Solution:
    """The solution with another information matrix and other scores."""
    information = np.asarray(information, np.float64)
    scores = np.zeros((0, len(information))) if scores is None else scores
    return replace(solution(), information=information, scores=scores)


def random_information(seed, size=6, rank=6):
    """A symmetric matrix (size, size) of a given rank whose unknowns have very different units."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, rank)) * 10.0 ** rng.integers(-3, 4, (size, 1))
    return root @ root.T


@given(st.integers(0, 10**6))
@settings(max_examples=12, derandomize=True)
def test_the_covariance_is_the_inverse_whatever_the_units(seed):
    information = random_information(seed) + np.diag(1e-3 * np.diagonal(random_information(seed)))
    covariance = informed(information).covariance(scatter=False)
    np.testing.assert_allclose(covariance, covariance.T, rtol=1e-9)
    scale = np.sqrt(np.diagonal(information))
    product = (information / scale[:, None]) @ (covariance * scale)
    np.testing.assert_allclose(product, np.eye(6), atol=1e-6)


@given(st.integers(0, 10**6), st.integers(1, 5))
@settings(max_examples=12, derandomize=True)
def test_the_covariance_is_a_pseudo_inverse_where_directions_are_undetermined(seed, rank):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(6, rank))
    information = root @ root.T
    scale = np.sqrt(np.diagonal(information))
    covariance = informed(information).covariance(scatter=False)
    assert np.linalg.matrix_rank(covariance / np.outer(1 / scale, 1 / scale), tol=1e-8, hermitian=True) == rank
    np.testing.assert_allclose(information @ covariance @ information, information, atol=1e-6 * scale.max() ** 2)


def test_an_unknown_that_nothing_determines_has_no_variance():
    covariance = informed(np.diag([4.0, 0.0, 25.0])).covariance(scatter=False)
    np.testing.assert_allclose(covariance, np.diag([0.25, 0.0, 0.04]), atol=1e-15)


def test_what_is_not_finite_or_not_there_has_no_covariance():
    np.testing.assert_array_equal(informed(np.full((3, 3), np.nan)).covariance(), np.zeros((3, 3)))
    assert informed(np.zeros((0, 0))).covariance().shape == (0, 0)


def test_scatter_that_is_as_large_as_the_model_s_gives_the_same_covariance():
    information = random_information(4) + np.diag(np.diagonal(random_information(4)))
    scores = np.random.default_rng(0).normal(size=(4000, 6)) @ np.linalg.cholesky(information / 4000).T
    plain, scattered = (informed(information, scores).covariance(scatter=scatter) for scatter in (False, True))
    scale = np.sqrt(np.diagonal(plain))
    np.testing.assert_allclose(scattered / np.outer(scale, scale), plain / np.outer(scale, scale), atol=0.08)


def test_scatter_of_twice_the_size_gives_four_times_the_variance():
    information = random_information(5) + np.diag(np.diagonal(random_information(5)))
    scores = np.random.default_rng(0).normal(size=(40, 6))
    once, twice = (informed(information, factor * scores).covariance() for factor in (1, 2))
    np.testing.assert_allclose(twice, 4 * once)


def test_scatter_of_few_moments_is_corrected_upwards():
    """Of T moments and D unknowns: T / (T - 1) for their mean, 1 + D / (6 T) for what the fit has taken from them."""
    scores = np.array([[1.0, 0], [-1, 0], [0, 2], [0, -2]])
    covariance = informed(np.diag([2.0, 8.0]), scores).covariance()
    expected = np.diag([2 / 2.0**2, 8 / 8.0**2]) * (4 / 3) * (1 + 2 / 24)
    np.testing.assert_allclose(covariance, expected, atol=1e-15)


def test_moments_without_observations_and_a_single_moment_tell_no_scatter():
    information = np.diag([2.0, 8.0])
    scores = np.array([[1.0, 0], [-1, 1], [0.5, -1]])
    padded = np.concatenate([scores, np.zeros((50, 2))])
    np.testing.assert_allclose(informed(information, padded).covariance(), informed(information, scores).covariance())
    np.testing.assert_allclose(informed(information, scores[:1]).covariance(), np.diag([0.5, 0.125]))


def test_a_solution_continues_where_it_ended():
    again = bundle.adjust(solution().continued(), tolerance=1e-9)
    assert again.iterations <= 2 and again.converged
    assert again.cost == pytest.approx(solution().cost, rel=1e-9)
    np.testing.assert_allclose(again.cam_from_world, solution().cam_from_world, atol=1e-7)


def test_a_continued_problem_keeps_all_but_the_estimates():
    given = replace(small_problem(), noise=np.array([1.0, 2.0]), huber=3.0)
    ended = bundle.adjust(given)
    continued = ended.continued()
    estimates = {
        "lenses", "cam_from_world", "world_from_body", "body_from_piece", "points", "free_points", "offset_s",
    }  # fmt: skip
    for field in fields(Problem):
        source = ended if field.name in estimates else given
        assert getattr(continued, field.name) is getattr(source, field.name), field.name


def test_the_kernel_is_half_the_square_up_to_its_width_and_linear_beyond():
    """One observation far from where it belongs, all else exact and held: the cost is Huber's of its distance."""
    problem = small_problem()
    exact = replace(problem, lens_free=np.zeros_like(problem.lens_free), poses_free=np.zeros(2, bool))
    ended = bundle.adjust(exact, iterations=1)
    projected = ended.problem.observations.xy + ended.residual
    seen = replace(ended.problem.observations, sigma=np.ones(ended.problem.observations.sigma.shape))
    for off, cost in ((1.0, 0.5), (2.5, 3.125), (10.0, 2.5 * 10 - 3.125)):
        xy = np.array(projected)
        xy[0, 0, 0, 0] += off
        one = replace(ended.continued(), observations=replace(seen, xy=xy), bodies_free=False)
        assert bundle.adjust(one, iterations=1).cost == pytest.approx(cost, rel=1e-6)
