"""Pictures: frozen ones, steps of brightness, and views of one camera; rooms where nothing moves are left alone."""

import cv2
import numpy as np
import pytest

from mvcap.footage_checks.exposure import brightness_steps, check_exposure
from mvcap.footage_checks.picture_series import (
    BURST,
    MOST_MOMENTS,
    PictureSeries,
    log_gain,
    mean_difference,
    moments,
    small_copy,
)
from mvcap.footage_checks.same_camera import check_same_camera, displacement, likeness
from mvcap.footage_checks.still_pictures import check_frozen, moving_share, repeat_share, still_runs

RATE_HZ, FRAMES, SIZE = 25.0, 150, (480, 270)


def room(seed):
    """A background (H, W) of texture at all scales, levels 30 to 200."""
    rng = np.random.default_rng(seed)
    height, width = SIZE[1] + 40, SIZE[0] + 40
    scales = [cv2.GaussianBlur(rng.normal(0, 1, (height, width)), (0, 0), s) * s for s in (1.5, 4, 12, 40)]
    return cv2.normalize(sum(scales), None, 30, 200, cv2.NORM_MINMAX).astype(np.float32)


def view(seed=0, shift=(0, 0), people=2, noise=1.5, frames=FRAMES, lag=0, near=0.0):
    """Pictures (F, H, W) u8: people who walk before a room; shift: of the camera, px; near: of people, beside."""
    back = room(seed)[20 + shift[1] :, 20 + shift[0] :][: SIZE[1], : SIZE[0]]
    rng = np.random.default_rng(1000 + seed + shift[0])
    out = []
    for frame in range(frames):
        image = back.copy()
        for person in range(people):
            phase = 0.05 * (frame - lag) * (1 + 0.3 * person) + person
            x = int(SIZE[0] * (0.5 + 0.4 * np.sin(phase)) - shift[0] - near)
            cv2.ellipse(image, (x, 160), (14, 60), 0, 0, 360, 60.0 + 120 * person, -1)
            cv2.ellipse(image, (x, 85), (9, 12), 0, 0, 360, 170.0, -1)
        out.append(np.clip(image + rng.normal(0, noise, image.shape), 0, 255).astype(np.uint8))
    return np.stack(out)


def facts(pictures, stretch=None, rate_hz=RATE_HZ):
    time_s = np.arange(len(pictures)) / rate_hz
    series = PictureSeries(moments(time_s[0], time_s[-1]))
    for number, picture in enumerate(pictures):
        series.add(time_s[number], picture, 0 if stretch is None else int(stretch[number]))
    return series.facts()


@pytest.fixture(scope="module")
def walking():
    return view(0)


@pytest.fixture(scope="module")
def beside():
    return facts(view(1))


# Figures


