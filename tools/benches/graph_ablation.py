"""What the learned matching owes to its features: variants taught in one room and in many, scored here and there."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benches.graph_variants import SAMPLES, VARIANTS, Ours, Taught
from benches.section import Options, Row, Section, clock, say
from benches.take_scores import TakeScores, scores
from calib import Rig
from mvcap import assets
from mvcap.association.association_graph import GeometryConfig
from mvcap.associators.geometry import Geometry
from mvcap.datasets.people import TakeConfig, make_take
from mvcap.errors import StaleError
from mvcap.progress import silent
from mvcap.structures.synthetic_take import SyntheticTake
from mvcap.training.loop import Learner, TrainConfig, measure, seeded
from mvcap.training.samples import Samples, Source, prepare

PROGRAM = ("benches.graph_variants", "benches.graph_networks", "mvcap.tasks.mmg", "mvcap.nn.edge_conv",
           "mvcap.nn.mmg", "mvcap.training.loop")  # fmt: skip
"""What a taught network depends on beside its samples."""
ONE_ROOM, MANY = "one room", "many rooms"
HERE, ELSEWHERE = "that room", "other rooms"
MEASURED = (
    "MMG's network trained anew with so many takes and steps, from the same frames in every variant, in one room (a "
    "ring of 5 cameras, always the same) or in many (rigs of 2 to 16 cameras, another one for each take). Scored on "
    "motion held out, in that one room and in rooms and with cameras that were not in training. F1 edges: pairs of "
    "rows of two views that are assigned to one person, in frames that are ambiguous for geometry; F1 assoc.: the "
    "whole associator with that network as affinity model, accepted whatever it gives. Mean and standard deviation "
    "over seeds of takes and weights. The gap: F1 in other rooms when trained in many, less that when trained in one"
)


@dataclass(frozen=True)
class Budget:
    """How much is learned and measured."""

    takes: int = 100
    """Takes that each network learns from."""
    held_out: int = 30
    """Takes of each kind of room that edges are scored on."""
    steps: int = 300
    seeds: int = 3
    associated: int = 12
    """Takes of each kind of room that the associator is scored on."""
    take: Mapping[str, Any] | None = None
    """Settings of the takes that differ from ``TakeConfig``'s."""


FULL, QUICK = Budget(), Budget(12, 6, 80, 1, 3, {"frames": 12})


@dataclass(frozen=True)
class Room:
    """What is scored on in rooms of a kind."""

    samples: Samples
    takes: Sequence[SyntheticTake]


def ablation(options: Options, budget: Budget | None = None) -> Section:
    """Every variant taught in one room and in many."""
    how = budget or (QUICK if options.quick else FULL)
    section = Section(f"ablation: matching taught by {how.takes} takes, {how.steps} steps, {how.seeds} seeds", MEASURED)
    if find_spec("torch") is None:
        section.facts.append("left out: it needs torch: pip install 'mvcap[learn]'")
        return section
    home = options.work / "ablation"
    assets.path("motions")  # without them the takes would be others
    rig = the_room()
    with clock() as timed:
        rooms = {HERE: room(home, how, rig), ELSEWHERE: room(home, how, None)}
    say(f"ablation: held-out takes [{timed.wall_s:.0f} s]")
    table, found = "F1 in that room and in others", dict[tuple[str, str], Row]()
    section.add(table, of_geometry(rooms))
    for variant in VARIANTS:
        for where, known in ((ONE_ROOM, rig), (MANY, None)):
            runs = []
            for seed in range(how.seeds):
                with clock() as timed:
                    runs.append(one_run(variant(), home, how, known, seed, rooms))
                say(f"ablation: {variant.title}, {where}, seed {seed} [{timed.wall_s:.0f} s]: {shown(runs[-1])}")
            row = found[variant.title, where] = together(runs)
            section.add(table, {"who": f"{variant.title}; {where}", **row})
    for variant in VARIANTS:
        section.add("the gap: what teaching in one room loses in others", gap(variant.title, found))
    section.facts.append(
        "all networks are 40 wide with 2 rounds; published's are 256, with a picture's channels as nodes"
    )
    return section


def the_room() -> Rig:
    """The one room: five cameras on a ring."""
    from generated_people import ring_rig

    rig: Rig = ring_rig(5)
    return rig


def room(home: Path, how: Budget, rig: Rig | None) -> Room:
    """What is scored on: samples of held-out takes, and takes."""
    source = Source(SAMPLES, "held_out", how.held_out, 0, how.take or {}, rig)
    config = TakeConfig("held_out", rig=rig, **(how.take or {}))
    takes = [make_take(1_000_000 + index, config) for index in range(how.associated)]
    return Room(made(source, home / f"held-out-{kind(rig)}-{how.held_out}"), takes)


