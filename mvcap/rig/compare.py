"""How two calibrations differ: ``mvcap rig compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from calib import Rig, load_rig
from calib.compare import Comparison
from calib.compare import compare as compared
from calib.report.json_values import json_values


def compare(
    a: str | Path | Rig, b: str | Path | Rig, *, unit: str | float | None = None, scale: bool = False
) -> Comparison:
    """How rig b differs from rig a; `unit` is that of files that declare none. See `calib.compare.compare`."""
    first, second = (one if isinstance(one, Rig) else load_rig(one, unit=unit) for one in (a, b))
    return compared(first, second, scale=scale)


def comparison_dict(comparison: Comparison) -> dict[str, Any]:
    """A comparison as plain values, None where a number is not known, the points in the volume as a summary."""
    found = comparison.points_mm[np.isfinite(comparison.points_mm)]
    points: dict[str, Any] = {"count": int(found.size), "of": len(comparison.points_mm)}
    if found.size:
        points |= {"rms_mm": comparison.volume_rms_mm, "median_mm": float(np.median(found)),
                   "p95_mm": float(np.percentile(found, 95)), "max_mm": float(found.max())}  # fmt: skip
    return {
        "alignment": "similarity" if comparison.scaled else "rigid",
        "scale": comparison.scale,
        **{key: json_values(getattr(comparison, key)) for key in ("a_from_b", "cameras", "baselines")},
        "points": points,
        **{key: json_values(getattr(comparison, key)) for key in ("only_a", "only_b", "notes")},
    }
