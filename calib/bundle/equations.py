"""Residuals of a calibration and their exact derivatives, gathered into the blocks of its normal equations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from calib import distortion
from calib.arrays import Bools, Floats, Ints
from calib.calibration import POSE
from calib.camera import Lens
from calib.distortion import Model
from calib.geometry import rotation_from_vector, transform

LENS = 16  # fx fy cx cy and the longest row of coefficients
OFFSET = POSE + LENS  # the place of the time offset in a camera's parameters
CAMERA = OFFSET + 1


def lens_numbers(lens: Lens) -> Floats:
    """fx fy cx cy and coefficients, (16,), zero for those that the model lacks."""
    K = lens.K
    full = np.zeros(LENS)
    full[:4] = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    full[4 : 4 + lens.distortion.size] = lens.distortion
    return full


def lens_of(numbers: Floats, like: Lens) -> Lens:
    """The lens `like` with other numbers (16,)."""
    K = np.array(like.K)
    K[0, 0], K[1, 1], K[0, 2], K[1, 2] = numbers[:4]
    return replace(like, K=K, distortion=numbers[4 : 4 + like.distortion.size])


def small_motion(step: Floats) -> Floats:
    """Transforms (..., 4, 4) of small rotations and translations (..., 6)."""
    out = np.zeros((*step.shape[:-1], 4, 4))
    out[..., :3, :3] = rotation_from_vector(step[..., :3])
    out[..., :3, 3] = step[..., 3:]
    out[..., 3, 3] = 1.0
    return out


@dataclass(frozen=True, eq=False)
class State:
    """All unknowns: lens (C, 16), poses, pieces (B, 4, 4), points (N, 3), free (T, N, 3), offset_s (C,)."""

    lens: Floats
    cam_from_world: Floats
    world_from_body: Floats
    body_from_piece: Floats
    points: Floats
    free: Floats | None
    offset_s: Floats

    def in_body(self, piece: Ints) -> Floats:
        """The target's points (N, 3) m in the frame of its body."""
        return transform(self.body_from_piece[piece], self.points)

    def world_points(self, piece: Ints) -> Floats:
        """Positions of the points in the world, (T, N, 3) m."""
        if self.free is not None:
            return self.free
        return transform(self.world_from_body[:, None], self.in_body(piece)[None])


@dataclass(frozen=True, eq=False)
class Rows:
    """Observations of one camera, in the order of moments: moment, point, block (M,), xy (M, 2), over (M,) 1/sigma."""

    moment: Ints
    point: Ints
    block: Ints
    xy: Floats
    over: Floats
    model: Model
    skew: float
    along: Floats | None = None  # (M, 2) image motion during one sigma of an image's time error, in sigmas

    @staticmethod
    def of(lens: Lens, moment: Ints, point: Ints, block: Ints, xy: Floats, over: Floats) -> Rows:
        """Rows of a lens: every lens but a fisheye counts as rational, some of its coefficients zero."""
        return Rows(
            moment, point, block, xy, over, "fisheye" if lens.model == "fisheye" else "rational", float(lens.K[0, 1])
        )


@dataclass(frozen=True, eq=False)
class Layout:
    """Which of a camera's 23 numbers are free, and the places of these and the target's among the D shared unknowns."""

    free: tuple[NDArray[np.intp], ...]  # by camera, which of the 23
    columns: tuple[slice, ...]
    pieces: slice  # six for every piece but the first
    shape: slice  # three for every point
    size: int
    blocks: int
    width: int  # 6 for a body's pose, 3 for a free point, 0 where the target does not move

    @staticmethod
    def of(free: Bools, pieces: int, points: int, blocks: int, width: int) -> Layout:
        """The layout of free numbers (C, 23), counts of free pieces and free points, and the moving blocks."""
        ends = np.cumsum([0, *free.sum(1)])
        columns = tuple(slice(int(a), int(b)) for a, b in pairwise(ends))
        shape_at = int(ends[-1]) + POSE * pieces
        size = shape_at + 3 * points
        return Layout(
            tuple(np.flatnonzero(row) for row in free),
            columns,
            slice(int(ends[-1]), shape_at),
            slice(shape_at, size),
            size,
            blocks,
            width,
        )


@dataclass(frozen=True, eq=False)
class Linearised:
    """Residuals (M, 2) in sigmas, and their derivatives by the shared numbers (M, 2, P) and by the block (M, 2, d)."""

    residual: Floats
    shared: Floats
    block: Floats


