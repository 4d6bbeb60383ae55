"""What microphones hear, and what an event camera reports: arrival times, echoes, thresholds, polarities."""

import numpy as np
import pytest

from mvcap.rendering import event_camera, room_sound
from mvcap.rendering.view_renderer import PixelTruth

LOW, HIGH = np.zeros(3), np.array([6.0, 5.0, 3.0])
RATE_HZ = 48000


def truth_of(shape, person=0):
    flat = np.full(shape, person, np.uint8)
    return PixelTruth(np.ones(shape, np.float32), flat, 3 * flat, np.zeros((*shape, 3)), np.zeros((*shape, 2)))


def test_sound_comes_after_its_way_and_echoes_after_that():
    source, place = np.array([1.0, 2.0, 1.1]), np.array([4.0, 2.0, 1.1])
    echo = room_sound.room_response(source, place, LOW, HIGH, RATE_HZ)
    first = int(np.argmax(np.abs(echo)))
    assert first == pytest.approx(3.0 / room_sound.SPEED_M_S * RATE_HZ, abs=0.6)
    assert echo[first] == pytest.approx(1 / 3, rel=0.3)
    mirrored = np.linalg.norm(source * (1, 1, -1) - place)  # by the floor
    near = np.abs(echo[round(mirrored / room_sound.SPEED_M_S * RATE_HZ) + np.arange(-2, 3)]).max()
    assert near > 0.5 * 0.6 / mirrored


def test_a_clap_is_heard_at_different_times_at_different_places():
    rng = np.random.default_rng(0)
    sound = room_sound.played(4 * room_sound.clap(RATE_HZ, rng), RATE_HZ // 2)
    source = room_sound.SoundSource(np.array([1.0, 1.0, 1.0]), sound)
    places = np.array([[2.0, 1.0, 1.0], [5.0, 4.0, 1.0]])
    onset = []
    for place in places:
        window = room_sound.heard_at(place, [source], LOW, HIGH, RATE_HZ, (1, 2))
        heard = np.concatenate([window(0, 30_000), window(30_000, RATE_HZ)])
        assert len(heard) == RATE_HZ and heard == pytest.approx(window(0, RATE_HZ), abs=1e-12)
        onset.append(np.flatnonzero(np.abs(heard) > 0.3 * np.abs(heard).max())[0] / RATE_HZ)
    way = np.linalg.norm(places - source.place, axis=1) / room_sound.SPEED_M_S
    assert onset == pytest.approx(0.5 + way, abs=1e-3)


def test_speech_has_the_same_samples_in_any_stretch_and_its_loudness():
    speech = room_sound.talk(RATE_HZ, (3, 1))
    whole = speech(-500, 30 * RATE_HZ)
    assert np.sqrt((whole**2).mean()) == pytest.approx(1.0, rel=0.1)
    assert speech(700_000, 700_100) == pytest.approx(whole[700_500:700_600], abs=1e-9)
    assert speech(-500, -400) == pytest.approx(whole[:100], abs=1e-9)
    power = np.abs(np.fft.rfft(whole)) ** 2
    hz = np.fft.rfftfreq(len(whole), 1 / RATE_HZ)
    assert power[(hz > 110) & (hz < 4100)].sum() > 0.98 * power.sum()
    quiet = np.abs(whole[: len(whole) // 480 * 480].reshape(-1, 480)).max(1) < 0.02
    assert 0.02 < quiet.mean() < 0.3  # pauses
    white = room_sound.noise((4,))
    assert white(-10, 70_000).std() == pytest.approx(1, abs=0.02)
    assert np.array_equal(white(65_530, 65_540), white(-10, 70_000)[65_540:65_550])


def test_events_count_the_steps_of_log_light():
    light = np.full((4, 5, 3), 0.1, np.float32)
    camera = event_camera.EventCamera(threshold=0.2, spread=0.0)
    assert len(camera.feed(light, 1.0, truth_of((4, 5))).time_us) == 0
    brighter = light.copy()
    brighter[1, 2] *= np.exp(0.65)
    brighter[3, 4] *= np.exp(-0.45)
    found = camera.feed(brighter, 1.1, truth_of((4, 5), person=2))
    at = {(x, y): found.polarity[(found.x == x) & (found.y == y)].tolist() for x, y in ((2, 1), (4, 3))}
    assert at == {(2, 1): [1, 1, 1], (4, 3): [-1, -1]} and len(found.time_us) == 5
    assert (np.diff(found.time_us) >= 0).all() and found.time_us[0] > 1_000_000 and found.time_us[-1] <= 1_100_000
    up = found.time_us[found.polarity == 1]
    assert np.diff(up) == pytest.approx(0.2 / 0.65 * 1e5, rel=0.03)
    assert set(found.person) == {2} and set(found.part) == {6}
    assert set(found.arrays()) == {"time_us", "x", "y", "polarity", "person", "part"}


def test_what_is_left_below_a_threshold_counts_later():
    light = np.full((1, 1, 3), 0.1, np.float32)
    camera = event_camera.EventCamera(threshold=0.2, spread=0.0)
    counts = [len(camera.feed(light * np.float32(np.exp(0.15 * n)), 0.1 * n, truth_of((1, 1))).x) for n in range(5)]
    assert counts == [0, 0, 1, 1, 0] or sum(counts) == 2


def test_thresholds_differ_between_pixels_by_the_seed():
    light, truth = np.full((40, 40, 3), 0.1, np.float32), truth_of((40, 40))
    found = []
    for seed in (1, 1, 2):
        camera = event_camera.EventCamera(threshold=0.2, spread=0.05, seed=seed)
        camera.feed(light, 0.0, truth)
        found.append(camera.feed(light * np.float32(np.exp(0.2)), 0.1, truth).arrays())
    assert np.array_equal(found[0]["x"], found[1]["x"]) and not np.array_equal(found[0]["x"], found[2]["x"])
    assert 0.35 < len(found[0]["x"]) / 1600 < 0.65
