"""Left and right exchanged by hand in views of generated people: what is told right, and what is left alone."""

import numpy as np
import pytest
from generated_people import HALPE, NOISE, circle, crossing
from seen_rows import associated, seen, told

from mvcap.association.left_right_swaps import correct_swaps
from mvcap.structures.detections import Detections2D

PARTS = {
    "body": ("left", "right"),
    "arms": ("elbow", "wrist"),
    "legs": ("knee", "ankle", "heel", "toe"),
    "wrists": ("wrist",),
}
_CACHE = {}


def rows_of(cameras, **errors):
    key = cameras, *errors.items()
    if key not in _CACHE:
        take = circle(3, cameras, 30)
        _CACHE[key] = take[1], told(seen(take, **(errors or {"noise_px": 2.0})))
    return _CACHE[key]


def exchanged(rows, bad, part):
    """The rows with a part exchanged in those that ``bad`` (M,) names."""
    joints = np.array([bool(set(PARTS[part]) & set(joint.split("_"))) for joint in HALPE.joints])
    source = np.where(bad[:, None] & joints, HALPE.mirror, np.arange(len(HALPE)))
    columns = {name: np.take_along_axis(getattr(rows, name), source, 1) for name in ("score", "noise_px")}
    return rows.with_columns(xy=np.take_along_axis(rows.xy, source[..., None], 1), **columns)


def one_view_each(rows, least=3):
    """One row (M,) of every person and frame that so many views see, by chance."""
    rng, key = np.random.default_rng(0), rows.frame * 10 + rows.person
    bad = np.zeros(len(rows), bool)
    for one in np.unique(key):
        mine = np.flatnonzero(key == one)
        bad[rng.choice(mine)] = len(mine) >= least
    return bad


def off_px(rows, other):
    """How far the joints (M, J) of rows are from those of others."""
    return np.linalg.norm(np.nan_to_num(rows.xy) - np.nan_to_num(other.xy), axis=-1)


@pytest.mark.parametrize("cameras", [3, 4, 5, 8])
def test_whole_bodies(cameras):
    rig, rows = rows_of(cameras)
    bad = one_view_each(rows)
    fixed = correct_swaps(exchanged(rows, bad, "body"), rig)
    for name in rows.columns():
        np.testing.assert_array_equal(getattr(fixed, name), getattr(rows, name))


def test_two_views_of_eight_are_the_minority():
    rig, rows = rows_of(8)
    bad = one_view_each(rows) | one_view_each(rows[::-1])[::-1]
    assert bad.sum() > 1.5 * 90
    np.testing.assert_array_equal(correct_swaps(exchanged(rows, bad, "body"), rig).xy, rows.xy)


@pytest.mark.parametrize("part", ["arms", "legs", "wrists"])
@pytest.mark.parametrize(("cameras", "least"), [(3, 0.83), (4, 0.95), (5, 0.98), (8, 1.0)])
def test_limbs(cameras, least, part):
    """Joints that are exchanged within 20 px, ten times the noise, may stay so: legs pass each other."""
    rig, rows = rows_of(cameras)
    bad = one_view_each(rows)
    wrong = exchanged(rows, bad, part)
    fixed = correct_swaps(wrong, rig)
    right = (off_px(fixed, rows) < 20).all(1)
    assert right[bad].mean() >= least and right[~bad].all()
    again = correct_swaps(fixed, rig)
    np.testing.assert_array_equal(again.xy, fixed.xy)


@pytest.mark.parametrize("part", ["arms", "legs"])
@pytest.mark.parametrize("cameras", [4, 5, 8])
def test_limbs_among_wrong_joints_and_missing_people(cameras, part):
    rig, rows = rows_of(cameras, **NOISE)
    bad = one_view_each(rows)
    right = (off_px(correct_swaps(exchanged(rows, bad, part), rig), rows) < 20).all(1)
    assert right[bad].mean() >= 0.9 and right[~bad].mean() > 0.99


@pytest.mark.parametrize("errors", [{}, NOISE], ids=["noise", "outliers"])
@pytest.mark.parametrize("cameras", [2, 3, 5, 8])
def test_what_is_right_stays(cameras, errors):
    rig, rows = rows_of(cameras, **errors)
    assert (off_px(correct_swaps(rows, rig), rows) > 0).any(1).mean() <= (0.02 if errors else 0)


def test_what_association_made_of_people_who_cross_stays():
    take = crossing(5, 8, 30)
    rows, _ = associated(seen(take, noise_px=2.0), *take[1:])
    np.testing.assert_array_equal(correct_swaps(rows, take[1]).xy, rows.xy)


def test_two_views_are_made_to_agree():
    """Which of two views is wrong cannot be known: the later one follows, frame by frame the same."""
    rig, rows = rows_of(2)
    both = np.isin(rows.frame * 10 + rows.person, [one for one in np.unique(rows.frame * 10 + rows.person)
                                                   if (rows.frame * 10 + rows.person == one).sum() == 2])  # fmt: skip
    rows = rows[both]
    first, second = (correct_swaps(exchanged(rows, rows.view == view, "body"), rig) for view in (0, 1))
    np.testing.assert_array_equal(second.xy, rows.xy)
    np.testing.assert_array_equal(first.xy, exchanged(rows, np.ones(len(rows), bool), "body").xy)


def test_the_order_of_rows_does_not_matter():
    rig, rows = rows_of(5)
    wrong = exchanged(rows, one_view_each(rows), "arms")
    order = np.random.default_rng(3).permutation(len(rows))
    np.testing.assert_array_equal(correct_swaps(wrong[order], rig).xy, correct_swaps(wrong, rig)[order].xy)


def test_nobody_and_no_rows():
    rig, rows = rows_of(5)
    wrong = exchanged(rows, one_view_each(rows), "body").with_columns(person=np.full(len(rows), -1))
    assert correct_swaps(wrong, rig) is wrong
    assert len(correct_swaps(Detections2D.empty(HALPE), rig)) == 0
    alone = rows[(rows.view == 0)]
    assert correct_swaps(alone, rig) is alone
