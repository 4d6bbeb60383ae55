"""Errors of reconstructed points that a calibration causes: predicted, measured between halves, and held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calib import bundle, geometry
from calib.arrays import Bools, Floats
from calib.bundle.equations import CAMERA, LENS, Layout, Rows, State, lens_numbers, linearise
from calib.bundle.problem import Problem, Solution
from calib.calibration import POSE, Accuracy
from calib.camera import Camera
from calib.rig import Rig

_GRID = 8  # places along each side of the volume
_BLOCKS = 20  # stretches of moments that alternate between the halves: neighbours in time share their errors
_LONG = 8  # least moments in a stretch with time offsets: at its ends the target's motion is unknown
_LEAST = 12  # least moments for a comparison of halves


def measure_accuracy(solution: Solution, covariance: Floats, columns: Mapping[str, slice]) -> Accuracy:
    """The accuracy of a solution, over the volume in which its target was seen."""
    rig = rig_of(solution)
    places, shared = seen_volume(rig, seen_points(solution))
    predicted = predicted_error(rig, covariance, columns, places)
    halves, px, where, errors = _cross_validate(solution, rig, places)
    error = float(np.sqrt((errors**2).mean())) if errors.size else float("nan")
    return Accuracy(places, shared, predicted, halves, px, error, where, errors)


def rig_of(solution: Solution) -> Rig:
    """The cameras of a solution as a rig."""
    return Rig(tuple(Camera(lens, pose) for lens, pose in zip(solution.lenses, solution.cam_from_world, strict=True)))


def seen_points(solution: Solution) -> Floats:
    """World positions (N, 3) m of all target points that two or more cameras saw; one, for a single camera."""
    seen = solution.problem.used & solution.problem.observations.seen
    least = min(2, len(solution.lenses))
    target = solution.problem.observations.target
    world = solution.free_points
    if world is None:
        in_body = geometry.transform(solution.body_from_piece[target.of_piece], solution.points)
        world = geometry.transform(solution.world_from_body[:, None], in_body[None])
    points = np.broadcast_to(world, (*seen.shape[1:], 3))[seen.sum(0) >= least]
    return np.asarray(points[np.isfinite(points).all(-1)])


def seen_volume(rig: Rig, points: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """A grid of places (G, 3) m in the box of the target (N, 3) that two cameras see, and the number that see each."""
    if len(points) < 2 or len(rig) < 2:
        return np.zeros((0, 3)), np.zeros(0, np.intp)
    low, high = np.percentile(points, [1, 99], axis=0)
    axes = [np.linspace(a, b, _GRID) for a, b in zip(low, high, strict=True)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    shared = np.isfinite(_seen_in_picture(rig, places)).all(-1).sum(0)
    return places[shared >= 2], shared[shared >= 2]


def trusted_covariance(solution: Solution) -> Floats:
    """Covariance of the shared unknowns from the noise, scaled up where the moments scatter more."""
    plain = solution.covariance(scatter=False)
    if not plain.size:
        return plain
    scattered = solution.covariance()
    known = np.diagonal(plain) > 0
    if not known.any():
        return plain
    ratio = np.diagonal(scattered)[known] / np.diagonal(plain)[known]
    return np.asarray(plain * max(1.0, float(np.exp(np.log(np.maximum(ratio, 1e-3)).mean()))))


def predicted_error(rig: Rig, covariance: Floats, columns: Mapping[str, slice], places: ArrayLike) -> Floats:
    """One standard deviation (G,) m of triangulated places (G, 3), without the rigid motion of all together.

    covariance (D, D) and columns by camera as in `Calibration`. NaN where fewer than two cameras see a place. The
    places have to cover the volume in question: the error that all of them share counts as that rigid motion.
    """
    places = np.asarray(places, np.float64).reshape(-1, 3)
    xy = _seen_in_picture(rig, places)
    shared = np.isfinite(xy).all(-1).sum(0) >= 2
    out = np.full(len(places), np.nan)
    if not shared.any():
        return out
    derivatives = _point_derivatives(rig, columns, len(covariance), places[shared], xy[:, shared])
    derivatives -= _rigid_part(places[shared], derivatives)
    values, vectors = np.linalg.eigh(covariance)
    spread = derivatives @ (vectors * np.sqrt(np.maximum(values, 0)))
    out[shared] = np.sqrt((spread**2).reshape(int(shared.sum()), -1).sum(-1))
    return out


def _point_derivatives(rig: Rig, columns: Mapping[str, slice], unknowns: int, places: Floats, xy: Floats) -> Floats:
    """Derivatives (3 G, D) of triangulated places by the numbers of the cameras that see them."""
    state = State(
        np.stack([lens_numbers(camera.lens) for camera in rig]),
        rig.cam_from_world,
        np.zeros((0, 4, 4)),
        np.zeros((0, 4, 4)),
        np.zeros((0, 3)),
        places[None],
        np.zeros(len(rig)),
    )
    free = np.zeros((len(rig), CAMERA), bool)
    for view, camera in enumerate(rig):
        free[view, : POSE + 4 + camera.lens.distortion.size] = True
    layout = Layout.of(free, 0, 0, len(places), 3)
    curvature, mixed = np.zeros((len(places), 3, 3)), np.zeros((len(places), 3, unknowns))
    zero_index = np.zeros(len(places), np.intp)
    for view, camera in enumerate(rig):
        inside = np.flatnonzero(np.isfinite(xy[view]).all(-1))
        here, ones = xy[view, inside], np.ones(len(inside))
        rows = Rows.of(camera.lens, zero_index[: len(inside)], inside, inside, here, ones)
        part = linearise(state, view, rows, layout, places[None], None, zero_index)
        across = part.block.swapaxes(1, 2)
        curvature[inside] += across @ part.block
        mixed[inside, :, columns[camera.name]] += across @ part.shared
    return np.asarray(-np.linalg.solve(curvature, mixed).reshape(-1, unknowns))


def _rigid_part(places: Floats, derivatives: Floats) -> Floats:
    """The part of small motions (3 G, D) that is a rotation or a shift of all places (G, 3) together."""
    centred = places - places.mean(0)
    modes = np.zeros((len(places), 3, 6))
    for axis in range(3):
        modes[:, axis, axis] = 1.0
        modes[:, :, 3 + axis] = np.cross(np.eye(3)[axis], centred)
    basis, _ = np.linalg.qr(modes.reshape(-1, 6))
    return np.asarray(basis @ (basis.T @ derivatives))


def _cross_validate(solution: Solution, rig: Rig, places: Floats) -> tuple[Floats, float, Floats, Floats]:
    """Difference of the halves (G,) m, and held out: px RMS, places (H, 3) and errors (H,) m of board points."""
    nothing = np.full(len(places), np.nan), float("nan"), np.zeros((0, 3)), np.zeros(0)
    problem = solution.problem
    active = np.flatnonzero((problem.used & problem.observations.seen).any((0, 2)))
    if len(active) < _LEAST or len(rig) < 2 or problem.observations.target.still:
        return nothing
    half = np.zeros(len(problem.observations.moments), np.intp)
    stretches = min(_BLOCKS, len(active) // (_LONG if _has_time_errors(problem) else 3))
    half[active] = (np.arange(len(active)) * stretches // len(active)) % 2
    found, squares, counts, where, errors_m = [], 0.0, 0, [], []
    for part in (0, 1):
        fitted = bundle.adjust(_fold_problem(solution, half == part), iterations=15, tolerance=1e-6)
        if not np.isfinite(fitted.cost):
            return nothing
        own = rig_of(fitted)
        found.append(own.triangulate(_seen_in_picture(rig, places)) if len(places) else places)
        kept: Bools = np.asarray(problem.used & problem.observations.seen & (half != part)[None, :, None])
        held_out = bundle.adjust(_held_out_problem(fitted, solution, kept), iterations=10, tolerance=1e-5)
        residual = held_out.residual[held_out.fitted & np.isfinite(held_out.residual).all(-1)]
        squares, counts = squares + float((residual**2).sum()), counts + residual.size
        if problem.free_points is None:
            places_here, errors = _board_errors(own, held_out, half != part)
            where.append(places_here)
            errors_m.append(errors)
    scale, turn, shift = geometry.similarity(found[0], found[1], scale=False)
    halves = np.linalg.norm(scale * found[0] @ turn.T + shift - found[1], axis=-1) / 2
    px = float(np.sqrt(squares / counts)) if counts else float("nan")
    return halves, px, np.concatenate([np.zeros((0, 3)), *where]), np.concatenate([np.zeros(0), *errors_m])


def _seen_in_picture(rig: Rig, places: Floats) -> Floats:
    xy = rig.project(places)
    sizes = np.array([camera.size for camera in rig])[:, None]
    with np.errstate(invalid="ignore"):
        inside = np.asarray(((xy > -0.5) & (xy < sizes - 0.5)).all(-1))
    return np.where(inside[..., None], xy, np.nan)


def _has_time_errors(problem: Problem) -> bool:
    return problem.jitter_s > 0 or (problem.offset_s is not None and bool(np.any(problem.offset_s)))


def _fold_problem(solution: Solution, moments: Bools) -> Problem:
    """The solution's problem with some moments only, starting from the solution.

    Poses at other moments are unknown: the target's motion must not come from poses of another rig.
    """
    return _at_moments(solution, solution.world_from_body, solution.free_points, solution.problem.used, moments)


def _at_moments(solution: Solution, bodies: Floats, points: Floats | None, used: Bools, moments: Bools) -> Problem:
    """A solution's problem with the target's poses and observations at some moments, and none at the others."""
    return replace(
        solution.continued(),
        world_from_body=np.where(moments[:, None, None], bodies, np.nan),
        free_points=None if points is None else np.where(moments[:, None, None], points, np.nan),
        used=used & moments[None, :, None],
    )


def _held_out_problem(solution: Solution, start: Solution, used: Bools) -> Problem:
    """The problem in which only the target's poses at held-out moments, initially those of `start`, are free."""
    cameras = len(solution.lenses)
    return replace(
        _at_moments(solution, start.world_from_body, start.free_points, used, np.asarray(used.any((0, 2)))),
        lens_free=np.zeros((cameras, LENS), bool),
        poses_free=np.zeros(cameras, bool),
        pieces_free=False,
        shape_sigma_m=0.0,
        offsets_free=None,
    )


def _board_errors(rig: Rig, held_out: Solution, moments: Bools) -> tuple[Floats, Floats]:
    """Centres (H, 3) of boards at some moments, and RMS error (H,) m of their triangulated points against the shape."""
    problem = held_out.problem
    seen = problem.observations
    xy = np.where(problem.used[..., None], seen.xy, np.nan)[:, moments]
    points = rig.triangulate(xy)
    shape = geometry.transform(held_out.body_from_piece[seen.target.of_piece], held_out.points)
    middles, errors = [], []
    for row in points:
        good = np.isfinite(row).all(-1)
        if good.sum() < 6:
            continue
        _, turn, shift = geometry.similarity(shape[good], row[good], scale=False)
        deviation = shape[good] @ turn.T + shift - row[good]
        middles.append(row[good].mean(0))
        errors.append(np.sqrt((deviation**2).sum(-1).mean()))
    return np.array(middles).reshape(-1, 3), np.array(errors)
