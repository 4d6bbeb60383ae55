"""What one camera's images of the target cover: area of the image, distance, tilt, and residuals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib import geometry
from calib.arrays import Floats
from calib.calibration import Calibration, LensFit
from calib.camera import Lens

_CELLS = 10  # along the longer side of the image
_ACROSS, _DOWN = ("left", "", "right"), ("top", "", "bottom")
_THIN = 1 / 3  # share of the cells of a ninth of the image with a corner, below which its coverage is thin
_LEAST = 3  # least points of a board that give its distance and tilt


@dataclass(frozen=True, eq=False)
class Coverage:
    """Number of used observations (rows, columns) in each cell of a grid over the image."""

    counts: NDArray[np.intp]

    @property
    def image_share(self) -> float:
        """Share of the cells with an observation."""
        return float((self.counts > 0).mean())

    @property
    def border_share(self) -> float:
        """Share of the outermost cells with an observation; there distortion is largest."""
        border = np.ones(self.counts.shape, bool)
        border[1:-1, 1:-1] = False
        return float((self.counts[border] > 0).mean())

    @property
    def thin(self) -> tuple[str, ...]:
        """Names of the ninths of the image in which few cells or none have an observation."""
        names = []
        for down, rows in zip(_DOWN, np.array_split(self.counts > 0, 3, 0), strict=True):
            for across, cells in zip(_ACROSS, np.array_split(rows, 3, 1), strict=True):
                if cells.mean() < _THIN:
                    names.append(f"{down} {across}".strip() or "middle")
        return tuple(names)


@dataclass(frozen=True, eq=False)
class ViewEvidence:
    """The S used observations of one camera, and distance and tilt of the target in K detections of its pieces.

    lens is None where there is none. xy, residual (S, 2) px; distance_m (K,), tilt_deg (K,) of the piece's plane
    against the direction to it, NaN where it has no plane or no pose is known; moments: the number used.
    """

    name: str
    lens: Lens | None
    fit: LensFit | None
    connected: bool
    size: tuple[int, int]
    xy: Floats
    residual: Floats
    distance_m: Floats
    tilt_deg: Floats
    moments: int
    left_out: int

    def coverage(self) -> Coverage:
        """Observations by cell; the cells are about square."""
        width, height = self.size
        across = max(3, round(_CELLS * min(1.0, width / height)))
        down = max(3, round(_CELLS * min(1.0, height / width)))
        edges = [np.linspace(-0.5, height - 0.5, down + 1), np.linspace(-0.5, width - 0.5, across + 1)]
        counts = np.histogram2d(self.xy[:, 1], self.xy[:, 0], bins=edges)[0]
        return Coverage(counts.astype(np.intp))

    @property
    def fitted(self) -> Floats:
        """Mask (S,) of the observations with a residual."""
        return np.asarray(np.isfinite(self.residual).all(-1))

    def radius(self) -> tuple[Floats, Floats]:
        """Distance (S,) px from the principal point, and the radial part (S,) px of the residual, outward positive."""
        centre = (np.array(self.size) - 1) / 2 if self.lens is None else self.lens.K[:2, 2]
        away = self.xy - centre
        radius = np.linalg.norm(away, axis=-1)
        return radius, np.asarray((self.residual * away).sum(-1) / np.maximum(radius, 1e-9))

    def fov_deg(self) -> tuple[float, float]:
        """Field of view across and down, degrees; NaN where there is no lens or it cannot be inverted there."""
        if self.lens is None:
            return float("nan"), float("nan")
        (width, height), (cx, cy) = self.size, self.lens.K[:2, 2]
        ends = [[(-0.5, cy), (width - 0.5, cy)], [(cx, -0.5), (cx, height - 0.5)]]
        rays = geometry.rays(self.lens.undistort(ends), np.eye(4))[1]
        across, down = np.degrees(np.arccos(np.clip((rays[:, 0] * rays[:, 1]).sum(-1), -1, 1)))
        return float(across), float(down)


def view_evidence(calibration: Calibration, view: int) -> ViewEvidence:
    """Observations, coverage and fit of the view of this index, in the observations' order."""
    seen = calibration.observations
    name, used, fit = seen.views[view], calibration.used[view], calibration.lenses[view]
    connected = name in calibration.rig
    lens = calibration.rig[name].lens if connected else fit.lens if fit else None
    distance, tilt = _target_poses(calibration, view) if connected else (np.empty(0), np.empty(0))
    return ViewEvidence(
        name,
        lens,
        fit,
        connected,
        seen.sizes[view],
        seen.xy[view][used],
        calibration.residual[view][used],
        distance,
        tilt,
        int(used.any(-1).sum()),
        int((seen.seen[view] & ~used).sum()),
    )


def target_points(calibration: Calibration) -> Floats:
    """The target's points (N, 3) m in its own frame, all pieces in place; NaN where they are free."""
    of_piece = calibration.observations.target.of_piece
    pieces = calibration.body_from_piece[of_piece]
    return np.asarray(np.einsum("nij,nj->ni", pieces[:, :3, :3], calibration.points) + pieces[:, :3, 3])


def _target_poses(calibration: Calibration, view: int) -> tuple[Floats, Floats]:
    """Distances (K,) m and tilts (K,) degrees at which the camera saw each piece."""
    target, used = calibration.observations.target, calibration.used[view]
    cam_from_world = calibration.rig[calibration.observations.views[view]].cam_from_world
    if calibration.free_points is not None:
        placed = np.where(used[..., None], geometry.transform(cam_from_world, calibration.free_points), np.nan)
        distances = np.linalg.norm(_mean(placed), axis=-1)[used.any(-1)]
        return distances, np.full(len(distances), np.nan)
    body = target_points(calibration)
    distance, tilt = [np.empty(0)], [np.empty(0)]
    for piece in range(len(target.pieces)):
        on = target.of_piece == piece
        at = np.flatnonzero(used[:, on].sum(-1) >= min(_LEAST, on.sum()))
        if not at.size:
            continue
        cam_from_body = cam_from_world @ calibration.world_from_body[at]
        points = np.einsum("tij,nj->tni", cam_from_body[:, :3, :3], body[on]) + cam_from_body[:, None, :3, 3]
        centre = _mean(np.where(used[at][:, on, None], points, np.nan))
        reach = np.linalg.norm(centre, axis=-1)
        distance.append(reach)
        flat = target.rank(piece) == 2
        normal = cam_from_body[:, :3, :3] @ _normal(body[on]) if flat else np.full((len(at), 3), np.nan)
        cosine = np.abs((normal * centre).sum(-1)) / np.maximum(reach, 1e-9)
        tilt.append(np.degrees(np.arccos(np.clip(cosine, 0, 1))))
    known = np.isfinite(np.concatenate(distance))
    return np.concatenate(distance)[known], np.concatenate(tilt)[known]


def _mean(points: Floats) -> Floats:
    """Mean (T, 3) of the known points (T, N, 3); NaN where there is none."""
    known = np.asarray(np.isfinite(points).all(-1), np.float64)
    total, count = np.where(known[..., None] > 0, points, 0.0).sum(1), known.sum(1)[:, None]
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _normal(points: Floats) -> Floats:
    return np.asarray(np.linalg.svd(points - points.mean(0))[2][2])
