"""BVH read back by forward kinematics written for this test: known joints within 1 mm, held ones as stated."""

import json
import re

import numpy as np
import pytest
from walking_take import COCO, RATE_HZ, poses, take

from mvcap.export import export_take
from mvcap.exporters import bvh
from mvcap.exporters.bvh_skeleton import angles_zxy, tree_of
from mvcap.structures.pose_stream import PoseStream
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import SKELETONS

FRAMES = 40


def parse(path):
    """Joints as {name: (parent, offset)}, channels in order as (joint, channel), numbers (T, channels), seconds."""
    joints, channels, stack, tokens = {}, [], [None], iter(path.read_text().split())
    for token in tokens:
        if token in ("ROOT", "JOINT", "End"):
            name = next(tokens)
            name = f"{stack[-1]}.end" if token == "End" else name
            assert name not in joints and next(tokens) == "{"
            joints[name] = [stack[-1], None]
            stack.append(name)
        elif token == "OFFSET":
            joints[stack[-1]][1] = np.array([float(next(tokens)) for _ in range(3)])
        elif token == "CHANNELS":
            channels += [(stack[-1], next(tokens)) for _ in range(int(next(tokens)))]
        elif token == "}":
            stack.pop()
        elif token == "MOTION":
            break
    assert stack == [None] and next(tokens) == "Frames:"
    frames = int(next(tokens))
    assert (next(tokens), next(tokens)) == ("Frame", "Time:")
    seconds = float(next(tokens))
    return joints, channels, np.array(list(tokens), float).reshape(frames, len(channels)), seconds


def about(axis, angle):
    c, s = np.cos(angle), np.sin(angle)
    a, b = {"X": (1, 2), "Y": (2, 0), "Z": (0, 1)}[axis]
    out = np.tile(np.eye(3), (len(angle), 1, 1))
    out[:, a, a], out[:, a, b], out[:, b, a], out[:, b, b] = c, -s, s, c
    return out


def places(path, root_only=False):
    """Places (T, 3) of every joint in our world, z up: channels in the order of the file, children in turned axes."""
    joints, channels, numbers, _ = parse(path)
    at, axes = {None: np.zeros((len(numbers), 3))}, {None: np.tile(np.eye(3), (len(numbers), 1, 1))}
    for name, (parent, offset) in joints.items():
        local, turn = np.tile(offset, (len(numbers), 1)), np.tile(np.eye(3), (len(numbers), 1, 1))
        for column, (joint, channel) in enumerate(channels):
            if joint != name:
                continue
            if channel.endswith("rotation"):
                turn = turn @ about(channel[0], np.deg2rad(numbers[:, column]))
            elif parent is None or not root_only:
                local[:, "XYZ".index(channel[0])] = numbers[:, column]
        at[name] = at[parent] + np.einsum("tij,tj->ti", axes[parent], local)
        axes[name] = axes[parent] @ turn
    return {name: np.stack([xyz[:, 0], -xyz[:, 2], xyz[:, 1]], -1) for name, xyz in at.items() if name}


def full(kind, table):
    """The walkers as another skeleton; what COCO lacks is put beside what it has."""
    near = {"heel": ("ankle", (0, 0, -0.07)), "big_toe": ("ankle", (0.15, 0, -0.07)),
            "small_toe": ("ankle", (0.1, 0.1, -0.07)), "pinky": ("wrist", (0, 0.03, -0.09)),
            "index": ("wrist", (0, -0.03, -0.09)), "thumb": ("wrist", (0.05, 0, -0.04))}  # fmt: skip
    xyz = COCO.apply(kind, table.xyz.astype(float))
    for joint, name in enumerate(kind.joints):
        if np.isnan(xyz[:, joint]).all():
            side, _, part = name.partition("_")
            source, offset = near.get(part, ("ear", (0, 0, 0.1)))
            source = source if part in near else "ear"
            side = side if side in ("left", "right") else "left"
            xyz[:, joint] = table.xyz[:, COCO.index(f"{side}_{source}")] + np.array(offset)
    known = np.isfinite(xyz).all(-1)
    flat = np.where(known, 1.0, np.nan)
    cov = np.tile(flat[..., None] * 1e-4, 6)
    return Poses3D(kind, table.frame, table.person, table.group, xyz, known, flat, known * 2, cov, known)


