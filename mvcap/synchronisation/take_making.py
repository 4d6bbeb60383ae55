"""The unsynchronised take of a session, or of videos without one, as methods of synchronisation are given it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from calib import Camera, Lens, Rig
from mvcap import stages
from mvcap.errors import InputError
from mvcap.estimate import estimate
from mvcap.init import init
from mvcap.progress import Progress
from mvcap.structures.detections import Detections2D
from mvcap.structures.footage import Footage
from mvcap.structures.row_source import RowSource
from mvcap.structures.session import Session
from mvcap.structures.sync_evidence import UnsynchronisedTake


def take_of_session(session: Session, people: bool, progress: Progress) -> UnsynchronisedTake:
    """Return the take of a session; people: with its detections, which are estimated where that has not been done."""
    rows: RowSource[Detections2D] | None = None
    if people:
        artefact = session.artefact("estimate", Detections2D)
        if not artefact.complete:
            artefact = estimate(session, progress=progress)
        rows = artefact
    footage = tuple(Path(view.path) if view.path else None for view in session.views)
    frame = np.arange(session.frames)[:, None] / session.rate_hz
    own = np.asarray(session.time_s) - frame
    first = np.where(np.isfinite(own).any(0), np.nanmedian(np.where(np.isfinite(own), own, np.nan), axis=0), 0.0)
    return UnsynchronisedTake(
        session.names, footage, first, session.frames / session.rate_hz, session.rate_hz, session.frames, session.rig,
        rows, stages.frame_step(session),
    )  # fmt: skip


def take_of_people(paths: list[Path], folder: Path, progress: Progress) -> UnsynchronisedTake:
    """Return the take of videos without a calibration, with people by the usual estimator in a session in `folder`."""
    sizes = [one.size for one in _probed(paths)]
    names = [f"view{at}" for at in range(len(paths))]
    # The lenses and poses are not known; nothing but the size of the pictures is used of them.
    lenses = [
        Lens(name, size, np.array([[max(size), 0, size[0] / 2], [0, max(size), size[1] / 2], [0, 0, 1.0]]), np.zeros(5))
        for name, size in zip(names, sizes, strict=True)
    ]
    rig = Rig(tuple(Camera(lens, np.eye(4)) for lens in lenses))
    session = init([f"{name}={path}" for name, path in zip(names, paths, strict=True)], rig, folder, trim=True)
    return replace(take_of_session(session, True, progress), names=_names(paths), rig=None)


def _names(paths: list[Path]) -> tuple[str, ...]:
    names = tuple(path.name for path in paths)
    return names if len(set(names)) == len(names) else tuple(str(path) for path in paths)


def _probed(paths: list[Path]) -> list[Footage]:
    if len(paths) < 2:
        raise InputError("give a session, or two videos or more")
    return [Footage.probe(path) for path in paths]


def take_of_videos(paths: list[Path]) -> UnsynchronisedTake:
    """Return the take of videos, without people. Raises InputError for less than two."""
    found = _probed(paths)
    seconds = max(float(one.time_s[-1]) for one in found)
    first = np.array([float(one.time_s[0]) for one in found])
    return UnsynchronisedTake(_names(paths), tuple(paths), first, seconds)
