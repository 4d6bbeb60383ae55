"""The root from which the lifted joints fall on their pixels: exact, equivariant, with the covariance that it has."""

from dataclasses import replace

import numpy as np
import pytest
from view_of_walker import lens, view_of, walker

from mvcap.errors import ConfigError
from mvcap.root_depths.reprojection import GivenDistances, Reprojection, ReprojectionConfig, fitted_roots
from mvcap.structures.view_track import LiftedBody, ViewTrack

FAR = np.array([-4.5, 0.0, -1.6])
INDEPENDENT = ReprojectionConfig(correlated=1.0, together=0.0)


def seen(frames=40, noise_px=0.0, lifted_m=0.0, seed=0, **view):
    """A walker in a view: the track, the body with errors, the true root (T, 3) m in the camera's frame."""
    xyz, kind = walker(frames)
    track, joints, R = view_of(xyz, kind, noise_px=noise_px, seed=seed, **view)
    hips = [kind.index("left_hip"), kind.index("right_hip")]
    root = (xyz[:, hips].mean(1) + FAR) @ R.T
    rng = np.random.default_rng(seed)
    covariance = np.broadcast_to(max(lifted_m, 1e-4) ** 2 * np.eye(3), (*joints.shape, 3))
    return track, LiftedBody(joints + rng.normal(0, 1, joints.shape) * lifted_m, covariance, 0.06), root


def place(track, body, config=INDEPENDENT):
    return Reprojection(config).place(track, body)


def test_exact_pixels_and_joints_give_the_root_through_any_lens():
    for view in ({}, {"camera_lens": lens(700, bent=(-0.25, 0.06, 0.001, -0.001, 0))}, {"turned": (0.2, -0.3, 0.4)}):
        track, body, root = seen(**view)
        found = place(track, body)
        np.testing.assert_allclose(found.root, root, atol=2e-4)
        assert found.scale_sigma == 0.06


def test_all_lengths_and_distances_double_together():
    track, body, _ = seen(noise_px=3, lifted_m=0.03)
    one = place(track, body)
    twice = place(track, LiftedBody(2 * body.joints, 4 * body.covariance, 0.06))
    np.testing.assert_allclose(twice.root, 2 * one.root, rtol=1e-6)
    np.testing.assert_allclose(twice.along_sigma, 2 * one.along_sigma, rtol=1e-6)
    np.testing.assert_allclose(twice.across_sigma, 2 * one.across_sigma, rtol=1e-6)


def test_the_same_rays_of_another_resolution_give_the_same():
    track, body, _ = seen(noise_px=3, lifted_m=0.03)
    larger = ViewTrack(track.skeleton, track.lens.scaled(3), track.time_s, 3 * (track.xy + 0.5) - 0.5, track.score,
                       3 * track.noise_px)  # fmt: skip
    one, other = place(track, body), place(larger, body)
    np.testing.assert_allclose(other.root, one.root, atol=1e-6)
    np.testing.assert_allclose(other.along_sigma, one.along_sigma, rtol=1e-3)


def test_the_covariance_is_that_of_the_errors():
    """Independent errors of pixels and joints: 68 and 95 % of the errors along and across the ray are inside."""
    for noise_px, lifted_m in ((4.0, 0.0), (2.0, 0.04)):
        track, body, root = seen(120, noise_px, lifted_m)
        track = replace(track, noise_px=np.where(track.known, noise_px, np.nan))
        found = place(track, body)
        ray = root / np.linalg.norm(root, axis=-1, keepdims=True)
        off = found.root - root
        along = (off * ray).sum(-1)
        across = np.linalg.norm(off - along[:, None] * ray, axis=-1) / np.sqrt(2)
        assert 0.8 < np.sqrt(np.mean(((along - along.mean()) / found.along_sigma) ** 2)) < 1.25
        assert 0.8 < np.sqrt(np.mean((across / found.across_sigma) ** 2)) < 1.25
        assert (found.along_sigma > 3 * found.across_sigma).all()


def test_one_wrong_joint_moves_the_root_little():
    track, body, root = seen(noise_px=2, lifted_m=0.02)
    xy = track.xy.copy()
    xy[:, track.skeleton.index("left_wrist")] += 120
    off = np.linalg.norm(place(replace(track, xy=xy), body).root - root, axis=-1)
    clean = np.linalg.norm(place(track, body).root - root, axis=-1)
    assert np.median(off) < 2 * np.median(clean) + 0.02


