"""Synchronisers on takes: people of a rig, and the sound of videos."""

import numpy as np
import pytest
from sounding_clips import write_sounding
from unsynchronised_take import LATE, unsynchronised

from mvcap.errors import ConfigError
from mvcap.structures.sync_evidence import UnsynchronisedTake
from mvcap.synchronisers.audio import AudioConfig, AudioSynchroniser
from mvcap.synchronisers.motion import MotionConfig, MotionSynchroniser


def test_motion_tells_delays_in_seconds():
    rows, rig, _ = unsynchronised("walk", 1, 240)
    names = tuple(camera.name for camera in rig)
    take = UnsynchronisedTake(names, (None,) * 4, np.zeros(4), 8.0, 30.0, 240, rig, rows)
    found = MotionSynchroniser().find(take)
    assert np.allclose((found.late_s - found.late_s[0]) * 30, LATE, atol=0.2)
    assert not found.refused and len(found.pairs) == 6 and found.figures["residual_sigma"] > 0.5
    assert np.isfinite(found.covariance).all()


def test_motion_needs_a_rig():
    take = UnsynchronisedTake(("a", "b"), (None, None), np.zeros(2), 8.0)
    assert "needs a session" in MotionSynchroniser().find(take).refused[0]


def test_audio_tells_delays_and_refuses_a_view_without_sound(tmp_path):
    whole = np.random.default_rng(0).normal(size=16000 * 22)
    files = [
        write_sounding(tmp_path / "a.mkv", whole[: 16000 * 16]),
        write_sounding(tmp_path / "b.mkv", whole[16000 * 2 : 16000 * 18]),
        write_sounding(tmp_path / "c.mkv", whole, silent=True),
    ]
    found = AudioSynchroniser(AudioConfig(apart_m=1.0)).find(
        UnsynchronisedTake(("a", "b", "c"), tuple(files), np.zeros(3), 16.0)
    )
    assert found.late_s[1] - found.late_s[0] == pytest.approx(-2.0, abs=1e-4)
    assert np.isnan(found.late_s[2]) and "no sound" in found.refused[2]
    # The sound's way counts: a metre is 2.9 ms.
    differ = found.covariance[0, 0] + found.covariance[1, 1] - 2 * found.covariance[0, 1]
    assert np.sqrt(differ) == pytest.approx(1 / 343, rel=0.05)


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="reach_s"):
        MotionConfig(reach_s=-1)
    with pytest.raises(ConfigError, match="apart_m"):
        AudioConfig(apart_m=-1)
