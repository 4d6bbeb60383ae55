"""People in motion: their bodies are of one piece, bend as bodies do, stand on the floor, and keep apart."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcap import assets
from mvcap.errors import AssetError, InputError
from mvcap.structures.anthropometry import FOLDED_COSINE, plausible_size
from mvcap.synthesis import (
    activities,
    bodies,
    deepmimic_clips,
    gait,
    interactions,
    motion_clips,
    postures,
    procedural_motion,
    scenes,
)

HALPE = bodies.HALPE
NOBODY = motion_clips.Library(())
AT = {name: HALPE.index(name) for name in HALPE.joints}
ROOM = (4, 3.0, 20.0)  # people, seconds, rate


def a_clip(folder, name="sway", seconds=2.0, **frame):
    """A clip at 30 Hz of somebody who stands; a key of ``frame`` puts a number into a column of all frames."""
    rows = []
    for number in range(round(seconds * 30)):
        row = np.zeros(44)
        row[0], row[2] = 1 / 30, 0.9
        row[[4, 8, 12, 16, 21, 25, 30, 35, 39]] = 1
        row[1] = 0.01 * number
        for column, value in frame.items():
            row[int(column[1:])] = value
        rows.append(row.tolist())
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"humanoid3d_{name}.txt"
    file.write_text(json.dumps({"Loop": "none", "Frames": rows}))
    return file


def dense(poses, people, seconds, rate_hz):
    return poses.dense(round(seconds * rate_hz), np.arange(1, people + 1)).astype(float)


def crowd(seed, clips=NOBODY, room=ROOM, split="train"):
    return dense(scenes.random_scene(np.random.default_rng(seed), *room, split, clips), *room)


def lengths(xyz, pairs):
    return np.linalg.norm(xyz[..., pairs[:, 0], :] - xyz[..., pairs[:, 1], :], axis=-1)


def trunks(xyz):
    """Pelvis, middle and neck (..., 3, 3)."""
    pelvis, neck = xyz[..., AT["pelvis"], :], xyz[..., AT["neck"], :]
    return np.stack([pelvis, 0.5 * (pelvis + neck), neck], -2)


def nearest(xyz):
    """Least distance between the trunks of two people of (T, P, J, 3)."""
    points = trunks(xyz)
    apart = np.linalg.norm(points[:, :, None, :, None] - points[:, None, :, None], axis=-1).min((-1, -2))
    return np.nanmin(apart + np.where(np.eye(apart.shape[1]) > 0, np.nan, 0))


def angles(xyz, first, middle, last):
    """Cosine between both parts of a limb."""
    a, b = xyz[..., AT[middle], :] - xyz[..., AT[first], :], xyz[..., AT[last], :] - xyz[..., AT[middle], :]
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    a_clip(folder, "stand")
    a_clip(folder, "sit", c20=-1.2, c34=-1.2, c2=0.8)
    return motion_clips.read_library(folder)


@given(
    seed=st.integers(0, 2**31),
    people=st.integers(1, 8),
    seconds=st.floats(0.1, 3.0),
    rate=st.sampled_from((10, 25, 60)),
)
@settings(max_examples=25, deadline=None)
def test_any_scene_is_people_in_a_room(seed, people, seconds, rate):
    poses = scenes.random_scene(np.random.default_rng(seed), people, seconds, rate, clips=NOBODY)
    assert poses.skeleton is HALPE and np.isfinite(poses.xyz).all() and (poses.score == 1).all()
    if len(poses):
        assert poses.frame.min() >= 0 and poses.frame.max() < max(round(seconds * rate), 1)
        assert poses.person.min() >= 1 and poses.person.max() <= people
        assert np.abs(poses.xyz[:, AT["pelvis"], :2]).max() < scenes.ROOM_M[1] / 2 + 0.31
        assert plausible_size(HALPE, poses.xyz).all()
    assert len(np.unique(np.stack([poses.frame, poses.person]), axis=1).T) == len(poses)


@pytest.mark.parametrize("seed", range(6))
def test_bodies_are_of_one_piece(seed, clips):
    xyz = crowd(seed, clips)
    head = np.array([(AT["nose"], AT["left_ear"]), (AT["head_top"], AT["right_eye"])])
    size = lengths(xyz, np.concatenate([HALPE.limbs, head]))
    assert np.nanmax(np.nanmax(size, 0) - np.nanmin(size, 0)) < 1e-5
    trunk = lengths(xyz, np.array([(AT["pelvis"], AT["neck"])]))  # the spine bends
    assert np.nanmin(trunk / np.nanmax(trunk, 0)) > 0.8


@pytest.mark.parametrize("seed", range(6))
def test_knees_and_elbows_bend_as_they_do(seed):
    xyz = crowd(seed)
    for side in ("left", "right"):
        for limb in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")):
            assert np.nanmin(angles(xyz, *(f"{side}_{joint}" for joint in limb))) > FOLDED_COSINE
        thigh = xyz[..., AT[f"{side}_knee"], :] - xyz[..., AT[f"{side}_hip"], :]
        shank = xyz[..., AT[f"{side}_ankle"], :] - xyz[..., AT[f"{side}_knee"], :]
        left = xyz[..., AT["left_hip"], :] - xyz[..., AT["right_hip"], :]
        bend = (np.cross(thigh, shank) * left).sum(-1)
        assert np.nanmin(bend / np.prod([np.linalg.norm(v, axis=-1) for v in (thigh, shank, left)], axis=0)) > -0.05


@pytest.mark.parametrize("seed", range(6))
def test_the_floor_carries(seed):
    xyz = crowd(seed, room=(6, 3.0, 20.0))
    low = xyz[..., 2].min(-1)
    assert np.nanmin(low) > -0.03
    assert np.nanquantile(low[trunks(xyz)[..., 0, 2] > 0.5], 0.9) < 0.95  # on a bed, at most
    upright = trunks(xyz)[..., 2, 2] - trunks(xyz)[..., 0, 2] > 0.3
    assert np.nanquantile(low[upright], 0.99) < 0.06


@pytest.mark.parametrize("seed", range(12))
def test_torsos_keep_apart(seed, clips):
    xyz = crowd(seed, clips, room=(8, 3.0, 10.0))
    assert nearest(xyz) > 0.2


def test_people_meet():
    near = [nearest(crowd(seed, room=(6, 3.0, 10.0))) for seed in range(12)]
    assert np.mean(np.array(near) < 0.7) > 0.5


def test_the_seed_decides(clips):
    assert np.array_equal(crowd(3, clips), crowd(3, clips), equal_nan=True)
    assert not np.array_equal(crowd(3, clips), crowd(4, clips), equal_nan=True)


def test_the_rate_only_samples():
    room = (3, 2.0)
    slow, fast = (crowd(8, room=(*room, rate)) for rate in (10.0, 20.0))
    assert np.allclose(slow, fast[::2], atol=1e-5, equal_nan=True)


def test_nobody_jumps():
    xyz = crowd(5, room=(6, 4.0, 60.0))
    assert np.nanmax(np.linalg.norm(np.diff(xyz[:, :, AT["pelvis"]], axis=0), axis=-1)) * 60 < 3.0
    assert np.nanmax(np.linalg.norm(np.diff(xyz, axis=0), axis=-1)) * 60 < 12.0


def test_hands_take_turns():
    """What the left hand does, the right one does as often."""
    high = [crowd(seed, room=(4, 1.0, 10.0))[..., [AT["left_wrist"], AT["right_wrist"]], 2] for seed in range(40)]
    left, right = np.nanmean(np.concatenate(high, axis=1), axis=(0, 1))
    assert abs(left - right) < 0.05


def test_split():
    assert not set(motion_clips.TRAIN) & set(motion_clips.HELD_OUT)
    assert {f"motions/{name}" for name in (*motion_clips.TRAIN, *motion_clips.HELD_OUT)} == {
        asset.name for asset in assets.select([motion_clips.ASSET])
    }
    assert not set(scenes.ACTS["held_out"]) <= set(scenes.ACTS["train"])
    with pytest.raises(InputError, match=r"unknown split 'test'; there are: train, held_out"):
        motion_clips.library("test")


def test_without_clips_people_are_made_up(monkeypatch):
    def refuse(name):
        raise AssetError("no network")

    monkeypatch.setattr(motion_clips.assets, "path", refuse)
    motion_clips.library.cache_clear()
    try:
        assert not motion_clips.library("train").complete
        assert len(scenes.random_scene(np.random.default_rng(0), 3, 1.0, 10.0))
    finally:
        motion_clips.library.cache_clear()


@pytest.mark.footage
def test_real_clips():
    if assets.find(motion_clips.ASSET) is None:
        pytest.skip("the clips are not in the cache; bring them with: mvcap assets fetch motions")
    for split, names in motion_clips.SPLITS.items():
        library = motion_clips.library(split)
        assert [motion.name for motion in library.motions] == list(names)
        for motion in library.motions:
            build = bodies.random_build(np.random.default_rng(1))
            xyz = bodies.assemble(*motion.of(build, np.arange(0, motion.seconds, 0.05)))
            low = bodies.lowest_point(build, xyz)
            assert low.min() > -1e-9 and np.quantile(low, 0.2) < 0.02, motion.name
            nose = xyz[:, AT["nose"]] - 0.5 * (xyz[:, AT["left_ear"]] + xyz[:, AT["right_ear"]])
            toes = xyz[:, AT["left_big_toe"]] - xyz[:, AT["left_heel"]]
            assert np.median((nose * toes).sum(-1)) > 0 or motion.name in ("kick", "spinkick"), motion.name


def test_jumps_stay(tmp_path):
    file = a_clip(tmp_path)
    content = json.loads(file.read_text())
    for number, row in enumerate(content["Frames"]):
        row[2] += 0.4 * max(0, 1 - ((number - 30) / 8) ** 2)
    file.write_text(json.dumps(content))
    motion = motion_clips.motion_of(deepmimic_clips.read_clip(file), "jump")
    build = bodies.random_build(np.random.default_rng(0))
    low = bodies.lowest_point(build, bodies.assemble(*motion.of(build, np.linspace(0, motion.seconds, 100))))
    assert 0.28 < low.max() < 0.5 and abs(low[:20]).max() < 1e-6


def test_a_clip_stands_up_and_looks_ahead(tmp_path):
    clip = deepmimic_clips.read_clip(a_clip(tmp_path, c20=-1.0, c29=0.8))  # the right knee and elbow are bent
    xyz = bodies.assemble(
        clip.root, bodies.carry_forward(deepmimic_clips.humanoid(), motion_clips.matrices(clip.turn))
    )[0]
    assert np.allclose(xyz[AT["pelvis"]], (0, 0, 0.9))
    assert xyz[AT["left_hip"], 1] > 0 > xyz[AT["right_hip"], 1] and xyz[AT["nose"], 0] > 0.05
    assert xyz[AT["head_top"], 2] > xyz[AT["neck"], 2] > xyz[AT["pelvis"], 2]
    assert xyz[AT["right_ankle"], 0] < -0.3 < -0.01 < xyz[AT["left_ankle"], 0] + 0.005
    assert xyz[AT["right_wrist"], 0] > 0.1 > xyz[AT["left_wrist"], 0]


@pytest.mark.parametrize("text", ["", "{}", '{"Frames": [[1, 2]]}', '{"Frames": [["a"]]}', '{"Frames": 3}'])
def test_what_is_no_clip(tmp_path, text):
    file = tmp_path / "clip.txt"
    file.write_text(text)
    with pytest.raises(InputError, match=r"clip\.txt"):
        deepmimic_clips.read_clip(file)


def test_a_folder_lacks_clips(tmp_path):
    a_clip(tmp_path, "walk")
    with pytest.raises(InputError, match=r"no clip run; repair with: mvcap assets fetch motions"):
        motion_clips.read_library(tmp_path, ("walk", "run"))


def test_mirror(clips):
    build = deepmimic_clips.humanoid()  # the same on both sides
    time_s = np.linspace(0, 1, 5)
    plain, mirror = (bodies.assemble(*clips.motions[0].of(build, time_s, side)) for side in (False, True))
    assert np.allclose(bodies.mirror_vectors(plain), mirror) and np.allclose(bodies.mirror_vectors(mirror), plain)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_builds_are_human(seed):
    build = bodies.random_build(np.random.default_rng(seed))
    assert 1.0 < build.stature_m < 2.06 and 0.4 < build.leg_m / build.stature_m < 0.56
    assert 0.28 < build.arm_m / build.stature_m < 0.38
    standing = bodies.assemble(np.zeros((1, 3)), build.offset[None])[0]
    height = standing[AT["head_top"], 2] - standing[AT["left_heel"], 2]
    assert abs(height / build.stature_m - 1) < 0.16
    sides = lengths(standing, HALPE.limbs) / lengths(standing, HALPE.mirror[HALPE.limbs])
    assert np.abs(np.log(sides)).max() < 0.04


def test_blending_keeps_lengths():
    rng = np.random.default_rng(0)
    build = bodies.random_build(rng)
    turns = [procedural_motion.euler(rng.normal(0, 0.8, (5, 13, 3))) for _ in range(2)]
    one, other = (bodies.carry_forward(build, turn) for turn in turns)
    mixed = bodies.blend(build, one, other, np.linspace(0, 1, 5))
    assert np.allclose(np.linalg.norm(mixed, axis=-1), build.length)
    assert np.allclose(mixed[0], one[0]) and np.allclose(mixed[-1], other[-1])
    head = mixed[:, [AT["nose"], AT["left_ear"], AT["head_top"]]]
    still = build.offset[[AT["nose"], AT["left_ear"], AT["head_top"]]]
    assert np.allclose(head @ head.swapaxes(1, 2), still @ still.T)


def test_feet_that_carry_stand_still():
    time_s = np.arange(0, 5, 0.05)
    way = gait.Way(time_s, np.stack([1.3 * time_s, 0 * time_s], -1), 0 * time_s)
    feet = gait.steps(way, time_s, 0.2, 0.08, 0.1)
    moved = np.linalg.norm(np.diff(feet.place, axis=0), axis=-1)
    carries = feet.lift == 0
    both = carries[1:] & carries[:-1]
    assert moved[both].max() < 1e-6 and 0.5 < carries.mean() < 0.75
    assert carries.any(1).all() and 0.8 < feet.phase[-1] / 5 < 1.1  # never both in the air; strides a second
    ahead = (feet.place[..., 0] - way.place[:, :1])[carries]
    assert ahead.max() < 0.5 and ahead.min() > -0.65


def test_who_stands_has_both_feet_on_the_floor():
    time_s = np.arange(0, 6, 0.05)
    gone = np.clip(time_s - 1, 0, 2)
    way = gait.Way(time_s, np.stack([gone, 0 * gone], -1), 0 * gone)
    for start in np.linspace(0, 1, 7):
        feet = gait.steps(way, time_s, start, 0.08, 0.1)
        assert feet.lift[time_s > 4].max() < 1e-3 and feet.lift[time_s < 0.5].max() < 1e-3
        assert np.abs(feet.place[time_s > 4][..., 0] - 2).max() < 0.6


def test_arms_reach_what_they_are_told():
    rng = np.random.default_rng(0)
    build, time_s = bodies.random_build(rng), np.zeros(1)
    posture = postures.stand(rng)
    postures.hold(posture, 0, "point", rng, 0.0)
    way = gait.Way(np.arange(-1, 1, 0.05), np.zeros((40, 2)), np.zeros(40))
    feet = gait.steps(way, time_s, 0.06, 0.08, 0.0)
    xyz = bodies.assemble(*procedural_motion.pose_body(build, np.zeros((1, 2)), np.zeros(1), feet, posture[None]))[0]
    reach = (xyz[AT["left_wrist"]] - xyz[AT["left_shoulder"]]) / build.arm_m
    assert np.allclose(reach, (0.88, 0.1, 0.08), atol=0.06)


def test_hugs():
    rng = np.random.default_rng(3)
    floor = activities.Floor(0, 6, np.array([3.0, 3.0]))
    scenes._place_group(floor, interactions.embrace(rng, 2), rng)
    assert min(plan.busy for plan in floor.plans) > 2, "they hug"
    xyz = np.stack([scenes._joints(floor, plan, np.arange(0, 5, 0.1)) for plan in floor.plans], axis=1)
    apart = np.linalg.norm(xyz[:, 0, AT["pelvis"], :2] - xyz[:, 1, AT["pelvis"], :2], axis=-1)
    assert interactions.HUG_M[0] - 0.05 < apart.min() < interactions.HUG_M[1] + 0.08 and apart[-1] > 0.7
    close = apart.argmin()
    hand = xyz[close, 0, AT["left_wrist"]] - xyz[close, 1, AT["neck"]]
    assert np.linalg.norm(hand) < 0.6
