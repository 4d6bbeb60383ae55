"""The result of a calibration: the rig, the observations behind it, its accuracy, and what to do next."""

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
CAUSE, SYMPTOM = 0, 5
"""The first and the last rank of a finding among reasons."""
POSE = 6  # parameters of a pose: a small rotation and a translation, both in the camera's own frame


@dataclass(frozen=True)
class Finding:
    """A message to the user: what it is about, what was found, and what to do; phrases of plain language, no codes.

    rank: order among the reasons of a verdict, from CAUSE, something wrong with the input that makes all that follows
    wrong, to SYMPTOM, which many causes have.
    """

    severity: Severity
    about: str
    what: str
    todo: str
    rank: int = 5

    def as_dict(self) -> dict[str, str]:
        """Its texts by name."""
        return {"severity": self.severity, "about": self.about, "what": self.what, "todo": self.todo}


@dataclass(frozen=True)
class ModelTrial:
    """A lens model tried on one camera: its free parameters by name and its error on held-out moments, px RMS."""

    model: str
    free: tuple[str, ...]
    held_out_px: float
    chosen: bool


@dataclass(frozen=True, eq=False)
class LensFit:
    """A lens from pictures of one camera.

    covariance (4 + k, 4 + k) of fx fy cx cy and the coefficients, px and 1, zero where held fixed; free: names of the
    estimated ones; rms_px of the observations used; used (T,) moments; trials: every model tried, with its error.
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

    error_deg, error_m: expected error of their relative pose from these moments alone, degrees and metres; in_tree:
    whether the start used it; loop_deg, loop_m: difference between the pair's own relative pose and the finished rig's.
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
    """Errors of reconstructed points that the calibration causes, in the volume that cameras share.

    places (G, 3) m; predicted_m (G,): one standard deviation of a point's position error, after the unobservable rigid
    motion of the whole world is removed; halves_m (G,): the same measured between rigs of separate halves of the
    moments. held_out_px, held_out_m: RMS error of observations, and of board points against the board's known shape, at
    moments that the rig in use was not calibrated from; held_out_places (H, 3), held_out_errors_m (H,) of these points.
    shared_by (G,): number of cameras that see a place. NaN where not available, as with too few moments.
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

    @property
    def headline_m(self) -> float:
        """The figure to count on, m: the larger of the predicted error and that between halves; NaN without both."""
        return float(np.fmax(self.predicted_rms_m, self.halves_rms_m))


def _rms(values: Floats) -> float:
    good = values[np.isfinite(values)]
    return float(np.sqrt((good**2).mean())) if good.size else float("nan")


@dataclass(frozen=True, eq=False)
class Calibration:
    """A calibrated rig with the observations it was made from and everything that was estimated.

    observations: as given, with the refused ones listed; used (C, T, N): observations that count; residual (C, T, N, 2)
    px, NaN where not seen; world_from_body (T, 4, 4) poses of the target, NaN where unknown; body_from_piece (B, 4, 4);
    points (N, 3) m as estimated, where the target's shape was free, else as given; free_points (T, N, 3) m of a target
    of free points, else None; offset_s (C,): how much later than its timestamps each camera saw; noise_px (C,).
    covariance (D, D) of the cameras' parameters, camera by camera, with `columns[view]` the slice of a camera: rotation
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
        """RMS residual (C,) px of the observations that count: how well the model fits, not how accurate it is."""
        square = np.where(self.used, (self.residual**2).sum(-1), np.nan)
        count = np.maximum(self.used.sum((1, 2)), 1)
        return np.asarray(np.sqrt(np.nansum(square, (1, 2)) / count / 2))

    def summary(self) -> str:
        """One line: verdict, accuracy, and what to do."""
        count = f"{len(self.rig)} camera{'s' if len(self.rig) > 1 else ''}"
        error = self.accuracy.headline_m
        where = f", {1000 * error:.2g} mm in the shared volume" if np.isfinite(error) else ", accuracy unknown"
        if self.verdict == "do not use":  # the accuracy of an inconsistent calibration means nothing
            where = ""
        return f"{self.verdict}: {count}{where}; {self.reason}; next: {self.next_action}"
