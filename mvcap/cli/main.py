"""The command line: ``mvcap VERB ...`` parses, calls, prints. No logic lives here."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import click

from mvcap.cli import assets, calibrate, doctor, evaluate, rig, session, train
from mvcap.errors import MvcapError, StaleError

_BAD_INPUT = 2
_INTERRUPTED = 130


class _Verbs(click.Group):
    """The verbs. One that is refused because an artefact has other settings leaves the settings as they were."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except StaleError:
            for changed, before in (ctx.obj or {}).get("overridden", []):
                changed.keep_overrides(before)
            raise


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="mvcap")
@click.option("-v", "--verbose", is_flag=True, help="Show the whole traceback of an error.")
@click.pass_context
def cli(context: click.Context, verbose: bool) -> None:
    """Calibrated, marker-less, multi-person 3D motion capture from several ordinary cameras."""
    context.obj = {"verbose": verbose, "overridden": []}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit status 2 for what the user can mend, with one line that says how."""
    from calib import CalibrationError

    # Workers and solvers share few processors: one thread a library, and results are the same everywhere.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    verbose = any(a in ("-v", "--verbose") for a in (sys.argv[1:] if arguments is None else arguments)[:1])
    signal.signal(signal.SIGTERM, _terminated)
    try:
        cli.main(args=arguments, standalone_mode=False)
    except (MvcapError, CalibrationError) as fault:
        if verbose:
            raise
        _fail(f"mvcap: {' '.join(str(fault).split())}", _BAD_INPUT)
    except click.exceptions.NoArgsIsHelpError as fault:
        _fail(fault.format_message(), _BAD_INPUT)
    except click.ClickException as fault:
        _fail(f"mvcap: {fault.format_message()}", _BAD_INPUT)
    except (KeyboardInterrupt, click.Abort):
        _fail("mvcap: interrupted; the same command goes on where it stood", _INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


def _terminated(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _fail(line: str, status: int) -> None:
    click.echo(line, err=True)
    sys.exit(status)


for _module in (session, evaluate, calibrate, rig, train, assets, doctor):  # each has its verbs as COMMANDS
    for _command in _module.COMMANDS:
        cli.add_command(_command)
