"""Candidate positions of a person's centre: the grid, and the evidence of every view."""

from dataclasses import replace

import numpy as np
import pytest
from frame_of_people import KIND, seen_by, standing
from generated_people import ring_rig

from mvcap.association.association_graph import evidence_for_groups
from mvcap.association.centre_proposals import GRID, PAIR_NAMES, SPOT_NAMES, VIEW_NAMES, body_centre, centre_proposals
from mvcap.association.graph_features import RowFeatures
from mvcap.association.ray_affinity import BodyRays
from mvcap.association.tracked_bodies import TrackedBodies, unknown_bodies

CAMERAS, MIDDLE = 5, len(GRID) // 2


def no_people(cameras=CAMERAS):
    return TrackedBodies.empty(len(KIND), np.zeros(cameras))


def proposals(xyz, one=0, people=None, group=None, rig=None, **how):
    """Proposals round a body of what a rig sees of bodies (P, J, 3)."""
    rig = ring_rig(CAMERAS) if rig is None else rig
    rows, true = seen_by(rig, xyz, **how)
    group = true if group is None else group
    rays = BodyRays.of(rows, rig)
    sizes = np.array([camera.lens.size for camera in rig], float)
    features = RowFeatures.of(rows, np.asarray(rig.focal), sizes)
    bodies, evidence = evidence_for_groups(rays, group, unknown_bodies(len(xyz), len(KIND)))
    people = no_people(len(rig)) if people is None else people
    return centre_proposals(rays, features, rig, bodies, evidence, group, one, people, KIND)


def view(found, name):
    return found.view[..., VIEW_NAMES.index(name)]


def spot(found, name):
    return found.spot[:, SPOT_NAMES.index(name)]


def standing_at(place):
    """Somebody at a place (x, y), looking any way."""
    xyz = standing(1)
    return xyz - np.append(xyz.mean(1)[0, :2], 0) + np.append(place, 0)


def tracked(xyz):
    return replace(
        no_people(), ident=np.arange(len(xyz)), xyz=xyz, cov=np.tile(np.eye(3) * 1e-4, (*xyz.shape[:2], 1, 1)),
        velocity=np.zeros((len(xyz), 3)), seen_s=np.zeros(len(xyz)),
    )  # fmt: skip


# --- centres ---------------------------------------------------------------------------------------------------------


def test_the_centre_is_the_middle_of_the_torso_whatever_one_joint_does():
    xyz = standing(1)
    bodies = replace(unknown_bodies(1, len(KIND)), xyz=xyz, known=np.ones((1, len(KIND)), bool))
    bodies = replace(bodies, cov=np.tile(np.eye(3) * 0.02**2, (1, len(KIND), 1, 1)))
    middle, sigma = body_centre(bodies, 0, KIND)
    np.testing.assert_allclose(middle, np.median(xyz[0, KIND.torso], axis=0))
    assert sigma == pytest.approx(0.02)
    wrong = xyz.copy()
    wrong[0, KIND.torso[0]] += 50.0
    moved, _ = body_centre(replace(bodies, xyz=wrong), 0, KIND)
    assert np.linalg.norm(moved - middle) < 0.4


def test_without_a_torso_the_centre_is_that_of_the_rest_and_of_nothing_it_is_unknown():
    xyz = standing(1)
    known = ~np.isin(np.arange(len(KIND)), KIND.torso)[None]
    bodies = replace(unknown_bodies(1, len(KIND)), xyz=xyz, known=known)
    np.testing.assert_allclose(body_centre(bodies, 0, KIND)[0], np.median(xyz[0, known[0]], axis=0))
    two = replace(bodies, known=np.arange(len(KIND))[None] < 2)
    np.testing.assert_allclose(body_centre(two, 0, KIND)[0], xyz[0, :2].mean(0))
    middle, sigma = body_centre(unknown_bodies(1, len(KIND)), 0, KIND)
    assert np.isnan(middle).all() and sigma == np.inf


