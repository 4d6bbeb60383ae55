"""People, rooms and sound of a session before it is filmed: in view, by the seed, furniture beside people's paths."""

from dataclasses import replace

import numpy as np
import pytest
from generated_people import ring_rig

from mvcap.datasets import session_sound, session_stage
from mvcap.progress import silent

CONFIG = session_stage.SessionConfig(people=2, seconds=2.0, rate_hz=10.0, seed=3, body="capsules", unsynchronised_s=0.2)


@pytest.fixture(scope="module")
def stage():
    return session_stage.staged(ring_rig(3), CONFIG, silent)


def test_motion_is_in_the_volume_that_the_rig_sees():
    motion = session_stage.random_motion(ring_rig(4), 3, 2.0, seed=1)
    assert motion.joints.shape[1:] == (3, 26, 3) and np.isfinite(motion.joints).all()
    assert np.abs(np.median(motion.joints[..., :2], axis=(0, 1, 2))).max() < 2.5
    assert motion.low_m.min() >= 0 and motion.low_m.max() < 1.0
    assert np.diff(motion.time_s) == pytest.approx(1 / 60)


def test_furniture_stands_in_the_room_and_touches_nobody(stage):
    more = stage.room.boxes[len(stage.bare.boxes) :]
    assert len(more) >= 3 and stage.room.boxes[: len(stage.bare.boxes)] == stage.bare.boxes
    assert len(stage.room.colours) == 6 + 6 * len(stage.room.boxes) + 2
    for time_s in np.arange(0, 2.5, 0.1):
        vertices = stage.people.vertices(float(time_s))
        for low, high in more:
            assert not ((vertices > low) & (vertices < high)).all(-1).any()
    again = session_stage.staged(ring_rig(3), CONFIG, silent)
    assert np.array_equal(again.room.vertices, stage.room.vertices)
    without = session_stage.staged(ring_rig(3), replace(CONFIG, furniture=False), silent)
    assert without.room is without.bare and np.array_equal(without.bare.vertices, stage.bare.vertices)
    assert np.array_equal(without.people.vertices(1.0), stage.people.vertices(1.0))


def test_clocks_begin_when_it_is_said(stage):
    assert stage.begins_s[0] == 0 and (stage.begins_s[1:] > 0).all() and stage.begins_s.max() <= 0.2
    assert stage.frames == 20 and stage.seconds == pytest.approx(2.2)
    assert stage.time_of(5, 1) - stage.time_of(5) == pytest.approx(stage.begins_s[1])


def test_sound_is_written_once_and_has_the_clap_where_it_is_said(stage, tmp_path):
    import wave

    session_sound.record_sound(stage, tmp_path, silent)
    at = session_sound.clap_time(stage)
    assert 0.2 < at < 2.0 and len(session_sound.sound_sources(stage)) == 3
    for view, camera in enumerate(stage.rig):
        with wave.open(str(tmp_path / "sound" / f"{camera.name}.wav")) as file:
            heard = np.abs(np.frombuffer(file.readframes(10**7), np.int16) / 32767)
        assert len(heard) == 96_000 and heard.max() == pytest.approx(0.7, abs=0.01)
        onset = np.flatnonzero(heard > 0.25)[0] / 48000 + stage.begins_s[view]
        assert at < onset < at + 0.03
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.wav")}
    session_sound.record_sound(stage, tmp_path, silent)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.wav")}
