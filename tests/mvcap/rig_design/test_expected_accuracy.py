"""Expected errors of a plan against those of reconstructed takes, and what hides people."""

from dataclasses import replace

import numpy as np
import pytest
from planned_takes import FITTED, GAUSSIAN, errors_mm
from synthetic_take import ring_rig

from calib.robust_triangulation import triangulate_robust
from mvcap.rig_design.expected_accuracy import JointNoise, covariances, plan_figures, view_terms
from mvcap.rig_design.plan_request import Obstacle, PlanRequest
from mvcap.rig_design.standing_crowds import HALPE, crowds
from mvcap.structures.detections import body_size, joint_box

SMALL = PlanRequest(room_m=(14.0, 14.0, 3.0), area_m=(3.0, 3.0), people=1)


def compared(expected, measured):
    """Measured over expected: root mean square, and median, of the joints that both have."""
    expected = np.broadcast_to(expected, measured.shape)
    both = np.isfinite(expected) & np.isfinite(measured)
    assert both.mean() > 0.6
    squares = np.sqrt(np.mean(measured[both] ** 2) / np.mean(expected[both] ** 2))
    return squares, np.median(measured[both]) / np.median(expected[both])


@pytest.mark.parametrize(("seed", "cameras", "turned_deg"), [(1, 4, 0.05), (2, 5, 0.2), (3, 6, 0.05), (4, 3, 0.2)])
def test_the_expected_error_is_measured_in_random_rigs(seed, cameras, turned_deg):
    squares, medians = compared(*errors_mm(seed, cameras, GAUSSIAN, turned_deg))
    assert 1 / 1.5 < squares < 1.5 and 1 / 1.5 < medians < 1.5


def test_the_median_holds_with_fitted_errors_and_unknown_people():
    _, medians = compared(*errors_mm(3, 6, FITTED, 0.05, associated=True))
    assert 1 / 1.5 < medians < 1.5


def test_noise_is_that_of_the_simulated_detector():
    noise = JointNoise.of_model(replace(GAUSSIAN, score_spread=0.0, score_row=0.0))
    nose = HALPE.index("nose")
    score = 1 / (1 + np.exp(-GAUSSIAN.score[0]))
    assert noise.share[nose] == pytest.approx(GAUSSIAN.noise_factor * 0.026 * GAUSSIAN.noise[0] / score)
    assert noise.hidden > GAUSSIAN.hidden_noise


def test_covariances_are_those_of_drawn_pixels():
    rig, people, joint = ring_rig(4), crowds(SMALL, 1, 0, 4), HALPE.index("nose")
    request, noise = replace(SMALL, turned_deg=0.0, moved_m=0.0), JointNoise(np.full(26, 0.02), 0.5, 1.0)
    terms = [view_terms(camera, 60.0, people, request, noise) for camera in rig]
    cov = covariances(sum(one.information for one in terms), sum(one.spread for one in terms))[0, joint]
    body = people.xyz[0, 0]
    sigma = np.hypot(0.02 * body_size(joint_box(rig.project(body))), 0.5)  # (C,)
    drawn = np.random.default_rng(0).normal(size=(4, 4000, 2)) * sigma[:, None, None]
    xy = rig.project(body[joint])[:, None] + drawn
    found = triangulate_robust(rig, xy, np.broadcast_to(sigma[:, None], xy.shape[:2]), gate=8.0)
    assert np.allclose(np.cov(found.xyz.T), cov, atol=0.1 * np.trace(cov))
    wrong = [view_terms(camera, 60.0, people, replace(request, turned_deg=0.3), noise) for camera in rig]
    more = covariances(sum(one.information for one in wrong), sum(one.spread for one in wrong))[0, joint]
    assert np.linalg.eigvalsh(more - cov).min() > 0


def test_more_cameras_and_better_ones_are_more_accurate():
    people = crowds(SMALL, 1, 0, 30)
    error = {n: plan_figures(ring_rig(n), people, SMALL, [60.0] * n).summary()["error_median_mm"] for n in (3, 6)}
    assert error[6] < 0.85 * error[3]
    loose = replace(SMALL, turned_deg=0.5)
    assert plan_figures(ring_rig(6), people, loose, [60.0] * 6).summary()["error_median_mm"] > 1.5 * error[6]
    free = replace(SMALL, synchronised=False)
    late = [plan_figures(ring_rig(6), people, free, [rate] * 6).summary()["error_median_mm"] for rate in (15.0, 60.0)]
    assert late[0] > late[1] > error[6]


def test_walls_hide_and_people_hide_each_other():
    people, rig = crowds(SMALL, 2, 0, 30), ring_rig(4)
    plain = plan_figures(rig, people, SMALL, [60.0] * 4)
    assert plain.occluded_share < 0.15 and plain.summary()["joints_in_two_views"] > 0.9
    wall = replace(SMALL, obstacles=(Obstacle((-3.0, 2.5, 0.0), (3.0, 2.7, 3.0)),))
    behind = plan_figures(rig, people, wall, [60.0] * 4)
    assert behind.summary()["views_of_a_joint"] < plain.summary()["views_of_a_joint"] - 0.5
    many = replace(SMALL, people=8)
    crowd = plan_figures(rig, crowds(many, 2, 0, 30), many, [60.0] * 4)
    assert crowd.occluded_share > plain.occluded_share + 0.1
    assert crowd.summary()["error_median_mm"] > plain.summary()["error_median_mm"]


def test_what_fewer_than_two_views_show_has_no_error():
    rig = ring_rig(4).select(["cam1"])
    figures = plan_figures(rig, crowds(SMALL, 1, 0, 9), SMALL, [60.0])
    assert np.isnan(figures.error_mm).all() and figures.summary()["error_median_mm"] is None
    assert np.isnan(figures.error_map_mm).all() and figures.summary()["joints_without_error"] == 1
