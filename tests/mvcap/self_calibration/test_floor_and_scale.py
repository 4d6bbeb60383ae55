"""The world that walkers make: up, floor, size and origin, in any world that the rig may have begun with."""

from functools import cache

import numpy as np
import pytest
from generated_people import HALPE, circle
from hypothesis import given, settings
from hypothesis import strategies as st

from calib.geometry import pose, rotation_from_vector, transform
from mvcap.self_calibration.floor_and_scale import floor_from_walking, move_points, stature, upright_world
from mvcap.structures.anthropometry import STATURE_M, body_scale
from mvcap.structures.skeleton import skeleton

AHEAD, UP = np.array([0.0, 1.0, 0.0]), np.array([0, 0, 1.0])


@cache
def walkers(people=2, frames=150):
    """Joints (T, P, J, 3) m of people who walk on z = 0."""
    truth, _, _ = circle(people=people, frames=frames)
    return np.stack([truth[truth.person == who].xyz for who in range(1, people + 1)], 1).astype(float)


def tilt_deg(new_from_old, up):
    """Angle between the new z axis and the true up (3,) of the old world."""
    return float(np.degrees(np.arccos(np.clip(new_from_old[2, :3] @ up / np.linalg.norm(up), -1, 1))))


turns = st.tuples(*[st.floats(-2.5, 2.5)] * 3)


@given(turns, st.floats(0.2, 5), st.tuples(*[st.floats(-20, 20)] * 3))
@settings(derandomize=True, max_examples=10, deadline=None)
def test_from_any_world_walkers_are_upright_on_the_floor_and_of_their_height(turn, unit, shift):
    bodies = walkers()
    R = rotation_from_vector(np.array(turn))
    lost = transform(pose(R, np.array(shift)), bodies / unit)
    tall = np.mean([stature(HALPE, bodies[:, [who]], 0.0) for who in range(2)])
    scale, new_from_old = upright_world(HALPE, lost, R @ AHEAD, tall)
    assert scale == pytest.approx(unit, rel=0.03) and tilt_deg(new_from_old, R[:, 2]) < 2
    back = move_points(scale, new_from_old, lost)
    np.testing.assert_allclose(new_from_old[:3, :3] @ new_from_old[:3, :3].T, np.eye(3), atol=1e-9)
    assert np.linalg.det(new_from_old[:3, :3]) == pytest.approx(1)
    assert abs(np.percentile(back[..., 2].min(-1), 10)) < 0.05
    looks = new_from_old[:3, :3] @ R @ AHEAD
    assert abs(looks[0]) < 1e-6 and looks[1] > 0.9, "y is ahead"


def test_lengths_do_not_change_the_shape():
    bodies = walkers()
    scale, new_from_old = upright_world(HALPE, bodies, AHEAD, 1.75)
    back = move_points(scale, new_from_old, bodies)
    one, two = (np.linalg.norm(x[..., 5, :] - x[..., 11, :], axis=-1) for x in (bodies, back))
    np.testing.assert_allclose(two, scale * one)


def test_without_a_height_people_are_of_usual_size():
    bodies = walkers()
    for unit in (1.0, 0.4):
        scale, _ = upright_world(HALPE, bodies / unit, AHEAD)
        size = np.nanmedian(body_scale(HALPE, scale * bodies[:, 0] / unit))
        assert size == pytest.approx(1, abs=0.1)


def test_the_origin_is_below_the_one_who_walks_most():
    bodies = walkers()
    still = np.repeat(bodies[:1, :1], len(bodies), axis=0) + np.array([7.0, 0, 0])
    both = np.concatenate([still, bodies[:, 1:]], axis=1)
    scale, new_from_old = upright_world(HALPE, both, AHEAD, 1.75)
    back = move_points(scale, new_from_old, both)
    np.testing.assert_allclose(np.median(back[:, 1].reshape(-1, 3), axis=0)[:2], 0, atol=1e-6)


