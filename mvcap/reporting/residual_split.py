"""Whether the rig or the detector is at fault: residuals in parts, and whether adjusting the rig would help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from calib import Rig
from calib.arrays import Bools, Floats
from calib.errors import CalibrationError
from calib.refit import refit
from mvcap.errors import InputError
from mvcap.reporting.figures import tidy
from mvcap.reporting.reason import LIMITS, Reason
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton
from mvcap.triangulation.joint_observations import mirrored_joints
from mvcap.triangulation.residual_parts import ResidualParts, ResidualSample
from mvcap.triangulation.view_lag import ViewLag

_RELEVANT = 0.25  # of the accuracy wanted, from which the constant part of a view matters
_SURE = 4.0  # standard deviations of the constant part; few stretches of time leave these uncertain
_OF_ALL = 0.5  # of a person's squared displacement, which that of the other people has to predict
_TRIAL_SEEN = 4000  # observations of a trial adjustment
_NAMED = 3  # views named in a reason


class ResidualSplit:
    """Residuals of a whole take in parts by view and joint, added chunk by chunk, in bounded memory."""

    def __init__(self, rig: Rig, skeleton: Skeleton, rate_hz: float) -> None:
        self._rig, self._skeleton, self._rate_hz = rig, skeleton, rate_hz
        self._sample = ResidualSample(rig, skeleton, rate_hz)

    def add(self, detections: Detections2D, poses: Poses3D) -> None:
        """Add a chunk of associated detections and the poses of the same frames."""
        self._sample.add(detections, poses)

    def summary(self, lag: ViewLag, wanted_mm: float) -> dict[str, Any]:
        """Return the key ``residual_parts`` of a report, None where a number is unknown.

        ``views``, each with ``constant_px`` (x, y, of all joints at their mean place; reprojected less detected) and
        ``constant_sigma_px`` (its standard deviation; None for a take so short that a detector's errors may last as
        long), ``rig_px`` (its length, root mean square over the joints as it varies in the room), ``rig_mm`` (at the
        people), ``joint_px`` (root mean square of what each joint has beside it), ``lag_ms`` (against the median view;
        where motion shows it), ``scatter_px`` (median of what is left) and ``joints``, with the last but for one joint;
        ``at_fault``: names of the views whose displacement is larger than the scatter, beyond doubt, and matters at
        ``wanted_mm``. It may also be what the detector takes each person's joints for, as people stay at their places:
        so that of the other people has to predict each person's (``predicted``, share of the square; None for one
        person), and where a trial adjustment does not help, a view is at fault for its constant part alone;
        ``adjustment``: where views seem to be at fault, a trial of ``mvcap rig adjust``: ``helps``, ``before_px`` and
        ``after_px`` on what was held out, ``moments``, and ``refused``: why there are no such figures.
        """
        parts = self._sample.parts()
        matters = _beyond_doubt(parts, parts.rig_px, wanted_mm)
        trial = self._trial(lag) if matters.any() else None
        if trial is not None and trial["refused"] is None and not trial["helps"]:
            matters = _beyond_doubt(parts, np.linalg.norm(parts.constant_px, axis=-1), wanted_mm)
        lags_ms = 1000 * lag.lag_frames() / self._rate_hz
        return {
            "views": [
                {"name": name, **self._view(parts, view, lags_ms[view])} for view, name in enumerate(self._rig.names)
            ],
            "at_fault": [self._rig.names[view] for view in np.flatnonzero(matters)],
            "adjustment": trial,
        }

    def _view(self, parts: ResidualParts, view: int, lag_ms: float) -> dict[str, Any]:
        joint = parts.joint_px[view]
        known = np.isfinite(joint).all(-1)
        return {
            "constant_px": [tidy(value) for value in parts.constant_px[view]],
            "constant_sigma_px": tidy(parts.constant_sigma_px[view]),
            "rig_px": tidy(parts.rig_px[view]),
            "rig_mm": tidy(parts.rig_px[view] * parts.mm_per_px[view]),
            "predicted": tidy(parts.predicted[view]),
            "joint_px": tidy(np.sqrt((joint[known] ** 2).sum(-1).mean())) if known.any() else None,
            "lag_ms": tidy(lag_ms),
            "scatter_px": tidy(parts.scatter_px[view]),
            "joints": [
                {
                    "joint": name,
                    "constant_px": [tidy(value) for value in joint[index]],
                    "joint_px": tidy(float(np.linalg.norm(joint[index]))),
                    "scatter_px": tidy(parts.joint_scatter_px[view, index]),
                }
                for index, name in enumerate(self._skeleton.joints)
            ],
        }

    def _trial(self, lag: ViewLag) -> dict[str, Any]:
        """Held-out figures of an adjusted rig."""
        nothing = {"helps": False, "before_px": None, "after_px": None, "moments": 0}
        try:
            kept = lag.observations(self._rate_hz)
            if kept is None:
                return {**nothing, "refused": "no two views see the same person"}
            seen, kind = kept
            group, late = mirrored_joints(kind, len(seen.target)), lag.sure_frames()
            late_s = None if late is None else late / self._rate_hz
            found = refit(self._rig, seen, group=group, most=_TRIAL_SEEN, late_s=late_s)
        except (CalibrationError, InputError) as refusal:
            return {**nothing, "refused": str(refusal)}
        return {
            "helps": found.better,
            "before_px": tidy(found.before_px),
            "after_px": tidy(found.after_px),
            "moments": found.moments,
            "refused": None,
        }


def _beyond_doubt(parts: ResidualParts, size_px: Floats, wanted_mm: float) -> Bools:
    """Which views (C,) have a displacement (C,) px beyond the scatter, certain, of all people, that matters."""
    with np.errstate(invalid="ignore"):
        matters = (size_px > parts.scatter_px) & (size_px * parts.mm_per_px > _RELEVANT * wanted_mm)
        matters &= ~(parts.predicted < _OF_ALL)
        return np.asarray(matters & (size_px > _SURE * parts.constant_sigma_px))


def rig_reasons(summary: Mapping[str, Any]) -> Iterator[Reason]:
    """The reason where the displacement of all joints of a view outweighs the scatter of its detections."""
    found = summary.get("residual_parts") or {}
    if not found.get("at_fault"):
        return
    worst = [view for view in found["views"] if view["name"] in found["at_fault"]]
    worst.sort(key=lambda view: -view["rig_mm"])
    listed = ", ".join(
        f"{view['name']} by {view['rig_px']:.0f} px ({view['rig_mm']:.0f} mm; scatter {view['scatter_px']:.0f} px)"
        for view in worst[:_NAMED]
    )
    more = f", and {len(worst) - _NAMED} more" if len(worst) > _NAMED else ""
    trial = found.get("adjustment") or {}
    if trial.get("helps"):
        way_out = (
            f"the views would agree to {trial['after_px']:.1f} px after an adjustment (now {trial['before_px']:.1f} "
            f"px, both on held-out moments): `mvcap rig adjust SESSION`"
        )
    elif trial.get("refused"):
        way_out = f"calibrate again; {trial['refused']}"
    else:
        way_out = "calibrate again, or check the synchronisation: no adjustment to these people makes the views agree"
    yield Reason(
        LIMITS,
        f"the rig rather than the estimator is at fault: all joints of a view lie beside the poses in one direction, "
        f"{listed}{more}: {way_out}",
    )
