"""Verbs on a session: init, reconstruct, the single stages, export and report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mvcap.cli.options import json_option, redo_option, rig_options, session_argument, settings_options, track_options
from mvcap.cli.progress_bar import bar
from mvcap.errors import InputError

Command = Callable[..., Any]
_STAGES = {
    "estimate": "Detect people and their joints in the images of every view.",
    "associate": "Match people across the views of each frame.",
    "triangulate": "Triangulate the 3D joints of the associated people.",
    "track": "Track people over time and give each one id.",
    "refine": "Refine poses over time: constant limb lengths, smooth motion.",
}
"""The stages in order, as ``mvcap.stages.STAGES``, which takes longer to load than help may take."""


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="VIDEOS...")
@click.option("--session", "folder", type=click.Path(path_type=Path), help="Folder to make. [default: NAME.mvcap]")
@rig_options(required=False)
@settings_options
@json_option
def init(sources: tuple[str, ...], folder: Path | None, changes: dict[str, Any], as_json: bool, **rig: Any) -> None:
    """Make a session of synchronised videos (or image folders) and a calibration; one view can do without.

    VIDEOS: a folder, or several videos or image folders. A view is named after its file and belongs to the camera of
    that name; give NAME=PATH if the names differ.
    """
    session = _make(sources, folder, changes, rig)
    _print_session(session, as_json)


def _make(sources: tuple[str, ...], folder: Path | None, changes: dict[str, Any], rig: dict[str, Any]) -> Any:
    from mvcap.init import init as make

    given = list(sources) if len(sources) > 1 else sources[0]
    session = make(given, folder=folder or _default_folder(sources[0]), **rig)
    _override(session, changes)
    return session


def _opened(folder: Path, changes: dict[str, Any]) -> Any:
    """Open a session and change its settings; old and new settings are checked before they are saved."""
    from mvcap.cli import settings
    from mvcap.structures.session import Session

    session = Session.open(folder)
    settings.check_overrides(session.overridden(changes))
    _override(session, changes)
    return session


def _override(session: Any, changes: dict[str, Any]) -> None:
    if changes:
        from mvcap import stages

        results = stages.origins(session)
        click.get_current_context().obj["overridden"].append((session, session.override(changes), results))


def _default_folder(source: str) -> Path:
    path = Path(source.partition("=")[2] or source).resolve()
    place = path if path.is_dir() else path.parent
    name = place.parent.name if place.name in ("videos", "images") else place.name
    return Path(f"{name}.mvcap")


def _print_session(session: Any, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"session": str(session.folder), "views": session.names, "frames": session.frames,
                               "rate_hz": session.rate_hz, "notes": session.notes}))  # fmt: skip
        return
    views = f"{len(session.views)} view{'s' * (len(session.views) != 1)}"
    click.echo(f"{views} ({', '.join(session.names)}), {session.frames} frames, {session.rate_hz:.6g} Hz")
    _print_notes(session)
    click.echo(f"session: {session.folder.resolve()}")


def _print_notes(session: Any) -> None:
    for note in session.notes:
        click.echo(f"note: {note}", err=True)


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="VIDEOS|SESSION...")
@click.option("--session", "folder", type=click.Path(path_type=Path), help="Folder to make. [default: NAME.mvcap]")
@click.option("--redo", type=click.Choice(tuple(_STAGES)), help="First stage to run again.")
@click.option("--frames", type=int, help="Without videos (VIDEOS is '-'): number of frames of the detection files.")
@click.option("--size", metavar="WxH", help="Without videos: size of the pictures, if the calibration states none.")
@click.option(
    "--height",
    "heights",
    multiple=True,
    metavar="ID=M",
    help="One view: stature of a person, m, by the number in the report, as in 1=1.78; may be repeated.",
)
@rig_options(required=False)
@settings_options
@json_option
def reconstruct(
    sources: tuple[str, ...],
    folder: Path | None,
    redo: str | None,
    frames: int | None,
    size: str | None,
    heights: tuple[str, ...],
    changes: dict[str, Any],
    as_json: bool,
    **rig: Any,
) -> None:
    """Run all stages on videos and a calibration, or on a session: 3D poses, exported files and a report.

    One video can do without a calibration: depths and sizes then follow from what people are like.
    """
    from mvcap.reconstruct import reconstruct as run

    statures = _statures(heights)
    session = _opened_or_made(sources, {"session": folder, "frames": frames, "size": size, **rig}, changes)
    if heights and len(session.views) > 1:
        raise InputError(
            f"--height is for one view; the {len(session.views)} of {session.folder} tell sizes themselves"
        )
    _override(session, statures)
    if not as_json:
        _print_notes(session)
    with bar(as_json) as progress:
        summary = run(session, redo=redo, progress=progress)
    if as_json:
        click.echo(json.dumps({"session": str(session.folder), **summary}))
        return
    _print_summary(summary)
    click.echo(f"report: {session.folder.resolve() / 'report.html'}")
    click.echo(f"session: {session.folder.resolve()}")


_OPTIONS = {
    "session": "--session", "frames": "--frames", "size": "--size", "rig": "--rig", "rig_unit": "--rig-unit",
    "rig_scale": "--rig-scale", "fov_deg": "--fov", "subset": "--subset", "trim": "--trim", "rate_hz": "--rate",
    "start": "--from", "stop": "--to",
}  # fmt: skip
"""Options that make a session, by the names of their values."""


def _opened_or_made(sources: tuple[str, ...], options: dict[str, Any], changes: dict[str, Any]) -> Any:
    given = [name for name in _OPTIONS if options[name] is not None and options[name] is not False]  # 0 is given
    if len(sources) == 1 and (Path(sources[0]) / "session.yaml").exists():
        session = _opened(Path(sources[0]), {})
        _refuse_for_session(session, given, options["rate_hz"])
        return _opened(Path(sources[0]), changes)
    if "rig" not in given and sources[0] != "-" and "=" not in sources[0] and not Path(sources[0]).exists():
        raise InputError(f"{sources[0]}: no such file or folder; check the path")
    if "-" in sources:
        if "rig" not in given:
            raise InputError("without videos, a calibration is needed: --rig FILE")
        return _made_without_footage(sources, options, given, changes)
    for name, instead in (("frames", "a part of videos is --from and --to"), ("size", "videos have their own size")):
        if name in given:
            raise InputError(f"{_OPTIONS[name]} is for detections without videos (VIDEOS is '-'); {instead}")
    rig = {name: options[name] for name in _OPTIONS if name not in ("session", "frames", "size")}
    return _make(sources, options["session"], changes, rig)


def _refuse_for_session(session: Any, given: list[str], rate_hz: float | None) -> None:
    """InputError for options that would be without effect on a session that exists."""
    if rate_hz is not None and abs(rate_hz / session.rate_hz - 1) < 1e-4:
        given = [name for name in given if name != "rate_hz"]
    if not given:
        return
    timing = {"rate_hz", "start", "stop"} & {*given}
    facts = f" of {session.frames} frames at {session.rate_hz:.6g} Hz" if timing else ""
    options = ", ".join(_OPTIONS[name] for name in given)
    raise InputError(
        f"{session.folder} is a session{facts}, which {options} cannot change: leave it out, or give the videos again, "
        "with --session and another folder"
    )


def _made_without_footage(
    sources: tuple[str, ...], options: dict[str, Any], given: list[str], changes: dict[str, Any]
) -> Any:
    from mvcap.structures.session import Session

    if sources != ("-",):
        raise InputError("'-' stands for no videos; give it alone, or give videos")
    if not {"frames", "rate_hz", "session"} <= {*given}:
        raise InputError("without videos, give --session, and --frames and --rate of the detection files")
    if idle := [_OPTIONS[name] for name in ("rig_scale", "subset", "trim", "fov_deg") if name in given]:
        raise InputError(f"{', '.join(idle)} is for videos; without them (VIDEOS is '-') leave it out")
    size = _size(options["size"]) if "size" in given else None
    session = Session.create(
        options["rig"], options["session"], size=size,
        **{name: options[name] for name in ("frames", "rate_hz", "rig_unit", "start", "stop")},
    )  # fmt: skip
    _override(session, changes)
    return session


def _statures(texts: tuple[str, ...]) -> dict[str, Any]:
    """Settings of statures, of texts such as 1=1.78; ConfigError for one that nobody has."""
    from mvcap.cli import settings

    out = {}
    for text in texts:
        person, equals, metres = text.partition("=")
        try:
            out[person] = float(metres)
        except ValueError:
            equals = ""
        if not equals or not person.isdecimal():
            raise InputError(f"--height {text}: give the number of a person and metres, as in 1=1.78")
    changes = {"one_view": {"heights_m": out}} if out else {}
    settings.check_overrides(changes)
    return changes


def _size(text: str) -> tuple[int, int]:
    width, times, height = text.lower().partition("x")
    if not times or not (width.isdecimal() and height.isdecimal()) or not 0 < min(int(width), int(height)) < 1 << 20:
        raise InputError(f"--size {text}: give width x height in pixels, as in 1920x1080")
    return int(width), int(height)


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _print_summary(summary: dict[str, Any]) -> None:
    from mvcap.reporting.page import FIRST_REASONS

    for person in summary["people"]:
        error, spread = _shown(person["median_reprojection_px"], ".1f"), _shown(person["bone_spread"], ".1%")
        click.echo(
            f"person {person['id']}: {person['frames']} of {summary['frames']} frames, reprojection error "
            f"{error} px, bone lengths ±{spread}, {person['views_used']} view{'s' * (person['views_used'] != 1)}"
        )
    click.echo(f"verdict: {summary['verdict']['level']}")
    reasons = summary["verdict"]["reasons"]
    more = [f"{len(reasons) - FIRST_REASONS} more reasons in the report"] if len(reasons) > FIRST_REASONS else []
    for reason in [*reasons[:FIRST_REASONS], *more, *summary["warnings"]]:
        click.echo(f"  {reason}")


def _stage(name: str, about: str, options: Callable[[Command], Command] = settings_options) -> click.Command:
    """Return the command that runs one stage."""

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
@click.option("--format", "formats", multiple=True, metavar="NAME",
              help="trc, c3d, bvh, csv, parquet, json, npz (poses.npz) or all.")  # fmt: skip
@click.option("--axes", type=click.Choice(["z-up", "y-up"]), help="World axes of the files.")
@click.option("--folder", type=click.Path(path_type=Path),
              help="Write here and nowhere else. [default: SESSION/exports]")  # fmt: skip
@click.option("--stage", type=click.Choice(["refine", "track"]), default="refine", help="Refined or raw poses.")
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
    """Write a session's poses as files for other programs."""
    from mvcap.export import export as run

    opened = _opened(session, changes)
    files = run(opened, formats or None, axes=axes, folder=folder, stage=stage)
    click.echo(json.dumps({"files": [str(f) for f in files]}) if as_json else "\n".join(str(f) for f in files))