def kind(rig: Rig | None) -> str:
    """Name of a kind of rooms in a file's."""
    return "many" if rig is None else "one"


def made(source: Source, folder: Path) -> Samples:
    """Samples of a source; those in the folder if they are of the same program, and else nothing there is kept."""
    workers = min(os.cpu_count() or 1, 8)
    try:
        return prepare([source], folder / "samples", workers, silent)[0]
    except StaleError:
        shutil.rmtree(folder)
        return prepare([source], folder / "samples", workers, silent)[0]


def one_run(variant: Ours, home: Path, how: Budget, rig: Rig | None, seed: int, rooms: Mapping[str, Room]) -> Row:
    """Figures of a variant that is taught with one seed."""
    folder = home / f"taught-{kind(rig)}-{how.takes}-{seed}"
    samples = made(Source(SAMPLES, "train", how.takes, seed, how.take or {}, rig), folder)
    network = taught(variant, samples, rooms[HERE].samples, folder, how, seed)
    row: Row = {}
    with threadpool_limits(1), seeded(seed, 1):
        for where, one in rooms.items():
            told = measure(variant, network, one.samples)
            row |= {f"F1 edges, {where}": told["f1_rows"]}
            row |= {f"F1 assoc., {where}": scores(Taught(variant, network), one.takes).f1}
    return row


def taught(variant: Ours, samples: Samples, held_out: Samples, folder: Path, how: Budget, seed: int) -> Any:
    """The network after so many steps; one that was taught before, by the same program, is kept."""
    config = TrainConfig(steps=how.steps, takes=how.takes, rate=float(str(variant.defaults["rate"])), threads=1,
                         measure_s=60.0, measured=128)  # fmt: skip
    place = folder / f"{type(variant).__name__.lower()}-{how.steps}"
    place.mkdir(exist_ok=True)
    plan = program(config, variant)
    with threadpool_limits(1), seeded(seed, 1):
        learner = Learner(variant, variant.network(), config, seed, "cpu")
        if (checkpoint := place / "checkpoint.pt").exists():
            try:
                learner.resume(checkpoint, plan)
            except StaleError:
                checkpoint.unlink()
        learner.learn(samples, held_out, place, plan, silent, lambda line: None)
    return learner.average


def program(config: TrainConfig, variant: Ours) -> str:
    """What a taught network depends on beside its samples."""
    told = hashlib.sha256(f"{config.of_the_result()} {type(variant).__name__}".encode())
    for module in PROGRAM:
        told.update(Path(str(find_spec(module).origin)).read_bytes())
    return told.hexdigest()


def of_geometry(rooms: Mapping[str, Room]) -> Row:
    """The same figures without anything learned."""
    row: Row = {"who": "geometry, nothing taught"}
    for where, one in rooms.items():
        told = Ours().metrics(_silent, one.samples)
        row[f"F1 edges, {where}"] = told["f1_rows_geometry"]
        found: TakeScores = scores(Geometry(GeometryConfig()), one.takes)
        row[f"F1 assoc., {where}"] = found.f1
    return row


def _silent(node: Any, edge: Any, prior: Any, there: Any) -> Any:
    """A network that says nothing."""
    return 0 * prior


def together(runs: Sequence[Row]) -> Row:
    """Means, and standard deviations where there are several seeds."""
    row: Row = {}
    for name in runs[0]:
        values = [run[name] for run in runs]
        row[name] = float(np.mean(values))
        if len(values) > 1:
            row[f"{name} ±"] = float(np.std(values, ddof=1))
    return row


def gap(title: str, found: Mapping[tuple[str, str], Row]) -> Row:
    """How much worse a variant is in other rooms for having been taught in one only."""
    one, many = found[title, ONE_ROOM], found[title, MANY]
    row: Row = {"who": title}
    for what in ("edges", "assoc."):
        here, elsewhere = (f"F1 {what}, {where}" for where in (HERE, ELSEWHERE))
        spread = [side[f"{elsewhere} ±"] for side in (one, many) if f"{elsewhere} ±" in side]
        row |= {f"F1 {what}: at home": one[here], f"elsewhere, {what}": one[elsewhere],
                f"gap, {what}": many[elsewhere] - one[elsewhere],
                f"± {what}": float(np.hypot(*spread)) if spread else None}  # fmt: skip
    return row


def shown(row: Row) -> str:
    """A line of figures."""
    return ", ".join(f"{name} {value:.3f}" for name, value in row.items())
