"""People cut out of recorded pictures: image, mask and distance to the body, to be placed in another picture.

A cutout may be placed only where its picture stays true. Turning it about the camera's centre maps its rays to rays, so
that the turned picture is exactly that of the turned person, through any lens. Scaling the person about the camera's
centre changes no picture at all: a larger person farther away. Nothing else is done to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib import Camera
from calib.arrays import Floats
from calib.geometry import invert, transform
from mvcap.datasets.body_volumes import BodyVolumes, RayGrid, body_volumes
from mvcap.structures.skeleton import Skeleton

_SOFT_PX = 1.0
"""Edges of a mask are blended over about so many pixels."""


@dataclass(frozen=True, eq=False)
class Cutout:
    """A person in the picture of a camera."""

    camera: Camera
    skeleton: Skeleton
    xyz: Floats
    """(J, 3) m, world, of all joints; the body's volume follows from them."""
    kept: NDArray[np.bool_]
    """(J,) which joints are truth."""
    image: NDArray[np.uint8]
    """RGB (H, W, 3)."""
    mask: NDArray[np.bool_]
    """(H, W) pixels of the person."""
    source: tuple[str, str, int, int]
    """Session, view, frame and person."""

    def bodies(self) -> BodyVolumes:
        """Return the capsules of the body in the camera's frame."""
        return body_volumes(self.camera, self.skeleton, self.xyz[None])


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a cutout goes: turned about the camera's centre, and scaled about it."""

    turn: Floats
    """(3, 3) rotation of rays of the cutout's camera to rays of the picture's."""
    scale: float

    def world(self, cutout: Cutout, camera: Camera) -> Floats:
        """Return joints (J, 3) m of the placed person in the world of the picture's camera."""
        seen = transform(cutout.camera.cam_from_world, cutout.xyz)
        return np.asarray(transform(invert(camera.cam_from_world), self.scale * seen @ self.turn.T))


def upright_turn(source: Camera, target: Camera, angle: float) -> Floats:
    """Return the rotation (3, 3) of a camera's rays to another's under which vertical stays vertical.

    It takes the direction of gravity from one to the other the short way, then turns by an angle, rad, about it.
    """
    down, goal = -source.cam_from_world[:3, 2], -target.cam_from_world[:3, 2]
    return np.asarray(_about(goal, angle) @ _shortest(down, goal))


def _about(axis: Floats, angle: float) -> Floats:
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def _shortest(a: Floats, b: Floats) -> Floats:
    """The smallest rotation that takes a unit vector to another."""
    axis, cosine = np.cross(a, b), float(a @ b)
    length = np.linalg.norm(axis)
    if length < 1e-12:
        if cosine > 0:
            return np.eye(3)
        axis = np.cross(a, np.eye(3)[np.abs(a).argmin()])
        length = np.linalg.norm(axis)
    return _about(axis / length, float(np.arctan2(np.linalg.norm(np.cross(a, b)), cosine)))


def same_floor_scale(source: Camera, target: Camera, floor_m: tuple[float, float]) -> float:
    """Return the scale about the camera under which feet on the one floor are on the other.

    floor_m: heights of both floors. It is the ratio of the cameras' heights above them.
    """
    height = float(source.position[2]) - floor_m[0]
    return (float(target.position[2]) - floor_m[1]) / height if height > 0 else 1.0


@dataclass(frozen=True, eq=False)
class PlacedCutout:
    """A cutout in the picture of another camera, over all of it."""

    image: NDArray[np.uint8]
    """RGB (H, W, 3); of any value beside the mask."""
    opacity: NDArray[np.float32]
    """(H, W) 0 to 1."""
    depth: NDArray[np.float32]
    """(H, W) distance from the camera to the body, m; inf beside it."""


class PictureRays:
    """Directions of all pixels of a camera's picture, to place cutouts in it."""

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        width, height = camera.size
        grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1)
        flat = camera.lens.undistort(grid)
        self.direction = np.concatenate([flat, np.ones((height, width, 1))], -1).astype(np.float32)

    def place(self, cutout: Cutout, where: Placement) -> PlacedCutout:
        """Return the picture of a cutout that is turned and scaled about the camera's centre."""
        import cv2

        back = self.direction @ where.turn.astype(np.float32)  # of row vectors: the inverse rotation
        with np.errstate(invalid="ignore", divide="ignore"):
            flat = np.where(back[..., 2:] > 1e-6, back[..., :2] / back[..., 2:], np.nan)
        pixel = cutout.camera.lens.distort(flat.astype(np.float64)).astype(np.float32)
        pixel = np.nan_to_num(pixel, nan=-1e4)
        x, y = np.ascontiguousarray(pixel[..., 0]), np.ascontiguousarray(pixel[..., 1])
        soft = cv2.GaussianBlur(cutout.mask.astype(np.float32), (0, 0), _SOFT_PX)
        opacity = cv2.remap(np.clip(2 * soft - 0.5, 0, 1), x, y, cv2.INTER_LINEAR)
        image = np.asarray(cv2.remap(cutout.image, x, y, cv2.INTER_LINEAR), np.uint8)
        depth = cv2.remap(mask_depth(cutout), x, y, cv2.INTER_NEAREST, borderValue=float("inf"))
        return PlacedCutout(image, np.where(np.isfinite(depth), opacity, 0), where.scale * depth)


def mask_depth(cutout: Cutout) -> NDArray[np.float32]:
    """Return the distance (H, W) m from the camera to the body at each pixel of a cutout's mask; inf beside it.

    It is that of the volumes; pixels of the mask beside them have that of the nearest pixel of the volumes.
    """
    grid = RayGrid(cutout.camera)
    coarse = grid.depth(cutout.bodies())[0][0]
    filled = nearest_known(coarse)
    enlarged = np.repeat(np.repeat(filled, grid.step, 0), grid.step, 1)[: cutout.mask.shape[0], : cutout.mask.shape[1]]
    import cv2

    near = cv2.dilate(cutout.mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return np.where(near, enlarged, np.inf).astype(np.float32)


def nearest_known(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return values (h, w) with those that are not finite replaced by the nearest finite one."""
    from scipy.ndimage import distance_transform_edt

    unknown = ~np.isfinite(values)
    if unknown.all() or not unknown.any():
        return values
    rows, columns = distance_transform_edt(unknown, return_distances=False, return_indices=True)
    return np.asarray(values[rows, columns])


def gap_m(one: BodyVolumes, other: BodyVolumes) -> float:
    """Return the least distance between the surfaces of two bodies, m, of points along their axes; negative inside."""
    share = np.linspace(0, 1, 6)[:, None]
    best = np.inf
    points = []
    for body in (one, other):
        known = np.isfinite(body.start[0]).all(-1) & np.isfinite(body.stop[0]).all(-1)
        start, stop, radius = body.start[0, known], body.stop[0, known], body.radius[0, known]
        along = start[:, None] + share * (stop - start)[:, None]
        points.append((along.reshape(-1, 3), np.repeat(radius, len(share))))
    (a, radius_a), (b, radius_b) = points
    if len(a) and len(b):
        apart = np.linalg.norm(a[:, None] - b[None], axis=-1) - radius_a[:, None] - radius_b[None]
        best = float(apart.min())
    return best
