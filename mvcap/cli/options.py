"""Options shared by several verbs of the command line."""

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
    """Add the options that change settings; the settings are saved in the session."""

    @click.option("--config", "config_file", type=click.Path(path_type=Path), help="YAML file of settings.")
    @click.option("--set", "assigned", multiple=True, metavar="KEY=VALUE", help="Change one setting; may be repeated.")
    @functools.wraps(command)
    def wrapped(
        *args: Any, config_file: Path | None, assigned: tuple[str, ...], live: bool = False, **rest: Any
    ) -> Any:
        from mvcap.cli import settings

        typed = config.assignments((*assigned, "track.live=true") if live else assigned)
        config.allow_plugins(*config.foreign_plugins(typed))  # not those of a file, which may be of somebody else
        changes = config.allowed_overrides(config.read(config_file), config_file) if config_file else {}
        changes = config.merge(changes, typed)
        settings.check_overrides(changes)
        return command(*args, changes=changes, **rest)

    return wrapped


def track_options(command: Command) -> Command:
    """Add the options of the verb ``track``: those that change settings, and ``--live`` for the setting track.live."""
    words = "Track as in live use: ids are final after track.delay_s and are not corrected later."
    return click.option("--live", is_flag=True, help=words)(settings_options(command))


def rig_options(required: bool) -> Callable[[Command], Command]:
    """Return a decorator that adds the options on footage and calibration."""
    options = (
        click.option("--from", "start", metavar="TIME", help="Begin here: seconds (2.5, 1:02.5) or a frame (300f)."),
        click.option("--to", "stop", metavar="TIME", help="End before this, in seconds or frames."),
        click.option("--rate", "rate_hz", type=float, metavar="HZ",
                     help="Frame rate of images, or the true one of videos whose timestamps have another."),
        click.option("--trim", is_flag=True, help="Views start together but differ in length: cut to the shortest."),
        click.option("--subset", is_flag=True, help="The calibration may have cameras without a view."),
        click.option("--rig-scale", is_flag=True, help="Images were resized after calibration: scale the cameras."),
        click.option(
            "--rig-unit", type=click.Choice(["m", "cm", "mm"]), help="Unit of a calibration that does not state one."
        ),
        click.option("--fov", "fov_deg", type=float, metavar="DEG",
                     help="One view without a calibration: angle of view along the longer side. [default: 60]"),
        click.option("--rig", type=click.Path(path_type=Path), required=required, help="Calibration file or folder."),
    )  # fmt: skip

    def add(command: Command) -> Command:
        return functools.reduce(lambda inner, option: option(inner), options, command)

    return add


def benchmark_options(command: Command) -> Command:
    """Add the options that select the input of a benchmark, the poses to score, and the files of results."""
    options = (
        click.option("--noise", "noise_px", type=click.FloatRange(0), metavar="PX",
                     help="Noise added to the projected ground truth."),
        click.option("--detections", metavar="NAME", help="Input of mvor: labels, openpose or rtpose."),
        click.option("--views", metavar="A,B,..", callback=_listed, help="Use these views only."),
        click.option("--clips", metavar="A,B,..", callback=_listed, help="Use these clips only."),
        click.option("--poses", type=click.Path(path_type=Path), help="Score this file: poses.npz or skel.txt."),
        click.option("--session", type=click.Path(path_type=Path), help="Keep the session here. [default: temporary]"),
        click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the scores to this file."),
        click.option("--compare", "others", multiple=True, metavar="FILE...",
                     help="Compare with earlier scores (files written by --json)."),
        click.option("--plot", "plot_file", type=click.Path(path_type=Path), help="Draw the comparison as PNG."),
    )  # fmt: skip
    return functools.reduce(lambda inner, option: option(inner), reversed(options), command)


def benchmark_and_files(words: tuple[str, ...], others: tuple[str, ...]) -> tuple[tuple[str, ...], list[str]]:
    """Split the arguments into ``KIND DIR`` (or nothing) and the files to compare; InputError if both are missing."""
    alone = bool(others) and (not words or words[0].endswith(".json"))
    benchmark, rest = ((), words) if alone else (words[:2], words[2:])
    if len(benchmark) == 1 or not (benchmark or others) or (rest and not others):
        raise InputError("give a benchmark and its folder, as in `mvcap evaluate shelf DIR`, or --compare FILE FILE")
    return benchmark, [*others, *rest]


def _listed(context: click.Context, option: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return tuple(name.strip() for name in value.split(",")) if value is not None else None


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, without progress.")
redo_option = click.option("--redo", is_flag=True, help="Run this stage again; results of later stages are deleted.")
session_argument = click.argument("session", type=click.Path(path_type=Path))
