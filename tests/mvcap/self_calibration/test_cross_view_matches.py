"""Which person of a view is which of another: evidence of epipolar lines, and one-to-one matches of tracks."""

from functools import cache
from itertools import combinations

import numpy as np
import pytest
from generated_people import HALPE, circle
from hypothesis import given, settings
from hypothesis import strategies as st

from calib.geometry import invert, pose, rotation_from_vector
from mvcap.self_calibration.cross_view_matches import (
    LEAST_FRAMES,
    MovingPeople,
    fit_pair,
    match_tracks,
    one_to_one,
    pair_evidence,
    persons_of_tracks,
    shared_rows,
)
from mvcap.self_calibration.single_view_tracks import RowTrack
from mvcap.structures.detections import Detections2D

NOISE_PX = 2.0
seeds = st.integers(0, 2**32 - 1)


@cache
def take(people=2, frames=30):
    """Rows of two views in order of view, person and frame, the true tracks, directions, and b_from_a."""
    truth, rig, _ = circle(people=people, cameras=3, frames=frames)
    rng, parts, tracks = np.random.default_rng(0), [], []
    for view in (0, 1):
        for person in range(1, people + 1):
            mine = truth[truth.person == person]
            xy = rig[view].project(mine.xyz.astype(float)) + rng.normal(0, NOISE_PX, (len(mine), len(HALPE), 2))
            rows = Detections2D.build(HALPE, 0, view, xy, np.ones(xy.shape[:2]), 1.0, mine.person)
            parts.append(rows.with_columns(frame=mine.frame, noise_px=np.full(xy.shape[:2], NOISE_PX)))
            row = len(tracks) * frames + np.arange(frames)
            tracks.append(RowTrack(view, row, mine.frame.astype(np.int64)))
    rows = Detections2D.concatenate(parts, HALPE)
    lenses = tuple(camera.lens for camera in rig)
    return rows, tracks, MovingPeople.of(rows, lenses), rig.cam_from_world[1] @ invert(rig.cam_from_world[0])


# --- directions ------------------------------------------------------------------------------------------------------


def test_directions_are_undistorted_and_their_noise_an_angle():
    truth, rig, _ = circle(people=1, cameras=2, frames=3, lens="strong")
    rows = Detections2D.concatenate(
        [Detections2D.build(HALPE, 0, view, rig[view].project(truth.xyz.astype(float)), np.ones(truth.score.shape), 1.0)
         for view in (0, 1)], HALPE)  # fmt: skip
    moving = MovingPeople.of(rows, tuple(camera.lens for camera in rig))
    for view in (0, 1):
        at = truth.xyz @ rig[view].cam_from_world[:3, :3].T + rig[view].cam_from_world[:3, 3]
        np.testing.assert_allclose(moving.bare[rows.view == view], at[..., :2] / at[..., 2:], atol=1e-5)
    np.testing.assert_allclose(moving.noise, rows.noise_px / rig[0].lens.K[0, 0], rtol=1e-6)


def test_what_is_not_seen_has_no_direction_and_no_noise():
    rows = take()[0]
    xy = rows.xy.copy()
    xy[3, 5] = np.nan
    score, noise = rows.score.copy(), rows.noise_px.copy()
    score[3, 5], noise[3, 5] = 0, np.nan
    _, rig, _ = circle(people=2, cameras=3, frames=2)
    moving = MovingPeople.of(rows.with_columns(xy=xy, score=score, noise_px=noise), tuple(c.lens for c in rig))
    assert np.isnan(moving.bare[3, 5]).all() and np.isnan(moving.noise[3, 5]) and np.isnan(moving.noise).sum() == 1


# --- evidence --------------------------------------------------------------------------------------------------------


def test_evidence_is_for_the_same_person_and_against_others_and_bounded():
    _, tracks, moving, b_from_a = take()
    same = pair_evidence(moving, b_from_a, *shared_rows(tracks[0], tracks[2]))
    other = pair_evidence(moving, b_from_a, *shared_rows(tracks[0], tracks[3]))
    most, least = np.log(0.85 * 30 / np.sqrt(2 * np.pi) + 0.15), np.log(0.15)
    for nats in (same, other):
        assert nats.shape == (30, len(HALPE)) and nats.max() <= most + 1e-9 and nats.min() >= least - 1e-9
    assert same.mean() > 1.5 and other.mean() < -0.3


def test_a_wrong_pose_gives_little_evidence_for_any_match():
    _, tracks, moving, b_from_a = take()
    rows = shared_rows(tracks[0], tracks[2])
    wrong = pose(rotation_from_vector(np.array([0, 0.1, 0.1])) @ b_from_a[:3, :3], b_from_a[:3, 3])
    assert pair_evidence(moving, wrong, *rows).mean() < 0.3 * pair_evidence(moving, b_from_a, *rows).mean()
    behind = pose(b_from_a[:3, :3], -b_from_a[:3, 3])
    np.testing.assert_allclose(pair_evidence(moving, behind, *rows), np.log(0.15))


def test_the_scale_of_the_baseline_does_not_matter():
    _, tracks, moving, b_from_a = take()
    rows = shared_rows(tracks[0], tracks[2])
    longer = pose(b_from_a[:3, :3], 3 * b_from_a[:3, 3])
    np.testing.assert_allclose(pair_evidence(moving, longer, *rows), pair_evidence(moving, b_from_a, *rows), atol=1e-6)


