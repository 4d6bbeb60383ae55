"""Volumes of bodies in a camera: capsules of human size, in depth order, which hide joints and fill masks.

A ray meets a capsule where it is at the radius from the axis, or from an end of it; the nearest such point is where the
body's surface is seen. Radii are those of ``mvcap.synthesis.occlusion``, of an adult, scaled by the size of the person.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib import Camera
from calib.arrays import Floats
from calib.geometry import transform
from mvcap.datasets.ground_truth import JointVisibility
from mvcap.structures.anthropometry import body_scale
from mvcap.structures.skeleton import Skeleton
from mvcap.synthesis.occlusion import body_capsules

_MARGIN_M = 0.04
"""A joint is hidden by a surface that is so much nearer than its own: clothing, and the error of the volumes."""
_SKIN_M = 0.02
"""Distance from a joint that is the end of no capsule, such as an eye, to its surface."""
_SMALLEST, _LARGEST = 0.5, 1.3
_LONGEST_PX = 640


@dataclass(frozen=True, eq=False)
class BodyVolumes:
    """Capsules of P people in a camera's frame."""

    start: Floats
    """(P, S, 3) m, NaN where unknown."""
    stop: Floats
    """(P, S, 3) m."""
    radius: Floats
    """(P, S) m."""
    ends: NDArray[np.int64]
    """(S, 2 ends, 2) joints whose middles the ends of the axis are."""

    def entry(self, person: int, capsule: int, direction: Floats) -> Floats:
        """Return the distances (N,) m at which rays of unit directions (N, 3) enter a capsule; inf where they miss."""
        return _entry(self.start[person, capsule], self.stop[person, capsule], self.radius[person, capsule], direction)


def body_volumes(camera: Camera, skeleton: Skeleton, xyz: Floats) -> BodyVolumes:
    """Return the volumes of people xyz (P, J, 3) m, world, as a camera sees them; unknown where joints are missing."""
    ends, radius = body_capsules(skeleton)
    size = np.clip(np.nan_to_num(body_scale(skeleton, xyz), nan=1.0), _SMALLEST, _LARGEST)
    axes = transform(camera.cam_from_world, xyz[:, ends].mean(-2))  # (P, S, 2, 3)
    return BodyVolumes(axes[:, :, 0], axes[:, :, 1], size[:, None] * radius, ends)


def _entry(a: Floats, b: Floats, radius: float, direction: Floats) -> Floats:
    out = np.full(len(direction), np.inf)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return out
    axis = b - a
    long, along, begin = float(axis @ axis), direction @ axis, float(-a @ axis)
    side = direction @ -a
    with np.errstate(invalid="ignore", divide="ignore"):
        square = long - along**2
        middle = long * side - begin * along
        rest = long * (a @ a) - begin**2 - radius**2 * long
        root = middle**2 - square * rest
        t = (-middle - np.sqrt(root)) / square
        at = begin + t * along
        barrel = (root >= 0) & (square > 1e-9 * max(long, 1e-12)) & (at > 0) & (at < long) & (t > 0)
    out[barrel] = t[barrel]
    for end in (a, b):
        near = direction @ end
        inside = near**2 - (end @ end - radius**2)
        with np.errstate(invalid="ignore"):
            cap = near - np.sqrt(inside)
            out = np.where((inside >= 0) & (cap > 0) & (cap < out), cap, out)
    return out


