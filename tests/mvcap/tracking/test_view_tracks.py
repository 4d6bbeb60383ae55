"""People followed in the pixels of one view: one number each, in any chunks, from the estimator's ids or without."""

import numpy as np
import pytest
from detected_take import CLEAR, detected_take
from walking_take import COCO, detections, poses, rig

from mvcap.structures.detections import Detections2D
from mvcap.tracking.tracklets import TrackConfig
from mvcap.tracking.view_track_joining import ViewTrackJoiner, joined_persons
from mvcap.tracking.view_tracks import ViewTracker, single_detections

FRAMES, RATE_HZ = 60, 25.0


def walkers(view=1, **options):
    """What one view sees of two people who walk in circles, and the true person of each row."""
    table = poses(FRAMES, missing=0.02, **options)
    rows = detections(table, rig()).of(view=view)
    return rows.with_columns(view=np.zeros(len(rows)), person=np.full(len(rows), -1)), rows.person


def tracked(rows, config=None, rate_hz=RATE_HZ):
    return ViewTracker(config or TrackConfig()).associate(rows, rig().select(["cam01"]), rate_hz, {})[0]


def numbers(rows, true):
    """Numbers that each true person has."""
    return {one: set(rows.person[true == one].tolist()) for one in np.unique(true).tolist()}


def test_two_walkers_have_one_number_each():
    rows, true = walkers()
    found = numbers(tracked(rows), true)
    assert all(len(one) == 1 for one in found.values()) and len(set.union(*found.values())) == 2


def test_chunks_change_nothing_and_the_memory_does_not_grow():
    rows, _ = walkers()
    whole, memory, parts = tracked(rows), {}, []
    sizes = []
    for start in range(0, FRAMES, 7):
        part = rows[(rows.frame >= start) & (rows.frame < start + 7)]
        made, memory = ViewTracker(TrackConfig()).associate(part, rig(), RATE_HZ, memory)
        parts.append(made)
        sizes.append(sum(np.asarray(value).nbytes for value in memory.values()))
    np.testing.assert_array_equal(Detections2D.concatenate(parts, COCO).person, whole.person)
    assert max(sizes[1:]) == min(sizes[1:])


def test_another_scale_of_pixels_changes_nothing():
    rows, _ = walkers()
    larger = rows.with_columns(xy=rows.xy * 3, noise_px=rows.noise_px * 3)
    np.testing.assert_array_equal(tracked(larger).person, tracked(rows).person)


def test_a_person_hidden_for_a_moment_keeps_the_number_and_one_away_for_long_does_not():
    rows, true = walkers()
    for gap, ids in ((15, 1), (40, 2)):
        kept = (true != true[0]) | (rows.frame < 10) | (rows.frame >= 10 + gap)
        assert len(numbers(tracked(rows[kept]), true[kept])[int(true[0])]) == ids, gap


def test_second_detections_are_nobody():
    rows, true = walkers()
    twice = Detections2D.concatenate([rows, rows.with_columns(score=rows.score * 0.8, xy=rows.xy + 0.5)], COCO)
    order = np.argsort(twice.frame, kind="stable")
    made = tracked(twice[order])
    assert (made.person < 0).sum() == len(rows) and len(single_detections(twice[twice.frame == 0])) == 2
    assert all(len(one) == 2 and -1 in one for one in numbers(made, np.tile(true, 2)[order]).values())


def test_parts_of_a_body_have_one_number():
    rows, true = walkers()
    upper = np.arange(17) < 11
    parts = []
    for joints in (upper, ~upper):
        xy = np.where(joints[:, None], rows.xy, np.nan)
        noise, score = np.where(joints, rows.noise_px, np.nan), np.where(joints, rows.score, 0)
        score, noise = np.where(np.isnan(xy).any(-1), 0, score), np.where(np.isnan(xy).any(-1), np.nan, noise)
        parts.append(rows.with_columns(xy=xy, score=score, noise_px=noise) if joints[0] else
                     rows.with_columns(xy=xy, score=score, noise_px=noise)[rows.frame > 5])  # fmt: skip
    first = rows[rows.frame <= 5]
    both = Detections2D.concatenate([first, parts[0][rows.frame > 5], parts[1]], COCO)
    order = np.argsort(both.frame, kind="stable")
    who = np.concatenate([true[rows.frame <= 5], true[rows.frame > 5], true[rows.frame > 5]])[order]
    found = numbers(tracked(both[order]), who)
    assert all(len(one) == 1 for one in found.values())


def test_ids_of_the_estimator_are_evidence():
    """Two bodies in one place: nothing but the estimator's ids tells which is which after they part."""
    frames = np.arange(20)
    shape = np.random.default_rng(0).uniform(0, 200, (17, 2)) + 300
    along = np.abs(frames - 10)[:, None, None] * np.array([8.0, 0])
    xy = np.stack([shape - along, shape + along], 1)[:, None]  # they come together, and go back the way they came
    for carried in (False, True):
        rows = Detections2D.from_dense(xy, None, "coco17", noise_px=3.0, carried=carried)
        truth = np.tile([0, 1], 20)
        found = numbers(tracked(rows), truth)
        if carried:
            assert sorted(map(len, found.values())) == [1, 1] or found[0] - {-1} != found[1] - {-1}
            assert len(found[0] - {-1}) == len(found[1] - {-1}) == 1


def test_generated_people_who_cross_keep_their_numbers():
    take = detected_take(people=3, cameras=1, frames=40, model=CLEAR, calibration="good")
    made = tracked(take.rows, rate_hz=take.rate_hz)
    found = numbers(made, take.person)
    assert sum(len(one - {-1}) - 1 for one in found.values()) <= 1


def joined(rows, config=None, rate_hz=RATE_HZ):
    joiner = ViewTrackJoiner(config or TrackConfig(), rate_hz, (960, 540))
    for start in range(0, FRAMES, 20):
        joiner.add(rows[(rows.frame >= start) & (rows.frame < start + 20)])
    person, record = joiner.persons()
    return joined_persons(rows.person.astype(np.int64), person), record


def test_a_long_absence_is_bridged_where_motion_says_so_and_flickers_are_dropped():
    rows, true = walkers()
    kept = (true != true[0]) | (rows.frame < 15) | (rows.frame >= 42)
    made = tracked(rows[kept])
    flicker = (true[kept] != true[0]) & (rows.frame[kept] == 2)
    made = made.with_columns(person=np.where(flicker, 77, made.person))
    person, record = joined(made)
    assert set(person[true[kept] == true[0]].tolist()) in ({1}, {2})
    assert record["counts"] == {"joined": 1} and record["people"] == 2
    assert record["dropped"]["person_frames"] == 1 and record["dropped"]["reasons"]["duration"]["persons"] == 1
    person, record = joined(made, TrackConfig(live=True, min_seconds=0.0))
    assert record["people"] == 4 and not record["changes"]


def test_no_rows():
    rows, _ = walkers()
    assert len(tracked(rows[:0])) == 0
    person, record = joined(rows[:0])
    assert len(person) == 0 and record["people"] == 0


@pytest.mark.parametrize("missing", ["all", "most"])
def test_rows_without_joints_are_nobody(missing):
    rows, _ = walkers()
    keep = np.arange(17) < (0 if missing == "all" else 2)
    xy = np.where(keep[:, None], rows.xy, np.nan)
    gone = np.isnan(xy).any(-1)
    empty = rows.with_columns(xy=xy, score=np.where(gone, 0, rows.score), noise_px=np.where(gone, np.nan, 2.0))
    assert (tracked(empty).person == -1).all()
