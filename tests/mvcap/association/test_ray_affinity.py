"""Evidence of rays: for one point with the stated noise, against other points, and in any world frame."""

import numpy as np
import pytest
from generated_people import HALPE, RADIUS_M, ring_rig
from hypothesis import given, settings
from hypothesis import strategies as st

from calib import Camera, Rig
from calib.geometry import pose, rotation_from_vector
from mvcap.association.ray_affinity import WRONG, BodyRays, body_evidence, body_total, ray_distances
from mvcap.structures.detections import Detections2D, joint_box
from mvcap.structures.skeleton import skeleton

COCO = skeleton("coco17")
RIG = ring_rig(5)
FIRST, SECOND = np.triu_indices(5, 1)
AGAINST = np.log(WRONG)
seeds = st.integers(0, 2**32 - 1)


def rows_of(xy, noise_px=2.0, kind=COCO, view=None):
    """Rows of pixels (M, J, 2), one a view."""
    seen = np.isfinite(xy).all(-1)
    view = np.arange(len(xy)) if view is None else view
    zero = np.zeros(len(xy))
    return Detections2D(kind, zero, view, zero - 1, zero - 1, joint_box(xy), xy, seen, np.where(seen, noise_px, np.nan))


def points(seed, people=1):
    """Joints (people, 17, 3) anywhere in the room, and what five cameras see of them (5, people, 17, 2)."""
    rng = np.random.default_rng(seed)
    xyz = rng.uniform((-1.5, -1.5, 0.1), (1.5, 1.5, 1.8), (people, len(COCO), 3))
    xy = RIG.project(xyz)
    return xyz, xy + rng.normal(0, 2, xy.shape)


def seen(seed):
    return BodyRays.of(rows_of(points(seed)[1][:, 0]), RIG)


@given(seeds)
@settings(max_examples=25)
def test_rays_of_one_body_speak_for_it(seed):
    evidence = ray_distances(seen(seed), FIRST, SECOND).evidence()
    assert (evidence >= AGAINST - 1e-9).all()
    assert (evidence > 0).mean() > 0.95
    assert (body_total(evidence) > 2).all()


@given(seeds)
@settings(max_examples=25)
def test_rays_of_other_bodies_speak_against_it_and_no_louder_than_joints_are_wrong(seed):
    _, xy = points(seed, people=2)
    one, other = (BodyRays.of(rows_of(xy[:, person]), RIG) for person in range(2))
    evidence = ray_distances(one, FIRST, SECOND, other).evidence()
    assert (evidence >= AGAINST - 1e-9).all() and np.median(evidence) < 0
    assert (body_total(evidence) < 0).mean() > 0.9


@given(seeds)
@settings(max_examples=25)
def test_both_rows_of_a_pair_say_the_same(seed):
    rays = seen(seed)
    there, back = ray_distances(rays, FIRST, SECOND), ray_distances(rays, SECOND, FIRST)
    np.testing.assert_allclose(there.evidence(), back.evidence(), atol=1e-9)
    np.testing.assert_allclose(there.middle, back.middle, atol=1e-6)


@given(seeds, st.tuples(*[st.floats(-3, 3)] * 3), st.tuples(*[st.floats(-50, 50)] * 3))
@settings(max_examples=25)
def test_the_world_may_lie_anywhere(seed, turn, shift):
    moved_from = pose(rotation_from_vector(np.array(turn)), np.array(shift))  # old world from new
    rig = Rig(tuple(Camera(camera.lens, camera.cam_from_world @ moved_from) for camera in RIG))
    rows = rows_of(points(seed)[1][:, 0])
    here = ray_distances(BodyRays.of(rows, RIG), FIRST, SECOND).evidence()
    there = ray_distances(BodyRays.of(rows, rig), FIRST, SECOND).evidence()
    np.testing.assert_allclose(there, here, atol=1e-5)


def test_metres_matter():
    rows = rows_of(points(0)[1][:, 0])
    here, far = (
        ray_distances(BodyRays.of(rows, rig), FIRST, SECOND).evidence() for rig in (RIG, RIG.scaled_world(RADIUS_M))
    )
    np.testing.assert_allclose((here - far)[here > 2].mean(), np.log(RADIUS_M), atol=0.1)


def test_nothing_is_said_of_what_is_not_seen():
    _, xy = points(1)
    xy = xy[:, 0].copy()
    xy[0, :5], xy[1, 3:8] = np.nan, np.nan
    rays = BodyRays.of(rows_of(xy), RIG)
    evidence = ray_distances(rays, np.array([0]), np.array([1])).evidence()
    np.testing.assert_array_equal(np.isnan(evidence[0]), np.arange(17) < 8)
    assert np.isfinite(rays.direction).all() and np.isfinite(rays.variance).all()
    assert body_total(np.full((2, 4), np.nan)).tolist() == [0, 0]


