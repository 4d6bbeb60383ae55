"""What the pictures of a lens can and cannot tell, and what to film about it."""

from __future__ import annotations

import numpy as np

from calib.bundle_problem import Solution
from calib.calibration import POSE, Finding
from calib.distortion import Floats

_CELLS = 5  # by side, of the picture's coverage
_UNSURE, _UNKNOWN = 0.005, 0.03  # standard deviation of the focal length, of itself
_TILT_DEG = 15.0
_REACH, _REACH_LEAST = 0.7, 0.35  # of the way from the middle to the corner of the picture
_FEW = 8


def tilts_deg(poses: Floats) -> Floats:
    """Angle (T,) between the normals of boards at poses (T, 4, 4) and the line of sight to them, degrees."""
    sight = poses[:, :3, 3] / np.linalg.norm(poses[:, :3, 3], axis=-1, keepdims=True)
    facing = np.abs((poses[:, :3, 2] * sight).sum(-1))
    return np.asarray(np.rad2deg(np.arccos(np.clip(facing, 0, 1))))


def coverage(xy: Floats, size: tuple[int, int], cells: int = _CELLS) -> Floats:
    """How many sightings (..., 2) px fall into each of cells x cells parts of the picture, (cells, cells) by row."""
    points = xy[np.isfinite(xy).all(-1)]
    at = np.clip((points + 0.5) / np.array(size) * cells, 0, cells - 1).astype(int)
    out = np.zeros((cells, cells))
    np.add.at(out, (at[:, 1], at[:, 0]), 1)
    return out


def lens_findings(solution: Solution, view: str) -> tuple[Finding, ...]:
    """What the user should know of a lens' fit to the pictures of one camera."""
    seen, lens = solution.problem.observations, solution.lenses[0]
    poses = solution.world_from_body[np.isfinite(solution.world_from_body).all((1, 2))]
    columns = {kind - POSE: index for index, kind in enumerate(solution.free[0])}
    unsure = (
        np.sqrt(max(solution.covariance(scatter=False)[columns[0], columns[0]], 0)) / lens.K[0, 0]
        if 0 in columns
        else 0
    )
    tilt = float(np.percentile(tilts_deg(poses), 90)) if len(poses) else 0.0
    findings = []
    if tilt < _TILT_DEG:
        findings.append(
            Finding(
                "refuse" if unsure > _UNKNOWN else "limit",
                view,
                f"the board nearly always faces the camera (tilted by {tilt:.0f} degrees at most), so its focal length "
                "and its distance cannot be told apart",
                "film the board tilted by 30 to 45 degrees, to both sides and up and down",
            )
        )
    elif unsure > _UNSURE:
        findings.append(
            Finding(
                "refuse" if unsure > _UNKNOWN else "limit",
                view,
                f"the focal length is known to {100 * unsure:.1f} % only",
                "film the board nearer, so that it fills a third of the picture, and tilted by 30 to 45 degrees",
            )
        )
    if len(poses) < _FEW:
        findings.append(
            Finding(
                "limit",
                view,
                f"only {len(poses)} pictures tell about the lens",
                f"film {_FEW} or more places of the board",
            )
        )
    middle = (np.array(seen.sizes[0]) - 1) / 2
    points = seen.xy[0][np.isfinite(seen.xy[0]).all(-1)]
    reach = (
        float(np.percentile(np.linalg.norm(points - middle, axis=-1), 99) / np.linalg.norm(middle))
        if len(points)
        else 0.0
    )
    empty = float((coverage(seen.xy[0], seen.sizes[0]) == 0).mean())
    if reach < _REACH or empty > 0.5:
        findings.append(
            Finding(
                "limit" if reach < _REACH_LEAST else "note",
                view,
                f"the board covers {100 * (1 - empty):.0f} % of the picture and reaches {100 * reach:.0f} % of the way "
                "to its corners: the lens is a guess beyond",
                "film the board at the border and in the corners of the picture",
            )
        )
    return tuple(findings)