def joint_visibility(camera: Camera, skeleton: Skeleton, xyz: Floats) -> tuple[NDArray[np.uint8], Floats]:
    """Return the ``JointVisibility`` (P, J) of people xyz (P, J, 3) m in a camera, and pixels (P, J, 2).

    A joint is hidden by another person where a surface of theirs is nearer than its own surface; by its own body where
    a part that it does not belong to is nearer than that by more than 4 cm, or where there is more of its own part
    before it than that part's radius. The nearest of these surfaces counts.
    """
    bodies = body_volumes(camera, skeleton, xyz)
    people, joints = xyz.shape[:2]
    place = transform(camera.cam_from_world, xyz).reshape(-1, 3)
    far = np.linalg.norm(place, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        direction = place / far[:, None]
    known = np.isfinite(direction).all(-1)
    owner = np.repeat(np.arange(people), joints)
    depth = far - _own_radius(bodies, joints).ravel()
    mine_of = _belongs(bodies.ends, joints)
    own, other = np.full(len(far), np.inf), np.full(len(far), np.inf)
    for person in range(people):
        for capsule in range(len(bodies.ends)):
            hit = np.full(len(far), np.inf)
            hit[known] = bodies.entry(person, capsule, direction[known])
            mine = owner == person
            other = np.where(~mine & (hit < depth), np.minimum(other, hit), other)
            part = np.tile(mine_of[capsule], people)
            limit = np.where(part, far - bodies.radius[person, capsule], depth) - _MARGIN_M
            own = np.where(mine & (hit < limit), np.minimum(own, hit), own)
    out = np.full(len(far), JointVisibility.VISIBLE, np.uint8)
    out[np.isfinite(own)] = JointVisibility.SELF_OCCLUDED
    out[np.isfinite(other) & (other < own)] = JointVisibility.OCCLUDED
    xy = camera.project(xyz)
    width, height = camera.size
    with np.errstate(invalid="ignore"):
        inside = ((xy >= -0.5) & (xy < np.array([width, height]) - 0.5)).all(-1).ravel()
    out[~inside] = JointVisibility.OUT_OF_VIEW
    out[~known] = JointVisibility.UNKNOWN
    return out.reshape(people, joints), xy


def _belongs(ends: NDArray[np.int64], joints: int) -> NDArray[np.bool_]:
    """Which joints (S, J) each capsule is an end of."""
    out = np.zeros((len(ends), joints), np.bool_)
    for capsule, mine in enumerate(ends):
        out[capsule, mine.ravel()] = True
    return out


def _own_radius(bodies: BodyVolumes, joints: int) -> Floats:
    """Distance (P, J) m from each joint to its surface: of the thinnest part that it belongs to."""
    mine = _belongs(bodies.ends, joints)
    radius = np.where(mine, bodies.radius[:, :, None], np.inf).min(1)
    return np.where(np.isfinite(radius), radius, _SKIN_M)


def body_boxes(camera: Camera, bodies: BodyVolumes) -> Floats:
    """Return boxes (P, 4) left, top, right, bottom px of whole bodies within the picture; NaN where out of it."""
    width, height = camera.size
    out = np.full((len(bodies.start), 4), np.nan)
    for person, box in enumerate(_boxes(camera, bodies)):
        with np.errstate(invalid="ignore"):
            low = np.fmin.reduce(box[:, :2]) if len(box) else np.full(2, np.nan)
            high = np.fmax.reduce(box[:, 2:]) if len(box) else np.full(2, np.nan)
        low, high = np.maximum(low, -0.5), np.minimum(high, np.array([width, height]) - 0.5)
        if (high > low).all():
            out[person] = [*low, *high]
    return out


def _boxes(camera: Camera, bodies: BodyVolumes) -> Floats:
    """Rectangles (P, S, 4) px about each capsule; NaN where it is unknown or not before the camera."""
    K, lens = camera.lens.K, camera.lens
    axes = np.stack([bodies.start, bodies.stop], 2)
    depth = axes[..., 2]
    with np.errstate(invalid="ignore", divide="ignore"):
        depth = np.where(depth > bodies.radius[..., None], depth, np.nan)
        xy = lens.distort(axes[..., :2] / depth[..., None])
        reach = bodies.radius[..., None] / np.sqrt(depth**2 - bodies.radius[..., None] ** 2) * K[0, 0]
        low, high = xy - reach[..., None], xy + reach[..., None]
    return np.concatenate([low.min(2), high.max(2)], -1)


class RayGrid:
    """Directions of a camera's rays on a grid of its pixels, of at most 640 cells a side, and what bodies cover."""

    def __init__(self, camera: Camera, longest_px: int = _LONGEST_PX) -> None:
        self.camera = camera
        self.step = max(1, -(-max(camera.size) // longest_px))
        columns, rows = (-(-side // self.step) for side in camera.size)
        x, y = (np.arange(count) * self.step + (self.step - 1) / 2 for count in (columns, rows))
        flat = camera.lens.undistort(np.stack(np.meshgrid(x, y), -1))
        away = np.concatenate([flat, np.ones((*flat.shape[:2], 1))], -1)
        self.direction = (away / np.linalg.norm(away, axis=-1, keepdims=True)).astype(np.float32)

    def depth(self, bodies: BodyVolumes) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
        """Return for each person the distance (P, h, w) m to its surface, inf beside it, and which capsule that is."""
        rows, columns = self.direction.shape[:2]
        out = np.full((len(bodies.start), rows, columns), np.inf, np.float32)
        part = np.full(out.shape, -1, np.int16)
        boxes = _boxes(self.camera, bodies) / self.step
        near = np.maximum(bodies.start[..., 2], bodies.stop[..., 2]) > 0  # unknown ones compare as False
        for person, capsule in np.argwhere(near):
            box = np.nan_to_num(boxes[person, capsule], nan=0.0)
            if not np.isfinite(boxes[person, capsule]).all():  # an end is behind the camera, or beyond the lens
                box = np.array([0, 0, columns, rows], np.float64)
            left, top = (int(max(0, edge)) for edge in np.floor(box[:2]) - 2)
            right, bottom = (int(max(0, edge)) for edge in np.ceil(box[2:]) + 3)
            window = (slice(top, min(bottom, rows)), slice(left, min(right, columns)))
            rays = self.direction[window]
            if not rays.size:
                continue
            hit = bodies.entry(person, capsule, rays.reshape(-1, 3).astype(np.float64)).reshape(rays.shape[:2])
            nearer = hit < out[person][window]
            out[person][window][nearer] = hit[nearer]
            part[person][window][nearer] = capsule
        return out, part

    def labels(self, depth: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the nearest person + 1 of each pixel (H, W) of the picture, 0 for none, of depths (P, h, w) m."""
        if not len(depth):
            return np.zeros(self.camera.size[::-1], np.uint8)
        nearest = np.where(np.isfinite(depth).any(0), depth.argmin(0) + 1, 0).astype(np.uint8)
        return self.enlarged(nearest)

    def enlarged(self, image: NDArray[np.generic]) -> NDArray[np.uint8]:
        """Return an image (h, w) of cells as one of pixels (H, W)."""
        width, height = self.camera.size
        return np.ascontiguousarray(np.repeat(np.repeat(image, self.step, 0), self.step, 1)[:height, :width])
