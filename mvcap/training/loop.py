"""The training loop of all networks: AdamW, warm-up and cosine schedule, clipped gradients, averaged weights.

A step depends only on the seed and the step's number, so a resumed run ends with the same weights as an uninterrupted
one. The averaged weights are the result (B. T. Polyak and A. B. Juditsky, "Acceleration of Stochastic Approximation by
Averaging", 1992; here an exponential average).
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mvcap.config import plain
from mvcap.errors import ConfigError, InputError, StaleError
from mvcap.progress import Progress
from mvcap.structures.npz import write_text, written_whole
from mvcap.training.samples import Samples

if TYPE_CHECKING:
    import torch

    from mvcap.training.task import Sample, Task

OnMetrics = Callable[[Mapping[str, Any]], None]
"""Called with a line of ``metrics.jsonl`` whenever one is written."""

_SORTED = 16  # batches within which samples are sorted by size: less padding, still shuffled
_MEASURE_SHARE = 0.1  # largest share of the time spent on evaluation
_BESIDE_THE_RESULT = ("workers", "threads", "measure_s", "measured", "checkpoint_s")


@dataclass(frozen=True)
class TrainConfig:
    """Settings of training; a task may have defaults of its own."""

    steps: int = 4000
    """Number of training steps, one batch each."""
    takes: int = 400
    """Synthetic takes to train on."""
    held_out_takes: int = 40
    """Synthetic takes to evaluate on, with motions that no training take has; the same for every seed."""
    take: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the takes that differ from ``TakeConfig``'s."""
    rate: float = 2e-3
    """Highest learning rate."""
    warm_up: float = 0.05
    """Share of the steps in which the rate rises; then it falls as a cosine, to a hundredth."""
    weight_decay: float = 0.01
    """Weight decay of matrices; vectors have none."""
    clip: float = 1.0
    """Norm to which larger gradients are clipped."""
    average: float = 0.998
    """Largest decay of the exponential average of the weights."""
    workers: int = 0
    """Processes that generate samples; 0 = as many as there are processors, 8 at most."""
    threads: int = 2
    """Threads of torch."""
    measured: int = 512
    """Held-out samples that are evaluated during training; all are evaluated at the end."""
    measure_s: float = 10.0
    """Least seconds between evaluations; longer where they would take more than a tenth of the time."""
    checkpoint_s: float = 20.0
    """Seconds between checkpoints."""

    def __post_init__(self) -> None:
        for name in ("steps", "takes", "held_out_takes", "threads", "measured", "rate", "clip"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"config key {name!r} has to be more than 0, not {getattr(self, name)}")
        if not (0 <= self.warm_up < 1 and 0 <= self.average < 1 and self.weight_decay >= 0 and self.workers >= 0):
            raise ConfigError("config: warm_up and average are shares below 1, weight_decay and workers not below 0")

    def of_the_result(self) -> dict[str, Any]:
        """Settings that change the trained weights."""
        return {key: value for key, value in plain(self).items() if key not in _BESIDE_THE_RESULT}


def rate_at(step: int, config: TrainConfig) -> float:
    """Learning rate of a step, counted from 0."""
    rising = max(1, round(config.warm_up * config.steps))
    if step < rising:
        return config.rate * (step + 1) / rising
    passed = (step - rising) / max(1, config.steps - rising)
    return config.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * passed)))


