"""Matching of two methods' readings of the same people, without the truth."""

import numpy as np
from readings_of_people import HALPE, readings, standing

from mvcap.integration.reading_match import match_readings, reading_similarity
from mvcap.structures.skeleton import skeleton


def pixels(bodies, places):
    return np.stack([200 * body[:, :2] + place for body, place in zip(bodies, places, strict=True)])


def test_people_are_matched_in_any_order():
    rng, bodies = np.random.default_rng(0), standing(4)
    xy = pixels(bodies, [(200, 300), (420, 310), (500, 290), (900, 300)])
    order = np.array([2, 0, 3, 1])
    first, second = readings(bodies + rng.normal(0, 0.03, bodies.shape)), readings(bodies[order])
    pairs = match_readings(first, xy + rng.normal(0, 3, xy.shape), second, xy[order])
    assert {tuple(pair) for pair in pairs.tolist()} == {(one, int(np.flatnonzero(order == one)[0])) for one in range(4)}


def test_people_who_cover_each_other_are_told_apart_in_3d():
    bodies = standing(2)
    bodies[1] = bodies[0] * [1, 1, -1]  # the mirrored depth has the same pixels
    xy = pixels(bodies, [(300, 300), (300, 300)])
    flat = reading_similarity(readings(bodies, 5.0), xy, readings(bodies[::-1], 5.0), xy)
    assert np.ptp(flat) < 0.01
    pairs = match_readings(readings(bodies), xy, readings(bodies[::-1]), xy)
    assert {tuple(pair) for pair in pairs.tolist()} == {(0, 1), (1, 0)}


def test_another_person_stays_apart():
    bodies, kind = standing(2), skeleton("panoptic19")
    xy = pixels(bodies, [(200, 300), (900, 300)])
    at = [HALPE.index(name) for name in kind.joints]
    part = readings(bodies[:, at], kind=kind)
    assert match_readings(readings(bodies[:1]), xy[:1], part[1:], xy[1:, at]).shape == (0, 2)
    assert match_readings(readings(bodies), xy, part[:0], xy[:0, at]).shape == (0, 2)
    assert match_readings(readings(bodies), xy, part, xy[:, at]).tolist() == [[0, 0], [1, 1]]
