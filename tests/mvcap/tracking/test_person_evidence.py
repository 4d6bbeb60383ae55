"""Evidence that tracks are persons: what few views, sparse moments and short takes keep, without cliffs."""

import numpy as np
import pytest
from tracked_walkers import MIDDLE, figure, line, table, walkers

from mvcap.structures.poses import Poses3D, Provenance
from mvcap.track import track_rows
from mvcap.tracking import tracklet_merging
from mvcap.tracking.person_evidence import TERMS, person_evidence, row_sums, weighted_median
from mvcap.tracking.tracklet_linking import TrackletLinker
from mvcap.tracking.tracklets import TrackConfig

MOMENTS_HZ = 0.05


def moments(share_two_views, frames=20, scale=MIDDLE, seed=0):
    """A person somewhere in each of ``frames`` moments, seen by two views in this share of them, else by three."""
    rng = np.random.default_rng(seed)
    standing = figure(0, (0.0, 0.0), scale)
    place = np.concatenate([rng.uniform(-20, 20, (frames, 1, 2)), np.zeros((frames, 1, 1))], axis=-1)
    two = np.arange(frames) < round(share_two_views * frames)
    xyz = standing + place + rng.normal(0, 0.01, (frames, *standing.shape))
    return table(np.arange(frames), np.ones(frames), xyz, views=np.where(two, 2, 3)[:, None]), two


def evidence_of(rows, rate_hz, frames, **settings):
    linker = TrackletLinker(rows.skeleton, TrackConfig(**settings), rate_hz, follows=False)
    linker.link_rows(rows)
    linker.end()
    return person_evidence(linker.tracklets, linker.tracklets.pieces, [], (0, frames - 1))


@pytest.mark.parametrize("share_two_views", [0.0, 0.2, 0.4, 1.0])
def test_whoever_two_views_agree_upon_in_a_moment_is_kept(share_two_views):
    rows, _ = moments(share_two_views)
    assert len(track_rows(rows, rate_hz=MOMENTS_HZ, follows=False)) == len(rows)


def test_evidence_changes_smoothly_with_the_views_of_the_others():
    nats = []
    for share in np.linspace(0.1, 1, 10):
        rows, two = moments(share)
        found = evidence_of(rows, MOMENTS_HZ, 20)
        nats.append(float(np.median(found.nats[two])))
    assert np.abs(np.diff(nats)).max() < 0.5 and nats[-1] > nats[0] > 0


def test_moments_say_nothing_about_durations_whatever_rate_is_stated():
    rows, _ = moments(0.5)
    for rate_hz in (MOMENTS_HZ, 25.0):
        found = evidence_of(rows, rate_hz, 20)
        assert found.frames_per_track < 2
        assert np.abs(found.terms[:, TERMS.index("duration")]).max() < 1.5
        assert (found.nats > 0).all()


@pytest.mark.parametrize(("frames", "rate_hz"), [(1, 25.0), (5, 30.0), (40, 1000.0)])
def test_people_of_a_short_take_are_kept(frames, rate_hz):
    rows = walkers(frames, (line((0, 0), (0.5, 0)), MIDDLE), (line((2, 0), (0, 0)), MIDDLE), rate_hz=rate_hz)
    assert len(track_rows(rows, rate_hz=rate_hz, frames=frames)) == 2 * frames


def passing(seen):
    """Somebody who is always there, and somebody else who is seen for a few frames in the middle of the take."""
    one = walkers(80, (line((0, 0), (0, 0)), MIDDLE), rate_hz=25.0)
    other = walkers(seen, (line((3, 0), (0, 0)), MIDDLE), rate_hz=25.0)
    other = other.with_columns(frame=other.frame + 30, person=other.person + 1, group=other.group + 1)
    rows = Poses3D.concatenate([one, other], one.skeleton)
    return rows[np.argsort(rows.frame, kind="stable")]


def test_a_longer_observation_is_never_evidence_against_a_person():
    nats = [evidence_of(passing(seen), 25.0, 80).nats[1] for seen in range(1, 13)]
    assert np.diff(nats).min() > -0.05 and nats[0] < 0 < nats[-1]
    assert np.diff(nats).max() < 2.0, "no frame decides alone"


def test_min_seconds_moves_the_time_that_a_person_needs():
    rows = passing(12)
    kept = [len(track_rows(rows, rate_hz=25.0, min_seconds=limit, frames=80)) == 92 for limit in (0.0, 0.25, 1.0)]
    assert kept == [True, True, False]


def test_bodies_of_a_wrong_size_have_less_evidence():
    sizes = [
        evidence_of(moments(0.5, 12, MIDDLE * scale)[0], MOMENTS_HZ, 12).nats.mean() for scale in (1, 0.7, 0.5, 0.3)
    ]
    assert sizes == sorted(sizes, reverse=True)


def test_rejected_joints_and_sizes_are_summed_by_row():
    rows, _ = moments(0.5, 3)
    one = rows.with_columns(provenance=np.where(np.arange(17) < 5, Provenance.CONTRADICTED, rows.provenance))
    sums = row_sums(one)
    assert sums[:, 0].tolist() == [1.0] * 3 and sums[:, 1].tolist() == [5.0] * 3 and (sums[:, 2] > 0).all()
    nothing = table([0], [1], np.full((1, 17, 3), np.nan))
    assert row_sums(nothing)[0, 2:].tolist() == [0.0, 0.0, 0.0]


def test_a_second_detection_within_a_body_is_dropped_in_a_moment():
    rows, _ = moments(0.0, 20)
    inside = table(rows.frame, rows.person, rows.xyz + 0.05, views=2, score=0.4).with_columns(
        group=rows.group + 1, person=rows.person + 1
    )
    both = Poses3D.concatenate([rows, inside], rows.skeleton)
    both = both[np.argsort(both.frame, kind="stable")]
    kept = track_rows(both, rate_hz=MOMENTS_HZ, follows=False)
    assert len(kept) == len(rows) and (kept.group == 1).all()


def test_more_moments_than_can_be_linked_are_kept(monkeypatch):
    monkeypatch.setattr(tracklet_merging, "_MOST", 10)
    rows, _ = moments(0.5, 20)
    assert len(track_rows(rows, rate_hz=MOMENTS_HZ, follows=False)) == 20


def test_weighted_median():
    assert weighted_median(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 5.0])) == 2.0
