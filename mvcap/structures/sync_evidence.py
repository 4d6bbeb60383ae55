"""What a method of synchronisation is given, and what it finds: delays of views with covariance, evidence, refusals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from calib import Rig
from calib.arrays import Floats
from mvcap.structures.detections import Detections2D
from mvcap.structures.row_source import RowSource

CLOCK_RATE_SIGMA = 5e-5
"""Standard deviation of the rates of cameras' clocks (crystals), before anything is measured."""


@dataclass(frozen=True, eq=False)
class UnsynchronisedTake:
    """C views of one event on clocks of their own.

    footage: C files, None where there are none. first_s (C,): time of each file that is the view's own time 0.
    seconds: length of the longest view. rows, frames and rate_hz only where there are detections: rows by the views'
    own frames, of which every step-th was looked at; rig only where it is calibrated.
    """

    names: tuple[str, ...]
    footage: tuple[Path | None, ...]
    first_s: Floats
    seconds: float
    rate_hz: float = 0.0
    frames: int = 0
    rig: Rig | None = None
    rows: RowSource[Detections2D] | None = field(repr=False, default=None)
    step: int = 1


@dataclass(frozen=True, eq=False)
class PairCurve:
    """Evidence of one pair of views: score (S,) of delays (S,) s of b against a, the best delay and the next best."""

    a: int
    b: int
    delay_s: Floats = field(repr=False)
    score: Floats = field(repr=False)
    what: str
    """What the score is, for the axis of a picture."""
    best_s: float
    rival_s: float
    ratio: float
    """Score at the best over score at the next best."""


@dataclass(frozen=True, eq=False)
class SyncEvidence:
    """Delays of the views that a method could tell, up to a delay and a drift common to all.

    late_s, drift (C,): as of ``ViewOffsets``, NaN where unknown; covariance (2C, 2C) of both, NaN likewise.
    refused: why a view is unknown. figures: numbers for the record.
    """

    late_s: Floats
    drift: Floats
    covariance: Floats
    refused: Mapping[int, str]
    pairs: tuple[PairCurve, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def nothing(cls, views: int, reason: str, refused: Mapping[int, str] | None = None) -> SyncEvidence:
        """Return evidence of nothing: every view refused for one reason, or its own in `refused`."""
        unknown, why = np.full(views, np.nan), {**dict.fromkeys(range(views), reason), **(refused or {})}
        return cls(unknown, unknown, np.full((2 * views, 2 * views), np.nan), why)
