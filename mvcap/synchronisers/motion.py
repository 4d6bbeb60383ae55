"""Synchroniser motion: people, whose joints meet the epipolar constraint of a known rig at the right offset only.

Without a rig, the speeds of their joints are compared (``mvcap.synchronisation.speed_profiles``). With one, all offsets
up to half of the take, and 2 s at least, are tried for each pair of views; all views together give the offsets between
frames and the drifts. Where another offset is about as likely, as for a person who stands, there is no answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from calib import Rig
from calib.arrays import Floats
from mvcap.errors import ConfigError
from mvcap.progress import Progress, silent
from mvcap.structures.sync_evidence import PairCurve, SyncEvidence, UnsynchronisedTake
from mvcap.synchronisation.epipolar_evidence import ShiftScores, essential, score_shifts, summed_scores
from mvcap.synchronisation.joint_tracks import CALIBRATION_PX, joints_of_views
from mvcap.synchronisation.offset_refinement import TakePart, refine_offsets
from mvcap.synchronisation.speed_profiles import speed_evidence
from mvcap.synchronisation.view_placing import Placed, clearest_peak, place_views

_PARTS, _PART_FRAMES = 6, 1200


@dataclass(frozen=True)
class MotionConfig:
    """Settings of the synchroniser of moving people."""

    reach_s: float = 0.0
    """Largest offset tried, s; 0 = half of the take, 2 s at least, 20 s at most."""

    def __post_init__(self) -> None:
        if not 0 <= self.reach_s <= 600:
            raise ConfigError("config key 'synchronisers.motion.reach_s' must be 0 to 600")


class MotionSynchroniser:
    """Synchroniser motion: people seen by a known rig."""

    Config = MotionConfig

    def __init__(self, config: MotionConfig | None = None) -> None:
        self.config = config or MotionConfig()

    def find(self, take: UnsynchronisedTake, progress: Progress = silent) -> SyncEvidence:
        """Return the delays of the views that people tell."""
        count = len(take.names)
        if take.rows is None:
            return SyncEvidence.nothing(count, "needs a session with detections")
        rate, frames = take.rate_hz / take.step, take.frames // take.step
        reach = min(round((self.config.reach_s or np.clip(frames / rate / 2, 2, 20)) * rate), frames - 1)
        if take.rig is None:
            return speed_evidence(take, reach / rate, progress)
        lines = {
            (a, b): essential(take.rig[a].cam_from_world, take.rig[b].cam_from_world)
            for a, b in combinations(range(count), 2)
        }
        tries = (_place(take, lines, reach, calibration_px, progress) for calibration_px in CALIBRATION_PX)
        parts, pairs, placed = next(tries)
        if len(placed.late) < count and len((other := next(tries))[2].late) == count:
            parts, pairs, placed = other
        curves = tuple(_curve(pair, rate) for pair in pairs)
        late, drift = np.full(count, np.nan), np.full(count, np.nan)
        covariance = np.full((2 * count, 2 * count), np.nan)
        known = sorted(placed.late)
        if len(known) < 2:
            return SyncEvidence(late, drift, covariance, placed.refused, curves)
        inner = {(i, j): lines[known[i], known[j]] for i, j in combinations(range(len(known)), 2)}
        start = np.array([placed.late[view] for view in known], np.float64)
        used = [TakePart(part.first, [part.views[view] for view in known]) for part in parts]
        found = refine_offsets(used, start, inner, frames / 2, rate)
        late[known], drift[known] = found.late / rate, found.drift
        both = np.concatenate([known, count + np.array(known)])
        scale = np.repeat([1 / rate, 1.0], len(known))
        covariance[np.ix_(both, both)] = found.covariance * np.outer(scale, scale)
        figures = {"residual_sigma": found.residual}
        figures |= {f"margin_nats.{take.names[view]}": peak.margin_nats for view, peak in placed.peak.items()}
        return SyncEvidence(late, drift, covariance, placed.refused, curves, figures)


def _place(
    take: UnsynchronisedTake, lines: dict[tuple[int, int], Floats], reach: int, calibration_px: float,
    progress: Progress,
) -> tuple[list[TakePart], list[ShiftScores], Placed]:  # fmt: skip
    """Whole-frame offsets, for a standard deviation of what is not the detector's error."""
    assert take.rig is not None
    rate_hz = take.rate_hz / take.step
    parts = _parts(take, take.rig, reach, calibration_px)
    pairs = []
    for done, ((a, b), line) in enumerate(lines.items(), 1):
        scores = [score_shifts(part.views, a, b, line, reach, rate_hz) for part in parts]
        pairs.append(summed_scores(scores))
        progress("motion", done, len(lines))
    return parts, pairs, place_views(pairs, len(take.names), rate_hz)


def _parts(take: UnsynchronisedTake, rig: Rig, reach: int, calibration_px: float) -> list[TakePart]:
    """The whole take, or parts of a long one, evenly spread: memory does not grow with its length."""
    length, frames = max(_PART_FRAMES, 3 * reach), take.frames // take.step
    spans = [(0, frames)]
    if frames > _PARTS * length:
        starts = np.linspace(0, frames - length, _PARTS).astype(int).tolist()
        spans = [(start, start + length) for start in starts]
    out = []
    for start, stop in spans:
        assert take.rows is not None
        rows = take.rows.between(start * take.step, stop * take.step)
        rows = rows.with_columns(frame=(rows.frame // take.step - start).astype(np.int32))
        out.append(TakePart(start, joints_of_views(rows, rig, stop - start, calibration_px)))
    return out


def _curve(pair: ShiftScores, rate_hz: float) -> PairCurve:
    peak = clearest_peak([(pair, 0)], rate_hz)
    best, rival, ratio = np.nan, np.nan, np.nan
    if peak is not None:
        best, rival = peak.shift / rate_hz, peak.rival / rate_hz
        nats = dict(zip(pair.shift.tolist(), pair.nats.tolist(), strict=True))
        ratio = nats[peak.shift] / max(nats[peak.rival], 1e-9)
    return PairCurve(pair.a, pair.b, pair.shift / rate_hz, pair.nats, "nats a joint", best, rival, float(ratio))
