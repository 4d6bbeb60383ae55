"""Joints of the people in each view as dense arrays over the view's own frames, undistorted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calib import Rig
from calib.arrays import Floats, Ints
from mvcap.self_calibration.single_view_tracks import view_tracks
from mvcap.structures.detections import Detections2D

_LEAST_FRAMES = 6
_MOST_SLOTS = 6
CALIBRATION_PX = (1.5, 4.0)
"""Standard deviations of errors that are not the detector's: calibration, and definitions of joints. The first is that
of a good rig; that of a recording whose rig was left untouched for years is nearer to the second."""


@dataclass(frozen=True, eq=False)
class ViewJoints:
    """People of one view over its T own frames, P at most at a time, J joints.

    xy (T, P, J, 2) undistorted, in units of the focal length, NaN where unknown; sigma (T, P, J) its standard
    deviation; track (T, P) number of the track within the view, -1 = nobody.
    """

    xy: Floats
    sigma: Floats
    track: Ints

    @property
    def frames(self) -> int:
        """Number of frames T."""
        return len(self.xy)

    def at(self, wanted: Floats) -> tuple[Floats, Floats, Floats]:
        """Return xy, velocity (each (N, P, J, 2)) a frame and sigma at own frames (N,), interpolated in tracks.

        The velocity is from frames on either side of the two interpolated ones: its error is independent of theirs.
        """
        left = np.floor(wanted).astype(np.int64)
        share = (wanted - left)[:, None, None, None]
        rows = [np.clip(left + step, 0, self.frames - 1) for step in (-1, 0, 1, 2)]
        before, one, two, after = (self.xy[row] for row in rows)
        same = np.all([self.track[row] == self.track[rows[1]] for row in rows], 0) & (self.track[rows[1]] >= 0)
        same &= ((left >= 1) & (left + 2 < self.frames))[:, None]
        known = same[..., None, None]
        xy = np.where(known, (1 - share) * one + share * two, np.nan)
        velocity = np.where(known, (after - before) / 3, np.nan)
        sigma = np.maximum(self.sigma[rows[1]], self.sigma[rows[2]])
        return xy, velocity, sigma


def joints_of_views(
    rows: Detections2D, rig: Rig, frames: int, calibration_px: float = CALIBRATION_PX[0]
) -> list[ViewJoints]:  # fmt: skip
    """Return the tracked people of every view of the rig over `frames` frames; rows without a track are left out.

    calibration_px: standard deviation of errors that are not the detector's.
    """
    body = rows.of_body()
    held = view_tracks(body, _LEAST_FRAMES)
    out = []
    for view, camera in enumerate(rig):
        mine = [track for track in held if track.view == view]
        shape = (frames, _MOST_SLOTS, len(body.skeleton))
        xy, sigma, number = np.full((*shape, 2), np.nan), np.full(shape, np.nan), np.full(shape[:2], -1)
        for index, track in enumerate(mine):
            span = slice(int(track.frame[0]), int(track.frame[-1]) + 1)
            free = np.flatnonzero((number[span] < 0).all(0))
            if not len(free):
                continue
            at = track.frame, int(free[0])
            points = body.xy[track.row].astype(np.float64)
            known = np.isfinite(points).all(-1)
            flat = np.full(points.shape, np.nan)
            flat[known] = camera.lens.undistort(points[known])
            xy[at] = flat
            noise = np.hypot(body.noise_px[track.row].astype(np.float64), calibration_px)
            sigma[at] = noise / np.sqrt(camera.lens.K[0, 0] * camera.lens.K[1, 1])
            number[at] = index
        used = max(int((number >= 0).any(0).sum()), 1)
        out.append(ViewJoints(xy[:, :used], sigma[:, :used], number[:, :used]))
    return out
