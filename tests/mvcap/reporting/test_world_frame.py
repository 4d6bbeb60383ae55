"""Whether z points up: worlds turned in every way are named, people who lie or stand on their hands are not."""

import re

import numpy as np
import pytest
from walking_take import COCO, body, chunked, poses, rig

from calib.geometry import invert, pose, rotation_from_vector, transform
from mvcap.reporting.reason import LIMITS
from mvcap.reporting.verdict import REASONS
from mvcap.reporting.world_frame import WorldFrame, world_reasons
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import skeleton

RIG = rig()
FRAMES = 60
WALK = poses(FRAMES)
LEVEL = np.eye(3)


def moved(table, new_from_old):
    return table.with_columns(xyz=transform(new_from_old, table.xyz.astype(float)))


def facts(table, cameras=None, kind=COCO):
    world = WorldFrame(kind)
    for chunk in chunked(table, FRAMES, 13):
        world.add(chunk)
    return world.facts(cameras)


def reasons(table, cameras=None):
    return [reason.reason for reason in world_reasons({"world": facts(table, cameras)})]


def down(degrees, axis=(1, 0, 0)):
    return rotation_from_vector(np.radians(degrees) * np.array(axis, float))


def postures(*turned, frames=FRAMES):
    """People 1, 2 ... at one place each, in the posture of a standing body turned by R (3, 3), on the floor."""
    rows = []
    for frame in range(frames):
        for person, R in enumerate(turned, 1):
            standing = body(frame / 25, 1) - body(frame / 25, 1)[COCO.index("left_hip")]
            xyz = standing @ R.T
            lowest = xyz[~np.isin(np.arange(17), [0, 1, 2, 3, 4]), 2] if abs(R[2, 2]) > 0.5 else xyz[:, 2]
            xyz += [1.2 * person, -0.4, 0.07 - lowest.min()]
            rows.append((frame, person, xyz))
    frame, person, xyz = (np.array(column) for column in zip(*rows, strict=True))
    return Poses3D.from_positions(COCO, frame, person, xyz)


def handstand():
    """Upside down, on the hands: arms are stretched beyond the head."""
    table = postures(down(180))
    xyz = table.xyz.copy()
    for side in ("left", "right"):
        shoulder = xyz[:, COCO.index(f"{side}_shoulder")]
        xyz[:, COCO.index(f"{side}_elbow")] = shoulder - [0, 0, 0.29]
        xyz[:, COCO.index(f"{side}_wrist")] = shoulder - [0, 0, 0.54]
    xyz[..., 2] += 0.07 - xyz[..., 2].min()
    return table.with_columns(xyz=xyz)


TURNED = {
    "z down": pose(down(180), [0.5, 1.0, 0]),
    "z down, origin high": pose(down(180), [0, 0, 1.7]),
    "y up": pose(down(-90), [0, 0, 0]),
    "x up": pose(down(90, (0, 1, 0)), [0, 0, 0]),
    "camera 1": RIG[0].cam_from_world,
    "camera 3": RIG[2].cam_from_world,
    "a board at 45 degrees": pose(down(45, (0.6, 0.8, 0)), [1, 0, -0.5]),
    "leaning by 30 degrees": pose(down(30), [0, 0, 0.5]),
}


@pytest.mark.parametrize("name", TURNED)
@pytest.mark.parametrize("people", [(1,), (1, 2)])
def test_a_turned_world_is_named_with_the_way_out(name, people):
    table = WALK[np.isin(WALK.person, people)]
    new = moved(table, TURNED[name])
    found = facts(new, RIG.moved(TURNED[name]))
    true = TURNED[name][:3, 2]  # where the old +z points to
    assert np.degrees(np.arccos(np.clip(np.dot(found["up"], true), -1, 1))) < 8
    (reason,) = reasons(new, RIG.moved(TURNED[name]))
    assert "people do not stand along +z" in reason and "mvcap rig level SESSION" in reason and "rig align" in reason
    if name.startswith("z down"):
        assert "along -z" in reason and "below the feet" in reason
    assert not reasons(table, RIG), "and z up is nothing to name"


@pytest.mark.parametrize("name", ["z down", "y up", "camera 1"])
def test_cameras_are_not_needed_where_nobody_touches_z_0(name):
    assert reasons(moved(WALK, TURNED[name]))


def test_any_up_is_found_to_a_few_degrees():
    rng = np.random.default_rng(3)
    for _ in range(20):
        R = rotation_from_vector(rng.normal(0, 2, 3))
        found = facts(moved(WALK, pose(R, rng.normal(0, 2, 3))))
        assert np.degrees(np.arccos(np.clip(np.dot(found["up"], R[:, 2]), -1, 1))) < 8
        assert found["tilt_deg"] == pytest.approx(np.degrees(np.arccos(np.clip(found["up"][2], -1, 1))), abs=1)


