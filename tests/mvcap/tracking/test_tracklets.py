"""What is kept of tracklets: sums over segments, where segments end, and which one a row is of."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_take import COCO, RATE_HZ
from tracked_walkers import figure, frames_of, line, linked, numbered_anew, table, walkers, within

from mvcap.errors import ConfigError
from mvcap.tracking.limb_reid import limb_sums
from mvcap.tracking.tracklets import LOST_S, Cut, TrackConfig, Tracklets

LOST = round(LOST_S * RATE_HZ)
BODY = figure(0.0, (0.0, 0.0))


def kept():
    return Tracklets(COCO, TrackConfig(), RATE_HZ)


def add(tracklets, frame, idents, places=None, measurable=True, score=0.9, views=4, groups=None):
    """One frame of bodies, each at its place (x, y) m, whose state is that place."""
    idents = np.asarray(idents, np.int64)
    places = np.zeros((len(idents), 2)) if places is None else np.asarray(places, float)
    xyz = BODY + np.pad(places, ((0, 0), (0, 1)))[:, None]
    rows = table(np.full(len(idents), frame), idents if groups is None else groups, xyz, score=score, views=views)
    mean = np.concatenate([places, np.full((len(idents), 4), float(frame))], axis=1)
    cov = np.broadcast_to(np.eye(6) * (1 + frame), (len(idents), 6, 6))
    tracklets.add(rows, idents, mean, cov, np.broadcast_to(measurable, len(idents)))
    return rows


def segments(tracklets, ident):
    """First and last frame of each segment of a tracklet."""
    return [(int(tracklets.all["first"][one]), int(tracklets.all["last"][one])) for one in tracklets.pieces[ident]]


# --- sums ------------------------------------------------------------------------------------------------------------


def test_sums_are_those_of_the_rows():
    tracklets, sums = kept(), 0
    for frame in range(10):
        rows = add(tracklets, frame, [0], score=0.5 + 0.02 * frame, views=2 + frame % 3)
        sums = sums + limb_sums(rows)[0]
    one = tracklets.all[0]
    assert (one["first"], one["last"], one["frames"], one["joints"]) == (0, 9, 10, 170)
    assert one["score"] == pytest.approx(sum(0.5 + 0.02 * frame for frame in range(10)), rel=1e-5)
    assert one["views"] == pytest.approx(sum(2 + frame % 3 for frame in range(10)))
    np.testing.assert_allclose(one["limbs"], sums)


def test_limbs_are_measured_only_where_they_can_be_trusted():
    tracklets = kept()
    for frame in range(6):
        add(tracklets, frame, [0, 1], [(0, 0), (0.3, 0)], measurable=np.array([frame < 2, True]))
    np.testing.assert_array_equal(tracklets.all["limbs"][:, :, 0], [[2] * len(COCO.limbs), [6] * len(COCO.limbs)])


def test_states_are_those_of_the_end_and_of_when_the_velocity_is_known():
    tracklets = kept()
    for frame in range(30):
        add(tracklets, frame, [0], [(0.1 * frame, 0)], groups=[frame + 5])
    one, begun = tracklets.all[0], int(0.3 * RATE_HZ)
    assert one["begun"] == begun and one["group_first"] == 5 and one["group"] == 34
    np.testing.assert_allclose(one["start_mean"], [0.1 * begun, 0, *[begun] * 4])
    np.testing.assert_allclose(one["end_mean"], [2.9, 0, 29, 29, 29, 29])
    np.testing.assert_allclose(one["end_cov"], 30 * np.eye(6))


def test_nothing_is_kept_of_nothing():
    tracklets = kept()
    add(tracklets, 3, [])
    assert len(tracklets.all) == 0 and tracklets.pieces == [] and tracklets.cuts == []
    np.testing.assert_array_equal(tracklets.pieces_at(np.array([-1, -1]), np.array([0, 5])), [-1, -1])


def test_room_grows_for_many_segments_and_nothing_is_lost():
    tracklets = kept()
    for frame in range(3):
        add(tracklets, frame, np.arange(200), np.stack([np.arange(200), np.zeros(200)], 1))
    assert len(tracklets.all) == 200
    np.testing.assert_array_equal(tracklets.all["frames"], 3)
    np.testing.assert_allclose(tracklets.all["end_mean"][:, 0], np.arange(200))


# --- where segments end ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("away", "count"), [(LOST, 1), (LOST + 1, 2)])
def test_who_was_lost_for_a_moment_begins_a_new_segment(away, count):
    tracklets = kept()
    for frame in (0, 1, 2, 2 + away, 3 + away):
        add(tracklets, frame, [0])
    assert len(tracklets.pieces[0]) == count
    if count == 2:
        assert segments(tracklets, 0) == [(0, 2), (2 + away, 3 + away)]
        assert tracklets.cuts == [Cut(1 + away, 0, 1)]


def test_an_encounter_cuts_both_at_its_closest_frame():
    tracklets = kept()
    for frame in range(40):
        add(tracklets, frame, [0, 1])
    tracklets.cut(10, 20, 0, 1)
    assert segments(tracklets, 0) == segments(tracklets, 1) == [(0, 20), (21, 39)]
    assert tracklets.cuts == [Cut(20, 0, 2, 1, 3)]
    add(tracklets, 40, [0, 1])
    assert segments(tracklets, 1)[-1] == (21, 40)


def test_a_tracklet_that_ended_in_the_encounter_has_nothing_after_it():
    tracklets = kept()
    for frame in range(30):
        add(tracklets, frame, [0, 1] if frame <= 15 else [1])
    tracklets.cut(10, 20, 0, 1)
    assert tracklets.cuts == [Cut(20, 0, -1, 1, 2)]
    assert segments(tracklets, 0) == [(0, 15)] and segments(tracklets, 1) == [(0, 20), (21, 29)]


def test_who_was_lost_during_the_encounter_is_cut_only_there():
    tracklets = kept()
    for frame in range(60):
        add(tracklets, frame, [0, 1] if not 14 <= frame < 26 else [1])
    tracklets.cut(10, 20, 0, 1)
    assert segments(tracklets, 0) == [(0, 13), (26, 59)] and segments(tracklets, 1) == [(0, 20), (21, 59)]
    assert tracklets.cuts[-1] == Cut(20, 0, 2, 1, 3)


# --- which segment a row is of ---------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1))
@settings(derandomize=True, max_examples=12, deadline=None)
def test_every_row_is_found_in_its_segment(seed):
    rng, tracklets, rows = np.random.default_rng(seed), kept(), []
    there = rng.random((60, 4)) < np.repeat(rng.random((12, 4)), 5, axis=0)
    for frame in range(60):
        who = np.flatnonzero(there[frame])
        add(tracklets, frame, who)
        rows += [(int(one), frame) for one in who]
    for _ in range(3):
        a, b = rng.choice(4, 2, replace=False)
        if there[:, a].any() and there[:, b].any():
            start = int(rng.integers(0, 50))
            tracklets.cut(start, start + 4, int(a), int(b))
    if not rows:
        return
    idents, frames = np.array(rows, np.int64).T
    found = tracklets.pieces_at(idents, frames)
    held = tracklets.all
    np.testing.assert_array_equal(held["ident"][found], idents)
    for piece, ident, frame in zip(found.tolist(), idents.tolist(), frames.tolist(), strict=True):
        begun = [one for one in tracklets.pieces[ident] if held["first"][one] <= frame]
        assert piece == (begun or tracklets.pieces[ident][:1])[-1]
    np.testing.assert_array_equal(tracklets.pieces_at(np.append(idents, -1), np.append(frames, 3))[-1], -1)


def test_a_frame_before_the_first_is_of_the_first_segment():
    tracklets = kept()
    for frame in (20, 21, 60, 61):
        add(tracklets, frame, [0])
    found = tracklets.pieces_at(np.zeros(5, np.int64), np.array([3, 20, 40, 60, 99]))
    np.testing.assert_array_equal(found, [0, 0, 0, 1, 1])


# --- the first pass --------------------------------------------------------------------------------------------------

CROSSING = (line((-2, 0), (1, 0)), 1.0), (line((2, 0.3), (-1, 0)), 1.0), (within(line((0, 2), (0, 0)), (1, 3)), 1.1)


def test_the_first_pass_never_depends_on_later_frames():
    rows = numbered_anew(walkers(60, *CROSSING))
    _, whole = linked(rows)
    for end in (20, 45):
        early = rows[rows.frame < end]
        np.testing.assert_array_equal(linked(early)[1], whole[: len(early)])


def test_the_order_of_rows_within_a_frame_does_not_matter():
    rows = walkers(80, *CROSSING)
    _, plain = linked(rows)
    mixed = numbered_anew(rows)
    _, other = linked(mixed)
    pairs = {tuple(pair) for pair in np.stack([mixed.person, other], 1).tolist()}
    assert len(pairs) == 3 == len({tuple(pair) for pair in np.stack([rows.person, plain], 1).tolist()})


def test_segments_of_the_first_pass_hold_every_linked_row_once():
    linker, ident = linked(numbered_anew(walkers(100, *CROSSING)))
    held = linker.tracklets.all
    assert held["frames"].sum() == (ident >= 0).sum() == 250
    assert sorted(one for mine in linker.tracklets.pieces for one in mine) == list(range(len(held)))
    for mine in linker.tracklets.pieces:
        last, first = held["last"][mine], held["first"][mine]
        assert (first <= last).all() and (first[1:] > last[:-1]).all()


def test_a_frame_of_bodies_without_joints_is_survived():
    rows = walkers(3, (line((0, 0), (0, 0)), 1.0))
    nothing = table(np.arange(3), np.zeros(3), np.full(rows.xyz.shape, np.nan))
    linker, ident = linked(nothing)
    assert (ident == -1).all() and len(linker.tracklets.all) == 0
    assert [len(one) for one in frames_of(nothing)] == [1, 1, 1]


@pytest.mark.parametrize("key", ["occlusion_s", "min_seconds", "speed_mps"])
def test_settings_that_cannot_be_are_refused_by_name(key):
    with pytest.raises(ConfigError, match=key):
        TrackConfig(**{key: -0.1})
