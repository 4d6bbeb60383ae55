"""Lifting networks trained with a small budget: what the rows of S2 and S9 have in common."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benches.section import Options, Row, clock, say
from mvcap import assets
from mvcap.errors import StaleError
from mvcap.progress import silent
from mvcap.tasks.lift import LiftTask
from mvcap.training.loop import Learner, TrainConfig, seeded
from mvcap.training.samples import Samples, Source, prepare

SAMPLES = "mvcap.tasks.lift:LiftTask"
PROGRAM = ("benches.seeds_training", "mvcap.tasks.lift", "mvcap.nn.dynamic_graph", "mvcap.nn.temporal_lift",
           "mvcap.nn.lifted_pose", "mvcap.training.loop")  # fmt: skip
"""What a figure depends on beside its samples."""
UNSURE = 0.5
"""Joints that are missing, or of a score below it, count as hidden."""


@dataclass(frozen=True)
class Budget:
    """How much is learned and measured."""

    takes: int
    held_out: int
    steps: int
    seeds: int
    batch: int


class Variant(LiftTask):
    """The task of lifters with another network and batch size; poses do not vary, as steps are few."""

    poses_vary = False

    def __init__(self, title: str, make: Callable[[], Any], batch: int) -> None:
        self.title, self.make, self.batch_size = title, make, batch

    def network(self) -> Any:
        """Return a network with initial weights."""
        return self.make()


def rooms(options: Options, how: Budget) -> tuple[Samples, Samples]:
    """Samples to learn from and held-out ones; made once for all systems of these sizes."""
    assets.path("motions")  # without them the takes would be others
    folder = options.work / f"lifting-{how.takes}-{how.held_out}"
    take = dict(LiftTask.defaults["take"])
    sources = [Source(SAMPLES, split, count, 0, take)
               for split, count in (("train", how.takes), ("held_out", how.held_out))]  # fmt: skip
    try:
        train, held_out = prepare(sources, folder, 1, silent)
    except StaleError:
        shutil.rmtree(folder)
        train, held_out = prepare(sources, folder, 1, silent)
    return train, held_out


def row_of(variant: Variant, options: Options, how: Budget, samples: tuple[Samples, Samples]) -> Row:
    """Mean and spread of a variant's figures over the seeds; those of the same program are kept in a file."""
    runs, spent = [], 0.0
    for seed in range(how.seeds):
        place = options.work / "seeds" / f"{_plan(variant, how, seed)}.json"
        if not place.exists():
            with clock() as timed, threadpool_limits(1):
                figures = _taught(variant, options.work / "seeds", how, seed, samples)
            place.write_text(json.dumps({**figures, "cpu s": timed.cpu_s}), encoding="utf-8")
        runs.append(json.loads(place.read_text(encoding="utf-8")))
        spent += runs[-1].pop("cpu s")
        say(f"seeds: {variant.title}, seed {seed}: {runs[-1]['mm']:.1f} mm")
    parameters = sum(one.numel() for one in variant.network().parameters())
    return {"who": variant.title, "parameters": parameters, **together(runs), "cpu s a seed": spent / how.seeds}


def _plan(variant: Variant, how: Budget, seed: int) -> str:
    told = hashlib.sha256(f"{variant.title} {how} {seed}".encode())
    for module in PROGRAM:
        told.update(Path(str(find_spec(module).origin)).read_bytes())  # type: ignore[union-attr]
    return told.hexdigest()[:20]


def _taught(variant: Variant, folder: Path, how: Budget, seed: int, samples: tuple[Samples, Samples]) -> Row:
    place = folder / f"run-{_plan(variant, how, seed)}"
    place.mkdir(parents=True, exist_ok=True)
    config = TrainConfig(steps=how.steps, takes=how.takes, threads=1, measure_s=1e6, measured=8)
    with seeded(seed, 1):
        learner = Learner(variant, variant.network(), config, seed, "cpu")
        learner.learn(*samples, place, "bench", silent, lambda line: None)
    shutil.rmtree(place)
    return figures(learner.average, variant, samples[1])


def figures(network: Any, variant: Variant, samples: Sequence[Any]) -> Row:
    """Mean distance in mm of all joints, of well seen ones and of hidden ones, about the middle of the hips."""
    import torch

    rows = []
    for start in range(0, len(samples), 64):
        batch = variant.batch(samples[start : start + 64])
        with torch.inference_mode():
            joints, _ = network(torch.from_numpy(batch["node"]), torch.from_numpy(batch["frame"]))
        away = 1000 * np.linalg.norm(np.asarray(batch["joints"]) - joints.numpy(), axis=-1)
        confidence = np.asarray(batch["node"])[..., 3] * np.asarray(batch["node"])[..., 4]
        rows.append(np.stack([away, confidence < UNSURE], -1)[np.asarray(batch["known"]) > 0])
    both = np.concatenate(rows)
    hidden = both[:, 1] > 0
    return {"mm": float(both[:, 0].mean()), "seen mm": float(both[~hidden, 0].mean()),
            "hidden mm": float(both[hidden, 0].mean())}  # fmt: skip


def together(runs: Sequence[Mapping[str, float]]) -> Row:
    """Means, and standard deviations where there are several seeds."""
    row: Row = {}
    for name in runs[0]:
        values = [run[name] for run in runs]
        row[name] = float(np.mean(values))
        if len(values) > 1:
            row[f"{name} ±"] = float(np.std(values, ddof=1))
    return row


def verdict(better: Row, worse: Row, name: str, claim: str) -> str:
    """A line on whether one row is lower than another by more than the spread of both, in mm."""
    gain = worse[name] - better[name]
    spread = float(np.hypot(better.get(f"{name} ±", 0.0), worse.get(f"{name} ±", 0.0)))
    holds = "holds" if gain > 2 * spread else "fails" if gain < -2 * spread else "is not decided"
    return (
        f"{claim}: {holds} here ({gain:+.1f} mm {name.removesuffix(' mm')}, spread of the difference {spread:.1f} mm)"
    )
