"""The whole chain on the demo take: seconds of every stage beside plain decoding, pixels off beside plain DLT."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from benches.measures import all_rows, by_person, plain_dlt
from benches.section import Clock, Options, Section, clock

STAGES = ("estimate", "associate", "triangulate", "track", "refine", "export", "report")


def stages(options: Options) -> Section:
    """Whole chain on the demo take."""
    import mvcap

    folder = options.work / "stages"
    shutil.rmtree(folder, ignore_errors=True)
    take = demo_take()
    timed: dict[str, Clock] = {}
    with clock() as timed["decode only"]:
        frames = decode_all(take)
    with clock() as timed["init"]:
        session = mvcap.init(take, rig=take / "Calib.qca.txt", folder=folder)
    for name in STAGES:
        with clock() as timed[name]:
            getattr(mvcap, name)(session)
    chain = [one for name, one in timed.items() if name != "decode only"]
    timed["whole chain"] = Clock(sum(one.wall_s for one in chain), sum(one.cpu_s for one in chain))
    base = timed["decode only"].wall_s
    views = len(session.views)
    section = Section(
        "stages: the demo take",
        f"{session.frames} frames x {views} views of {'x'.join(map(str, session.views[0].size))}; threads as by "
        f"default on {os.cpu_count()} processors; frames are moments, of all views",
    )
    for name, one in timed.items():
        rate = session.frames / one.wall_s
        section.add("seconds", {"stage": name, "wall s": one.wall_s, "CPU s": one.cpu_s, "frames/s": rate,
                             "pictures/s": rate * views, "x decode only": one.wall_s / base})  # fmt: skip
    section.facts.append(f"decode only read {frames} pictures, one view after the other")
    section.facts += reprojection(session)
    return section


def reprojection(session: Any) -> list[str]:
    """Reprojection error on the demo take, px, over all associated views: leaving views out is no advantage."""
    import numpy as np

    rows, raw = all_rows(session, "associate"), all_rows(session, "triangulate")
    keys, xy = by_person(rows, rows.person, len(session.rig))
    with clock() as base:
        dlt = plain_dlt(session.rig, xy.reshape(len(xy), -1, 2)).reshape(*xy.shape[1:-1], 3)
    points = {"plain DLT": dlt}
    for name, poses in (("triangulate", raw), ("refine", all_rows(session, "refine"))):
        held = {(f, g): xyz for f, g, xyz in zip(poses.frame.tolist(), poses.group.tolist(), poses.xyz, strict=True)}
        blank = np.full(dlt.shape[1:], np.nan)
        points[name] = np.array([held.get((f, g), blank) for f, g in keys.tolist()])
    number = {(f, g): p for f, g, p in zip(*(getattr(all_rows(session, "track"), c).tolist() for c in
                                             ("frame", "group", "person")), strict=True)}  # fmt: skip
    who = np.array([number.get((f, g), 0) for f, g in keys.tolist()])
    both = np.isfinite(np.array(list(points.values()))).all((0, -1))
    lines = [f"plain DLT of the same people: {base.wall_s:.2f} s; median px off over all views given, per person"]
    for name, xyz in points.items():
        off = np.where(both, np.linalg.norm(session.rig.project(xyz) - xy, axis=-1), np.nan)
        told = ", ".join(f"{p}: {np.nanmedian(off[:, who == p]):.1f}" for p in np.unique(who) if p)
        lines.append(f"  {name:<12} {told}   ({np.isfinite(xyz).all(-1).mean():.1%} of joints there)")
    return lines


def demo_take() -> Path:
    """Folder of the demo's clips and calibration, fetched where missing."""
    from mvcap import assets

    return Path(assets.path("demo-multiperson"))


def decode_all(take: Path) -> int:
    """Decode every clip of a folder to RGB; return the number of pictures."""
    import av

    pictures = 0
    for path in sorted(take.glob("*.mp4")):
        with av.open(str(path)) as container:
            container.streams.video[0].thread_type = "AUTO"
            for picture in container.decode(video=0):
                picture.to_ndarray(format="rgb24")
                pictures += 1
    return pictures
