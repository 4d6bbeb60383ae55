"""Rows with persons become 3D: what is combined, what is refused, and whether errors are as large as stated."""

import numpy as np
import pytest
from generated_people import HALPE, HARD, HIDING, NOISE, circle, crossing, disturbed
from seen_rows import seen, told

from mvcap.errors import ConfigError
from mvcap.structures.anthropometry import too_long_limbs
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Provenance, full_covariance
from mvcap.triangulation.robust_triangulation import TriangulateConfig, triangulate_rows

CONFIG = TriangulateConfig()
WITHIN = (3.5059, 7.8147)  # squared Mahalanobis distances that hold 68 and 95 % in three dimensions
_CACHE = {}


def rows_of(make, *arguments, **errors):
    key = make.__name__, arguments, tuple(sorted(errors.items()))
    if key not in _CACHE:
        take = make(*arguments)
        _CACHE[key] = take, told(seen(take, **errors))
    return _CACHE[key]


def off_of(poses, truth):
    """Errors (M, J, 3) m of poses whose persons are the true ones."""
    place = {key: at for at, key in enumerate(zip(truth.frame.tolist(), truth.person.tolist(), strict=True))}
    at = [place[key] for key in zip(poses.frame.tolist(), poses.person.tolist(), strict=True)]
    return poses.xyz.astype(np.float64) - truth.xyz[at]


def inside(poses, off):
    """Shares of joints inside their own 68 and 95 % ellipsoids."""
    known = np.isfinite(off).all(-1)
    cov = full_covariance(poses.cov[known].astype(np.float64))
    square = np.einsum("ni,ni->n", off[known], np.linalg.solve(cov, off[known][..., None])[..., 0])
    return [float((square <= limit).mean()) for limit in WITHIN]


def consistent(poses):
    """What every row promises of its joints."""
    there = np.isfinite(poses.xyz).all(-1)
    np.testing.assert_array_equal(there, poses.views >= 2)
    np.testing.assert_array_equal(there, poses.score > 0)
    np.testing.assert_array_equal(there, poses.provenance == Provenance.MEASURED)
    np.testing.assert_array_equal(there, np.isfinite(poses.error_px))
    np.testing.assert_array_equal(there, np.isfinite(poses.cov).all(-1))
    assert (np.linalg.eigvalsh(full_covariance(poses.cov[there].astype(np.float64))) > 0).all()
    assert (poses.score <= 1).all()


@pytest.mark.parametrize("cameras", [2, 3, 4, 5, 8])
def test_errors_are_as_large_as_stated(cameras):
    (truth, rig, _), rows = rows_of(circle, 3, cameras, 40, noise_px=2.0)
    poses = triangulate_rows(rows, rig, CONFIG)
    consistent(poses)
    first, second = inside(poses, off_of(poses, truth))
    assert 0.63 <= first <= 0.74 and 0.90 <= second <= 0.98


@pytest.mark.parametrize("errors", [NOISE, HIDING, HARD], ids=["noise", "hiding", "hard"])
def test_wrong_joints_do_little_harm(errors):
    (truth, rig, _), rows = rows_of(crossing, 5, 8, 30, **errors)
    poses = triangulate_rows(rows, rig, CONFIG)
    consistent(poses)
    off = off_of(poses, truth)
    assert len(poses) == len(truth) and 1000 * np.nanmean(np.linalg.norm(off, axis=-1)) < 8
    assert np.isfinite(off).all(-1).mean() > 0.97
    first, second = inside(poses, off)
    assert 0.60 <= first <= 0.76 and 0.90 <= second <= 0.98


@pytest.mark.parametrize("lens", ["plain", "strong"])
def test_exact_rows_are_exact_points(lens):
    take = circle(3, 5, 4, 60.0, lens)
    poses = triangulate_rows(told(seen(take)), take[1], CONFIG)
    assert 1000 * np.nanmax(np.linalg.norm(off_of(poses, take[0]), axis=-1)) < 0.1  # pixels are of single precision


def test_fragments_of_a_view_are_one_person():
    (_, rig, _), rows = rows_of(circle, 3, 5, 20, noise_px=2.0)
    side = np.random.default_rng(0).random(rows.score.shape) < 0.5
    parts = [
        rows.with_columns(
            xy=np.where(keep[..., None], rows.xy, np.nan),
            score=np.where(keep, rows.score, 0),
            noise_px=np.where(keep, rows.noise_px, np.nan),
        )
        for keep in (side, ~side)
    ]
    whole, split = (triangulate_rows(some, rig, CONFIG) for some in (rows, Detections2D.concatenate(parts, HALPE)))
    for name in whole.columns():
        np.testing.assert_array_equal(getattr(split, name), getattr(whole, name))


