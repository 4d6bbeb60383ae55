"""The position of a tracked person stays with the body over a long walk, and when it stops and goes on."""

import numpy as np
import pytest
from synthetic_take import COCO, RATE_HZ
from tracked_walkers import figure, frames_of, line, table, walkers

from mvcap.tracking.kalman_tracker import FrameInput, KalmanTracker
from mvcap.tracking.motion_model import predict_states, transition
from mvcap.tracking.tracklets import TrackConfig

CONFIG = TrackConfig()
BODY = figure(0.0, (0.0, 0.0))


def tracker(follows=False, **settings):
    return KalmanTracker(COCO, TrackConfig(**settings), RATE_HZ, follows)


def at(frame, *places, noise_m=0.01):
    """Rows of one frame: the same body at places (x, y, z)."""
    xyz = np.array([BODY + place for place in places]).reshape(-1, len(COCO), 3)
    return table(np.full(len(xyz), frame), np.arange(len(xyz)), xyz, noise_m)


def followed(walk, frames, **settings):
    """A tracker after so many frames of a body that moves without turning: place by frame."""
    made = tracker(**settings)
    for frame in range(frames):
        assert made.link(at(frame, walk(frame))).tolist() == [0]
    return made


def test_the_filter_is_a_kalman_filter():
    """Against one coordinate's filter by textbook, with a joint's noise as that of the torso's middle."""
    walk = np.cumsum(np.random.default_rng(0).normal(0.03, 0.01, 20))
    made = followed(lambda frame: (walk[frame], 0, 0), len(walk))
    noise = FrameInput.of(at(0, (0, 0, 0))).cov[0, 0, 0, 0]
    steps, spread = transition(1 / RATE_HZ, CONFIG.speed_mps, CONFIG.acceleration_mps2)
    start = BODY[COCO.torso, 0].mean()
    x, P = np.array([walk[0] + start, 0]), np.diag([noise, CONFIG.speed_mps**2])
    for place in walk[1:]:
        x, P = steps @ x, steps @ P @ steps.T + spread
        gain = P[:, 0] / (P[0, 0] + noise)
        x, P = x + gain * (place + start - x[0]), P - np.outer(gain, P[0])
    np.testing.assert_allclose(made.mean[0, [0, 3]], x, atol=1e-5)
    np.testing.assert_allclose(made.cov[0][np.ix_([0, 3], [0, 3])], P, atol=1e-7)
    np.testing.assert_allclose(made.cov[0][np.ix_([0, 3], [1, 4])], 0, atol=1e-12)


def test_a_steady_walk_is_predicted_at_its_velocity():
    speed = np.array([1.1, -0.4, 0.0])
    made = followed(lambda frame: speed * frame / RATE_HZ, 60, acceleration_mps2=0.05)
    np.testing.assert_allclose(made.mean[0, 3:], speed, atol=0.02)
    middle = BODY[COCO.torso].mean(0)
    ahead, _ = predict_states(made.mean, made.cov, 0.4, 1.5, 0.05)
    np.testing.assert_allclose(ahead[0, :3], middle + speed * (59 / RATE_HZ + 0.4), atol=0.02)


@pytest.mark.parametrize("speed", [(1.2, 0.0), (0.3, -0.4), (0.0, 0.0)])
def test_the_place_stays_with_the_body_however_long_it_walks(speed):
    made, off = tracker(), []
    for rows in frames_of(walkers(500, (line((-5, 0), speed), 1.0))):
        assert made.link(rows).tolist() == [0]
        off.append(np.linalg.norm(made.mean[0, :3] - FrameInput.of(rows).middle[0]))
    assert max(off[25:]) < 0.06 and np.mean(off[250:]) < 1.5 * np.mean(off[25:250]) + 0.005
