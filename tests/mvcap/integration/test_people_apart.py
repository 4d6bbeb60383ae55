"""Bodies in each other are moved apart along their rays; who hides whom says who is nearer."""

import numpy as np
import pytest
from readings_of_people import HALPE, standing

from mvcap.errors import ConfigError
from mvcap.integration.people_apart import ApartConfig, body_penetration, front_odds, move_apart

ALONG, ACROSS = np.array([0.25, 0.25]), np.array([0.02, 0.02])


def two(gap=0.0, side=0.0):
    """Two people 4 m before the camera, the second farther by a gap and to the side, m."""
    return standing(2), np.array([[0.0, 0.0, 4.0], [side, 0.0, 4.0 + gap]])


def test_people_in_each_other_are_moved_apart_along_the_ray():
    bodies, root = two(gap=0.05, side=0.03)
    assert body_penetration(HALPE, bodies + root[:, None])[0, 1] > 0.05
    out = move_apart(HALPE, bodies, root, ALONG, ACROSS)
    moved = out.root - root
    assert out.before_m > 0.05 > 0.02 > out.after_m
    assert np.abs(moved[:, 2]).min() > 0.03 and np.abs(moved[:, :2]).max() < 0.2 * np.abs(moved[:, 2]).max()
    assert moved[0, 2] < 0 < moved[1, 2]  # the order stays, as nothing speaks against it
    assert np.abs(moved / [0.02, 0.02, 0.25]).max() < 2


def test_a_person_whose_distance_is_known_stays():
    bodies, root = two(gap=0.05)
    out = move_apart(HALPE, bodies, root, np.array([0.01, 0.3]), ACROSS)
    assert np.linalg.norm(out.root[0] - root[0]) < 0.01 < 0.1 < np.linalg.norm(out.root[1] - root[1])


def test_people_apart_stay_where_they_are():
    for root in (two(gap=1.0)[1], two(side=0.8)[1]):
        out = move_apart(HALPE, standing(2), root, ALONG, ACROSS)
        np.testing.assert_allclose(out.root, root, atol=1e-9)
        assert out.before_m == out.after_m == 0


def test_evidence_of_who_is_nearer_exchanges_them():
    bodies, root = two(gap=0.1)
    front = np.array([[0.0, -2.4], [2.4, 0.0]])  # the second is before the first
    out = move_apart(HALPE, bodies, root, ALONG, ACROSS, front)
    assert out.root[1, 2] + 0.1 < out.root[0, 2] and out.after_m < 0.02
    sure = move_apart(HALPE, bodies, root, np.array([0.02, 0.02]), ACROSS, front)  # distances known well outweigh it
    assert sure.root[0, 2] < sure.root[1, 2]


def test_who_is_hidden_is_behind():
    bodies, root = two(gap=1.0, side=0.1)
    places, score = bodies + root[:, None], np.full((2, 26), 0.85)
    assert np.abs(front_odds(HALPE, places, score)).max() < 1
    score[1, [at for at, name in enumerate(HALPE.joints) if "hip" in name or "shoulder" in name]] = 0.2
    odds = front_odds(HALPE, places, score)
    assert odds[0, 1] > 0.5 and odds[1, 0] == -odds[0, 1] and not np.diag(odds).any()
    nearer = front_odds(HALPE, places * [[[0.8]], [[1.3]]], score)  # errors of depth change nothing in the picture
    assert nearer[0, 1] > 0.5
    apart = front_odds(HALPE, places + np.array([[[0.0]], [[1.0]]]) * [3, 0, 0], score)
    assert np.abs(apart).max() < 1e-6


def test_unknown_roots_and_joints_stay_out():
    bodies, root = two(gap=0.05)
    root[1] = np.nan
    out = move_apart(HALPE, bodies, root, ALONG, ACROSS)
    np.testing.assert_array_equal(out.root, root)
    bodies[1] = np.nan
    out = move_apart(HALPE, bodies, two()[1], ALONG, ACROSS)
    np.testing.assert_allclose(out.root, two()[1])
    assert move_apart(HALPE, bodies[:0], root[:0], ALONG[:0], ACROSS[:0]).root.shape == (0, 3)
    with pytest.raises(ConfigError, match="slack_m"):
        ApartConfig(slack_m=-0.1)
