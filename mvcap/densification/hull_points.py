"""The hulls of all people of a moment: volume to search, surface, pieces that are not of the body, normals, colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.densification.carving import Surface, carve
from mvcap.densification.silhouettes import silhouettes_of
from mvcap.densification.visibility import colours, visible
from mvcap.structures.contracts import MaskedMoment
from mvcap.structures.point_cloud import PointCloud

_MARGIN_M = 0.35  # a hand beyond the wrist, the top of the head above the eyes, clothes
_LARGEST_M = 4.0
_SMALLEST_PIECE = 0.02
_SAME_SIDE = 0.5


@dataclass(frozen=True)
class HullPoints:
    """Points on the hulls of all people."""

    surface: Surface
    person: NDArray[np.int32]
    """(N,) index of the person."""


def hull_points(moment: MaskedMoment, spacing_m: float, least_views: int = 2) -> HullPoints:
    """Return the surface of every person's hull, without pieces smaller than a fiftieth of the largest.

    least_views: people whom fewer views show have no points.
    """
    bounds = [_bounds(moment, index) for index in range(len(moment.persons))]
    centres = np.array([(low + high) / 2 for low, high in bounds]).reshape(-1, 3)
    parts, persons = [], []
    for index, (low, high) in enumerate(bounds):
        outlines = silhouettes_of(index, moment.labels, moment.rig, centres, spacing_m)
        if len(outlines) < least_views:
            continue
        surface = carve(outlines, moment.rig, low, high, spacing_m)
        surface = surface[in_large_pieces(surface.xyz, spacing_m)]
        normals = smooth_normals(surface.xyz, surface.normals, 1.5 * spacing_m)
        parts.append(Surface(surface.xyz, normals, surface.sigma_m))
        persons.append(np.full(len(surface.xyz), index, np.int32))
    if not parts:
        return HullPoints(Surface(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0)), np.zeros(0, np.int32))
    joined = (np.concatenate([getattr(part, name) for part in parts]) for name in ("xyz", "normals", "sigma_m"))
    return HullPoints(Surface(*joined), np.concatenate(persons))


def coloured_cloud(moment: MaskedMoment, points: HullPoints, spacing_m: float) -> PointCloud:
    """Return the cloud of points: colours and views by the depth order of the points themselves."""
    surface = points.surface
    seen, cosine, xy = visible(surface.xyz, surface.normals, moment.rig, spacing_m)
    rgb = colours(moment.images, xy, seen, cosine)
    person = moment.persons[points.person] if len(moment.persons) else points.person
    return PointCloud(surface.xyz, rgb, person, seen.sum(0), surface.sigma_m, surface.normals)


def _bounds(moment: MaskedMoment, index: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The box (3,), (3,) m of a person: around the joints, else where the masks' middles meet; NaN if neither."""
    joints = np.asarray(moment.joints[index], np.float64).reshape(-1, 3)
    joints = joints[np.isfinite(joints).all(-1)]
    if len(joints) >= 4:
        middle = np.median(joints, axis=0)
        joints = joints[np.linalg.norm(joints - middle, axis=-1) < _LARGEST_M / 2]
        return joints.min(0) - _MARGIN_M, joints.max(0) + _MARGIN_M
    return _bounds_of_masks(moment, index)


def _bounds_of_masks(moment: MaskedMoment, index: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The box around the median of the points where the middles of two views' masks meet, as large as they say."""
    middle = np.full((len(moment.rig), 2), np.nan)
    size = np.full(len(moment.rig), np.nan)
    for view, image in enumerate(moment.labels):
        rows, columns = np.nonzero(image == index + 1) if image is not None else (np.zeros(0), np.zeros(0))
        if len(rows):
            middle[view] = (columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2
            size[view] = np.hypot(np.ptp(columns), np.ptp(rows))
    shown = np.flatnonzero(np.isfinite(size))
    pairs = [_pair_point(moment.rig, middle, a, b) for at, a in enumerate(shown) for b in shown[at + 1 :]]
    met = np.array([point for point in pairs if np.isfinite(point).all()]).reshape(-1, 3)
    if not len(met):
        return np.full(3, np.nan), np.full(3, np.nan)
    centre = np.median(met, axis=0)
    far = np.linalg.norm(moment.rig.positions[shown] - centre, axis=-1)
    reach = min(0.75 * float(np.median(size[shown] * far / moment.rig.focal[shown])) + _MARGIN_M, _LARGEST_M / 2)
    return centre - reach, centre + reach


def _pair_point(
    rig: Rig, xy: NDArray[np.float64], first: np.signedinteger[Any], second: np.signedinteger[Any]
) -> NDArray[np.float64]:
    both = np.full(xy.shape, np.nan)
    both[[first, second]] = xy[[first, second]]
    return np.asarray(rig.triangulate(both))


def in_large_pieces(xyz: NDArray[np.floating], spacing_m: float) -> NDArray[np.bool_]:
    """Return which points (N, 3) are of a connected piece of at least a fiftieth of the largest piece's points.

    Points are connected where their cells of two spacings touch; hulls of few views have small pieces in free space.
    """
    from scipy import ndimage

    if not len(xyz):
        return np.zeros(0, np.bool_)
    cell = np.floor(xyz / (2 * spacing_m)).astype(np.int64)
    cell -= cell.min(0)
    grid = np.zeros(cell.max(0) + 1, np.bool_)
    grid[tuple(cell.T)] = True
    names, _ = ndimage.label(grid, np.ones((3, 3, 3)))
    piece = names[tuple(cell.T)]
    count = np.bincount(piece)
    return np.asarray(count[piece] >= _SMALLEST_PIECE * count.max())


def smooth_normals(xyz: NDArray[np.floating], normals: NDArray[np.floating], side_m: float) -> NDArray[np.float64]:
    """Return normals (N, 3), each the mean over the points of the 27 cells of a side around its own.

    A normal stays as it is where its neighbours' mean points elsewhere, as on the two sides of something thin.
    """
    if not len(xyz):
        return np.zeros((0, 3))
    cell = np.floor(xyz / side_m).astype(np.int64)
    cell += 1 - cell.min(0)
    shape = tuple((cell.max(0) + 2).tolist())
    key = np.ravel_multi_index(tuple(cell.T), shape)
    mean = np.empty((len(xyz), 3))
    for axis in range(3):
        total = np.bincount(key, normals[:, axis], int(np.prod(shape))).reshape(shape)
        for along in range(3):
            middle = np.moveaxis(total, along, 0)
            summed = middle.copy()
            summed[1:] += middle[:-1]
            summed[:-1] += middle[1:]
            total = np.moveaxis(summed, 0, along)
        mean[:, axis] = total.ravel()[key] if total.flags.c_contiguous else total[tuple(cell.T)]
    length = np.linalg.norm(mean, axis=-1, keepdims=True)
    mean /= np.maximum(length, 1e-9)
    same = (mean * normals).sum(-1) > _SAME_SIDE
    return np.asarray(np.where(same[:, None], mean, normals))
