"""Checks that a board has the described shape: bent or misprinted boards fit well but give a wrong rig."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from calib import bundle, geometry
from calib.arrays import Floats
from calib.bundle.problem import Solution
from calib.calibration import Finding
from calib.quality.uncertainty import rig_of, seen_points, seen_volume

_SHAPE_SIGMA = 0.004  # standard deviation of freed points, of the board's diagonal
_BETTER = 0.05  # least share of the RMS residual that another shape has to remove
_MOVED = 0.0003  # of the distance between cameras and target: least displacement in the volume for a finding
_FAR = 0.005
_FEW_MOMENTS = 15  # with fewer, noise looks like a bent board
_STRETCHED = 0.003


def shape_findings(solution: Solution) -> list[Finding]:
    """A finding on a board whose points fit clearly better at other than the given positions.

    The points are freed with a prior, and the rigs before and after are compared in the volume of the board.
    """
    problem, target = solution.problem, solution.problem.observations.target
    flat = [piece for piece in range(len(target.pieces)) if target.rank(piece) == 2]
    moments = int(problem.used.any((0, 2)).sum())
    if problem.shape_sigma_m > 0 or target.still or not flat or len(target) < 12 or moments < _FEW_MOMENTS:
        return []
    freed = replace(solution.continued(), shape_sigma_m=_SHAPE_SIGMA * target.extent)
    other = bundle.adjust(freed, iterations=8, tolerance=1e-4)
    if not np.isfinite(other.cost) or other.cost > (1 - _BETTER) ** 2 * solution.cost:
        return []
    rig, points = rig_of(solution), other.points - target.points
    places = seen_volume(rig, seen_points(solution))[0]
    found = rig_of(other).triangulate(rig.project(places))
    if not len(places) or not np.isfinite(found).all():
        return []
    _, turn, shift = geometry.similarity(found, places, scale=False)
    moved = float(np.sqrt(((found @ turn.T + shift - places) ** 2).sum(-1).mean()))
    times = _aspect_change(other, flat)
    # Which of its two lengths is right is unknown, so the scale of the rig may have the same error.
    moved = max(moved, abs(times - 1) * float(np.sqrt(((places - places.mean(0)) ** 2).sum(-1).mean())))
    distance = float(np.median(np.linalg.norm(rig.positions[:, None] - places[None], axis=-1)))
    if moved < _MOVED * distance:
        return []
    out = 1000 * float(np.sqrt((_non_rigid(points, target.points) ** 2).sum(-1)).max())
    width = f"it is {100 * abs(times - 1):.1f} % {'wider' if times > 1 else 'narrower'} for its height than given, and "
    what = (
        f"{'' if times == 1 else width}its points lie up to {out:.1f} mm from the given positions, which displaces "
        f"points of the volume by up to about {1000 * moved:.1f} mm"
    )
    todo = "measure the print in both directions with a ruler, glue it on something flat and stiff, and film it again"
    return [Finding("refuse" if moved > _FAR * distance else "limit", "the board", what, todo)]


def _non_rigid(points: Floats, places: Floats) -> Floats:
    """Changes of points (N, 3) without their common rigid motion."""
    _, turn, shift = geometry.similarity(places + points, places, scale=False)
    return np.asarray((places + points) @ turn.T + shift - places)


def _aspect_change(other: Solution, flat: list[int]) -> float:
    """Width over height of a board, relative to the given one; 1 where the difference is negligible."""
    target = other.problem.observations.target
    if len(flat) != 1:
        return 1.0
    mine = target.of_piece == flat[0]
    given, found = (points[mine] - points[mine].mean(0) for points in (target.points, other.points))
    change = np.linalg.lstsq(given[:, :2], found[:, :2], rcond=None)[0]
    times = float(np.linalg.norm(change[0]) / np.linalg.norm(change[1]))
    return times if abs(times - 1) > _STRETCHED else 1.0
