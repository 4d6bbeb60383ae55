"""Calibration from people: from videos, or a session, and known lenses to a rig."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from calib import Camera, Lens, Rig, match_views
from calib.calibration import Calibration
from calib.lenses.intrinsics import fit_lens
from calib.observations import Observations
from mvcap.calibration.moments import Moments
from mvcap.errors import InputError
from mvcap.estimate import estimate
from mvcap.init import init
from mvcap.progress import Progress
from mvcap.self_calibration.target import calibrate_from_people
from mvcap.structures.session import Session


def from_people(
    source: Session | Path,
    material: Moments,
    old: Rig | None,
    photos: Sequence[Observations],
    height_m: float | None,
    progress: Progress,
) -> Calibration:
    """Calibrate from the people in a session, or in videos, of which a session is made in the folder `source`.

    Lenses are those of the old rig, whose world the new one then keeps; else those of photos; else the session's.
    """
    if old is not None:
        names = [view.name for view in source.views] if isinstance(source, Session) else list(material.names)
        old = match_views(old, names, allow_extra=True)
        lenses = tuple(camera.lens for camera in old)
    elif photos:
        lenses = _lenses_from_photos(material, photos)
    elif isinstance(source, Session):
        lenses = tuple(camera.lens for camera in source.rig)
    else:
        raise InputError(
            "people determine the poses of cameras, but not their lenses; give the lenses with --rig, or with "
            "--lens-photos and --lens-board"
        )
    session = source if isinstance(source, Session) else _session_of_videos(material, lenses, source)
    estimate(session, progress=progress)
    return calibrate_from_people(session, lenses, height_m=height_m, start=old, progress=progress)


def _lenses_from_photos(material: Moments, photos: Sequence[Observations]) -> tuple[Lens, ...]:
    table_of = {name: table for table in photos for name in table.views}
    missing = [name for name in material.names if name not in table_of]
    if missing:
        raise InputError(f"there are no photos for the lens of {missing[0]!r}; take some, or give its lens with --rig")
    return tuple(fit_lens(table_of[name], name).lens for name in material.names)


def _session_of_videos(material: Moments, lenses: Sequence[Lens], folder: Path) -> Session:
    """A session of the videos; the poses of its cameras are not known yet, so all are the identity."""
    rig = Rig(tuple(Camera(lens, np.eye(4)) for lens in lenses))
    return init([f"{view.name}={view.place}" for view in material.views], rig, folder, trim=True)
