"""The learned distance: any lens, any resolution, the size of the lifted body, and what is unknown."""

from dataclasses import replace

import numpy as np
import pytest
from view_of_walker import lens, view_of, walker

from mvcap.errors import ConfigError
from mvcap.root_depths.combined import Combined, CombinedConfig
from mvcap.root_depths.distance_aware import DistanceAware, DistanceAwareConfig, learned_distances, lifted_size
from mvcap.root_depths.distance_aware_features import joints_of, person_crops
from mvcap.root_depths.reprojection import Reprojection, ReprojectionConfig
from mvcap.structures.skeleton import skeleton
from mvcap.structures.view_track import LiftedBody, ViewTrack

FAR = np.array([-4.5, 0.0, -1.6])
BOTH = pytest.mark.parametrize("root_depth", [DistanceAware(DistanceAwareConfig()), Combined(CombinedConfig())],
                               ids=["distance_aware", "combined"])  # fmt: skip


def seen(frames=40, noise_px=2.0, lifted_m=0.03, seed=0, **view):
    """A walker in a view: the track, the body with errors, the true root (T, 3) m in the camera's frame."""
    xyz, kind = walker(frames)
    track, joints, R = view_of(xyz, kind, noise_px=noise_px, seed=seed, **view)
    hips = [kind.index("left_hip"), kind.index("right_hip")]
    rng = np.random.default_rng(seed)
    covariance = np.broadcast_to(max(lifted_m, 1e-4) ** 2 * np.eye(3), (*joints.shape, 3))
    body = LiftedBody(joints + rng.normal(0, 1, joints.shape) * lifted_m, covariance, 0.06)
    return track, body, (xyz[:, hips].mean(1) + FAR) @ R.T


def resized(track, factor):
    return ViewTrack(track.skeleton, track.lens.scaled(factor), track.time_s, factor * (track.xy + 0.5) - 0.5,
                     track.score, factor * track.noise_px)  # fmt: skip


@BOTH
@pytest.mark.parametrize("view", [{}, {"turned": (0.15, -0.3, 0.0)},
                                  {"camera_lens": lens(700, bent=(-0.25, 0.06, 0.001, -0.001, 0))}])  # fmt: skip
def test_a_walker_is_placed_as_well_as_stated_through_any_lens(root_depth, view):
    track, body, root = seen(**view)
    found = root_depth.place(track, body)
    way = np.linalg.norm(root, axis=-1)
    off = np.linalg.norm(found.root, axis=-1) / way - 1
    assert np.abs(off).mean() < 0.08 and (np.abs(off) < 3 * found.along_sigma / way).all()
    ray = root / way[:, None]
    across = found.root - (found.root * ray).sum(-1, keepdims=True) * ray
    assert np.linalg.norm(across, axis=-1).max() < 0.1 and (found.along_sigma > found.across_sigma).all()
    assert found.scale_sigma == body.scale_sigma


@BOTH
def test_a_body_twice_as_large_is_twice_as_far(root_depth):
    track, body, _ = seen()
    one = root_depth.place(track, body)
    twice = root_depth.place(track, LiftedBody(2 * body.joints, 4 * body.covariance, 0.06))
    np.testing.assert_allclose(twice.root, 2 * one.root, rtol=1e-5)
    np.testing.assert_allclose(twice.along_sigma, 2 * one.along_sigma, rtol=1e-5)


@BOTH
def test_the_same_rays_of_another_resolution_or_focal_length_give_the_same(root_depth):
    track, body, _ = seen()
    one, other = root_depth.place(track, body), root_depth.place(resized(track, 2.5), body)
    np.testing.assert_allclose(other.root, one.root, atol=2e-3)
    K = np.array(track.lens.K)
    K[0, 0] *= 1.3  # pixels that are not square
    wide = replace(track, lens=replace(track.lens, K=K))
    xy = wide.lens.distort(track.lens.undistort(track.xy))
    stretched = root_depth.place(replace(wide, xy=xy), body)
    np.testing.assert_allclose(stretched.root, one.root, rtol=0.02, atol=0.01)


@BOTH
@pytest.mark.parametrize("factor", [0.6, 0.8, 1.5, 2.0])
def test_an_unknown_focal_length_scales_the_depth_and_keeps_the_pixels(root_depth, factor):
    """Used f over true f scales the distance; the lifted joints still lie over the person in the picture."""
    track, body, _ = seen()
    K = np.array(track.lens.K)
    K[[0, 1], [0, 1]] *= factor
    other = replace(track, lens=replace(track.lens, K=K))
    one, found = root_depth.place(track, body).root, root_depth.place(other, body).root
    np.testing.assert_allclose(np.median(found[:, 2] / one[:, 2]), factor, rtol=0.06)
    placed = found[:, None] + body.joints
    off = np.linalg.norm(other.lens.distort(placed[..., :2] / placed[..., 2:]) - track.xy, axis=-1)
    assert np.nanmedian(off) < 0.04 * np.ptp(track.xy[..., 1], axis=1).mean()