@pytest.mark.parametrize(
    "table",
    [
        postures(LEVEL, down(90), down(90, (0, 1, 0))),
        postures(down(90)),
        postures(down(90), down(-90), down(90, (0, 1, 0))),
        handstand(),
        postures(down(25)),
    ],
    ids=["two of three lie", "one lies all the time", "all lie", "a handstand all the time", "one leans on"],
)
def test_people_on_the_floor_are_no_turned_world(table):
    assert not reasons(table, RIG)


def test_somebody_who_lies_half_of_the_time_is_no_turned_world():
    lying = postures(down(90))
    table = Poses3D.concatenate([postures(LEVEL)[:24], lying[24:]], COCO)
    assert not reasons(table, RIG)


def test_a_turned_world_is_named_although_some_lie():
    new_from_old = TURNED["z down"]
    table = moved(postures(LEVEL, LEVEL, down(90)), new_from_old)
    assert reasons(table, RIG.moved(new_from_old))


def test_cameras_on_their_side_are_no_turned_world():
    on_side = [pose(down(90, (0, 0, 1)), [0, 0, 0]) @ camera.cam_from_world for camera in RIG]
    cameras = type(RIG)(tuple(type(one)(one.lens, at) for one, at in zip(RIG, on_side, strict=True)))
    assert not reasons(WALK, cameras)


@pytest.mark.parametrize("height", [1.1, -0.9, -0.4])
def test_feet_off_the_plane_z_0_are_named(height):
    (reason,) = reasons(moved(WALK, pose(LEVEL, [0, 0, height])), RIG)
    metres, where = re.search(r"feet stand (.*) m (above|below) z = 0", reason).groups()
    assert float(metres) == pytest.approx(abs(height), abs=0.06) and where == ("above" if height > 0 else "below")
    assert ("platform" in reason) == (height > 0) and "rig level" in reason


def test_some_on_a_platform_are_no_false_floor():
    xyz = WALK.xyz.copy()
    xyz[WALK.person == 2, :, 2] += 0.8
    assert not reasons(WALK.with_columns(xyz=xyz), RIG)


def test_evidence_changes_smoothly_with_the_tilt():
    nats = [facts(moved(WALK, pose(down(a), [0, 0, 0])), RIG.moved(pose(down(a), [0, 0, 0])))["turned_nats"]
            for a in range(0, 182, 2)]  # fmt: skip
    assert max(np.abs(np.diff(nats))) < 2.5 and nats[0] < -4 and nats[-1] > 5
    assert sum(np.diff(np.sign(nats)) != 0) == 1, "one angle from which on it is named"


def test_chunks_do_not_show_and_memory_is_bounded():
    long = Poses3D.concatenate([WALK.with_columns(frame=WALK.frame + FRAMES * n) for n in range(30)], COCO)
    found = []
    for step in (7, 500, 2000):
        world = WorldFrame(COCO)
        for chunk in chunked(long, 30 * FRAMES, step):
            world.add(chunk)
        found.append(world.facts(RIG))
        assert all(len(rows.kept) < 2 * 256 for rows in world._people.values())
    assert found[0] == found[1] == found[2]


def test_without_people_or_joints_nothing_is_said():
    assert facts(Poses3D.empty(COCO)) is None and not list(world_reasons({"world": None})) + list(world_reasons({}))
    nobody = Poses3D.from_positions(COCO, [0], [1], np.full((1, 17, 3), np.nan))
    assert facts(nobody) is None


@pytest.mark.parametrize("name", ["mvor10", "shelf14", "body25", "panoptic19", "blazepose33", "humaneva15"])
def test_every_skeleton_says_where_up_is(name):
    kind = skeleton(name)
    table = WALK.to_skeleton(kind)
    if name == "mvor10":  # no head to derive: shoulders and hips remain
        assert np.isfinite(table.xyz[:, kind.index("left_hip")]).any()
    found = facts(table, RIG, kind)
    assert found["tilt_deg"] < 12 and found["turned_nats"] < 0
    turned = facts(moved(table, TURNED["z down"]), RIG.moved(TURNED["z down"]), kind)
    assert turned["tilt_deg"] > 168 and turned["turned_nats"] > 0


def test_it_is_a_limit_of_the_verdict():
    summary = {"people": [{"id": 1}], "world": facts(moved(WALK, TURNED["z down"]), RIG.moved(TURNED["z down"]))}
    assert [reason.level for reason in world_reasons(summary)] == [LIMITS]
    assert world_reasons in REASONS


def test_moving_back_restores_it():
    there = TURNED["camera 1"]
    assert facts(moved(moved(WALK, there), invert(there)))["tilt_deg"] == facts(WALK)["tilt_deg"]


def test_upper_bodies_do_not_say_where_the_floor_is():
    kind = skeleton("mvor10")
    seen = poses(FRAMES)
    xyz = seen.skeleton.apply(kind, seen.xyz)
    table = Poses3D.from_positions(kind, seen.frame, seen.person, xyz)
    found = facts(table, kind=kind)
    assert found is None or not list(world_reasons({"world": found}))
    sunk = Poses3D.from_positions(kind, seen.frame, seen.person, xyz - [0, 0, 2.0])
    assert any("below z = 0" in reason.reason for reason in world_reasons({"world": facts(sunk, kind=kind)}))
