"""The visual hull of one person, coarse to fine: all points that no view shows to be free (Laurentini 1994).

A cell of the volume has a signed depth: the least distance, over the views, of its projection from the silhouette's
outline, in metres at the cell's depth. Cells deeper inside or farther outside than their own half diagonal need no
finer look. Cells of the last level take their projections from the first derivative at their parent's centre, exact to
hundredths of a pixel. A point of the surface is moved along the gradient to half a voxel inside the outline, where the
centres of the outermost voxels would lie, but without their grid. A hull encloses the body and exceeds it by some
millimetres nearly everywhere, so on average this is nearer to the body than the hull's own surface.

One bad mask. Where a view's mask lacks a part of the body, that view alone carves what all others show, and the hull
no longer covers the masks of the others. So the hull is drawn back: mask pixels that it leaves uncovered are
unexplained. With six or more views, the one whose absence leaves nothing unexplained is left out. Otherwise a cell that
only one view carves (or two of eight or more, if one is not enough to explain the masks) is kept where it lies on
unexplained pixels of at least two others and four or more views look at it. Masks that agree leave nothing unexplained,
and then the hull is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.densification.silhouettes import Silhouette, nearest

_CHILDREN = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)
_HALF_DIAGONAL = float(np.sqrt(3) / 2)
_SLACK = 1.15
_COARSEST_M = 0.13
_INSET = 0.5
_LEAST_VIEWS = 2
_VOTING_VIEWS = 4
_BLAMING_VIEWS = 6
_UNEXPLAINED = 0.015
_OUTSIDE_M = -9.0
_MOST_CELLS = 4_000_000


@dataclass(frozen=True)
class Surface:
    """Points on the surface of a hull."""

    xyz: NDArray[np.float64]
    """(N, 3) m."""
    normals: NDArray[np.float64]
    """(N, 3) unit vectors that point out of the hull."""
    sigma_m: NDArray[np.float64]
    """(N,) m: half a pixel of the outline at the point's depth, and the spacing."""

    def __getitem__(self, rows: NDArray[np.generic]) -> Surface:
        return Surface(self.xyz[rows], self.normals[rows], self.sigma_m[rows])


@dataclass(frozen=True)
class _Vote:
    """Which cells may be kept against the views that carve them."""

    misses: int
    unexplained: Sequence[NDArray[np.uint8]]


@dataclass(frozen=True)
class _Depths:
    """Signed depths of cells: of each view, and of the hull."""

    hull: NDArray[np.float64]
    carver: NDArray[np.int64]
    """(N,) index of the view whose outline is nearest."""
    xy: NDArray[np.float64]
    """(S, N, 2) px."""


def carve(
    silhouettes: Sequence[Silhouette], rig: Rig, low: NDArray[np.float64], high: NDArray[np.float64], spacing_m: float
) -> Surface:
    """Return the surface of the hull within the box low, high (3,) m; empty where fewer than two views show it."""
    if len(silhouettes) < _LEAST_VIEWS or not (np.isfinite(low).all() and np.isfinite(high).all()):
        return _nothing()
    hull = _Hull(silhouettes, rig, spacing_m)
    surface = hull.surface(low, high, None)
    if len(silhouettes) < _VOTING_VIEWS:
        return surface
    first: list[NDArray[np.uint8]] | None = None
    if len(silhouettes) >= _BLAMING_VIEWS and sorted(hull.unexplained(surface)[1])[-2] >= _UNEXPLAINED:
        others = _without_culprit(silhouettes, rig, low, high, 2 * spacing_m)
        if others is not None:
            return _Hull(others, rig, spacing_m).surface(low, high, None)
    for misses in range(1, 3 if len(silhouettes) >= 2 * _VOTING_VIEWS else 2):
        unexplained, share = hull.unexplained(surface)
        if sorted(share)[-2] < _UNEXPLAINED:
            break
        first = first or unexplained
        surface = hull.surface(low, high, _Vote(misses, first))
    return surface


def _without_culprit(
    silhouettes: Sequence[Silhouette], rig: Rig, low: NDArray[np.float64], high: NDArray[np.float64], spacing_m: float
) -> list[Silhouette] | None:
    """The silhouettes without the one whose absence alone leaves nothing unexplained; None unless it is one."""
    left = []
    for index in range(len(silhouettes)):
        others = [one for at, one in enumerate(silhouettes) if at != index]
        hull = _Hull(others, rig, spacing_m)
        share = sorted(hull.unexplained(hull.surface(low, high, None))[1])[-2]
        left.append((share, index))
    (share, culprit), (second, _) = sorted(left)[:2]
    if not share < _UNEXPLAINED <= second:
        return None
    return [one for at, one in enumerate(silhouettes) if at != culprit]


