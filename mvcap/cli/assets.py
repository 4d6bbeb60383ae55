"""``mvcap assets ...``: list, fetch, verify and remove the models and sample footage in the cache."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from mvcap.cli.options import json_option

if TYPE_CHECKING:
    from mvcap.downloads import Progress


@click.group()
def assets() -> None:
    """Manage the models and sample footage in the cache."""


@assets.command("list")
@json_option
def assets_list(as_json: bool) -> None:
    """List all assets: state, name, size, licence, use, source and sha256."""
    from mvcap.assets import status

    rows: list[dict[str, Any]] = [
        {"name": a.name, "state": state, "size": a.size, "sha256": a.sha256, "licence": a.licence,
         "needed_by": a.needed_by, "source": str(a.source)}
        for a, state in status()
    ]  # fmt: skip
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        size = f"{row['size'] / 1e6:.2f} MB"
        click.echo(f"{row['state']:<8} {row['name']:<40} {size:>9}  {row['licence']}, for {row['needed_by']}")
        click.echo(f"{'':<8} {row['source']}  sha256 {row['sha256']}")


@assets.command("fetch")
@click.argument("names", nargs=-1, required=True)
def assets_fetch(names: tuple[str, ...]) -> None:
    """Fetch models or samples into the cache; a name may be that of a group, such as demo-multiperson."""
    from mvcap.assets import fetch

    with _receiving() as progress:
        paths = fetch(names, progress)
    for path in paths:
        click.echo(path)


@assets.command("verify")
@click.argument("names", nargs=-1)
def assets_verify(names: tuple[str, ...]) -> None:
    """Check the files in the cache against their sha256; with NAMES, also that these files exist."""
    from mvcap.assets import verify

    verify(names or None)
    click.echo("ok")


@assets.command("remove")
@click.argument("names", nargs=-1, required=True)
def assets_remove(names: tuple[str, ...]) -> None:
    """Remove files from the cache."""
    from mvcap.assets import remove

    for path in remove(names):
        click.echo(path)


@contextmanager
def _receiving() -> Iterator[Progress]:
    """Show on standard error what is downloaded and how large it is: a bar on a terminal, else a line at its start."""
    if not sys.stderr.isatty():
        told: set[str] = set()

        def line(what: str, received: int, total: int) -> None:
            if what not in told:
                told.add(what)
                click.echo(f"receiving {what}" + (f" ({total / 1e6:.1f} MB)" if total else ""), err=True)

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, SpinnerColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    tasks: dict[str, Any] = {}
    with Bar(*columns, console=Console(stderr=True)) as bar:

        def show(what: str, received: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total or None)
            bar.update(tasks[what], completed=received)

        yield show


COMMANDS: tuple[click.Command, ...] = (assets,)
