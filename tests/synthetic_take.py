"""Four people who walk among five cameras: truth, rig and sessions without footage, and the clips of small videos."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from calib import Camera, Lens, Rig, save_rig
from calib.geometry import pose
from mvcap.structures.pose_file import save_poses
from mvcap.structures.poses import Poses3D
from mvcap.structures.session import Session
from mvcap.structures.skeleton import skeleton
from mvcap.structures.video_writer import write_video

COCO = skeleton("coco17")
RATE_HZ = 25.0
SIZE = (1920, 1080)
PEOPLE = 4
# Centre x, y and radius of each person's circle in metres, angle at the start and its change in rad and rad/s.
_CIRCLES = (
    (0.0, 0.0, 0.7, 0.0, 1.2),
    (0.0, 0.0, 1.8, 2.0, -0.5),
    (0.2, 0.1, 1.9, 4.6, -0.5),
    (-0.2, 0.0, 2.8, 0.8, 0.35),
)


def ring_rig(count=5, scale=1.0, size=SIZE):
    """Cameras on a ring of 6 m, 2.6 m up, which look at the middle; lengths times scale."""
    cameras = []
    for index in range(count):
        angle = 2 * np.pi * (index + 0.2) / count
        position = np.array([6 * np.cos(angle), 6 * np.sin(angle), 2.6])
        forward = np.array([0, 0, 0.9]) - position
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        R = np.stack([right, np.cross(forward, right), forward])
        focal = 1050.0 * size[0] / SIZE[0]
        K = np.array([[focal, 0, size[0] / 2], [0, focal, size[1] / 2], [0, 0, 1]])
        cameras.append(Camera(Lens(f"cam{index + 1}", size, K, np.zeros(5)), pose(R, -R @ position * scale)))
    return Rig(tuple(cameras))


def body(time_s, circle):
    """Joints (17, 3) m of a person of constant limbs on a circle."""
    x, y, radius, start, speed = circle
    turn = start + speed * time_s
    along = np.array([-np.sin(turn), np.cos(turn), 0]) * np.sign(speed)
    left, up = np.array([-along[1], along[0], 0]), np.array([0, 0, 1.0])
    middle = np.array([x + radius * np.cos(turn), y + radius * np.sin(turn), 0.92 + 0.02 * np.cos(9 * time_s)])
    joints = {
        "nose": middle + 0.70 * up + 0.1 * along,
        "left_eye": middle + 0.74 * up + 0.08 * along + 0.03 * left,
        "right_eye": middle + 0.74 * up + 0.08 * along - 0.03 * left,
        "left_ear": middle + 0.72 * up + 0.08 * left,
        "right_ear": middle + 0.72 * up - 0.08 * left,
    }
    for side, sign in (("left", 1), ("right", -1)):
        swing = 0.45 * np.sin(4.5 * time_s + start) * sign
        knee = max(0.0, 0.6 * np.cos(4.5 * time_s + start) * sign)
        chain = {
            "hip": middle + 0.13 * sign * left,
            "knee": 0.42 * (along * np.sin(swing) - up * np.cos(swing)),
            "ankle": 0.40 * (along * np.sin(swing - knee) - up * np.cos(swing - knee)),
        }
        arm = {
            "shoulder": middle + 0.5 * up + 0.18 * sign * left,
            "elbow": 0.29 * (-along * np.sin(swing) - up * np.cos(swing)),
            "wrist": 0.25 * (along * np.sin(0.4 - swing) - up * np.cos(0.4 - swing)),
        }
        for parts in (chain, arm):
            for name, place in zip(parts, np.cumsum(list(parts.values()), axis=0), strict=True):
                joints[f"{side}_{name}"] = place
    return np.stack([joints[name] for name in COCO.joints])


def truth(frames, people=PEOPLE, scale=1.0):
    """True poses of persons 1, 2 ... in every frame."""
    xyz = [body(frame / RATE_HZ, circle) * scale for frame in range(frames) for circle in _CIRCLES[:people]]
    rows = frames * people
    frame, person = np.repeat(np.arange(frames), people), np.tile(np.arange(1, people + 1), frames)
    flat = np.zeros((rows, len(COCO)))
    places = np.reshape(xyz, (rows, len(COCO), 3))
    return Poses3D(COCO, frame, person, person, places, flat + 1, flat, flat, np.zeros((rows, len(COCO), 6)), flat + 1)


def write_take(folder, frames, people=PEOPLE, scale=1.0, cameras=5):
    """Write poses.npz and rig.yaml of a take; return the oracle's settings for it."""
    folder.mkdir(parents=True, exist_ok=True)
    save_poses(folder / "truth.npz", truth(frames, people, scale))
    save_rig(ring_rig(cameras, scale), folder / "rig.yaml")
    return {"poses": str(folder / "truth.npz"), "rig": str(folder / "rig.yaml"), "noise_px": 2.0, "carry": False}


def make_session(folder, frames, people=PEOPLE, settings=None, **take):
    """Make a session whose estimator is the oracle, with noise of 2 px."""
    oracle = {**write_take(folder / "take", frames, people, **take), **(settings or {})}
    session = Session.create(oracle["rig"], folder / "session", frames=frames, rate_hz=RATE_HZ)
    session.override({"estimator": "oracle", "estimators": {"oracle": oracle}})
    return session


def write_clip(path, frames=12, size=(64, 48), rate_hz=25.0, seed=0):
    """Write a small video of noise."""
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    images = (rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8) for _ in range(frames))
    return write_video(path, images, rate_hz, size)


def write_openpose(folder, frames, people=2, cameras=3):
    """Write what OpenPose would of a take: a folder a view, a file a frame, with the rig beside them."""
    rig = ring_rig(cameras)
    save_rig(rig, folder / "rig.yaml")
    poses = truth(frames, people)
    body25 = skeleton("body25")
    xyz = COCO.apply(body25, poses.xyz.astype(float))
    for camera in rig:
        place = folder / "pose" / f"{camera.name}_json"
        place.mkdir(parents=True)
        xy = camera.project(xyz)
        for frame in range(frames):
            found = [_openpose_person(one) for one in xy[poses.frame == frame]]
            document = {"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": flat} for flat in found]}
            (place / f"{camera.name}.{frame:04d}.json").write_text(json.dumps(document))
    return folder


def _openpose_person(xy):
    seen = np.isfinite(xy).all(-1)
    return np.concatenate([np.where(seen[:, None], xy, 0), np.where(seen, 0.9, 0)[:, None]], axis=1).ravel().tolist()


def command(*arguments):
    """Return the command line of the program in a process of its own."""
    return [sys.executable, "-m", "mvcap.cli", *map(str, arguments)]


def run(*arguments, **options):
    """Run the program in a process of its own."""
    environment = {**os.environ, **options.pop("environment", {})}
    return subprocess.run(command(*arguments), capture_output=True, text=True, env=environment, timeout=120, **options)


def recordings():
    """Return the folder of recordings, or None."""
    folder = Path(os.environ.get("MVCAP_DATA", Path(__file__).parents[1].parent / "shared" / "data"))
    return folder if folder.is_dir() else None