def predict(state: State, view: int, rows: Rows, world: Floats, motion: Floats | None) -> tuple[Floats, Floats, Floats]:
    """Points in the camera's frame (M, 3), undistorted and distorted coordinates (M, 2); NaN behind the camera."""
    at = world[rows.moment, rows.point]
    delay = state.offset_s[view]
    if motion is not None and delay != 0:
        at = at + delay * (motion[0] + 0.5 * delay * motion[1])[rows.moment, rows.point]
    seen = transform(state.cam_from_world[view], at)
    with np.errstate(all="ignore"):
        depth = np.where(seen[:, 2] > 0, seen[:, 2], np.nan)
        flat = seen[:, :2] / depth[:, None]
        bent = distortion.distort(flat, _coefficients(state, view, rows.model), rows.model)
    return seen, flat, bent


def _coefficients(state: State, view: int, model: Model) -> Floats:
    return state.lens[view, 4 : 4 + (4 if model == "fisheye" else 12)]


def residuals(state: State, view: int, rows: Rows, world: Floats, motion: Floats | None) -> Floats:
    """Predicted minus observed, (M, 2), in standard deviations."""
    bent = predict(state, view, rows, world, motion)[2]
    return whiten(rows, _pixels(state.lens[view], rows.skew, bent, rows)[..., None])[..., 0]


def whiten(rows: Rows, values: Floats) -> Floats:
    """Residuals or derivatives (M, 2, K), whitened for the time error that all points of an image share.

    One unknown delay for each image, of variance one along `rows.along`, gives residuals the covariance I + a a^T; they
    are multiplied by the inverse of its root, I - b a a^T.
    """
    if rows.along is None or not len(values):
        return values
    starts = np.flatnonzero(np.diff(rows.moment, prepend=-1))
    length = np.add.reduceat((rows.along**2).sum(-1), starts)
    share = (1 - 1 / np.sqrt(1 + length)) / np.maximum(length, 1e-300)
    common = np.add.reduceat((rows.along[..., None] * values).sum(1), starts) * share[:, None]
    counts = np.diff(np.append(starts, len(values)))
    return np.asarray(values - rows.along[..., None] * np.repeat(common, counts, axis=0)[:, None])


def image_speed(state: State, view: int, rows: Rows, world: Floats, motion: Floats, piece: Ints) -> Floats:
    """Velocity of the points in the image, (M, 2), sigmas a second."""
    free = np.zeros((len(state.lens), CAMERA), bool)
    free[view, OFFSET] = True
    unwhitened = replace(rows, along=None)
    return linearise(state, view, unwhitened, Layout.of(free, 0, 0, 0, 0), world, motion, piece).shared[..., 0]


def _pixels(numbers: Floats, skew: float, bent: Floats, rows: Rows) -> Floats:
    u = numbers[0] * bent[:, 0] + skew * bent[:, 1] + numbers[2]
    v = numbers[1] * bent[:, 1] + numbers[3]
    return np.asarray((np.stack([u, v], -1) - rows.xy) * rows.over[:, None])


def linearise(
    state: State, view: int, rows: Rows, layout: Layout, world: Floats, motion: Floats | None, piece: Ints
) -> Linearised:
    """The residuals of a camera and their derivatives by all free unknowns."""
    seen, flat, _ = predict(state, view, rows, world, motion)
    numbers, k = state.lens[view], _coefficients(state, view, rows.model)
    bent, by_flat = distortion.distort_with_jacobian(flat, k, rows.model)
    K2 = np.array([[numbers[0], rows.skew], [0.0, numbers[1]]])
    by_flat = (K2 * rows.over[:, None, None]) @ by_flat
    by_seen = np.empty((len(seen), 2, 3))
    by_seen[..., :2] = by_flat / seen[:, None, 2:]
    by_seen[..., 2] = -(by_seen[..., :2] * flat[:, None]).sum(-1)
    camera = np.zeros((len(seen), 2, CAMERA))
    camera[..., :3], camera[..., 3:POSE] = _by_rotation(seen, by_seen), by_seen
    camera[:, 0, POSE], camera[:, 1, POSE + 1] = bent[:, 0] * rows.over, bent[:, 1] * rows.over
    camera[:, 0, POSE + 2], camera[:, 1, POSE + 3] = rows.over, rows.over
    if (layout.free[view] >= POSE + 4).any():
        slopes = distortion.distort_by_coefficients(flat, k, rows.model)
        camera[..., POSE + 4 : POSE + 4 + k.size] = (K2 * rows.over[:, None, None]) @ slopes
    by_world = by_seen @ state.cam_from_world[view, :3, :3]
    if motion is not None:
        speed = (motion[0] + state.offset_s[view] * motion[1])[rows.moment, rows.point]
        camera[..., OFFSET] = (by_world * speed[:, None]).sum(-1)
    shared = camera[..., layout.free[view]]
    block = by_world if layout.width == 3 else np.empty((len(seen), 2, 0))
    if state.free is None:
        block, of_target = _by_target(state, rows, layout, by_world, piece)
        shared = np.concatenate([shared, of_target], -1) if of_target.shape[-1] else shared
    residual = _pixels(numbers, rows.skew, bent, rows)
    if rows.along is None:
        return Linearised(residual, shared, block)
    every = whiten(rows, np.concatenate([residual[..., None], shared, block], -1))
    width = 1 + shared.shape[-1]
    return Linearised(every[..., 0], every[..., 1:width], every[..., width:])


