"""``mvcap check``: what is wrong with footage, and repaired copies of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mvcap.cli.options import json_option
from mvcap.cli.progress_bar import bar
from mvcap.errors import InputError

if TYPE_CHECKING:
    from mvcap.check import CheckedView, FootageCheck, RepairedFile
    from mvcap.footage_checks.findings import FootageFinding

_WRONG = 1


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SESSION|VIDEOS...")
@click.option("--all", "every", is_flag=True, help="Decode every picture of long takes, too, not samples.")
@click.option("--rate", "rate_hz", type=float, metavar="HZ", help="Frame rate of images.")
@click.option("--repair", is_flag=True, help="Write repaired copies of files that can be repaired; needs --out.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FOLDER", help="With --repair: where the copies go.")
@json_option
def check(
    sources: tuple[str, ...], every: bool, rate_hz: float | None, repair: bool, out: Path | None, as_json: bool
) -> None:
    """Look for what is wrong with footage: damage, gaps, drift, frozen pictures, two views of one camera.

    Exit status: 0 nothing or notes only, 1 something is wrong with the footage, 2 bad input. Originals are only read.
    """
    from mvcap.check import check as run

    if repair and out is None:
        raise InputError("--repair needs --out FOLDER for the copies; originals are never changed")
    if out is not None and not repair:
        raise InputError("--out belongs to --repair")
    given = list(sources) if len(sources) > 1 else sources[0]
    with bar(as_json) as progress:
        found = run(given, decode="all" if every else "sampled", rate_hz=rate_hz, repair_to=out, progress=progress)
    if as_json:
        click.echo(json.dumps(found.as_dict()))
    else:
        _print(found)
    if not found.good:
        sys.exit(_WRONG)


def _print(found: FootageCheck) -> None:
    for view in found.views:
        click.echo(_about(view))
    for finding in found.findings:
        click.echo(_line(finding))
    if not found.findings:
        click.echo("nothing is wrong with what was looked at")
    for one in found.repaired:
        _print_repair(one)


def _about(view: CheckedView) -> str:
    if not view.readable:
        return f"{view.name}: cannot be read"
    share = f", {view.looked_at} of them looked at (--all: every one)"
    if view.whole:
        share = "" if view.looked_at == view.frames else f", {view.looked_at} of them can be decoded"
    return (
        f"{view.name}: {view.frames} pictures{share}, {view.size[0]}x{view.size[1]}, {view.rate_hz:.5g} Hz, "
        f"{view.seconds:.2f} s, {view.codec}"
    )


def _line(finding: FootageFinding) -> str:
    place = ""
    if finding.start_s is not None:
        place = f" at {finding.start_s:.2f} s"
        if finding.stop_s is not None and finding.stop_s > finding.start_s:
            place = f" {finding.start_s:.2f} to {finding.stop_s:.2f} s"
    return f"{finding.severity}: {', '.join(finding.views)}{place}: {finding.kind}: {finding.meaning}; {finding.advice}"


def _print_repair(one: RepairedFile) -> None:
    if one.refused:
        click.echo(f"not repaired: {one.view}: {one.refused}")
        return
    for copy, pictures in zip(one.copies, one.pictures, strict=True):
        click.echo(f"repaired: {one.view}: {copy}, {pictures} pictures")
    for finding in one.findings:
        click.echo(f"left in the copy: {_line(finding)}")


COMMANDS: tuple[click.Command, ...] = (check,)
