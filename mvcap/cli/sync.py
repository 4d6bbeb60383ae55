"""The verb ``sync`` of the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from mvcap.cli.options import json_option
from mvcap.cli.progress_bar import bar
from mvcap.errors import InputError

_REFUSED = 1


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SESSION|VIDEO...")
@click.option("--method", default="auto", show_default=True, metavar="NAME",
              help="motion, audio, timecode, flash, or auto: all that apply, combined.")  # fmt: skip
@click.option("--reach", type=float, metavar="S", help="motion: largest offset tried. [default: half of the take]")
@click.option("--apart", type=float, metavar="M",
              help="audio without a rig: by how much the sound's ways differ. [default: 5]")  # fmt: skip
@click.option("--clock", type=float, metavar="S",
              help="timecode: standard deviation of machines' clocks against each other. [default: 0.005]")  # fmt: skip
@click.option("--search", type=float, metavar="S", help="flash: how much of each view is searched. [default: all]")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the result as JSON.")
@click.option("--remove", is_flag=True, help="Forget the offsets of a session.")
@json_option
def sync(sources: tuple[Path, ...], remove: bool, as_json: bool, **options: Any) -> None:
    """Put the views of unsynchronised cameras on one clock, or say why that cannot be done.

    A session keeps the offsets (sync.json, sync.png), and its stages after estimate use them. Of VIDEOs without a
    calibration, the offsets are printed; --method motion estimates people in them first.
    """
    from mvcap.sync import sync as run
    from mvcap.sync import unsync

    alone = len(sources) == 1
    if remove:
        if not alone:
            raise InputError("--remove takes one session")
        click.echo("offsets removed" if unsync(sources[0]) else "there were no offsets")
        return
    given = {
        "motion": {"reach_s": options["reach"]}, "audio": {"apart_m": options["apart"]},
        "timecode": {"clock_s": options["clock"]}, "flash": {"search_s": options["search"]},
    }  # fmt: skip
    settings = {
        name: {key: value for key, value in one.items() if value is not None} for name, one in given.items()
    }  # fmt: skip
    with bar(as_json) as progress:
        result = run(
            sources[0] if alone else list(sources), method=options["method"], out=options["out"], settings=settings,
            progress=progress,
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(result.record()))
    else:
        _print(result)
    if not result.complete:
        sys.exit(_REFUSED)


def _print(result: Any) -> None:
    width = max(len(name) for name in result.names)
    for at, name in enumerate(result.names):
        if name in result.refused:
            click.echo(f"{name:{width}}  refused: {result.refused[name]}")
            continue
        late, sigma = 1e3 * result.late_s[at], 1e3 * result.late_sigma_s[at]
        drift, spread = 1e6 * result.drift[at], 1e6 * result.drift_sigma[at]
        how = ", ".join(result.methods[at])
        click.echo(
            f"{name:{width}}  {late:+10.2f} ms (sigma {sigma:.2f})  {drift:+6.1f} ppm (sigma {spread:.1f})  {how}"
        )


COMMANDS = (sync,)
