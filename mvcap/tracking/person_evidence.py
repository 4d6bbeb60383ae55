"""Evidence that tracks are persons and not false positives: one sum of log-likelihood ratios in nats for each track.

A false positive is made by two views that saw different bodies or objects, or by a second detection of one body. The
terms are the ratio of the likelihoods of what was observed for a person and for a false positive; every term is smooth
and bounded, so no single weakness decides alone, and none decides by a threshold:

- ``duration``: flickers live for a fraction of ``min_seconds``. A track that the take's start or end cuts off, and
  frames too far apart for anybody to be tracked from one to the next, say little about the duration, or nothing.
- ``views``: a person is seen by as many views as others of the take are, a false positive mostly by two.
- ``size``: two rays that meet by chance, meet at the wrong depth, which gives a body of another size.
- ``agreement``: joints that several views saw but that were rejected in triangulation.
- ``joints``: few joints agree by chance more easily than many.
- ``score``: false positives have lower scores than the people of the take.
- ``alone``: a second body within another one is its second detection.

The parameters are fitted to generated takes of 2 to 8 cameras: moments, videos and takes of a few frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calib.arrays import Floats, Ints
from mvcap.structures.anthropometry import limb_lengths, typical_limbs
from mvcap.structures.poses import Poses3D, Provenance
from mvcap.tracking.tracklets import LOST_S, TrackConfig, Tracklets

TERMS = ("duration", "views", "size", "agreement", "joints", "score", "alone")
PRIOR_NATS = 2.0  # of the bodies that two views agree upon, one in eight is a false positive
_FLICKER_NATS, _LASTING_NATS = 7.0, 1.0  # against a moment's flicker; lasting false positives bound what time can say
_STAY = 120.0  # mean time a person stays, in units of min_seconds
_GHOST_VIEWS, _GHOST_MORE = 0.15, 0.1  # views beyond two of false positives: mean; share of those seen like people
_ADULTS, _CHILDREN, _GHOSTS = (0.0, 0.09), (-0.35, 0.2), (-0.2, 0.5)  # log of the size: mean, standard deviation
_CHILD_SHARE, _ANY_SHARE = 0.06, 0.03  # shares of children, and of people of any size: other joint definitions
_OWN_SIZE = 3.0  # persons of the take after whom its own size counts as much as the population's
_REJECTED, _GHOST_REJECTED = 0.1, 0.3  # shares of joints rejected: of people, of false positives
_INDEPENDENT = 2.5  # joints of a body whose rejection is independent
_FEW_JOINTS = 6.0
_MOMENT_S, _REPEATED = 0.4, 2.0  # time after which a body is seen anew; how much more all times tell than one does
_SCORE_SLOPE, _SCORE_BOUND = 3.5, 0.4
_WORTH_SAYING = 0.5  # least evidence that the record names
_WITHIN_NATS = 4.0  # against a body whose middle is that of another one


@dataclass(frozen=True)
class PersonEvidence:
    """Evidence of N tracks, in nats: a track with a negative sum is a false positive."""

    terms: Floats
    """(N, 7) in the order of ``TERMS``."""
    frames: Ints
    """(N,) frames in which each track was seen."""
    frames_per_track: float
    """Frames of a track that a person of the take is in, on average; about 1 for independent moments."""
    values: dict[str, Floats]
    """(N,) figures of each track: ``seconds``, ``views``, ``size`` (1 = an adult's), ``rejected`` (a share of the
    joints), ``joints``, ``score`` and ``within``, the share of frames inside another body."""

    @property
    def nats(self) -> Floats:
        """(N,) sums, the prior included."""
        return np.asarray(PRIOR_NATS + self.terms.sum(1))

    def figures(self, at: int) -> dict[str, float]:
        """Figures of a track for the record: frames, the sum of the evidence and its terms, nats."""
        terms = dict(zip(TERMS, self.terms[at].tolist(), strict=True))
        named = {"frames": float(self.frames[at]), "nats": float(self.nats[at]), **terms}
        return {name: round(value, 2) for name, value in named.items()}

    def words(self, at: int) -> str:
        """Describe the evidence against a track, the strongest first."""
        value = {name: float(values[at]) for name, values in self.values.items()}
        said = {
            "duration": f"seen for {value['seconds']:.2f} s",
            "views": f"seen by {value['views']:.1f} views",
            "size": f"limbs {value['size']:.2f} times as long as an adult's",
            "agreement": f"views contradict each other at {value['rejected']:.0%} of the joints",
            "joints": f"{value['joints']:.1f} joints",
            "score": f"score {value['score']:.2f}",
            "alone": f"within another person for {value['within']:.0%} of its frames",
        }
        order = np.argsort(self.terms[at], kind="stable").tolist()
        against = [said[TERMS[term]] for term in order if self.terms[at, term] < -_WORTH_SAYING]
        return "; ".join(against[:3] or [said[TERMS[order[0]]]])


def row_sums(rows: Poses3D) -> Floats:
    """What each row (M, 5) adds to a track's sums: 1, the rejected joints, and weight, size and variance of the size.

    The size is the median over limbs of the logarithm of their lengths relative to an adult's; size and variance are
    multiplied by the weight.
    """
    refused = (Provenance.CONTRADICTED, Provenance.AMBIGUOUS, Provenance.IMPLAUSIBLE)
    rejected = np.isin(rows.provenance, refused).sum(1)
    out = np.stack([np.ones(len(rows)), rejected, *np.zeros((3, len(rows)))], axis=1)
    kind = rows.skeleton
    if not len(kind.limbs) or not len(rows):
        return out
    with np.errstate(invalid="ignore", divide="ignore"):
        length = limb_lengths(kind, rows.xyz)
        share = np.log(length / typical_limbs(kind))
        variance = rows.cov[..., [0, 3, 5]].astype(np.float64).mean(-1)[:, kind.limbs].sum(-1) / length**2
    known = np.isfinite(share)
    count = np.maximum(known.sum(1), 1)
    ordered = np.sort(np.where(known, share, np.inf), axis=1)
    at = np.stack([(count - 1) // 2, count // 2], axis=1)
    size = np.take_along_axis(ordered, at, axis=1).mean(1)
    noise = np.where(known & np.isfinite(variance), np.minimum(variance, 4.0), 0.0).sum(1) / count**2
    some = known.any(1)
    weight = some / (_ADULTS[1] ** 2 + noise)
    out[:, 2:] = np.stack([weight, weight * np.where(some, size, 0.0), weight * noise], axis=1)
    return out


def person_evidence(
    tracklets: Tracklets, chains: Sequence[Sequence[int]], near: Sequence[tuple[int, int, float]], span: tuple[int, int]
) -> PersonEvidence:
    """Evidence that tracks (N), each a chain of segments, are persons.

    near: pairs of tracks, and the frames, weighted 0..1, in which both were at one position. span: first and last frame
    of the take.
    """
    held = tracklets.all
    order = np.concatenate([np.asarray(chain, np.int64) for chain in chains])
    starts = np.cumsum([0, *(len(chain) for chain in chains)])[:-1]

    def summed(values: Floats) -> Floats:
        return np.asarray(np.add.reduceat(values[order], starts, axis=0), np.float64)

    frames = summed(held["frames"])
    joints, views, score = (summed(held[name]) / frames for name in ("joints", "views", "score"))
    sums = summed(held["row_sums"])
    first = np.minimum.reduceat(held["first"][order], starts)
    last = np.maximum.reduceat(held["last"][order], starts)
    long = float((frames**2).sum() / frames.sum())
    gaps = np.stack([first - span[0], span[1] - last], axis=1)
    duration = _duration(frames, gaps, long, tracklets.config, tracklets.rate_hz)
    agreement = _agreement(joints * frames, sums[:, 1])
    parts = 0.25 - np.log1p((_FEW_JOINTS / np.maximum(joints, 0.1)) ** 2) / 2
    moments = 1 + (frames - 1) / (_MOMENT_S * tracklets.rate_hz + 1)
    repeated = _REPEATED * moments / (moments + _REPEATED - 1)
    weight = frames
    for _ in range(2):  # the people of the take are those who are probably persons
        traits = [_views(views, weight), _size(sums, weight), agreement, parts, _score(score, weight)]
        terms = [duration, *(repeated * trait for trait in traits)]
        nats = PRIOR_NATS + np.sum(terms, axis=0)
        weight = frames * _probability(nats)
    within = _within(nats, near, frames)
    some = np.maximum(sums[:, 2], 1e-9)
    values = {
        "seconds": frames / tracklets.rate_hz, "views": views, "size": np.exp(np.clip(sums[:, 3] / some, -20, 20)),
        "rejected": sums[:, 1] / np.maximum(joints * frames + sums[:, 1], 1.0), "joints": joints, "score": score,
        "within": within,
    }  # fmt: skip
    terms.append(-_WITHIN_NATS * within)
    return PersonEvidence(np.stack(terms, axis=1), frames.astype(np.int64), long, values)


def _probability(nats: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(nats, -30, 30))))


def _duration(frames: Floats, gaps: Ints, long: float, config: TrackConfig, rate_hz: float) -> Floats:
    """Evidence (N,) of the number of frames seen, with ``gaps`` (N, 2) frames to the take's start and end.

    Both kinds of track end after each frame with a constant probability. A person's is that of the take's tracks.
    """
    flicker = np.exp(-_FLICKER_NATS / (max(config.min_seconds, 1e-9) * rate_hz))
    person = np.exp(-1 / (_STAY * max(config.min_seconds, 1e-9) * rate_hz)) * (1 - 1 / max(long, 1.0) ** 2)
    ends = np.log((1 - flicker) / (1 - person))
    inside = (1 - np.exp(-np.maximum(gaps, 0) / (LOST_S * rate_hz))).sum(1)
    kept = np.log(max(flicker, 1e-300) / max(person, 1e-9))
    return np.asarray(-np.logaddexp(-_LASTING_NATS, inside * ends + (frames - 1) * min(kept, 0.0)))


def _views(views: Floats, weight: Floats) -> Floats:
    """Evidence (N,) of the mean number of views: exponential distributions of the views beyond two."""
    more = np.maximum(views - 2.0, 0.0)
    mean = _GHOST_VIEWS + float((more * weight).sum() / max(weight.sum(), 1e-9))
    person, ghost = (-more / one - np.log(one) for one in (mean, _GHOST_VIEWS))
    return np.asarray(person - np.logaddexp(np.log(1 - _GHOST_MORE) + ghost, np.log(_GHOST_MORE) + person))


def _size(sums: Floats, weight: Floats) -> Floats:
    """Evidence (N,) of the body's size, relative to an adult's and to that of the take's people."""
    known = sums[:, 2] > 0
    total = np.where(known, sums[:, 2], 1.0)
    size, variance = np.where(known, sums[:, 3] / total, 0.0), sums[:, 4] / total
    persons = float(weight.sum() ** 2 / max((weight**2).sum(), 1e-9))
    own = weighted_median(size[known], weight[known]) if known.any() else 0.0
    away = size - own * persons / (persons + _OWN_SIZE)
    adult, child, ghost = (
        -((away - mean) ** 2) / (2 * (spread**2 + variance)) - np.log(spread**2 + variance) / 2
        for mean, spread in (_ADULTS, _CHILDREN, _GHOSTS)
    )
    person = np.logaddexp(adult + np.log(1 - _CHILD_SHARE), child + np.log(_CHILD_SHARE))
    person = np.logaddexp(person + np.log(1 - _ANY_SHARE), ghost + np.log(_ANY_SHARE))
    return np.asarray(np.where(known, person - ghost, 0.0))


