"""The verb ``mesh`` of the command line."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from mvcap.cli.options import json_option, session_argument
from mvcap.cli.progress_bar import bar


@click.command()
@session_argument
@click.option("--body", default="auto", show_default=True, metavar="NAME",
              help="Body model: anny, smpl, capsules, or auto: the first of them that there is.")  # fmt: skip
@click.option("--smpl", type=click.Path(path_type=Path), metavar="FILE",
              help="Your own file of SMPL, SMPL-H or SMPL-X (.npz).")  # fmt: skip
@click.option("--format", "formats", metavar="A,B",
              help="ply: a file per person and frame; glb: one animation, which viewers show; smpl: a file of SMPL's "
              "parameters per person. [default: ply,glb, and smpl with --smpl]")  # fmt: skip
@click.option("--frames", metavar="A:B", help="These frames only; B is exclusive.")
@click.option("--every", type=int, default=1, show_default=True, metavar="N", help="Every N-th frame only.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FOLDER",
              help="Where meshes go. [default: SESSION/meshes]")  # fmt: skip
@click.option("--redo", is_flag=True, help="Replace meshes that are there.")
@json_option
def mesh(session: Path, formats: str | None, as_json: bool, **options: Any) -> None:
    """Fit a body to every person of a session and write its meshes.

    The shape of a person is the same in all frames. Joints tell lengths of limbs, not how heavy somebody is.
    """
    from mvcap.mesh import mesh as run

    chosen = None if formats is None else [name.strip() for name in formats.split(",")]
    with bar(as_json) as progress:
        made = run(session, formats=chosen, progress=progress, **options)
    if as_json:
        click.echo(json.dumps({**asdict(made), "folder": str(made.folder)}))
        return
    click.echo(f"{made.meshes} meshes ({made.body}) of {len(made.persons)} people in {made.folder}")
    click.echo(f"joints of the bodies are {made.distance_mm:.1f} mm (median) from those of the session")
    if made.left_out:
        click.echo(f"{made.left_out} poses have no mesh, as too few joints are known")


COMMANDS: tuple[click.Command, ...] = (mesh,)