def batch_order(sizes: NDArray[np.int64], batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Batches (indices) of an epoch: every sample at most once, the remainder dropped, similar sizes grouped."""
    rng = np.random.default_rng([seed, epoch])
    shuffled = rng.permutation(len(sizes))
    size = min(batch_size, len(sizes))
    shuffled = shuffled[: len(sizes) // size * size]
    step = _SORTED * size
    near = [
        part[np.argsort(sizes[part], kind="stable")] for part in np.split(shuffled, range(step, len(shuffled), step))
    ]
    batches = [part[start : start + size] for part in near for start in range(0, len(part), size)]
    return [batches[at] for at in rng.permutation(len(batches))]


def tensors(batch: Mapping[str, NDArray[np.generic]], device: str) -> dict[str, torch.Tensor]:
    """The batch as tensors on the device."""
    import torch

    return {name: torch.from_numpy(np.ascontiguousarray(array)).to(device) for name, array in batch.items()}


def measure(task: Task, network: torch.nn.Module, samples: Sequence[Sample]) -> dict[str, float]:
    """The task's metrics of a network on samples, computed on the CPU without changing the network's state."""
    import torch

    shown = copy.deepcopy(network).cpu().eval()
    with torch.random.fork_rng(), torch.inference_mode():
        return {name: float(value) for name, value in task.metrics(shown, samples).items()}


@contextmanager
def seeded(seed: int, threads: int) -> Iterator[None]:
    """Run torch with this seed and number of threads; restore both afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(before)


class Learner:
    """A network in training: its weights, their average, the optimiser, and the current step."""

    def __init__(self, task: Task, network: torch.nn.Module, config: TrainConfig, seed: int, device: str) -> None:
        import torch

        self.task, self.config, self.seed, self.device = task, config, seed, device
        self.network = network.to(device)
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        matrices = [one for one in self.network.parameters() if one.requires_grad and one.ndim > 1]
        rest = [one for one in self.network.parameters() if one.requires_grad and one.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW([group for group in groups if group["params"]], lr=config.rate)
        self.step = 0
        self.seconds = 0.0

    def learn(
        self, samples: Samples, held_out: Samples, folder: Path, plan: str, progress: Progress, on_metrics: OnMetrics
    ) -> None:
        """Train up to the last step; write lines of ``metrics.jsonl`` and checkpoints meanwhile."""
        shown = held_out[:: max(1, len(held_out) // self.config.measured)]
        begun = saved = measured = time.monotonic()
        before, wait, losses = self.seconds, 0.0, list[float]()
        self.network.train()
        for batch in self._batches(samples):
            losses.append(self._one_step(batch))
            progress("learning", self.step, self.config.steps)
            now = time.monotonic()
            self.seconds = before + now - begun
            last = self.step == self.config.steps
            if last or now - measured > wait:
                self._measure_and_log(shown, losses, folder, on_metrics)
                losses, measured = [], time.monotonic()
                wait = max(self.config.measure_s, (measured - now) / _MEASURE_SHARE)
            if last or now - saved > self.config.checkpoint_s:
                self.save(folder / "checkpoint.pt", plan)
                saved = time.monotonic()

    def _one_step(self, batch: dict[str, torch.Tensor]) -> float:
        import torch

        torch.manual_seed(self.seed * 1_000_003 + self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(self.step, self.config)
        loss = self.task.loss(self.network, batch)
        if not math.isfinite(value := loss.item()):
            raise InputError(f"training fails at step {self.step}: the loss is {value}; try a lower rate")
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        self.optimiser.step()
        self.step += 1
        kept = min(self.config.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            learned = self.network.state_dict()
            for name, value_now in self.average.state_dict().items():
                if value_now.is_floating_point():
                    value_now.lerp_(learned[name], 1 - kept)
                else:
                    value_now.copy_(learned[name])
        return value

    def _batches(self, samples: Samples) -> Iterator[dict[str, torch.Tensor]]:
        """Batches of the remaining steps; the next one is prepared while one is in use."""
        with ThreadPoolExecutor(1) as ahead:
            waiting = None
            for chosen in self._batch_indices(samples.sizes):
                made = ahead.submit(self._batch, samples, chosen)
                if waiting is not None:
                    yield tensors(waiting.result(), self.device)
                waiting = made
            if waiting is not None:
                yield tensors(waiting.result(), self.device)

    def _batch(self, samples: Samples, chosen: NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
        return self.task.batch([samples[int(at)] for at in chosen])

    def _batch_indices(self, sizes: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        epoch_of = -1
        for step in range(self.step, self.config.steps):
            epoch, at = divmod(step, max(1, len(sizes) // self.task.batch_size))
            if epoch != epoch_of:
                batches, epoch_of = batch_order(sizes, self.task.batch_size, self.seed, epoch), epoch
            yield batches[at]

    def _measure_and_log(
        self, shown: Sequence[Sample], losses: list[float], folder: Path, on_metrics: OnMetrics
    ) -> None:
        line = {
            "step": self.step,
            "seconds": round(self.seconds, 1),
            "loss": float(np.mean(losses)),
            "held_out": measure(self.task, self.average, shown),
        }
        with (folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        on_metrics(line)

    def save(self, path: Path, plan: str) -> None:
        """Write a checkpoint atomically."""
        import torch

        state = {
            "plan": plan,
            "step": self.step,
            "seconds": self.seconds,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        with written_whole(path) as temporary:
            torch.save(state, temporary)

    def resume(self, path: Path, plan: str) -> None:
        """Resume from a checkpoint; InputError where it is damaged, StaleError where it belongs to another plan."""
        import pickle

        import torch

        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            if state["plan"] != plan:
                raise StaleError(
                    f"{path} is of a training with other settings; train into another folder, or give --redo"
                )
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.seconds = int(state["step"]), float(state["seconds"])
        except (RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError, pickle.UnpicklingError) as fault:
            reason = " ".join(str(fault).split())[:160]
            raise InputError(
                f"{path}: cannot be resumed from ({reason}); remove it, or train again (--redo)"
            ) from fault


def metric_lines(folder: Path) -> list[dict[str, Any]]:
    """Lines of ``metrics.jsonl``; a line truncated by an interruption is left out."""
    path = folder / "metrics.jsonl"
    out = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            out.append(json.loads(text))
        except ValueError:
            continue
    return out


def forget_after(folder: Path, step: int) -> None:
    """Drop the lines of ``metrics.jsonl`` after a step: they will be written again."""
    kept = [json.dumps(line) for line in metric_lines(folder) if line["step"] <= step]
    write_text(folder / "metrics.jsonl", "".join(f"{line}\n" for line in kept))