def _nothing() -> Surface:
    return Surface(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0))


class _Hull:
    """The hull of one person's silhouettes."""

    def __init__(self, silhouettes: Sequence[Silhouette], rig: Rig, spacing_m: float) -> None:
        self.silhouettes = silhouettes
        self.rig = replace(rig, cameras=tuple(rig[one.view] for one in silhouettes))
        self.focal = np.array([one.focal for one in silhouettes])[:, None]
        self.spacing_m = spacing_m
        self.levels = max(1, round(np.log2(_COARSEST_M / spacing_m)))

    def surface(self, low: NDArray[np.float64], high: NDArray[np.float64], vote: _Vote | None) -> Surface:
        """Return the points of the surface within a box."""
        side = self.spacing_m * 2**self.levels
        steps = [np.arange(a + side / 2, b + side / 2, side) for a, b in zip(low, high, strict=True)]
        if np.prod([len(step) for step in steps], dtype=np.float64) > _MOST_CELLS:
            return _nothing()
        cells = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 3)
        while side > 1.5 * self.spacing_m:
            xy, slope = None, None
            if side > 3 * self.spacing_m:
                xy = self.rig.project(cells)
            else:
                xy, slope = self.rig.project_with_jacobian(cells)
            depths = self._depths(cells, xy, vote, _HALF_DIAGONAL * side * _SLACK)
            near = np.abs(depths.hull) < _HALF_DIAGONAL * side * _SLACK
            shift = _CHILDREN * (side / 4)
            cells = (cells[near, None] + shift).reshape(-1, 3)
            side /= 2
            if slope is not None:
                moved = (slope[:, near] @ shift.T).transpose(0, 1, 3, 2)
                xy = (xy[:, near, None] + moved).reshape(len(xy), -1, 2)
                return self._onto_outline(cells, xy, slope[:, near], vote)
        return _nothing()

    def _depth_of(self, cells: NDArray[np.float64]) -> NDArray[np.float64]:
        pose = self.rig.cam_from_world
        return np.asarray(cells @ pose[:, 2, :3].T + pose[:, 2, 3]).T

    def _depths(
        self, cells: NDArray[np.float64], xy: NDArray[np.float64], vote: _Vote | None, tolerance: float = 0.0
    ) -> _Depths:
        """The signed depths of cells (N, 3) whose projections are xy (S, N, 2)."""
        metres = self._depth_of(cells) / self.focal
        signed = np.stack([one.signed(xy[at]) for at, one in enumerate(self.silhouettes)]) * metres
        silent = ~np.isfinite(signed)
        signed = np.where(silent, np.inf, signed)
        seen = np.zeros(signed.shape[1], np.int64)
        for at, one in enumerate(self.silhouettes):
            seen += one.is_mine(xy[at]) | (np.abs(signed[at]) < max(tolerance, self.spacing_m))
        carver = signed.argmin(0)
        hull = np.take_along_axis(signed, carver[None], 0)[0]
        if vote is not None:
            hull, carver = self._voted(signed, silent, xy, vote, tolerance)
        return _Depths(np.where((seen >= _LEAST_VIEWS) & np.isfinite(hull), hull, _OUTSIDE_M), carver, xy)

    def _voted(
        self,
        signed: NDArray[np.float64],
        silent: NDArray[np.bool_],
        xy: NDArray[np.float64],
        vote: _Vote,
        tolerance: float,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Signed depths and their views where some views may be wrong."""
        order = np.argsort(signed, axis=0)[: vote.misses + 1]
        ranked = np.take_along_axis(signed, order, 0)
        claims = np.zeros(signed.shape[1:], np.int64)
        for at, (one, left) in enumerate(zip(self.silhouettes, vote.unexplained, strict=True)):
            claims += (nearest(left, one.reduced(xy[at])) > 0) & (signed[at] > -tolerance)
        may = ((~silent).sum(0) >= _VOTING_VIEWS) & ((claims >= _LEAST_VIEWS) | (tolerance > 0))
        misses = np.where(may, np.minimum((ranked[:-1] < 0).sum(0), vote.misses), 0)
        chosen = np.where(np.take_along_axis(ranked, misses[None], 0)[0] < -tolerance, 0, misses)[None]
        return np.take_along_axis(ranked, chosen, 0)[0], np.take_along_axis(order, chosen, 0)[0]

    def _onto_outline(
        self, cells: NDArray[np.float64], xy: NDArray[np.float64], slope: NDArray[np.float64], vote: _Vote | None
    ) -> Surface:
        """Points of the cells (N, 3) of the last level, moved onto the outline of the view that bounds them.

        slope: (S, N / 8, 2, 3) px/m, of the cells' parents.
        """
        depths = self._depths(cells, xy, vote)
        near = np.flatnonzero(np.abs(depths.hull) < 0.75 * self.spacing_m)
        carver, hull = depths.carver[near], depths.hull[near]
        metres = self._depth_of(cells[near])[carver, np.arange(len(near))] / self.focal[carver, 0]
        at = xy[carver, near]
        step = np.zeros((len(near), 2))
        for index, one in enumerate(self.silhouettes):
            rows = carver == index
            for axis in (0, 1):
                ahead = np.zeros(2)
                ahead[axis] = 1.5 * one.scale
                step[rows, axis] = (one.signed(at[rows] + ahead) - one.signed(at[rows] - ahead)) / (3 * one.scale)
        gradient = (step[:, None] @ slope[carver, near // len(_CHILDREN)])[:, 0] * metres[:, None]
        length = np.linalg.norm(gradient, axis=-1)
        kept = np.flatnonzero(np.isfinite(length) & (length > 0.3))
        near, normals = near[kept], -gradient[kept] / length[kept, None]
        moved = normals * (hull[kept] / length[kept] - _INSET * self.spacing_m)[:, None]
        xyz = cells[near] + moved
        # At an edge of the hull, where two outlines meet, a point moved onto the one may be beyond the other.
        after = self._depths(
            xyz, xy[:, near] + (slope[:, near // len(_CHILDREN)] @ moved[None, :, :, None])[..., 0], vote
        ).hull
        scale = np.array([one.scale for one in self.silhouettes])[carver[kept]]
        sigma = np.hypot(0.5 * scale * metres[kept], self.spacing_m / np.sqrt(12))
        inside = np.flatnonzero(after > 0.5 * (_INSET - 0.5) * self.spacing_m)
        return Surface(xyz, normals, sigma)[inside[first_in_cells(xyz[inside], self.spacing_m)]]

    def unexplained(self, surface: Surface) -> tuple[list[NDArray[np.uint8]], list[float]]:
        """Return the pixels of each silhouette that a surface does not cover, (h, w), and their share of the mask."""
        import cv2

        images, shares = [], []
        xy = self.rig.project(surface.xyz) if len(surface.xyz) else np.zeros((len(self.silhouettes), 0, 2))
        for at, one in enumerate(self.silhouettes):
            covered = np.zeros_like(one.mine)
            place = one.reduced(xy[at])
            place = place[np.isfinite(place).all(-1)].astype(np.int64)
            height, width = covered.shape
            place = place[((place >= 0) & (place < (width, height))).all(-1)]
            covered[place[:, 1], place[:, 0]] = 1
            depth = np.median(self._depth_of(surface.xyz)[at]) if len(surface.xyz) else 1.0
            radius = max(1, int(np.ceil(1.2 * self.spacing_m * one.focal / max(depth, 0.1) / one.scale)))
            disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
            closed = cv2.dilate(cv2.morphologyEx(covered, cv2.MORPH_CLOSE, disc), disc)
            bare = np.asarray(one.mine * (closed == 0), np.uint8)
            left = cv2.erode(bare, np.ones((3, 3), np.uint8))
            shares.append(float(left.sum()) / max(float(one.mine.sum()), 1.0))
            images.append(np.asarray(cv2.dilate(left, disc), np.uint8))
        return images, shares


def first_in_cells(xyz: NDArray[np.floating], side_m: float) -> NDArray[np.int64]:
    """Return the index, ascending, of the first point (N, 3) m of every cubic cell of a side."""
    if not len(xyz):
        return np.zeros(0, np.int64)
    cell = np.floor(xyz / side_m).astype(np.int64)
    cell -= cell.min(0)
    extent = cell.max(0) + 1
    key = (cell[:, 0] * extent[1] + cell[:, 1]) * extent[2] + cell[:, 2]
    return np.sort(np.unique(key, return_index=True)[1])
