"""A network over a track: windows that overlap, the mirror image, covariances, other skeletons, frames of nothing."""

from dataclasses import replace

import numpy as np
import pytest
from view_of_walker import view_of, walker

from mvcap.errors import AssetError
from mvcap.lifting.body_joints import BODY, HIPS, STATURE_SIGMA
from mvcap.lifting.network_lifter import NetworkLifter
from mvcap.lifting.windowed_network import MARGIN, WINDOW, lift_track, window_starts
from mvcap.structures.skeleton import skeleton

XYZ, KIND = walker(100)


def flat_pose(node, frame):
    """A network that puts everything into the plane of the trunk, 0.1 m uncertain along the axis, 0.02 m across."""
    joints = np.concatenate([node[..., :2], np.zeros_like(node[..., :1])], -1)
    joints = joints - joints[..., HIPS, :].mean(-2, keepdims=True)
    factor = np.broadcast_to(np.diag([0.02, 0.02, 0.1]), (*joints.shape, 3))
    return joints.astype(np.float32), factor.astype(np.float32)


def test_windows_cover_every_track():
    for count in (1, WINDOW, WINDOW + 1, 3 * WINDOW + 5, 1000):
        starts = window_starts(count)
        assert starts[0] == 0 and (starts + min(WINDOW, count) <= count).all() and starts[-1] + WINDOW >= count
        assert (np.diff(starts) <= WINDOW - 2 * MARGIN).all()


def test_joints_and_covariances_turn_back_into_the_axes_of_the_camera():
    track, truth, _ = view_of(XYZ, KIND)
    body = lift_track(track, flat_pose)
    assert body.joints.shape == truth.shape and body.scale_sigma == STATURE_SIGMA
    assert np.abs(body.joints[..., :2] - truth[..., :2]).mean() < 0.12
    rays = track.rays()[:, KIND.index("pelvis")]
    along = np.einsum("ta,tjab,tb->tj", rays, body.covariance, rays)
    np.testing.assert_allclose(along, 0.01, rtol=0.05)
    assert np.linalg.eigvalsh(body.covariance).min() > 0
    twice = lift_track(track, flat_pose, 2.0)
    np.testing.assert_allclose(twice.covariance, 4 * body.covariance, rtol=1e-6)


def test_half_the_difference_to_the_mirror_image_is_part_of_the_covariance():
    def leaning(node, frame):
        joints, factor = flat_pose(node, frame)
        joints[..., 0] += 0.2  # to the right, whatever it sees
        return joints, factor

    track, _, _ = view_of(XYZ, KIND)
    plain, lean = lift_track(track, flat_pose), lift_track(track, leaning)
    np.testing.assert_allclose(lean.joints, plain.joints, atol=1e-5)
    aside = np.linalg.eigvalsh(lean.covariance)[..., -1]
    np.testing.assert_allclose(aside, 0.02**2 + 0.2**2, rtol=0.02)


def test_other_skeletons_get_their_joints():
    for name in ("coco17", "blazepose33", "humaneva15"):
        kind = skeleton(name)
        track, _, _ = view_of(XYZ @ np.eye(3) if name == "halpe26" else BODY.apply(BODY, XYZ), BODY)
        xy = np.full((len(XYZ), len(kind), 2), np.nan)
        for at, joint in enumerate(kind.joints):
            if joint in BODY.joints:
                xy[:, at] = track.xy[:, BODY.index(joint)]
        known = np.isfinite(xy).all(-1)
        other = replace(track, skeleton=kind, xy=xy, score=1.0 * known, noise_px=np.where(known, 2.0, np.nan))
        body = lift_track(other, flat_pose)
        assert np.isfinite(body.joints).all() and np.linalg.eigvalsh(body.covariance).min() > 0


def test_nan_where_nothing_is_known():
    track, _, _ = view_of(XYZ, KIND)
    xy = track.xy.copy()
    xy[30:60] = np.nan
    lost = np.isnan(xy).any(-1)
    cut = replace(track, xy=xy, score=np.where(lost, 0, 0.9), noise_px=np.where(lost, np.nan, 2.0))
    body = lift_track(cut, flat_pose)
    assert np.isnan(body.joints[30:60]).all() and np.isfinite(body.joints[:30]).all()
    assert np.isfinite(body.joints[60:]).all() and np.isnan(body.covariance[30:60]).all()
    empty = lift_track(replace(cut, xy=cut.xy * np.nan, score=0 * cut.score, noise_px=cut.noise_px * np.nan), flat_pose)
    assert np.isnan(empty.joints).all() and empty.joints.shape == XYZ.shape
    none = replace(track, time_s=np.zeros(0), xy=track.xy[:0], score=track.score[:0], noise_px=track.noise_px[:0])
    assert lift_track(none, flat_pose).joints.shape == (0, len(KIND), 3)


def test_a_lifter_without_weights_says_how_to_make_them():
    class Missing(NetworkLifter):
        network = "no_such_lift"

    with pytest.raises(AssetError, match="mvcap train no_such_lift"):
        Missing().lift(view_of(XYZ, KIND)[0])
