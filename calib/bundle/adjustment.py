"""Bundle adjustment of cameras, lenses, target poses, pieces, target shape and time offsets to all observations.

Levenberg-Marquardt on normal equations whose moving blocks (a pose of the target, or a free point) are eliminated first
(the Schur complement; Triggs et al., "Bundle adjustment - a modern synthesis", 2000), with exact derivatives, Huber's
kernel by reweighting, Gaussian priors, and the covariance of the shared unknowns, both from the noise model and from
the scatter between moments (White's sandwich estimator, clustered by moment).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Bools, Floats, Ints
from calib.bundle.equations import (
    OFFSET,
    Layout,
    Rows,
    State,
    apply_step,
    image_speed,
    lens_numbers,
    lens_of,
    linearise,
    motions,
    residuals,
)
from calib.bundle.problem import Problem, Solution
from calib.calibration import POSE
from calib.geometry import vector_from_rotation

_TOLERANCE = 1e-8  # of the cost
_ITERATIONS = 100
_STRAIGHT = 1.3  # actual over predicted gain above which longer steps are tried: the cost curves less than its model
_RIDGE = 1e-12  # of a block's largest number, against singular blocks: the rotation of a wand about its own axis


@dataclass(frozen=True, eq=False)
class _Normal:
    """Normal equations: A (D, D) and gradient (D,); of the blocks V (Nb, d, d), gradient (Nb, d) and W (Nb, d, D)."""

    cost: float
    A: Floats
    gradient: Floats
    V: Floats
    block_gradient: Floats
    W: Floats


@dataclass(frozen=True, eq=False)
class _Setup:
    """A prepared problem: rows by camera, layout of the unknowns, places and moments of the blocks."""

    problem: Problem
    rows: tuple[Rows, ...]
    layout: Layout
    block_at: NDArray[np.intp]
    block_moment: NDArray[np.intp]
    piece: Ints
    motion: Floats | None = None


def adjust(problem: Problem, *, iterations: int = _ITERATIONS, tolerance: float = _TOLERANCE) -> Solution:
    """The best fit to a problem from its initial estimate.

    The robust kernel only reduces the weight of outliers: exclude them through `used` and call again.
    """
    setup, state = _set_up(problem)
    here = _normal(setup, state)
    damping, growth, done, step = 1e-4, 2.0, False, 0
    while step < iterations and not done:
        step += 1
        shared, blocks = _solve(here, damping)
        trial = apply_step(state, setup.layout, shared, blocks, setup.block_at)
        cost = _cost(setup, trial)
        predicted = 0.5 * float(
            shared @ (damping * np.diagonal(here.A) * shared - here.gradient)
            + (blocks * (damping * np.diagonal(here.V, axis1=1, axis2=2) * blocks - here.block_gradient)).sum()
        )
        gain = (here.cost - cost) / max(predicted, 1e-300)
        if np.isfinite(cost) and cost <= here.cost:
            if gain > _STRAIGHT:
                trial, cost = _extend_step(setup, state, trial, shared, blocks, cost)
            done = here.cost - cost <= tolerance * here.cost
            state = trial
            here = _normal(setup, state)
            damping, growth = max(damping * max(1 / 3, 1 - (2 * min(gain, 1.0) - 1) ** 3), 1e-12), 2.0
        else:
            done = predicted <= 1e-3 * tolerance * here.cost or damping > 1e12
            damping, growth = damping * growth, growth * 2
    return _solution(setup, state, here, step, done)


def _extend_step(
    setup: _Setup, start: State, trial: State, shared: Floats, blocks: Floats, cost: float
) -> tuple[State, float]:
    """Try 2 to 32 times the step while the cost falls: with reweighted outliers, steps come out too short."""
    for factor in (2.0, 4.0, 8.0, 16.0, 32.0):
        beyond = apply_step(start, setup.layout, factor * shared, factor * blocks, setup.block_at)
        lower = _cost(setup, beyond)
        if not lower < cost:
            break
        trial, cost = beyond, lower
    return trial, cost


def _set_up(problem: Problem) -> tuple[_Setup, State]:
    seen, piece = problem.observations, problem.observations.target.of_piece
    still = problem.free_points is None
    known = np.isfinite(problem.world_from_body).all((1, 2)) if still else np.ones(len(seen.moments), bool)
    used = np.asarray(problem.used & seen.seen & np.asarray(known)[None, :, None])
    if problem.free_points is not None:
        used = np.asarray(used & np.isfinite(problem.free_points).all(-1))
    if problem.free_points is not None:
        block_at = np.flatnonzero(used.any(0))
        block_of, block_moment, width = np.full(used[0].size, -1), block_at // used.shape[2], 3
    else:
        block_at = np.flatnonzero(used.any((0, 2)))
        block_of, block_moment, width = np.full(len(seen.moments), -1), block_at, POSE if problem.bodies_free else 0
    block_of[block_at] = np.arange(len(block_at))
    noise = np.ones(len(seen.views)) if problem.noise is None else problem.noise
    rows = []
    for view, lens in enumerate(problem.lenses):
        moment, point = np.nonzero(used[view])
        block = block_of[moment * used.shape[2] + point if width == 3 else moment]
        over = 1 / (seen.sigma[view, moment, point] * noise[view])
        rows.append(Rows.of(lens, moment, point, block, seen.xy[view, moment, point], over))
    offsets_free = np.zeros(len(seen.views), bool) if problem.offsets_free is None else problem.offsets_free
    poses = np.repeat(problem.poses_free[:, None], POSE, 1)
    free = np.concatenate([poses, problem.lens_free, offsets_free[:, None]], 1)
    pieces = len(problem.body_from_piece) - 1 if problem.pieces_free and still else 0
    points = len(seen.target) if problem.shape_sigma_m > 0 and still else 0
    layout = Layout.of(free, pieces, points, len(block_at), width)
    offset_s = np.zeros(len(seen.views)) if problem.offset_s is None else problem.offset_s
    state = State(
        np.stack([lens_numbers(lens) for lens in problem.lenses]),
        np.array(problem.cam_from_world),
        np.array(problem.world_from_body),
        np.array(problem.body_from_piece),
        np.array(seen.target.points if problem.points is None else problem.points),
        None if problem.free_points is None else np.array(problem.free_points),
        np.array(offset_s),
    )
    motion = None
    if offsets_free.any() or offset_s.any() or problem.jitter_s > 0:
        motion = motions(state, piece, common_time(seen.time_s))
        rows = [_rows_with_motion(row, motion) for row in rows]
    world = state.world_points(piece)
    rows = [_visible_rows(row, view, state, world, motion) for view, row in enumerate(rows)]
    if problem.jitter_s > 0 and motion is not None:
        speeds = [image_speed(state, view, row, world, motion, piece) for view, row in enumerate(rows)]
        rows = [replace(row, along=problem.jitter_s * speed) for row, speed in zip(rows, speeds, strict=True)]
    return _Setup(problem, tuple(rows), layout, block_at, block_moment, piece, motion), state


def common_time(time_s: Floats) -> Floats:
    """Mean time (T,) s of the moments over all cameras' timestamps (C, T), NaN where no camera has one."""
    known = np.isfinite(time_s)
    return np.asarray(np.where(known, time_s, 0).sum(0) / np.where(known.any(0), known.sum(0), np.nan))


