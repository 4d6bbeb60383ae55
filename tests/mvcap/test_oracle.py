"""The oracle: exact without noise, as wrong as asked for with it, and the same whatever the order of asking."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calib import Camera, Lens, Rig, load_rig, save_rig
from mvcap.errors import ConfigError, InputError
from mvcap.estimators.oracle import Oracle, OracleConfig, read_poses, write_poses
from mvcap.plugins import View
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import SKELETONS

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
    write_poses(folder / "poses.npz", truth())
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
    write_poses(tmp_path / "poses.npz", truth())
    again = read_poses(tmp_path / "poses.npz")
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
        read_poses(tmp_path / "other.npz")
    with pytest.raises(ConfigError):
        OracleConfig(outliers=2)
