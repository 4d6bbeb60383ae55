"""A rig that grows from people: what its parts gather, and how views are adjusted to the people they share."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from generated_people import HALPE, circle, disturbed

from calib.geometry import vector_from_rotation
from calib.robust_triangulation import triangulate_robust
from mvcap.self_calibration.cross_view_matches import MovingPeople
from mvcap.self_calibration.incremental_rig import (
    PeopleViews,
    all_matches,
    bundle_adjust,
    joints_3d,
    pose_view,
    refit_matches,
    rig_from_old,
)
from mvcap.self_calibration.single_view_tracks import RowTrack
from mvcap.structures.anthropometry import body_scale
from mvcap.structures.detections import Detections2D

CAMERAS, FRAMES, RATE_HZ = 3, 20, 10.0


@cache
def take(people=2, noise_px=1.0):
    """Views of walkers whose tracks are the true ones, the rig, and the truth (T, P, J, 3)."""
    truth, rig, _ = circle(people=people, cameras=CAMERAS, frames=FRAMES, rate_hz=RATE_HZ)
    rng, parts, tracks = np.random.default_rng(0), [], []
    for view, camera in enumerate(rig):
        for who in range(1, people + 1):
            mine = truth[truth.person == who]
            xy = camera.project(mine.xyz.astype(float)) + noise_px * rng.normal(size=(FRAMES, len(HALPE), 2))
            rows = Detections2D.build(HALPE, 0, view, xy, np.ones(xy.shape[:2]), 1.0, mine.person)
            parts.append(rows.with_columns(frame=mine.frame, noise_px=np.full(xy.shape[:2], max(noise_px, 0.5))))
            tracks.append(RowTrack(view, len(tracks) * FRAMES + np.arange(FRAMES), mine.frame.astype(np.int64)))
    rows, lenses = Detections2D.concatenate(parts, HALPE), tuple(camera.lens for camera in rig)
    bodies = np.stack([truth[truth.person == who].xyz for who in range(1, people + 1)], 1).astype(float)
    return PeopleViews(rows, lenses, tracks, MovingPeople.of(rows, lenses)), rig, bodies


PERSON = np.array([0, 1] * CAMERAS)


def poses(rig):
    return dict(enumerate(rig.cam_from_world))


def relative_error(found, rig):
    """Largest error of a view's rotation against the first view, degrees, and of baselines as shares of the whole."""
    turns, ratios = [], []
    for view in range(1, len(rig)):
        ours, true = (one.cam_from_world[view] @ np.linalg.inv(one.cam_from_world[0]) for one in (found, rig))
        turns.append(np.degrees(np.linalg.norm(vector_from_rotation(ours[:3, :3] @ true[:3, :3].T))))
        ratios.append(np.linalg.norm(ours[:3, 3]) / np.linalg.norm(true[:3, 3]))
    return max(turns), float(np.ptp(ratios) / np.mean(ratios))


# --- what is gathered ------------------------------------------------------------------------------------------------


def test_rows_of_persons_are_found_by_view_frame_and_person():
    people, _, _ = take()
    frames = np.array([0, 7, 19])
    row = people.row_at(PERSON, frames)
    assert row.shape == (CAMERAS, 3, 2)
    for view in range(CAMERAS):
        for at, frame in enumerate(frames):
            for who in (0, 1):
                one = row[view, at, who]
                assert (people.rows.view[one], people.rows.frame[one], people.rows.carried[one]) == (
                    view,
                    frame,
                    who + 1,
                )
    few = people.row_at(np.where(PERSON == 1, -1, PERSON), frames)
    assert few.shape == (CAMERAS, 3, 1)
    assert (people.row_at(np.array([0, 1, -1, -1, -1, -1]), frames)[1:] == -1).all()


def test_frames_that_two_views_share_are_spread_over_the_take():
    people, _, _ = take()
    assert people.frames_of(PERSON, 5).tolist() == [0, 4, 9, 14, 19]
    assert people.frames_of(PERSON, 1000).tolist() == list(range(FRAMES))
    assert len(people.frames_of(np.array([0, 1, -1, -1, -1, -1]), 5)) == 0, "one view alone shares nothing"