# --- matches ---------------------------------------------------------------------------------------------------------


def test_shared_frames_are_spread_over_all():
    one = RowTrack(0, np.arange(50) + 100, np.arange(50))
    other = RowTrack(1, np.arange(60) + 500, np.arange(20, 80))
    a, b = shared_rows(one, other)
    assert (a - 100 == b - 500 + 20).all() and a.tolist() == list(range(120, 150))
    a, b = shared_rows(one, other, 4)
    assert a.tolist() == [120, 129, 139, 149]
    nothing = shared_rows(one, RowTrack(1, np.arange(5), np.arange(90, 95)))
    assert [len(side) for side in nothing] == [0, 0]


def test_tracks_of_one_person_match_and_others_do_not():
    _, tracks, moving, b_from_a = take()
    found = match_tracks(moving, tracks, 0, 1, b_from_a)
    assert set(found) == {(0, 2), (1, 3)} and all(nats > 100 for nats in found.values())
    assert match_tracks(moving, tracks, 0, 1, b_from_a, least=10.0) == {}
    assert match_tracks(moving, tracks, 0, 2, b_from_a) == {}, "there is no such view"
    short = [RowTrack(track.view, track.row[: LEAST_FRAMES - 1], track.frame[: LEAST_FRAMES - 1]) for track in tracks]
    assert match_tracks(moving, short, 0, 1, b_from_a) == {}


def track(view, start, stop):
    return RowTrack(view, np.arange(start, stop), np.arange(start, stop))


def test_the_surest_pairs_win_and_a_person_is_one_of_a_view_at_a_time():
    tracks = [track(0, 0, 20), track(0, 0, 20), track(1, 0, 20), track(0, 30, 50)]
    nats = {(0, 2): 5.0, (1, 2): 9.0, (3, 2): 1.0}
    assert one_to_one(tracks, nats) == {(1, 2): 9.0, (3, 2): 1.0}, "one who comes later may be the same"


@given(seeds)
@settings(derandomize=True, max_examples=40)
def test_no_match_and_no_person_is_two_of_a_view_at_a_time(seed):
    rng = np.random.default_rng(seed)
    tracks = []
    for view in (0, 1, 2):
        for _ in range(3):
            start = int(rng.integers(0, 30))
            tracks.append(track(view, start, start + int(rng.integers(5, 25))))
    pairs = [(a, b) for a, b in combinations(range(9), 2) if tracks[a].view < tracks[b].view]
    nats = {pair: float(rng.uniform(0, 10)) for pair in pairs if rng.random() < 0.5}
    for between in ((0, 1), (0, 2), (1, 2)):
        some = {pair: one for pair, one in nats.items() if (tracks[pair[0]].view, tracks[pair[1]].view) == between}
        kept = one_to_one(tracks, some)
        assert not some or max(some, key=some.get) in kept
        for (a, b), (c, d) in combinations(kept, 2):
            for left, right in (((a, c), b == d), ((b, d), a == c)):
                apart = not set(tracks[left[0]].frame) & set(tracks[left[1]].frame)
                assert not right or left[0] == left[1] or apart
    person = persons_of_tracks(tracks, nats)
    for a, b in combinations(range(9), 2):
        if person[a] == person[b] >= 0 and tracks[a].view == tracks[b].view:
            assert not set(tracks[a].frame) & set(tracks[b].frame)
    names = np.unique(person[person >= 0])
    np.testing.assert_array_equal(names, np.arange(len(names)))
    assert all((person == name).sum() > 1 for name in names)


def test_pairs_are_chained_to_persons():
    tracks = [track(view, 0, 10) for view in (0, 1, 2, 0)]
    assert persons_of_tracks(tracks, {(0, 1): 5.0, (1, 2): 4.0}).tolist() == [0, 0, 0, -1]
    assert persons_of_tracks(tracks, {}).tolist() == [-1] * 4
    assert persons_of_tracks(tracks, {(0, 1): 5.0, (3, 1): 9.0}).tolist() == [-1, 0, -1, 0]


def test_the_pose_of_two_views_is_found_with_its_matches():
    _, tracks, moving, b_from_a = take()
    found = fit_pair(moving, tracks, 0, 1)
    assert set(found.matches) == {(0, 2), (1, 3)} and found.nats > 500
    turn = found.pose.b_from_a[:3, :3] @ b_from_a[:3, :3].T
    assert np.degrees(np.arccos((np.trace(turn) - 1) / 2)) < 2
    way, true = (one[:3, 3] / np.linalg.norm(one[:3, 3]) for one in (found.pose.b_from_a, b_from_a))
    assert way @ true > np.cos(np.radians(3))
    assert fit_pair(moving, tracks, 0, 2) is None
    assert fit_pair(moving, tracks[:2], 0, 1) is None


@pytest.mark.parametrize("keep", [0, LEAST_FRAMES - 1])
def test_views_that_share_too_few_frames_have_no_pose(keep):
    _, tracks, moving, _ = take()
    few = [*tracks[:2], *(RowTrack(one.view, one.row[:keep], one.frame[:keep]) for one in tracks[2:])]
    assert fit_pair(moving, few, 0, 1) is None