@pytest.mark.parametrize("name", sorted(SKELETONS))
def test_known_joints_are_where_they_are(tmp_path, name):
    kind = SKELETONS[name]
    table = full(kind, poses(FRAMES, missing=0.1))
    whole = PoseStream(kind, lambda: iter([table]), FRAMES, RATE_HZ, (1, 2), "walk")
    paths = export_take(whole, tmp_path, ["bvh"])
    assert [path.name for path in paths] == [
        f"walk_person{p:02d}{end}" for p in (1, 2) for end in (".bvh", "_held.json")
    ]
    dense = table.dense(FRAMES, np.array([1, 2]))
    for person in (0, 1):
        got = places(paths[2 * person])
        assert set(kind.joints) <= set(got)
        for joint, label in enumerate(kind.joints):
            off = np.linalg.norm(got[label] - dense[:, person, joint], axis=-1)
            assert np.isfinite(got[label]).all() and np.nanmax(off) < 2e-5, label


def test_the_head_names_what_a_reader_needs(tmp_path):
    path, notes = export_take(take(poses(FRAMES), FRAMES, axes="z-up"), tmp_path, ["bvh"])[:2]
    joints, channels, numbers, seconds = parse(path)
    assert len(numbers) == FRAMES and seconds == pytest.approx(1 / RATE_HZ, abs=1e-9)
    six = ["Xposition", "Yposition", "Zposition", "Zrotation", "Xrotation", "Yrotation"]
    assert [channel for joint, channel in channels if joint == "left_knee"] == six
    assert next(iter(joints)) == "pelvis" and joints["left_elbow"][0] == "left_shoulder"
    assert joints["left_wrist.end"][0] == "left_wrist" and np.linalg.norm(joints["left_wrist.end"][1]) > 0.01
    assert not re.search(r"nan|inf|e-", path.read_text().lower())
    told = json.loads(notes.read_text())
    assert (told["file"], told["unit"], told["axes"], told["frames"]) == (path.name, "m", "y-up", FRAMES)
    turned = export_take(take(poses(FRAMES), FRAMES, axes="y-up", name="turned"), tmp_path, ["bvh"])[0]
    assert turned.read_text() == path.read_text()


def test_the_rest_pose_is_a_t_of_the_persons_lengths(tmp_path):
    table = poses(200, noise_m=0.004)
    path = export_take(take(table, 200), tmp_path, ["bvh"])[0]
    joints, mine = parse(path)[0], table.dense(200, np.array([1]))[:, 0]
    rest = {}
    for name, (parent, offset) in joints.items():
        rest[name] = offset + (rest[parent] if parent else 0)
    assert rest["left_wrist"][0] > 0.6 > 0 > rest["right_wrist"][0] and rest["nose"][2] > 0.05  # left is x, ahead is z
    assert rest["left_ankle"][1] < -0.7 and rest["neck"][1] > 0.4
    for a, b in (("left_shoulder", "left_elbow"), ("right_knee", "right_ankle"), ("left_hip", "left_knee")):
        length = np.nanmedian(np.linalg.norm(mine[:, COCO.index(a)] - mine[:, COCO.index(b)], axis=-1))
        assert np.linalg.norm(joints[b][1]) == pytest.approx(length, abs=1e-5)


def test_turns_alone_carry_limbs_of_one_length(tmp_path):
    """A reader that takes positions of the root only: limbs point where they point."""
    table = poses(FRAMES, noise_m=0.0, missing=0.0)
    path = export_take(take(table, FRAMES), tmp_path, ["bvh"])[0]
    exact, turned = places(path), places(path, root_only=True)
    for a, b in (("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"), ("right_hip", "right_knee"),
                 ("right_knee", "right_ankle"), ("left_hip", "right_hip"), ("pelvis", "neck")):  # fmt: skip
        np.testing.assert_allclose(turned[b] - turned[a], exact[b] - exact[a], atol=1e-4, err_msg=b)


