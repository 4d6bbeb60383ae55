"""The metric joints of the estimator as a lifted body: about the hips, with a covariance that lies along the ray."""

from dataclasses import replace

import numpy as np
import pytest
from view_of_walker import view_of, walker

from mvcap.errors import ConfigError, InputError
from mvcap.lifters.blazepose_world import BlazePoseWorldConfig, BlazePoseWorldLifter, joint_deviations


def lifter(**settings):
    return BlazePoseWorldLifter(BlazePoseWorldConfig(**settings))


def seen(turned=(0.0, 0.0, 0.0)):
    """A track that carries its own true joints, 3 cm beside the hips."""
    xyz, kind = walker(6)
    track, joints, _ = view_of(xyz, kind, turned=turned)
    metric = joints + np.array([0.03, 0, 0])
    metric[2, kind.index("nose")] = np.nan
    return replace(track, metric=metric), joints


def test_the_joints_are_those_of_the_estimator_about_the_middle_of_the_hips():
    track, joints = seen()
    body = lifter().lift(track)
    known = np.isfinite(track.metric).all(-1)
    np.testing.assert_allclose(body.joints[known], joints[known], atol=1e-9)
    assert np.isnan(body.joints[~known]).all() and (np.isfinite(body.covariance).all((-1, -2)) == known).all()
    assert 0.05 < body.scale_sigma < 0.1


def test_the_covariance_is_longest_along_the_ray():
    track, _ = seen(turned=(0.0, 0.4, 0.0))  # the person is to one side in the picture
    body = lifter().lift(track)
    root = track.rays()[:, track.skeleton.index("pelvis")]
    values, vectors = np.linalg.eigh(body.covariance[:, track.skeleton.index("left_wrist")])
    assert (np.abs((vectors[..., -1] * root).sum(-1)) > 0.98).all() and abs(root[0, 0]) > 0.2
    expected = joint_deviations(track.skeleton)[track.skeleton.index("left_wrist")]
    np.testing.assert_allclose(np.sqrt(values), np.broadcast_to(np.sort(expected), values.shape), rtol=1e-6)
    twice = lifter(sigma=2.0).lift(track).covariance
    np.testing.assert_allclose(twice, 4 * body.covariance, rtol=1e-9)


def test_every_joint_has_a_deviation_and_ends_have_the_largest():
    track, _ = seen()
    found = dict(zip(track.skeleton.joints, joint_deviations(track.skeleton), strict=True))
    assert all((one > 0).all() and one[0] == one[1] <= one[2] for one in found.values())
    assert found["left_ankle"][2] > found["left_knee"][2] > found["left_hip"][2]


def test_a_track_without_metric_joints_is_refused_with_what_to_do():
    track, _ = seen()
    with pytest.raises(InputError, match="hold no metric joints; use the estimator blazepose, or people"):
        lifter().lift(replace(track, metric=None))
    empty = lifter().lift(replace(track, metric=np.full_like(track.metric, np.nan)))
    assert np.isnan(empty.joints).all() and np.isnan(empty.covariance).all()
    with pytest.raises(ConfigError, match="sigma must be above 0"):
        lifter(sigma=0)
