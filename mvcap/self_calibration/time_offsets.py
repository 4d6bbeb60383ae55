"""Views that are not in step, told from people who move: how late each is, and its detections as if it were not.

Each pair of views is tried with one some whole frames later than the other, its relative pose found anew each time:
arms and legs swing against the body, so that it is no matter whether all walk the same way. Between frames the best is
where a parabola has its top.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np

from calib import CalibrationError
from calib.arrays import Floats, Ints
from calib.geometry import invert
from calib.poses.relative_pose import relative_pose
from mvcap.self_calibration.cross_view_matches import LEAST_FRAMES, MovingPeople, pair_evidence, shared_rows
from mvcap.self_calibration.single_view_tracks import ViewTrack
from mvcap.structures.detections import Detections2D

_REACH = 6  # frames that are tried to either side
_SURE = 4.0  # standard deviations from zero
_ALIKE = 20.0  # neighbouring joints and frames have errors in common: so many count for one
_LEAST = 0.3  # frames: less is not worth the interpolation
_FIRM = 1e6
_FLOOR = 0.05  # frames, that no pair tells better than


def estimate_late_frames(
    moving: MovingPeople, tracks: list[ViewTrack], person: Ints, poses: dict[int, Floats], views: int
) -> tuple[Floats, Floats]:
    """How many frames later (C,) each view shows the same than they do on average, and the standard deviations.

    person (K,): who each track is. NaN for views that no other tells about.
    """
    rows, right, weight = [], [], []
    for a, b in combinations(sorted(poses), 2):
        told = _between(moving, tracks, person, a, b, poses[b] @ invert(poses[a]))
        if told is None:
            continue
        rows.append(np.eye(views)[b] - np.eye(views)[a])
        right.append(told[0])
        weight.append(1 / (told[1] ** 2 + _FLOOR**2))
    out, sigma = np.full(views, np.nan), np.full(views, np.nan)
    if not rows:
        return out, sigma
    table, scale = np.array(rows), np.array(weight)
    known = np.flatnonzero(np.abs(table).any(0))
    table = table[:, known]
    # They are zero on average: nobody's clock is the right one.
    normal = table.T @ (scale[:, None] * table) + _FIRM * np.ones((len(known), len(known)))
    out[known] = np.linalg.solve(normal, table.T @ (scale * np.array(right)))
    sigma[known] = np.sqrt(np.diag(np.linalg.inv(normal)))
    return out, sigma


def shift_is_significant(late: Floats, sigma: Floats) -> Floats:
    """The frames (C,) by which views are surely late, 0 for the others; the views that agree are in step."""
    known = np.isfinite(late)
    if known.sum() < 2:
        return np.zeros(len(late))
    off = np.nan_to_num(late - np.median(late[known]))
    sure = (np.abs(off) > _LEAST) & (np.abs(off) > _SURE * np.nan_to_num(sigma, nan=np.inf))
    return np.where(sure, off, 0.0)


def _between(
    moving: MovingPeople, tracks: list[ViewTrack], person: Ints, a: int, b: int, b_from_a: Floats
) -> tuple[float, float] | None:
    """How many frames b is later than a, and the standard deviation; None where they cannot tell."""
    shifts = np.arange(-_REACH, _REACH + 1)
    told, start = np.full(len(shifts), np.nan), b_from_a
    most = 0
    for side in (shifts[shifts >= 0], shifts[shifts < 0][::-1]):
        pose = start
        for shift in side.tolist():
            found = _told(moving, tracks, person, a, b, shift, pose)
            if found is None:
                return None
            told[shift + _REACH], count, pose = found
            most = max(most, count)
            start = pose if shift == 0 else start
    at = int(told.argmax())
    if not 0 < at < len(shifts) - 1:
        return None
    left, top, right = told[at - 1 : at + 2]
    bend = left - 2 * top + right
    late = float(shifts[at] + 0.5 * (left - right) / bend)
    return late, float(np.sqrt(_ALIKE / (-bend * most)))


def _told(
    moving: MovingPeople, tracks: list[ViewTrack], person: Ints, a: int, b: int, late: int, b_from_a: Floats
) -> tuple[float, int, Floats] | None:
    """Nats a joint, joints, and the pose of b, where b is so many frames late; None where they share too little."""
    parts = []
    for i, one in enumerate(tracks):
        for j, other in enumerate(tracks):
            if one.view == a and other.view == b and person[i] == person[j] >= 0:
                shared = shared_rows(one, replace(other, frame=other.frame - late))
                parts += [shared] if len(shared[0]) >= LEAST_FRAMES else []
    if not parts:
        return None
    rows_a, rows_b = (np.concatenate(side) for side in zip(*parts, strict=True))
    try:
        pose = relative_pose(*moving.points(rows_a, rows_b), start=b_from_a).b_from_a
    except CalibrationError:
        pose = b_from_a
    nats = pair_evidence(moving, pose, rows_a, rows_b)
    count = int(np.count_nonzero(nats))
    return float(nats.sum() / max(count, 1)), count, pose


def synchronise(rows: Detections2D, tracks: list[ViewTrack], late: Floats) -> Detections2D:
    """The rows as they would be if no view were late (C,): each track looked at so many frames later."""
    xy, score, noise = (np.array(part, np.float64) for part in (rows.xy, rows.score, rows.noise_px))
    for track in tracks:
        if late[track.view] == 0:
            continue
        wanted = track.frame + late[track.view]
        right = np.clip(np.searchsorted(track.frame, wanted), 1, len(track.frame) - 1)
        left = right - 1
        near = (wanted >= track.frame[left]) & (wanted <= track.frame[right])
        near &= track.frame[right] - track.frame[left] == 1
        share = wanted - track.frame[left]
        one, two = track.row[left], track.row[right]
        mixed = (1 - share)[:, None, None] * rows.xy[one] + share[:, None, None] * rows.xy[two]
        there = near[:, None] & np.isfinite(mixed).all(-1)
        xy[track.row] = np.where(there[..., None], mixed, np.nan)
        score[track.row] = np.where(there, np.minimum(rows.score[one], rows.score[two]), 0)
        noise[track.row] = np.where(there, np.maximum(rows.noise_px[one], rows.noise_px[two]), np.nan)
    return rows.with_columns(xy=xy, score=score, noise_px=noise)
