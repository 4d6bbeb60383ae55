"""People whom one view detects before or after they are reconstructed are named; false positives are not."""

import numpy as np
import pytest
from reported_take import seen_people, summary_of, uneven_rig
from synthetic_take import RATE_HZ

from mvcap.associate import associate_rows
from mvcap.reporting.unconfirmed_tracks import UnconfirmedTracks, unconfirmed_reasons
from mvcap.structures.detections import Detections2D
from mvcap.triangulation.robust_triangulation import triangulate_rows

RIG = uneven_rig(3)
FRAMES = 60


def with_more(rows, more):
    """Detections of both tables in order of time."""
    found = Detections2D.concatenate([rows, more], rows.skeleton)
    return found[np.argsort(found.frame, kind="stable")]


def test_a_person_who_enters_under_one_view_is_named_with_time_and_view():
    rows = seen_people(RIG, FRAMES, people=1)
    summary = summary_of(rows[(rows.frame >= 30) | (rows.view == 1)], RIG, FRAMES)
    (place,) = summary["unconfirmed"]["places"]
    assert place["views"] == {"cam2": 1.0} and summary["unconfirmed"]["share"] == pytest.approx(0.5, abs=0.05)
    assert place["from_s"] == 0 and place["to_s"] == pytest.approx(30 / RATE_HZ, abs=0.1)
    reason = " ".join(summary["verdict"]["reasons"])
    assert summary["verdict"]["level"] == "limits" and "detected but not reconstructed" in reason
    assert f"person 1 from 0.0 s to {place['to_s']:.1f} s by cam2 only" in reason


def test_times_after_and_between_the_poses_of_a_person_are_named_as_times_before():
    rows = seen_people(RIG, FRAMES, people=1)
    poses = triangulate_rows(associate_rows(rows, RIG, rate_hz=RATE_HZ), RIG)
    assert len(poses) == FRAMES
    for lost in ((24, 40), (40, FRAMES)):
        found = UnconfirmedTracks(RATE_HZ)
        there = (poses.frame < lost[0]) | (poses.frame >= lost[1])
        found.add(poses[there].with_columns(person=np.ones(there.sum())))
        chunks = [rows.with_columns(person=np.full(len(rows), poses.group[0]))]
        assert [len(chunk) for chunk in found.link(chunks)] == [len(rows)]
        (place,) = found.summary(RIG.names)["places"]
        assert place["from_s"] == pytest.approx(lost[0] / RATE_HZ, abs=0.1) and len(place["views"]) == 3
        assert place["to_s"] == pytest.approx(lost[1] / RATE_HZ, abs=0.1)


def test_scattered_false_positives_and_duplicates_of_people_are_no_unconfirmed_person():
    rng = np.random.default_rng(0)
    rows = seen_people(RIG, FRAMES)
    scattered = rows[rng.random(len(rows)) < 0.4]
    scattered = scattered.with_columns(xy=scattered.xy + rng.uniform(-500, 500, (len(scattered), 1, 2)))
    duplicates = rows[rows.view == 0]
    duplicates = duplicates.with_columns(xy=duplicates.xy + 12, score=0.8 * duplicates.score)
    for more in (scattered, duplicates):
        found = summary_of(with_more(rows, more), RIG, FRAMES)["unconfirmed"]
        assert found["share"] < 0.05 and list(unconfirmed_reasons({"unconfirmed": found})) == []


def test_a_faint_track_before_a_person_is_left_out():
    rows = seen_people(RIG, FRAMES, people=1)
    alone = rows.frame < 30
    faint = rows.with_columns(score=np.where(alone[:, None], 0.2 * rows.score, rows.score))
    assert summary_of(faint[~alone | (rows.view == 1)], RIG, FRAMES)["unconfirmed"]["places"] == []


def test_a_person_whom_one_view_alone_sees_all_the_time_is_listed_without_a_reason():
    rows = seen_people(RIG, FRAMES, hidden=lambda view, person: person == 2 and view != 2)
    summary = summary_of(rows, RIG, FRAMES)
    (one,) = summary["unconfirmed"]["nobody"]
    assert one["view"] == "cam3" and one["from_s"] == 0 and one["to_s"] == pytest.approx(FRAMES / RATE_HZ, abs=0.1)
    assert any(line.startswith("cam3 from 0.0 s") for line in summary["verdict"]["where_not"])
    assert summary["unconfirmed"]["places"] == [] and list(unconfirmed_reasons(summary)) == []


def test_everyone_seen_well_and_no_detections_give_nothing():
    rows = seen_people(RIG)
    assert summary_of(rows, RIG)["unconfirmed"] == {"share": 0.0, "places": [], "nobody": []}
    assert summary_of(rows[:0], RIG)["unconfirmed"] == {"share": None, "places": [], "nobody": []}
    assert list(unconfirmed_reasons({})) == []
