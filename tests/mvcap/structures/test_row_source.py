"""Rows in memory as stages read them: every row once, in the order of frames, in any cut."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from walking_take import COCO, poses

from mvcap.structures.artefact import Artefact, Origin
from mvcap.structures.poses import Poses3D
from mvcap.structures.row_source import RowsInMemory

TABLE = poses(10, absent=lambda frame, person: frame in (3, 4) or (frame == 7 and person == 1))


def same(one, other):
    assert one.skeleton == other.skeleton
    assert all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in one.columns())


@settings(max_examples=30)
@given(frames=st.integers(10, 14), step=st.integers(1, 20), shuffled=st.booleans())
def test_chunks_hold_every_row_once_in_order(frames, step, shuffled):
    rows = TABLE
    if shuffled:  # frames in any order, rows of a frame as they were
        order = np.argsort(np.random.default_rng(step).permutation(10)[TABLE.frame], kind="stable")
        rows = TABLE[order]
    source = RowsInMemory(rows, frames, step)
    ranges = source.ranges()
    assert ranges[0][0] == 0 and ranges[-1][1] == frames
    assert all(one[1] == two[0] for one, two in pairwise(ranges))
    chunks = list(source.chunks())
    assert [stop - start for start, stop in ranges[:-1]] == [step] * (len(ranges) - 1)
    for (start, stop), chunk in zip(ranges, chunks, strict=True):
        same(chunk, TABLE[(TABLE.frame >= start) & (TABLE.frame < stop)])
    same(Poses3D.concatenate(chunks, COCO), TABLE)


def test_rows_that_come_backwards_are_put_in_order():
    one = TABLE.of(person=2)
    same(RowsInMemory(one[::-1], 10, 4).between(0, 10), one)


@settings(max_examples=40)
@given(st.integers(-2, 12), st.integers(-2, 12))
def test_any_range_of_frames_can_be_asked_for(start, stop):
    wanted = TABLE[(TABLE.frame >= start) & (TABLE.frame < stop)]
    same(RowsInMemory(TABLE, 10, 4).between(start, max(start, stop)), wanted)


def test_no_rows_and_no_frames():
    empty = RowsInMemory(Poses3D.empty(COCO), 7, 3)
    assert empty.ranges() == [(0, 3), (3, 6), (6, 7)] and [len(chunk) for chunk in empty.chunks()] == [0, 0, 0]
    assert empty.skeleton is COCO
    assert RowsInMemory(Poses3D.empty(COCO), 0, 3).ranges() == []


def test_states_are_those_of_the_chunks():
    states = {0: {"next": np.array(1)}, 4: {"next": np.array(2)}}
    source = RowsInMemory(TABLE, 10, 4, states)
    assert int(source.state(4)["next"]) == 2 and source.state(8) == {}
    assert RowsInMemory(TABLE, 10, 4).state(0) == {}


@pytest.mark.parametrize("step", [3, 10])
def test_memory_and_a_sessions_folder_are_read_alike(tmp_path, step):
    source, artefact = RowsInMemory(TABLE, 10, step), Artefact(tmp_path / "track", Poses3D)
    artefact.begin(Origin("track", 1, {}, {}), "coco17", 10, step)
    for start, stop in source.ranges():
        artefact.write(start, source.between(start, stop), {"next": np.array(start)})
    assert source.ranges() == artefact.ranges() and source.skeleton == artefact.skeleton
    for ours, theirs in zip(source.chunks(), artefact.chunks(), strict=True):
        same(ours, theirs)
    same(source.between(2, 8), artefact.between(2, 8))
