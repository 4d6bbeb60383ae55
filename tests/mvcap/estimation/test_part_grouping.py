"""People from part candidates: line integrals over known fields, and groups of known bodies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from part_scenes import JOINTS, STANDING, scene

from mvcap.estimation.part_grouping import (
    BODY25_LENGTH,
    BODY25_LIMBS,
    body_height,
    group_parts,
    line_integral,
    pick_candidates,
)

places = st.tuples(st.floats(0, 39), st.floats(0, 29))


def uniform(direction, size=(30, 40)):
    """Field (H, W, 2) of one direction everywhere."""
    return np.broadcast_to(np.asarray(direction, dtype=float), (*size, 2))


def owners(people, order):
    """For each row the set of bodies that its candidates are of."""
    return [{int(order[j][i]) for j, i in enumerate(row) if i >= 0} for row in people]


def assert_each_once(people, xy):
    for joint, points in enumerate(xy):
        used = people[:, joint][people[:, joint] >= 0]
        assert sorted(used) == list(range(len(points)))


@settings(max_examples=40, deadline=None)
@given(places, places, st.floats(0, 2 * np.pi), st.floats(0.1, 1))
def test_integral_of_a_uniform_field_is_the_cosine(a, b, angle, strength):
    along = np.subtract(b, a)
    length = np.hypot(*along)
    direction = strength * np.array([np.cos(angle), np.sin(angle)])
    expected = along @ direction / length if length > 1e-6 else 0.0
    whole = expected + min(0.5 * 30 / max(length, 1e-6) - 1, 0)
    if abs(expected - 0.05) > 1e-6:
        np.testing.assert_allclose(line_integral(uniform(direction), [a], [b]), [[max(whole, 0) * (expected > 0.05)]])


@settings(max_examples=40, deadline=None)
@given(st.tuples(st.floats(0, 9), st.floats(0, 9)), st.tuples(st.floats(0, 9), st.floats(0, 9)))
def test_integral_of_a_linear_field_is_its_value_in_the_middle(a, b):
    a, b = np.array(a), np.array(b)
    length = np.hypot(*(b - a))
    if length < 0.1:
        return
    unit = (b - a) / length
    y, x = np.mgrid[:30, :40]
    field = (0.5 + 0.01 * x + 0.02 * y)[..., None] * unit
    middle = (a + b) / 2
    expected = 0.5 + 0.01 * middle[0] + 0.02 * middle[1]
    np.testing.assert_allclose(line_integral(field, a, b), [[expected]], rtol=1e-9)


def test_integral_needs_nearly_all_samples():
    field = uniform((0, 0)).copy()
    field[:, :12] = (1, 0)
    score = line_integral(field, [(1, 5), (2, 5)], [(10, 5), (14, 5), (1, 9)])
    np.testing.assert_allclose(score, [[1, 0, 0], [1, 0, 0]])  # a gap, and a limb across the field
    assert line_integral(field, [(10, 5)], [(1, 5)]) == 0  # the other way round


def test_integral_of_long_limbs_is_taken_down():
    assert line_integral(uniform((1, 0)), [(0, 5)], [(20, 5)]) == pytest.approx(1 + 15 / 20 - 1)
    assert line_integral(uniform((1, 0)), [(0, 5)], [(39, 5)]) == pytest.approx(1 + 15 / 39 - 1)


def test_integral_of_what_is_no_limb_is_zero():
    field = uniform((1, 0))
    assert (line_integral(field, [(5, 5), (np.nan, 3)], [(5, 5), (9, np.nan)]) == 0).all()
    assert line_integral(field, np.zeros((0, 2)), [(1, 1), (2, 2)]).shape == (0, 2)
    assert line_integral(field, [(30, 5)], [(50, 5)]) == pytest.approx(0.75)  # beyond the edge it goes on
    assert line_integral(np.ones((1, 1, 2)), [(0, 0)], [(0.4, 0)]) == 1


@pytest.mark.parametrize("seed", range(3))
def test_bodies_side_by_side_come_back(seed):
    bodies = [STANDING * size + (300 * at, 700) for at, size in enumerate((500, 450, 300))]
    xy, scores, order = scene(*bodies, seed=seed)
    people = group_parts(xy, scores)
    assert people.shape == (3, JOINTS) and (people >= 0).all()
    assert_each_once(people, xy)
    assert sorted(owners(people, order), key=min) == [{0}, {1}, {2}]
    np.testing.assert_allclose(sorted(body_height(pick_candidates(xy, people))[0]), [300, 450, 500], rtol=0.02)


def test_crossing_legs_go_to_whom_they_fit():
    """The scores slightly prefer to exchange the right legs of a tall and a small body; the lengths forbid it."""
    bodies = [STANDING * 560 + (300, 700), STANDING * 360 + (330, 560)]
    xy, scores, order = scene(*bodies, seed=1)
    thigh = int(np.flatnonzero((BODY25_LIMBS == (9, 10)).all(1))[0])
    own = order[9][:, None] == order[10]
    scores[thigh] = np.where(own, 0.80, 0.85)
    people = group_parts(xy, scores)
    assert sorted(owners(people, order), key=min) == [{0}, {1}]
    alike = [STANDING * 360 + (300, 560), STANDING * 360 + (330, 560)]
    xy, scores, order = scene(*alike, seed=1)
    scores[thigh] = np.where(order[9][:, None] == order[10], 0.80, 0.85)
    assert owners(group_parts(xy, scores), order) == [{0, 1}, {0, 1}]  # of one size nothing speaks against it


def test_matching_is_best_for_all_together():
    """The best single pair would leave the others a worse sum."""
    xy, scores, order = scene(STANDING * 400 + (200, 600), STANDING * 400 + (320, 600))
    forearm = int(np.flatnonzero((BODY25_LIMBS == (3, 4)).all(1))[0])
    own = order[3][:, None] == order[4]
    scores[forearm] = np.where(own, 0.7, 0.0)
    scores[forearm][order[3] == 0, order[4] == 1] = 0.9
    assert sorted(owners(group_parts(xy, scores), order), key=min) == [{0}, {1}]


def test_a_limb_given_twice_holds_parts_together():
    """Without the limb from neck to shoulder the arm is held by the one from shoulder to ear, and so is the head."""
    xy, scores, _ = scene(STANDING * 400 + (200, 600))
    scores[int(np.flatnonzero((BODY25_LIMBS == (1, 2)).all(1))[0])][:] = 0
    assert len(group_parts(xy, scores)) == 1
    scores[int(np.flatnonzero((BODY25_LIMBS == (2, 17)).all(1))[0])][:] = 0
    assert sorted((row >= 0).sum() for row in group_parts(xy, scores)) == [3, 22]


def test_fragments_and_lone_joints_stay():
    upper = {0, 1, 2, 5, 3, 6, 15, 16, 17, 18}
    lower = {13, 14, 21}
    xy, scores, _ = scene(STANDING * 400 + (200, 600), keep=lambda _, joint: joint in upper | lower | {11})
    people = group_parts(xy, scores)
    found = [set(np.flatnonzero(row >= 0).tolist()) for row in people]
    assert len(found) == 3 and all(part in found for part in (upper, lower, {11}))


def test_no_person_gets_two_candidates_of_a_joint():
    """Parts that share a joint are not joined, however a limb would connect them."""
    xy, scores, _ = scene(STANDING * 400 + (200, 600), STANDING * 400 + (600, 600))
    ear = int(np.flatnonzero((BODY25_LIMBS == (5, 18)).all(1))[0])
    scores[ear] = scores[ear][::-1].copy()
    people = group_parts(xy, scores)
    assert_each_once(people, xy)
    assert len(people) == 2


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=JOINTS, max_size=JOINTS), st.integers(0, 1000))
def test_whatever_the_scores_each_candidate_is_in_one_row(counts, seed):
    rng = np.random.default_rng(seed)
    xy = [rng.uniform(0, 500, (n, 2)) for n in counts]
    scores = [
        np.where(rng.random(s) < 0.5, rng.random(s), 0) for s in ((counts[a], counts[b]) for a, b in BODY25_LIMBS)
    ]
    people = group_parts(xy, scores)
    assert_each_once(people, xy)
    assert (people >= 0).any(1).all()


def test_nothing_and_one_place():
    xy, scores, _ = scene()
    assert group_parts(xy, scores).shape == (0, JOINTS)
    height, sure = body_height(np.zeros((0, JOINTS, 2)))
    assert height.shape == sure.shape == (0,)
    xy, scores, _ = scene(np.zeros((JOINTS, 2)), np.zeros((JOINTS, 2)))
    assert len(group_parts(xy, scores)) == 2  # all joints at one point
    assert len(group_parts(xy, [score + 0.1 for score in scores])) == 2


@pytest.mark.parametrize(
    ("seen", "enough"), [({3, 4}, False), ({10, 11, 9}, False), ({2, 3, 4, 1}, True), ({0, 15, 16}, False)]
)
def test_a_fragment_tells_the_height_of_its_body(seen, enough):
    xy = np.where(np.isin(np.arange(JOINTS), list(seen))[:, None], STANDING * 400, np.nan)
    height, sure = body_height(np.stack([xy, xy * np.nan]))
    assert height[0] == pytest.approx(400, rel=0.3) and np.isnan(height[1])
    assert sure.tolist() == [enough, False]


def test_lengths_fit_the_limbs():
    assert BODY25_LIMBS.shape == (26, 2) and BODY25_LENGTH.shape == (26,)
    along = STANDING[BODY25_LIMBS[:, 0]] - STANDING[BODY25_LIMBS[:, 1]]
    np.testing.assert_allclose(np.hypot(*along.T), BODY25_LENGTH, atol=0.035)
