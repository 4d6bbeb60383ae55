"""``mvcap doctor``: what is installed, what is missing and how to get it."""

from __future__ import annotations

import json

import click

from mvcap.cli.options import json_option


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Tell what is installed, which models are there, what is missing and how to get it."""
    from mvcap.doctor import doctor as look

    findings = look()
    if as_json:
        click.echo(json.dumps([vars(f) for f in findings]))
        return
    for finding in findings:
        click.echo(f"{finding.state:<9} {finding.subject:<32} {finding.detail}")


COMMANDS: tuple[click.Command, ...] = (doctor,)