@pytest.mark.parametrize("noise", [0.0, -1.0, np.inf])
def test_a_joint_without_a_noise_is_not_seen(noise):
    _, xy = points(1)
    rows = rows_of(xy[:, 0])
    assert not BodyRays.of(rows.with_columns(noise_px=np.full_like(rows.noise_px, noise)), RIG).seen.any()
    assert not BodyRays.of(rows, RIG, min_score=1.1).seen.any()


def test_more_noise_says_less():
    xy = RIG.project(points(2)[0][0])
    said = [
        body_total(ray_distances(BodyRays.of(rows_of(xy, noise), RIG), FIRST, SECOND).evidence())
        for noise in (1, 4, 16, 64)
    ]
    assert (np.diff(said, axis=0) < 0).all()
    fine = BodyRays.of(rows_of(xy, 1.0), RIG)
    wide = fine.widened(np.full(5, (3.0 / 1100) ** 2))
    np.testing.assert_allclose(wide.variance, (np.sqrt(10) / 1100) ** 2, rtol=1e-5)


def test_rays_that_meet_behind_a_camera_do_not_meet():
    away = RIG[0].position * 1.3  # behind the first camera, before the third
    assert np.isnan(RIG[0].project(away)).all()
    pixel = np.full((5, 17, 2), np.nan)
    pixel[2] = RIG[2].project(away)
    direction = (RIG[0].position - away) / np.linalg.norm(RIG[0].position - away)
    pixel[0] = RIG[0].project(RIG[0].position + direction)
    evidence = ray_distances(BodyRays.of(rows_of(pixel), RIG), np.array([0]), np.array([2])).evidence()
    np.testing.assert_allclose(evidence, AGAINST)


def test_exchanged_twice_is_as_before_and_once_is_the_mirror_row():
    rng = np.random.default_rng(0)
    _, xy = points(3)
    xy = np.where(rng.random(xy.shape[:-1])[..., None] < 0.2, np.nan, xy)[:, 0]
    rays = BodyRays.of(rows_of(xy), RIG)
    flip = np.array([True, False, True, False, False])
    once = rays.exchanged(flip, COCO.mirror)
    mirrored = BodyRays.of(rows_of(np.where(flip[:, None, None], xy[:, COCO.mirror], xy)), RIG)
    for name in ("direction", "variance", "seen"):
        np.testing.assert_array_equal(getattr(once, name), getattr(mirrored, name))
        np.testing.assert_array_equal(getattr(once.exchanged(flip, COCO.mirror), name), getattr(rays, name))
    assert rays.exchanged(~flip & flip, COCO.mirror) is rays


def test_rows_come_in_any_order_and_any_number_a_view():
    _, xy = points(4, people=3)
    flat, view = xy.reshape(-1, 17, 2), np.repeat(np.arange(5), 3)
    order = np.random.default_rng(0).permutation(15)
    rays, mixed = BodyRays.of(rows_of(flat, view=view), RIG), BodyRays.of(rows_of(flat[order], view=view[order]), RIG)
    np.testing.assert_allclose(mixed.direction, rays.direction[order], atol=1e-12)
    assert len(BodyRays.of(rows_of(flat[:0], view=view[:0]), RIG).view) == 0


@given(seeds)
@settings(max_examples=15)
def test_a_body_is_known_by_its_rays(seed):
    xyz, xy = points(seed, people=2)
    rays = BodyRays.of(rows_of(xy[:, 0]), RIG)
    cov, known = np.tile(np.eye(3) * 0.01**2, (2, 17, 1, 1)), np.ones((2, 17), bool)
    known[1, 0] = False
    evidence = body_evidence(rays, xyz, cov, known)
    assert evidence.shape == (5, 2, 17) and np.isnan(evidence[:, 1, 0]).all()
    assert (np.nan_to_num(evidence) >= AGAINST - 1e-9).all()
    score = body_total(evidence)
    assert (score[:, 0] > 3).all() and (score[:, 1] < 0).all()
    vague = body_evidence(rays, xyz, cov * 1e4, known)
    assert (body_total(vague)[:, 0] < score[:, 0]).all()


def test_a_body_of_each_row_is_the_diagonal_of_all():
    xyz, xy = points(5, people=5)
    rays = BodyRays.of(rows_of(np.stack([xy[view, view] for view in range(5)])), RIG)
    cov, known = np.tile(np.eye(3) * 1e-4, (5, 17, 1, 1)), np.ones((5, 17), bool)
    own = body_evidence(rays, xyz[:, None], cov[:, None], known[:, None])[:, 0]
    np.testing.assert_allclose(own, body_evidence(rays, xyz, cov, known)[np.arange(5), np.arange(5)])


def test_the_skeleton_does_not_matter():
    xyz = np.random.default_rng(6).uniform((-1, -1, 0.1), (1, 1, 1.8), (len(HALPE), 3))
    rows = rows_of(RIG.project(xyz), kind=HALPE)
    whole, part = BodyRays.of(rows, RIG), BodyRays.of(rows.of_body(), RIG)
    np.testing.assert_allclose(part.direction, whole.direction[:, HALPE.body], atol=1e-12)
