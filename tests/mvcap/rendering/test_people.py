"""Bodies in motion: of the length that was asked, on the floor, joints in the surface, clothes that stick to it."""

import numpy as np
import pytest
from generated_people import circle
from rendered_box import camera_at, empty_room

from mvcap.errors import InputError
from mvcap.rendering import body_pose, body_surface, clothing, room
from mvcap.rendering.moving_joints import JointMotion
from mvcap.rendering.moving_meshes import DressedPeople
from mvcap.rendering.view_renderer import Shutter, ViewRenderer

pytest.importorskip("anny", reason="bodies need the package anny (extra generate)")
pytest.importorskip("open3d", reason="rendering needs Open3D (extra generate)")
RATE_HZ, FRAMES = 20.0, 24
AT = {name: index for index, name in enumerate(body_surface.JOINTS.joints)}


@pytest.fixture(scope="module")
def motion():
    truth, _, rate_hz = circle(people=2, cameras=2, frames=FRAMES, rate_hz=RATE_HZ)
    joints = truth.dense(FRAMES).astype(float)
    return JointMotion(np.arange(FRAMES) / rate_hz, joints, np.zeros((FRAMES, 2)))


@pytest.fixture(scope="module")
def people(motion):
    rng, made = np.random.default_rng(4), []
    for person in range(2):
        surface = body_surface.body_of(body_surface.random_physique(rng), 0.80 + 0.06 * person)
        moving = body_pose.moving_body(surface, motion.time_s, motion.joints[:, person], motion.low_m[:, person])
        made.append((moving, clothing.DressedBody(surface, clothing.random_outfit(rng))))
    return DressedPeople(tuple(made))


def test_legs_are_as_long_as_asked_and_all_parts_are_there(people):
    for (moving, _), leg_m in zip(people.bodies, (0.80, 0.86), strict=True):
        assert moving.surface.leg_m == pytest.approx(leg_m, abs=0.002)
        assert set(moving.surface.part_of_face.tolist()) == set(range(1, len(body_surface.PARTS) + 1))
    with pytest.raises(InputError, match="in metres"):
        body_surface.body_of(body_surface.random_physique(np.random.default_rng(0)), 800.0)


def test_at_rest_a_body_is_its_rest_pose(people):
    surface = people.bodies[0][0].surface
    joints = np.stack([surface.rest_joints[name] for name in body_surface.JOINTS.joints])
    turns = body_pose.segment_rotations(surface, np.tile(joints, (2, 1, 1)))
    angle = np.degrees(np.arccos(np.clip((np.trace(turns[0], axis1=1, axis2=2) - 1) / 2, -1, 1)))
    soles = [index for index, name in enumerate(body_pose.SEGMENTS) if name.endswith("foot")]
    assert np.delete(angle, soles).max() < 0.1 and angle[soles].max() < 8
    same = body_pose.skinned(surface, *body_pose.bones(surface, np.tile(np.eye(3), (13, 1, 1)), surface.bone_heads[0]),
                             surface.rest)  # fmt: skip
    assert same == pytest.approx(surface.rest, abs=1e-9)


def test_bodies_follow_the_motion_and_stand_on_the_floor(people, motion):
    for person, (moving, _) in enumerate(people.bodies):
        for time_s in (0.1, 0.52, 0.9):
            vertices = moving.vertices(time_s)
            assert vertices[:, 2].min() == pytest.approx(0, abs=0.01)
            found, asked = moving.joints(time_s), motion.joints[round(time_s * RATE_HZ), person]
            for one, other in (("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee")):
                for side in ("left_", "right_"):
                    ways = [of[AT[side + other]] - of[AT[side + one]] for of in (found, asked)]
                    cos = ways[0] @ ways[1] / np.linalg.norm(ways[0]) / np.linalg.norm(ways[1])
                    assert cos > np.cos(np.deg2rad(20)), (side, one, time_s)
            assert np.linalg.norm(found[AT["pelvis"]] - asked[AT["pelvis"]]) < 0.15


def test_motion_is_smooth_and_bones_keep_their_length(people):
    times = np.arange(0.1, 1.0, 0.01)
    xyz = np.stack([people.joints(time_s) for time_s in times])
    assert np.linalg.norm(np.diff(xyz, axis=0), axis=-1).max() < 0.08  # 8 m/s
    thigh = np.linalg.norm(xyz[:, :, AT["left_knee"]] - xyz[:, :, AT["left_hip"]], axis=-1)
    assert (np.ptp(thigh, axis=0) < 0.03).all()
    half = body_pose.rotations_between(np.eye(3)[None], np.diag([1.0, -1, -1])[None], 0.5)
    assert np.trace(half[0]) == pytest.approx(1.0)


def test_joints_are_inside_of_what_the_picture_shows(people):
    camera = camera_at(position=(3.4, 0.0, 1.0), size=(240, 180), focal=110.0)
    truth = ViewRenderer(empty_room(), people, camera).truth(0.5, 0.55, Shutter(0.0))
    inner = [AT[f"{side}_{name}"] for side in ("left", "right") for name in ("hip", "knee", "shoulder", "elbow")]
    xy = camera.project(people.joints(0.5)[:, inner])
    hit = []
    for person in (1, 2):
        x, y = np.rint(xy[person - 1]).astype(int).T
        inside = (x >= 0) & (y >= 0) & (x < 240) & (y < 180)
        hit += (truth.person[y[inside], x[inside]] > 0).tolist()
    assert np.mean(hit) > 0.95
    assert set(np.unique(truth.person)) == {0, 1, 2} and truth.part.max() <= len(body_surface.PARTS)
    assert ((truth.part > 0) == (truth.person > 0)).all()


def test_clothes_cover_the_body_and_keep_to_it(people):
    moving, dressed = people.bodies[0]
    out = np.linalg.norm(dressed.rest - moving.surface.rest, axis=1)
    assert out.max() < 0.03 and (out > 0.003).mean() > 0.15
    face = np.arange(len(moving.surface.faces))
    share = np.full((len(face), 3), 1 / 3)
    colour = dressed.albedo(face, share)
    assert np.array_equal(colour, dressed.albedo(face, share)) and colour.min() > 0 and colour.max() < 1.2
    feet = moving.surface.part_of_face == body_surface.PARTS.index("left_foot") + 1
    assert np.abs(colour[feet] / dressed.outfit.shoes - 1).max() < 0.3
    normal = clothing.vertex_normals(moving.surface.rest, moving.surface.faces)
    assert np.linalg.norm(normal, axis=1).min() > 0.9


def test_a_room_is_seen_from_within_and_repeats():
    one, two = empty_room(3), empty_room(3)
    assert np.array_equal(one.vertices, two.vertices) and one.floor_style in room.FLOOR_STYLES
    corner = one.vertices[one.faces]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])[:12]
    inwards = 0.5 * (one.low + one.high) - corner[:12].mean(1)
    assert ((normal * inwards).sum(-1) > 0).all()
    points = np.random.default_rng(0).uniform(one.low, one.high, (500, 3))
    colour = one.albedo(np.random.default_rng(1).integers(0, len(one.faces), 500), points)
    assert colour.min() > 0 and colour.max() < 1
    assert len(one.lamps) == 2 and isinstance(one.lamps[0], room.Lamp)
