"""The lifters with shipped weights on a generated walker: accuracy, invariances, covariances, speed, odd tracks."""

from dataclasses import replace

import numpy as np
import pytest
from view_of_walker import lens, view_of, walker

from mvcap import plugins
from mvcap.lifters import dynamic_graph, temporal
from mvcap.lifting.body_joints import MIRROR, TYPICAL_STATURE_M, straight_stature
from mvcap.weights import networks

XYZ, KIND = walker(50)
TRACK, TRUTH, _ = view_of(XYZ, KIND, noise_px=2.0)
BY_NAME = {"dynamic_graph": dynamic_graph.DynamicGraphLifter, "temporal": temporal.TemporalLifter}
LIFTERS = list(BY_NAME)


@pytest.fixture(params=LIFTERS)
def lifter(request):
    made = plugins.instance("lifter", request.param, {})
    assert isinstance(made, BY_NAME[request.param])
    return made


def apart_mm(one, other):
    return 1000 * np.linalg.norm(one - other, axis=-1)


def test_a_walker_is_lifted_to_their_joints(lifter):
    body = lifter.lift(TRACK)
    truth = TRUTH * TYPICAL_STATURE_M / straight_stature(KIND, TRUTH)
    error = body.joints - truth
    assert np.linalg.norm(error, axis=-1).mean() < 0.1
    np.testing.assert_allclose(body.joints[:, [11, 12]].mean(1), 0, atol=1e-6)
    square = (error * np.linalg.solve(body.covariance, error[..., None])[..., 0]).sum(-1)
    assert (square < 7.815).mean() > 0.75 and np.linalg.eigvalsh(body.covariance).min() > 0
    assert 0.05 < body.scale_sigma < 0.12


def test_covariances_are_longest_along_the_ray(lifter):
    body = lifter.lift(TRACK)
    wrist = KIND.index("left_wrist")
    axes = np.linalg.eigh(body.covariance[:, wrist])[1][..., -1]
    ray = TRACK.rays()[:, wrist]
    assert np.median(np.abs((axes * ray).sum(-1))) > 0.8


def test_panning_turns_the_result(lifter):
    """About the camera's own vertical axis; the noise in px is that of the same angles, so only rays matter."""
    track, _, R = view_of(XYZ, KIND)
    other, _, S = view_of(XYZ, KIND, turned=(0.0, 0.2, 0.0))
    same_angles = replace(other, noise_px=other.noise_px * track.noise_rad() / other.noise_rad())
    here, there = lifter.lift(track), lifter.lift(same_angles)
    turn = S @ R.T
    assert apart_mm(there.joints, here.joints @ turn.T).max() < 2
    np.testing.assert_allclose(there.covariance, turn @ here.covariance @ turn.T, atol=2e-4)


def test_tilting_turns_the_result_nearly(lifter):
    here, R = lifter.lift(TRACK), view_of(XYZ, KIND)[2]
    tilted, _, S = view_of(XYZ, KIND, turned=(0.1, 0.0, 0.0), noise_px=2.0)
    assert apart_mm(lifter.lift(tilted).joints, here.joints @ (S @ R.T).T).mean() < 25


def test_resolution_focal_length_and_distortion_drop_out(lifter):
    plain = lifter.lift(view_of(XYZ, KIND)[0])
    for made in (lens(500.0, (640, 480)), lens(2000.0, (2560, 1920)), lens(1000.0, bent=(-0.2, 0.05, 0.0, 0.0, 0.0))):
        track, _, _ = view_of(XYZ, KIND, made)
        track = replace(track, noise_px=track.noise_px * view_of(XYZ, KIND)[0].noise_rad() / track.noise_rad())
        assert apart_mm(lifter.lift(track).joints, plain.joints).max() < 2


def test_a_mirrored_track_gives_the_mirrored_pose(lifter):
    xy = TRACK.xy[:, MIRROR].copy()
    xy[..., 0] = 2 * TRACK.lens.K[0, 2] - xy[..., 0]
    mirrored = replace(TRACK, xy=xy, score=TRACK.score[:, MIRROR], noise_px=TRACK.noise_px[:, MIRROR])
    here, there = lifter.lift(TRACK), lifter.lift(mirrored)
    assert apart_mm(there.joints, here.joints[:, MIRROR] * (-1, 1, 1)).max() < 1


def test_one_frame_no_joint_and_lost_joints(lifter):
    one = replace(TRACK, time_s=TRACK.time_s[:1], xy=TRACK.xy[:1], score=TRACK.score[:1], noise_px=TRACK.noise_px[:1])
    body = lifter.lift(one)
    assert body.joints.shape == (1, 26, 3) and apart_mm(body.joints, TRUTH[:1]).mean() < 200
    empty = replace(TRACK, xy=TRACK.xy * np.nan, score=0 * TRACK.score, noise_px=TRACK.noise_px * np.nan)
    assert np.isnan(lifter.lift(empty).joints).all()
    leg = [KIND.index(f"left_{name}") for name in ("knee", "ankle", "big_toe", "small_toe", "heel")]
    xy, score, noise = TRACK.xy.copy(), TRACK.score.copy(), TRACK.noise_px.copy()
    xy[:, leg], score[:, leg], noise[:, leg] = np.nan, 0, np.nan
    hidden, seen = lifter.lift(replace(TRACK, xy=xy, score=score, noise_px=noise)), lifter.lift(TRACK)
    assert np.isfinite(hidden.joints).all()
    spread = [np.trace(body.covariance[:, leg], axis1=-2, axis2=-1).mean() for body in (hidden, seen)]
    assert spread[0] > 1.5 * spread[1]


def test_weights_are_small_and_named(lifter):
    identity = lifter.identity(None)
    assert identity.startswith(lifter.network + "-")
    both = [(networks.SHIPPED / f"{kind.network}.onnx").stat().st_size for kind in BY_NAME.values()]
    assert sum(both) < 1_500_000
