"""Unambiguous frames: certain matches, and that skipping the graph changes no result."""

import numpy as np
import pytest
from generated_people import NOISE, circle, crossing
from hypothesis import given, settings
from hypothesis import strategies as st
from seen_rows import associated, scores, seen

from mvcap.association.association_graph import GeometryConfig, associate_frame
from mvcap.association.ray_affinity import BodyRays
from mvcap.association.tracked_bodies import TrackedBodies, estimate_bodies, unknown_bodies
from mvcap.association.unambiguous_frames import CERTAIN_NATS, certain_matches, single_view_rows, skip_unambiguous

seeds = st.integers(0, 2**32 - 1)


# --- certain matches -------------------------------------------------------------------------------------------------


def brute_force(score, place):
    """Person of a row where its evidence is sure, and beats all other persons, and all other rows of its place."""
    out = np.full(len(score), -1)
    for row in range(len(score)):
        for person in range(score.shape[1]):
            top = score[row, person]
            others = np.delete(score[row], person)
            rivals = score[(place == place[row]) & (np.arange(len(score)) != row), person]
            if top > CERTAIN_NATS and (others <= top - CERTAIN_NATS).all() and (rivals <= top - CERTAIN_NATS).all():
                out[row] = person
    return out


@given(seeds, st.integers(0, 8), st.integers(0, 4), st.integers(1, 4))
@settings(derandomize=True, max_examples=80)
def test_certain_matches_are_those_of_the_definition(seed, rows, people, places):
    rng = np.random.default_rng(seed)
    score = rng.normal(0, 2, (rows, people)) + 12 * (rng.random((rows, people)) < 0.4)
    place = rng.integers(0, places, rows)
    found = certain_matches(score, place)
    np.testing.assert_array_equal(found, brute_force(score, place))
    for one in np.unique(place):
        mine = found[(place == one) & (found >= 0)]
        assert len(set(mine.tolist())) == len(mine)


def test_two_rows_of_one_view_that_fit_one_person_are_ambiguous_and_of_two_views_are_not():
    score = np.array([[10.0, -3.0], [9.0, -3.0]])
    assert certain_matches(score, np.array([0, 0])).tolist() == [-1, -1]
    assert certain_matches(score, np.array([0, 1])).tolist() == [0, 0]
    assert certain_matches(score - 6, np.array([0, 1])).tolist() == [-1, -1]
    assert certain_matches(np.array([[10.0, 7.0]]), np.array([0])).tolist() == [-1]


def test_rows_of_the_lost_that_a_single_view_sees():
    group, view = np.array([0, 0, 1, 2, -1, 5]), np.array([0, 1, 0, 1, 1, 0])
    assert single_view_rows(group, view, np.array([True, True, False])).tolist() == [2]
    assert single_view_rows(group, view, np.array([False] * 3)).tolist() == []
    assert single_view_rows(group[:0], view[:0], np.array([True])).tolist() == []


# --- the same as the whole graph -------------------------------------------------------------------------------------


def frame_by_frame(rows, rig, rate_hz):
    """Persons of rows by the graph alone, frame by frame."""
    body, config = rows.of_body(), GeometryConfig()
    rays = BodyRays.of(body, rig, config.min_score)
    people = TrackedBodies.empty(len(body.skeleton), np.zeros(len(rig)))
    person = np.full(len(rows), -1)
    for frame in np.unique(rows.frame):
        mine = np.flatnonzero(rows.frame == frame)
        expected = people.predicted(frame / rate_hz, body.skeleton.torso)
        person[mine], _, people = associate_frame(rays[mine], expected, rig, body.skeleton, config)
    return person


@pytest.mark.parametrize(("make", "arguments"), [(circle, (3, 4, 30)), (crossing, (4, 5, 30))])
def test_the_result_is_that_of_the_graph_frame_by_frame(make, arguments):
    take = make(*arguments)
    rows = seen(take, **NOISE)
    slow = frame_by_frame(rows, *take[1:])
    fast, memory = associated(rows, *take[1:])
    assert scores(fast) == (1, 1) and memory["next_ident"] == arguments[0]
    pairs = {(a, b) for a, b in zip(slow.tolist(), fast.person.tolist(), strict=True)}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) == arguments[0]


@pytest.fixture(scope="module")
def frames():
    """Three people of a take without noise: bodies tracked at frame 0, and the rays of ten more frames."""
    take = circle(3, 5, 11, rate_hz=25.0)
    rows = seen(take).of_body()
    rays = BodyRays.of(rows, take[1])
    now = rows.frame == 0
    people = TrackedBodies.empty(len(rows.skeleton), np.zeros(5))
    at = np.flatnonzero(now)
    bodies = estimate_bodies(rays[at], rows.carried[at] - 1, unknown_bodies(3, len(rows.skeleton)))
    _, people = people.updated(np.full(3, 5), bodies, rows.skeleton.torso, 1.0)
    return rows[np.flatnonzero(~now)], rays[np.flatnonzero(~now)], people


def skip(rows, rays, people, frames=4, keep=None):
    mine = rows.frame <= frames
    mine = np.flatnonzero(mine if keep is None else mine & keep)
    times = np.arange(1, frames + 1) / 25.0
    return mine, skip_unambiguous(rays[mine], rows.frame[mine] - 1, people, times, rows.skeleton.torso, 1.0)


def test_unambiguous_frames_are_matched_together(frames):
    rows, rays, people = frames
    mine, (number, done, after) = skip(rows, rays, people)
    assert done == 4 and (number == rows.carried[mine] - 1).all()
    assert after.time_s == pytest.approx(4 / 25) and after.frames == 4 and after.next_ident == 3


def test_it_stops_before_a_frame_in_which_somebody_is_not_seen(frames):
    rows, rays, people = frames
    _, (number, done, after) = skip(rows, rays, people, keep=(rows.carried != 2) | (rows.frame != 3))
    assert done == 2 and len(number) == 2 * 15 and after.frames == 2
    _, (number, done, after) = skip(rows, rays, people, keep=(rows.carried != 2) | (rows.frame != 1))
    assert done == 0 and len(number) == 0 and after is people


def test_it_stops_before_a_newcomer(frames):
    rows, rays, people = frames
    rest = people.without(np.array([1]))
    _, (number, done, _) = skip(rows, rays, rest)
    assert done == 0 and len(number) == 0


def test_it_stops_before_a_joint_that_belongs_to_another(frames):
    rows, rays, people = frames
    one, other = (np.flatnonzero((rows.frame == 2) & (rows.view == 0) & (rows.carried == who))[0] for who in (1, 2))
    wrist = rows.skeleton.index("left_wrist")
    direction = rays.direction.copy()
    direction[one, wrist], direction[other, wrist] = rays.direction[other, wrist], rays.direction[one, wrist]
    mixed = BodyRays(rays.view, rays.origin, direction, rays.variance, rays.seen)
    assert skip(rows, mixed, people)[1][1] == 1


def test_frames_without_rows_and_persons_are_skipped():
    people = TrackedBodies.empty(17, np.zeros(5))
    rays = BodyRays(
        np.zeros(0, int), *[np.zeros((0, *shape)) for shape in ((3,), (17, 3), (17,))], np.zeros((0, 17), bool)
    )
    number, done, after = skip_unambiguous(rays, np.zeros(0, int), people, np.array([0.0]), np.array([5, 6]), 1.0)
    assert len(number) == 0 and done == 1 and len(after) == 0