@click.command()
@session_argument
@settings_options
@json_option
def report(session: Path, changes: dict[str, Any], as_json: bool) -> None:
    """Write a report with images and numbers that show whether a take can be trusted."""
    from mvcap.report import report as run

    opened = _opened(session, changes)
    with bar(as_json) as progress:
        summary = run(opened, progress=progress)
    if as_json:
        click.echo(json.dumps(summary))
        return
    _print_summary(summary)
    click.echo(f"report: {opened.folder.resolve() / 'report.html'}")


@click.command()
@session_argument
@click.option("--frames", metavar="A:B", help="Frames A to B (exclusive) only; either may be left out.")
@click.option("--every", type=click.IntRange(1), metavar="N", help="Every N-th frame only.")
@click.option("--spacing", type=float, metavar="M", help="Distance between neighbouring points, m. [default: 0.015]")
@click.option("--method", metavar="NAME", help="visual_hull, plane_sweep, room_features, or 'package.module:Class'.")
@click.option("--out", type=click.Path(path_type=Path), help="Write here. [default: SESSION/clouds]")
@click.option("--format", type=click.Choice(["ply", "pcd"]), help="Format of the files.")
@redo_option
@settings_options
@json_option
def cloud(session: Path, changes: dict[str, Any], as_json: bool, **options: Any) -> None:
    """Write a coloured point cloud of the people in each frame, from masks of the estimator."""
    from mvcap.cloud import cloud as run

    opened = _opened(session, changes)
    with bar(as_json) as progress:
        made = run(opened, **options, progress=progress)
    if as_json:
        click.echo(json.dumps({"folder": str(made.folder), "files": [str(file) for file in made.files]}))
        return
    click.echo(f"cloud: {made.folder} ({len(made.files)} files of {made.frames} frames, {made.points} points new)")


COMMANDS: tuple[click.Command, ...] = (
    init,
    reconstruct,
    *(_stage(name, about, track_options if name == "track" else settings_options) for name, about in _STAGES.items()),
    export,
    cloud,
    report,
)
