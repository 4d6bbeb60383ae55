"""Two people walking in circles before four cameras: poses, detections and a rig, for tests that need a take."""

import numpy as np

from calib import Rig
from calib.camera import Camera, Lens
from mvcap.structures.detections import Detections2D
from mvcap.structures.pose_stream import PoseStream
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import skeleton

RATE_HZ = 25.0
COCO = skeleton("coco17")
SIZE = (960, 540)


def rig(size=SIZE, focal_px=620.0):
    """Four cameras at the corners of a room of 8 m by 6 m, 2.4 m high, looking at its middle."""
    cameras = []
    for index, (x, y) in enumerate([(-4, -3), (4, -3), (4, 3), (-4, 3)], 1):
        position = np.array([x, y, 2.4])
        forward = np.array([0, 0, 1.0]) - position
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, :3] = np.stack([right, np.cross(forward, right), forward])
        pose[:3, 3] = -pose[:3, :3] @ position
        K = np.array([[focal_px, 0, size[0] / 2], [0, focal_px, size[1] / 2], [0, 0, 1]])
        cameras.append(Camera(Lens(f"cam{index:02d}", size, K, np.zeros(5)), pose))
    return Rig(tuple(cameras))


def body(time_s, person):
    """Joints (17, 3) m of a person who walks on a circle."""
    turn = 0.5 * time_s * (1 if person == 1 else -1) + 2.0 * person
    radius = 0.9 + 0.5 * person
    along = np.array([-np.sin(turn), np.cos(turn), 0]) * (1 if person == 1 else -1)
    left = np.array([-along[1], along[0], 0])
    up = np.array([0, 0, 1.0])
    middle = np.array([np.cos(turn), np.sin(turn), 0]) * radius
    hip, step = 0.92 + 0.02 * np.cos(9 * time_s), 4.5 * time_s
    joints = {
        "nose": middle + up * 1.62 + along * 0.1,
        "left_eye": middle + up * 1.66 + along * 0.08 + left * 0.03,
        "right_eye": middle + up * 1.66 + along * 0.08 - left * 0.03,
        "left_ear": middle + up * 1.64 + left * 0.08,
        "right_ear": middle + up * 1.64 - left * 0.08,
    }
    for side, sign in (("left", 1), ("right", -1)):
        swing = 0.45 * np.sin(step) * sign
        knee = max(0.0, 0.6 * np.cos(step) * sign)
        thigh = -up * np.cos(swing) + along * np.sin(swing)
        shin = -up * np.cos(swing - knee) + along * np.sin(swing - knee)
        arm = -up * np.cos(swing) - along * np.sin(swing)
        fore = -up * np.cos(0.4 - swing) + along * np.sin(0.4 - swing)
        joints[f"{side}_hip"] = middle + up * hip + left * 0.13 * sign
        joints[f"{side}_knee"] = joints[f"{side}_hip"] + 0.42 * thigh
        joints[f"{side}_ankle"] = joints[f"{side}_knee"] + 0.4 * shin
        joints[f"{side}_shoulder"] = middle + up * (hip + 0.5) + left * 0.18 * sign
        joints[f"{side}_elbow"] = joints[f"{side}_shoulder"] + 0.29 * arm
        joints[f"{side}_wrist"] = joints[f"{side}_elbow"] + 0.25 * fore
    return np.stack([joints[name] for name in COCO.joints])


def poses(frames=100, noise_m=0.006, missing=0.03, seed=0, absent=lambda frame, person: False):
    """Poses of persons 1 and 2 over so many frames; a group is not the person's number."""
    rng = np.random.default_rng(seed)
    rows = [(f, p) for f in range(frames) for p in (1, 2) if not absent(f, p)]
    xyz = np.array([body(f / RATE_HZ, p) for f, p in rows]).reshape(-1, 17, 3)
    xyz += rng.normal(0, noise_m, xyz.shape)
    score = rng.uniform(0.5, 1, xyz.shape[:2])
    gone = rng.random(score.shape) < missing
    xyz[gone], score[gone] = np.nan, 0
    error = np.where(gone, np.nan, rng.gamma(4, 0.7, score.shape))
    views = np.where(gone, 0, rng.integers(2, 5, score.shape))
    cov = np.zeros((*score.shape, 6))
    cov[..., [0, 3, 5]] = np.array([1.0, 4.0, 9.0]) * noise_m**2
    cov[..., 1] = 0.5 * noise_m**2
    cov[gone] = np.nan
    frame, person = np.array(rows, np.int32).reshape(-1, 2).T
    return Poses3D(COCO, frame, person, 2 - person, xyz, score, error, views, cov, score > 0)


def detections(table, cameras, noise_px=2.0, seed=1, offset_px=None):
    """What the cameras see of the poses; offset_px {view: px} moves a view's detections; view 0 sees a stranger."""
    rng = np.random.default_rng(seed)
    offset_px = offset_px or {}
    seen = cameras.project(table.xyz.astype(float))
    chunks = []
    for view in range(len(cameras)):
        xy = seen[view] + rng.normal(0, noise_px, seen[view].shape) + offset_px.get(view, 0)
        gone = ~np.isfinite(xy).all(-1)
        xy[gone] = np.nan
        rows, ones = len(table), np.ones(len(table))
        score = np.where(gone, 0, 0.9)
        noise = np.where(gone, np.nan, noise_px)
        chunks.append(
            Detections2D(COCO, table.frame, ones * view, table.group, -ones, np.zeros((rows, 4)), xy, score, noise)
        )
    frames = np.unique(table.frame)
    shape = np.array([body(0, 1)] * len(frames))
    stranger = shape[..., [0, 2]] * [120, -150] + [750, 380]
    chunks.append(
        Detections2D.build(COCO, 0, 0, stranger, np.full((len(frames), 17), 0.6), 0.5).with_columns(frame=frames)
    )
    whole = Detections2D.concatenate(chunks, COCO)
    return whole[np.argsort(whole.frame, kind="stable")]


def chunked(table, frames, step):
    """The rows in chunks of so many frames."""
    for start in range(0, frames, step):
        yield table[(table.frame >= start) & (table.frame < start + step)]


def take(table, frames, step=7, axes="z-up", name="walk"):
    """An exporter's view of the poses."""
    return PoseStream(COCO, lambda: chunked(table, frames, step), frames, RATE_HZ, (1, 2), name, axes)
