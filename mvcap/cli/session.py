"""Verbs of a session: make it, reconstruct it, its stages one by one, export, report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mvcap import config, stages
from mvcap.cli.options import json_option, redo_option, rig_options, session_argument, settings_options, track_options
from mvcap.cli.progress_bar import bar
from mvcap.errors import InputError

Command = Callable[..., Any]


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="VIDEOS...")
@click.option("--session", "folder", type=click.Path(path_type=Path), help="Folder to make. [default: NAME.mvcap]")
@rig_options(required=True)
@settings_options
@json_option
def init(sources: tuple[str, ...], folder: Path | None, changes: dict[str, Any], as_json: bool, **rig: Any) -> None:
    """Make a session of synchronised videos (or image folders) and a calibration.

    VIDEOS: a folder, or several videos or image folders. A view is named after its file, its camera the same; say
    NAME=PATH where it is not.
    """
    session = _make(sources, folder, changes, rig)
    _say_session(session, as_json)


def _make(sources: tuple[str, ...], folder: Path | None, changes: dict[str, Any], rig: dict[str, Any]) -> Any:
    from mvcap.init import init as make

    given = list(sources) if len(sources) > 1 else sources[0]
    session = make(given, folder=folder or _default_folder(sources[0]), **rig)
    _override(session, changes)
    return session


def _opened(folder: Path, changes: dict[str, Any]) -> Any:
    """Open a session with changed settings; they and the ones it has are checked before anything is kept."""
    from mvcap.cli import settings
    from mvcap.structures.session import Session

    session = Session.open(folder)
    settings.check_overrides(config.merge(session.overrides, changes))
    _override(session, changes)
    return session


def _override(session: Any, changes: dict[str, Any]) -> None:
    if changes:
        click.get_current_context().obj["overridden"].append((session, session.override(changes)))


def _default_folder(source: str) -> Path:
    path = Path(source.partition("=")[2] or source).resolve()
    place = path if path.is_dir() else path.parent
    name = place.parent.name if place.name in ("videos", "images") else place.name
    return Path(f"{name}.mvcap")


def _say_session(session: Any, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"session": str(session.folder), "views": session.names, "frames": session.frames,
                               "rate_hz": session.rate_hz, "notes": session.notes}))  # fmt: skip
        return
    click.echo(
        f"{len(session.views)} views ({', '.join(session.names)}), {session.frames} frames, {session.rate_hz:.6g} Hz"
    )
    _say_notes(session)
    click.echo(f"session: {session.folder.resolve()}")


def _say_notes(session: Any) -> None:
    for note in session.notes:
        click.echo(f"note: {note}", err=True)


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="VIDEOS|SESSION...")
@click.option("--session", "folder", type=click.Path(path_type=Path), help="Folder to make. [default: NAME.mvcap]")
@click.option("--redo", type=click.Choice(stages.STAGES), help="First stage to remake.")
@click.option("--frames", type=int, help="Without videos (VIDEOS is '-'): frames of the detections made elsewhere.")
@rig_options(required=False)
@settings_options
@json_option
def reconstruct(
    sources: tuple[str, ...],
    folder: Path | None,
    redo: str | None,
    frames: int | None,
    changes: dict[str, Any],
    as_json: bool,
    **rig: Any,
) -> None:
    """From videos and a calibration, or from a session, to people in 3D, files and a report: all stages in one."""
    from mvcap.reconstruct import reconstruct as run

    session = _opened_or_made(sources, folder, frames, changes, rig)
    if not as_json:
        _say_notes(session)
    with bar(as_json) as progress:
        summary = run(session, redo=redo, progress=progress)
    if as_json:
        click.echo(json.dumps({"session": str(session.folder), **summary}))
        return
    _say_summary(summary)
    click.echo(f"report: {session.folder.resolve() / 'report.html'}")
    click.echo(f"session: {session.folder.resolve()}")


def _opened_or_made(
    sources: tuple[str, ...], folder: Path | None, frames: int | None, changes: dict[str, Any], rig: dict[str, Any]
) -> Any:
    from mvcap.init import init_without_footage

    if len(sources) == 1 and (Path(sources[0]) / "session.yaml").exists():
        return _opened(Path(sources[0]), changes)
    if rig["rig"] is None:
        raise InputError(f"{sources[0]} is not a session; a calibration is needed: --rig FILE")
    if sources == ("-",):
        if frames is None or rig["rate_hz"] is None or folder is None:
            raise InputError("without videos, say --session, --frames and --rate of the detections made elsewhere")
        session = init_without_footage(rig["rig"], folder, frames, rig["rate_hz"], rig_unit=rig["rig_unit"])
        _override(session, changes)
        return session
    return _make(sources, folder, changes, rig)


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _say_summary(summary: dict[str, Any]) -> None:
    for one in summary["people"]:
        error, spread = _shown(one["median_reprojection_px"], ".1f"), _shown(one["bone_spread"], ".1%")
        click.echo(
            f"person {one['id']}: {one['frames']} of {summary['frames']} frames, reprojection "
            f"{error} px, bones ±{spread}, {one['views_used']} views"
        )
    click.echo(f"verdict: {summary['verdict']['level']}")
    for reason in [*summary["verdict"]["reasons"], *summary["warnings"]]:
        click.echo(f"  {reason}")


def _stage(name: str, about: str, options: Callable[[Command], Command] = settings_options) -> click.Command:
    """Return the verb of one stage."""

    @click.command(name, help=about)
    @session_argument
    @redo_option
    @options
    @json_option
    def run(session: Path, redo: bool, changes: dict[str, Any], as_json: bool) -> None:
        import mvcap

        opened = _opened(session, changes)
        with bar(as_json) as progress:
            made = getattr(mvcap, name)(opened, redo=redo, progress=progress)
        facts = made.manifest
        if as_json:
            click.echo(json.dumps({"artefact": str(made.folder), **facts}))
        else:
            click.echo(f"{name}: {made.folder} ({facts['frames']} frames, {facts.get('seconds', 0):.1f} s)")

    return run


@click.command()
@session_argument
@click.option("--format", "formats", multiple=True, metavar="NAME", help="trc, c3d, bvh, csv, parquet, json or all.")
@click.option("--axes", type=click.Choice(["z-up", "y-up"]), help="World axes of the files.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to. [default: SESSION/exports]")
@click.option("--stage", type=click.Choice(["refine", "track"]), default="refine", help="Refined poses, or raw ones.")
@settings_options
@json_option
def export(
    session: Path,
    formats: tuple[str, ...],
    axes: str | None,
    folder: Path | None,
    stage: str,
    changes: dict[str, Any],
    as_json: bool,
) -> None:
    """Write a session's poses for other tools."""
    from mvcap.export import export as run

    opened = _opened(session, changes)
    files = run(opened, formats or None, axes=axes, folder=folder, stage=stage)
    click.echo(json.dumps({"files": [str(f) for f in files]}) if as_json else "\n".join(str(f) for f in files))


@click.command()
@session_argument
@settings_options
@json_option
def report(session: Path, changes: dict[str, Any], as_json: bool) -> None:
    """Write pictures and numbers that show whether to trust a take."""
    from mvcap.report import report as run

    opened = _opened(session, changes)
    with bar(as_json) as progress:
        summary = run(opened, progress=progress)
    if as_json:
        click.echo(json.dumps(summary))
        return
    _say_summary(summary)
    click.echo(f"report: {opened.folder.resolve() / 'report.html'}")


COMMANDS: tuple[click.Command, ...] = (
    init,
    reconstruct,
    _stage("estimate", "Find people in the pictures of every view."),
    _stage("associate", "Tell who is who across the views of each frame."),
    _stage("triangulate", "Make 3D skeletons of the people that views agree on."),
    _stage("track", "Give each person one number through time.", track_options),
    _stage("refine", "Keep limbs at one length and motion smooth, in units of the noise."),
    export,
    report,
)