def test_gaps_are_held_and_told(tmp_path):
    table = poses(FRAMES, missing=0.0, absent=lambda frame, person: person == 2 and (frame < 6 or 20 <= frame < 25))
    knee, wrist = COCO.index("left_knee"), COCO.index("left_wrist")
    xyz, score = table.xyz.copy(), table.score.copy()
    gone = (table.person == 1) & (table.frame >= 10) & (table.frame < 15)
    xyz[gone, knee], score[gone, knee] = np.nan, 0
    xyz[:, wrist], score[:, wrist] = np.where((table.person == 1)[:, None], np.nan, xyz[:, wrist]), score[:, wrist]
    score[table.person == 1, wrist] = 0
    table = table.with_columns(xyz=xyz, score=score)
    paths = export_take(take(table, FRAMES), tmp_path, ["bvh"])
    held = [json.loads(path.read_text())["held"] for path in paths[1::2]]
    assert sorted(held[0]) == [["left_knee", 10, 14], ["left_wrist", 0, FRAMES - 1]]
    assert sorted(held[1]) == sorted(
        [name, *r] for name in (*COCO.joints, "pelvis", "neck") for r in ((0, 5), (20, 24))
    )
    one, two = places(paths[0]), places(paths[2])
    thigh = np.linalg.norm(one["left_knee"] - one["left_hip"], axis=-1)
    assert np.ptp(thigh[9:15]) < 1e-5 and np.linalg.norm(one["left_knee"][9] - one["left_knee"][14]) > 0.05
    assert np.linalg.norm(one["left_wrist"] - one["left_elbow"], axis=-1) == pytest.approx(0.25, abs=1e-5)
    for name, at in two.items():
        np.testing.assert_allclose(at[20:25], np.tile(at[19], (5, 1)), atol=1e-9, err_msg=name)
        np.testing.assert_allclose(at[:5], np.tile(at[5], (5, 1)), atol=1e-9, err_msg=name)
    first = table[(table.person == 2) & (table.frame == 6)].xyz[0]
    middle = (first[COCO.index("left_hip")] + first[COCO.index("right_hip")]) / 2
    np.testing.assert_allclose(two["pelvis"][0], middle, atol=1e-5)
    assert two["neck"][0, 2] - two["pelvis"][0, 2] > 0.4  # upright, although not seen yet


def test_lengths_follow_from_frames_all_over_the_take(monkeypatch):
    monkeypatch.setattr(bvh, "_SAMPLES", 20)
    table, tree = poses(300, noise_m=0.0, missing=0.0), tree_of(COCO)
    xyz = tree.positions(COCO, table.dense(300, np.array([1]))[:, 0])
    sizes = []
    for step in (1, 7, 300):
        size = bvh._Size()
        for start in range(0, 300, step):
            size.add(tree, xyz[start : start + step])
        assert 20 <= len(size._kept) < 40
        sizes.append(size.lengths(tree))
        np.testing.assert_array_equal(size.root, xyz[0, 0])
    np.testing.assert_array_equal(sizes[0], sizes[1])
    np.testing.assert_array_equal(sizes[0], sizes[2])


def test_angles_of_any_turn():
    rng = np.random.default_rng(0)
    angle = rng.uniform(-np.pi, np.pi, (3, 500))
    angle[1, :50] = np.pi / 2 * np.sign(rng.normal(size=50))  # where two axes fall together
    turn = about("Z", angle[0]) @ about("X", angle[1]) @ about("Y", angle[2])
    z, x, y = angles_zxy(turn).T
    np.testing.assert_allclose(about("Z", z) @ about("X", x) @ about("Y", y), turn, atol=2e-6)
