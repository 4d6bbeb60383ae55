"""The verb ``generate`` of the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from mvcap import config
from mvcap.cli.options import json_option
from mvcap.cli.progress_bar import bar
from mvcap.cli.synthetic_session import SYNTHETIC, film_synthetic, synthetic_options
from mvcap.errors import InputError


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--from", "sessions", multiple=True, type=click.Path(path_type=Path), metavar="SESSION",
              help="Reconstructed session that is the truth; several with --composite.")  # fmt: skip
@click.option("--format", "formats", multiple=True, metavar="NAME,..", default=("coco",), show_default=True,
              help="coco, panoptic, mupots ..., or all; `mvcap doctor --plugins` lists them.")  # fmt: skip
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
@click.option("--composite", type=click.IntRange(1), metavar="N",
              help="Make N pictures of people of all sessions given, which need masks.")  # fmt: skip
@click.option("--compose", "settings", multiple=True, metavar="KEY=VALUE",
              help="Composites: people=[2,4], turn_deg, size_spread, recolour, background, images, seed.")  # fmt: skip
@click.option("--backgrounds", type=click.Path(path_type=Path), metavar="FOLDER", help="Pictures behind composites.")
@click.option("--targets", metavar="NAME,..", default="", help="Maps for training: heatmaps, paf, orpm.")
@click.option("--licence", metavar="TEXT", help="Licence of the dataset, for its datasheet.")
@synthetic_options
@json_option
def generate(out: Path, sessions: tuple[Path, ...], composite: int | None, as_json: bool, **options: Any) -> None:
    """Write a dataset with ground truth into the new folder OUT, from reconstructed sessions or of rendered people.

    Refined poses are projected into every view, with visibility, boxes, masks, ids and cameras; what fails a quality
    gate is left out. OUT/README.md says what was kept and dropped, and why. With --rig instead of --from, OUT is
    footage of rendered people as the rig's cameras film it, with exact truth.
    """
    from mvcap.generate import generate_composites

    rig, settings = options.pop("rig"), {name: options.pop(name) for name in SYNTHETIC}
    if rig is not None and (sessions or composite is not None):
        raise InputError("give either --rig, for rendered people, or --from SESSION")
    if film_synthetic(rig, out, settings, as_json):
        return
    asked: dict[str, Any] = {key: config.assignments(options.pop(key)) for key in ("gates", "splits", "settings")}
    asked |= {
        "formats": [name for text in options["formats"] for name in text.split(",")],
        "targets": [name for name in options["targets"].split(",") if name],
        "licence": options["licence"],
    }
    with bar(as_json) as progress:
        if composite is not None:
            asked["settings"] |= {"blur_faces": True} if options.pop("blur_faces") else {}
            _only_recorded(options)
            backgrounds = options["backgrounds"]
            made = generate_composites(sessions, out, composite, backgrounds=backgrounds, progress=progress, **asked)
        else:
            made = _recorded(sessions, out, asked, options, progress)
    if as_json:
        click.echo(json.dumps({"folder": str(made.folder), "formats": made.formats, **made.sheet}, default=str))
    else:
        _print(made)


def _recorded(
    sessions: tuple[Path, ...], out: Path, asked: dict[str, Any], options: dict[str, Any], progress: Any
) -> Any:
    from mvcap.generate import generate as run

    if len(sessions) != 1:
        raise InputError("give one reconstructed session: mvcap generate --from SESSION OUT")
    if asked.pop("settings") or options["backgrounds"]:
        raise InputError("--compose and --backgrounds belong to --composite N")
    chosen = {key: options[key] for key in _OF_RECORDED}
    return run(sessions[0], out, progress=progress, **chosen, **asked)


_OF_RECORDED = {"every": 1, "images": "jpg", "masks": "auto", "blur_faces": False}
"""Options of datasets from recorded takes, and their defaults."""


def _only_recorded(options: dict[str, Any]) -> None:
    """Raise InputError for an option that composites do not have."""
    given = [name for name, default in _OF_RECORDED.items() if options.get(name, default) != default]
    if given:
        name = given[0].replace("_", "-")
        raise InputError(f"--{name} does not go with --composite; settings of composites are given with --compose")


def _print(made: Any) -> None:
    for split, held in made.sheet["splits"].items():
        people = ", ".join(map(str, held["persons"]))
        click.echo(f"{split}: {held['frames']} frames, {held['images']} images of persons {people}")
    for why, count in made.sheet.get("dropped_frames", {}).items():
        click.echo(f"left out: {count} frames ({why})")
    for row in made.sheet.get("gates", ()):
        known = ("person", "what", "total", "kept")
        dropped = ", ".join(f"{gate} {count}" for gate, count in row.items() if gate not in known and count)
        click.echo(
            f"person {row['person']}: {row['kept']} of {row['total']} {row['what']} kept"
            + (f"; dropped by {dropped}" if dropped else "")
        )
    click.echo(f"{made.folder}: {', '.join(made.formats)}")


COMMANDS = (generate,)
