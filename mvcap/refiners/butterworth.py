"""Zero-lag Butterworth filter, the standard of gait laboratories: a fixed cut-off, every joint on its own.

It only moves joints: gaps remain, bone lengths are not kept constant, covariances stay those of the triangulation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mvcap.errors import ConfigError
from mvcap.refinement.time_series import from_series, runs_of, to_series
from mvcap.structures.contracts import Evidence
from mvcap.structures.poses import Poses3D

_SHORTEST = 4  # least frames of a run that is filtered


@dataclass(frozen=True)
class ButterworthConfig:
    """Settings of the refiner ``butterworth``."""

    cutoff_hz: float = 6.0
    """Frequency, Hz, at which the amplitude has fallen to 71 %, after both passes. Raise it for quick motion; it is
    below half the frame rate."""
    order: int = 4
    """Order of both passes together, an even number."""

    def __post_init__(self) -> None:
        if self.cutoff_hz <= 0 or self.order < 2 or self.order % 2:
            raise ConfigError("butterworth: cutoff_hz must be above 0, order 2, 4, 6 ...")


class Butterworth:
    """Refiner ``butterworth``: zero-lag low-pass with a fixed cut-off, as gait laboratories use. It fills no gaps and
    does not constrain limb lengths."""

    Config = ButterworthConfig

    def __init__(self, config: ButterworthConfig) -> None:
        self.config = config

    def refine(self, poses: Poses3D, evidence: Evidence) -> Poses3D:
        """Filter each joint forward and backward in time, in each run of consecutive frames.

        Two passes narrow the band, so each is made wider (Winter, "Biomechanics and Motor Control of Human Movement",
        4th ed., section 3.4.4.2). Raises ConfigError if the frame rate is too low for the cut-off.
        """
        from scipy.signal import butter, sosfiltfilt

        half = self.config.order // 2
        cutoff = self.config.cutoff_hz / (np.sqrt(2) - 1) ** (1 / (2 * half))
        if cutoff >= evidence.rate_hz / 2:
            raise ConfigError(
                f"butterworth: cutoff_hz {self.config.cutoff_hz:g} needs more than {2 * cutoff:.3g} frames a second, "
                f"the take has {evidence.rate_hz:g}; lower it"
            )
        sections = butter(half, cutoff, fs=evidence.rate_hz, output="sos")
        series = to_series(poses)
        # Padding as long as the filter's response, or the ends would distort the middle.
        most = max(3 * (half + 1), round(evidence.rate_hz / cutoff))
        for joint in range(series.shape[1]):
            for start, stop in runs_of(np.isfinite(series[:, joint, 0])):
                if stop - start >= _SHORTEST:
                    padding = min(most, stop - start - 1)
                    run = series[start:stop, joint]
                    series[start:stop, joint] = sosfiltfilt(sections, run, axis=0, padlen=padding)
        return from_series(poses, series)
