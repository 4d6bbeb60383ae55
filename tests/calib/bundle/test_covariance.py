"""How sure bundle adjustment is of what it found: its covariances are what happens when all is filmed again."""

from dataclasses import replace

import numpy as np
import pytest
from seen_boards import SMALL, arc_rig, in_place, problem_of, scattered, sightings, small_problem

from calib import bundle, geometry
from calib.bundle.equations import LENS, lens_numbers


def drawn_again(count, noise, spoil=None, **options):
    """Solutions of one small rig whose sightings are drawn anew each time."""
    rig, poses = arc_rig(2, 5), scattered(10, 3, spread_m=0.5)
    exact = sightings(rig, SMALL, in_place(SMALL, poses), 0.0)
    free = np.zeros((2, LENS), bool)
    free[:, [0, 4]] = True
    solutions = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        xy = exact.xy + rng.normal(0, noise, exact.xy.shape)
        xy = xy if spoil is None else xy + spoil(rng, xy.shape)
        seen = replace(exact, xy=xy, sigma=np.full(xy.shape[:-1], noise))
        problem = replace(problem_of(seen, rig, poses), lens_free=free, huber=1e9, **options)
        solutions.append(bundle.adjust(problem, tolerance=1e-6))
    return rig, solutions


def numbers_of(rig, solution):
    """The free numbers as steps from the truth: focal lengths, k1, and the second camera's pose."""
    off = solution.cam_from_world[1] @ geometry.invert(rig.cam_from_world[1])
    pose = [*geometry.vector_from_rotation(off[:3, :3]), *off[:3, 3]]
    now, true = (np.stack([lens_numbers(one) for one in part]) for part in (solution.lenses, [c.lens for c in rig]))
    first, second = (now - true)[:, [0, 4]]
    return np.array([*first, *pose, *second])


def test_the_covariance_is_what_happens_when_all_is_filmed_again():
    rig, solutions = drawn_again(100, 0.3)
    happened = np.array([numbers_of(rig, solution) for solution in solutions])
    said = np.sqrt(np.diagonal(solutions[0].covariance(scatter=False)))
    ratio = said / happened.std(0)
    assert np.all((ratio > 0.8) & (ratio < 1.25)), ratio
    assert np.abs(happened.mean(0) / happened.std(0)).max() < 0.4  # no bias to speak of
    correlation = solutions[0].covariance(scatter=False) / np.outer(said, said)
    assert np.abs(correlation - np.corrcoef(happened.T)).mean() < 0.1
    scattered_too = np.sqrt(np.mean([np.diagonal(solution.covariance()) for solution in solutions], 0))
    assert np.exp(np.log(scattered_too / happened.std(0)).mean()) == pytest.approx(1.0, abs=0.25)


def test_scatter_sees_errors_that_all_points_of_a_moment_share():
    """As of a camera out of step, or a picture blurred to one side: noise alone would promise too much."""
    rig, solutions = drawn_again(60, 0.3, lambda rng, shape: rng.normal(0, 0.6, (*shape[:2], 1, 2)))
    happened = np.array([numbers_of(rig, solution) for solution in solutions]).std(0)
    plain = np.sqrt(np.diagonal(solutions[0].covariance(scatter=False)))
    scatter = np.sqrt(np.mean([np.diagonal(solution.covariance()) for solution in solutions], 0))
    assert np.exp(np.log(plain / happened).mean()) < 0.6
    assert 0.75 < np.exp(np.log(scatter / happened).mean()) < 1.3


def test_what_the_moments_tell_adds_up_to_what_is_known():
    problem = small_problem()
    information = np.tile(np.diag([1e-2] * 4 + [10.0] * 12), (2, 1, 1))
    mean = np.stack([lens_numbers(lens) for lens in problem.lenses])
    solution = bundle.adjust(replace(problem, prior_mean=mean, prior_information=information, huber=1e9))
    again = replace(
        solution.problem,
        lenses=solution.lenses,
        cam_from_world=solution.cam_from_world,
        world_from_body=solution.world_from_body,
    )
    total = bundle.information_by_moment(again).sum(0)
    for view, free in enumerate(solution.free):
        lens = free[(free >= 6)] - 6
        at = np.arange(solution.columns[view].start, solution.columns[view].stop)[free >= 6]
        total[np.ix_(at, at)] += information[view][np.ix_(lens, lens)]
    np.testing.assert_allclose(total, solution.information, rtol=1e-6, atol=1e-6 * np.abs(solution.information).max())


def test_noise_makes_a_camera_count_less():
    problem = small_problem()
    solution = bundle.adjust(replace(problem, noise=np.array([1.0, 3.0])))
    plain = bundle.adjust(problem)
    second = slice(solution.columns[1].start, solution.columns[1].stop)
    said = [np.diagonal(one.covariance(scatter=False))[second] for one in (solution, plain)]
    assert np.all(said[0] > said[1])
