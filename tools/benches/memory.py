"""Peak memory of takes of different length, each in a process of its own, beside a program that only imports mvcap."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benches.demo_chain import demo_take
from benches.looped_clips import looped, there_and_back
from benches.measures import all_rows
from benches.section import Options, Row, Section

COMMAND = Path(__file__).resolve().parent.parent / "bench"
THREE_D = ("associate", "triangulate", "track", "refine")


def memory(options: Options) -> Section:
    """Peak memory of takes of different length, each in a process of its own."""
    minutes, rate, scale = ((0.25, 2.5), 25, 0.25) if options.quick else ((1.0, 10.0), 60, 1.0)
    frames = [round(60 * rate * one) for one in minutes]
    estimated = (50, 150) if options.quick else (200, 600)
    section = Section(
        f"memory: the demo take looped to {minutes[0]:g} and {minutes[1]:g} minutes",
        f"{frames[0]} and {frames[1]} frames at {rate} Hz, forward and backward again and again, 4 views at {scale:g} "
        "times their size; peak resident MB while a stage runs, all stages in one process. `estimate` reads detections "
        "from a parquet file (the demo take's, looped); `report` decodes all pictures and writes overlay videos. "
        "`estimate, blazepose` finds people in the pictures, at full size, in a process of its own",
    )
    folder = options.work / "memory"
    shutil.rmtree(folder, ignore_errors=True)
    imported = in_child("nothing")["import"]["peak MB"]
    made = in_child("clips", folder=str(folder), seed=str(options.work / "seed"), frames=frames, rate=rate, scale=scale)
    short, long = (in_child("reconstruct", **made[str(count)]) for count in frames)
    for name in short:
        section.add("peak memory", _grown(name, short[name], long[name], imported))
    section.add("peak memory", _grown("whole chain", _peak(short), _peak(long), imported))
    few, many = (in_child("blazepose", folder=str(folder / f"bp{count}"), **made["native"], frames=count)
                 for count in estimated)  # fmt: skip
    section.add("peak memory", _grown(f"estimate, blazepose, {estimated[0]} and {estimated[1]} frames", few["estimate"],
                               many["estimate"], imported))  # fmt: skip
    section.facts.append(f"a program that only imports mvcap: {imported:.0f} MB; `above` is the ratio without it")
    held = made["picture MB"] * frames[1] * 4
    section.facts.append(f"the {minutes[1]:g} minutes held as pictures in memory would be {held:,.0f} MB")
    return section


def _peak(stages_of_one: dict[str, Row]) -> Row:
    return {"peak MB": max(one["peak MB"] for one in stages_of_one.values()),
            "s": sum(one["s"] for one in stages_of_one.values())}  # fmt: skip


def _grown(name: str, short: Row, long: Row, imported: float) -> Row:
    above = [max(one["peak MB"] - imported, 1.0) for one in (short, long)]
    return {"stage": name, "short MB": short["peak MB"], "long MB": long["peak MB"],
            "ratio": long["peak MB"] / short["peak MB"], "above": above[1] / above[0],
            "short s": short["s"], "long s": long["s"]}  # fmt: skip


def in_child(task: str, **arguments: Any) -> Any:
    """Do a task in a process of its own, so that its peak memory is its own, and return what it says."""
    command = [sys.executable, str(COMMAND), "--child", json.dumps({"task": task, **arguments})]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def child(task: str, **arguments: Any) -> Any:
    """Be the child."""
    tasks: dict[str, Callable[..., Any]] = {
        "nothing": child_nothing, "clips": child_clips, "reconstruct": child_reconstruct, "blazepose": child_blazepose,
        "stages": child_stages,
    }  # fmt: skip
    return tasks[task](**arguments)


@contextmanager
def peak(into: dict[str, Row], name: str) -> Iterator[None]:
    """Note peak resident memory and seconds of a block. Where the system cannot forget a peak, it is that so far."""
    forget, begun = Path("/proc/self/clear_refs"), time.perf_counter()
    if forget.exists():
        forget.write_text("5")
    yield
    into[name] = {"peak MB": peak_mb(), "s": time.perf_counter() - begun}


def peak_mb() -> float:
    """Peak resident memory of this process. Linux's own figure; getrusage there counts the parent's too."""
    import resource

    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def child_nothing() -> dict[str, Row]:
    """Import what a reconstruction imports."""
    held: dict[str, Row] = {}
    with peak(held, "import"):
        import av  # noqa: F401
        import cv2  # noqa: F401
        import scipy.optimize  # noqa: F401

        import mvcap  # noqa: F401
    return held


def child_clips(folder: str, seed: str, frames: list[int], rate: int, scale: float) -> dict[str, Any]:
    """Make looped clips and the detections that belong to them; return the arguments of `child_reconstruct`."""
    import mvcap

    take, place = demo_take(), Path(folder)
    session = mvcap.init(take, rig=take / "Calib.qca.txt", folder=seed)
    mvcap.estimate(session)
    rows = all_rows(session, "estimate")
    out: dict[str, Any] = {"native": {"videos": str(place / "native"), "rig": str(take / "Calib.qca.txt")}}
    for size, name in ((scale, "unit"), (1.0, "unit-native")):
        (place / name).mkdir(parents=True, exist_ok=True)
        for clip in sorted(take.glob("*.mp4")):
            if name == "unit" or scale != 1.0:
                width, height = there_and_back(clip, place / name / clip.name, rate, size)
                out.setdefault("picture MB", 3 * width * height / 1e6)
    native = "unit" if scale == 1.0 else "unit-native"
    for target, source, count in [("native", native, 600), *((str(count), "unit", count) for count in frames)]:
        (place / target).mkdir()
        for clip in sorted((place / source).glob("*.mp4")):
            looped(clip, place / target / clip.name, count)
    for count in frames:
        table = place / f"{count}.parquet"
        write_looped(rows, session, table, count, scale)
        out[str(count)] = {"videos": str(place / str(count)), "rig": str(take / "Calib.qca.txt"), "table": str(table),
                           "folder": str(place / f"s{count}"), "scaled": scale != 1.0}  # fmt: skip
    return out


def write_looped(rows: Any, session: Any, table: Path, frames: int, scale: float) -> None:
    """Write detections forward and backward again and again, scaled as the pictures are."""
    import numpy as np

    from mvcap.structures.detection_table import write_detections_parquet

    rows = rows.with_columns(
        xy=(rows.xy + 0.5) * scale - 0.5, box=(rows.box + 0.5) * scale - 0.5, noise_px=rows.noise_px * scale
    )
    unit = [rows[rows.frame == frame] for frame in range(session.frames)]
    unit += unit[::-1]
    pieces = (unit[at % len(unit)] for at in range(frames))
    moved = (piece.with_columns(frame=np.full(len(piece), at)) for at, piece in enumerate(pieces))
    write_detections_parquet(table, moved, session.names, rows.skeleton)


def child_reconstruct(videos: str, rig: str, table: str, folder: str, scaled: bool) -> dict[str, Row]:
    """All stages of a take whose detections are there already."""
    import mvcap

    held: dict[str, Row] = {}
    with peak(held, "init"):
        session = mvcap.init(videos, rig=rig, folder=folder, rig_scale=scaled)
    session.override({"estimator": "table", "estimators": {"table": {"file": table}}})
    for name in ("estimate", *THREE_D, "export", "report"):
        with peak(held, name):
            getattr(mvcap, name)(session)
    return held


def child_blazepose(videos: str, rig: str, folder: str, frames: int) -> dict[str, Row]:
    """The stage `estimate` alone, with the default estimator."""
    import mvcap

    cut = Path(folder) / "videos"
    cut.mkdir(parents=True)
    for clip in sorted(Path(videos).glob("*.mp4")):
        looped(clip, cut / clip.name, frames)
    session = mvcap.init(cut, rig=rig, folder=Path(folder) / "session")
    held: dict[str, Row] = {}
    with peak(held, "estimate"):
        mvcap.estimate(session)
    return held


def child_stages(folder: str, names: list[str]) -> dict[str, Row]:
    """Some stages of a session that is made already."""
    import mvcap

    held: dict[str, Row] = {}
    for name in names:
        begun = time.process_time()
        with peak(held, name):
            getattr(mvcap, name)(folder)
        held[name]["CPU s"] = time.process_time() - begun
    return held
