"""Synchroniser audio: the sound of the videos, by GCC-PHAT in windows and a robust line: offset and drift.

Sound takes 2.9 ms a metre: with a rig, its way differs by up to the distance of two cameras, which is part of the
standard deviation, as long as the place of the sound is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from calib import Rig
from mvcap.errors import ConfigError, InputError
from mvcap.progress import Progress, silent
from mvcap.structures.sound import read_sound
from mvcap.structures.sync_evidence import PairCurve, SyncEvidence, UnsynchronisedTake
from mvcap.synchronisation.combination import PairLine, evidence_of_pairs
from mvcap.synchronisation.sound_offset import SoundOffset, audio_offset

_SOUND_M_S = 343.0
_RATE_HZ = 16000


@dataclass(frozen=True)
class AudioConfig:
    """Settings of the synchroniser of sound."""

    apart_m: float = 5.0
    """Without a rig: typical difference of the distances of two cameras from what is heard, m."""

    def __post_init__(self) -> None:
        if not 0 <= self.apart_m <= 1000:
            raise ConfigError("config key 'synchronisers.audio.apart_m' must be 0 to 1000")


class AudioSynchroniser:
    """Synchroniser audio: the sound of the videos."""

    Config = AudioConfig

    def __init__(self, config: AudioConfig | None = None) -> None:
        self.config = config or AudioConfig()

    def find(self, take: UnsynchronisedTake, progress: Progress = silent) -> SyncEvidence:
        """Return the delays of the views whose sound tells them."""
        count = len(take.names)
        sounds, refused = {}, {}
        for view, path in enumerate(take.footage):
            try:
                if path is None or path.is_dir():
                    raise InputError("has no sound")
                begins, samples = read_sound(path, _RATE_HZ)
                sounds[view] = (begins - float(take.first_s[view]), samples)
            except InputError as fault:
                refused[view] = str(fault)
            progress("sound", view + 1, count)
        if len(sounds) < 2:
            return SyncEvidence.nothing(count, "fewer than two views have sound")
        found = {(a, b): audio_offset(sounds[a][1], sounds[b][1], _RATE_HZ) for a, b in combinations(sounds, 2)}
        middle, lines = take.seconds / 2, dict[tuple[int, int], PairLine | str]()
        for (a, b), one in found.items():
            # a's own time 0 is begins_a before its first sample; move the line to the middle of the take.
            begin_a, begin_b = sounds[a][0], sounds[b][0]
            since = middle - begin_a - one.middle_s
            sigma = np.hypot(np.hypot(one.offset_sigma_s, one.drift_sigma * since), self._way_s(take.rig, a, b))
            level = one.offset_s + one.drift * since + begin_b - begin_a
            lines[a, b] = one.reason or PairLine(level, float(sigma), one.drift, one.drift_sigma)
        curves = tuple(_curve(a, b, one) for (a, b), one in found.items())
        return evidence_of_pairs(lines, count, refused, "its sound fits that of no other view", curves)

    def _way_s(self, rig: Rig | None, a: int, b: int) -> float:
        """Standard deviation, s, of the difference of the sound's way to two cameras."""
        if rig is None:
            return self.config.apart_m / _SOUND_M_S
        # Between minus and plus the distance of the cameras, evenly.
        return float(np.linalg.norm(rig[a].position - rig[b].position) / np.sqrt(3) / _SOUND_M_S)


def _curve(a: int, b: int, one: SoundOffset) -> PairCurve:
    best = float(one.lag_s[one.curve.argmax()]) if len(one.lag_s) else np.nan
    return PairCurve(a, b, one.lag_s, one.curve, "correlation", best, np.nan, one.ratio)
