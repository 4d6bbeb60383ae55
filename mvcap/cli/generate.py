"""The verb ``generate`` of the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from mvcap import config
from mvcap.cli.options import json_option
from mvcap.cli.progress_bar import bar
from mvcap.errors import InputError


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--from", "sessions", multiple=True, type=click.Path(path_type=Path), metavar="SESSION",
              help="Reconstructed session that is the truth.")  # fmt: skip
@click.option("--format", "formats", multiple=True, metavar="NAME,..", default=("coco",), show_default=True,
              help="coco, panoptic, mupots, human36m, shelf, voxelpose, webdataset, parquet, or all.")  # fmt: skip
@click.option("--every", type=click.IntRange(1), default=1, show_default=True, metavar="N",
              help="Use every N-th frame only.")  # fmt: skip
@click.option("--images", type=click.Choice(["jpg", "png", "none"]), default="jpg", show_default=True,
              help="Format of the images.")  # fmt: skip
@click.option("--masks", type=click.Choice(["auto", "volumes", "none"]), default="auto", show_default=True,
              help="auto: the session's masks where it has some, else those of the bodies' volumes.")  # fmt: skip
@click.option("--blur-faces", is_flag=True, help="Make the heads of all people in the images unrecognisable.")
@click.option("--gate", "gates", multiple=True, metavar="KEY=VALUE",
              help="Gates: measured_only, min_views, residual_mm, sigma_mm, limb_deviation, min_joints.")  # fmt: skip
@click.option("--split", "splits", multiple=True, metavar="KEY=VALUE",
              help="Splits: by=time|person|both|none, shares=[0.7,0.15,0.15], gap_s=0.5.")  # fmt: skip
@click.option("--licence", metavar="TEXT", help="Licence of the dataset, for its datasheet.")
@json_option
def generate(
    out: Path, sessions: tuple[Path, ...], gates: tuple[str, ...], splits: tuple[str, ...], as_json: bool, **rest: Any
) -> None:
    """Write a dataset with ground truth into the new folder OUT, from a reconstructed session.

    Refined poses are projected into every view, with visibility, boxes, masks, ids and cameras; what fails a quality
    gate is left out. OUT/README.md says what was kept and dropped, and why.
    """
    from mvcap.generate import generate as run

    if len(sessions) != 1:
        raise InputError("give one reconstructed session: mvcap generate --from SESSION OUT")
    formats = [name for text in rest.pop("formats") for name in text.split(",")]
    asked: dict[str, Any] = {"gates": config.assignments(gates), "splits": config.assignments(splits)}
    with bar(as_json) as progress:
        made = run(sessions[0], out, formats=formats, progress=progress, **asked, **rest)
    if as_json:
        click.echo(json.dumps({"folder": str(made.folder), "formats": made.formats, **made.sheet}, default=str))
    else:
        _print(made)


def _print(made: Any) -> None:
    for split, held in made.sheet["splits"].items():
        people = ", ".join(map(str, held["persons"]))
        click.echo(f"{split}: {held['frames']} frames, {held['images']} images of persons {people}")
    for why, count in made.sheet["dropped_frames"].items():
        click.echo(f"left out: {count} frames ({why})")
    for row in made.sheet["gates"]:
        known = ("person", "what", "total", "kept")
        dropped = ", ".join(f"{gate} {count}" for gate, count in row.items() if gate not in known and count)
        click.echo(
            f"person {row['person']}: {row['kept']} of {row['total']} {row['what']} kept"
            + (f"; dropped by {dropped}" if dropped else "")
        )
    click.echo(f"{made.folder}: {', '.join(made.formats)}")


COMMANDS = (generate,)
