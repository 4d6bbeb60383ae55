"""What calibrating gives: a rig, what it stands on, how good it is, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Bools, Floats
from calib.camera import Lens
from calib.observations import Observations
from calib.rig import Rig

Severity: TypeAlias = Literal["note", "limit", "refuse"]
Verdict: TypeAlias = Literal["good", "usable with limits", "do not use"]
POSE = 6  # parameters of a pose: a small rotation and a translation, both in the camera's own frame


@dataclass(frozen=True)
class Finding:
    """Something the user should know: about whom, what, and what to do; in full sentences' parts, no codes."""

    severity: Severity
    about: str
    what: str
    todo: str


@dataclass(frozen=True)
class ModelTrial:
    """A lens model tried on one camera: its free parameters by name and its error on moments left out, px RMS."""

    model: str
    free: tuple[str, ...]
    held_out_px: float
    chosen: bool


@dataclass(frozen=True, eq=False)
class LensFit:
    """A lens from pictures of one camera.

    covariance (4 + k, 4 + k) of fx fy cx cy and the coefficients, px and 1, zero for what was held; free: names of
    what was not; rms_px of the sightings used; used (T,) moments; trials: every model tried, with its error.
    """

    lens: Lens
    covariance: Floats
    free: tuple[str, ...]
    rms_px: float
    used: Bools
    trials: tuple[ModelTrial, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Pair:
    """Two cameras that saw the target at the same moments.

    expected error of their relative pose, degrees and metres, from these moments alone; loop_deg, loop_m: how far
    the pair alone is from what the finished rig says.
    """

    a: str
    b: str
    moments: int
    error_deg: float
    error_m: float
    in_tree: bool
    loop_deg: float = float("nan")
    loop_m: float = float("nan")


@dataclass(frozen=True, eq=False)
class Accuracy:
    """How far off reconstructed points are because of the calibration, in the volume that cameras share.

    places (G, 3) m; predicted_m (G,): one standard deviation of a point's distance from where it belongs, after the
    rigid motion that nobody can see is taken out; halves_m (G,): the same measured between rigs of separate halves
    of the moments. held_out_px, held_out_m: RMS error of sightings, and of board points against the board's own
    shape, at moments that took no part in the rig that judged them; held_out_places (H, 3), held_out_errors_m (H,).
    shared_by (G,) cameras that see a place. NaN where it could not be had, as where moments are too few.
    """

    places: Floats
    shared_by: NDArray[np.intp]
    predicted_m: Floats
    halves_m: Floats
    held_out_px: float
    held_out_m: float
    held_out_places: Floats
    held_out_errors_m: Floats

    @property
    def predicted_rms_m(self) -> float:
        """RMS of the predicted error over the volume, m."""
        return _rms(self.predicted_m)

    @property
    def halves_rms_m(self) -> float:
        """RMS over the volume of the error measured between halves, m."""
        return _rms(self.halves_m)


def _rms(values: Floats) -> float:
    good = values[np.isfinite(values)]
    return float(np.sqrt((good**2).mean())) if good.size else float("nan")


@dataclass(frozen=True, eq=False)
class Calibration:
    """A calibrated rig with everything it was made from and everything that is known about it.

    observations: as given, with what was refused; used (C, T, N): sightings that count; residual (C, T, N, 2) px,
    NaN where not seen; world_from_body (T, 4, 4) poses of the target, NaN where unknown; body_from_piece (B, 4, 4);
    points (N, 3) m as found, where the target's shape was free, else as given; free_points (T, N, 3) m of a target
    of free points, else None; offset_s (C,): how much later than its clock says each camera saw.
    covariance (D, D) of the cameras' parameters one after the other, `columns[view]` (slice) says which: rotation
    (3, radians) and translation (3, m) as a small motion in the camera's frame, fx fy cx cy px, coefficients.
    """

    rig: Rig
    observations: Observations
    used: Bools
    residual: Floats
    world_from_body: Floats
    body_from_piece: Floats
    points: Floats
    free_points: Floats | None
    offset_s: Floats
    noise_px: Floats
    columns: dict[str, slice]
    covariance: Floats
    lenses: tuple[LensFit | None, ...]
    pairs: tuple[Pair, ...]
    unconnected: tuple[str, ...]
    accuracy: Accuracy
    findings: tuple[Finding, ...]
    verdict: Verdict
    reason: str
    next_action: str

    @property
    def rms_px(self) -> Floats:
        """RMS residual (C,) px of the sightings that count: how well the model fits, not how accurate it is."""
        square = np.where(self.used, (self.residual**2).sum(-1), np.nan)
        count = np.maximum(self.used.sum((1, 2)), 1)
        return np.asarray(np.sqrt(np.nansum(square, (1, 2)) / count / 2))

    def summary(self) -> str:
        """One line: verdict, accuracy, and what to do."""
        count = f"{len(self.rig)} camera{'s' if len(self.rig) > 1 else ''}"
        error = self.accuracy.predicted_rms_m
        where = f", {1000 * error:.2g} mm in the shared volume" if np.isfinite(error) else ", accuracy unknown"
        if self.verdict == "do not use":  # what contradicts itself has no accuracy
            where = ""
        return f"{self.verdict}: {count}{where}; {self.reason}; next: {self.next_action}"
