"""``mvcap board`` and ``mvcap calibrate``: print a calibration board, and calibrate cameras."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from mvcap.cli.options import json_option
from mvcap.cli.progress_bar import bar

_DO_NOT_USE = 2


@click.command()
@click.argument("spec", metavar="SPEC|FILE")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT")
@click.option("--paper", default="A4", show_default=True, help="A4 to A0, letter, or own: a page of the board's size.")
@click.option("--dpi", type=float, default=300.0, show_default=True, help="Pixels per inch of a .png.")
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@json_option
def board(spec: str, out: Path, as_json: bool, **asked: Any) -> None:
    """Write a calibration board to print, at true scale, as .pdf, .svg or .png.

    SPEC: charuco:7x5:30mm:22mm:DICT_5X5_100, chessboard:9x6:30mm, aprilgrid:6x6:25mm:7.5mm,
    tags:DICT_4X4_50:100mm:0,1,5, several joined by +, or a YAML file.
    """
    from mvcap.board import board as run

    made = run(spec, out, **asked)
    if as_json:
        files = [str(file) for file in made.files]
        click.echo(json.dumps({"files": files, "board": made.spec, "size_m": made.size_m, "check": made.check,
                               "warning": made.warning}))  # fmt: skip
        return
    click.echo("\n".join(str(file) for file in made.files))
    click.echo(made.check)
    if made.warning:
        click.echo(f"note: {made.warning}", err=True)
    click.echo(f"film it, then: mvcap calibrate FOLDER --board {made.spec}")


@click.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="SESSION|FOLDER")
@click.option("--board", metavar="SPEC|FILE", help="The filmed board, such as chessboard:9x6:30mm; see mvcap board.")
@click.option("--rig", type=click.Path(path_type=Path), metavar="OLD", help="Earlier calibration to start from.")
@click.option("--rig-unit", type=click.Choice(["m", "cm", "mm"]), help="Unit of a calibration that does not state one.")
@click.option("--fix", type=click.Choice(["lens"]), help="Keep the intrinsics of --rig unchanged.")
@click.option(
    "--lens-photos",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Photos of the board for the intrinsics, in one folder per camera or named by camera.",
)
@click.option("--lens-board", metavar="SPEC|FILE", help="The board in the lens photos. [default: --board]")
@click.option(
    "--scene-points",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Measured points instead of a board: CSV name,x_m,y_m,z_m, or YAML.",
)
@click.option(
    "--scene-pixels",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Pixels of these points: CSV view,name,u,v. Without it, a page for clicking the points is written.",
)
@click.option("--people", is_flag=True, help="Calibrate from walking people, without a board.")
@click.option(
    "--height", "height_m", type=float, metavar="M", help="With --people: height in m of the person seen most."
)
@click.option("--every", "every_s", type=float, metavar="S", help="Use one moment of the videos every S seconds.")
@click.option("--frames", type=int, metavar="N", help="Use at most N moments. [default: 300]")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder for rig.yaml and the report. [default: NAME.calibration, or SESSION/calibration]",
)
@click.option("--force", is_flag=True, help="Replace an existing rig; for a session, also its own rig.")
@json_option
def calibrate(source: Path, fix: str | None, as_json: bool, **asked: Any) -> None:
    """Calibrate cameras that filmed a board at the same time, and report the accuracy of the rig.

    FOLDER contains one video per camera, one folder of images per camera, or images named by camera and moment; its
    subfolder `intrinsics` may contain photos for the intrinsics only.
    """
    from mvcap.calibrate import calibrate as run
    from mvcap.calibration.destination import destination_of

    with bar(as_json) as progress:
        made = run(source, fix_lenses=fix == "lens", progress=progress, **asked)
    place = destination_of(source, asked["out"])
    folder = place.of(made)
    if as_json:
        click.echo((folder / "calibration.json").read_text(encoding="utf-8").rstrip())
    else:
        click.echo(f"report: {folder.resolve() / 'calibration.html'}")
        if (folder / "rig.yaml").exists():
            click.echo(f"rig: {folder.resolve() / 'rig.yaml'}")
    for finding in made.findings:
        if finding.severity == "note" and finding.about == place.folder.name and not as_json:
            click.echo(f"note: {finding.what}", err=True)
    if made.verdict == "do not use":
        click.echo(f"mvcap: {made.summary()}", err=True)
        sys.exit(_DO_NOT_USE)
    if not as_json:
        click.echo(made.summary())


COMMANDS: tuple[click.Command, ...] = (board, calibrate)
