"""The second pass: identity switches repaired, gaps bridged, duplicates merged, false positives dropped."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tracked_walkers import MIDDLE, NOISE_M, SMALL, TALL, figure, line, numbered_anew, table, within
from tracked_walkers import linked as linked_at
from tracked_walkers import tracked as tracked_at
from tracked_walkers import walkers as walkers_at

from mvcap.structures.poses import Poses3D
from mvcap.tracking.person_evidence import PRIOR_NATS, TERMS
from mvcap.tracking.tracklet_merging import TrackletMerger

RATE_HZ = 12.5
STILL = (0.0, 0.0)

walkers, linked, tracked = (partial(one, rate_hz=RATE_HZ) for one in (walkers_at, linked_at, tracked_at))


def one_each(found, rows):
    """Whether every true person has one number, and no two the same."""
    given_ = found.persons_of(rows)
    return all(len(one) == 1 for one in given_.values()) and len(set.union(*given_.values())) == len(given_)


def in_order(*tables):
    rows = Poses3D.concatenate(tables, tables[0].skeleton)
    return rows[np.argsort(rows.frame, kind="stable")]


# --- swaps in close encounters ---------------------------------------------------------------------------------------


def meet_and_part(scales, frames=150):
    """Two who walk up to each other, stand there, and go back to where they came from."""

    def half(side):
        return lambda time_s: np.array([side * max(0.15, abs(time_s - 6) - 3), 0.02 * side])

    return walkers(frames, (half(-1), scales[0]), (half(1), scales[1]))


def swapped_unseen(scales):
    """Two who meet, change places while no view sees them, and leave on each other's path.

    By motion alone each goes back; column person is the truth, column group follows the motion.
    """
    rows = meet_and_part(scales)
    after = rows.frame >= 75
    xyz = rows.xyz.copy()
    xyz[after, :, 0] *= -1
    group = np.where(after, 3 - rows.person, rows.person)
    return rows.with_columns(xyz=xyz, group=group)[(rows.frame < 72) | (rows.frame >= 79)]


@pytest.mark.parametrize(("scales", "follows"), [((0.93, 1.07), False), ((1.12, 0.95), True)])
def test_two_who_cross_and_were_swapped_by_the_first_pass_are_repaired(scales, follows):
    rows = swapped_unseen(scales)
    found = tracked(rows, follows)
    first = {int(who): len(set(found.ident[rows.person == who].tolist())) for who in (1, 2)}
    assert first == {1: 2, 2: 2}, "the first pass swaps them"
    assert one_each(found, rows) and found.kinds == ["exchanged"]
    (change,) = found.record
    assert {change["person"], change["other"]} == {1, 2} and change["frame"] in range(70, 81)
    figures = change["figures"]
    assert figures["nats"] > 8 and figures["limb_sigma_kept"] > 2 > figures["limb_sigma_exchanged"]
    assert figures["limb_share_kept"] == pytest.approx(abs(np.log(scales[0] / scales[1])), abs=0.02)


@pytest.mark.parametrize("scales", [(1.0, 1.01), (1.12, 0.95)])
def test_two_who_were_not_swapped_are_left_as_they_are(scales):
    rows = meet_and_part(scales)
    found = tracked(numbered_anew(rows))
    assert one_each(found, numbered_anew(rows)) and found.record == []


def test_a_swap_that_limbs_do_not_show_is_not_invented():
    rows = swapped_unseen((1.0, 1.005))
    found = tracked(rows)
    assert "exchanged" not in found.kinds and set(found.person.tolist()) == {1, 2}


# --- absences --------------------------------------------------------------------------------------------------------


def behind_obstacle(away_s, scale_after, path=((-2.0, 0.0), (0.7, 0.0)), after=None):
    """Somebody who vanishes for so long and comes back of another stature or elsewhere, and one who is always there."""
    walk = line(*path)
    rows = walkers(
        round((7 + away_s) * RATE_HZ),
        (within(walk, (0, 4)), MIDDLE),
        (line((0, 3), STILL), SMALL),
        (within(after or walk, (4 + away_s, 99)), scale_after),
    )
    return numbered_anew(rows)


@pytest.mark.parametrize("away_s", [0.5, 1.2, 2.8])
def test_who_vanishes_behind_an_obstacle_is_the_same_where_motion_and_limbs_agree(away_s):
    rows = behind_obstacle(away_s, MIDDLE)
    found = tracked(rows)
    assert found.persons_of(rows)[1] == found.persons_of(rows)[3] and set(found.person.tolist()) == {1, 2}
    assert found.kinds == (["joined"] if away_s > 1 else [])
    assert all(one["figures"]["absent_s"] == pytest.approx(away_s, abs=1.5 / RATE_HZ) for one in found.record)


@pytest.mark.parametrize(("away_s", "scale_after"), [(0.5, 0.87), (0.5, 1.13), (1.2, 1.13), (2.8, 0.87)])
def test_a_gap_is_not_bridged_where_limbs_disagree(away_s, scale_after):
    rows = behind_obstacle(away_s, scale_after)
    found = tracked(rows)
    assert len(set(found.person.tolist())) == 3 and one_each(found, rows)
    assert found.kinds == (["split"] if away_s < 1 else [])


def test_a_gap_is_not_bridged_to_an_unreachable_position():
    """Back after a second at a position beyond the top speed."""
    rows = behind_obstacle(1.2, MIDDLE, after=line((20.0, -4.0), STILL))
    rows = rows[(rows.person != 3) | (rows.frame < 5.2 * RATE_HZ + 5)]
    found = tracked(rows)
    assert one_each(found, rows) and set(found.person.tolist()) == {1, 2, 3}


def test_after_a_long_gap_limbs_alone_re_identify():
    away_s = 4.0
    after = line((1.0, 2.0), (-0.05, 0.0))
    same, other = (behind_obstacle(away_s, scale, after=after) for scale in (MIDDLE, TALL))
    found = tracked(same)
    assert found.persons_of(same)[1] == found.persons_of(same)[3] and found.kinds == ["returned"]
    assert "motion_sigma" not in found.record[0]["figures"]
    found = tracked(other)
    assert one_each(found, other) and found.record == []


def leave(scale_one, scale_other, scale_back):
    """Two leave one after the other; one comes back after 4 s elsewhere."""
    return numbered_anew(
        walkers(
            150,
            (within(line((-2, 0), (0.1, 0)), (0, 4)), scale_one),
            (within(line((2, 0), (0.1, 0)), (0, 4.5)), scale_other),
            (within(line((0, -2), STILL), (8.5, 12)), scale_back),
        )
    )


def test_two_who_could_be_meant_are_left_alone():
    rows = leave(MIDDLE, MIDDLE * 1.003, MIDDLE)
    found = tracked(rows)
    assert one_each(found, rows) and found.record == []
    rows = leave(MIDDLE, TALL, MIDDLE)
    found = tracked(rows)
    assert found.persons_of(rows)[3] == found.persons_of(rows)[1] and found.kinds == ["returned"]


def test_two_who_leave_and_come_back_are_each_known():
    rows = numbered_anew(
        walkers(
            150,
            (within(line((-2, 0), (0.1, 0)), (0, 4), (9, 12)), SMALL),
            (within(line((2, 0), (-0.1, 0)), (0, 4.5), (8.5, 12)), TALL),
        )
    )
    found = tracked(rows)
    assert one_each(found, rows) and found.kinds == ["returned"] * 2


def test_a_number_that_comes_back_is_the_same_where_the_associator_follows():
    away = within(line((0, 0), STILL), (0, 0.6), (8, 8.6))  # too short for limbs
    rows = walkers(115, (away, MIDDLE), (line((2, 1), STILL), MIDDLE))
    found = tracked(rows, True)
    assert found.kinds == ["joined"] and one_each(found, rows)
    other = rows.with_columns(group=np.where((rows.person == 1) & (rows.frame > 50), 9, rows.person))
    assert "joined" not in tracked(other, True).kinds


# --- doubles and false positives -------------------------------------------------------------------------------------


def double_of(rows, person, start, stop, shift=0.07):
    mine = rows[(rows.person == person) & (rows.frame >= start) & (rows.frame < stop)]
    made = table(mine.frame, mine.person, mine.xyz + np.float32(shift), views=2, score=0.5)
    return made.with_columns(group=made.person + 10)


def test_one_body_tracked_twice_is_one_person():
    rows = walkers(60, (line((-2, 0), (0.6, 0)), MIDDLE), (line((0, 2), (0.1, 0)), TALL))
    both = in_order(rows, double_of(rows, 1, 15, 45))
    found = tracked(both)
    assert one_each(found, both) and found.kinds == ["merged"]
    assert found.record[0]["person"] == found.record[0]["other"] == 1
    assert found.record[0]["figures"]["frames_shared"] == pytest.approx(30, abs=2)


def test_two_who_stand_close_for_a_while_are_two():
    rows = meet_and_part((MIDDLE, MIDDLE))
    assert "merged" not in tracked(rows).kinds


def test_two_who_pass_through_one_place_are_two():
    rows = walkers(60, (line((-1.2, 0), (0.5, 0)), MIDDLE), (line((1.2, 0.05), (-0.5, 0)), MIDDLE))
    found = tracked(rows, follows=True)
    assert found.linker.encounters.shared[0][1] >= 3 and "merged" not in found.kinds and one_each(found, rows)


def false_positive(kind, rng):
    """Rows of a false positive, or of a person seen for a moment."""
    if kind == "short":
        return walkers(60, (within(line((0, -2), STILL), (1.0, 1.15)), MIDDLE))
    rows = walkers(60, (within(line((0, -2), STILL), (1.0, 2.5)), MIDDLE))
    loose = rng.normal(0, 0.08, rows.xyz.shape)
    return table(rows.frame, rows.person, rows.xyz + loose, 0.08, views=2, score=0.3)


@pytest.mark.parametrize("kind", ["short", "loose"])
def test_false_positives_are_dropped_with_their_reasons(kind):
    rows = walkers(60, (line((-2, 0), (0.5, 0)), MIDDLE), (line((2, 1), (-0.4, 0)), TALL))
    extra = false_positive(kind, np.random.default_rng(0))
    extra = extra.with_columns(person=extra.person + 8, group=extra.group + 20)
    both = in_order(rows, extra)
    found = tracked(both)
    assert found.persons_of(both) == {1: {1}, 2: {2}, 9: {0}} and found.kinds == ["dropped"]
    (drop,) = found.record
    words = {"short": ("seen for 0.16 s",), "loose": ("seen by 2.0 views", "score 0.30")}[kind]
    assert drop["person"] == 0 and drop["frame"] == extra.frame[0] and all(one in drop["why"] for one in words)
    terms = {name: value for name, value in drop["figures"].items() if name not in ("frames", "nats")}
    assert drop["figures"]["frames"] == len(extra) and set(terms) == set(TERMS)
    assert (
        drop["figures"]["nats"] == pytest.approx(PRIOR_NATS + sum(terms.values()), abs=0.05) and sum(terms.values()) < 0
    )


def test_tracklets_too_short_to_merge_are_only_counted():
    rng = np.random.default_rng(1)
    rows = walkers(50, (line((-1, 0), (0.3, 0)), MIDDLE))
    flicker = table(np.arange(0, 50, 5), np.full(10, 9), 4 + rng.uniform(-1, 1, (10, 17, 3)))
    found = tracked(in_order(rows, flicker.with_columns(group=flicker.group)))
    assert found.merger.unlisted == 10 and found.kinds == [] and set(found.person.tolist()) == {0, 1}


@pytest.mark.parametrize("min_seconds", [0, 0.25, 1.0])
def test_a_take_of_a_moment_is_kept(min_seconds):
    rows = walkers(2, (line((0, 0), STILL), MIDDLE))
    assert tracked(rows, min_seconds=min_seconds).person.tolist() == [1, 1]


# --- numbers, and what stays true whatever comes ---------------------------------------------------------------------


def test_numbers_go_by_appearance():
    late = [within(line((3 * who - 6, 0), STILL), (2.0 - 0.4 * who, 99)) for who in range(5)]
    rows = walkers(50, *((path, MIDDLE) for path in late))
    found = tracked(rows)
    assert found.persons_of(rows) == {1: {5}, 2: {4}, 3: {3}, 4: {2}, 5: {1}}


def test_rows_without_joints_are_unassigned_after_both_passes():
    nothing = table(np.arange(4), np.ones(4), np.full((4, 17, 3), np.nan))
    found = tracked(nothing)
    assert (found.person == 0).all() and found.record == [] and found.merger.unlisted == 0


def test_a_number_given_to_another_body_is_recorded():
    rows = walkers(40, (line((-2, 0), (0.5, 0)), MIDDLE), (line((2, 1), (-0.5, 0)), MIDDLE))
    wrong = rows.with_columns(group=np.where(rows.frame >= 25, 3 - rows.person, rows.person))
    found = tracked(wrong, follows=True)
    assert one_each(found, wrong)
    assert [(one["what"], one["frame"], one["person"], one["other"]) for one in found.record] == [
        ("split", 25, 1, 2),
        ("split", 25, 2, 1),
    ]


@given(st.integers(0, 2**32 - 1))
@settings(derandomize=True, max_examples=5, deadline=None)
def test_every_segment_has_one_person_and_numbers_have_no_gaps(seed):
    """Walkers who come, go and jump, and noise: every segment is in one track, and tracks do not overlap themselves."""
    rng = np.random.default_rng(seed)
    parts = []
    for who in range(4):
        start, stop = np.sort(rng.uniform(0, 4, 2))
        path = within(line(rng.uniform(-1, 1, 2), rng.uniform(-1, 1, 2)), (start, stop))
        rows = walkers(50, (path, rng.uniform(0.85, 1.15)), seed=who, noise_m=rng.choice([NOISE_M, 0.05]))
        parts.append(rows.with_columns(person=rows.person + who, group=rows.group + who))
    junk = figure(0, STILL) + rng.uniform(-2, 2, (10, 1, 3))
    parts.append(table(rng.integers(0, 50, 10), np.full(10, 7), junk))
    rows = in_order(*parts)
    follows = bool(seed % 2)
    linker, _ = linked(rows, follows)
    merger = TrackletMerger(linker.tracklets, linker.encounters, linker.tracker.switches, follows)
    person, held = merger.persons(), linker.tracklets.all
    assert len(person) == len(held)
    numbers = np.unique(person[person > 0])
    np.testing.assert_array_equal(numbers, np.arange(1, len(numbers) + 1))
    chained = [piece for chain in merger.chains.values() for piece in chain]
    assert sorted(chained) == np.flatnonzero(person > 0).tolist()
    first = [held["first"][person == number].min() for number in numbers]
    assert first == sorted(first)
    record = merger.record(person)
    assert [one["frame"] for one in record] == sorted(one["frame"] for one in record)
    kinds = {"joined", "returned", "merged", "exchanged", "split", "dropped"}
    assert {one["what"] for one in record} <= kinds
    if not any(one["what"] in ("merged", "exchanged") for one in record):
        for chain in merger.chains.values():
            assert (held["first"][chain][1:] > held["last"][chain][:-1]).all()


def test_both_passes_do_the_same_every_time():
    rows = behind_obstacle(1.2, MIDDLE)[-120:]
    one, two = tracked(rows), tracked(rows)
    np.testing.assert_array_equal(one.person, two.person)
    assert one.record == two.record
