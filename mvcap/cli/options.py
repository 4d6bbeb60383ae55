"""Options that several verbs of the command line share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mvcap import config
from mvcap.errors import InputError

Command = Callable[..., Any]


def settings_options(command: Command) -> Command:
    """Options that change a session's settings, which are kept with the session."""

    @click.option("--config", "config_file", type=click.Path(path_type=Path), help="YAML file of settings.")
    @click.option("--set", "assigned", multiple=True, metavar="KEY=VALUE", help="Change one setting, again and again.")
    @functools.wraps(command)
    def wrapped(
        *args: Any, config_file: Path | None, assigned: tuple[str, ...], live: bool = False, **rest: Any
    ) -> Any:
        from mvcap.cli import settings

        changes = config.read(config_file) if config_file else {}
        assigned = (*assigned, "track.live=true") if live else assigned
        changes = config.merge(changes, config.assignments(assigned))
        settings.check_overrides(changes)
        return command(*args, changes=changes, **rest)

    return wrapped


def track_options(command: Command) -> Command:
    """Options of the verb ``track``: those that change settings, and ``--live``, which is one of its settings."""
    words = "As a live view would: no number waits longer than track.delay_s, nothing is repaired."
    return click.option("--live", is_flag=True, help=words)(settings_options(command))


def rig_options(required: bool) -> Callable[[Command], Command]:
    """Return the options that say how footage and calibration belong together."""
    options = (
        click.option("--rate", "rate_hz", type=float, metavar="HZ", help="Frame rate of image folders."),
        click.option("--trim", is_flag=True, help="Views start together but differ in length: cut to the shortest."),
        click.option("--subset", is_flag=True, help="The calibration may have cameras without a view."),
        click.option("--rig-scale", is_flag=True, help="Images were resized since calibration: scale the cameras."),
        click.option("--rig-unit", type=click.Choice(["m", "cm", "mm"]), help="Unit of a calibration that names none."),
        click.option("--rig", type=click.Path(path_type=Path), required=required, help="Calibration file or folder."),
    )

    def add(command: Command) -> Command:
        return functools.reduce(lambda inner, option: option(inner), options, command)

    return add


def benchmark_options(command: Command) -> Command:
    """Options that say what of a benchmark to run, what to score, and where the figures go."""
    options = (
        click.option("--noise", "noise_px", type=click.FloatRange(0), metavar="PX", help="Noise of projected truth."),
        click.option("--detections", metavar="NAME", help="People in 2D of mvor: labels, openpose or rtpose."),
        click.option("--views", metavar="A,B,..", callback=_listed, help="Use these views only."),
        click.option("--clips", metavar="A,B,..", callback=_listed, help="Use these clips only."),
        click.option("--poses", type=click.Path(path_type=Path), help="Score this file: poses.npz or skel.txt."),
        click.option("--session", type=click.Path(path_type=Path), help="Keep the session here. [default: nowhere]"),
        click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures to this file."),
        click.option("--compare", "others", multiple=True, metavar="FILE...",
                     help="Put earlier figures (files of --json) beside these."),
        click.option("--plot", "plot_file", type=click.Path(path_type=Path), help="Draw the comparison as PNG."),
    )  # fmt: skip
    return functools.reduce(lambda inner, option: option(inner), reversed(options), command)


def benchmark_and_files(words: tuple[str, ...], others: tuple[str, ...]) -> tuple[tuple[str, ...], list[str]]:
    """Tell ``KIND DIR`` (or nothing) from files to compare with, which follow them or stand alone."""
    alone = bool(others) and (not words or words[0].endswith(".json"))
    benchmark, rest = ((), words) if alone else (words[:2], words[2:])
    if len(benchmark) == 1 or not (benchmark or others) or (rest and not others):
        raise InputError("say a benchmark and its folder, as in `mvcap evaluate shelf DIR`, or --compare FILE FILE")
    return benchmark, [*others, *rest]


def _listed(context: click.Context, option: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return tuple(name.strip() for name in value.split(",")) if value is not None else None


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines, and no progress.")
redo_option = click.option("--redo", is_flag=True, help="Remake this stage; what was made of it is dropped.")
session_argument = click.argument("session", type=click.Path(path_type=Path))
