"""Adjusts a session's rig to the people in it where that makes the views agree: ``mvcap rig adjust``."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calib import Rig, save_rig
from calib.refit import RigRefit, refit
from mvcap import stages
from mvcap.calibration.people_observations import people_observations
from mvcap.errors import InputError, SessionError
from mvcap.progress import Progress, silent
from mvcap.structures.npz import remedy, written_whole
from mvcap.structures.session import Session
from mvcap.triangulation.joint_observations import mirrored_joints

_STAGE = "adjust"
_KEPT = "rig_before_adjust"


@dataclass(frozen=True, eq=False)
class RigAdjustment:
    """A rig adjusted to the people of a session.

    fit: the old and the new rig, and how well held-out moments agree with each. file: where the new rig was written,
    None where it is no better; kept: the copy of the session's old rig, None where the session was left as it is.
    lines: messages to the user.
    """

    session: Session
    fit: RigRefit
    file: Path | None
    kept: Path | None
    lines: tuple[str, ...]

    @property
    def rig(self) -> Rig:
        """The rig to use: the adjusted one, or the old one where an adjustment is no better."""
        return self.fit.rig if self.fit.better else self.fit.old

    def as_dict(self) -> dict[str, Any]:
        """All figures as plain values and arrays, the rigs left out: they have their own files."""
        fit = self.fit
        view = {
            "adjusted": fit.adjusted,
            "before_px": fit.view_before_px,
            "after_px": fit.view_after_px,
            "moved_m": fit.moved_m,
            "turned_deg": fit.turned_deg,
            "principal_px": fit.principal_px,
            "focal_percent": fit.focal_percent,
            "late_s": fit.late_s,
        }
        return {
            "session": str(self.session.folder),
            "better": fit.better,
            "moments": fit.moments,
            "before_px": fit.before_px,
            "after_px": fit.after_px,
            "gain_sigma": fit.gain,
            "extent_m": fit.extent_m,
            "cameras": [
                {"camera": name, **{key: values[row] for key, values in view.items()}}
                for row, name in enumerate(fit.old.names)
            ],
            "rig": None if self.file is None else str(self.file),
            "kept": None if self.kept is None else str(self.kept),
            "lines": self.lines,
        }


def adjust(
    session: str | Path | Session, *, out: str | Path | None = None, force: bool = False, progress: Progress = silent
) -> RigAdjustment:
    """Adjust the poses, focal lengths and principal points of a session's cameras to the joints of its people.

    The old calibration is the prior: half a degree, 20 mm, 0.5 % of the focal length, 1 % of the image for the
    principal point (``calib.refit.RigTolerance``). World, scale and floor stay: the new rig lies where its cameras are
    nearest to the old ones. A third of the moments, in stretches of time, and of the joints is held out in turn; the
    new rig is written only if it fits them better by more than noise, and by 5 %. Then it becomes the rig of the
    session, the old one is kept beside it, and the results from ``associate`` on are removed, so that ``reconstruct``
    makes them again. out: a file for the new rig instead; the session is left as it is. force: overwrite it.
    Raises InputError for a file that exists or a take without people whom two views see, CalibrationError where too few
    views, joints or moments determine a rig, SessionError where the session cannot be written; it is then as it was.
    """
    session = Session.of(session)
    if out is not None and Path(out).exists() and not force:
        raise InputError(f"{out} exists already; choose another name or give --force")
    if out is not None and Path(out).resolve() == (session.folder / "rig.yaml").resolve():
        raise InputError(f"{out} is the rig of the session itself; leave --out away, and the old one is kept beside it")
    seen, kind = people_observations(session, session.rig, progress)
    fit = refit(
        session.rig,
        seen,
        group=mirrored_joints(kind, len(seen.target)),
        progress=lambda done, whole: progress(_STAGE, done, whole),
    )
    file = kept = None
    if fit.better and out is not None:
        file = Path(out)
        save_rig(fit.rig, file)
    elif fit.better:
        file = session.folder / "rig.yaml"
        with stages.sole_use(session):
            if Session.open(session.folder).rig_identity != session.rig_identity:
                raise SessionError(f"{file} was changed meanwhile; run `mvcap rig adjust` again")
            kept = _keep_old(session)
            with ExitStack() as undo:
                undo.callback(kept.unlink)
                save_rig(fit.rig, file)
                undo.pop_all()
            stages.discard(session, "associate")
        session = Session.open(session.folder)
    return RigAdjustment(session, fit, file, kept, tuple(_lines(session, fit, file, kept)))


def _keep_old(session: Session) -> Path:
    """Copy the session's rig to the first free name beside it; SessionError if it cannot be written."""
    names = (_KEPT, *(f"{_KEPT}_{number}" for number in range(2, 1000)))
    path = next(place for name in names if not (place := session.folder / f"{name}.yaml").exists())
    try:
        with written_whole(path) as temporary:
            temporary.write_bytes((session.folder / "rig.yaml").read_bytes())
    except OSError as fault:
        why = fault.strerror or fault
        raise SessionError(f"{path} cannot be written: {why}; {remedy(fault, 'give --out RIG')}") from fault
    return path


def _lines(session: Session, fit: RigRefit, file: Path | None, kept: Path | None) -> list[str]:
    held = f"held-out joints agree to {fit.after_px:.1f} px with an adjusted rig, to {fit.before_px:.1f} px as it was"
    lines = [
        f"{fit.old.names[view]} was left as it is: it shares too few joints with other views"
        for view in np.flatnonzero(~fit.adjusted)
    ]
    late = [
        f"{fit.old.names[view]} {abs(1000 * fit.late_s[view]):.0f} ms {'late' if fit.late_s[view] > 0 else 'early'}"
        for view in np.flatnonzero(fit.late_s)
    ]
    if late:
        lines.append(f"time offsets: {', '.join(late)}; the fit allows for them, a rig cannot correct them")
    if file is not None:
        wide = " x ".join(f"{length:.1f}" for length in fit.extent_m)
        lines.append(f"the people were in a space of {wide} m; elsewhere nothing confirms the new rig")
    if file is None:
        lines.append(f"no adjustment helps: {held}; the rig stays as it is")
    elif kept is None:
        lines.append(f"{held}; the session keeps its old rig")
    else:
        lines.append(
            f"{held}; the old rig is kept in {kept}; the results from association on were removed: run `mvcap "
            f"reconstruct {session.folder}` to make them with the new rig"
        )
    return lines
