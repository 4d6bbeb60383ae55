"""Poses of people of stated statures on stated paths, and both passes of tracking over them, without a session."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from synthetic_take import COCO, RATE_HZ, body

from mvcap.structures.poses import Poses3D
from mvcap.tracking.tracklet_linking import TrackletLinker
from mvcap.tracking.tracklet_merging import TrackletMerger
from mvcap.tracking.tracklets import TrackConfig

NOISE_M = 0.008
SMALL, MIDDLE, TALL = 0.88, 1.0, 1.12
_DIAGONAL = np.array([1, 0, 0, 1, 0, 1])


def figure(time_s, place, scale=1.0, phase=0.0):
    """Joints (17, 3) m of a walking person of a stature, as a share of the typical one, at a place (x, y) m."""
    middle = np.array([*place, 0.0])
    return (body(time_s, (*place, 0.0, phase, 1e-9)) - middle) * scale + middle


def table(frame, person, xyz, noise_m=NOISE_M, views=4, score=0.9):
    """Rows of joints (M, 17, 3) m whose covariance is that of the noise; group = person."""
    missing = np.isnan(xyz).any(-1)
    cov = np.broadcast_to(noise_m**2 * _DIAGONAL, (*missing.shape, 6))
    person = np.asarray(person, np.int32)
    return Poses3D(
        COCO, np.asarray(frame), person, person, xyz, np.where(missing, 0, score), np.where(missing, np.nan, 1.0),
        np.where(missing, 0, views), np.where(missing[..., None], np.nan, cov), ~missing,
    )  # fmt: skip


def walkers(frames, *people, rate_hz=RATE_HZ, noise_m=NOISE_M, seed=0):
    """Rows in order of frames of persons 1, 2 ..., each a path (place by time, or None) and a stature."""
    rng = np.random.default_rng(seed)
    rows = [
        (frame, person, figure(frame / rate_hz, place, scale, person))
        for frame in range(frames)
        for person, (path, scale) in enumerate(people, 1)
        if (place := path(frame / rate_hz)) is not None
    ]
    xyz = np.array([row[2] for row in rows]).reshape(-1, len(COCO), 3)
    noise = rng.normal(0, 1, xyz.shape) * noise_m
    return table([row[0] for row in rows], [row[1] for row in rows], xyz + noise, max(noise_m, 1e-3))


def line(start, speed):
    """A straight path."""
    return lambda time_s: np.array(start) + np.array(speed) * time_s


def within(path, *spells):
    """The path within spells of time, None outside."""
    return lambda time_s: path(time_s) if any(start <= time_s < stop for start, stop in spells) else None


def numbered_anew(rows, seed=1):
    """The same people in another order in each frame, with group numbers that mean nothing from frame to frame."""
    order = np.lexsort((np.random.default_rng(seed).random(len(rows)), rows.frame))
    rows = rows[order]
    return rows.with_columns(group=np.arange(len(rows)) - np.searchsorted(rows.frame, rows.frame))


def frames_of(rows):
    """The rows of each frame, in order."""
    for frame in np.unique(rows.frame):
        yield rows[rows.frame == frame]


@dataclass
class Tracked:
    """Both passes over a take."""

    linker: TrackletLinker
    merger: TrackletMerger
    ident: np.ndarray
    """(M,) tracklet of each row."""
    person: np.ndarray
    """(M,) person of each row, 0 = none."""
    record: list[dict[str, Any]]

    @property
    def kinds(self):
        """What the second pass changed, in order."""
        return [one["what"] for one in self.record]

    def persons_of(self, rows):
        """By true person the set of numbers that its rows have."""
        return {int(who): set(self.person[rows.person == who].tolist()) for who in np.unique(rows.person)}


def linked(rows, follows=False, rate_hz=RATE_HZ, **settings):
    """The first pass: the linker and each row's tracklet."""
    linker = TrackletLinker(rows.skeleton, TrackConfig(**settings), rate_hz, follows)
    ident = linker.link_rows(rows).astype(np.int64)
    linker.end()
    return linker, ident


def tracked(rows, follows=False, rate_hz=RATE_HZ, **settings):
    """Both passes over rows whose column person is the truth."""
    linker, ident = linked(rows, follows, rate_hz, **settings)
    merger = TrackletMerger(linker.tracklets, linker.encounters, linker.tracker.switches, follows)
    persons = merger.persons()
    piece = linker.tracklets.pieces_at(ident, rows.frame.astype(np.int64))
    return Tracked(linker, merger, ident, np.append(persons, 0)[piece], merger.record(persons))
