"""Rounds of bundle adjustment: outliers and false detections are left out by name, and each camera's noise measured."""

from dataclasses import replace

import numpy as np
import pytest
from seen_boards import SMALL, arc_rig, in_place, problem_of, scattered, sightings

from calib import bundle
from calib.quality.uncertainty import rig_of
from calib.solving.reweighting import solve_reweighted

RIG = arc_rig(3, 6)
POSES = scattered(12, 4, spread_m=0.4, turned=0.3)


def seen(noise_px=0.1):
    return sightings(RIG, SMALL, in_place(SMALL, POSES), noise_px, seed=1)


def problem(observations):
    return problem_of(observations, RIG, POSES, free=None, seed=2)


def test_good_observations_are_all_used():
    solution, refused, findings = solve_reweighted(problem(seen()))
    assert refused == [] and findings == [] and solution.converged
    assert solution.problem.used.sum() >= seen().seen.sum() - 1
    np.testing.assert_allclose(solution.problem.noise, 1.0, atol=0.25)
    np.testing.assert_allclose(rig_of(solution).positions, RIG.positions, atol=3e-3)


def test_single_outliers_are_left_out_and_nothing_else_is():
    rng = np.random.default_rng(3)
    wrong = rng.random(seen().sigma.shape) < 0.04
    xy = seen().xy + wrong[..., None] * rng.choice([-1, 1], seen().xy.shape) * rng.uniform(3, 12, seen().xy.shape)
    solution, refused, _ = solve_reweighted(problem(replace(seen(), xy=xy)))
    assert refused == []
    used, known = solution.problem.used, seen().seen
    assert wrong.sum() > 10 and not used[wrong].any() and used[~wrong & known].mean() > 0.99
    clean = solve_reweighted(problem(seen()))[0]
    np.testing.assert_allclose(rig_of(solution).positions, rig_of(clean).positions, atol=2e-3)


def test_a_false_detection_is_refused_by_view_and_moment():
    xy = np.array(seen().xy)
    xy[1, 5] += [60.0, -35.0]  # the whole board elsewhere than the others see it
    solution, refused, _ = solve_reweighted(problem(replace(seen(), xy=xy)))
    assert [(one.view, one.moment) for one in refused] == [("cam02", seen().moments[5])]
    assert not solution.problem.used[1, 5].any()
    assert solution.problem.used[[0, 2], 5].all(), "the views that are right are kept"


def test_of_several_false_detections_each_is_named():
    xy = np.array(seen().xy)
    for view, moment in ((0, 2), (1, 5), (2, 9)):
        xy[view, moment] += [60.0, -35.0]
    _, refused, _ = solve_reweighted(problem(replace(seen(), xy=xy)))
    assert {(one.view, one.moment) for one in refused} == {
        ("cam01", seen().moments[2]), ("cam02", seen().moments[5]), ("cam03", seen().moments[9]),
    }  # fmt: skip


@pytest.mark.parametrize("factor", [0.25, 4.0])
def test_the_noise_of_a_camera_whose_detector_is_wrong_about_it_is_measured(factor):
    sigma = seen().sigma * np.array([1.0, 1.0, factor])[:, None, None]
    solution, refused, _ = solve_reweighted(problem(replace(seen(), sigma=sigma)))
    np.testing.assert_allclose(solution.problem.noise, [1, 1, 1 / factor], rtol=0.3)
    assert refused == [] and solution.problem.used.mean() > 0.99


def test_observations_without_noise_are_refused_nowhere():
    solution, refused, _ = solve_reweighted(problem(seen(0.0)))
    assert refused == [] and solution.problem.used.all()
    np.testing.assert_allclose(rig_of(solution).positions, RIG.positions, atol=1e-4)


def test_what_is_used_is_what_was_fitted_and_the_solution_is_at_its_minimum():
    xy = np.array(seen().xy)
    xy[0, 3, 2] += 9.0
    solution, *_ = solve_reweighted(problem(replace(seen(), xy=xy)))
    assert np.array_equal(solution.problem.used, solution.fitted)
    again = bundle.adjust(solution.continued())
    assert again.cost == pytest.approx(solution.cost, rel=1e-5)