def _rows_with_motion(rows: Rows, motion: Floats) -> Rows:
    """The rows at which the target's motion is known."""
    good = np.isfinite(motion[:, rows.moment, rows.point]).all((0, 2))
    return _select_rows(rows, np.asarray(good))


def _visible_rows(rows: Rows, view: int, state: State, world: Floats, motion: Floats | None) -> Rows:
    """The rows whose points a state has in front of the camera: the others have no finite residual."""
    return _select_rows(rows, np.asarray(np.isfinite(residuals(state, view, rows, world, motion)).all(-1)))


def _select_rows(rows: Rows, which: Bools) -> Rows:
    cut = {name: getattr(rows, name)[which] for name in ("moment", "point", "block", "xy", "over")}
    return replace(rows, **cut)


def _robust(residual: Floats, huber: float) -> tuple[float, Floats]:
    """Half the robust sum of squared residuals (M, 2), and the weights (M,) of their squares."""
    square = (residual**2).sum(-1)
    far = square > huber**2
    distance = np.sqrt(np.where(far, square, 1.0))
    cost = 0.5 * float(np.where(far, 2 * huber * distance - huber**2, square).sum())
    return cost, np.where(far, huber / distance, 1.0)


def _prior(setup: _Setup, state: State) -> tuple[float, Floats, Floats]:
    """Half the priors' cost, their gradient (C, 22) and information (C, 22, 22) by poses and lenses."""
    problem, views = setup.problem, len(setup.problem.lenses)
    deviation, information = np.zeros((views, OFFSET)), np.zeros((views, OFFSET, OFFSET))
    if problem.prior_information is not None and problem.prior_mean is not None:
        deviation[:, POSE:] = state.lens - problem.prior_mean
        information[:, POSE:, POSE:] = problem.prior_information
    if problem.pose_information is not None and problem.pose_mean is not None:
        moved = state.cam_from_world @ np.linalg.inv(problem.pose_mean)
        deviation[:, :3], deviation[:, 3:POSE] = vector_from_rotation(moved[:, :3, :3]), moved[:, :3, 3]
        information[:, :POSE, :POSE] = problem.pose_information
    gradient = np.einsum("cij,cj->ci", information, deviation)
    return 0.5 * float((deviation * gradient).sum()), gradient, information


