"""A track in the camera that turns to the person: what drops out, what stays, gaps and degenerate tracks."""

from dataclasses import replace

import numpy as np
from view_of_walker import lens, view_of, walker

from mvcap.lifting.body_joints import BODY
from mvcap.lifting.virtual_camera import FEATURES, MOMENTS_HZ, moments_of

XYZ, KIND = walker(61)


def same(one, other, tolerance=1e-3):
    np.testing.assert_allclose(one.node, other.node, atol=tolerance)
    np.testing.assert_allclose(one.frame, other.frame, atol=tolerance)


def test_shapes_and_rate():
    track, _, _ = view_of(XYZ, KIND)
    moments = moments_of(track)
    count = round((len(XYZ) - 1) / 25 * MOMENTS_HZ) + 1
    assert moments.node.shape == (count, len(BODY), FEATURES[0]) and moments.frame.shape == (count, FEATURES[1])
    assert np.isfinite(moments.node).all() and np.isfinite(moments.frame).all()
    np.testing.assert_allclose(
        moments.turn @ moments.turn.swapaxes(-1, -2), np.tile(np.eye(3), (count, 1, 1)), atol=1e-9
    )


def test_features_are_the_person_about_the_axis_in_metres():
    """In a plane through the trunk, features are metres but for the size, which is right to a third."""
    track, truth, _ = view_of(XYZ, KIND)
    moments = moments_of(track)
    truth = truth[:: round(25 / MOMENTS_HZ)]
    flat = np.einsum("mab,mjb->mja", moments.turn, truth)[..., :2]
    flat = flat - flat[:, [5, 6, 11, 12]].mean(1, keepdims=True)
    ratio = (moments.node[..., :2] * flat).sum() / (flat**2).sum()
    assert 0.75 < ratio < 1.33
    assert np.abs(moments.node[..., :2] - ratio * flat).max() < 0.25


def test_lens_resolution_and_pan_drop_out():
    plain = moments_of(view_of(XYZ, KIND)[0])
    same(plain, moments_of(view_of(XYZ, KIND, lens(500.0, (640, 480)))[0]), 0.02)
    same(plain, moments_of(view_of(XYZ, KIND, lens(1000.0, bent=(-0.2, 0.05, 0.001, 0.0, 0.0)))[0]), 0.03)
    panned = moments_of(view_of(XYZ, KIND, turned=(0.0, 0.25, 0.0))[0])
    same(replace(plain, node=plain.node[..., [0, 1, 3, 4]]), replace(panned, node=panned.node[..., [0, 1, 3, 4]]), 1e-3)
    assert (
        panned.node[..., 2] <= plain.node[..., 2] + 1e-3
    ).all()  # 2 px aside of the optical axis are a smaller angle


def test_joints_that_vanish_are_masked_and_short_gaps_bridged():
    track, _, _ = view_of(XYZ, KIND)
    knee = KIND.index("left_knee")
    xy = track.xy.copy()
    xy[10:13, knee], xy[20:40, knee] = np.nan, np.nan
    lost = np.isnan(xy).any(-1)
    cut = replace(track, xy=xy, score=np.where(lost, 0, track.score), noise_px=np.where(lost, np.nan, track.noise_px))
    known = moments_of(cut).node[:, knee, -1]
    whole, gap = moments_of(track).node[:, knee], moments_of(cut).node[:, knee]
    assert known[5:7].all() and not known[11:19].any()
    np.testing.assert_allclose(gap[6, :2], whole[6, :2], atol=0.05)
    assert gap[6, 2] >= whole[6, 2]


def test_mirror_of_the_mirror_is_the_same():
    moments = moments_of(view_of(XYZ, KIND)[0])
    node, frame = moments.mirrored()
    back = replace(moments, node=node, frame=frame).mirrored()
    np.testing.assert_array_equal(back[0], moments.node)
    np.testing.assert_array_equal(back[1], moments.frame)


def test_nothing_known_and_one_frame():
    track, _, _ = view_of(XYZ[:1], KIND)
    assert moments_of(track).node.shape[0] == 1
    empty = replace(track, xy=np.full_like(track.xy, np.nan), score=0 * track.score, noise_px=track.noise_px * np.nan)
    moments = moments_of(empty)
    assert not moments.node.any() and np.isfinite(moments.frame).all()
    none = replace(track, time_s=np.zeros(0), xy=track.xy[:0], score=track.score[:0], noise_px=track.noise_px[:0])
    assert len(moments_of(none).time_s) == 1