def test_figures_of_pictures(walking):
    found = facts(walking)
    assert len(found) == FRAMES and np.isnan(found.difference[0]) and found.difference[1:].min() > 0.5
    assert np.abs(found.gain[1:]).max() < 0.01 and (found.size == SIZE).all()
    assert found.bursts.shape[1:] == (BURST, *small_copy(walking[0]).shape) and len(found.bursts) > 10
    assert (np.diff(found.burst_s) > 0).all()
    parted = facts(walking, np.arange(FRAMES) // 50)
    assert np.isnan(parted.difference[[0, 50, 100]]).all() and np.isfinite(parted.leap[[50, 100]]).all()
    assert mean_difference(walking[0], walking[0]) == 0
    grey = np.full((90, 160), 100, np.uint8)
    assert log_gain(small_copy(grey), small_copy(2 * grey)) == pytest.approx(np.log(208 / 108))


@pytest.mark.parametrize(("first_s", "last_s"), [(0, 0), (0, 1.65), (0.04, 3600), (5, 5.2), (-1, 100)])
def test_moments_are_few_and_shared_by_views_of_other_lengths(first_s, last_s):
    found = moments(first_s, last_s)
    assert 0 < len(found) <= MOST_MOMENTS + 1 and found[0] >= first_s and found[-1] <= last_s
    other = moments(first_s + 0.01, last_s * 1.02)
    assert last_s - first_s < 0.1 or len(np.intersect1d(found, other)) >= len(found) / 2 - 1


# Frozen


def test_people_who_walk_and_an_empty_room_are_not_frozen(walking, beside):
    empty = facts(view(2, people=0))
    assert check_frozen({"a": facts(walking), "b": beside, "c": empty}) == []
    assert not still_runs(facts(np.repeat(walking[:1], 2, 0)))


@pytest.mark.parametrize("equal", [True, False])
def test_frozen_pictures_are_found_with_their_times(walking, beside, equal):
    held = walking.copy()
    held[60:100] = held[60]
    if not equal:  # as a codec leaves it
        held[65:100:7, :2, :9] ^= 1
    [found] = check_frozen({"a": facts(held), "b": beside})
    assert (found.kind, found.severity, found.views) == ("frozen", "warning", ("a",))
    assert found.start_s == pytest.approx(60 / RATE_HZ) and found.stop_s == pytest.approx(99 / RATE_HZ)
    assert found.figures["pictures"] == 40 and found.figures["jump"] > 1.5 and "b changes as usual" in found.meaning
    assert ("not in one pixel" in found.meaning) == equal
    held[60:] = held[60]
    [found] = check_frozen({"a": facts(held), "b": beside})
    assert found.severity == "warning" and found.stop_s == pytest.approx((FRAMES - 1) / RATE_HZ)


def test_a_picture_that_never_changes_while_others_do(walking, beside):
    [found] = check_frozen({"a": facts(np.repeat(walking[:1], FRAMES, 0)), "b": beside})
    assert found.severity == "warning" and found.figures["pictures"] == FRAMES


def test_where_no_view_changes_and_where_nothing_ever_moves_it_is_a_note(walking):
    still = walking.copy()
    still[60:100] = still[60]
    other = view(1)
    other[55:105] = other[55]
    found = check_frozen({"a": facts(still), "b": facts(other)})
    assert len(found) == 2 and {one.severity for one in found} == {"note"} and "stand still" in found[0].meaning
    coded = view(2, people=0, noise=0.4)  # a room whose noise strong compression removes between key frames
    coded = np.repeat(coded[::25], 25, 0)
    found = check_frozen({"a": facts(coded), "b": facts(walking)})
    assert {one.severity for one in found} <= {"note"}


def test_people_who_leave_a_quiet_picture_are_no_freeze(walking):
    """Somebody leaves, nothing moves without noise, somebody enters: no jump."""
    back = room(3)[: SIZE[1], : SIZE[0]].astype(np.uint8)
    out = []
    for frame in range(FRAMES):
        image = back.copy()
        place = abs(frame - 75) * 8 - 350
        if abs(frame - 75) > 40:
            cv2.rectangle(image, (place, 60), (place + 30, 220), 90, -1)
        out.append(image)
    found = check_frozen({"a": facts(np.stack(out)), "b": facts(walking)})
    assert [one.severity for one in found] == ["note"] and "without a jump" in found[0].meaning


def test_runs_in_stretches_join_if_they_show_the_same(walking):
    held = walking.copy()
    held[40:110] = held[40]
    looked = np.r_[0:20, 50:70, 80:100, 120:150]
    stretch = np.repeat([0, 1, 2, 3], [20, 20, 20, 30])
    [run] = still_runs(facts(held[looked], stretch))
    assert (run.first, run.last) == (20, 59) and run.equal
    held[80:110] = held[140]
    assert len(still_runs(facts(held[looked], stretch))) == 2


def test_pictures_repeated_by_conversion(walking):
    assert repeat_share(facts(walking)) == 0
    pulled = walking[np.arange(FRAMES) * 4 // 5]
    assert repeat_share(facts(pulled)) == pytest.approx(0.2)
    [found] = check_frozen({"a": facts(pulled)})
    assert (found.kind, found.severity) == ("repeated pictures", "note") and "20 %" in found.meaning
    assert repeat_share(facts(walking[np.arange(FRAMES) // 2])) == pytest.approx(0.5)


def test_moving_share(walking):
    found = facts(walking)
    assert moving_share(found, 1.0, 2.0) == pytest.approx(1, abs=0.2) and np.isnan(moving_share(found, 90, 91))


# Exposure


def test_steps_of_exposure_are_found_and_people_are_none(walking, beside):
    assert check_exposure({"a": facts(walking), "b": beside}) == []
    stepped = walking.astype(float)
    stepped[80:] *= 1.4
    [found] = check_exposure({"a": facts(np.clip(stepped, 0, 255).astype(np.uint8)), "b": beside})
    assert (found.kind, found.severity, found.views) == ("exposure", "warning", ("a",))
    assert found.start_s == pytest.approx(80 / RATE_HZ) and found.figures["ratio"] == pytest.approx(1.4, abs=0.05)
    assert "brighter" in found.meaning and "camera's exposure" in found.meaning
    gentle = walking.astype(float)
    gentle[80:] *= 0.9
    [found] = check_exposure({"a": facts(gentle.astype(np.uint8)), "b": beside})
    assert found.severity == "note" and "darker" in found.meaning


def test_a_flash_is_none_and_light_of_the_room_is_a_note(walking):
    flash = walking.astype(float)
    flash[80] *= 1.5
    assert brightness_steps(facts(np.clip(flash, 0, 255).astype(np.uint8))) == []
    views = {}
    for seed in (0, 1):
        lit = view(seed).astype(float)
        lit[80:] *= 0.6
        views[str(seed)] = facts(lit.astype(np.uint8))
    found = check_exposure(views)
    assert len(found) == 2 and {one.severity for one in found} == {"note"} and "light of the room" in found[0].meaning


# One camera twice


def test_views_of_one_camera_are_found_although_darker_smaller_coarser_and_late(walking):
    one = facts(walking)
    other = np.stack([cv2.resize(p, (240, 136), interpolation=cv2.INTER_AREA) for p in view(0, lag=3)])
    coarse = [
        cv2.imdecode(cv2.imencode(".jpg", (0.7 * p + 5).astype(np.uint8), [1, 30])[1], cv2.IMREAD_GRAYSCALE)
        for p in other
    ]
    [found] = check_same_camera({"a": one, "b": facts(np.stack(coarse))})
    assert (found.kind, found.severity, found.views) == ("same camera", "error", ("a", "b"))
    assert found.figures["lag_frames"] == 3 and found.figures["shift"] < 1.0
    empty = view(5, people=0)
    assert likeness(facts(empty), facts(empty[:, ::1])).same  # where nothing moves


@pytest.mark.parametrize(("shift", "near"), [((2, 0), 2), ((4, 1), 3), ((12, 0), 8), ((0, 3), 0), ((0, 0), 6)])
def test_two_cameras_side_by_side_are_not_accused(walking, shift, near):
    """Displaced by 2 of 480 pixels: a quarter of a degree; near: people only, before a room at infinity."""
    found = likeness(facts(walking), facts(view(0, shift, near=near)))
    assert not found.same, found
    assert found.shift > 1.5 or found.moving < 0.75


def test_other_rooms_black_pictures_and_other_times_say_nothing(walking, beside):
    assert not likeness(facts(walking), beside).same
    black = facts(np.full((FRAMES, *SIZE[::-1]), 3, np.uint8))
    assert likeness(black, black).moments == 0 and not likeness(black, black).same
    assert check_same_camera({"a": black, "b": black, "c": beside}) == []
    turned = facts(walking.transpose(0, 2, 1).copy())
    assert likeness(facts(walking), turned).moments == 0


def test_displacement_is_measured():
    back = cv2.GaussianBlur(room(7), (0, 0), 4)
    a = back[20:-20, 20:-20][None] / back.std()
    for shift in (0.3, 0.8):
        moved = cv2.warpAffine(back, np.float32([[1, 0, shift], [0, 1, 0]]), back.shape[::-1], flags=cv2.INTER_CUBIC)
        assert displacement(a, moved[20:-20, 20:-20][None] / back.std()) == pytest.approx(shift, rel=0.2)
