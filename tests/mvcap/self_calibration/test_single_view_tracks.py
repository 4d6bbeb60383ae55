"""Tracks within one view: who goes on, where a track ends, and that no row is of two."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_take import COCO

from mvcap.self_calibration.single_view_tracks import view_tracks
from mvcap.structures.detections import Detections2D, joint_box

SHAPE = np.random.default_rng(0).uniform((-40, -100), (40, 100), (len(COCO), 2))
seeds = st.integers(0, 2**32 - 1)


def rows_of(*people, view=0, seed=0, noise_px=1.0):
    """Rows of bodies of 200 px, each a function from frame to place (x, y) px or None; `carried` is who it is."""
    rng, frame, who, xy = np.random.default_rng(seed), [], [], []
    for person, (path, frames) in enumerate(people):
        for at in frames:
            place = path(at)
            if place is not None:
                frame.append(at)
                who.append(person)
                xy.append(SHAPE + place + rng.normal(0, noise_px, SHAPE.shape))
    xy = np.array(xy).reshape(-1, len(COCO), 2)
    zero, one = np.zeros(len(xy)), np.ones(xy.shape[:2])
    rows = Detections2D(COCO, frame, zero + view, zero - 1, who, joint_box(xy), xy, one, one)
    return rows[rng.permutation(len(rows))]


def walk(start, speed):
    return lambda frame: np.array(start) + np.array(speed) * frame


def owners(rows, tracks):
    """Who each track is, all of its rows being one."""
    out = []
    for track in tracks:
        who = set(rows.carried[track.row].tolist())
        assert len(who) == 1 and (np.diff(track.frame) > 0).all()
        np.testing.assert_array_equal(rows.frame[track.row], track.frame)
        out.append(who.pop())
    return out


def test_people_apart_are_a_track_each_whatever_the_order_of_rows():
    rows = rows_of((walk((0, 0), (3, 0)), range(40)), (walk((900, 0), (-3, 1)), range(5, 30)))
    tracks = view_tracks(rows)
    assert owners(rows, tracks) == [0, 1] and [len(track.row) for track in tracks] == [40, 25]


def test_views_are_tracked_apart():
    both = Detections2D.concatenate(
        [rows_of((walk((0, 0), (3, 0)), range(20)), view=view, seed=view) for view in (2, 0)], COCO
    )
    assert [(track.view, len(track.row)) for track in view_tracks(both)] == [(0, 20), (2, 20)]


@pytest.mark.parametrize(("missing", "count"), [(4, 1), (5, 2)])
def test_a_person_may_be_missing_for_a_few_frames(missing, count):
    frames = [*range(20), *range(20 + missing, 40)]
    assert len(view_tracks(rows_of((walk((0, 0), (2, 0)), frames)))) == count


def test_two_who_pass_each_other_closely_end_their_tracks_rather_than_be_mixed():
    rows = rows_of((walk((0, 0), (8, 0)), range(60)), (walk((480, 6), (-8, 0)), range(60)))
    tracks = view_tracks(rows)
    assert sorted(owners(rows, tracks)) == [0, 0, 1, 1], "a track before the crossing and one after it"
    assert sum(len(track.row) for track in tracks) > 0.8 * len(rows)


def test_a_jump_is_another_person():
    jump = rows_of((lambda frame: np.array([0.0 if frame < 20 else 300.0, 0]), range(40)))
    assert [len(track.row) for track in view_tracks(jump)] == [20, 20]


def test_a_quick_person_is_tracked_at_the_speed_they_have():
    """From rest to 60 px a frame, three times as far as somebody who stands may be off."""
    rows = rows_of((lambda frame: np.array([0.75 * frame**2, 0.0]), range(40)))
    assert [len(track.row) for track in view_tracks(rows)] == [40]


def test_short_tracks_are_left_out():
    rows = rows_of((walk((0, 0), (2, 0)), range(9)), (walk((900, 0), (2, 0)), range(10)))
    assert owners(rows, view_tracks(rows)) == [1]
    assert owners(rows, view_tracks(rows, least_frames=3)) == [1, 0]


def test_rows_of_too_few_joints_continue_no_track():
    rows = rows_of((walk((0, 0), (2, 0)), range(30)))
    few = (rows.frame >= 15)[:, None] & (np.arange(len(COCO)) > 2)
    blind = rows.with_columns(
        xy=np.where(few[..., None], np.nan, rows.xy), score=np.where(few, 0, rows.score),
        noise_px=np.where(few, np.nan, rows.noise_px),
    )  # fmt: skip
    assert [len(track.row) for track in view_tracks(blind)] == [15]


def test_no_rows_make_no_tracks():
    assert view_tracks(Detections2D.empty(COCO)) == []
    rows = rows_of((walk((0, 0), (2, 0)), range(12)))
    nothing = rows.with_columns(
        xy=np.full_like(rows.xy, np.nan), score=0 * rows.score, noise_px=np.full_like(rows.noise_px, np.nan)
    )
    assert view_tracks(nothing) == []


@given(seeds)
@settings(derandomize=True, max_examples=10, deadline=None)
def test_no_row_is_of_two_tracks(seed):
    rng = np.random.default_rng(seed)
    people = [
        (walk(rng.uniform(0, 300, 2), rng.uniform(-10, 10, 2)), range(int(rng.integers(5, 25)))) for _ in range(4)
    ]
    rows = rows_of(*people, seed=seed % 1000, noise_px=5.0)
    used = np.concatenate([np.zeros(0, int), *(track.row for track in view_tracks(rows, least_frames=1))])
    assert len(used) == len(set(used.tolist())) == len(rows)