def _shape_cost(setup: _Setup, state: State) -> tuple[float, Floats]:
    if setup.layout.shape.stop == setup.layout.shape.start:
        return 0.0, np.zeros(0)
    deviation = (state.points - setup.problem.observations.target.points).ravel() / setup.problem.shape_sigma_m
    return 0.5 * float(deviation @ deviation), deviation / setup.problem.shape_sigma_m


def _cost(setup: _Setup, state: State) -> float:
    if not (state.lens[:, :2] > 0).all():
        return float("inf")
    world = state.world_points(setup.piece)
    total = _prior(setup, state)[0] + _shape_cost(setup, state)[0]
    for view, rows in enumerate(setup.rows):
        residual = residuals(state, view, rows, world, setup.motion)
        if not np.isfinite(residual).all():
            return float("inf")
        total += _robust(residual, setup.problem.huber)[0]
    return total


def _normal(setup: _Setup, state: State) -> _Normal:
    """The normal equations at a state."""
    layout, d = setup.layout, setup.layout.width
    A, gradient = np.zeros((layout.size, layout.size)), np.zeros(layout.size)
    V, block_gradient = np.zeros((layout.blocks, d, d)), np.zeros((layout.blocks, d))
    W = np.zeros((layout.blocks, d, layout.size))
    cost, prior_gradient, information = _prior(setup, state)
    world = state.world_points(setup.piece)
    for view, rows in enumerate(setup.rows):
        if not len(rows.moment):
            continue
        part = linearise(state, view, rows, layout, world, setup.motion, setup.piece)
        own, weight = _robust(part.residual, setup.problem.huber)
        cost += own
        root = np.sqrt(weight)[:, None]
        residual, shared, block = part.residual * root, part.shared * root[..., None], part.block * root[..., None]
        at = _column_indices(layout, view)
        flat = shared.reshape(2 * len(shared), shared.shape[-1])
        A[np.ix_(at, at)] += flat.T @ flat
        gradient[at] += residual.ravel() @ flat
        if d:
            starts = np.flatnonzero(np.diff(rows.block, prepend=-1))
            of = rows.block[starts]
            V[of] += np.add.reduceat(block.swapaxes(1, 2) @ block, starts)
            block_gradient[of] += np.add.reduceat((block.swapaxes(1, 2) @ residual[..., None])[..., 0], starts)
            W[of[:, None], :, at] += np.add.reduceat(block.swapaxes(1, 2) @ shared, starts).swapaxes(1, 2)
    for view, (free, columns) in enumerate(zip(layout.free, layout.columns, strict=True)):
        known = free[free < OFFSET]
        at = np.arange(columns.start, columns.stop)[free < OFFSET]
        A[np.ix_(at, at)] += information[view][np.ix_(known, known)]
        gradient[at] += prior_gradient[view][known]
    shape_cost, shape_gradient = _shape_cost(setup, state)
    if shape_gradient.size:
        at = np.arange(layout.shape.start, layout.shape.stop)
        A[at, at] += 1 / setup.problem.shape_sigma_m**2
        gradient[at] += shape_gradient
    return _Normal(cost + shape_cost, A, gradient, V, block_gradient, W)


