"""The learned graph beside geometry on recordings, with the frames apart that served to fit the generator."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benches.accuracy import mean, of_recordings
from benches.section import Options, Row, Section, say
from benches.take_scores import COUNTED

FITTED_FRAMES = 75
"""Frames of Shelf, and ..."""
FITTED_DAY = 1
"""... day of MVOR that served to fit the model of estimators."""
ALL, REST = "all frames", "frames not fitted to"
GEOMETRY = {"associator": "geometry", "refiner": "bones"}
GRAPH = {"associator": "graph", "refiner": "graph"}
ARMS: Mapping[str, Mapping[str, str]] = {
    "geometry, bones": GEOMETRY, "graph, bones": {"associator": "graph", "refiner": "bones"}, "graph, graph": GRAPH,
}  # fmt: skip
"""Associator and refiner."""
Masks = Mapping[str, Any]


def recordings(section: Section, options: Options) -> None:
    """All whose data are there."""
    of_recordings(section, options, shelf, mvor, campus)
    section.facts.append(f"{REST}: Shelf from frame {FITTED_FRAMES} on, MVOR without day {FITTED_DAY}")


def run(
    kind: str, folder: Path, options: Options, arm: Mapping[str, str], masks: Masks | None = None, **how: Any
) -> dict[str, Row]:
    """Rows of one clip by the names of ``masks`` (T,), which frames count; all where there are none.

    The stages run once; only what is scored differs. How many frames the networks were asked about is of all frames.
    """
    # The verb has no choice of frames: its parts are called as it calls them, and scored twice.
    from mvcap import plugins
    from mvcap.evaluation.benchmark_clip import Options as Choice

    verb = import_module("mvcap.evaluate")
    [clip] = plugins.find_plugin("benchmark", kind)(folder, Choice(**how))
    with tempfile.TemporaryDirectory(dir=options.work) as home, threadpool_limits(1):
        done = verb._run(clip, Path(home) / "session", dict(arm), verb.silent)
        counts = counted(Path(home) / "session")
    out = {}
    for name, mask in (masks or {ALL: np.ones(clip.frames, np.bool_)}).items():
        told = verb._scores([replace(done, clip=replace(clip, scored=clip.scored & mask))])
        out[name] = figures(told) | cost(done, counts)
    return out


def counted(folder: Path) -> dict[str, int]:
    """What the associator counted in a session."""
    from mvcap import stages
    from mvcap.structures.session import Session

    place = stages.detections(Session.open(folder), "associate")
    state = place.state(place.ranges()[-1][0])
    return {name: int(state[name]) for name in COUNTED if name in state}


def cost(done: Any, counts: Mapping[str, int]) -> Row:
    """CPU of association and triangulation, and of refinement; shares of the frames that networks were asked about."""
    frames = done.clip.frames
    ms = {name: 1000 * value / frames for name, value in done.seconds.items()}
    shares = {f"{name} %": 100 * counts[name] / frames if name in counts else None for name in COUNTED}
    return {"3D ms a frame": ms["associate"] + ms["triangulate"], "refine ms": ms["refine"], **shares}


def figures(told: Mapping[str, Any]) -> Row:
    """What is scored."""
    pairs, pcp = told["association"], (told["pcp"] or {}).get("4da")
    actors = {f"PCP {number}": value for number, value in enumerate(pcp["actors"][:3], 1)} if pcp else {}
    return {"F1": pairs["f1"], "precision": pairs["precision"], "recall": pairs["recall"], **actors,
            "recall@500": told["recall_500"], "unmatched a frame": told["unmatched_people_per_frame"],
            "mm": told["mpjpe_mm"]}  # fmt: skip


def shelf(section: Section, folder: Path, options: Options) -> None:
    """Shelf with all views, and the mean over its sets of four, three and two."""
    [clip] = clips("shelf", folder)
    masks = {ALL: np.ones(clip.frames, np.bool_), REST: np.arange(clip.frames) >= FITTED_FRAMES}
    for who, arm in ARMS.items():
        say(f"graph: shelf, {who}")
        for name, row in run("shelf", folder, options, arm, masks).items():
            section.add(f"Shelf, 5 views, {name}", {"who": who, **row})
    for left in (4, 3, 2):
        sets = list(combinations(clip.rig.names, left))
        sets = sets[: 1 if options.quick else None]
        for who, arm in (("geometry, bones", GEOMETRY), ("graph, graph", GRAPH)):
            say(f"graph: shelf, {len(sets)} sets of {left} views, {who}")
            held = [run("shelf", folder, options, arm, masks, views=views) for views in sets]
            for name in masks:
                row = {"who": f"{left} views: {who}", "sets": len(sets), **mean([one[name] for one in held])}
                section.add(f"Shelf, views left out, mean of all sets, {name}", row)


def mvor(section: Section, folder: Path, options: Options) -> None:
    """MVOR with its labels in 2D and with OpenPose's detections."""
    day = days(folder)
    masks = {ALL: np.ones(len(day), np.bool_), REST: day != FITTED_DAY}
    for detections in ("labels", "openpose"):
        for who, arm in ARMS.items():
            say(f"graph: mvor, {detections}, {who}")
            for name, row in run("mvor", folder, options, arm, masks, detections=detections).items():
                section.add(f"MVOR, {name}", {"who": f"{detections}: {who}", **row})


def campus(section: Section, folder: Path, options: Options) -> None:
    """Campus from its truth in 2D with noise of 4 px."""
    for who, arm in ARMS.items():
        say(f"graph: campus, {who}")
        section.add(
            "Campus, truth in 2D and 4 px", {"who": who, **run("campus", folder, options, arm, noise_px=4.0)[ALL]}
        )


def clips(kind: str, folder: Path) -> Sequence[Any]:
    """Clips of a benchmark as they are."""
    from mvcap import plugins
    from mvcap.evaluation.benchmark_clip import Options as Choice

    return list(plugins.find_plugin("benchmark", kind)(folder, Choice()))


def days(folder: Path) -> Any:
    """Day (T,) of each of MVOR's moments."""
    held = json.loads((folder / "camma_mvor_2018.json").read_text(encoding="utf-8"))
    return np.array([int(moment["images"][0]["day_id"]) for moment in held["multiview_images"]])
