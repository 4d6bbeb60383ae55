"""The estimators of people in pictures: who is found, how exactly, if the stated noise is true, and at what cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benches.estimator_runs import MODES, TAKES, Estimators, detections, reference, speed, stated_noise
from benches.measures import all_rows
from benches.people_pictures import (
    PANOPTIC_PEOPLE,
    PARSE_JOINTS,
    Dome,
    Labelled,
    body_columns,
    panoptic,
    parse_pictures,
    people_in_view,
)
from benches.person_finders import Finder, Truth, covers, finders, is_nobody
from benches.section import Options, Row, Section, clock, say

MEASURED = (
    "finding people: PARSE's 205 test photographs, the person that is labelled (others count for nothing); Panoptic, "
    "5 views of 5 moments of 3 people, and every 20th frame of both demo takes, who is there by the projected 3D of "
    "the whole chain (Panoptic: people best; demo: people balanced, refined, adjusted rig). Found: IoU with the box "
    "of the joints in the image above 0.4; BlazePose's detector has no box: hips within a quarter of the extent, and "
    "the size within a factor of 2. False: IoU below 0.1 with everybody in 3D (hips half an extent away). PCK: the "
    "nearest person in the photograph, all 12 joints counted, found or not. ms: processor time of a picture, one "
    "thread. Stated noise: along an axis, against refined poses (people balanced, rig adjusted to them) of joints "
    "that three views see or more"
)
WHERE = ("parse", "panoptic_images/demo")
_FAR = 1e9  # px, of a joint that is not there
_STEP = {True: 4, False: 20}  # of the frames of the demo, in quick runs and in others
_SURE = 0.3


def detectors(options: Options) -> Section:
    """All tables whose data are there."""
    section = Section("detectors: the estimators of people in pictures", MEASURED)
    estimators = available(section, options)
    photographs, dome = data(section, options)
    sessions = speed(section, options, estimators)
    references = noise(section, options, sessions)
    if photographs:
        on_photographs(section, photographs, estimators)
    poses = on_panoptic(section, dome, estimators) if dome else None
    finding(section, options, photographs, (dome, poses), references)
    return section


def data(section: Section, options: Options) -> tuple[list[Labelled], Dome | None]:
    """PARSE's photographs and Panoptic's pictures, where they are there; tell which are not."""
    parse, panels = (options.data / where for where in WHERE)
    for place in (parse, panels):
        if not place.is_dir():
            section.facts.append(f"{place.name} left out: no folder {place}; give --data FOLDER or set MVCAP_DATA")
    photographs = parse_pictures(parse, 4 if options.quick else None) if parse.is_dir() else []
    return photographs, panoptic(panels, 1 if options.quick else None) if panels.is_dir() else None


def available(section: Section, options: Options) -> Estimators:
    """The estimators whose networks are there; tell which are not."""
    from mvcap.errors import MvcapError

    card = Path(__file__).resolve().parents[2] / "configs" / "models" / "rtmdet-nano_rtmpose.yaml"
    all_of_them = {
        **{f"people {mode}": ("people", {"mode": mode}) for mode in MODES},
        "blazepose": ("blazepose", {}),
        "topdown": ("topdown", {"card": str(card), "models": str(options.data / "models")}),
    }
    out = {}
    for name, (plugin, settings) in all_of_them.items():
        if options.quick and name in ("people fast", "people best"):
            continue
        try:
            prepared(plugin, settings)
            out[name] = (plugin, settings)
        except MvcapError as error:
            section.facts.append(f"{name} left out: {error}")
    return out


def prepared(plugin: str, settings: Mapping[str, Any]) -> Any:
    """An estimator whose networks are fetched."""
    from mvcap import plugins

    estimator = plugins.instance("estimator", plugin, settings)
    estimator.prepare(())
    return estimator


def noise(section: Section, options: Options, sessions: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in the table of the stated noise; return the sessions with refined poses and adjusted rigs, by take."""
    from mvcap.errors import MvcapError

    detected: dict[tuple[str, str], Any] = {}
    references: dict[str, Any] = {}
    for take in TAKES[1:] if options.quick else TAKES:
        for mode in ("balanced",) if options.quick else MODES:
            try:
                session = detections(options, take, mode, sessions)
                detected[mode, take] = all_rows(session, "estimate")
                if mode == "balanced":
                    references[take] = reference(section, options, session)
            except MvcapError as error:
                section.facts.append(f"stated noise, {take}, {mode} left out: {error}")
    stated_noise(section, options, detected, references)
    return references


