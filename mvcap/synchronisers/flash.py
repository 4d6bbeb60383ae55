"""Synchroniser flash: a camera's flash, or lamps that are switched, which all views see at one moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import ConfigError, InputError
from mvcap.progress import Progress, silent
from mvcap.structures.footage import Footage
from mvcap.structures.sync_evidence import PairCurve, SyncEvidence, UnsynchronisedTake
from mvcap.synchronisation.combination import PairLine, evidence_of_pairs
from mvcap.synchronisation.light_changes import FlashOffset, LightChange, brightness_of, flash_offset, light_changes


@dataclass(frozen=True)
class FlashConfig:
    """Settings of the synchroniser of light."""

    search_s: float = 0.0
    """How much of the beginning of each view is searched, s; 0 = all."""

    def __post_init__(self) -> None:
        if not 0 <= self.search_s < np.inf:
            raise ConfigError("config key 'synchronisers.flash.search_s' must be 0 or more")


class FlashSynchroniser:
    """Synchroniser flash: changes of the light that all views see."""

    Config = FlashConfig

    def __init__(self, config: FlashConfig | None = None) -> None:
        self.config = config or FlashConfig()

    def find(self, take: UnsynchronisedTake, progress: Progress = silent) -> SyncEvidence:
        """Return the delays of the views in which changes of the light tell them."""
        count = len(take.names)
        changes: dict[int, tuple[list[LightChange], float]] = {}
        refused: dict[int, str] = {}
        for view, path in enumerate(take.footage):
            try:
                if path is None:
                    raise InputError("has no pictures")
                seen, interval_s = self._changes(path, float(take.first_s[view]), take.names[view], progress)
                if not seen:
                    raise InputError("no flash and no sudden change of the light is seen")
                changes[view] = seen, interval_s
            except InputError as fault:
                refused[view] = str(fault)
        if len(changes) < 2:
            return SyncEvidence.nothing(count, "fewer than two views see a change of the light", refused)
        found = {
            (a, b): flash_offset(changes[a][0], changes[b][0], max(changes[a][1], changes[b][1]))
            for a, b in combinations(changes, 2)
        }
        middle, lines = take.seconds / 2, dict[tuple[int, int], PairLine | str]()
        for pair, one in found.items():
            since = middle - one.at_s
            sigma = float(np.hypot(one.offset_sigma_s, one.drift_sigma * since))
            line = PairLine(one.offset_s + one.drift * since, sigma, one.drift, one.drift_sigma)
            lines[pair] = one.reason or line
        curves = tuple(_curve(a, b, one) for (a, b), one in found.items())
        return evidence_of_pairs(lines, count, refused, "its changes of the light fit those of no other view", curves)

    def _changes(
        self, path: Path, first_s: float, name: str, progress: Progress
    ) -> tuple[list[LightChange], float]:  # fmt: skip
        """Changes on the view's own clock, and the interval of its frames, s."""
        footage = Footage.probe(path)
        stop = footage.frames
        if self.config.search_s:
            stop = int(np.searchsorted(footage.time_s, footage.time_s[0] + self.config.search_s))
        frames: list[int] = []

        def images() -> Iterator[NDArray[np.uint8]]:
            for frame, image in footage.read(0, stop):
                frames.append(frame)
                progress(f"light of {name}", frame + 1, stop)
                yield image

        level = brightness_of(images())
        return light_changes(footage.time_s[frames] - first_s, level), 1 / footage.rate_hz


def _curve(a: int, b: int, one: FlashOffset) -> PairCurve:
    most, second = (float(np.sort(one.matched)[-at]) if len(one.matched) >= at else 0.0 for at in (1, 2))
    best = float(one.delay_s[one.matched.argmax()]) if len(one.delay_s) else np.nan
    return PairCurve(a, b, one.delay_s, one.matched, "changes that fit", best, one.rival_s, most / max(second, 1.0))
