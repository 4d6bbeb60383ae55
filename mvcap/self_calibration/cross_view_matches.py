"""Association of people between two views and the relative pose of the cameras, when neither is known.

Every pair of tracks that share frames proposes a relative pose; each proposal is scored by all tracks of both views,
matched one to one at a time. The evidence for two tracks to be one person is, joint by joint, the log likelihood ratio
of the distance from the epipolar line under noise and under chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from calib import CalibrationError, Lens
from calib.arrays import Floats, Ints
from calib.poses.relative_pose import RelativePose, epipolar_residual, in_front, relative_pose
from mvcap.self_calibration.single_view_tracks import RowTrack
from mvcap.structures.detections import Detections2D

LEAST_FRAMES = 8
"""Frames that two tracks have to share."""
_FEW, _MANY = 30, 120  # most frames for a proposal, and for its score
_MOST_TRACKS = 8  # of a view that give proposals
_PROPOSALS = 4  # best proposals by their own tracks, which are scored by all tracks
_CHANCE = 30.0  # spread of a joint under chance, in standard deviations of the noise: about a body's height
_WRONG = 0.15  # share of outlier joints in a correct match
_AGREE = 0.5  # mean nats a joint above which two tracks match


@dataclass(frozen=True, eq=False)
class MovingPeople:
    """The rows of a take as rays: bare (M, J, 2) undistorted normalised coordinates, noise (M, J) in the same unit."""

    bare: Floats
    noise: Floats

    @classmethod
    def of(cls, rows: Detections2D, lenses: tuple[Lens, ...]) -> MovingPeople:
        """Rays of rows whose views have these lenses, in order."""
        bare, noise = np.full(rows.xy.shape, np.nan), np.full(rows.score.shape, np.nan)
        for view, lens in enumerate(lenses):
            mine = rows.view == view
            bare[mine] = lens.undistort(rows.xy[mine].astype(np.float64))
            noise[mine] = rows.noise_px[mine] / np.sqrt(lens.K[0, 0] * lens.K[1, 1])
        return cls(bare, np.where(np.isfinite(bare).all(-1), noise, np.nan))

    def points(self, a: Ints, b: Ints) -> tuple[Floats, Floats, Floats, Floats]:
        """Arguments of `relative_pose` for pairs of rows (F,), (F,)."""
        return (self.bare[a].reshape(-1, 2), self.bare[b].reshape(-1, 2), self.noise[a].ravel(), self.noise[b].ravel())


@dataclass(frozen=True, eq=False)
class PairFit:
    """Two views with people in common: the pose of view b relative to a, the matched tracks, and the evidence."""

    a: int
    b: int
    pose: RelativePose
    matches: tuple[tuple[int, int], ...]
    """Indices of tracks."""
    nats: float


def shared_rows(one: RowTrack, other: RowTrack, most: int = _MANY) -> tuple[Ints, Ints]:
    """Rows (F,), (F,) of two tracks at up to `most` common frames, evenly spaced."""
    _, a, b = np.intersect1d(one.frame, other.frame, assume_unique=True, return_indices=True)
    some = np.unique(np.linspace(0, len(a) - 1, min(most, len(a))).astype(int)) if len(a) else np.zeros(0, int)
    return one.row[a[some]], other.row[b[some]]


def pair_evidence(moving: MovingPeople, b_from_a: Floats, rows_a: Ints, rows_b: Ints) -> Floats:
    """Log likelihood ratio (F, J), nats, of rows of two views being the same person; 0 where a joint is not seen."""
    a, b = moving.bare[rows_a], moving.bare[rows_b]
    residual = epipolar_residual(b_from_a, a, b, moving.noise[rows_a], moving.noise[rows_b])
    seen = np.isfinite(residual)
    fit = np.where(in_front(b_from_a, a, b), np.exp(-0.5 * np.where(seen, residual, 0.0) ** 2), 0.0)
    nats = np.log((1 - _WRONG) * _CHANCE / np.sqrt(2 * np.pi) * fit + _WRONG)
    return np.asarray(np.where(seen, nats, 0.0))


def fit_pair(moving: MovingPeople, tracks: list[RowTrack], a: int, b: int) -> PairFit | None:
    """The best relative pose of two views and the people they share; None where no pose matches any."""
    mine, other = (_of_view(tracks, view) for view in (a, b))
    proposals: list[tuple[float, Floats]] = []
    for i, j in product(mine[:_MOST_TRACKS], other[:_MOST_TRACKS]):
        rows = shared_rows(tracks[i], tracks[j], _FEW)
        if len(rows[0]) < LEAST_FRAMES:
            continue
        try:
            found = relative_pose(*moving.points(*rows))
        except CalibrationError:
            continue
        proposals.append((float(pair_evidence(moving, found.b_from_a, *rows).sum()), found.b_from_a))
    best: PairFit | None = None
    for _, proposal in sorted(proposals, key=lambda one: -one[0])[:_PROPOSALS]:
        trial = _refine(moving, tracks, a, b, proposal)
        if trial is not None and (best is None or trial.nats > best.nats):
            best = trial
    return best


def _of_view(tracks: list[RowTrack], view: int) -> list[int]:
    return [index for index, track in enumerate(tracks) if track.view == view]


def _refine(moving: MovingPeople, tracks: list[RowTrack], a: int, b: int, pose: Floats) -> PairFit | None:
    """A proposal refined with all tracks that it matches, twice; None where it matches none."""
    refined: RelativePose | None = None
    for _ in range(2):
        matches = match_tracks(moving, tracks, a, b, pose)
        if not matches:
            return None
        parts = [shared_rows(tracks[i], tracks[j]) for i, j in matches]
        rows_a, rows_b = (np.concatenate(side) for side in zip(*parts, strict=True))
        of = np.repeat([i for i, _ in matches], [len(rows) for rows, _ in parts])
        joint = of[:, None] * moving.noise.shape[1] + np.arange(moving.noise.shape[1])
        try:
            refined = relative_pose(*moving.points(rows_a, rows_b), start=pose, group=joint.ravel())
        except CalibrationError:
            return None
        pose = refined.b_from_a
    matches = match_tracks(moving, tracks, a, b, pose)
    assert refined is not None
    return PairFit(a, b, refined, tuple(matches), sum(matches.values())) if matches else None


def match_tracks(
    moving: MovingPeople, tracks: list[RowTrack], a: int, b: int, b_from_a: Floats, least: float = _AGREE
) -> dict[tuple[int, int], float]:
    """Matched pairs of tracks of views a and b under a relative pose, and the evidence for each, nats.

    A track matches one of the other view at a time; `least`: mean nats a joint above which tracks match.
    """
    nats: dict[tuple[int, int], float] = {}
    for i, j in product(_of_view(tracks, a), _of_view(tracks, b)):
        rows = shared_rows(tracks[i], tracks[j])
        if len(rows[0]) < LEAST_FRAMES:
            continue
        evidence = pair_evidence(moving, b_from_a, *rows)
        seen = int(np.count_nonzero(evidence))
        if seen and evidence.sum() > least * seen:
            nats[i, j] = float(evidence.sum())
    return one_to_one(tracks, nats)


def one_to_one(tracks: list[RowTrack], nats: dict[tuple[int, int], float]) -> dict[tuple[int, int], float]:
    """The pairs of most evidence that match no track with two tracks of a view at the same time."""
    kept: dict[tuple[int, int], float] = {}
    for (i, j), evidence in sorted(nats.items(), key=lambda one: -one[1]):
        rivals = [left for left, right in kept if right == j and left != i]
        rivals_of = [right for left, right in kept if left == i and right != j]
        if not any(_together(tracks[i], tracks[k]) for k in rivals) and not any(
            _together(tracks[j], tracks[k]) for k in rivals_of
        ):
            kept[i, j] = evidence
    return kept


def _together(one: RowTrack, other: RowTrack) -> bool:
    return bool(np.isin(one.frame, other.frame, assume_unique=True).any())


def persons_of_tracks(tracks: list[RowTrack], nats: dict[tuple[int, int], float]) -> Ints:
    """Person (K,) of each track from matched pairs, the most certain first; -1 = matched with no other."""
    group = np.arange(len(tracks))
    for (i, j), _ in sorted(nats.items(), key=lambda pair: -pair[1]):
        one, other = np.flatnonzero(group == group[i]), np.flatnonzero(group == group[j])
        clash = any(
            tracks[k].view == tracks[m].view and _together(tracks[k], tracks[m]) for k, m in product(one, other)
        )
        if group[i] != group[j] and not clash:
            group[other] = group[i]
    names, size = np.unique(group, return_counts=True)
    shared = {int(name): at for at, name in enumerate(names[size > 1])}
    return np.array([shared.get(int(name), -1) for name in group], np.int64)
