"""Who is who from frame to frame within one view, in pixels alone: before there is a rig, nothing else is known.

A person is linked to the nearest row of the next frames, distances measured joint by joint in sizes of the body. Where
two rows are about as near, the track ends and others begin: a short track of one person is worth more than a long one
of two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calib.arrays import Floats, Ints
from mvcap.structures.detections import Detections2D, body_size

_GAP = 5  # frames that a person may be missing
_REACH, _DRIFT = 0.15, 0.05  # sizes of the body that a joint may be off at once, and more for each frame missed
_RIVAL = 3.0  # times as far off as the nearest row, another row is no rival
_JOINTS = 4  # that two rows need to share


@dataclass(frozen=True, eq=False)
class ViewTrack:
    """One person in one view: rows (F,) of the detections and their frames (F,), in order."""

    view: int
    row: Ints
    frame: Ints


def view_tracks(rows: Detections2D, least_frames: int = 10) -> list[ViewTrack]:
    """Tracks of all views of at least so many frames, the longest of a view first."""
    tracks: list[ViewTrack] = []
    for view in np.unique(rows.view).tolist():
        mine = np.flatnonzero(rows.view == view)
        mine = mine[np.argsort(rows.frame[mine], kind="stable")]
        linked = [np.array(track) for track in _linked(rows, mine) if len(track) >= least_frames]
        found = [ViewTrack(int(view), track, rows.frame[track].astype(np.int64)) for track in linked]
        tracks += sorted(found, key=lambda track: -len(track.row))
    return tracks


def _linked(rows: Detections2D, mine: Ints) -> list[list[int]]:
    """Lists of rows of one view, ordered by frame, that are one person each."""
    frame, size = rows.frame, body_size(rows.box.astype(np.float64))
    xy = rows.xy.astype(np.float64)
    done: list[list[int]] = []
    going: list[list[int]] = []
    for now in np.unique(frame[mine]).tolist():
        here = mine[frame[mine] == now]
        done += [track for track in going if now - frame[track[-1]] > _GAP]
        going = [track for track in going if now - frame[track[-1]] <= _GAP]
        off = _distances(going, here, xy, frame, size, now)
        taken = _pairs(off)
        ended = {one for one, _ in taken if _has_rival(off, one, dict(taken)[one])}
        for one, row in taken:
            if one not in ended:
                going[one].append(int(here[row]))
        kept = {row for one, row in taken if one not in ended}
        done += [going[one] for one in ended]
        going = [track for one, track in enumerate(going) if one not in ended]
        going += [[int(row)] for at, row in enumerate(here.tolist()) if at not in kept]
    return done + going


def _distances(going: list[list[int]], here: Ints, xy: Floats, frame: Ints, size: Floats, now: int) -> Floats:
    """How far (K, M) rows are from where tracks go on to, in units of what is allowed; infinite where unknown."""
    out = np.full((len(going), len(here)), np.inf)
    for one, track in enumerate(going):
        last = track[-1]
        ahead = now - int(frame[last])
        expected = xy[last] + _motion(track, xy, frame) * ahead
        off = np.linalg.norm(xy[here] - expected, axis=-1)
        allowed = (_REACH + _DRIFT * (ahead - 1)) * size[last]
        enough = np.isfinite(off).sum(1) >= _JOINTS
        if enough.any():
            out[one, enough] = _middle(off[enough]) / allowed
    return np.where(out <= 1, out, np.inf)


def _motion(track: list[int], xy: Floats, frame: Ints) -> Floats:
    """Motion (2,) of the body as a whole, px a frame."""
    if len(track) < 2:
        return np.zeros(2)
    last, before = track[-1], track[-2]
    moved = xy[last] - xy[before]
    if not np.isfinite(moved).any():
        return np.zeros(2)
    return np.asarray(_middle(moved.T) / (frame[last] - frame[before]))


def _middle(values: Floats) -> Floats:
    """Median (K,) over (K, J) of what is there, the lower one of two."""
    count = np.isfinite(values).sum(1)
    return np.asarray(np.take_along_axis(np.sort(values, 1), np.maximum(count - 1, 0)[:, None] // 2, 1)[:, 0])


def _pairs(off: Floats) -> list[tuple[int, int]]:
    """Tracks and rows that belong together, the nearest first."""
    taken: list[tuple[int, int]] = []
    left = off.copy()
    while left.size and np.isfinite(left.min()):
        one, row = (int(at) for at in np.unravel_index(left.argmin(), left.shape))
        taken.append((one, row))
        left[one], left[:, row] = np.inf, np.inf
    return taken


def _has_rival(off: Floats, one: int, row: int) -> bool:
    """Whether the track could as well go on with another row, or the row belong to another track."""
    own = max(off[one, row], 0.1)
    others = np.concatenate([np.delete(off[one], row), np.delete(off[:, row], one)])
    return bool((others < _RIVAL * own).any())