def test_observations_are_joints_as_free_points():
    people, rig, _ = take()
    frames = np.arange(0, FRAMES, 4)
    seen = people.observations(PERSON, frames, RATE_HZ)
    joints = len(HALPE)
    assert seen.xy.shape == (CAMERAS, 5, 2 * joints, 2) and seen.target.free and seen.views == rig.names
    row = people.row_at(PERSON, frames)
    np.testing.assert_array_equal(seen.xy[1, 2, joints:], people.rows.xy[row[1, 2, 1]].astype(float))
    np.testing.assert_allclose(seen.time_s[0], frames / RATE_HZ)


def test_who_stands_still_is_observed_once():
    people, _, _ = take(1)
    still = people.rows.with_columns(xy=people.rows.xy[(np.arange(CAMERAS) * FRAMES).repeat(FRAMES)])
    views = PeopleViews(still, people.lenses, people.tracks, people.moving)
    assert views.observations(np.zeros(3, int), np.arange(20), RATE_HZ).seen.any((0, 2)).sum() == 1
    assert people.observations(np.zeros(3, int), np.arange(20), RATE_HZ).seen.any((0, 2)).sum() == 20


# --- how views are adjusted ------------------------------------------------------------------------------------------


def test_true_poses_match_the_true_people():
    people, rig, _ = take()
    nats = all_matches(people, poses(rig))
    assert set(nats) == {(0, 2), (0, 4), (2, 4), (1, 3), (1, 5), (3, 5)}
    wide = all_matches(people, poses(disturbed(rig, "bad")), 4.0)
    assert set(wide) == set(nats)


def test_disturbed_views_are_adjusted_and_of_usual_size():
    people, rig, _ = take()
    found = refit_matches(people, poses(disturbed(rig, "fair")), 4.0)
    assert sorted(found.poses) == [0, 1, 2] and found.nats > 0
    assert found.person.tolist() in ([0, 1] * 3, [1, 0] * 3)
    fitted = pose_view(people, found.poses)
    angle, span = relative_error(fitted, rig)
    before, _ = relative_error(disturbed(rig, "fair"), rig)
    assert angle < 0.1 < before and span < 0.01
    seen = people.observations(found.person, np.arange(0, FRAMES, 4), RATE_HZ)
    points = triangulate_robust(fitted, seen.xy, seen.sigma).xyz
    assert np.nanmedian(body_scale(HALPE, joints_3d(points, HALPE))) == pytest.approx(1, abs=0.02)


def test_a_view_that_shares_no_person_is_left_out():
    people, rig, _ = take()
    rng = np.random.default_rng(1)
    xy = people.rows.xy.copy()
    mine = people.rows.view == 2
    xy[mine] = rng.uniform(0, 1000, xy[mine].shape)
    rows = people.rows.with_columns(xy=xy)
    views = PeopleViews(rows, people.lenses, people.tracks, MovingPeople.of(rows, people.lenses))
    found = rig_from_old(views, poses(disturbed(rig, "fair")))
    assert sorted(found.poses) == [0, 1] and (found.person[4:] == -1).all()
    nothing = PeopleViews(rows, people.lenses, people.tracks[4:], views.moving)
    assert rig_from_old(nothing, poses(rig)) is None


def test_bundle_adjustment_finds_the_rig_and_the_points_and_leaves_outliers_out():
    people, rig, bodies = take(1, 0.0)
    frames = np.arange(0, FRAMES, 5)
    seen = people.observations(np.zeros(3, int), frames, RATE_HZ)
    exact, points = bundle_adjust(rig, seen)
    assert max(relative_error(exact, rig)) < 0.01
    there = seen.seen.any((0, 2))
    np.testing.assert_allclose(points[there], bodies[frames[there], 0], atol=2e-3)
    wrong = seen.xy.copy()
    wrong[1, there, 3] += 80.0
    again, _ = bundle_adjust(disturbed(rig, "fair"), replace(seen, xy=wrong))
    assert relative_error(again, rig)[0] < 0.02


def test_points_are_joints_of_people_in_order():
    points = np.arange(4 * 2 * len(HALPE) * 3.0).reshape(4, 2 * len(HALPE), 3)
    bodies = joints_3d(points, HALPE)
    assert bodies.shape == (4, 2, len(HALPE), 3)
    np.testing.assert_array_equal(bodies[1, 1, 0], points[1, len(HALPE)])
