"""``mvcap doctor``: list what is installed, what is missing and how to get it."""

from __future__ import annotations

import json

import click

from mvcap.cli.options import json_option


@click.command()
@click.option("--plugins", "list_plugins", is_flag=True, help="List every estimator, refiner, exporter ... by name.")
@click.option("--defaults", is_flag=True, help="Print every setting with its default: configs/default.yaml.")
@json_option
def doctor(list_plugins: bool, defaults: bool, as_json: bool) -> None:
    """List the installed packages and models, what is missing and how to get it."""
    from mvcap.cli import settings
    from mvcap.doctor import doctor as check_machine
    from mvcap.plugins import plugin_rows

    if defaults:
        click.echo(json.dumps(settings.defaults()) if as_json else settings.document(), nl=as_json)
        return
    if list_plugins:
        rows = plugin_rows()
        if as_json:
            click.echo(json.dumps([vars(row) for row in rows]))
            return
        for row in rows:
            click.echo(f"{row.kind:<11} {row.name + (' *' if row.default else ''):<16} {row.target:<40} {row.about}")
        click.echo('* the default. "package.module:Name" works in place of a name.')
        return
    findings = check_machine()
    if as_json:
        click.echo(json.dumps([vars(f) for f in findings]))
        return
    for finding in findings:
        click.echo(f"{finding.state:<9} {finding.subject:<32} {finding.detail}")


COMMANDS: tuple[click.Command, ...] = (doctor,)
