"""Splits of a take into train, val and test without leakage: by time with gaps between them, by person, or by both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mvcap.datasets.ground_truth import SPLITS
from mvcap.errors import ConfigError, InputError

GAP, MIXED = "gap", "people of several splits"
"""Why a frame is in no split."""


@dataclass(frozen=True)
class SplitConfig:
    """Settings of the splits of ``mvcap generate``."""

    by: Literal["time", "person", "both", "none"] = "time"
    """time: one part of the take each; person: other people each; both: other people at other times; none: all train.
    """
    shares: tuple[float, ...] = (0.7, 0.15, 0.15)
    """Shares of train, val and test."""
    gap_s: float = 0.5
    """Time left out between parts of the take: neighbouring frames show nearly the same."""

    def __post_init__(self) -> None:
        if len(self.shares) != len(SPLITS) or min(self.shares) < 0 or not sum(self.shares) > 0:
            raise ConfigError("split 'shares' are three numbers of 0 or more, for train, val and test")
        if not 0 <= self.gap_s < np.inf:
            raise ConfigError(f"split 'gap_s' must be 0 or more seconds, not {self.gap_s}")


class Splits:
    """Which split each frame and each person of a take is in."""

    def __init__(self, config: SplitConfig, frames: int, rate_hz: float, rows: Mapping[int, int]) -> None:
        self.config = config
        shares = np.array(config.shares) / sum(config.shares)
        self._frame = np.zeros(frames, np.int8)
        self.persons: dict[int, str] = {}
        if config.by in ("time", "both"):
            self._frame = _by_time(shares, frames, round(config.gap_s * rate_hz))
        if config.by in ("person", "both"):
            self.persons = _by_person(shares, rows)

    def of(self, frame: int, persons: NDArray[np.integer]) -> str:
        """Return the split of a frame that shows these people, or why it is in none: ``GAP`` or ``MIXED``."""
        at = int(self._frame[frame])
        if at < 0:
            return GAP
        if self.config.by not in ("person", "both"):
            return SPLITS[at]
        found = {self.persons.get(int(person), SPLITS[0]) for person in persons}
        if len(found) > 1:
            return MIXED
        split = next(iter(found), SPLITS[at])
        return split if self.config.by == "person" or split == SPLITS[at] else MIXED


def _by_time(shares: NDArray[np.float64], frames: int, gap: int) -> NDArray[np.int8]:
    used = np.flatnonzero(shares > 0)
    left = frames - gap * (len(used) - 1)
    if left < len(used):
        raise InputError(
            f"the take has {frames} frames, too few for {len(used)} splits with gaps of {gap} frames; give a shorter "
            "gap_s, or split by none"
        )
    out = np.full(frames, -1, np.int8)
    ends = np.rint(np.cumsum(shares[used]) * left).astype(int)
    start = 0
    for at, split in enumerate(used):
        end = max(ends[at], start + 1) if at < len(used) - 1 else left
        out[start + at * gap : end + at * gap] = split
        start = end
    return out


def _by_person(shares: NDArray[np.float64], rows: Mapping[int, int]) -> dict[int, str]:
    """Give each person, those of most frames first, to the split that lacks most of its share of frames."""
    used = int((shares > 0).sum())
    if len(rows) < used:
        raise InputError(
            f"the take has {len(rows)} people, too few for {used} splits by person; give shares with zeros, or split "
            "by time"
        )
    total = max(1, sum(rows.values()))
    held = np.zeros(len(shares))
    out = {}
    waiting = sorted(rows, key=lambda person: (-rows[person], person))
    for count, person in enumerate(waiting):
        empty = (held == 0) & (shares > 0)
        must = len(waiting) - count <= empty.sum()
        lack = np.where((empty if must else shares > 0), shares - held / total, -np.inf)
        best = int(lack.argmax())
        held[best] += max(1, rows[person])
        out[person] = SPLITS[best]
    return out
