"""Poses at the moments that the images of views with clocks of their own show, as ``mvcap sync`` found these clocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvcap.structures.poses import Poses3D
from mvcap.structures.view_offsets import ViewOffsets


def image_moments(
    offsets: ViewOffsets, frame: int, frames: int, rate_hz: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return each view's own frame (C,) nearest to a common frame, and how many frames later (C,) than that it shows.

    Own frames are -1 outside the take; the second are from -0.5 to 0.5.
    """
    late = offsets.late_frames(np.array([frame]), rate_hz)[0]
    own = np.floor(frame + late + 0.5)
    inside = (own >= 0) & (own < frames)
    return np.where(inside, own, -1).astype(np.int64), np.asarray(own - frame - late)


def poses_at(rows: Poses3D, around: Poses3D, later: float) -> NDArray[np.float64]:
    """Return positions (M, J, 3) m of rows of one frame at a time so many frames later, at most half a frame or so.

    around: poses that include those of the frames before and after. A parabola through the three frames, a line through
    two; a joint that is in none of the others stays where it is.
    """
    xyz = rows.xyz.astype(np.float64)
    if not later:
        return xyz
    before, after = (_of_frame(rows, around, step) for step in (-1, 1))
    known = np.isfinite(before).all(-1, keepdims=True), np.isfinite(after).all(-1, keepdims=True)
    before = np.where(known[0], before, np.where(known[1], 2 * xyz - after, xyz))
    after = np.where(known[1], after, np.where(known[0], 2 * xyz - before, xyz))
    return np.asarray(xyz + later * (after - before) / 2 + later**2 * (after + before - 2 * xyz) / 2)


def _of_frame(rows: Poses3D, around: Poses3D, step: int) -> NDArray[np.float64]:
    """Positions (M, J, 3) m of the same people some frames later; NaN where they are not there."""
    out = np.full(rows.xyz.shape, np.nan)
    for at, (frame, person) in enumerate(zip(rows.frame.tolist(), rows.person.tolist(), strict=True)):
        mine = np.flatnonzero((around.frame == frame + step) & (around.person == person))
        if len(mine):
            out[at] = around.xyz[mine[0]]
    return out
