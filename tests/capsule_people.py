"""Rendered people of known surface: bodies of capsules, their exact silhouettes, textured pictures and true points."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from synthetic_take import COCO, body

from calib import Camera, Lens, Rig
from calib.geometry import pose
from mvcap.structures.contracts import MaskedMoment

CIRCLES = ((0.0, 0.0, 0.4, 0.3, 1.2), (0.0, 0.0, 0.75, 3.0, -0.5))
LIMBS = (
    ("left_shoulder", "right_shoulder", 0.085), ("left_hip", "right_hip", 0.11), ("left_hip", "left_knee", 0.085),
    ("right_hip", "right_knee", 0.085), ("left_knee", "left_ankle", 0.055), ("right_knee", "right_ankle", 0.055),
    ("left_shoulder", "left_elbow", 0.05), ("right_shoulder", "right_elbow", 0.05), ("left_elbow", "left_wrist", 0.04),
    ("right_elbow", "right_wrist", 0.04),
)  # fmt: skip


@dataclass(frozen=True)
class Body:
    """Capsules (K): ends a, b (K, 3) m and radii (K,) m; joints (17, 3) m."""

    a: np.ndarray
    b: np.ndarray
    radius: np.ndarray
    joints: np.ndarray


def capsule_body(time_s=0.3, circle=CIRCLES[0]):
    """A walking person of capsules."""
    joints = body(time_s, circle)
    at = {name: joints[index] for index, name in enumerate(COCO.joints)}
    shoulders = (at["left_shoulder"] + at["right_shoulder"]) / 2
    hips = (at["left_hip"] + at["right_hip"]) / 2
    head = (at["left_ear"] + at["right_ear"]) / 2
    parts = [(at[one], at[two], radius) for one, two, radius in LIMBS]
    parts += [(hips, shoulders, 0.12), (shoulders, head, 0.055), (head, head + np.array([0, 0, 0.05]), 0.1)]
    return Body(*(np.array([part[k] for part in parts], float) for k in range(3)), joints)


def depth_of(people, origin, direction):
    """First hits (N,) m of rays (3,), (N, 3) with people, inf without, and the person's index (N,), -1 without."""
    nearest, owner = np.full(len(direction), np.inf), np.full(len(direction), -1)
    for index, one in enumerate(people):
        for a, b, radius in zip(one.a, one.b, one.radius, strict=True):
            hit = _capsule_hit(a, b, radius, origin, direction)
            closer = hit < nearest
            nearest[closer], owner[closer] = hit[closer], index
    return nearest, owner


def _capsule_hit(a, b, radius, origin, direction):
    """First hits (N,) of rays with one capsule: the cylinder between its ends, then the two spheres."""
    axis, start = b - a, origin - a
    along, offset, square = direction @ axis, start @ axis, axis @ axis
    qa = square - along**2
    qb = square * (direction @ start) - offset * along
    qc = square * (start @ start) - offset**2 - radius**2 * square
    root = qb**2 - qa * qc
    with np.errstate(all="ignore"):
        t = (-qb - np.sqrt(root)) / qa
        y = offset + t * along
    out = np.where((root >= 0) & (y > 0) & (y < square) & (t > 0), t, np.inf)
    for end in (a, b):
        away = origin - end
        half = direction @ away
        inner = half**2 - (away @ away - radius**2)
        with np.errstate(invalid="ignore"):
            t = -half - np.sqrt(inner)
        out = np.minimum(out, np.where((inner >= 0) & (t > 0), t, np.inf))
    return out


def texture(xyz, seed=0):
    """Colours (N, 3) of surface points: smooth random patterns of 20, 40 and 80 mm, as of printed cloth."""
    total = np.zeros((len(xyz), 3))
    for octave, size in enumerate((0.02, 0.04, 0.08)):
        rng = np.random.default_rng(seed + octave)
        table = rng.random((64, 64, 64, 3), dtype=np.float32)
        place = xyz / size
        low = np.floor(place).astype(int)
        share = place - low
        for corner in np.ndindex(2, 2, 2):
            weight = np.where(np.array(corner), share, 1 - share).prod(-1)
            total += weight[:, None] * table[tuple(((low + corner) % 64).T)]
    return np.clip((total / 3 - 0.5) * 500 + 128, 0, 255)


