"""Whole estimators on the demo takes: speed and memory of the chain, and whether the stated noise is what it is."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np

from benches.measures import all_rows
from benches.memory import in_child
from benches.section import Options, Row, Section, say

MODES = ("fast", "balanced", "best")
TAKES = ("singleperson", "multiperson")
THREE_D = ("associate", "triangulate", "track", "refine")
CHAIN = ("estimate", *THREE_D, "export", "report")
QUICK_FRAMES = 6
_SAME_PERSON = 0.6
"""Median distance of joints, in thirds of a body's extent, within which a detection is that of a person in 3D."""
_LEAST_VIEWS, _LEAST_JOINTS = 3, 10
Settings = Mapping[str, Any]
Estimators = Mapping[str, tuple[str, Settings]]
"""Plug-in and settings by the name in the tables."""


def made(options: Options, take: str, name: str, plugin: str, settings: Settings) -> Any:
    """A new session of a demo take with an estimator."""
    import mvcap
    from mvcap import assets

    footage, folder = assets.path(f"demo-{take}"), options.work / "detectors" / f"{take} {name}"
    shutil.rmtree(folder, ignore_errors=True)
    stop = f"{QUICK_FRAMES}f" if options.quick else None
    session = mvcap.init(footage, rig=footage / "Calib.qca.txt", folder=folder, stop=stop)
    session.override({"estimator": plugin, **({"estimators": {plugin: dict(settings)}} if settings else {})})
    return session


def speed(section: Section, options: Options, estimators: Estimators) -> dict[str, Any]:
    """Fill in the table of speed; return the sessions by the name of the estimator. Quick runs write no files."""
    sessions: dict[str, Any] = {}
    rows: list[Row] = []
    for name, (plugin, settings) in estimators.items():
        say(f"detectors: the whole chain, {name}")
        session = sessions[name] = made(options, "multiperson", name, plugin, settings)
        held = in_child("stages", folder=str(session.folder), names=CHAIN[: -2 if options.quick else None])
        rows.append(chain_row(name, held, session.frames, len(session.views)))
    beside = next((row for row in rows if row["estimator"] == "blazepose"), None)
    for row in rows:
        ratio = row["CPU ms a picture"] / beside["CPU ms a picture"] if beside else None
        section.add("speed and memory of the demo", {**row, "CPU x blazepose": ratio})
    return sessions


def chain_row(name: str, held: Mapping[str, Row], frames: int, views: int) -> Row:
    """Rates and memory of a run: frames are moments, of all views."""
    seconds, first = sum(stage["s"] for stage in held.values()), held["estimate"]
    return {"estimator": name, "estimate frames/s": frames / first["s"], "chain frames/s": frames / seconds,
            "CPU ms a picture": 1000 * first["CPU s"] / (frames * views), "estimate MB": first["peak MB"],
            "chain MB": max(stage["peak MB"] for stage in held.values())}  # fmt: skip


def reference(section: Section, options: Options, session: Any) -> Any:
    """Adjust a session's rig to its people, and make everything from `associate` on again; return the session.

    In quick runs the rig stays: too few frames say too little about it.
    """
    import mvcap
    from mvcap.errors import MvcapError
    from mvcap.rig.adjust import adjust

    if not options.quick:
        say(f"detectors: adjusting the rig of {session.folder.name}")
        try:
            done = adjust(session)
            fit, session = done.fit, done.session
            section.facts.append(
                f"{session.folder.name}: rig {'adjusted' if fit.better else 'kept'}, held-out joints "
                f"{fit.before_px:.2f} -> {fit.after_px:.2f} px"
            )
        except MvcapError as error:
            section.facts.append(f"{session.folder.name}: rig not adjusted: {error}")
    for name in THREE_D:
        getattr(mvcap, name)(session)
    return session


