"""The verb ``refine``: better poses of every person, window by window, by any refiner."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap import plugins, stages
from mvcap.config import plain
from mvcap.errors import ConfigError
from mvcap.plugins import Evidence
from mvcap.progress import Progress, silent
from mvcap.residuals import links, residuals
from mvcap.stages import State
from mvcap.structures.artefact import Artefact
from mvcap.structures.body import LIMB_SPREAD, SIDES_SPREAD, limb_lengths, mirror_limbs, typical_limbs
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.structures.session import Session
from mvcap.structures.skeleton import Skeleton, skeleton
from mvcap.triangulate import TriangulateConfig

T = TypeVar("T", Detections2D, Poses3D)
_VERSION = 2
_CHUNK_FRAMES = 500
_BINS_PER_M = 1000
_LONGEST_M = 1.5
_POSTURE_S = 1.0  # a limb looks as long as it does for about so long


@dataclass(frozen=True)
class RefineConfig:
    """Settings of the verb ``refine``."""

    overlap_s: float = 1.0
    """A window reaches so far beyond the frames that are kept of it, on both sides."""

    def __post_init__(self) -> None:
        if self.overlap_s < 0:
            raise ConfigError("config key 'refine.overlap_s' is 0 or more")


def refine(session: str | Path | Session, *, redo: bool = False, progress: Progress = silent) -> Artefact[Poses3D]:
    """Refine a session's tracked poses with the refiner that its settings name; each person's limbs keep one length."""
    session = session if isinstance(session, Session) else Session.open(session)
    before = stages.poses(session, "track")
    config = session.settings("refine", RefineConfig)
    refiner, settings = plugins.load("refiner", session.overrides)
    if redo:
        stages.discard(session, "refine")
    place = session.artefact("refine", Poses3D)
    origin = stages.origin_of("refine", _VERSION, {**settings, **plain(config)}, before, session)
    place.begin(origin, before.skeleton_name, session.frames, _CHUNK_FRAMES)
    if place.complete:
        return place
    found = stages.detections(session, "associate")
    gate = session.settings("triangulate", TriangulateConfig).gate_sigma
    lengths = person_limbs(before, session.rate_hz)
    reach = round(config.overlap_s * session.rate_hz)

    def make(start: int, stop: int, state: State) -> tuple[Poses3D, State]:
        window = between(before, start - reach, stop + reach)
        seen = between(found, start - reach, stop + reach)
        parts = []
        for person in np.unique(window.person):
            poses = window[window.person == person]
            evidence = Evidence(session.rig, _rows_of(poses, seen), session.rate_hz, lengths[int(person)])
            parts.append(refiner.refine(poses, evidence))
        rows = _kept(parts, window, start, stop)
        return _with_errors(rows, between(found, start, stop), session.rig, gate), {}

    return stages.run(session, place, origin, before.skeleton_name, make, progress, _CHUNK_FRAMES)


def person_limbs(poses: Artefact[Poses3D], rate_hz: float) -> dict[int, NDArray[np.float64]]:
    """Length (B',) m of each person's limbs over the take, at flat memory; NaN for one never seen on either side.

    Each sight counts by its precision, so that a limb seen by two cameras at a bad angle does not speak as loudly as
    one that four cameras surround. What sights say is weighed against the same limb on the other side of the body and
    against what is usual for a human of this size.
    """
    kind = skeleton(poses.skeleton_name)
    held: dict[int, _LimbSights] = {}
    for rows in poses.chunks():
        length = limb_lengths(kind, rows.xyz)
        variance = rows.cov[:, :, [0, 3, 5]].astype(np.float64).mean(-1)[:, kind.limbs].sum(-1)
        known = np.isfinite(length) & (variance > 0)
        for person in np.unique(rows.person):
            mine = (rows.person == person)[:, None] & known
            held.setdefault(int(person), _LimbSights(len(kind.limbs))).add(length, variance, mine)
    return {person: _weighed(kind, *sights.medians(rate_hz)) for person, sights in held.items()}


class _LimbSights:
    """Histograms of the lengths of one person's limbs, each sight counted by its precision."""

    def __init__(self, limbs: int) -> None:
        self.weight = np.zeros((limbs, round(_LONGEST_M * _BINS_PER_M)))
        self.square = np.zeros(limbs)

    def add(self, length: NDArray[np.float64], variance: NDArray[np.float64], known: NDArray[np.bool_]) -> None:
        """Count lengths (M, B') m of variance (M, B') m^2 where known."""
        row, limb = np.nonzero(known)
        place = np.clip(length[row, limb] * _BINS_PER_M, 0, _LONGEST_M * _BINS_PER_M - 1).astype(np.int64)
        weight = 1 / variance[row, limb]
        np.add.at(self.weight, (limb, place), weight)
        np.add.at(self.square, limb, weight**2)

    def medians(self, rate_hz: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Median lengths (B',) m and their standard deviations; NaN for a limb never seen.

        The deviation of a median of independent normal numbers is 1.25 times that of their mean; sights of one posture
        are as good as one.
        """
        low, middle, high = (_quantiles(self.weight, share) for share in (0.16, 0.5, 0.84))
        sights = self.weight.sum(1) ** 2 / np.maximum(self.square, 1e-30)
        postures = np.maximum(sights / (1 + _POSTURE_S * rate_hz), 1)
        spread = np.maximum((high - low) / 2, 1 / _BINS_PER_M)
        return middle, np.where(np.isfinite(middle), 1.25 * spread / np.sqrt(postures), np.nan)


def _quantiles(counts: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Quantiles (B',) m of weighted histograms (B', N); NaN for an empty one."""
    below = np.cumsum(counts, axis=1)
    wanted = below[:, -1:] * share
    bin_ = np.argmax(below >= wanted, axis=1)
    limb = np.arange(len(counts))
    inside = (wanted[:, 0] - (below[limb, bin_] - counts[limb, bin_])) / np.maximum(counts[limb, bin_], 1e-30)
    return np.asarray(np.where(below[:, -1] > 0, (bin_ + inside) / _BINS_PER_M, np.nan))


def _weighed(kind: Skeleton, length: NDArray[np.float64], sigma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lengths (B',) m: what is seen, the mirror image and what is usual, by their precision; NaN if never seen."""
    usual, known = typical_limbs(kind), np.isfinite(length)
    if not known.any():
        return length
    ratio, surest = length / usual, np.argsort(np.where(known, sigma / usual, np.inf))
    scale = float(np.median(ratio[surest[: max(1, known.sum() // 2)]]))
    twin = mirror_limbs(kind)
    sides = np.hypot(sigma[twin], SIDES_SPREAD * length[twin])
    said = np.stack([length, length[twin], scale * usual])
    precision = 1 / np.stack([sigma, np.where(twin == np.arange(len(twin)), np.nan, sides), LIMB_SPREAD * said[2]]) ** 2
    precision = np.where(np.isfinite(said) & np.isfinite(precision), precision, 0)
    mean = (np.nan_to_num(said) * precision).sum(0) / precision.sum(0)
    return np.where(known | known[twin], mean, np.nan)


def between(held: Artefact[T], start: int, stop: int) -> T:
    """Rows of frames start to stop, whatever chunks they are in."""
    parts = [held.read(first) for first, end in held.ranges() if first < stop and end > start]
    rows = held.kind.concatenate(parts, skeleton(held.skeleton_name))
    return rows[(rows.frame >= start) & (rows.frame < stop)]


def _with_errors(poses: Poses3D, found: Detections2D, rig: Rig, gate: float) -> Poses3D:
    """Poses with error_px measured anew where they are now: the mean over the views within the gate, else over all."""
    linked = residuals(found, poses, rig)
    sums, counts = np.zeros((2, *poses.score.shape)), np.zeros((2, *poses.score.shape))
    for use, known in enumerate((linked.normalised <= gate, np.isfinite(linked.error_px))):
        np.add.at(sums[use], linked.pose, np.where(known, linked.error_px, 0))
        np.add.at(counts[use], linked.pose, known)
    use_all = counts[0] == 0
    total, count = np.where(use_all, sums[1], sums[0]), np.where(use_all, counts[1], counts[0])
    error = np.where((count > 0) & (poses.views > 0), total / np.maximum(count, 1), np.nan)
    return poses.with_columns(error_px=error)


def _rows_of(poses: Poses3D, seen: Detections2D) -> Detections2D:
    """What the views saw of one person's poses: same frame, the detection's person is the pose's group."""
    row, _ = links(seen, poses)
    return seen[row]


def _kept(parts: list[Poses3D], window: Poses3D, start: int, stop: int) -> Poses3D:
    """Rows of frames start to stop, in the order of frames and persons."""
    rows = Poses3D.concatenate(parts, window.skeleton)
    rows = rows[(rows.frame >= start) & (rows.frame < stop)]
    return rows[np.lexsort((rows.person, rows.frame))]