def test_an_unknown_focal_length_scales_the_depth_and_keeps_the_pixels():
    """A lens of half the field: twice the distance; the joints fall on the same pixels as closely."""
    track, body, root = seen()
    for factor in (0.7, 1.5, 2.0):
        K = np.array(track.lens.K)
        K[[0, 1], [0, 1]] *= factor
        other = replace(track, lens=replace(track.lens, K=K))
        found = place(other, body).root
        np.testing.assert_allclose(found[:, 2] / root[:, 2], factor, rtol=0.06)
        place_px = other.lens.distort((found[:, None] + body.joints)[..., :2] / (found[:, None] + body.joints)[..., 2:])
        extent = np.ptp(track.xy[..., 1], axis=1).mean()
        assert np.nanmedian(np.linalg.norm(place_px - track.xy, axis=-1)) < 0.03 * extent


def test_what_is_unknown_is_nan_and_the_rest_is_the_same():
    track, body, _ = seen(noise_px=2, lifted_m=0.02)
    whole = place(track, body)
    xy, joints = track.xy.copy(), body.joints.copy()
    xy[3], joints[5] = np.nan, np.nan
    xy[7, 1:] = np.nan  # a single joint tells no distance
    found = place(replace(track, xy=xy), LiftedBody(joints, body.covariance, 0.06))
    lost = np.isnan(found.root).any(-1)
    assert np.flatnonzero(lost).tolist() == [3, 5, 7] and (np.isnan(found.along_sigma) == lost).all()
    np.testing.assert_allclose(found.root[~lost], whole.root[~lost], atol=1e-9)
    nothing = place(replace(track, xy=np.full_like(xy, np.nan)), body)
    assert np.isnan(nothing.root).all() and nothing.root.shape == (len(xy), 3)


def test_frames_are_independent_so_one_frame_and_none_are_fine():
    track, body, _ = seen(noise_px=2, lifted_m=0.02)
    whole = place(track, body)
    for frames in (slice(4, 5), slice(0, 0)):
        part = ViewTrack(track.skeleton, track.lens, track.time_s[frames], track.xy[frames], track.score[frames],
                         track.noise_px[frames])  # fmt: skip
        found = place(part, LiftedBody(body.joints[frames], body.covariance[frames], 0.06))
        np.testing.assert_allclose(found.root, whole.root[frames], atol=1e-9)


def test_given_distances_are_weighted_by_their_variances():
    track, body, root = seen(noise_px=3, lifted_m=0.05)
    way = np.linalg.norm(root, axis=-1)
    plain = place(track, body)
    given = {share: GivenDistances(1.2 * way, np.full(len(way), share)) for share in (1e-4, 0.1, 1e3)}
    found = {share: fitted_roots(track, body, INDEPENDENT, one) for share, one in given.items()}
    distance = {share: np.linalg.norm(one.root, axis=-1) for share, one in found.items()}
    np.testing.assert_allclose(distance[1e-4], 1.2 * way, rtol=1e-3)
    np.testing.assert_allclose(found[1e3].root, plain.root, atol=1e-3)
    assert ((distance[0.1] > distance[1e3]) & (distance[0.1] < distance[1e-4])).all()
    assert (found[0.1].along_sigma < plain.along_sigma).all()
    only = fitted_roots(track, body, INDEPENDENT, given[0.1], only_given=True)
    np.testing.assert_allclose(np.linalg.norm(only.root, axis=-1), 1.2 * way, rtol=1e-9)
    np.testing.assert_allclose(only.along_sigma, 0.12 * way, rtol=1e-2)
    unknown = GivenDistances(np.full(len(way), np.nan), np.full(len(way), np.nan))
    np.testing.assert_allclose(fitted_roots(track, body, INDEPENDENT, unknown).root, plain.root, atol=1e-9)
    assert np.isnan(fitted_roots(track, body, INDEPENDENT, unknown, only_given=True).root).all()


def test_a_body_of_other_frames_and_wrong_settings_are_refused():
    track, body, _ = seen(4)
    with pytest.raises(ValueError, match="the body has the shape"):
        place(track, LiftedBody(body.joints[:3], body.covariance[:3], 0.06))
    with pytest.raises(ConfigError, match="together from 0 to 1"):
        ReprojectionConfig(together=2.0)
