"""How long the noise of detections lasts: smoothing averages only what differs from frame to frame.

A detector sees almost the same picture in consecutive frames and errs alike in them. The autocorrelation of the
residuals shows by how much the variance of a smoothed joint exceeds that of independent noise: by
1 + 2 sum of (1 - k / n) r(k) over the lags k below n, the number of frames averaged (Bayley and Hammersley, 1946).
"""

from __future__ import annotations

import numpy as np

from calib.arrays import Bools, Floats

_LONGEST_S = 1.0  # largest lag
_LAGS = 12  # most lags that are computed
_ENOUGH = 100  # residual pairs of a lag; with as many, the estimate has half its weight


def autocorrelation(residual: Floats, used: Bools, rate_hz: float) -> Floats:
    """Autocorrelation (K,) of residuals (C, T, J, 2) that are ``used`` (C, T, J), at lags of 1 to K frames.

    Pooled over views and joints; drawn to 0 where there are few pairs, and not below 0.
    """
    frames = residual.shape[1]
    lags = max(1, min(round(_LONGEST_S * rate_hz), frames - 1))
    value = np.where(used[..., None], residual, 0)
    square = (value**2).sum(-1)
    # Nearly equal steps of the logarithm: the function is smooth.
    some = np.unique(np.round(np.geomspace(1, lags, _LAGS)).astype(np.int64))
    found = np.zeros(len(some))
    for at, lag in enumerate(some[some < frames].tolist()):
        both = used[:, lag:] & used[:, :-lag]
        product = np.einsum("ctja,ctja->", value[:, lag:], value[:, :-lag])
        total = 0.5 * (square[:, lag:][both].sum() + square[:, :-lag][both].sum())
        pairs = both.sum()
        found[at] = product / max(total, 1e-12) * pairs / (pairs + _ENOUGH)
    out = np.interp(np.arange(1, lags + 1), some, found)
    return np.asarray(np.clip(out, 0, 1))


def variance_factor(correlation: Floats, averaged: Floats) -> Floats:
    """Variance (...) over that of independent noise, for means over ``averaged`` (...) frames, at least 1."""
    lag = np.arange(1, len(correlation) + 1)
    count = np.arange(1, len(correlation) + 2)
    share = np.clip(1 - lag / count[:, None], 0, None)
    factor = 1 + 2 * share @ correlation
    return np.asarray(np.interp(averaged, count, factor))
