"""Systematic error of each view: what all joints of a person are displaced by together, beyond the detection noise.

A camera that is turned, moved or late displaces all joints of a person in its picture alike; the noise of a detector
displaces each joint on its own. So the mean residual of a person's joints tells them apart. A triangulation that fits
its views hides a part of the errors: of 2 C coordinates of C views it takes up three.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.arrays import Floats
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.triangulation.reprojection_residuals import linked_offsets

_LEAST_JOINTS = 4  # fewer have no mean
_GATE_SIGMA = 5.0  # a larger residual is an outlier, of which the triangulation made no use
_ALIKE = 0.5  # least share of joints within the gate: otherwise the row is of another person


class SystematicError:
    """Mean square of the common displacement in each view, added chunk by chunk, in constant memory."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._square = np.zeros(len(rig))
        self._count = np.zeros(len(rig))

    def add(self, found: Detections2D, raw: Poses3D) -> None:
        """Add detections and the raw poses triangulated from them, linked by frame and group."""
        linked = linked_offsets(found, raw, self._rig)
        if not len(linked.row):
            return
        view, off, noise = linked.view, linked.off_px, linked.noise_px.astype(np.float64)
        views = raw.views[linked.pose].astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            known = np.isfinite(off).all(-1) & (noise > 0) & (views > 1)
            used = known & ((off**2).sum(-1) <= (_GATE_SIGMA * noise) ** 2)
            weight = np.where(used, 1 / noise**2, 0)
            total, count = weight.sum(-1), used.sum(-1)
            whole = (count >= _LEAST_JOINTS) & (count >= _ALIKE * known.sum(-1))
            mean = (np.where(used, weight, 0)[..., None] * np.where(used[..., None], off, 0)).sum(1) / total[:, None]
            # Residuals are smaller than errors by the share of the coordinates that the triangulation takes up.
            visible = (weight * (1 - 1.5 / np.maximum(views, 2))).sum(-1) / total
            square = (mean**2).sum(-1) / 2 / visible - 1 / total
        at = np.flatnonzero(whole)
        np.add.at(self._square, view[at], square[at] / self._rig.focal[view[at]] ** 2)
        np.add.at(self._count, view[at], 1)

    def error_px(self) -> NDArray[np.float64]:
        """Systematic error (C,) px of each view along each axis; 0 where there is none or too little was seen.

        Disagreement cannot be fully attributed to one view, so each view's variance is averaged with that of all.
        """
        seen = self._count > 0
        if not seen.any():
            return np.zeros(len(self._count))
        mean = self._square.sum() / self._count.sum()
        own: Floats = np.where(seen, self._square / np.maximum(self._count, 1), mean)
        return np.asarray(np.sqrt(np.maximum((own + mean) / 2, 0)) * self._rig.focal)
