"""Online ids: given within the delay, never revised, and only to confirmed tracklets."""

from functools import partial

import numpy as np
import pytest
from synthetic_take import COCO
from tracked_walkers import MIDDLE, SMALL, TALL, figure, frames_of, line, numbered_anew, table, within
from tracked_walkers import walkers as walkers_at

from mvcap.structures.poses import Poses3D
from mvcap.tracking.online_ids import OnlineIds
from mvcap.tracking.tracklet_linking import TrackletLinker
from mvcap.tracking.tracklets import TrackConfig

RATE_HZ = 12.5
STILL = (0.0, 0.0)

walkers = partial(walkers_at, rate_hz=RATE_HZ)


class Live:
    """A take frame by frame: the ids of all rows so far after every frame."""

    def __init__(self, rows, follows=False, **settings):
        self.rows = rows
        self.ids = OnlineIds(TrackletLinker(COCO, TrackConfig(live=True, **settings), RATE_HZ, follows))
        idents, self.ids_after = np.zeros(0, np.int64), []
        for one in frames_of(rows):
            idents = np.concatenate([idents, self.ids.link(one)])
            self.ids_after.append(self.ids.names(idents, rows.frame[: len(idents)].astype(np.int64)))
        self.ids.end()
        self.person = self.ids.names(idents, rows.frame.astype(np.int64))
        self.ident = idents

    def persons_of(self, who):
        return set(self.person[self.rows.person == who].tolist()) - {0}


def comers_and_goers():
    """One who stays, one who leaves and comes back, one who comes late, and flickering false positives."""
    rows = walkers(
        120,
        (line((-2, 0), (0.2, 0)), MIDDLE),
        (within(line((2, 0), (-0.1, 0)), (0, 3), (7, 9.6)), TALL),
        (within(line((0, 2), (0.0, 0)), (2, 9.6)), SMALL),
    )
    rng = np.random.default_rng(0)
    flicker = table(np.arange(2, 118, 5), np.full(24, 9), figure(0, (0, -6)) + rng.uniform(-2, 2, (24, 1, 3)))
    rows = Poses3D.concatenate([rows, flicker], COCO)
    return numbered_anew(rows)


@pytest.mark.parametrize("delay_s", [0.0, 0.25, 0.8])
def test_ids_never_change_and_no_row_older_than_the_delay_gets_one(delay_s):
    rows = comers_and_goers()
    live = Live(rows, delay_s=delay_s)
    delay = int(delay_s * RATE_HZ)
    before = np.zeros(0, np.int32)
    for frame, now in enumerate(live.ids_after):
        old = now[: len(before)]
        named = before > 0
        np.testing.assert_array_equal(old[named], before[named])
        late = (rows.frame[: len(old)] < frame - delay) & (before == 0)
        assert not old[late].any(), "a row older than the delay got a number"
        before = now
    named = before > 0
    np.testing.assert_array_equal(live.person[named], before[named])
    assert [len(live.persons_of(who)) for who in (1, 2, 3)] == [1, 1, 1]
    assert len(set.union(*(live.persons_of(who) for who in (1, 2, 3)))) == 3
    assert bool(live.persons_of(9)) == (delay_s == 0), "without a delay every tracklet is confirmed at once"


def test_every_row_of_somebody_gets_the_number_where_the_delay_is_long_enough():
    live = Live(comers_and_goers(), delay_s=0.8)
    for who in (1, 2, 3):
        assert (live.person[live.rows.person == who] == who).mean() > 0.95
    assert [change["what"] for change in live.ids.changes] == ["returned"]
    assert live.ids.changes[0]["person"] == 2 and live.ids.changes[0]["frame"] in range(86, 90)


def test_ids_do_not_depend_on_frames_beyond_the_delay():
    rows = comers_and_goers()
    whole, end = Live(rows, delay_s=0.4), 95
    early = rows[rows.frame < end]
    cut = Live(early, delay_s=0.4)
    sure = early.frame < end - int(0.4 * RATE_HZ) - 1
    np.testing.assert_array_equal(cut.person[sure], whole.person[: len(early)][sure])


