"""Numbers of each person that stand beside the plots of uncertainty and joint angles."""

from __future__ import annotations

from typing import Any

import numpy as np

from mvcap.reporting.figures import tidy
from mvcap.reporting.series import SeriesCollector
from mvcap.structures.joint_angles import ANGLES

_RANGE = (5, 50, 95)  # percent of the samples


def motion_figures(series: SeriesCollector) -> dict[int, dict[str, Any]]:
    """Return each person's ``sigma_mm`` and ``joint_angles_deg``, over the samples of the series.

    ``sigma_mm``: medians over time of the two columns of ``PersonSeries.sigma_mm``, as ``median`` and ``p95``, None
    where unknown. ``joint_angles_deg``: by the name of the angle ``p5``, ``median`` and ``p95`` over time; angles that
    are never known are left out.
    """
    out: dict[int, dict[str, Any]] = {}
    for person, one in series.people.items():
        known = one.sigma_mm[np.isfinite(one.sigma_mm).all(-1)]
        sigma = np.median(known, axis=0) if len(known) else np.full(2, np.nan)
        angles = {}
        for name, values in zip(ANGLES, one.angles_deg.T, strict=True):
            if np.isfinite(values).any():
                low, middle, high = np.nanpercentile(values, _RANGE)
                angles[name] = {"p5": tidy(low), "median": tidy(middle), "p95": tidy(high)}
        out[person] = {"sigma_mm": {"median": tidy(sigma[0]), "p95": tidy(sigma[1])}, "joint_angles_deg": angles}
    return out