def test_copies_of_a_person_are_one_person():
    """Of a joint that two rows of a view have, the surer one counts."""
    (truth, rig, _), rows = rows_of(circle, 3, 5, 20, noise_px=2.0)
    worse = rows.with_columns(xy=rows.xy + 40, score=0.5 * rows.score)
    one, two = (
        triangulate_rows(Detections2D.concatenate(both, HALPE), rig, CONFIG) for both in ([rows, worse], [worse, rows])
    )
    for name in one.columns():
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert len(one) == len(truth) and 1000 * np.nanmean(np.linalg.norm(off_of(one, truth), axis=-1)) < 10


def test_who_one_view_sees_has_a_row_without_joints():
    (_, rig, _), rows = rows_of(circle, 3, 5, 20, noise_px=2.0)
    poses = triangulate_rows(rows[(rows.person != 2) | (rows.view == 1)], rig, CONFIG)
    consistent(poses)
    mine = poses[poses.person == 2]
    assert len(mine) > 10 and (mine.views == 0).all()
    assert set(np.unique(mine.provenance).tolist()) <= {Provenance.MISSING, Provenance.LONE}
    assert (poses[poses.person != 2].score > 0).mean() > 0.95


def test_a_joint_that_two_views_of_three_tell_two_ways_is_missing():
    """A wrist is given to the other side's arm in one of three views: two pairs of views agree on different points."""
    (truth, rig, _), rows = rows_of(circle, 3, 3, 30, noise_px=2.0)
    joint = HALPE.index("left_wrist")
    rng, xy = np.random.default_rng(0), np.array(rows.xy)
    # The third view's wrist lies on the line in its picture on which the first view's ray is seen: both agree.
    for row in np.flatnonzero(rows.view == 2):
        mate = np.flatnonzero((rows.view == 0) & (rows.frame == rows.frame[row]) & (rows.person == rows.person[row]))
        if len(mate) and np.isfinite(rows.xy[mate[0], joint]).all():
            origin, direction = rig[0].rays(rows.xy[mate[0], joint].astype(float))
            true = truth.xyz[(truth.frame == rows.frame[row]) & (truth.person == rows.person[row])][0, joint]
            depth = (true - origin) @ direction + rng.choice([-1, 1]) * 0.35
            xy[row, joint] = rig[2].project(origin + depth * direction)
    known = np.isfinite(xy).all(-1)
    rows = rows.with_columns(
        xy=xy, score=np.where(known, np.maximum(rows.score, 0.5), 0), noise_px=np.where(known, 2.0, np.nan)
    )
    poses = triangulate_rows(rows, rig, CONFIG)
    consistent(poses)
    off = np.linalg.norm(off_of(poses, truth)[:, joint], axis=-1)
    before = np.linalg.norm(
        off_of(triangulate_rows(rows_of(circle, 3, 3, 30, noise_px=2.0)[1], rig, CONFIG), truth), axis=-1
    )
    assert np.isfinite(before[:, joint]).mean() > 0.8
    assert (off > 0.1).mean() < 0.12, "wrong points are rather missing"
    assert (poses.provenance[:, joint] == Provenance.AMBIGUOUS).mean() > 0.3


def test_a_bad_calibration_is_within_the_stated_error_or_missing():
    (truth, rig, _), rows = rows_of(circle, 3, 8, 40, noise_px=2.0)
    poses = triangulate_rows(rows, disturbed(rig, "fair"), CONFIG)
    consistent(poses)
    assert (poses.score > 0).mean() > 0.95 and np.nanmedian(np.linalg.norm(off_of(poses, truth), axis=-1)) < 0.02


def test_no_limb_is_longer_than_any_human_s():
    (_, rig, _), rows = rows_of(crossing, 5, 8, 30, **HARD)
    poses = triangulate_rows(rows, rig, CONFIG)
    variance = np.nan_to_num(poses.cov[..., [0, 3, 5]].sum(-1))
    assert not too_long_limbs(HALPE, poses.xyz, variance).any()


def test_scores_and_gates_are_minded():
    (_, rig, _), rows = rows_of(circle, 3, 5, 20, noise_px=2.0)
    low = rows.with_columns(score=np.where(rows.view[:, None] == 3, 0.05, 0.8) * (rows.score > 0))
    there, without = (triangulate_rows(some, rig, CONFIG) for some in (low, low[low.view != 3]))
    np.testing.assert_array_equal(there.xyz, without.xyz)
    np.testing.assert_allclose(there.score[there.views == 4], 0.8, rtol=1e-5)
    with pytest.raises(ConfigError, match="gate_sigma"):
        TriangulateConfig(gate_sigma=0)


def test_the_order_of_rows_does_not_matter():
    (_, rig, _), rows = rows_of(crossing, 5, 8, 30, **NOISE)
    order = np.random.default_rng(0).permutation(len(rows))
    one, other = triangulate_rows(rows, rig, CONFIG), triangulate_rows(rows[order], rig, CONFIG)
    for name in one.columns():
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_nobody_and_no_rows():
    (_, rig, _), rows = rows_of(circle, 3, 5, 20, noise_px=2.0)
    for none in (rows[:0], rows.with_columns(person=np.full(len(rows), -1))):
        assert len(triangulate_rows(none, rig, CONFIG)) == 0
