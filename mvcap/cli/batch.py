"""``mvcap batch``: one verb over all sessions of a folder, by many processes, on one machine or many."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from mvcap import config
from mvcap.cli.options import json_option
from mvcap.cli.progress_bar import bar

_FAILED = 1


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--verb", default="reconstruct", show_default=True, metavar="NAME", help="reconstruct, calibrate, "
              "generate or 'package.module:Class'.")  # fmt: skip
@click.option("--workers", type=int, metavar="N", help="Processes. [default: one a processor]")
@click.option("--engine", default="local", show_default=True, metavar="NAME", help="local, or dask (extra 'batch').")
@click.option("--scheduler", metavar="ADDRESS", help="With dask: a scheduler that runs. [default: a local cluster]")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="YAML file of the verb's settings.")
@click.option("--set", "assigned", multiple=True, metavar="KEY=VALUE", help="One setting of the verb; may be repeated.")
@click.option("--redo", type=click.Choice(["failed"]), help="Also run those again that failed.")
@click.option("--no-wait", is_flag=True, help="End when nothing is left to take, not when other machines are done.")
@click.option("--stale", "stale_s", type=float, default=120.0, show_default=True, metavar="S",
              help="Take over a session whose process has not renewed its claim for so long.")  # fmt: skip
@json_option
def batch(
    folder: Path, verb: str, config_file: Path | None, assigned: tuple[str, ...], no_wait: bool, as_json: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Run a verb on every session of FOLDER that is not done; the folder is the queue of all machines that share it.

    Exit status 1 if a session failed; the others are done.
    """
    from mvcap.batch import batch as run
    from mvcap.batching.batch_report import text_table

    settings = _settings(verb, config_file, assigned)
    with bar(as_json, "sessions") as progress:
        result = run(folder, verb, settings=settings, wait=not no_wait, progress=progress, **options)
    if as_json:
        click.echo(json.dumps(result.as_dict()))
    else:
        click.echo("\n".join(text_table(result.rows(), shutil.get_terminal_size((160, 24)).columns)))
        click.echo(f"{result.summary()}, {result.seconds:.1f} s")
        click.echo(f"report: {folder.resolve() / 'batch.html'}")
    if result.count("failed"):
        sys.exit(_FAILED)


def _settings(verb: str, config_file: Path | None, assigned: tuple[str, ...]) -> dict[str, Any]:
    """Settings of the verb; those of sessions are checked as every verb does."""
    typed = config.assignments(assigned)
    config.allow_plugins(*config.foreign_plugins(typed))
    changes = config.allowed_overrides(config.read(config_file), config_file) if config_file else {}
    changes = config.merge(changes, typed)
    if verb == "reconstruct" and changes:
        from mvcap.cli import settings

        settings.check_overrides(changes)
    return changes


COMMANDS: tuple[click.Command, ...] = (batch,)
