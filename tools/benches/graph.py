"""The learned graph beside geometry: crowds, crossings, numbers of cameras, views left out, other noise, recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benches import recorded
from benches.cameras_plot import draw
from benches.graph_variants import WithCentres
from benches.hidden_joints import hidden_joints
from benches.measures import all_rows
from benches.section import Options, Row, Section, say
from benches.take_scores import TakeScores, scores
from mvcap import assets
from mvcap.associators.geometry import Geometry
from mvcap.associators.graph import GraphAssociator
from mvcap.datasets.people import TakeConfig, make_take
from mvcap.structures.synthetic_take import SyntheticTake
from mvcap.synthesis.detector_errors import OPENPOSE, OPENPOSE_WEAK, TOPDOWN, DetectorModel
from mvcap.synthesis.random_rigs import disturb_rig

CROWD = {"people": (10, 10), "cameras": (5, 5)}
SOME = {"people": (4, 4), "cameras": (5, 5)}
CAMERAS = (2, 3, 4, 5, 6, 8, 10, 12)
CALIBRATIONS = {"0.15 degrees, 5 mm": (0.15, 0.005), "0.5 degrees, 20 mm": (0.5, 0.02)}
"""How much more than as generated each camera of a calibration is turned and moved: standard deviations."""
ESTIMATORS = {"OpenPose": OPENPOSE, "OpenPose, small people": OPENPOSE_WEAK, "top-down": TOPDOWN}
SETS = 3
"""Disjoint sets that takes are divided into: F1's deviation between them is its uncertainty."""
LADDER: Mapping[str, tuple[type[Geometry], bool]] = {
    "geometry, every frame for itself": (Geometry, True),
    "+ MMG, every frame for itself": (GraphAssociator, True),
    "geometry": (Geometry, False),
    "+ MMG, time nodes (graph)": (GraphAssociator, False),
    "+ MMG, time nodes, CRG": (WithCentres, False),
}
BOTH: Mapping[str, tuple[type[Geometry], bool]] = {"geometry": (Geometry, False), "graph": (GraphAssociator, False)}
MEASURED = (
    "shipped weights as they are. Generated takes: motion, rigs and estimators that no training saw, 24 frames each; "
    "F1, precision, recall of pairs of rows of two views; ±: standard deviation between three sets of takes; found: "
    "of the people seen by two views; false: groups of two rows or more that are false positives or duplicates; "
    "ms: CPU of one thread; asked, declined: percent of the frames that the networks were asked about, and that they "
    "left to geometry"
)


@dataclass(frozen=True)
class Crowd:
    """Takes of a kind."""

    count: int
    seed: int = 2_000_000

    def takes(self, **config: Any) -> list[SyntheticTake]:
        """Held-out takes, the same every time."""
        return [make_take(self.seed + index, TakeConfig("held_out", **config)) for index in range(self.count)]


def graph(options: Options) -> Section:
    """All of it."""
    section = Section("graph: learned matching and centres beside geometry", MEASURED)
    assets.path("motions")  # without them the takes would be others
    warm = Crowd(1).takes(people=(3, 3), cameras=(3, 3), frames=4)
    for plugin in (Geometry, GraphAssociator):
        measured(plugin, warm)  # imports and loading are not timed
    ladder(section, Crowd(3 if options.quick else 30))
    crossings(section, options)
    cameras(section, options)
    fewer_views(section, Crowd(3 if options.quick else 24))
    estimators(section, Crowd(3 if options.quick else 24))
    calibrations(section, Crowd(3 if options.quick else 24))
    posed = {"people": (1, 3), "cameras": (2, 6), "frames": 48, "rate_hz": (10.0, 30.0)}
    hidden_joints(section, Crowd(4 if options.quick else 40).takes(**posed))
    recorded.recordings(section, options)
    return section


def compared(
    section: Section, table: str, case: str, takes: Sequence[SyntheticTake],
    arms: Mapping[str, tuple[type[Geometry], bool]] = BOTH,
) -> list[Row]:  # fmt: skip
    """Put a row for each way of association into a table; return them."""
    rows = []
    for who, (plugin, forget) in arms.items():
        say(f"graph: {table}: {case}: {who}")
        row = {"who": f"{case}: {who}" if case else who, **measured(plugin, takes, forget)}
        section.add(table, row)
        rows.append(row)
    return rows


def measured(plugin: type[Geometry], takes: Sequence[SyntheticTake], forget: bool = False) -> Row:
    """Figures of an associator with its own settings."""
    sets = [one for one in (takes[first::SETS] for first in range(SETS)) if one]
    parts = [scores(plugin(plugin.Config()), one, forget) for one in sets]
    whole = TakeScores.sum(parts)
    told, learned = whole.row(), issubclass(plugin, GraphAssociator)
    return {
        "F1": told["f1"],
        "±": float(np.std([part.f1 for part in parts], ddof=1)) if len(parts) > 1 else None,
        "precision": told["precision"],
        "recall": told["recall"],
        "found %": told["found_percent"],
        "false a frame": told["false_people_per_frame"],
        "id switches": None if forget else whole.switches,
        "ms a frame": told["ms_per_frame"],
        "asked %": 100 * whole.asked / max(whole.frames, 1) if learned else None,
        "declined %": 100 * whole.declined / max(whole.frames, 1) if learned else None,
    }


