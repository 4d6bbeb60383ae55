"""Figures of a report as JSON takes them: rounded, None where unknown."""

from __future__ import annotations

import numpy as np


def tidy(value: float) -> float | None:
    """Round to four significant digits; None for NaN and infinity."""
    return float(f"{value:.4g}") if np.isfinite(value) else None


def share(part: float, whole: float) -> float | None:
    """Return part / whole, rounded; None where there is nothing."""
    return tidy(part / whole) if whole else None
