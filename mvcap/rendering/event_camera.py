"""Events of an event camera from pictures at a high rate: a change of log light beyond a threshold is one event.

Model: Rebecq, Gehrig and Scaramuzza, "ESIM: an open event camera simulator", CoRL 2018: each pixel keeps the log light
of its last event, and between two pictures the log light is linear in time; thresholds differ between pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.rendering.view_renderer import PixelTruth

_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
_DARK = 0.002  # light below which the logarithm ends: the dark current
_MOST = 50  # events of a pixel between two pictures


@dataclass(frozen=True, eq=False)
class Events:
    """N events in order of time."""

    time_us: NDArray[np.int64]
    x: NDArray[np.uint16]
    y: NDArray[np.uint16]
    polarity: NDArray[np.int8]
    """1 brighter, -1 darker."""
    person: NDArray[np.uint8]
    """Number of the person that the pixel shows then, 0: none."""
    part: NDArray[np.uint8]
    """Number of the part, 1.. of ``PARTS``; 0: none."""

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The columns by name."""
        return dict(vars(self))


@dataclass(eq=False)
class EventCamera:
    """Pixels that compare. Feed pictures in order of time."""

    threshold: float = 0.2
    """Change of the natural logarithm of light for an event."""
    spread: float = 0.03
    """Standard deviation of the threshold between pixels."""
    seed: int = 0
    _state: dict[str, NDArray[np.float32]] = field(default_factory=dict, repr=False)
    _last_s: float = 0.0

    def memory(self, number: int) -> dict[str, NDArray[np.generic]]:
        """What the pixels remember, by name, with a number to keep beside it, to go on from later."""
        held: dict[str, NDArray[np.generic]] = dict(self._state)
        return held | {"last_s": np.array(self._last_s), "number": np.array(number)}

    def remember(self, held: Mapping[str, NDArray[Any]]) -> int:
        """Go on from ``memory``; return its number."""
        self._state = {name: np.array(held[name], np.float32) for name in ("level", "before", "wide")}
        self._last_s = float(held["last_s"])
        return int(held["number"])

    def feed(self, light: NDArray[np.floating], time_s: float, truth: PixelTruth) -> Events:
        """Return the events since the last picture; none at the first. light: linear, (H, W, 3)."""
        now = np.log(np.asarray(light, np.float32) @ _LUMA + np.float32(_DARK))
        if not self._state:
            rng = np.random.default_rng([self.seed, 41])
            wide = np.clip(rng.normal(self.threshold, self.spread, now.shape), 0.3 * self.threshold, None)
            self._state = {"level": now.copy(), "before": now, "wide": wide.astype(np.float32)}
            self._last_s = time_s
            return _sorted([], truth)
        level, before, wide = (self._state[name] for name in ("level", "before", "wide"))
        count = np.minimum(np.trunc((now - level) / wide), _MOST).astype(np.int64)
        parts = []
        for sign in (1, -1):
            y, x = np.nonzero(sign * count > 0)
            many = np.minimum(sign * count[y, x], _MOST)
            row = np.repeat(np.arange(len(y)), many)
            number = np.arange(len(row)) - np.repeat(np.cumsum(many) - many, many) + 1
            y, x = y[row], x[row]
            reached = level[y, x] + sign * number * wide[y, x]
            slope = now[y, x] - before[y, x]
            share = np.where(np.abs(slope) > 1e-9, (reached - before[y, x]) / np.where(slope == 0, 1, slope), 1.0)
            at = self._last_s + np.clip(share, 0, 1) * (time_s - self._last_s)
            parts.append((np.rint(1e6 * at).astype(np.int64), x, y, np.full(len(y), sign)))
        level += np.clip(count, -_MOST, _MOST) * wide
        self._state["before"], self._last_s = now, time_s
        return _sorted(parts, truth)


def _sorted(parts: Sequence[tuple[NDArray[np.integer], ...]], truth: PixelTruth) -> Events:
    time, x, y, sign = (
        (np.concatenate(one) for one in zip(*parts, strict=True)) if parts else (np.zeros(0, np.int64),) * 4
    )
    order = np.lexsort((x, y, time))
    time, x, y, sign = time[order], x[order], y[order], sign[order]
    return Events(
        time, x.astype(np.uint16), y.astype(np.uint16), sign.astype(np.int8), truth.person[y, x], truth.part[y, x]
    )
