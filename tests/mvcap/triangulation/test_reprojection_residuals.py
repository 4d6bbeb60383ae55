"""How far poses lie from what views saw: medians in flat memory, residuals in pixels and in noise, shares by view."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_take import COCO, ring_rig, truth

from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import skeleton
from mvcap.triangulation.reprojection_residuals import (
    USED_SIGMA,
    Histogram,
    ViewResiduals,
    linked_rows,
    residuals,
)

CAMERAS, JOINTS = 4, len(COCO)
RIG = ring_rig(CAMERAS)
seeds = st.integers(0, 2**32 - 1)


def seen(poses, noise_px=2.0, seed=0, stated_px=2.0, rig=RIG):
    """What every view sees of the poses, their group as person."""
    rng, parts = np.random.default_rng(seed), []
    for view, camera in enumerate(rig):
        xy = camera.project(poses.xyz.astype(float)) + rng.normal(0, 1, (len(poses), JOINTS, 2)) * noise_px
        there = np.isfinite(xy).all(-1)
        zero = np.zeros(len(poses))
        noise = np.where(there, stated_px, np.nan)
        parts.append(
            Detections2D(
                COCO, poses.frame, zero + view, poses.group, zero - 1, np.zeros((len(poses), 4)), xy, there, noise
            )
        )
    rows = Detections2D.concatenate(parts, COCO)
    return rows[np.argsort(rows.frame, kind="stable")]


# --- medians ---------------------------------------------------------------------------------------------------------


@given(seeds, st.floats(-1, 1), st.floats(0.1, 1.5))
@settings(derandomize=True, max_examples=25)
def test_medians_are_those_of_the_values(seed, middle, spread):
    rng = np.random.default_rng(seed)
    row, value = rng.integers(0, 4, 2000), np.exp(rng.normal(middle, spread, 2000))
    held = Histogram(5)
    for part in np.array_split(np.arange(2000), 7):
        held.add(row[part], value[part])
    expected = [np.median(value[row == one]) for one in range(4)]
    np.testing.assert_allclose(held.medians()[:4], expected, rtol=0.02)
    assert np.isnan(held.medians()[4]) and held.count.tolist() == [*np.bincount(row, minlength=4).tolist(), 0]
    assert held.median() == pytest.approx(np.median(value), rel=0.02)
    merged = Histogram(4)
    merged.add(row, value)
    np.testing.assert_allclose(
        merged.merged(2).medians(), [np.median(value[row // 2 == one]) for one in (0, 1)], rtol=0.02
    )


def test_values_beyond_the_bins_count_at_their_ends_and_nan_not_at_all():
    held = Histogram(1, 0.1, 10.0, 200)
    held.add(np.zeros(6, int), np.array([0.0, 1e-9, 1.0, 1e9, 1e12, np.nan]))
    assert held.count.tolist() == [5] and held.median() == pytest.approx(1.0, rel=0.03)
    empty = Histogram(3)
    assert np.isnan(empty.median()) and np.isnan(empty.medians()).all() and empty.count.tolist() == [0, 0, 0]
    held.add(np.zeros(0, int), np.zeros(0))
    assert held.count.tolist() == [5]


# --- which detections belong to a pose -------------------------------------------------------------------------------


@given(seeds)
@settings(derandomize=True, max_examples=20)
def test_rows_belong_to_the_pose_of_their_frame_and_number(seed):
    rng = np.random.default_rng(seed)
    poses = truth(5, 2)
    poses = poses[rng.permutation(len(poses))[:7]]
    rows = seen(poses, rig=ring_rig(2))
    rows = rows.with_columns(person=rng.integers(-1, 4, len(rows)), frame=np.sort(rng.integers(0, 6, len(rows))))
    row, pose = linked_rows(rows, poses)
    linked = {(int(a), int(b)) for a, b in zip(row, pose, strict=True)}
    pairs = [(a, b) for a in range(len(rows)) for b in range(len(poses))]
    same = {(a, b) for a, b in pairs if rows.frame[a] == poses.frame[b] and rows.person[a] == poses.group[b]}
    every = {(a, b) for a, b in same if rows.person[a] >= 0}
    assert linked == every


def test_unassigned_detections_belong_to_no_pose_even_if_its_group_is_minus_one():
    poses = truth(1, 1)
    rows = seen(poses).with_columns(person=np.full(CAMERAS, -1))
    assert len(linked_rows(rows, poses.with_columns(group=np.array([-1])))[0]) == 0
    assert len(linked_rows(rows[:0], poses)[0]) == len(linked_rows(rows, poses[:0])[0]) == 0


# --- residuals -------------------------------------------------------------------------------------------------------


def test_residuals_are_distances_in_the_picture():
    poses = truth(3, 2)
    shift = np.array([[3.0, 4.0], [0.0, 0.0], [6.0, 8.0], [0.3, 0.4]])
    exact = seen(poses, 0.0)
    rows = exact.with_columns(xy=exact.xy + shift[exact.view, None])
    found = residuals(rows, poses, RIG)
    assert len(found.view) == len(rows) == 24 and found.seen.all()
    np.testing.assert_allclose(
        found.error_px, np.linalg.norm(shift, axis=1)[found.view, None].repeat(JOINTS, 1), atol=0.01
    )
    np.testing.assert_allclose(found.normalised, found.error_px / 2.0)
    np.testing.assert_array_equal(found.person, poses.person[found.pose])
    np.testing.assert_array_equal(found.frame, poses.frame[found.pose])


def test_what_is_missing_on_either_side_has_no_residual():
    poses = truth(1, 1)
    xyz, score = poses.xyz.copy(), poses.score.copy()
    xyz[0, 3], score[0, 3] = np.nan, 0
    rows = seen(poses, 0.0)
    xy, seen_score, noise = rows.xy.copy(), rows.score.copy(), rows.noise_px.copy()
    xy[0, 5], seen_score[0, 5], noise[0, 5] = np.nan, 0, np.nan
    noise[1, 6] = 0.0
    found = residuals(
        rows.with_columns(xy=xy, score=seen_score, noise_px=noise), poses.with_columns(xyz=xyz, score=score), RIG
    )
    assert np.isnan(found.error_px[:, 3]).all() and found.seen[:, 3].all(), "seen, but not in the pose"
    assert np.isnan(found.error_px[0, 5]) and not found.seen[0, 5]
    assert np.isfinite(found.error_px[1, 6]) and np.isnan(found.normalised[1, 6]), "a noise of zero is none"
    assert np.isfinite(found.error_px).sum() == CAMERAS * JOINTS - CAMERAS - 1


def test_joints_of_another_skeleton_are_compared_by_name():
    body25, poses = skeleton("body25"), truth(2, 1)
    rows = seen(poses, 1.0)
    columns = {"xy": COCO.apply(body25, rows.xy), "noise": COCO.apply(body25, rows.noise_px[..., None])[..., 0]}
    there = np.isfinite(columns["xy"]).all(-1)
    other = Detections2D(
        body25, rows.frame, rows.view, rows.person, rows.carried, rows.box, columns["xy"], there, columns["noise"]
    )
    np.testing.assert_allclose(residuals(other, poses, RIG).error_px, residuals(rows, poses, RIG).error_px, atol=1e-3)


def test_nothing_gives_nothing():
    poses = truth(1, 1)
    found = residuals(Detections2D.empty(COCO), poses, RIG)
    assert found.error_px.shape == found.normalised.shape == (0, JOINTS)


# --- a whole take ----------------------------------------------------------------------------------------------------


def test_medians_of_a_take_whose_noise_is_known():
    poses = truth(60, 2)
    rows = seen(poses, noise_px=np.array([1.0]), stated_px=2.0)
    scale = np.array([1.0, 2.0, 3.0, 4.0])
    exact = seen(poses, 0.0)
    rows = rows.with_columns(xy=exact.xy + (rows.xy - exact.xy) * scale[rows.view, None, None])
    whole, parts = ViewResiduals(RIG, COCO), ViewResiduals(RIG, COCO)
    whole.add(rows, poses)
    for start in range(0, 60, 13):
        parts.add(
            rows[(rows.frame >= start) & (rows.frame < start + 13)],
            poses[(poses.frame >= start) & (poses.frame < start + 13)],
        )
    rayleigh = np.sqrt(2 * np.log(2))  # median length of two-dimensional normal numbers
    np.testing.assert_allclose(whole.median_px, rayleigh * scale, rtol=0.05)
    np.testing.assert_allclose(whole.median_normalised, rayleigh * scale / 2, rtol=0.05)
    assert whole.by_view_and_joint_px.shape == (CAMERAS, JOINTS)
    np.testing.assert_allclose(np.median(whole.by_view_and_joint_px, axis=1), rayleigh * scale, rtol=0.1)
    limit = 1 - np.exp(-0.5 * (2 * USED_SIGMA / scale) ** 2)  # of Rayleigh numbers within five times the stated noise
    np.testing.assert_allclose(whole.used_share, limit, atol=0.02)
    assert (whole.matched_share == 1).all()
    for name in ("median_px", "median_normalised", "overall_normalised", "by_view_and_joint_px", "used_share"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))


def test_shares_count_what_belongs_and_what_agrees():
    poses = truth(10, 2)
    rows = seen(poses, 0.5)
    stranger = (rows.view == 1) & (rows.person == 2)
    xy = rows.xy.copy()
    xy[rows.view == 2, :4] += 300
    mixed = rows.with_columns(person=np.where(stranger, 7, rows.person), xy=xy)
    found = ViewResiduals(RIG, COCO)
    found.add(mixed, poses)
    np.testing.assert_allclose(found.matched_share, [1, 0.5, 1, 1])
    np.testing.assert_allclose(found.used_share, [1, 1, 1 - 4 / JOINTS, 1], atol=1e-9)
    nothing = ViewResiduals(RIG, COCO)
    nothing.add(Detections2D.empty(COCO), poses[:0])
    for values in (nothing.median_px, nothing.used_share, nothing.matched_share, nothing.by_view_and_joint_px):
        assert np.isnan(values).all()
