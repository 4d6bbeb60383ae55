"""Time offsets of views from moving people, and detections interpolated to synchronous times.

For each pair of views, shifts by whole frames are tried, and the relative pose is refined for each: arms and legs swing
against the body, so the offset is observable even if all people walk in the same direction. The maximum of a parabola
gives the offset between frames.
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
from mvcap.self_calibration.single_view_tracks import RowTrack
from mvcap.structures.detections import Detections2D

_REACH = 6  # largest shift tried, frames
_SURE = 4.0  # standard deviations from zero of a significant offset
_ALIKE = 20.0  # joints and frames that count as one independent observation, as their errors are correlated
_LEAST = 0.3  # frames: smaller offsets are not corrected
_ZERO_MEAN = 1e6
_FLOOR = 0.05  # frames, least standard deviation of a pair's offset


def estimate_late_frames(
    moving: MovingPeople, tracks: list[RowTrack], person: Ints, poses: dict[int, Floats], views: int
) -> tuple[Floats, Floats]:
    """Delay (C,) of each view relative to their mean, frames, and its standard deviation (C,).

    person (K,): the person of each track. NaN for views that are compared with no other.
    """
    rows, right, weight = [], [], []
    for a, b in combinations(sorted(poses), 2):
        found = _pair_offset(moving, tracks, person, a, b, poses[b] @ invert(poses[a]))
        if found is None:
            continue
        rows.append(np.eye(views)[b] - np.eye(views)[a])
        right.append(found[0])
        weight.append(1 / (found[1] ** 2 + _FLOOR**2))
    out, sigma = np.full(views, np.nan), np.full(views, np.nan)
    if not rows:
        return out, sigma
    table, scale = np.array(rows), np.array(weight)
    known = np.flatnonzero(np.abs(table).any(0))
    table = table[:, known]
    # The mean delay is zero: no view is the reference.
    normal = table.T @ (scale[:, None] * table) + _ZERO_MEAN * np.ones((len(known), len(known)))
    out[known] = np.linalg.solve(normal, table.T @ (scale * np.array(right)))
    sigma[known] = np.sqrt(np.diag(np.linalg.inv(normal)))
    return out, sigma


def shift_is_significant(late: Floats, sigma: Floats) -> Floats:
    """Delays (C,) relative to the median, frames, where they are significant; 0 for the other views."""
    known = np.isfinite(late)
    if known.sum() < 2:
        return np.zeros(len(late))
    offset = np.nan_to_num(late - np.median(late[known]))
    sure = (np.abs(offset) > _LEAST) & (np.abs(offset) > _SURE * np.nan_to_num(sigma, nan=np.inf))
    return np.where(sure, offset, 0.0)


def _pair_offset(
    moving: MovingPeople, tracks: list[RowTrack], person: Ints, a: int, b: int, b_from_a: Floats
) -> tuple[float, float] | None:
    """Delay of b relative to a, frames, and its standard deviation; None where it is undetermined."""
    shifts = np.arange(-_REACH, _REACH + 1)
    score, start = np.full(len(shifts), np.nan), b_from_a
    most = 0
    for side in (shifts[shifts >= 0], shifts[shifts < 0][::-1]):
        pose = start
        for shift in side.tolist():
            found = _score_shift(moving, tracks, person, a, b, shift, pose)
            if found is None:
                return None
            score[shift + _REACH], count, pose = found
            most = max(most, count)
            start = pose if shift == 0 else start
    at = int(score.argmax())
    if not 0 < at < len(shifts) - 1:
        return None
    left, top, right = score[at - 1 : at + 2]
    bend = left - 2 * top + right
    late = float(shifts[at] + 0.5 * (left - right) / bend)
    return late, float(np.sqrt(_ALIKE / (-bend * most)))


def _score_shift(
    moving: MovingPeople, tracks: list[RowTrack], person: Ints, a: int, b: int, late: int, b_from_a: Floats
) -> tuple[float, int, Floats] | None:
    """Mean nats a joint, number of joints, and the pose of b for a delay of b; None where they share too little."""
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


def synchronise(rows: Detections2D, tracks: list[RowTrack], late: Floats) -> Detections2D:
    """The rows at synchronous times: each track interpolated at its view's delay (C,), frames."""
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
        interpolated = (1 - share)[:, None, None] * rows.xy[one] + share[:, None, None] * rows.xy[two]
        there = near[:, None] & np.isfinite(interpolated).all(-1)
        xy[track.row] = np.where(there[..., None], interpolated, np.nan)
        score[track.row] = np.where(there, np.minimum(rows.score[one], rows.score[two]), 0)
        noise[track.row] = np.where(there, np.maximum(rows.noise_px[one], rows.noise_px[two]), np.nan)
    return rows.with_columns(xy=xy, score=score, noise_px=noise)
