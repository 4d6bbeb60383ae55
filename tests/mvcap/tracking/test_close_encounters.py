"""Close encounters: when they begin, are closest and over, and who shares one place."""

import numpy as np
import pytest
from synthetic_take import RATE_HZ
from tracked_walkers import MIDDLE, TALL, frames_of, line, linked, table, walkers

from mvcap.structures.anthropometry import TORSO_DEPTH_M
from mvcap.tracking.close_encounters import NEAR_M, Encounters
from mvcap.tracking.kalman_tracker import FrameInput, KalmanTracker
from mvcap.tracking.tracklets import TrackConfig


def passing(aside, frames=150, speed=1.0, cross_s=3.0):
    """Two who walk past each other, so far aside, and are abreast at a time."""
    return walkers(
        frames,
        (line((-speed * cross_s, 0), (speed, 0)), MIDDLE),
        (line((speed * cross_s, aside), (-speed, 0)), MIDDLE),
    )


def encounters_of(rows):
    """What the first pass found over: (start, closest, one, other), and the encounters at the end."""
    tracker, found = KalmanTracker(rows.skeleton, TrackConfig(), RATE_HZ, True), []
    encounters, near = Encounters(RATE_HZ), []
    for one in frames_of(rows):
        idents = tracker.link(one)
        found += encounters.step(int(one.frame[0]), tracker)
        encounters.see(idents, tracker.frame_input)
        near.append(encounters.in_encounter(idents, int(one.frame[0])))
    return [*found, *encounters.end()], encounters, near


def test_two_who_pass_have_one_encounter_that_is_closest_when_they_are_abreast():
    found, encounters, near = encounters_of(passing(0.3))
    ((start, closest, one, other),) = found
    assert (one, other) == (0, 1)
    assert closest == pytest.approx(3 * RATE_HZ, abs=2)
    busy = np.flatnonzero([both.any() for both in near])
    assert busy[0] == start and (np.diff(busy) == 1).all() and all(near[at].all() for at in busy)
    reach = np.sqrt(NEAR_M**2 - 0.3**2) / 2.0 * RATE_HZ  # they close at 2 m/s
    assert start == pytest.approx(3 * RATE_HZ - reach, abs=4) and busy[-1] == pytest.approx(3 * RATE_HZ + reach, abs=4)
    assert 0 < encounters.within[0][1] == encounters.within[1][0] < len(busy)


def test_two_who_pass_at_a_distance_have_none():
    found, encounters, near = encounters_of(passing(1.0))
    assert found == [] and not np.concatenate(near).any()
    assert not encounters.within and not encounters.shared


def test_an_encounter_goes_on_through_a_short_parting_and_not_through_a_long_one():
    def parting(start, stop):
        return lambda time_s: np.array([0.35 + np.clip(1.5 * min(time_s - start, stop - time_s), 0, 0.8), 0.0])

    still = (line((0, 0), (0, 0)), MIDDLE)
    short, long = (
        encounters_of(walkers(110, still, (parting(2.0, stop), TALL), noise_m=0.004))[0] for stop in (2.6, 3.3)
    )
    assert [pair[2:] for pair in short] == [(0, 1)] and [pair[2:] for pair in long] == [(0, 1)] * 2
    assert long[0][0] < 2 * RATE_HZ and long[1][0] == pytest.approx((3.3 - 0.1) * RATE_HZ, abs=5)


def test_three_who_come_together_have_an_encounter_of_each_pair():
    corners = [(0.2 * np.cos(turn), 0.2 * np.sin(turn)) for turn in (0, 2.1, 4.2)]
    found, encounters, _ = encounters_of(walkers(40, *((line(at, (0, 0)), MIDDLE) for at in corners)))
    assert sorted(pair[2:] for pair in found) == [(0, 1), (0, 2), (1, 2)]
    assert all(1 < encounters.within[a][b] == encounters.within[b][a] < 40 for a, b in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize(("apart", "one_place"), [(0.1, True), (TORSO_DEPTH_M + 0.15, False)])
def test_one_place_is_where_two_torsos_cannot_both_be(apart, one_place):
    still = (line((0, 0), (0, 0)), MIDDLE)
    _, encounters, _ = encounters_of(walkers(40, still, (line((apart, 0), (0, 0)), MIDDLE)))
    share = encounters.within[0][1] / 40
    assert share == pytest.approx(np.exp(-(apart**2) / (2 * 0.2**2)), abs=0.1)  # smooth: the nearer, the more
    assert (encounters.shared[0][1] > 35) == one_place and (encounters.shared[0][1] == 0) != one_place


@pytest.mark.parametrize(("noise_m", "near"), [(0.005, False), (0.1, True)])
def test_what_is_near_is_a_matter_of_how_well_places_are_known(noise_m, near):
    rows = walkers(1, (line((0, 0), (0, 0)), MIDDLE), (line((NEAR_M + 0.1, 0), (0, 0)), MIDDLE), noise_m=0.0)
    encounters = Encounters(RATE_HZ)
    encounters.see(np.array([0, 1]), FrameInput.of(table(rows.frame, rows.person, rows.xyz, noise_m=noise_m)))
    assert (encounters.within[0][1] > 0) == near and not encounters.shared[0]


def test_a_place_known_badly_is_near_to_nothing_far():
    """Bodies a metre apart whose places are known to a metre: too uncertain for an encounter."""
    rows = walkers(10, (line((0, 0), (0, 0)), MIDDLE), (line((1.2, 0), (0, 0)), MIDDLE))
    vague = table(rows.frame, rows.person, rows.xyz, noise_m=1.0)
    encounters = Encounters(RATE_HZ)
    encounters.see(np.array([0, 1]), FrameInput.of(vague[vague.frame == 0]))
    assert not encounters.within[0]


def test_unassigned_rows_and_rows_without_joints_have_no_encounters():
    rows = walkers(1, (line((0, 0), (0, 0)), MIDDLE), (line((0.1, 0), (0, 0)), MIDDLE))
    encounters = Encounters(RATE_HZ)
    encounters.see(np.array([0, -1]), FrameInput.of(rows))
    encounters.see(np.array([0, 1]), FrameInput.of(table(rows.frame, rows.person, np.full(rows.xyz.shape, np.nan))))
    assert not encounters.within and not encounters.shared and encounters.end() == []
    assert encounters.in_encounter(np.array([0, 1, -1]), 0).tolist() == [False] * 3


def test_limbs_are_not_measured_during_an_encounter():
    linker, ident = linked(passing(0.3))
    held = linker.tracklets.all
    assert ident.tolist() == [0, 1] * 150
    measured = held["limbs"][:, 0, 0].sum()
    assert measured < held["frames"].sum() - 10 and measured > 0.7 * held["frames"].sum()
    assert len(linker.tracklets.cuts) == 1 and linker.tracklets.cuts[0].frame == pytest.approx(75, abs=2)
