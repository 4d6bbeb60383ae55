"""Figures of a view's pictures in a row: how each differs from the one before, and small copies at common moments."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BURST = 9
"""Pictures in a row of which small copies are kept at each moment: views may be a few frames apart."""
MOST_MOMENTS = 32
_EXACT = 2.0**20  # moments are multiples of a larger part of a second
_CELLS = 96  # small copies have about the square of this many pixels
_DARK, _BRIGHT = 16, 240  # 8-bit levels outside of which a change of exposure shows little
_OFFSET = 8.0  # levels, added before ratios of dark ones are taken


@dataclass(frozen=True, eq=False)
class PictureFacts:
    """Figures of N pictures in order of time.

    time_s (N,); stretch (N,) i64: pictures of one number follow each other without one left out; difference (N,): mean
    absolute difference from the picture before, in 8-bit levels, NaN for the first of a stretch or size; leap (N,): the
    same for the first of a stretch, where pictures were left out, NaN for others; gain (N,): log of the ratio of
    brightness to the picture before, the median over the picture; size (N, 2) i64 px. bursts
    (K, 9, h, w) u8: small copies of pictures in a row from each moment on; burst_s (K,): the moments, s from the zero
    that views have in common.
    """

    time_s: Floats = field(repr=False)
    stretch: NDArray[np.int64] = field(repr=False)
    difference: Floats = field(repr=False)
    leap: Floats = field(repr=False)
    gain: Floats = field(repr=False)
    size: NDArray[np.int64] = field(repr=False)
    burst_s: Floats = field(repr=False)
    bursts: NDArray[np.uint8] = field(repr=False)

    def __len__(self) -> int:
        return len(self.time_s)


def moments(first_s: float, last_s: float, zero_s: float = 0.0) -> Floats:
    """Return at most 33 times: multiples of a power of 2 s from a zero; views of other lengths share most of them."""
    span = last_s - first_s
    if not span > 0:
        return np.array([first_s])
    step = 2.0 ** np.ceil(np.log2(span / MOST_MOMENTS))
    found = zero_s + np.arange(np.ceil((first_s - zero_s) / step), np.floor((last_s - zero_s) / step) + 1) * step
    return np.asarray(found[:: max(1, len(found) // MOST_MOMENTS)])


class PictureSeries:
    """Collects the figures; only the previous picture and small copies are kept in memory."""

    def __init__(self, moments_s: Floats, zero_s: float = 0.0) -> None:
        self._wanted, self._zero_s = moments_s, zero_s
        self._next = 0
        self._rows: list[tuple[float, int, float, float, float, int, int]] = []
        self._before: tuple[NDArray[np.uint8], NDArray[np.float32], int] | None = None
        self._open: list[tuple[float, list[NDArray[np.uint8]]]] = []
        self._bursts: list[tuple[float, NDArray[np.uint8]]] = []

    def add(self, time_s: float, grey: NDArray[np.uint8], stretch: int) -> None:
        """Add a picture (H, W), grey, that is later than all before."""
        small = small_copy(grey)
        difference = leap = gain = np.nan
        before = self._before
        if before is not None and before[0].shape == grey.shape:
            change = mean_difference(before[0], grey)
            if before[2] == stretch:
                difference, gain = change, log_gain(before[1], small)
            else:
                leap = change
        self._before = grey, small, stretch
        self._rows.append((time_s, stretch, difference, leap, gain, grey.shape[1], grey.shape[0]))
        self._keep(time_s, np.rint(small).astype(np.uint8))

    def _keep(self, time_s: float, small: NDArray[np.uint8]) -> None:
        """Add the small copy to the bursts that it belongs to; a picture long after a moment is none of that moment."""
        step = self._wanted[1] - self._wanted[0] if len(self._wanted) > 1 else np.inf
        while self._next < len(self._wanted) and time_s >= self._wanted[self._next] - 1e-9:
            if time_s - self._wanted[self._next] < step / 2:
                self._open.append((float(self._wanted[self._next]), []))
            self._next += 1
        for moment_s, held in self._open:
            held.append(small)
            if len(held) == BURST and len({one.shape for one in held}) == 1:
                self._bursts.append((moment_s, np.stack(held)))
        self._open = [one for one in self._open if len(one[1]) < BURST]

    def facts(self) -> PictureFacts:
        """Return what was collected."""
        rows = np.array(self._rows, np.float64).reshape(-1, 7)
        shape = self._bursts[0][1].shape if self._bursts else (BURST, 1, 1)
        kept = [one for one in self._bursts if one[1].shape == shape]
        return PictureFacts(
            rows[:, 0], rows[:, 1].astype(np.int64), rows[:, 2], rows[:, 3], rows[:, 4], rows[:, 5:].astype(np.int64),
            np.round((np.array([moment_s for moment_s, _ in kept]) - self._zero_s) * _EXACT) / _EXACT,
            np.stack([burst for _, burst in kept]) if kept else np.zeros((0, *shape), np.uint8),
        )  # fmt: skip


def small_copy(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return a picture (H, W) averaged to about 96 x 96 = 9216 cells of its own aspect ratio, levels 0 to 255."""
    import cv2

    height, width = grey.shape
    aspect = float(np.clip(width / height, 1 / 16, 16))
    shape = round(_CELLS * aspect**0.5), round(_CELLS / aspect**0.5)
    how = cv2.INTER_AREA if width >= shape[0] and height >= shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey.astype(np.float32), shape, interpolation=how))


def mean_difference(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    """Return the mean absolute difference of two pictures (H, W), 8-bit levels; 0 only if they are equal."""
    import cv2

    return float(cv2.norm(before, after, cv2.NORM_L1)) / before.size


def log_gain(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """Return log(after / before) of the brightness: the median over cells (h, w), which moving people do not change."""
    used = (before > _DARK) & (before < _BRIGHT)
    if used.mean() < 0.25:
        used = np.ones(before.shape, bool)
    return float(np.median(np.log((after[used] + _OFFSET) / (before[used] + _OFFSET))))
