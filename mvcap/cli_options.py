"""Options that several verbs of the command line share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mvcap import config

Command = Callable[..., Any]


def settings_options(command: Command) -> Command:
    """Options that change a session's settings, which are kept with the session."""

    @click.option("--config", "config_file", type=click.Path(path_type=Path), help="YAML file of settings.")
    @click.option("--set", "assigned", multiple=True, metavar="KEY=VALUE", help="Change one setting, again and again.")
    @functools.wraps(command)
    def wrapped(*args: Any, config_file: Path | None, assigned: tuple[str, ...], **rest: Any) -> Any:
        from mvcap import settings

        changes = config.read(config_file) if config_file else {}
        changes = config.merged(changes, config.assignments(assigned))
        settings.check(changes)
        return command(*args, changes=changes, **rest)

    return wrapped


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


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines, and no progress.")
redo_option = click.option("--redo", is_flag=True, help="Remake this stage; what was made of it is dropped.")
session_argument = click.argument("session", type=click.Path(path_type=Path))