def _by_target(state: State, rows: Rows, layout: Layout, by_world: Floats, piece: Ints) -> tuple[Floats, Floats]:
    """Derivatives by the body's pose (M, 2, 6 or 0) and by pieces and shape (M, 2, Q)."""
    body = state.in_body(piece)[rows.point]
    by_body = by_world @ state.world_from_body[rows.moment, :3, :3]
    pose = np.concatenate([_by_rotation(body, by_body), by_body], -1) if layout.width else np.empty((len(body), 2, 0))
    pieces, shape = layout.pieces.stop - layout.pieces.start, layout.shape.stop - layout.shape.start
    out = np.zeros((len(body), 2, pieces + shape))
    if not pieces + shape:
        return pose, out
    of = piece[rows.point]
    by_piece = by_body @ state.body_from_piece[of, :3, :3]
    row = np.arange(len(body))
    if pieces:
        moved = np.concatenate([_by_rotation(state.points[rows.point], by_piece), by_piece], -1)
        for index in range(POSE):
            out[row[of > 0], :, POSE * (of[of > 0] - 1) + index] = moved[of > 0, :, index]
    if shape:
        for axis in range(3):
            out[row, :, pieces + 3 * rows.point + axis] = by_piece[..., axis]
    return pose, out


def _by_rotation(points: Floats, by_point: Floats) -> Floats:
    """Derivatives (M, 2, 3) by a small rotation of points (M, 3) whose derivatives are (M, 2, 3): j . (w x X)."""
    x, y, z = points.T[:, :, None]
    a, b, c = by_point[..., 0], by_point[..., 1], by_point[..., 2]
    return np.stack([y * c - z * b, z * a - x * c, x * b - y * a], -1)


def apply_step(state: State, layout: Layout, shared: Floats, blocks: Floats, block_at: NDArray[np.intp]) -> State:
    """The state after a step: shared (D,), blocks (Nb, d) whose places among moments (and points) are block_at."""
    cameras = np.zeros((len(layout.columns), CAMERA))
    for view, (free, columns) in enumerate(zip(layout.free, layout.columns, strict=True)):
        cameras[view, free] = shared[columns]
    pieces, points = np.array(state.body_from_piece), state.points
    if layout.pieces.stop > layout.pieces.start:
        pieces[1:] = pieces[1:] @ small_motion(shared[layout.pieces].reshape(-1, POSE))
    if layout.shape.stop > layout.shape.start:
        points = points + shared[layout.shape].reshape(-1, 3)
    bodies, points_free = state.world_from_body, state.free
    if layout.width == 3 and points_free is not None:
        points_free = np.array(points_free)
        points_free.reshape(-1, 3)[block_at] += blocks
    elif layout.width:
        bodies = np.array(bodies)
        bodies[block_at] = bodies[block_at] @ small_motion(blocks)
    return State(
        state.lens + cameras[:, POSE:OFFSET],
        small_motion(cameras[:, :POSE]) @ state.cam_from_world,
        bodies,
        pieces,
        points,
        points_free,
        state.offset_s + cameras[:, OFFSET],
    )


def motions(state: State, piece: Ints, time_s: Floats, *, gap_s: float = 0.5) -> Floats:
    """Velocity and acceleration (2, T, N, 3) of the target's points, m/s and m/s^2, from neighbouring moments.

    time_s (T,); NaN at moments that have no neighbours within gap_s on both sides.
    """
    world = state.world_points(piece)
    out = np.full((2, *world.shape), np.nan)
    if len(world) < 3:
        return out
    with np.errstate(invalid="ignore"):
        step = np.diff(time_s)
        step = np.where((step > 0) & (step < gap_s), step, np.nan)[:, None, None]
    slope = np.diff(world, axis=0) / step
    before, after = step[:-1], step[1:]
    out[0, 1:-1] = (slope[:-1] * after + slope[1:] * before) / (before + after)
    out[1, 1:-1] = 2 * (slope[1:] - slope[:-1]) / (before + after)
    return out