@pytest.mark.parametrize("delay_s", [0.25, 0.8])
def test_a_newcomer_has_no_number_before_the_delay_is_over(delay_s):
    rows = walkers(30, (line((0, 0), STILL), MIDDLE))
    live = Live(rows, delay_s=delay_s)
    first = next(frame for frame, now in enumerate(live.ids_after) if now.any())
    assert first == int(delay_s * RATE_HZ) and (live.ids_after[first] == 1).all()


def test_a_tracklet_seen_in_less_than_half_the_frames_is_not_confirmed():
    rows = walkers(40, (line((0, 0), STILL), MIDDLE))
    seldom = rows[rows.frame % 4 == 0]
    often = rows[rows.frame % 4 > 0]
    assert not Live(seldom).person.any() and (Live(often).person == 1).all()


def test_rows_older_than_the_delay_stay_without_a_number_when_a_person_is_confirmed_late():
    rows = walkers(50, (line((0, 0), STILL), MIDDLE))
    rows = rows[(rows.frame >= 20) | (rows.frame % 3 == 0)]
    live = Live(rows, delay_s=1.0, min_seconds=1.0)
    decided = next(int(rows.frame[len(now) - 1]) for now in live.ids_after if now.any())
    assert decided > 20
    np.testing.assert_array_equal(live.person > 0, rows.frame >= decided - int(RATE_HZ))
    assert set(live.ident.tolist()) == {0}


def test_a_double_of_somebody_known_gets_no_number():
    rows = walkers(50, (line((-1, 0), (0.3, 0)), MIDDLE))
    double = rows[rows.frame > 15]
    double = table(double.frame, np.full(len(double), 5), double.xyz + np.float32(0.05), views=2)
    both = Poses3D.concatenate([rows, double], COCO)
    live = Live(numbered_anew(both))
    assert live.persons_of(1) == {1} and live.persons_of(5) == set() and len(live.ids.people) == 1


def leave_and_return(scales, back=(9, 12)):
    return numbered_anew(
        walkers(
            150,
            (within(line((-2, 0), (0.1, 0)), (0, 3), back), scales[0]),
            (within(line((2, 0), (0.1, 0)), (0, 3.5)), scales[1]),
        )
    )


def test_who_returns_is_known_by_limbs_and_two_who_are_alike_are_left_alone():
    live = Live(leave_and_return((0.7, TALL)), delay_s=1.0)
    assert live.persons_of(1) == {1} and live.persons_of(2) == {2}
    alike = Live(leave_and_return((MIDDLE, MIDDLE * 1.003)), delay_s=1.0)
    assert alike.persons_of(1) == {1, 3} and alike.persons_of(2) == {2} and alike.ids.changes == []


def test_who_is_back_after_a_moment_is_joined_by_motion():
    rows = walkers(70, (within(line((-1, 0), (0.5, 0)), (0, 2), (3.6, 5.6)), MIDDLE))
    live = Live(rows, delay_s=0.25)
    assert live.persons_of(1) == {1} and len(set(live.ident.tolist())) == 2
    assert [change["what"] for change in live.ids.changes] == ["joined"]
    assert live.ids.people == [[0, 1]]


def test_a_number_that_comes_back_is_the_same_where_the_associator_follows():
    rows = walkers(130, (within(line((0, 0), STILL), (0, 2), (8, 10)), MIDDLE), (line((2, 2), STILL), MIDDLE))
    assert Live(rows, follows=True).persons_of(1) == {1}
    other = rows.with_columns(group=np.where((rows.person == 1) & (rows.frame > 60), 9, rows.person))
    assert Live(other, follows=True).persons_of(2) == {2}


def test_no_person_and_one_frame():
    bare = table(np.arange(3), np.ones(3), np.full((3, len(COCO), 3), np.nan))
    assert not Live(bare).person.any()
    moment = walkers(1, (line((0, 0), STILL), MIDDLE))
    assert Live(moment).person.tolist() == [0]  # seen for less than min_seconds
    one = Live(moment, min_seconds=0)
    assert one.person.tolist() == [1] and one.ids_after[0].tolist() == [0]