@BOTH
def test_what_is_unknown_is_nan_and_frames_are_independent(root_depth):
    track, body, _ = seen()
    xy = track.xy.copy()
    xy[3] = np.nan
    xy[7, 1:] = np.nan
    found = root_depth.place(replace(track, xy=xy), body)
    assert np.flatnonzero(np.isnan(found.root).any(-1)).tolist() == [3, 7]
    whole = root_depth.place(track, body)
    keep = np.isfinite(found.root).all(-1)
    np.testing.assert_allclose(found.root[keep], whole.root[keep], atol=1e-5)
    nothing = root_depth.place(replace(track, xy=np.full_like(xy, np.nan)), body)
    assert np.isnan(nothing.root).all() and np.isnan(nothing.along_sigma).all()
    part = ViewTrack(track.skeleton, track.lens, track.time_s[:0], track.xy[:0], track.score[:0], track.noise_px[:0])
    assert root_depth.place(part, LiftedBody(body.joints[:0], body.covariance[:0], 0.06)).root.shape == (0, 3)


@BOTH
def test_one_frame_is_enough(root_depth):
    track, body, root = seen(4)
    first = ViewTrack(track.skeleton, track.lens, track.time_s[:1], track.xy[:1], track.score[:1], track.noise_px[:1])
    found = root_depth.place(first, LiftedBody(body.joints[:1], body.covariance[:1], 0.06))
    assert found.root.shape == (1, 3) and np.abs(np.linalg.norm(found.root) / np.linalg.norm(root[0]) - 1) < 0.2


def test_the_combination_lies_between_its_parts_and_claims_no_less_than_the_better():
    track, body, _ = seen()
    one, other = Reprojection(ReprojectionConfig()).place(track, body), DistanceAware(DistanceAwareConfig()).place(
        track, body)  # fmt: skip
    both = Combined(CombinedConfig()).place(track, body)
    ways = np.stack([np.linalg.norm(found.root, axis=-1) for found in (one, other)])
    way = np.linalg.norm(both.root, axis=-1)
    assert ((way > ways.min(0) - 0.02) & (way < ways.max(0) + 0.02)).all()
    least = np.minimum(one.along_sigma, other.along_sigma)
    assert (both.along_sigma > 0.95 * least).all()


def test_a_factor_on_the_deviation_is_one_of_the_stated_distances():
    track, body, _ = seen(5)
    one, twice = learned_distances(track, body), learned_distances(track, body, 2.0)
    np.testing.assert_allclose(twice.share, 2 * one.share)
    np.testing.assert_allclose(twice.metres, one.metres)


def test_the_size_is_the_median_of_the_limbs_and_1_without_any():
    track, body, _ = seen(10)
    size = lifted_size(track, body)
    assert 0.7 < size < 1.3
    assert lifted_size(track, LiftedBody(1.5 * body.joints, body.covariance, 0.06)) == pytest.approx(1.5 * size)
    assert lifted_size(track, LiftedBody(np.full_like(body.joints, np.nan), body.covariance, 0.06)) == 1.0


def test_crops_are_those_of_the_camera_turned_to_the_person():
    track, _, _ = seen(6, noise_px=0)
    turned, _, _ = seen(6, noise_px=0, turned=(0.1, -0.35, 0.0))
    one, other = person_crops(track), person_crops(turned)
    np.testing.assert_allclose(other.side, one.side, rtol=0.02)
    place = one.node[..., :2]
    assert np.abs(place).max() <= 0.8001 and (np.abs(place).max((1, 2)) > 0.79).all()
    assert np.abs(other.node[..., :2] - place).max() < 0.12  # turned a little about the ray, as the shortest way has it
    mirrored = one.mirrored()
    left, right = joints_of(track.skeleton)[[9, 10]]
    np.testing.assert_allclose(mirrored[:, left, 0], -one.node[:, right, 0])
    np.testing.assert_allclose(one.k_m, 2 / one.side)


def test_joints_are_found_by_name_and_others_are_masked():
    index = joints_of(skeleton("humaneva15"))
    names = skeleton("halpe26").joints
    assert index[names.index("neck")] == skeleton("humaneva15").index("thorax") and index[names.index("nose")] == -1


def test_the_network_has_its_name_and_settings_have_limits(tmp_path):
    from calib import Camera, Rig

    rig = Rig((Camera(lens(), np.eye(4)),))
    for root_depth in (DistanceAware(DistanceAwareConfig()), Combined(CombinedConfig())):
        assert root_depth.identity(rig).startswith("depth-")
    for made in (DistanceAwareConfig, CombinedConfig):
        with pytest.raises(ConfigError, match="sigma must be above 0"):
            made(sigma=0.0)
