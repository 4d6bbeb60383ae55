"""``mvcap train``: train a network on synthetic takes, or fine-tune it for a rig."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvcap import config
from mvcap.cli.options import json_option
from mvcap.progress import Progress, silent

if TYPE_CHECKING:
    from mvcap.training.loop import OnMetrics

_SHOWN = 4  # metrics shown next to the bar


@click.command("train")
@click.argument("task", metavar="TASK")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the run and its result.")
@click.option("--rig", type=click.Path(path_type=Path), help="Fine-tune for this calibration; kept only if better.")
@click.option("--from", "start", type=click.Path(path_type=Path), metavar="FILE.onnx", help="Network to start from.")
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed.")
@click.option("--steps", type=int, metavar="N", help="Number of training batches. [default: depends on the task]")
@click.option("--takes", type=int, metavar="N", help="Synthetic training takes. [default: depends on the task]")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
              help="Device to train on.")  # fmt: skip
@click.option("--set", "assigned", multiple=True, metavar="KEY=VALUE", help="Change another setting of training.")
@click.option("--redo", is_flag=True, help="Delete the results of an earlier run in the folder.")
@json_option
def train(
    task: str, out: Path, steps: int | None, takes: int | None, assigned: tuple[str, ...], redo: bool, as_json: bool,
    **asked: Any,
) -> None:  # fmt: skip
    """Train a network on synthetic takes; after an interruption, the same command resumes.

    mmg: association across views; crg: person or false positive; prg: joint positions of a body over time; lift and
    lift_temporal: joints from one view; depth: distance from one view; integrate: two readings of a person.
    """
    from mvcap.train import figures_table
    from mvcap.train import train as run

    counts = {key: value for key, value in (("steps", steps), ("takes", takes)) if value is not None}
    overrides = config.merge(config.assignments(assigned), counts)
    line = shlex.join(["mvcap", "train", *_reproducing_arguments(task, out, counts, assigned, asked)])
    with _live(as_json) as (progress, on_metrics):
        made = run(
            task,
            out,
            overrides=overrides,
            resume=not redo,
            progress=progress,
            on_metrics=on_metrics,
            command=line,
            **asked,
        )
    if as_json:
        click.echo(json.dumps({key: str(v) if isinstance(v, Path) else v for key, v in vars(made).items()}))
        return
    click.echo(figures_table(made))
    click.echo(f"network: {made.file}")
    if made.kept is not None:
        click.echo(f"kept for this rig: {made.kept}; {made.reason}")
    elif made.reason:
        click.echo(f"not kept, the rig keeps its previous network: {made.reason}")


def _reproducing_arguments(
    task: str, out: Path, counts: Mapping[str, int], assigned: tuple[str, ...], asked: Mapping[str, Any]
) -> Iterator[str]:
    """Yield the arguments of a command line that trains the same network, without folders of this machine."""
    yield from (task, "--out", out.name, "--seed", str(asked["seed"]))
    for option, path in (("--rig", asked["rig"]), ("--from", asked["start"])):
        yield from (option, path.name) if path is not None else ()
    for key, value in counts.items():
        yield from (f"--{key}", str(value))
    for text in assigned:
        yield from ("--set", text)


@contextmanager
def _live(quiet: bool) -> Iterator[tuple[Progress, OnMetrics]]:
    """Draw progress with the latest metrics; print one line per measurement if stderr is no terminal, none if quiet."""
    if quiet or not sys.stderr.isatty():
        yield silent, _nothing if quiet else _line
        return
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description:<9}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:>6} /s"), TimeRemainingColumn(),
    )  # fmt: skip
    bar = Bar(*columns)
    tasks: dict[str, Any] = {}
    with Live(bar, console=Console(stderr=True)) as live:

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total, rate="")
            speed = bar.tasks[tasks[stage]].speed
            bar.update(tasks[stage], completed=done, rate=f"{speed:.1f}" if speed else "")

        def show_metrics(line: Mapping[str, Any]) -> None:
            live.update(Group(bar, f"{'':<10}{_figures(line)}"))

        yield show, show_metrics


def _nothing(line: Mapping[str, Any]) -> None:
    """Print nothing."""


def _line(line: Mapping[str, Any]) -> None:
    click.echo(f"step {line['step']:>6}  {line['seconds']:>7.1f} s  {_figures(line)}", err=True)


def _figures(line: Mapping[str, Any]) -> str:
    """Return the loss and the first held-out metrics as a short text."""
    held = [f"{name} {value:.4g}" for name, value in list(line["held_out"].items())[:_SHOWN]]
    return f"loss {line['loss']:.4g}  held out: {', '.join(held)}"


COMMANDS: tuple[click.Command, ...] = (train,)