def circle_rig(count, size=(640, 480), distortion=(-0.1, 0.02, 0, 0, 0), radius_m=4.0):
    """Cameras on a ring, 1.2 to 2.4 m up, that look at the middle."""
    cameras = []
    for index in range(count):
        angle = 2 * np.pi * (index + 0.2) / count
        position = np.array([radius_m * np.cos(angle), radius_m * np.sin(angle), 1.2 + 1.2 * (index % 2)])
        forward = np.array([0, 0, 0.9]) - position
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        R = np.stack([right, np.cross(forward, right), forward])
        focal = 0.8 * max(size)
        K = np.array([[focal, 0, size[0] / 2], [0, focal, size[1] / 2], [0, 0, 1]])
        cameras.append(Camera(Lens(f"cam{index + 1}", size, K, np.array(distortion)), pose(R, -R @ position)))
    return Rig(tuple(cameras))


def rendered(people, rig, textured=False):
    """The moment of people before cameras: pictures and exact label images; unlit, textured or of one colour each."""
    images, labels = [], []
    for camera in rig:
        width, height = camera.size
        xy = camera.project(np.concatenate([np.concatenate([one.a, one.b]) for one in people]))
        reach = 0.15 * camera.lens.K[0, 0] / 2
        low = np.clip(np.nanmin(xy, 0) - reach, 0, (width, height)).astype(int)
        high = np.clip(np.nanmax(xy, 0) + reach, 0, (width, height)).astype(int)
        x, y = (part.ravel() for part in np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1])))
        rows = y * width + x
        origin, direction = camera.rays(np.stack([x, y], -1).astype(float))
        origin = np.asarray(origin).reshape(-1, 3)[0]
        far, owner = depth_of(people, origin, direction)
        label = np.zeros(width * height, np.uint8)
        label[rows] = owner + 1
        picture = np.full((width * height, 3), 90, np.uint8)
        hit = np.isfinite(far)
        points = origin + far[hit, None] * direction[hit]
        picture[rows[hit]] = texture(points) if textured else np.array([[200, 60, 40], [40, 90, 200]])[owner[hit] % 2]
        images.append(picture.reshape(height, width, 3))
        labels.append(label.reshape(height, width))
    joints = np.stack([one.joints for one in people])
    return MaskedMoment(rig, tuple(images), tuple(labels), np.arange(1, len(people) + 1, dtype=np.int32), joints)


def signed_distance(one, xyz):
    """Distances (N,) m of points from a body's surface, negative inside; exact outside."""
    out = np.full(len(xyz), np.inf)
    for a, b, radius in zip(one.a, one.b, one.radius, strict=True):
        axis = b - a
        share = np.clip((xyz - a) @ axis / max(axis @ axis, 1e-12), 0, 1)
        out = np.minimum(out, np.linalg.norm(xyz - a - share[:, None] * axis, axis=-1) - radius)
    return out


def true_points(one, spacing_m=0.006):
    """Points (N, 3) m of a body's surface, evenly spread."""
    parts = []
    for a, b, radius in zip(one.a, one.b, one.radius, strict=True):
        axis = b - a
        length = np.linalg.norm(axis)
        along = axis / length
        side = np.linalg.svd(along[None])[2][1:]
        count = max(8, int(2 * np.pi * radius / spacing_m))
        angle = np.arange(count) * 2 * np.pi / count
        ring = np.cos(angle)[:, None] * side[0] + np.sin(angle)[:, None] * side[1]
        parts += [a + at * along + radius * ring for at in np.arange(0, length, spacing_m)]
        for end, sign in ((a, -1), (b, 1)):
            for tilt in np.arange(0, np.pi / 2, spacing_m / radius):
                some = ring[:: max(1, int(1 / max(np.cos(tilt), 0.05)))]
                parts.append(end + radius * (np.cos(tilt) * some + sign * np.sin(tilt) * along))
    points = np.concatenate(parts)
    points = points[signed_distance(one, points) > -1e-6]
    first = np.unique(np.floor(points / spacing_m).astype(int), axis=0, return_index=True)[1]
    return points[first]


def f_score(found, truth, within_m=0.02):
    """F-score, precision and recall of points (N, 3) against true points (M, 3) at a distance."""
    if not len(found):
        return 0.0, 0.0, 0.0
    precision = float((cKDTree(truth).query(found)[0] <= within_m).mean())
    recall = float((cKDTree(found).query(truth)[0] <= within_m).mean())
    return 2 * precision * recall / max(precision + recall, 1e-9), precision, recall
