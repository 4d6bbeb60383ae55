"""Depth from a depth camera's recording, through mvcap record and a session, to the surface of people."""

import importlib.util

import cv2
import numpy as np
import pytest
from capsule_people import capsule_body, circle_rig, depth_of, rendered, signed_distance
from synthetic_take import COCO

import mvcap
from calib import save_rig
from mvcap.cloud import session_moments
from mvcap.errors import InputError
from mvcap.recording.matroska import DepthFile, MatroskaFile
from mvcap.recording.recorded_depth import depth_file, recorded_depths
from mvcap.structures.live_frames import LiveFrame, StreamFormat
from mvcap.structures.poses import Poses3D

SIZE, UNIT_M, RATE_HZ = (160, 120), 0.001, 15.0
BODY = capsule_body()


def depth_images(rig):
    """Depth (H, W) m along the optical axis of each camera, 0 beside the person; label images."""
    moment, depths = rendered([BODY], rig), []
    for camera, label in zip(rig, moment.labels, strict=True):
        rows, columns = np.nonzero(label)
        origin, direction = camera.rays(np.stack([columns, rows], -1).astype(float))
        origin = np.asarray(origin).reshape(-1, 3)[0]
        points = origin + depth_of([BODY], origin, direction)[0][:, None] * direction
        image = np.zeros(label.shape)
        image[rows, columns] = points @ camera.cam_from_world[2, :3] + camera.cam_from_world[2, 3]
        depths.append(image)
    return moment, depths


def write_folder(folder, image, depth, frames):
    """A depth camera's recording of one still moment."""
    folder.mkdir()
    cv2.imwrite(str(folder / "c.png"), image[..., ::-1])
    cv2.imwrite(str(folder / "d.png"), np.rint(depth / UNIT_M).astype(np.uint16))
    for name, file in (("rgb", "c.png"), ("depth", "d.png")):
        (folder / f"{name}.txt").write_text("".join(f"{n / RATE_HZ:.6f} {file}\n" for n in range(frames)))


@pytest.fixture(scope="module")
def take(tmp_path_factory):
    """A session of two depth cameras that were recorded, with masks, and the true depths."""
    folder, rig = tmp_path_factory.mktemp("rgbd"), circle_rig(2, size=SIZE)
    moment, depths = depth_images(rig)
    for camera, image, depth in zip(rig, moment.images, depths, strict=True):
        write_folder(folder / camera.name, image, depth, 27)
    sources = [f"{camera.name}=rgbd:{folder / camera.name}?unit={UNIT_M}" for camera in rig]
    mvcap.record(folder / "take", sources, rig=rig, keep_free_gb=0)
    session = mvcap.Session.open(folder / "take")
    xyz = np.repeat(BODY.joints[None, None], session.frames, 0)
    mvcap.write_poses(Poses3D.from_dense(xyz, COCO), folder / "truth.npz", rate_hz=session.rate_hz)
    save_rig(rig, folder / "rig.yaml")
    oracle = {"poses": str(folder / "truth.npz"), "rig": str(folder / "rig.yaml"), "noise_px": 0.3}
    session.override({"estimator": "oracle", "estimators": {"oracle": oracle}})
    for name in ("estimate", "associate", "triangulate", "track"):
        getattr(mvcap, name)(session)
    for frame in range(session.frames):
        for view, label in zip(session.views, moment.labels, strict=True):
            path = session.folder / "masks" / view.name / f"{frame:07d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".png", label)[1].tobytes())
    return session, depths


def test_the_depth_that_was_recorded_comes_with_every_moment_of_the_session(take):
    session, depths = take
    moments = list(session_moments(session, [0, 3, session.frames - 1]))
    assert len(moments) == 3 and session.frames > 5
    for moment in moments:
        for found, true in zip(moment.depths, depths, strict=True):
            assert found is not None and np.abs(found - true).max() <= UNIT_M / 2 + 1e-6


@pytest.mark.skipif(importlib.util.find_spec("open3d") is None, reason="needs the extra cloud (Open3D)")
def test_a_recorded_take_becomes_the_surface_of_the_person(take):
    session, _ = take
    done = mvcap.cloud(session, frames="2:4", method="depth_fusion", spacing=0.02, redo=True)
    assert len(done.files) == 2
    made = mvcap.read_cloud(session, 2)
    assert len(made) > 100 and np.percentile(np.abs(signed_distance(BODY, made.xyz)), 90) < 0.02


def write_files(folder, times_s, clock="clock", size=SIZE):
    """A video of 6 frames and depth at some times, whose value is the number of its frame."""
    for name in ("videos", "depth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    video = MatroskaFile(folder / "videos/a.mkv", StreamFormat("", SIZE, 30.0), "clock")
    for number in range(6):
        video.write(LiveFrame(0, image=np.zeros((SIZE[1], SIZE[0], 3), np.uint8)), number / 30)
    video.close()
    depth = DepthFile(folder / "depth/a.mkv", StreamFormat("", size, 30.0, depth_unit_m=UNIT_M), clock)
    for at_s in times_s:
        depth.write(np.full(size[::-1], round(30 * at_s) + 1, np.uint16), at_s)
    depth.close()
    return folder / "videos/a.mkv"


def test_frames_without_depth_have_none(tmp_path):
    video = write_files(tmp_path, [0, 2 / 30, 5 / 30])
    times_s = [0, 1 / 30, 2 / 30, float("nan"), 5 / 30]
    found = list(recorded_depths(depth_file(video), video, times_s, SIZE))
    assert [None if one is None else round(float(one[0, 0]), 6) for one in found] == [0.001, None, 0.003, None, 0.006]
    assert depth_file(tmp_path / "videos/b.mkv") is None


def test_depth_of_another_recording_or_a_damaged_one_is_one_line(tmp_path):
    video = write_files(tmp_path / "a", [0], clock="another")
    with pytest.raises(InputError, match="is not the depth of"):
        list(recorded_depths(depth_file(video), video, [0], SIZE))
    video = write_files(tmp_path / "b", [0], size=(80, 60))
    with pytest.raises(InputError, match="is 80x60 px, its video 160x120 px"):
        list(recorded_depths(depth_file(video), video, [0], SIZE))
    depth_file(video).write_bytes(b"x" * 99)
    with pytest.raises(InputError, match="cannot be read"):
        list(recorded_depths(depth_file(video), video, [0], SIZE))
