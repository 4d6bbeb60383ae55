"""The command line ``mvcap VERB ...``: parses arguments, calls the library, prints, and reports errors in one line."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import click

from calib.errors import CalibrationError
from mvcap import config
from mvcap.cli import (
    assets,
    batch,
    calibrate,
    check,
    doctor,
    evaluate,
    generate,
    live,
    mesh,
    record,
    rig,
    session,
    sync,
    train,
    view,
)
from mvcap.errors import MvcapError
from mvcap.version import __version__

_BAD_INPUT = 2
_INTERRUPTED = 130
_LONGEST = 1500


class _Verbs(click.Group):
    """The group of all verbs; one that fails before it changed a result puts the session's settings back."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MvcapError:
            from mvcap import stages

            for changed, before, results in (ctx.obj or {}).get("overridden", []):
                if results and results == stages.origins(changed):
                    changed.keep_overrides(before)
            raise


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="mvcap")
@click.option("-v", "--verbose", is_flag=True, help="Show the full traceback of an error.")
@click.option(
    "--allow-plugin",
    "allowed",
    multiple=True,
    metavar="MODULE:NAME",
    help="Let the session name this plug-in of your own; may be repeated.",
)
@click.pass_context
def cli(context: click.Context, verbose: bool, allowed: tuple[str, ...]) -> None:
    """Calibrated, marker-less, multi-person 3D motion capture from several ordinary cameras."""
    config.allow_plugins(*allowed)
    context.obj = {"verbose": verbose, "overridden": []}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors that the user can fix print one line that says how and exit with status 2."""
    # Worker threads and solvers share the processors: one thread per library, and reproducible results.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    verbose = any(a in ("-v", "--verbose") for a in (sys.argv[1:] if arguments is None else arguments)[:1])
    signal.signal(signal.SIGTERM, _terminated)
    try:
        cli.main(args=arguments, standalone_mode=False)
    except (MvcapError, CalibrationError) as fault:
        if verbose:
            raise
        _fail(f"mvcap: {one_line(fault)}", _BAD_INPUT)
    except PermissionError as fault:  # of a file that a verb does not look at by itself
        if verbose:
            raise
        _fail(f"mvcap: {one_line(fault)}; make it readable, or choose another place", _BAD_INPUT)
    except click.exceptions.NoArgsIsHelpError as fault:
        _fail(fault.format_message(), _BAD_INPUT)
    except click.ClickException as fault:
        _fail(f"mvcap: {fault.format_message()}", _BAD_INPUT)
    except (KeyboardInterrupt, click.Abort):
        _fail("mvcap: interrupted; run the same command again to resume", _INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


def one_line(fault: Exception) -> str:
    """Return an error's message as one line of at most 1500 characters that a terminal shows and does not obey."""
    text = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in " ".join(str(fault).split()))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"


def _terminated(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _fail(line: str, status: int) -> None:
    click.echo(line, err=True)
    sys.exit(status)


_MODULES = (
    session, batch, record, live, check, sync, view, mesh, generate, evaluate, calibrate, rig, train, assets, doctor,
)  # fmt: skip
for _module in _MODULES:  # each lists its verbs in COMMANDS
    for _command in _module.COMMANDS:
        cli.add_command(_command)