def stated_noise(
    section: Section, options: Options, detected: Mapping[tuple[str, str], Any], references: Mapping[str, Any]
) -> None:
    """Fill in the table of shares inside the stated noise, from detections by mode and take."""
    for (mode, take), rows in detected.items():
        if take in references:
            session = references[take]
            poses = all_rows(session, "refine")
            section.add("stated noise", {"mode": mode, "take": take, **shares(rows, poses, session.rig)})


def detections(options: Options, take: str, mode: str, sessions: Mapping[str, Any]) -> Any:
    """The session of a take in a mode of `people`, with its detections; the one of the speed table where it is that."""
    import mvcap

    name = f"people {mode}"
    if take == "multiperson" and name in sessions:
        return sessions[name]
    say(f"detectors: stated noise, {take}, {mode}")
    session = made(options, take, name, "people", {"mode": mode})
    mvcap.estimate(session)
    return session


def shares(rows: Any, poses: Any, rig: Any) -> Row:
    """Shares of the residuals along an axis that are within 1 and 1.96 times the stated noise, all and by joint."""
    joint, off, noise = residuals_of(rows, poses, rig)
    if not len(joint):
        return {"joints": 0}
    z = np.abs(off) / noise[:, None]
    names = rows.skeleton.joints
    out: Row = {"joints": len(joint), "median px": float(np.median(np.hypot(*off.T)))}
    by_joint = {}
    for label, limit, meant in (("68 %", 1.0, 0.683), ("95 %", 1.96, 0.95)):
        share = np.array([np.mean(z[joint == one] < limit) if (joint == one).any() else np.nan
                          for one in range(len(names))])  # fmt: skip
        by_joint[label] = np.abs(share - meant)
        low, high = int(np.nanargmin(share)), int(np.nanargmax(share))
        out |= {label: float(np.mean(z < limit)), f"lowest of {label}": f"{share[low]:.2f} {names[low]}",
                f"highest of {label}": f"{share[high]:.2f} {names[high]}"}  # fmt: skip
    near = (by_joint["68 %"] < 0.05) & (by_joint["95 %"] < 0.05)
    return {**out, "both within 5 points": f"{near.sum()} of {len(names)}"}


def residuals_of(rows: Any, poses: Any, rig: Any) -> tuple[Any, Any, Any]:
    """Joint (R,), detection less reprojection (R, 2) px and stated noise (R,) px of joints seen by three views or more.

    A detection belongs to the nearest person of its frame, not to the one that association chose: what association
    refuses as wrong counts too.
    """
    columns = [poses.skeleton.index(joint) for joint in rows.skeleton.joints]
    projected = np.asarray(rig.project(poses.xyz[:, columns].astype(np.float64)))
    views = poses.views[:, columns]
    steady = np.median(views, 1) >= _LEAST_VIEWS
    joint, off, noise = [], [], []
    for row in range(len(rows)):
        there = np.flatnonzero((poses.frame == rows.frame[row]) & steady)
        pose = _nearest(rows.xy[row], projected[rows.view[row], there])
        if pose is None:
            continue
        apart = rows.xy[row] - projected[rows.view[row], there[pose]]
        good = (views[there[pose]] >= _LEAST_VIEWS) & np.isfinite(apart).all(-1) & (rows.noise_px[row] > 0)
        joint.append(np.flatnonzero(good))
        off.append(apart[good])
        noise.append(rows.noise_px[row][good])
    if not joint:
        return np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros(0)
    return np.concatenate(joint), np.concatenate(off).astype(np.float64), np.concatenate(noise).astype(np.float64)


def _nearest(xy: Any, people: Any) -> int | None:
    """Which of the people (N, J, 2) px a body (J, 2) px is; None where none is near."""
    best, least = None, _SAME_PERSON
    for number, other in enumerate(people):
        known = np.isfinite(xy).all(-1) & np.isfinite(other).all(-1)
        if known.sum() < _LEAST_JOINTS:
            continue
        extent = max(float(np.ptp(other[known], axis=0).max()), 1.0)
        apart = float(np.median(np.linalg.norm(xy[known] - other[known], axis=-1))) / (extent / 3)
        if apart < least:
            best, least = number, apart
    return best
