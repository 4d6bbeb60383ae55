"""How far off reconstructed points are because of a calibration: predicted, measured between halves, and left out."""

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
_BLOCKS = 20  # stretches of moments that are dealt to two halves: neighbours in time share their errors
_LONG = 8  # moments in a stretch at least where clocks differ: at its ends the target's motion is unknown
_LEAST = 12  # moments below which halves tell nothing


def measure_accuracy(solution: Solution, covariance: Floats, columns: Mapping[str, slice]) -> Accuracy:
    """The accuracy of a solution, over the volume in which its target was seen."""
    rig = rig_of(solution)
    places, shared = seen_volume(rig, seen_points(solution))
    predicted = predicted_error(rig, covariance, columns, places)
    halves, px, where, off = _left_out(solution, rig, places)
    error = float(np.sqrt((off**2).mean())) if off.size else float("nan")
    return Accuracy(places, shared, predicted, halves, px, error, where, off)


def rig_of(solution: Solution) -> Rig:
    """The cameras of a solution as a rig."""
    return Rig(tuple(Camera(lens, pose) for lens, pose in zip(solution.lenses, solution.cam_from_world, strict=True)))


def seen_points(solution: Solution) -> Floats:
    """World places (N, 3) m of all target points that two or more cameras saw, or one if there is but one."""
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
    """A grid of places (G, 3) m where the target (N, 3) was and which two cameras see, and how many see each."""
    if len(points) < 2 or len(rig) < 2:
        return np.zeros((0, 3)), np.zeros(0, np.intp)
    low, high = np.percentile(points, [1, 99], axis=0)
    axes = [np.linspace(a, b, _GRID) for a, b in zip(low, high, strict=True)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    shared = np.isfinite(_seen_in_picture(rig, places)).all(-1).sum(0)
    return places[shared >= 2], shared[shared >= 2]


def trusted_covariance(solution: Solution) -> Floats:
    """Covariance of the shared unknowns: the noise's, scaled up by how much more the moments really scatter."""
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
    """One standard deviation (G,) m of where places (G, 3) come out, without the rigid motion of all together.

    covariance (D, D) and columns by camera as in `Calibration`. NaN where fewer than two cameras see a place. The
    places have to spread over the volume that is asked about: what all of them share counts as that rigid motion.
    """
    places = np.asarray(places, np.float64).reshape(-1, 3)
    xy = _seen_in_picture(rig, places)
    shared = np.isfinite(xy).all(-1).sum(0) >= 2
    out = np.full(len(places), np.nan)
    if not shared.any():
        return out
    moves = _moves(rig, columns, len(covariance), places[shared], xy[:, shared])
    moves -= _rigid_part(places[shared], moves)
    values, vectors = np.linalg.eigh(covariance)
    spread = moves @ (vectors * np.sqrt(np.maximum(values, 0)))
    out[shared] = np.sqrt((spread**2).reshape(int(shared.sum()), -1).sum(-1))
    return out


def _moves(rig: Rig, columns: Mapping[str, slice], unknowns: int, places: Floats, xy: Floats) -> Floats:
    """How triangulated places (3 G, D) move with the numbers of the cameras that see them."""
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
    curvature, pulled = np.zeros((len(places), 3, 3)), np.zeros((len(places), 3, unknowns))
    nobody = np.zeros(len(places), np.intp)
    for view, camera in enumerate(rig):
        inside = np.flatnonzero(np.isfinite(xy[view]).all(-1))
        here, ones = xy[view, inside], np.ones(len(inside))
        rows = Rows.of(camera.lens, nobody[: len(inside)], inside, inside, here, ones)
        part = linearise(state, view, rows, layout, places[None], None, nobody)
        across = part.block.swapaxes(1, 2)
        curvature[inside] += across @ part.block
        pulled[inside, :, columns[camera.name]] += across @ part.shared
    return np.asarray(-np.linalg.solve(curvature, pulled).reshape(-1, unknowns))


def _rigid_part(places: Floats, moves: Floats) -> Floats:
    """What of small moves (3 G, D) is a turn or a shift of all places (G, 3) together."""
    centred = places - places.mean(0)
    modes = np.zeros((len(places), 3, 6))
    for axis in range(3):
        modes[:, axis, axis] = 1.0
        modes[:, :, 3 + axis] = np.cross(np.eye(3)[axis], centred)
    basis, _ = np.linalg.qr(modes.reshape(-1, 6))
    return np.asarray(basis @ (basis.T @ moves))


def _left_out(solution: Solution, rig: Rig, places: Floats) -> tuple[Floats, float, Floats, Floats]:
    """Halves' difference (G,), and of sightings left out: px RMS, places (H, 3) and errors (H,) m of board points."""
    nothing = np.full(len(places), np.nan), float("nan"), np.zeros((0, 3)), np.zeros(0)
    problem = solution.problem
    active = np.flatnonzero((problem.used & problem.observations.seen).any((0, 2)))
    if len(active) < _LEAST or len(rig) < 2 or problem.observations.target.still:
        return nothing
    half = np.zeros(len(problem.observations.moments), np.intp)
    stretches = min(_BLOCKS, len(active) // (_LONG if _out_of_step(problem) else 3))
    half[active] = (np.arange(len(active)) * stretches // len(active)) % 2
    found, squares, counts, where, off = [], 0.0, 0, [], []
    for part in (0, 1):
        fitted = bundle.adjust(_only(solution, half == part), iterations=15, tolerance=1e-6)
        if not np.isfinite(fitted.cost):
            return nothing
        own = rig_of(fitted)
        found.append(own.triangulate(_seen_in_picture(rig, places)) if len(places) else places)
        kept: Bools = np.asarray(problem.used & problem.observations.seen & (half != part)[None, :, None])
        judged = bundle.adjust(_judged(fitted, solution, kept), iterations=10, tolerance=1e-5)
        residual = judged.residual[judged.fitted & np.isfinite(judged.residual).all(-1)]
        squares, counts = squares + float((residual**2).sum()), counts + residual.size
        if problem.free_points is None:
            places_here, errors = _board_errors(own, judged, half != part)
            where.append(places_here)
            off.append(errors)
    scale, turn, shift = geometry.similarity(found[0], found[1], scale=False)
    halves = np.linalg.norm(scale * found[0] @ turn.T + shift - found[1], axis=-1) / 2
    px = float(np.sqrt(squares / counts)) if counts else float("nan")
    return halves, px, np.concatenate([np.zeros((0, 3)), *where]), np.concatenate([np.zeros(0), *off])


def _seen_in_picture(rig: Rig, places: Floats) -> Floats:
    xy = rig.project(places)
    sizes = np.array([camera.size for camera in rig])[:, None]
    with np.errstate(invalid="ignore"):
        inside = np.asarray(((xy > -0.5) & (xy < sizes - 0.5)).all(-1))
    return np.where(inside[..., None], xy, np.nan)


def _out_of_step(problem: Problem) -> bool:
    return problem.jitter_s > 0 or (problem.offset_s is not None and bool(np.any(problem.offset_s)))


def _only(solution: Solution, moments: Bools) -> Problem:
    """The solution's problem again, with some moments only, from where it stands.

    Poses at other moments are unknown: the target's motion must not be told from what another rig made of them.
    """
    return _at(solution, solution.world_from_body, solution.free_points, solution.problem.used, moments)


def _at(solution: Solution, bodies: Floats, points: Floats | None, used: Bools, moments: Bools) -> Problem:
    """A solution's problem again with the target's poses and sightings of some moments, and none of the others."""
    return replace(
        solution.continued(),
        world_from_body=np.where(moments[:, None, None], bodies, np.nan),
        free_points=None if points is None else np.where(moments[:, None, None], points, np.nan),
        used=used & moments[None, :, None],
    )


def _judged(solution: Solution, start: Solution, used: Bools) -> Problem:
    """Only the target's places at other sightings, as `start` has them, are free: what a finished rig makes of them."""
    cameras = len(solution.lenses)
    return replace(
        _at(solution, start.world_from_body, start.free_points, used, np.asarray(used.any((0, 2)))),
        lens_free=np.zeros((cameras, LENS), bool),
        poses_free=np.zeros(cameras, bool),
        pieces_free=False,
        shape_sigma_m=0.0,
        offsets_free=None,
    )


def _board_errors(rig: Rig, judged: Solution, moments: Bools) -> tuple[Floats, Floats]:
    """Middles (H, 3) of boards at some moments, and how far (H,) m their triangulated points are from their shape."""
    problem = judged.problem
    seen = problem.observations
    xy = np.where(problem.used[..., None], seen.xy, np.nan)[:, moments]
    points = rig.triangulate(xy)
    shape = geometry.transform(judged.body_from_piece[seen.target.of_piece], judged.points)
    middles, errors = [], []
    for row in points:
        good = np.isfinite(row).all(-1)
        if good.sum() < 6:
            continue
        _, turn, shift = geometry.similarity(shape[good], row[good], scale=False)
        off = shape[good] @ turn.T + shift - row[good]
        middles.append(row[good].mean(0))
        errors.append(np.sqrt((off**2).sum(-1).mean()))
    return np.array(middles).reshape(-1, 3), np.array(errors)