# --- generated takes -------------------------------------------------------------------------------------------------


def ladder(section: Section, crowd: Crowd) -> None:
    """What each part of the graph brings, in crowds and among fewer."""
    for case, config in {"10 people": CROWD, "4 people": SOME}.items():
        compared(section, f"what each part brings: {case}, 5 cameras, unseen rigs", "", crowd.takes(**config), LADDER)


def crossings(section: Section, options: Options) -> None:
    """People of the tests' generator, who hide each other: association alone."""
    import generated_people as people

    frames = 60 if options.quick else 300
    cases = {f"crossing, 5 people, {views} cameras": people.crossing(5, views, frames) for views in (5, 8)}
    if not options.quick:
        cases["hugs, 10 people, 8 cameras"] = people.hugs()
    for case, told in cases.items():
        take = seen_by_oracle(options.work / "graph" / case.replace(" ", "-"), told)
        compared(section, "crossings and hugs, bodies hide each other", case, [take])


def seen_by_oracle(folder: Path, told: Any) -> SyntheticTake:
    """A take of the tests' generator as the estimator ``oracle`` sees it, which says whose each row is."""
    import shutil

    from generated_people import HIDING, make_session

    import mvcap

    shutil.rmtree(folder, ignore_errors=True)
    session = make_session(folder, told, carry=True, **HIDING)
    mvcap.estimate(session)
    rows = all_rows(session, "estimate")
    whose = np.where(rows.score > 0, rows.carried[:, None], -1).astype(np.int32)
    truth, rig, rate_hz = told
    return SyntheticTake(truth, rig, session.rig, rate_hz, rows, whose)


def cameras(section: Section, options: Options) -> None:
    """The same weights from 2 to 12 cameras."""
    rows: list[Row] = []
    crowd = Crowd(2 if options.quick else 15, 3_000_000)
    for people in (4, 10):
        for count in CAMERAS[1:6:2] if options.quick else CAMERAS:
            takes = crowd.takes(people=(people, people), cameras=(count, count))
            found = compared(section, "by the number of cameras", f"{people} people, {count} cameras", takes)
            rows += [{**row, "who": who, "people": people, "cameras": count}
                     for who, row in zip(BOTH, found, strict=True)]  # fmt: skip
    if options.out is None:
        section.facts.append("no plot of cameras: give --out FOLDER")
    else:
        path = options.out / "graph_cameras.png"
        draw(rows, path)
        section.facts.append(f"plot of cameras: {path}")


def fewer_views(section: Section, crowd: Crowd) -> None:
    """The views that are left of a rig of five: every take with some of them, drawn anew."""
    takes = crowd.takes(people=(6, 6), cameras=(5, 5))
    for left in (5, 4, 3, 2):
        rng = np.random.default_rng(left)
        some = [of_views(take, np.sort(rng.permutation(5)[:left])) for take in takes]
        arms = {**BOTH, "graph with CRG": (WithCentres, False)}
        compared(section, "views left out: 6 people, 5 cameras, unseen rigs", f"{left} views", some, arms)


def of_views(take: SyntheticTake, views: Sequence[int]) -> SyntheticTake:
    """The take as some of its views have it."""
    new = np.full(len(take.rig), -1)
    new[views] = np.arange(len(views))
    keep = new[take.rows.view] >= 0
    rows = take.rows[keep].with_columns(view=new[take.rows.view[keep]])
    names = [take.rig.names[view] for view in views]
    seen_by, rig = take.seen_by.select(names), take.rig.select(names)
    return replace(take, seen_by=seen_by, rig=rig, rows=rows, whose=take.whose[keep])


def estimators(section: Section, crowd: Crowd) -> None:
    """Estimators as they were fitted, and such as nothing was trained on."""
    for name, model in ESTIMATORS.items():
        for words, one in {"": model, ", noise and misses doubled": doubled(model)}.items():
            takes = crowd.takes(people=(6, 6), cameras=(5, 5), detector=one)
            compared(section, "estimators: 6 people, 5 cameras, unseen rigs", f"{name}{words}", takes)


def doubled(model: DetectorModel) -> DetectorModel:
    """An estimator with twice the noise, though it states no more, and twice the odds of missing a body or a joint."""
    more = float(np.log(2))
    return replace(
        model,
        noise=tuple(2 * one for one in model.noise),
        floor_px=2 * model.floor_px,
        outliers=2 * model.outliers,
        missed=tuple(one + more for one in model.missed),
        person_missed=model.person_missed + more,
    )


def calibrations(section: Section, crowd: Crowd) -> None:
    """Calibrations that are worse than any rig's in training, on average."""
    takes = crowd.takes(people=(6, 6), cameras=(5, 5))
    for case, (turned_deg, moved_m) in {"as generated": (0.0, 0.0), **CALIBRATIONS}.items():
        rng = np.random.default_rng(7)
        some = [replace(take, rig=disturb_rig(rng, take.rig, turned_deg, moved_m)) if turned_deg else take
                for take in takes]  # fmt: skip
        compared(section, "calibration off: 6 people, 5 cameras, unseen rigs", case, some)
