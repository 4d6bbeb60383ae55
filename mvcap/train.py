"""The command ``train``: trains a network on synthetic takes, without recordings and labels.

The output folder holds the samples, the checkpoint, ``metrics.jsonl``, ``curves.png`` and at the end the network with
its card. An interrupted run continues where it stopped. With a rig, the existing network is fine-tuned on takes of that
rig, and is put into the cache for it only if it is better there.

A task may have more attributes than its contract: ``defaults`` and ``tuning`` (settings of ``TrainConfig`` for training
from scratch and for fine-tuning), ``better`` (metric -> ``higher`` or ``lower``), ``limits(samples)`` (small arrays for
the card, by name), ``about`` and ``limitations`` (texts for the card).
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calib import Rig, load_rig
from mvcap import assets, plugins
from mvcap.config import Overrides, build, merge
from mvcap.errors import ConfigError, InputError
from mvcap.progress import Progress, silent
from mvcap.structures.npz import write_text, written_whole
from mvcap.training.loop import Learner, OnMetrics, TrainConfig, forget_after, measure, metric_lines, seeded
from mvcap.training.samples import Samples, Source, load_task, prepare
from mvcap.version import __version__
from mvcap.weights import networks

if TYPE_CHECKING:
    import torch

    from mvcap.training.task import Task

DATA = (
    {"name": "DeepMimic motions, of the wheel pybullet", "licence": "MIT"},
    {"name": "procedural motions and bodies of mvcap", "licence": "Apache-2.0"},
    {"name": "synthetic rigs and 2D detections of mvcap; no images, no labels of recordings", "licence": "Apache-2.0"},
    {
        "name": "error model of 2D estimators: some dozen numbers set by hand after Shelf (frames 0-74), MVOR (day 1) "
        "and the Pose2Sim demos; these recordings themselves are not training data",
        "licence": "figures",
    },
)
_TUNING = {"steps": 800, "takes": 80, "rate": 5e-4}
"""Settings of fine-tuning that replace the defaults, unless the task has its own."""
_CLEARLY_WORSE = 0.01
"""Share of a metric by which fine-tuning may make it worse."""
_WORKERS_AT_MOST = 8


@dataclass(frozen=True)
class Trained:
    """The result of training."""

    name: str
    file: Path
    """The ONNX file; its card is in the same folder."""
    metrics: Mapping[str, float]
    """On held-out takes."""
    before: Mapping[str, float] | None = None
    """The same of the network that it started from; None where it was trained from scratch."""
    kept: Path | None = None
    """Where fine-tuned weights were installed for their rig; None where there is no rig, or they are not better."""
    reason: str = ""
    """Why fine-tuned weights were kept or not."""


@dataclass(frozen=True)
class _Plan:
    """Everything that the result depends on."""

    name: str
    target: str
    seed: int
    config: TrainConfig
    rig: Rig | None
    start: networks.Network | None

    @property
    def sources(self) -> list[Source]:
        config = self.config
        takes = {"train": config.takes, "held_out": config.held_out_takes}
        return [Source(self.target, split, n, self.seed, config.take, self.rig) for split, n in takes.items()]

    @property
    def fingerprint(self) -> str:
        held = {
            "task": self.target,
            "seed": self.seed,
            "config": self.config.of_the_result(),
            "sources": [source.plain() for source in self.sources],
            "start": self.start and self.start.card["sha256"],
        }
        return hashlib.sha256(json.dumps(held, sort_keys=True, default=list).encode()).hexdigest()


def train(
    task: str,
    out: str | Path,
    *,
    seed: int = 0,
    rig: Rig | str | Path | None = None,
    start: str | Path | None = None,
    overrides: Overrides | None = None,
    device: str = "auto",
    resume: bool = True,
    progress: Progress = silent,
    on_metrics: OnMetrics | None = None,
    command: str = "",
) -> Trained:
    """Train the network of a task (its name, such as ``prg``, or ``"package.module:Class"``) on synthetic takes.

    ``overrides`` change fields of ``TrainConfig``. With ``rig``, or ``start`` (an ONNX file with its card), it
    fine-tunes an existing network. ``resume=False`` drops what an earlier run left in ``out``. ``on_metrics`` is called
    with the metrics during training. Samples are made by other processes: a script has to call this below
    ``if __name__ == "__main__":``.

    Raises InputError where torch is missing or something cannot be used, ConfigError for a wrong setting, StaleError
    where ``out`` holds a run with other settings, AssetError where the motions are not available.
    """
    _needs_torch()
    folder = Path(out)
    plan = _plan(task, seed, rig, start, overrides or {})
    loaded_task = load_task(plan.target)
    assets.path("motions")  # without them the takes would differ, and each process would fetch them
    workers = plan.config.workers or min(os.cpu_count() or 1, _WORKERS_AT_MOST)
    samples, held_out = prepare(plan.sources, folder / "samples", workers, progress, redo=not resume)
    with seeded(plan.seed, plan.config.threads):
        learner = _learner(loaded_task, plan, _device(device))
        before = None if plan.start is None else measure(loaded_task, learner.network, held_out)
        _resume(learner, folder, plan.fingerprint, resume)
        learner.learn(samples, held_out, folder, plan.fingerprint, progress, on_metrics or _ignore)
        metrics = measure(loaded_task, learner.average, held_out)
        _draw_curves(folder, plan.name)
        file = _export_checked(loaded_task, learner.average, held_out, folder / f"{plan.name}.onnx")
    facts = {"command": command or _command(plan), "metrics": metrics, "samples": len(samples), "before": before}
    seconds = round(learner.seconds, 1)
    write_text(networks.card_path(file), _card(plan, loaded_task, file, samples, {**facts, "seconds": seconds}))
    return _install_for_rig(plan, loaded_task, file, metrics, before)


def _needs_torch() -> None:
    lacking = [name for name in ("torch", "onnx") if importlib.util.find_spec(name) is None]
    if lacking:
        raise InputError(f"training needs {' and '.join(lacking)}: pip install 'mvcap[learn]'")
    # Torch's threads busy-wait for each other, which is ten times slower where other programs use the processors too.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def _ignore(line: Mapping[str, Any]) -> None:
    """Ignore the metrics."""


def _plan(task: str, seed: int, rig: Rig | str | Path | None, start: str | Path | None, overrides: Overrides) -> _Plan:
    target = plugins.TABLE["task"].get(task, task)
    if not 0 <= seed < 2**31:
        raise ConfigError(f"the seed is a number from 0 to {2**31 - 1}, not {seed}")
    loaded_task = load_task(target)
    of_rig = load_rig(rig) if isinstance(rig, str | Path) else rig
    given = merge(getattr(loaded_task, "defaults", {}), {})
    old = None
    if start is not None or of_rig is not None:
        old = networks.read(Path(start)) if start is not None else networks.load_network(loaded_task.name)
        given = merge(merge(given, _TUNING), getattr(loaded_task, "tuning", {}))
    return _Plan(loaded_task.name, target, seed, build(TrainConfig, merge(given, overrides), "train"), of_rig, old)


def _device(asked: str) -> str:
    import torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked not in ("cpu", "cuda"):
        raise ConfigError(f"the device is auto, cpu or cuda, not {asked!r}")
    if asked == "cuda" and not torch.cuda.is_available():
        raise InputError("torch finds no CUDA device here; use device cpu")
    return asked


def _learner(loaded_task: Task, plan: _Plan, device: str) -> Learner:
    network = loaded_task.network()
    if plan.start is not None:
        from mvcap.training.onnx_export import weights_of

        network.load_state_dict(weights_of(plan.start.path, network))
    return Learner(loaded_task, network, plan.config, plan.seed, device)


def _resume(learner: Learner, folder: Path, fingerprint: str, resume: bool) -> None:
    checkpoint = folder / "checkpoint.pt"
    if not resume:
        checkpoint.unlink(missing_ok=True)
    if checkpoint.exists():
        learner.resume(checkpoint, fingerprint)
    forget_after(folder, learner.step)


def _draw_curves(folder: Path, name: str) -> None:
    from mvcap.drawing.learning_curves import learning_curves

    with written_whole(folder / "curves.png") as temporary:
        temporary.write_bytes(learning_curves(metric_lines(folder), f"{name}: training on synthetic takes"))


def _export_checked(loaded_task: Task, network: torch.nn.Module, held_out: Samples, file: Path) -> Path:
    """The ONNX file, checked to give the same outputs as torch."""
    from mvcap.training.onnx_export import check_parity, export_onnx

    networks.card_path(file).unlink(missing_ok=True)
    export_onnx(loaded_task, network, held_out[: loaded_task.batch_size], file)
    check_parity(loaded_task, network, held_out, file)
    return file


def _command(plan: _Plan) -> str:
    name = next((short for short, target in plugins.TABLE["task"].items() if target == plan.target), plan.target)
    changed = build(TrainConfig, getattr(load_task(plan.target), "defaults", {}))
    words = ["mvcap", "train", name, "--out", name, "--seed", str(plan.seed)]
    if plan.rig is not None:
        words += ["--rig", "RIG"]
    for key, value in plan.config.of_the_result().items():
        if plan.start is None and value != getattr(changed, key):
            words += ["--set", f"{key}={json.dumps(value)}"]
    return " ".join(words)


def _card(plan: _Plan, loaded_task: Task, file: Path, samples: Samples, facts: Mapping[str, Any]) -> str:
    import yaml

    limits = loaded_task.limits(samples) if hasattr(loaded_task, "limits") else {}
    card = {
        "name": plan.name,
        "about": " ".join((getattr(loaded_task, "about", None) or type(loaded_task).__doc__ or "").split()),
        "command": facts["command"],
        "seed": plan.seed,
        "version": __version__,
        "torch": importlib.metadata.version("torch"),
        "data": [dict(one) for one in DATA],
        "takes": plan.config.takes,
        "samples": facts["samples"],
        "steps": plan.config.steps,
        "seconds": facts["seconds"],
        "config": plan.config.of_the_result(),
        "started_from": plan.start and plan.start.identity,
        "rig": plan.rig and networks.rig_fingerprint(plan.rig),
        "inputs": {name: dict(axes) for name, axes in loaded_task.sizes.inputs.items()},
        "outputs": {name: dict(axes) for name, axes in loaded_task.sizes.outputs.items()},
        "metrics": {name: _round_digits(value) for name, value in facts["metrics"].items()},
        "metrics_are": f"on {plan.config.held_out_takes} synthetic takes of held-out motions and rigs",
        "metrics_before": facts["before"] and {name: _round_digits(value) for name, value in facts["before"].items()},
        "limitations": list(getattr(loaded_task, "limitations", ())),
        "bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "limits": {name: [_round_digits(one) for one in values] for name, values in limits.items()},
    }
    plain = json.loads(json.dumps({key: value for key, value in card.items() if value is not None}, default=list))
    text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=118, default_flow_style=None)
    return text


def _round_digits(value: float) -> float:
    return float(f"{value:.6g}")


def _install_for_rig(
    plan: _Plan, loaded_task: Task, file: Path, metrics: Mapping[str, float], before: Mapping[str, float] | None
) -> Trained:
    """The result; fine-tuned weights are installed for the rig if they are better."""
    made = Trained(plan.name, file, metrics, before)
    if plan.rig is None or before is None:
        return made
    better, reason = keep_or_reject(before, metrics, getattr(loaded_task, "better", {}))
    if not better:
        return dataclasses.replace(made, reason=reason)
    place = networks.rig_folder(plan.rig) / file.name
    networks.card_path(place).unlink(
        missing_ok=True
    )  # an interruption leaves a network without a card, which does not count
    with written_whole(place) as temporary:
        temporary.write_bytes(file.read_bytes())
    write_text(networks.card_path(place), networks.card_path(file).read_text(encoding="utf-8"))
    return dataclasses.replace(made, kept=place, reason=reason)


def keep_or_reject(
    before: Mapping[str, float], after: Mapping[str, float], better: Mapping[str, str]
) -> tuple[bool, str]:
    """Whether weights are to be kept: the loss is lower, and no metric is worse by more than a hundredth.

    ``better`` maps a metric to ``higher`` or ``lower``; others do not count. Also returns the reason.
    """
    if not after["loss"] < before["loss"]:
        return False, f"the loss is not lower ({before['loss']:.4g} before, {after['loss']:.4g} after)"
    for name, way in better.items():
        change = (after[name] - before[name]) * (1 if way == "higher" else -1)
        if change < -_CLEARLY_WORSE * abs(before[name]):
            return False, f"{name} is worse ({before[name]:.4g} before, {after[name]:.4g} after)"
    return True, f"the loss is lower ({before['loss']:.4g} before, {after['loss']:.4g} after) and no figure is worse"


def figures_table(made: Trained) -> str:
    """The metrics on held-out takes, one line each, before and after where there was a network before."""
    head = ["held out", "before", "after"] if made.before is not None else ["held out", made.name]
    rows = [head]
    for name, value in made.metrics.items():
        old = [f"{made.before[name]:.4f}"] if made.before is not None else []
        rows.append([name, *old, f"{value:.4f}"])
    width = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join([row[0].ljust(width[0]), *(cell.rjust(size) for cell, size in zip(row[1:], width[1:], strict=True))])
        for row in rows
    )
