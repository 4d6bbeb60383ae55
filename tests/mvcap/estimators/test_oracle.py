"""The oracle: exact without noise, as wrong as asked for with it, and the same whatever the order of asking."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calib import Camera, Lens, Rig, load_rig, save_rig
from mvcap.errors import ConfigError, InputError
from mvcap.estimators.oracle import Oracle, OracleConfig
from mvcap.structures.contracts import View
from mvcap.structures.detections import Detections2D
from mvcap.structures.pose_file import load_poses, save_poses
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import SKELETONS
from mvcap.synthesis.occlusion import occluded

COCO17 = SKELETONS["coco17"]
SIZE = (1280, 720)
VIEWS = tuple(View(index, name, SIZE, 30.0, 40) for index, name in enumerate(("east", "north")))


def rig() -> Rig:
    """Two cameras that look at the origin from 5 m, 1.2 m above the floor; in another order than the views."""
    K = np.array([[900.0, 0, 640], [0, 900, 360], [0, 0, 1]])
    cameras = []
    for name, forward in (("north", (0.0, -1.0, 0.0)), ("east", (-1.0, 0.0, 0.0))):
        down = np.array([0.0, 0, -1])
        R = np.stack([np.cross(down, forward), down, forward])
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = R, R @ (5 * np.array(forward) - (0, 0, 1.2))
        cameras.append(Camera(Lens(name, SIZE, K, np.zeros(0)), pose))
    return Rig(tuple(cameras))


def truth(frames: int = 40, people: int = 3) -> Poses3D:
    rng = np.random.default_rng(1)
    rows = frames * people
    xyz = rng.uniform((-1, -1, 0.2), (1, 1, 1.9), (rows, 17, 3))
    score = np.ones((rows, 17))
    xyz[:, 4], score[:, 4] = np.nan, 0  # a joint that nobody has
    frame, person = np.repeat(np.arange(frames), people), np.tile(np.arange(1, people + 1), frames)
    flat = np.zeros((rows, 17))
    return Poses3D(COCO17, frame, person, person, xyz, score, flat, flat, np.zeros((rows, 17, 6)), score > 0)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("oracle")
    save_poses(folder / "poses.npz", truth())
    save_rig(rig(), folder / "rig.yaml")
    return {"poses": str(folder / "poses.npz"), "rig": str(folder / "rig.yaml")}


def rows(files: dict[str, str], frame: int, view: View, **settings: Any) -> Detections2D:
    return Oracle(OracleConfig(**files, **settings)).estimate(None, frame, view, {}).rows


def exact(files: dict[str, str], frame: int, view: View) -> np.ndarray[Any, Any]:
    poses = truth()
    camera = load_rig(Path(files["rig"]))[view.name]
    projected: np.ndarray[Any, Any] = camera.project(poses[np.flatnonzero(poses.frame == frame)].xyz)
    return projected


def errors(files: dict[str, str], **settings: Any) -> np.ndarray[Any, Any]:
    """Differences (N, J, 2) px to the exact projection over all frames and views."""
    oracle = Oracle(OracleConfig(**files, **settings))
    parts = []
    for view in VIEWS:
        for frame in range(40):
            found = oracle.estimate(None, frame, view, {}).rows
            parts.append(found.xy - exact(files, frame, view)[found.carried - 1])
    return np.concatenate(parts)


def test_poses_round_trip(tmp_path: Path) -> None:
    save_poses(tmp_path / "poses.npz", truth())
    again = load_poses(tmp_path / "poses.npz")
    assert again.skeleton == COCO17
    assert all(getattr(again, name).tobytes() == getattr(truth(), name).tobytes() for name in again.columns())


def test_exact_without_noise_and_by_name(files: dict[str, str]) -> None:
    assert len(Oracle(OracleConfig(**files)).prepare(VIEWS)) == 64
    for view in VIEWS:
        found = rows(files, 3, view)
        assert sorted(found.carried) == [1, 2, 3] and (found.view == view.index).all() and (found.frame == 3).all()
        np.testing.assert_allclose(found.xy, exact(files, 3, view)[found.carried - 1], atol=1e-3)
        assert (found.score[:, 4] == 0).all() and (np.delete(found.score, 4, axis=1) == 1).all()
        assert np.nanmax(found.noise_px) == np.float32(0.1)
    assert not np.allclose(np.nanmean(rows(files, 3, VIEWS[0]).xy), np.nanmean(rows(files, 3, VIEWS[1]).xy))


def test_noise_has_the_stated_size(files: dict[str, str]) -> None:
    assert np.nanstd(errors(files, noise_px=4.0)) == pytest.approx(4.0, rel=0.05)
    assert np.nanmedian(rows(files, 0, VIEWS[0], noise_px=4.0).noise_px) == 4


def test_outliers_have_the_stated_share_and_size(files: dict[str, str]) -> None:
    distance = np.hypot(*errors(files, outliers=0.1, outlier_px=80.0).transpose(2, 0, 1))
    distance = distance[np.isfinite(distance)]
    assert np.mean(distance > 1) == pytest.approx(0.1, abs=0.02)
    np.testing.assert_allclose(distance[distance > 1], 80, atol=1e-2)


def test_missing_people_have_the_stated_share(files: dict[str, str]) -> None:
    oracle = Oracle(OracleConfig(**files, missing=0.25))
    seen = sum(len(oracle.estimate(None, frame, view, {}).rows) for frame in range(40) for view in VIEWS)
    assert seen / (40 * 2 * 3) == pytest.approx(0.75, abs=0.08)
    assert len(rows(files, 0, VIEWS[0], missing=1.0)) == 0


def test_the_same_whatever_the_order_and_other_with_another_seed(files: dict[str, str]) -> None:
    settings = {"noise_px": 3.0, "outliers": 0.1, "missing": 0.2}
    forward, backward = (Oracle(OracleConfig(**files, **settings)) for _ in range(2))
    asked = [(frame, view) for frame in range(6) for view in VIEWS]
    first = {key[0] * 2 + key[1].index: forward.estimate(None, *key, {}).rows for key in asked}
    for frame, view in reversed(asked):
        again = backward.estimate(None, frame, view, {}).rows
        assert again.xy.tobytes() == first[frame * 2 + view.index].xy.tobytes()
    other = rows(files, 0, VIEWS[0], **settings, seed=1)
    assert other.xy.tobytes() != first[0].xy.tobytes()


def test_joints_outside_the_picture_are_missing_and_empty_frames_empty(files: dict[str, str]) -> None:
    narrow = View(0, "east", (640, 360), 30.0, 40)
    found = rows(files, 0, narrow)
    xy = found.xy[np.isfinite(found.xy).all(-1)]
    assert 0 < len(xy) < 48 and (xy < (639.5, 359.5)).all()
    assert len(rows(files, 99, VIEWS[0])) == 0
    assert rows(files, 0, VIEWS[0], carry=False).carried.tolist() == [-1, -1, -1]


def test_new_faults_leave_the_rest_as_it_was(files: dict[str, str]) -> None:
    settings = {"noise_px": 3.0, "outliers": 0.1, "missing": 0.2}
    for view in VIEWS:
        plain = rows(files, 5, view, **settings)
        mixed = rows(files, 5, view, **settings, swaps=1.0)
        mirrored = plain.xy[:, COCO17.mirror]
        assert mixed.xy.tobytes() == mirrored.tobytes() and (mixed.carried == plain.carried).all()
        assert len(rows(files, 5, view, **settings, phantoms=1e-9)) == len(plain)


def test_exchanged_limbs_are_legs_or_arms(files: dict[str, str]) -> None:
    mirror, kinds = COCO17.mirror, {"arms": 0, "legs": 0}
    for frame in range(40):
        found = rows(files, frame, VIEWS[0], limb_swaps=1.0)
        true = exact(files, frame, VIEWS[0])[found.carried - 1]
        moved = np.nanmax(np.abs(found.xy - true), axis=-1, initial=0) > 0.1
        names = [{COCO17.joints[j] for j in np.flatnonzero(one)} for one in moved]
        legs = {f"{side}_{joint}" for side in ("left", "right") for joint in ("knee", "ankle")}
        arms = {f"{side}_{joint}" for side in ("left", "right") for joint in ("elbow", "wrist")}
        assert all(one in (legs, arms) for one in names)
        kinds["legs"] += sum(one == legs for one in names)
        kinds["arms"] += sum(one == arms for one in names)
        np.testing.assert_allclose(found.xy[moved], true[:, mirror][moved], atol=1e-3)
    assert kinds["legs"] > 40 and kinds["arms"] > 40
    none = rows(files, 3, VIEWS[0], limb_swaps=1e-9)
    np.testing.assert_allclose(none.xy, exact(files, 3, VIEWS[0])[none.carried - 1], atol=1e-3)


def test_split_people_have_their_joints_between_them(files: dict[str, str]) -> None:
    for frame in range(10):
        found = rows(files, frame, VIEWS[1], splits=1.0)
        assert sorted(found.carried) == [1, 1, 2, 2, 3, 3]
        for person in (1, 2, 3):
            there = np.isfinite(found.xy[found.carried == person]).all(-1)
            assert (there.sum(0) == np.arange(17) * 0 + (np.arange(17) != 4)).all() and there.any(1).all()
    parts = [len(rows(files, frame, VIEWS[1], splits=0.3)) - 3 for frame in range(40)]
    assert sum(parts) / 120 == pytest.approx(0.3, abs=0.12)


def test_merged_people_take_joints_from_another(files: dict[str, str]) -> None:
    taken = 0
    for frame in range(40):
        found = rows(files, frame, VIEWS[0], merges=0.3)
        true = exact(files, frame, VIEWS[0])
        off = np.linalg.norm(found.xy[:, None] - true[None], axis=-1)  # rows, people, joints
        owner = np.where(np.isfinite(off).any(1), np.nanargmin(np.nan_to_num(off, nan=1e9), axis=1) + 1, 0)
        assert np.nan_to_num(off, nan=1e9).min(1)[owner > 0].max() < 1e-2  # no joint is anywhere else
        assert all(len(set(joints[joints > 0])) == (joints > 0).sum() for joints in owner.T)  # nor there twice
        taken += sum(len(set(joints[joints > 0])) > 1 for joints in owner)
    assert 15 < taken < 50


def test_phantoms_are_nobody_and_as_many_as_asked_for(files: dict[str, str]) -> None:
    false = [rows(files, frame, view, phantoms=0.5) for frame in range(40) for view in VIEWS]
    count = sum(int((one.carried == -1).sum()) for one in false)
    assert count / 80 == pytest.approx(0.5, abs=0.2)
    assert sum(int((one.carried > 0).sum()) for one in false) == 240


def standing(places: list[tuple[float, float]]) -> np.ndarray[Any, Any]:
    """Joints (P, 17, 3) m of people who stand at these places and look along y."""
    body = {"nose": (0, 0.1, 1.6), "eye": (0.03, 0.08, 1.64), "ear": (0.08, 0, 1.62), "shoulder": (0.18, 0, 1.42),
            "elbow": (0.2, 0, 1.13), "wrist": (0.2, 0, 0.88), "hip": (0.12, 0, 0.93), "knee": (0.12, 0, 0.5),
            "ankle": (0.12, 0, 0.08)}  # fmt: skip
    joints = []
    for name in COCO17.joints:
        side, _, part = name.rpartition("_")
        joints.append(np.array(body[part]) * (-1 if side == "left" else 1, 1, 1))
    return np.array(joints) + np.array([[(*place, 0)] for place in places])


def test_bodies_hide_what_is_behind_them() -> None:
    east, north = rig()["east"], rig()["north"]  # at x = 5 and at y = 5
    apart = occluded(north, COCO17, standing([(0, 0), (1.5, 0.5)]))
    assert not apart.any()
    row = standing([(0, 0), (0, 1.2), (0, 2.4)])
    behind = occluded(north, COCO17, row)
    assert not behind[2].any() and behind[0].mean() > 0.7 and behind[1].mean() > 0.7
    assert not occluded(east, COCO17, row)[:, [5, 11, 13]].any()  # side by side from there: left sides are the far ones
    side = occluded(east, COCO17, standing([(0, 0)]))[0]
    far_arm = [COCO17.index(name) for name in ("left_elbow",)]
    near = [j for j, name in enumerate(COCO17.joints) if name.startswith("right")]
    assert side[far_arm].all() and not side[near].any()
    known = standing([(0, 0), (0, 1.2)])
    known[1] = np.nan
    assert not occluded(north, COCO17, known).any() and occluded(north, COCO17, known[:0]).shape == (0, 17)
    assert not occluded(
        north, COCO17, standing([(0, 0), (0, 4.95), (0, 7)])
    ).any()  # in the lens, and behind the camera


def test_who_is_mostly_hidden_is_not_seen(tmp_path: Path) -> None:
    xyz = standing([(0, 0), (0, 0.9), (1.2, 0)])
    flat, one = np.zeros((3, 17)), np.ones((3, 17))
    who = np.array([1, 2, 3])
    poses = Poses3D(COCO17, who * 0, who, who, xyz, one, flat, flat, np.zeros((3, 17, 6)), one)  # type: ignore[arg-type]
    save_poses(tmp_path / "poses.npz", poses)
    save_rig(rig(), tmp_path / "rig.yaml")
    at = {"poses": str(tmp_path / "poses.npz"), "rig": str(tmp_path / "rig.yaml")}
    assert sorted(rows(at, 0, VIEWS[1]).carried) == [1, 2, 3]
    assert sorted(rows(at, 0, VIEWS[1], occlusion=True).carried) == [2, 3]


def test_what_is_wrong_is_told(files: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no camera for view west .*east, west; cameras: north, east"):
        Oracle(OracleConfig(**files)).prepare((VIEWS[0], View(1, "west", SIZE, 30.0, 40)))
    with pytest.raises(InputError, match=r"oracle\.poses"):
        Oracle(OracleConfig())
    (tmp_path / "broken.npz").write_bytes(Path(files["poses"]).read_bytes()[:300])
    for name in ("broken.npz", "none.npz"):
        with pytest.raises(InputError, match=name):
            Oracle(OracleConfig(str(tmp_path / name), files["rig"]))
    np.savez(tmp_path / "other.npz", a=1)
    with pytest.raises(InputError, match="skeleton"):
        load_poses(tmp_path / "other.npz")
    for wrong in ({"outliers": 2}, {"swaps": -0.1}, {"limb_swaps": 2}, {"splits": 2}, {"merges": 2}, {"phantoms": -1}):
        with pytest.raises(ConfigError):
            OracleConfig(**wrong)  # type: ignore[arg-type]