def _column_indices(layout: Layout, view: int) -> NDArray[np.intp]:
    columns = layout.columns[view]
    shared = np.arange(layout.pieces.start, layout.shape.stop)
    return np.concatenate([np.arange(columns.start, columns.stop), shared])


def _damped(V: Floats, damping: float) -> Floats:
    """The blocks with damped diagonals, never singular."""
    out = np.array(V)
    index = np.arange(V.shape[-1])
    largest = V[:, index, index].max(-1, initial=0.0)[:, None]
    out[:, index, index] += damping * V[:, index, index] + _RIDGE * largest + 1e-300
    return out


def _eliminate(normal: _Normal, damping: float) -> tuple[Floats, Floats, Floats]:
    """The blocks' Cholesky roots, and L^-1 W (Nb d, D) and L^-1 gradient (Nb d,)."""
    root = np.linalg.cholesky(_damped(normal.V, damping))
    both = np.concatenate([normal.W, normal.block_gradient[..., None]], -1)
    eliminated = np.linalg.solve(root, both).reshape(-1, both.shape[-1])
    return np.asarray(root), np.asarray(eliminated[:, :-1]), np.asarray(eliminated[:, -1])


def _solve(normal: _Normal, damping: float) -> tuple[Floats, Floats]:
    """A damped step: of the shared unknowns (D,) and of the blocks (Nb, d)."""
    S, right = np.array(normal.A), -normal.gradient
    index = np.arange(len(S))
    if normal.V.size:
        root, across, reduced = _eliminate(normal, damping)
        S -= across.T @ across
        right = right + across.T @ reduced
    S[index, index] += damping * np.diagonal(normal.A) + _RIDGE * max(np.diagonal(normal.A).max(initial=0.0), 1e-300)
    scale = 1 / np.sqrt(np.maximum(np.diagonal(normal.A), 1e-300))
    shared = scale * np.linalg.solve(S * scale * scale[:, None], scale * right) if len(S) else right
    if not normal.V.size:
        return shared, np.zeros(normal.block_gradient.shape)
    right_blocks = -(reduced + across @ shared).reshape(normal.block_gradient.shape)
    return np.asarray(shared), np.asarray(np.linalg.solve(root.swapaxes(1, 2), right_blocks[..., None])[..., 0])


def _solution(setup: _Setup, state: State, normal: _Normal, iterations: int, converged: bool) -> Solution:
    problem, layout = setup.problem, setup.layout
    S = np.array(normal.A)
    if normal.V.size:
        _, across, _ = _eliminate(normal, 0.0)
        S -= across.T @ across
    full = np.full((*problem.observations.sigma.shape, 2), np.nan)
    fitted = np.zeros(problem.observations.sigma.shape, bool)
    world = state.world_points(setup.piece)
    seen = problem.observations
    for view in range(len(seen.views)):
        row = setup.rows[view]
        fitted[view, row.moment, row.point] = True
        moment, point = np.nonzero(seen.seen[view])
        xy, ones = seen.xy[view, moment, point], np.ones(len(moment))
        every = replace(row, moment=moment, point=point, xy=xy, over=ones, block=moment, along=None)
        full[view, moment, point] = residuals(state, view, every, world, setup.motion)
        if setup.motion is not None and row.along is not None:
            speed = image_speed(state, view, every, world, setup.motion, setup.piece)
            full[view, moment, point] += np.nan_to_num(speed) * _lateness(setup, state, view, row)[moment, None]
    return Solution(
        problem,
        tuple(lens_of(numbers, lens) for numbers, lens in zip(state.lens, problem.lenses, strict=True)),
        state.cam_from_world,
        state.world_from_body,
        state.body_from_piece,
        state.points,
        state.free,
        state.offset_s,
        full,
        fitted,
        layout.columns,
        layout.free,
        S,
        _scores(setup, state, normal),
        normal.cost,
        iterations,
        converged,
    )


