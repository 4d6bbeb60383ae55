"""Which lens parameters the images determine, and what to film where they do not."""

from __future__ import annotations

import numpy as np

from calib.arrays import Floats
from calib.calibration import Finding, Severity

_CELLS = 5  # a side, of the image's coverage
_UNSURE, _UNKNOWN = 0.005, 0.03  # relative standard deviation of the focal length: limits of a finding
_TILT_DEG = 15.0
_REACH, _REACH_LEAST = 0.7, 0.35  # of the distance from the centre to the corner of the image
_FEW = 8


def tilts_deg(poses: Floats) -> Floats:
    """Angle (T,) between the normals of boards at poses (T, 4, 4) and the line of sight to them, degrees."""
    sight = poses[:, :3, 3] / np.linalg.norm(poses[:, :3, 3], axis=-1, keepdims=True)
    facing = np.abs((poses[:, :3, 2] * sight).sum(-1))
    return np.asarray(np.rad2deg(np.arccos(np.clip(facing, 0, 1))))


def coverage(xy: Floats, size: tuple[int, int], cells: int = _CELLS) -> Floats:
    """Number of points (..., 2) px in each of cells x cells parts of the image, (cells, cells) by row."""
    points = xy[np.isfinite(xy).all(-1)]
    at = np.clip((points + 0.5) / np.array(size) * cells, 0, cells - 1).astype(int)
    out = np.zeros((cells, cells))
    np.add.at(out, (at[:, 1], at[:, 0]), 1)
    return out


def focal_findings(view: str, unsure: float, poses: Floats) -> list[Finding]:
    """Findings on a focal length of relative standard deviation `unsure`, from boards at poses (T, 4, 4)."""
    if unsure <= _UNSURE:
        return []
    tilt = float(np.percentile(tilts_deg(poses), 90)) if len(poses) else 0.0
    severity: Severity = "refuse" if unsure > _UNKNOWN or tilt < _TILT_DEG else "limit"
    if tilt < _TILT_DEG:  # then a small error of the print becomes a large one of the lens
        what = (
            f"the board nearly always faces the camera (tilted by {tilt:.0f} degrees at most), so its focal length "
            "and its distance cannot be distinguished"
        )
        return [
            Finding(severity, view, what, "film the board tilted by 30 to 45 degrees, to both sides and up and down")
        ]
    todo = "film the board nearer, so that it fills a third of the image, and tilted by 30 to 45 degrees"
    return [Finding(severity, view, f"the focal length is known to {100 * unsure:.1f} % only", todo)]


def picture_findings(view: str, xy: Floats, size: tuple[int, int]) -> list[Finding]:
    """Findings on the images of a lens: their number, and how much of the image their points xy (T, N, 2) cover."""
    findings = []
    if len(xy) < _FEW:
        what, todo = f"only {len(xy)} images constrain the lens", f"film the board in {_FEW} or more poses"
        findings.append(Finding("limit", view, what, todo))
    middle = (np.array(size) - 1) / 2
    points = xy[np.isfinite(xy).all(-1)]
    reach = float(np.percentile(np.linalg.norm(points - middle, axis=-1), 99) / np.linalg.norm(middle))
    empty = float((coverage(xy, size) == 0).mean())
    if reach < _REACH or empty > 0.5:
        what = (
            f"the board covers {100 * (1 - empty):.0f} % of the image and reaches {100 * reach:.0f} % of the way to "
            "its corners: beyond, the lens is extrapolated"
        )
        todo = "film the board at the border and in the corners of the image"
        findings.append(Finding("limit" if reach < _REACH_LEAST else "note", view, what, todo))
    return findings