def test_a_body_of_which_nothing_is_known_has_no_proposals():
    xyz = standing(2)
    group = np.where(np.tile([0, 1], CAMERAS) == 1, -1, 0)
    assert proposals(xyz, one=1, group=group) is None and proposals(xyz, one=0, group=group) is not None


# --- places ----------------------------------------------------------------------------------------------------------


def test_places_are_a_grid_round_the_centre_as_wide_as_it_is_unsure():
    xyz = standing_at((0.2, 0.3))
    found = [proposals(xyz, noise_px=0.0, stated_px=stated_px) for stated_px in (0.5, 60.0, 150.0)]
    steps = [(np.ptp(one.xyz, axis=0) / 2).tolist() for one in found]
    assert steps[0] == pytest.approx([0.05] * 3) and 0.06 < steps[1][0] < 0.29 and steps[2] == pytest.approx([0.3] * 3)
    for one in found:
        off = one.xyz - one.xyz[MIDDLE]
        np.testing.assert_allclose(one.xyz[MIDDLE], np.median(xyz[0, KIND.torso], axis=0), atol=0.01)
        assert len({tuple(place) for place in one.xyz.round(6).tolist()}) == 27
        np.testing.assert_allclose(spot(one, "away"), np.linalg.norm(off, axis=1) / 0.3, atol=1e-6)
        np.testing.assert_allclose(spot(one, "above"), off[:, 2] / 0.3, atol=1e-6)
    assert (np.diff([spot(one, "spread")[0] for one in found]) > 0).all()


def test_features_of_the_body_as_a_whole():
    found = proposals(standing_at((0, 0)))
    assert found.view.shape == (27, CAMERAS, len(VIEW_NAMES)) and found.pair.shape == (
        CAMERAS,
        CAMERAS,
        len(PAIR_NAMES),
    )
    assert (spot(found, "views") == np.float32(np.log1p(CAMERAS))).all()
    assert (
        (spot(found, "scale") == 0).all() and (spot(found, "measured") == 1).all() and (spot(found, "known") == 1).all()
    )
    assert (spot(found, "nearest") == 2).all(), "no other person is near"
    middle = standing_at((0, 0)).mean(1, keepdims=True)
    giant = proposals(middle + 2.5 * (standing_at((0, 0)) - middle))
    dwarf = proposals(middle + 0.3 * (standing_at((0, 0)) - middle))
    assert spot(giant, "scale")[0] > 0.3 and spot(dwarf, "scale")[0] < -0.3


def test_the_nearest_tracked_person_counts_but_not_the_body_itself():
    people = tracked(np.concatenate([standing_at((0, 0)), standing_at((0.8, 0))]))
    found = proposals(standing_at((0, 0)), one=0, people=people)
    assert spot(found, "nearest")[0] == pytest.approx(0.8, abs=0.05)
    alone = proposals(standing_at((0, 0)), one=0, people=tracked(standing_at((0, 0))))
    assert spot(alone, "nearest")[0] == 2


# --- evidence of the views --------------------------------------------------------------------------------------------


def test_a_view_with_a_row_gives_the_distance_of_the_position_from_it():
    found = proposals(standing_at((0, 0)), views=[0, 1, 3], noise_px=0.5, stated_px=0.5)
    assert (view(found, "has_row") == [1, 1, 0, 1, 0]).all()
    assert (view(found, "evidence")[:, [0, 1, 3]] > 0.4).all() and (view(found, "evidence")[:, [2, 4]] == 0).all()
    assert (view(found, "joints")[:, [0, 1, 3]] == 1).all()
    rig = ring_rig(CAMERAS)
    for camera in (0, 1, 3):  # the nearer the place is to the middle of the row's rays, the less it is off
        joints, look = (xyz - rig.positions[camera] for xyz in (standing_at((0, 0))[0], found.xyz))
        heading = (joints / np.linalg.norm(joints, axis=-1, keepdims=True)).mean(0)
        angle = np.linalg.norm(np.cross(look, heading), axis=-1) / np.linalg.norm(look, axis=-1)
        assert np.corrcoef(view(found, "off")[:, camera], np.log(angle))[0, 1] > 0.95
    assert (view(found, "size")[:, [0, 1, 3]] == 0).all()