def on_photographs(section: Section, photographs: list[Labelled], estimators: Estimators) -> None:
    """Fill in the table of whole estimators on PARSE."""
    for name, (plugin, settings) in estimators.items():
        say(f"detectors: PARSE, {name}")
        estimator = prepared(plugin, settings)
        columns = [estimator.skeleton.index(joint) for joint in PARSE_JOINTS]
        estimate_all(estimator, photographs[:1])  # what is loaded at the first picture is no time of a picture
        with clock() as timed:
            found = estimate_all(estimator, photographs)
        row = correct(photographs, [rows.xy[:, columns] for rows in found])
        section.add("estimators on PARSE", {"estimator": name, **row, "ms": 1000 * timed.cpu_s / len(photographs)})


def estimate_all(estimator: Any, photographs: list[Labelled]) -> list[Any]:
    """Rows of each photograph by itself."""
    from mvcap.structures.contracts import View

    out = []
    for one in photographs:
        view = View(0, "photograph", (one.image.shape[1], one.image.shape[0]), 25.0, 1)
        out.append(estimator.estimate(one.image, 0, view, {}).rows)
    return out


def correct(photographs: list[Labelled], people: list[Any]) -> Row:
    """Recall and percentages of correct joints of people (N, 12, 2) px, NaN where missing, in each photograph."""
    errors, box, torso, found = [], [], [], []
    for one, xy in zip(photographs, people, strict=True):
        off = np.linalg.norm(np.nan_to_num(np.asarray(xy, np.float64), nan=_FAR) - one.xy[:12], axis=-1)
        off = np.concatenate([off, np.full((1, 12), _FAR)])
        errors.append(off[np.median(off, 1).argmin()])
        box.append(float(one.truth.extent[0]))
        torso.append(float(np.linalg.norm(one.xy[PARSE_JOINTS.index("left_shoulder")] -
                                          one.xy[PARSE_JOINTS.index("right_hip")])))  # fmt: skip
        found.append(np.median(errors[-1]) < 0.2 * box[-1])
    of_box, of_torso = np.array(errors) / np.array(box)[:, None], np.array(errors) / np.array(torso)[:, None]
    return {"recall %": 100 * float(np.mean(found)), "PCK 0.1 box": 100 * float(np.mean(of_box < 0.1)),
            "PCK 0.05 box": 100 * float(np.mean(of_box < 0.05)), "PCK 0.2 torso": 100 * float(np.mean(of_torso < 0.2)),
            "people a picture": float(np.mean([len(xy) for xy in people]))}  # fmt: skip


def on_panoptic(section: Section, dome: Dome, estimators: Estimators) -> Any:
    """Fill in the table of whole estimators on Panoptic's pictures; return the poses of the best mode that ran."""
    import mvcap

    kept = None
    for name, (plugin, settings) in estimators.items():
        say(f"detectors: Panoptic, {name}")
        rows = mvcap.detect(dome.moments, plugin, rate_hz=1.0, names=dome.rig.names, **settings)
        rows = mvcap.associate_rows(rows, dome.rig, rate_hz=1.0)
        poses = mvcap.triangulate_rows(rows, dome.rig)
        section.add("estimators on Panoptic", {"estimator": name, **seen_row(rows, poses, dome)})
        kept = poses if plugin == "people" else kept
    section.facts.append(f"Panoptic: {PANOPTIC_PEOPLE} people at each of {len(dome.moments)} moments; "
                         "some are outside a view or behind another person")  # fmt: skip
    return kept


