"""The verb ``associate``: find the detections that show the same person across the views of each frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from calib import Rig
from mvcap import plugins, stages
from mvcap.association.common_times import at_common_times
from mvcap.association.left_right_swaps import correct_swaps
from mvcap.config import Overrides, build
from mvcap.progress import Progress, silent
from mvcap.structures.artefact import Artefact
from mvcap.structures.contracts import Associator, State
from mvcap.structures.detections import Detections2D
from mvcap.structures.row_checks import check_detections, check_rate, check_rig
from mvcap.structures.row_source import RowsInMemory, RowSource
from mvcap.structures.session import Session
from mvcap.tracking.tracklets import TrackConfig
from mvcap.tracking.view_tracks import ViewTracker

_VERSION = 4
_CHUNK_FRAMES = 100


def associate(
    session: str | Path | Session, *, redo: bool = False, progress: Progress = silent
) -> Artefact[Detections2D]:
    """Fill the column ``person`` of a session's detections, frame by frame, with the associator in its settings.

    Where the views of a person contradict each other about left and right, the minority's joints are swapped. In a
    session of one view, people are tracked in its pictures instead, and ``person`` is the number of their track.
    """
    session = Session.of(session)
    before = stages.detections(session, "estimate")
    associator, settings = associator_of(session.rig, session.overrides)
    if redo:
        stages.discard(session, "associate")
    rig, step = session.rig, stages.frame_step(session)

    def make(start: int, stop: int, state: State) -> tuple[Detections2D, State]:
        rows = _rows_between(session, before, start, stop, step)
        rows, state = _associate(
            associator, rows.with_columns(frame=rows.frame // step), rig, session.rate_hz / step, state
        )
        return rows.with_columns(frame=rows.frame * step), state

    settings = {**settings, **plugins.weight_identities(associator, rig)}
    origin = stages.origin_of("associate", _VERSION, settings, before, session)
    if session.offsets is not None:
        origin = replace(origin, inputs={**origin.inputs, "sync": session.offsets.fingerprint})
    place = session.artefact("associate", Detections2D)
    return stages.run_stage(session, place, origin, before.skeleton_name, make, progress, _CHUNK_FRAMES)


def _rows_between(
    session: Session, found: Artefact[Detections2D], start: int, stop: int, step: int
) -> Detections2D:  # fmt: skip
    """The detections of some frames, at the common times if the views are late."""
    if session.offsets is None:
        return found.between(start, stop)
    late = session.offsets.late_frames(np.arange(start, stop), session.rate_hz)
    return at_common_times(found, start, stop, late, session.rate_hz, step)


def associator_of(rig: Rig, overrides: Overrides) -> tuple[Associator, dict[str, Any]]:
    """Return the associator that settings name, and its settings; for a rig of one camera, a tracker of its people."""
    if len(rig) > 1:
        return plugins.load_plugin("associator", overrides)
    config = build(TrackConfig, overrides.get("track", {}), "track")
    used = ("gate_sigma", "speed_mps", "acceleration_mps2", "limb_speed_mps", "occlusion_s")
    return ViewTracker(config), {"associator": "view_tracks", **{name: getattr(config, name) for name in used}}


def associate_rows(
    found: Detections2D,
    rig: Rig,
    *,
    rate_hz: float = 25.0,
    associator: str | Associator = "geometry",
    memory: State | None = None,
    **settings: Any,
) -> Detections2D:
    """Associate detections of a take across views; return the rows in order of frames, ``person`` (M,) filled in.

    Person: 0, 1, 2 ... or -1 for a false positive; with the associators here the same number from frame to frame. Rows
    may be split, merged or have their left and right joints swapped. rate_hz: frames a second. associator: a name of
    ``plugins.TABLE`` with its ``settings``, or an object of that contract. memory: a dict that is read and then filled
    with the associator's state: give the same one for the frames that follow, as a live loop does. With a rig of one
    camera, people are tracked in its pictures, and ``settings`` are those of ``TrackConfig``.
    Raises PluginError or ConfigError for a name or setting that does not exist, InputError for views outside the rig.
    """
    found = check_detections(found, check_rig(rig))
    rate_hz = check_rate(rate_hz)
    if len(rig) == 1 and isinstance(associator, str):
        plugin: Associator = ViewTracker(build(TrackConfig, settings, "track"))
    else:
        plugin = plugins.instance("associator", associator, settings)
    rows = found[np.argsort(found.frame, kind="stable")]
    rows, state = _associate(plugin, rows, rig, rate_hz, dict(memory or {}))
    if memory is not None:
        memory.clear()
        memory.update(state)
    return rows


def associate_source(
    found: RowSource[Detections2D], rig: Rig, rate_hz: float, associator: Associator, frames: int
) -> RowsInMemory[Detections2D]:
    """Associate a whole take in the chunks of a session, with the state at the end of each."""
    parts, states, state = [], {}, State()
    for start, stop in RowsInMemory(Detections2D.empty(found.skeleton), frames, _CHUNK_FRAMES).ranges():
        rows, state = _associate(associator, found.between(start, stop), rig, rate_hz, state)
        parts.append(rows)
        states[start] = state
    return RowsInMemory(Detections2D.concatenate(parts, found.skeleton), frames, _CHUNK_FRAMES, states)


def _associate(
    associator: Associator, rows: Detections2D, rig: Rig, rate_hz: float, state: State
) -> tuple[Detections2D, State]:
    rows, state = associator.associate(rows, rig, rate_hz, state)
    return (correct_swaps(rows, rig) if len(rig) > 1 else rows), state