def _agreement(measured: Floats, rejected: Floats) -> Floats:
    """Evidence (N,) of the share of joints that were rejected, of those that two or more views saw."""
    share = rejected / np.maximum(measured + rejected, 1.0)
    for_, against = np.log((1 - _REJECTED) / (1 - _GHOST_REJECTED)), np.log(_REJECTED / _GHOST_REJECTED)
    return np.asarray(_INDEPENDENT * ((1 - share) * for_ + share * against))


def _score(score: Floats, weight: Floats) -> Floats:
    """Evidence (N,) of the score relative to that of the take's people."""
    typical = max(weighted_median(score, weight), 1e-3)
    ratio = np.log(np.maximum(score, 1e-3) / typical)
    level = np.log1p(np.exp(-_SCORE_BOUND))
    return np.asarray(level - np.logaddexp(-_SCORE_BOUND, -_SCORE_SLOPE * ratio))


def _within(nats: Floats, near: Sequence[tuple[int, int, float]], frames: Floats) -> Floats:
    """Share (N,) of a track's frames at the position of a track with more evidence."""
    share, person = np.zeros(len(nats)), _probability(nats)
    for one, other, count in near:
        weak, strong = (one, other) if (nats[one], frames[one]) < (nats[other], frames[other]) else (other, one)
        share[weak] = max(share[weak], count * person[strong] / frames[weak])
    return np.asarray(np.minimum(share, 1.0))


def weighted_median(values: Floats, weight: Floats) -> float:
    """Median of values (N,) with weights (N,) of 0 or more, not all 0."""
    order = np.argsort(values)
    below = np.cumsum(weight[order])
    return float(values[order][min(int(np.searchsorted(below, below[-1] / 2)), len(values) - 1)])