def seen_row(rows: Any, poses: Any, dome: Dome) -> Row:
    """People by view and in 3D, and px between detections and reprojections of the 12 joints of the body."""
    from mvcap.triangulation.reprojection_residuals import linked_offsets

    linked = linked_offsets(rows, poses, dome.rig)
    here = body_columns(poses.skeleton)
    off = np.linalg.norm(linked.off_px, axis=-1)[:, here]
    score = rows.score[linked.row][:, body_columns(rows.skeleton)]
    out: Row = {f"view {name}": int(np.sum(rows.view == view)) for view, name in enumerate(dome.rig.names)}
    out["in 3D"] = " ".join(str(int(np.sum(poses.frame == frame))) for frame in range(len(dome.moments)))
    for label, some in (("", np.isfinite(off)), (f" above {_SURE}", np.isfinite(off) & (score > _SURE))):
        out |= {f"joints{label}": int(some.sum()), f"median px{label}": float(np.median(off[some])) if some.any() else
                None, f"mean px{label}": float(np.mean(off[some])) if some.any() else None}  # fmt: skip
    return out


def finding(
    section: Section,
    options: Options,
    photographs: list[Labelled],
    in_dome: tuple[Dome | None, Any],
    references: Mapping[str, Any],
) -> None:
    """Fill in the table of networks that find people."""
    in_views = list(dome_views(*in_dome)) if in_dome[0] and in_dome[1] is not None else []
    frames = [one for session in references.values() for one in demo_frames(session, _STEP[options.quick])]
    for name, find in finders(options, section).items():
        say(f"detectors: finding people, {name}")
        row: Row = {"finder": name}
        if photographs:
            row |= found_row("PARSE", find, [(one.image, one.truth, None) for one in photographs])
        for label, pictures in (("Panoptic", in_views), ("demo", frames)):
            if pictures:
                row |= found_row(label, find, pictures)
        section.add("finding people", row)


def dome_views(dome: Dome, poses: Any) -> Iterator[tuple[Any, Truth, Truth]]:
    """Pictures of Panoptic, who is to be found there, and who may be."""
    for frame, moment in enumerate(dome.moments):
        for camera, image in zip(dome.rig, moment, strict=True):
            yield image, people_in_view(poses, camera, frame, image), people_in_view(poses, camera, frame, image, 1)


def demo_frames(session: Any, step: int) -> Iterator[tuple[Any, Truth, Truth]]:
    """Some frames of all views of a session, who is to be found there, and who may be."""
    poses = all_rows(session, "refine")
    for view, camera in enumerate(session.rig):
        for frame, image in session.images(view, every=step):
            if image is not None:
                yield image, people_in_view(poses, camera, frame, image), people_in_view(poses, camera, frame, image, 1)


def found_row(label: str, find: Finder, pictures: list[tuple[Any, Truth, Truth | None]]) -> Row:
    """How many are found, found in all, and nobody; the last only where all people are known."""
    find(pictures[0][0])
    there = found = bodies = nobody = 0
    with clock() as timed:
        made = [find(image) for image, _, _ in pictures]
    for bodies_there, (_, people, anybody) in zip(made, pictures, strict=True):
        there += len(people.box)
        found += int(covers(bodies_there, people).any(0).sum())
        bodies += len(bodies_there)
        nobody += int(is_nobody(bodies_there, anybody).sum()) if anybody is not None else 0
    known = pictures[0][2] is not None
    counts: Row = {f"{label} found": f"{found}/{there}", f"{label} %": 100 * found / max(there, 1),
              f"{label} a picture": bodies / len(pictures)}  # fmt: skip
    counts |= {f"{label} false": nobody} if known else {}
    return counts | {f"{label} ms": 1000 * timed.cpu_s / len(pictures)}