def test_who_bends_hardly_tilts_the_world():
    """Everybody bends by 80 degrees to one side of the room for a fifth of the time."""
    bodies = walkers().copy()
    legs = [at for at, name in enumerate(HALPE.joints) if name.endswith(("hip", "knee", "ankle", "toe", "heel"))]
    upper = np.setdiff1d(np.arange(len(HALPE)), legs)
    pelvis = bodies[:30, :, HALPE.index("pelvis")][:, :, None]
    bent = rotation_from_vector(np.array([1.4, 0, 0]))
    bodies[:30, :, upper] = (bodies[:30, :, upper] - pelvis) @ bent.T + pelvis
    _, new_from_old = upright_world(HALPE, bodies, AHEAD, 1.75)
    mean = (bodies[..., HALPE.index("neck"), :] - bodies[..., HALPE.index("left_ankle"), :]).mean((0, 1))
    assert tilt_deg(new_from_old, UP) < 2.5 < tilt_deg(np.eye(4), mean)


def test_holes_are_borne_and_nothing_is_survived():
    bodies = np.where(np.random.default_rng(0).random(walkers().shape[:3])[..., None] < 0.3, np.nan, walkers())
    scale, new_from_old = upright_world(HALPE, bodies, AHEAD, 1.77)
    assert scale == pytest.approx(1, abs=0.05) and tilt_deg(new_from_old, UP) < 2


# --- parts -----------------------------------------------------------------------------------------------------------


def test_walking_is_the_spread_of_positions_times_the_frames():
    bodies = walkers(2)
    still = np.repeat(bodies[:1, :1], len(bodies), axis=0)
    table = np.concatenate(
        [bodies[:, :1], still, np.where(np.arange(len(bodies))[:, None, None, None] % 2, np.nan, bodies[:, :1])], 1
    )
    walked = floor_from_walking(table)
    assert walked[1] == 0 and walked[0] > 10 and walked[2] == pytest.approx(walked[0] / 2, rel=0.05)
    assert floor_from_walking(np.full((5, 2, len(HALPE), 3), np.nan)).tolist() == [0, 0]
    assert floor_from_walking(bodies[:1]).tolist() == [0, 0], "a single moment shows no walking"


@pytest.mark.parametrize("scale", [0.8, 1.0, 1.2])
def test_stature_is_how_high_heads_are_above_the_floor(scale):
    bodies = scale * walkers()[:, :1]
    top = np.percentile(bodies[:, 0, HALPE.index("head_top"), 2], 90)
    assert stature(HALPE, bodies, 0.0) == pytest.approx(top, rel=0.03)
    assert stature(HALPE, bodies + 5.0 * UP, 5.0) == pytest.approx(stature(HALPE, bodies, 0.0))


def test_without_a_head_stature_follows_from_limbs():
    bodies = walkers()[:, :1].copy()
    head = [at for at, name in enumerate(HALPE.joints) if any(part in name for part in ("nose", "eye", "ear", "head"))]
    whole = stature(HALPE, bodies, 0.0)
    bodies[:, :, head] = np.nan
    assert stature(HALPE, bodies, 0.0) == pytest.approx(whole, rel=0.1)
    nothing = np.full((4, 1, len(HALPE), 3), np.nan)
    assert stature(HALPE, nothing, 0.0) == STATURE_M


def test_points_are_scaled_and_then_moved():
    points = np.random.default_rng(1).normal(size=(4, 2, 3))
    way = pose(rotation_from_vector(np.array([0.3, 0, 1])), np.array([1.0, 2, 3]))
    np.testing.assert_allclose(move_points(2.0, way, points), 2 * points @ way[:3, :3].T + [1, 2, 3])


def test_a_skeleton_without_feet_stands_where_its_lowest_joint_is():
    kind = skeleton("mvor10")
    bodies = HALPE.apply(kind, walkers()[:, :1])
    scale, new_from_old = upright_world(kind, bodies, AHEAD)
    back = move_points(scale, new_from_old, bodies)
    assert np.nanpercentile(back[..., 2], 1) == pytest.approx(0, abs=0.02)
    assert tilt_deg(new_from_old, UP) < 6