def _lateness(setup: _Setup, state: State, view: int, rows: Rows) -> Floats:
    """Estimated delay (T,) s of each image of a camera, shrunk by the prior; zero where unknown."""
    delay, sigma = picture_times(setup, state, view, rows)
    with np.errstate(invalid="ignore"):
        shrunk = delay / (1 + (sigma / setup.problem.jitter_s) ** 2)
    return np.asarray(np.nan_to_num(shrunk))


def picture_times(setup: _Setup, state: State, view: int, rows: Rows) -> tuple[Floats, Floats]:
    """Delay (T,) s of each image of a camera from its observations alone, and its standard deviation (T,)."""
    out = np.full((2, len(setup.problem.observations.moments)), np.nan)
    if rows.along is None or not len(rows.moment):
        return out[0], out[1]
    unwhitened = replace(rows, along=None)
    residual = residuals(state, view, unwhitened, state.world_points(setup.piece), setup.motion)
    starts = np.flatnonzero(np.diff(rows.moment, prepend=-1))
    length = np.maximum(np.add.reduceat((rows.along**2).sum(-1), starts), 1e-300)
    projection = np.add.reduceat((rows.along * residual).sum(-1), starts)
    scale = setup.problem.jitter_s
    out[0, rows.moment[starts]], out[1, rows.moment[starts]] = -scale * projection / length, scale / np.sqrt(length)
    return out[0], out[1]


def lateness(problem: Problem) -> tuple[Floats, Floats]:
    """Delay (C, T) s of every image from its own observations, and its sigma (C, T), at the initial estimate."""
    setup, state = _set_up(problem)
    both = [picture_times(setup, state, view, rows) for view, rows in enumerate(setup.rows)]
    return np.stack([delay for delay, _ in both]), np.stack([sigma for _, sigma in both])


def _scores(setup: _Setup, state: State, normal: _Normal) -> Floats:
    """Gradient (T, D) of every moment's cost by the shared unknowns, its own block eliminated."""
    layout = setup.layout
    scores = np.zeros((len(setup.problem.observations.moments), layout.size))
    world = state.world_points(setup.piece)
    for view, rows in enumerate(setup.rows):
        if not len(rows.moment):
            continue
        part = linearise(state, view, rows, layout, world, setup.motion, setup.piece)
        weight = _robust(part.residual, setup.problem.huber)[1]
        gradients = (part.shared * (part.residual * weight[:, None])[..., None]).sum(1)
        starts = np.flatnonzero(np.diff(rows.moment, prepend=-1))
        scores[rows.moment[starts, None], _column_indices(layout, view)[None]] += np.add.reduceat(gradients, starts)
    if normal.V.size:
        solved = np.linalg.solve(_damped(normal.V, 0.0), normal.block_gradient[..., None])
        eliminated = (normal.W.swapaxes(1, 2) @ solved)[..., 0]
        np.subtract.at(scores, setup.block_moment, eliminated)
    return scores


def information_by_moment(problem: Problem) -> Floats:
    """Information (T, D, D) of each moment alone about the shared unknowns: its block eliminated, without priors."""
    setup, state = _set_up(problem)
    layout = setup.layout
    moments = len(problem.observations.moments)
    A = np.zeros((moments, layout.size, layout.size))
    world = state.world_points(setup.piece)
    for view, rows in enumerate(setup.rows):
        if not len(rows.moment):
            continue
        part = linearise(state, view, rows, layout, world, setup.motion, setup.piece)
        starts, at = np.flatnonzero(np.diff(rows.moment, prepend=-1)), _column_indices(layout, view)
        square = np.add.reduceat(part.shared.swapaxes(1, 2) @ part.shared, starts)
        A[rows.moment[starts][:, None, None], at[:, None], at[None]] += square
    normal = _normal(setup, state)
    if normal.V.size:
        eliminated = normal.W.swapaxes(1, 2) @ np.linalg.solve(_damped(normal.V, 0.0), normal.W)
        np.subtract.at(A, setup.block_moment, eliminated)
    return A
