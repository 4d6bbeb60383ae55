"""Finds views that show the same camera: one file under two names, or one re-encoded, darker, or a few frames late."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.footage_checks.findings import FootageFinding
from mvcap.footage_checks.picture_series import BURST, PictureFacts

Floats = NDArray[np.float64]
_FINE, _COARSE = 1.0, 4.0  # cells: details are what is between; finer ones are lost in compression
_CONTRAST = 0.5  # levels that details need, which coding noise of small copies has not
_ALIKE = 0.8  # correlation: strong compression leaves 0.94
_SHIFT = 1.3  # thousandths of the picture: no two cameras are aimed so alike, and see near and far things so
_BLOCKS = 4
_MOTION = 4.0  # of a cell's noise: where it varies by more, something moves
_CELLS = 20


@dataclass(frozen=True)
class Likeness:
    """How alike two views are. still, moving: correlations of the details of their pictures, and of what changes in
    them over time, NaN if nothing does. shift: root mean square over blocks of the picture of the displacement between
    the two, in thousandths of the picture's mean side, the root of its width times its height. lag: frames by which the
    second is later. moments: how many were compared.
    """

    still: float
    moving: float
    shift: float
    lag: int
    moments: int
    same: bool


_UNKNOWN = Likeness(np.nan, np.nan, np.nan, 0, 0, False)


def likeness(one: PictureFacts, other: PictureFacts) -> Likeness:
    """Compare two views at the moments that they have in common; NaN and 0 moments where there are none.

    Brightness and contrast have no influence on a correlation. Two cameras side by side see things shifted against each
    other, near ones more than far ones; the displacement in each of 4 x 4 blocks is found by least squares from
    gradients (Lucas and Kanade, 1981). The same camera: none in any block, beyond coding noise. All lags of up to 4
    frames are tried.
    """
    shared = np.intersect1d(one.burst_s, other.burst_s)
    if not len(shared) or one.bursts.shape[1:] != other.bursts.shape[1:]:
        return _UNKNOWN
    a = one.bursts[np.isin(one.burst_s, shared), BURST // 2].astype(np.float32)
    b = other.bursts[np.isin(other.burst_s, shared)].astype(np.float32)
    lag, moving = _best_lag(a, b, max(_noise(one.bursts), _noise(other.bursts)))
    fine_a = np.stack([_details(picture) for picture in a])
    fine_b = np.stack([_details(picture) for picture in b[:, lag]])
    if min(float(fine_a.std()), float(fine_b.std())) < _CONTRAST:
        return _UNKNOWN
    still = float(np.median([_correlation(x, y) for x, y in zip(fine_a, fine_b, strict=True)]))
    shift = 1000 * displacement(fine_a / fine_a.std(), fine_b / fine_b.std()) / float(np.sqrt(a[0].size))
    alike = still > _ALIKE and (np.isnan(moving) or moving > _ALIKE)
    return Likeness(still, moving, shift, lag - BURST // 2, len(shared), bool(alike and shift < _SHIFT))


def displacement(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return the root mean square over 4 x 4 blocks of the displacement between pictures (K, h, w), in cells.

    A block counts by how well its displacement is known: by its texture.
    """
    mean, difference = (a + b) / 2, b - a
    gy, gx = np.gradient(mean, axis=1), np.gradient(mean, axis=2)
    total = weight = 0.0
    for rows in np.array_split(np.arange(a.shape[1]), _BLOCKS):
        for columns in np.array_split(np.arange(a.shape[2]), _BLOCKS):
            at = np.ix_(np.arange(len(a)), rows, columns)
            x, y, d = gx[at].ravel(), gy[at].ravel(), difference[at].ravel()
            normal = np.array([[x @ x, x @ y], [x @ y, y @ y]], np.float64)
            least = float(np.linalg.eigvalsh(normal)[0])
            if least <= 1e-3 * x.size:
                continue
            move = np.linalg.solve(normal, -np.array([x @ d, y @ d], np.float64))
            total, weight = total + least * float(move @ move), weight + least
    return float(np.sqrt(total / weight)) if weight else float("inf")


def _best_lag(a: NDArray[np.float32], b: NDArray[np.float32], noise: float) -> tuple[int, float]:
    """Return the place in the bursts where what changes in both views agrees best, and its correlation."""
    change_a = a - np.median(a, axis=0)
    best, found = BURST // 2, np.nan
    spread_a = change_a.std(0)
    for lag in sorted(range(BURST), key=lambda one: abs(one - BURST // 2)):
        change_b = b[:, lag] - np.median(b[:, lag], axis=0)
        spread_b = change_b.std(0)
        moves = (spread_a > _MOTION * noise + 1) | (spread_b > _MOTION * noise + 1)
        if len(a) < 2 or moves.sum() < _CELLS:
            continue
        value = _correlation(change_a[:, moves], change_b[:, moves])
        if np.isnan(found) or value > found + 1e-3:
            best, found = lag, value
    return best, found


def _noise(bursts: NDArray[np.uint8]) -> float:
    """Return the noise of a cell, levels, from neighbours in time: at one time most cells show nothing that moves."""
    change = np.abs(bursts[:, 1:].astype(np.int16) - bursts[:, :-1])
    return 1.4826 * float(np.median(change)) / float(np.sqrt(2))


def _details(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    import cv2

    return np.asarray(cv2.GaussianBlur(picture, (0, 0), _FINE) - cv2.GaussianBlur(picture, (0, 0), _COARSE))


def _correlation(x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]]) -> float:
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / size if size > 0 else 0.0


def check_same_camera(views: Mapping[str, PictureFacts]) -> list[FootageFinding]:
    """Return a finding for every two views that show the same camera."""
    out = []
    for (name, one), (other_name, other) in combinations(views.items(), 2):
        found = likeness(one, other)
        if found.same:
            out.append(_same(name, other_name, found))
    return out


def _same(name: str, other: str, found: Likeness) -> FootageFinding:
    moving = "nothing moves in them" if np.isnan(found.moving) else f"{found.moving:.3f} of what moves"
    late = f"; {other} is {found.lag:+d} frames off" if found.lag else ""
    return FootageFinding(
        "same camera", "error", (name, other),
        f"both show the same camera: their pictures are displaced by {found.shift:.2f} thousandths of its size (RMS) "
        f"and correlate by {found.still:.3f}, {moving} ({found.moments} moments){late}",
        "leave one of them out; look for the file of the missing camera",
        None, None, {"still": found.still, "moving": found.moving, "shift": found.shift,
                     "lag_frames": found.lag},
    )  # fmt: skip