def test_a_body_too_large_for_its_distance_is_outside_the_human_range():
    xyz = standing_at((0, 0))
    middle = xyz.mean(1, keepdims=True)
    giant = proposals(middle + 3.5 * (xyz - middle))
    assert (view(giant, "size")[MIDDLE] > 0.1).all()


def test_every_view_sees_the_middle_of_the_room_but_not_positions_far_outside():
    rig = ring_rig(CAMERAS)
    assert proposals(standing_at((0, 0))).there.all()
    far = proposals(standing_at((9.0, 0.0)), rig=rig, views=[1, 2, 3, 4])
    seen = rig.project(far.xyz[MIDDLE])
    size = np.array(rig[0].size)
    inside = ((seen > -200) & (seen < size + 200)).all(-1) & np.isfinite(seen).all(-1)
    assert not far.there.all() and not far.there[0], "it is behind the first camera"
    np.testing.assert_array_equal(far.there & ~inside, np.zeros(CAMERAS, bool))


def test_another_row_in_the_line_of_sight_and_somebody_in_front():
    """Somebody else's row of a view lies towards the place, and a tracked person stands between it and the camera."""
    rig, place = ring_rig(CAMERAS), np.array([0.0, 0.0])
    towards = rig.positions[0, :2] / np.linalg.norm(rig.positions[0, :2])
    front = standing_at(place + 1.2 * towards)
    front[..., 2] += 0.28 * 1.2  # cameras look down: between the torso and the lens
    both = np.concatenate([standing_at(place), front])
    found = proposals(both, people=tracked(both), rig=rig)
    assert view(found, "another")[MIDDLE, 0] > 0.5 > 0.1 > view(found, "another")[MIDDLE, 2]
    assert view(found, "hidden")[MIDDLE, 0] > 0.5 and view(found, "hidden")[MIDDLE, 2] < 0.1
    alone = proposals(standing_at(place), rig=rig)
    assert (view(alone, "another") == view(alone, "another").min()).all() and (view(alone, "hidden") < 1e-3).all()


def test_distance_and_border_are_closed_forms():
    rig = ring_rig(CAMERAS)
    found = proposals(standing_at((0.5, -0.3)), rig=rig)
    reach = np.linalg.norm(found.xyz[:, None] - rig.positions, axis=-1)
    np.testing.assert_allclose(view(found, "depth"), np.log(reach) / 2, rtol=1e-5)
    xy = rig.project(found.xyz).swapaxes(0, 1)
    edge = np.minimum(xy, np.array(rig[0].size) - 1 - xy).min(-1) / rig.focal * reach
    np.testing.assert_allclose(view(found, "border"), np.clip(edge, -1, 2), atol=1e-4)


def test_pairs_of_views_have_their_angle_and_agreement():
    rig = ring_rig(CAMERAS)
    found = proposals(standing_at((0, 0)), rig=rig, views=[0, 1, 3])
    look = found.xyz[MIDDLE] - rig.positions
    cosine = look @ look.T / np.linalg.norm(look, axis=1) / np.linalg.norm(look, axis=1)[:, None]
    angle, both, evidence = np.moveaxis(found.pair, -1, 0)
    np.testing.assert_allclose(angle, np.sqrt(np.maximum(1 - cosine**2, 0)), atol=1e-3)
    has = np.isin(np.arange(CAMERAS), [0, 1, 3])
    np.testing.assert_array_equal(both > 0, has[:, None] & has & ~np.eye(CAMERAS, dtype=bool))
    assert (evidence[both > 0] > 0.4).all() and (evidence[both == 0] == 0).all()
    np.testing.assert_array_equal(evidence, evidence.T)
