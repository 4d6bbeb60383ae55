"""Tracks people from frame to frame within one view, in pixels alone, as long as there is no rig.

A person is linked to the nearest row of the next frames, with distances measured joint by joint in body sizes. Where
two rows are about equally near, the track ends and others begin: a short track of one person is better than a long one
with an identity switch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calib.arrays import Floats, Ints
from mvcap.structures.detections import Detections2D, body_size

_GAP = 5  # longest gap of a track, frames
_REACH, _DRIFT = 0.15, 0.05  # gate in body sizes, and its growth for each missed frame
_RIVAL = 3.0  # times the distance of the nearest row, beyond which another row makes no ambiguity
_JOINTS = 4  # least joints that two rows share


@dataclass(frozen=True, eq=False)
class RowTrack:
    """One person in one view: rows (F,) of the detections and their frames (F,), in order."""

    view: int
    row: Ints
    frame: Ints


def view_tracks(rows: Detections2D, least_frames: int = 10) -> list[RowTrack]:
    """Tracks of all views of at least `least_frames` frames, the longest of each view first."""
    tracks: list[RowTrack] = []
    for view in np.unique(rows.view).tolist():
        mine = np.flatnonzero(rows.view == view)
        mine = mine[np.argsort(rows.frame[mine], kind="stable")]
        linked = [np.array(track) for track in _link_rows(rows, mine) if len(track) >= least_frames]
        found = [RowTrack(int(view), track, rows.frame[track].astype(np.int64)) for track in linked]
        tracks += sorted(found, key=lambda track: -len(track.row))
    return tracks


def _link_rows(rows: Detections2D, mine: Ints) -> list[list[int]]:
    """Lists of rows of one view, ordered by frame, one person each."""
    frame, size = rows.frame, body_size(rows.box.astype(np.float64))
    xy = rows.xy.astype(np.float64)
    done: list[list[int]] = []
    active: list[list[int]] = []
    for now in np.unique(frame[mine]).tolist():
        here = mine[frame[mine] == now]
        done += [track for track in active if now - frame[track[-1]] > _GAP]
        active = [track for track in active if now - frame[track[-1]] <= _GAP]
        cost = _distances(active, here, xy, frame, size, now)
        taken = _assign(cost)
        ended = {one for one, _ in taken if _has_rival(cost, one, dict(taken)[one])}
        for one, row in taken:
            if one not in ended:
                active[one].append(int(here[row]))
        kept = {row for one, row in taken if one not in ended}
        done += [active[one] for one in ended]
        active = [track for one, track in enumerate(active) if one not in ended]
        active += [[int(row)] for at, row in enumerate(here.tolist()) if at not in kept]
    return done + active


def _distances(active: list[list[int]], here: Ints, xy: Floats, frame: Ints, size: Floats, now: int) -> Floats:
    """Distances (K, M) of rows from the predictions of tracks, in units of the gate; infinite beyond or unknown."""
    out = np.full((len(active), len(here)), np.inf)
    for one, track in enumerate(active):
        last = track[-1]
        ahead = now - int(frame[last])
        expected = xy[last] + _motion(track, xy, frame) * ahead
        distance = np.linalg.norm(xy[here] - expected, axis=-1)
        allowed = max((_REACH + _DRIFT * (ahead - 1)) * size[last], 1e-9)
        enough = np.isfinite(distance).sum(1) >= _JOINTS
        if enough.any():
            out[one, enough] = _lower_median(distance[enough]) / allowed
    return np.where(out <= 1, out, np.inf)


def _motion(track: list[int], xy: Floats, frame: Ints) -> Floats:
    """Velocity (2,) of the whole body, px a frame."""
    if len(track) < 2:
        return np.zeros(2)
    last, before = track[-1], track[-2]
    moved = xy[last] - xy[before]
    if not np.isfinite(moved).any():
        return np.zeros(2)
    return np.asarray(_lower_median(moved.T) / (frame[last] - frame[before]))


def _lower_median(values: Floats) -> Floats:
    """Lower median (K,) over (K, J) of the known values."""
    count = np.isfinite(values).sum(1)
    return np.asarray(np.take_along_axis(np.sort(values, 1), np.maximum(count - 1, 0)[:, None] // 2, 1)[:, 0])


def _assign(cost: Floats) -> list[tuple[int, int]]:
    """Assigned tracks and rows, the nearest first."""
    taken: list[tuple[int, int]] = []
    left = cost.copy()
    while left.size and np.isfinite(left.min()):
        one, row = (int(at) for at in np.unravel_index(left.argmin(), left.shape))
        taken.append((one, row))
        left[one], left[:, row] = np.inf, np.inf
    return taken


def _has_rival(cost: Floats, one: int, row: int) -> bool:
    """Whether the assignment is ambiguous: the track has another near row, or the row another near track."""
    own = max(cost[one, row], 0.1)
    others = np.concatenate([np.delete(cost[one], row), np.delete(cost[:, row], one)])
    return bool((others < _RIVAL * own).any())
