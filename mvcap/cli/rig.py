"""``mvcap rig ...``: look at calibrations, convert and compare them, check one against a take, give it a world."""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from typing import Any

import click

from mvcap.cli.options import json_option
from mvcap.cli.progress_bar import bar
from mvcap.errors import InputError

_MANY = 10  # cameras up to which all their distances are shown


def _size(context: click.Context, option: click.Parameter, value: str | None) -> tuple[int, int] | None:
    width, cross, height = (value or "").partition("x")
    if value is not None and not (cross and width.isdigit() and height.isdigit()):
        raise InputError(f"--size {value}: say width and height in pixels, as in 1920x1080")
    return (int(width), int(height)) if value else None


_file = click.Path(path_type=Path)
_unit_option = click.option("--unit", metavar="UNIT", help="m, cm, mm or a number of metres, where a file names none.")
_size_option = click.option("--size", metavar="WxH", callback=_size, help="Image size, where the file holds none.")


@click.group()
def rig() -> None:
    """Calibrations: what is in one, other formats, how two differ, whether one still holds."""


@rig.command("show")
@click.argument("file", type=_file)
@_unit_option
@_size_option
@click.option("--picture", "picture_file", type=_file, metavar="PNG", help="Draw a plan and an elevation.")
@json_option
def show(file: Path, unit: str | None, size: Any, picture_file: Path | None, as_json: bool) -> None:
    """Show a calibration: lenses, fields of view, places, directions and distances of its cameras."""
    from mvcap.rig.show import show as run

    shown = run(file, unit=unit, size=size, picture_file=picture_file)
    if as_json:
        click.echo(json.dumps(shown.as_dict()))
        return
    click.echo(f"{shown.rig.source}: {len(shown.rig)} cameras, format {shown.format}, {shown.unit}")
    head = ["camera", "size", "f px", "field deg", "lens", "bends px", "x y z m", "heading", "tilt", "roll", "middle m"]
    _table([head, *(_row(one) for one in shown.facts.cameras)])
    _say_distances(shown.facts)
    if picture_file:
        click.echo(f"picture: {picture_file}")


def _row(one: Any) -> list[str]:
    return [
        one.name,
        f"{one.size[0]}x{one.size[1]}",
        f"{one.focal_px[0]:.1f} {one.focal_px[1]:.1f}",
        f"{one.fov_deg[0]:.1f} x {one.fov_deg[1]:.1f}",
        f"{one.model} {one.coefficients}",
        f"{one.bent_px:.1f}",
        " ".join(f"{number:.3f}" for number in one.position_m),
        f"{one.heading_deg:.0f}",
        f"{one.tilt_deg:.0f}",
        f"{one.roll_deg:.0f}",
        f"{one.middle_m:.2f}",
    ]


def _say_distances(facts: Any) -> None:
    names = [one.name for one in facts.cameras]
    if len(names) == 1:
        return
    if len(names) <= _MANY:
        click.echo("distances m")
        rows = zip(names, facts.distances_m, strict=True)
        _table([["", *names], *([name, *(f"{length:.3f}" for length in row)] for name, row in rows)])
        return
    far = facts.distances_m
    click.echo(f"distances m: nearest neighbour {far[far > 0].min():.3f}, farthest {far.max():.3f}")


def _table(rows: list[list[str]]) -> None:
    """Print columns, the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        click.echo("  ".join(cells).rstrip())


@rig.command("convert")
@click.argument("source", type=_file, metavar="IN")
@click.argument("target", type=_file, metavar="OUT")
@click.option("--to", metavar="FORMAT", help="Format of OUT. [default: as its name asks for]")
@_unit_option
@_size_option
@click.option("--force", is_flag=True, help="Write over files that are there.")
@json_option
def convert(source: Path, target: Path, as_json: bool, **asked: Any) -> None:
    """Write a calibration in another format, and say what that format cannot hold."""
    from mvcap.rig import convert as verb

    lost = verb.convert(source, target, **asked)
    format = verb.written_as(target, asked["to"])
    if as_json:
        click.echo(json.dumps({"file": str(target), "format": format, "lost": lost}))
        return
    click.echo(f"{target}: format {format}")
    for line in lost:
        click.echo(f"not held: {line}", err=True)


@rig.command("compare")
@click.argument("a", type=_file, metavar="A")
@click.argument("b", type=_file, metavar="B")
@_unit_option
@click.option("--scale", is_flag=True, help="Lengths may differ by a common factor, which is fitted.")
@json_option
def compare(a: Path, b: Path, unit: str | None, scale: bool, as_json: bool) -> None:
    """Compare the cameras of two calibrations, laid over each other, and what it means in millimetres."""
    from mvcap.rig import compare as verb

    found = verb.compare(a, b, unit=unit, scale=scale)
    if as_json:
        click.echo(json.dumps(verb.comparison_dict(found)))
        return
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    laid = "with a scale" if found.scaled else "rigidly"
    click.echo(f"B laid over A {laid}; lengths of A are {found.scale:.5f} of B's")
    rows = [["camera", "focal %", "centre px", "lens px", "rotation deg", "position mm"]]
    for one in found.cameras:
        x, y = one.principal_px
        rows.append([one.name, f"{one.focal_percent:+.3f}", f"{x:+.2f} {y:+.2f}", f"{one.lens_px:.2f}",
                     f"{one.rotation_deg:.4f}", f"{one.position_mm:.2f}"])  # fmt: skip
    _table(rows)
    _say_worst(found, verb.comparison_dict(found)["points"])


def _say_worst(found: Any, points: dict[str, Any]) -> None:
    worst = max(found.baselines, key=lambda one: abs(one.percent) if isfinite(one.percent) else -1.0)
    names = " - ".join(worst.names)
    click.echo(f"baselines: greatest difference {worst.percent:+.3f} % ({names}, {worst.length_m:.3f} m)")
    if points["count"]:
        click.echo(
            f"points in the shared volume: RMS {points['rms_mm']:.2f} mm, median {points['median_mm']:.2f}, "
            f"95 % {points['p95_mm']:.2f}, greatest {points['max_mm']:.2f} ({points['count']} of {points['of']})"
        )
    else:
        click.echo("points in the shared volume: no two cameras see the same place")
    for side, only in (("A", found.only_a), ("B", found.only_b)):
        if only:
            click.echo(f"only in {side}: {', '.join(only)}")


@rig.command("check")
@click.argument("rig_file", type=_file, metavar="RIG")
@click.argument("take", type=_file, metavar="SESSION|FOLDER")
@click.option("--board", metavar="SPEC|FILE", help="The board that was filmed; without, the people of a session.")
@_unit_option
@click.option("--every", "every_s", type=float, metavar="S", help="Look at the videos every so many seconds.")
@click.option("--frames", type=int, metavar="N", help="Look at most at so many moments.")
@click.option("--repair", "repair_to", type=_file, metavar="OUT", help="Write the rig with moved cameras put right.")
@click.option("--force", is_flag=True, help="Write over OUT.")
@json_option
def check(rig_file: Path, take: Path, as_json: bool, **asked: Any) -> None:
    """Check an old calibration against a new take: which camera moved, how much, since when."""
    from mvcap.rig.check import check as run
    from mvcap.rig.convert import json_values

    with bar(as_json) as progress:
        found = run(rig_file, take, progress=progress, **asked)
    if as_json:
        click.echo(json.dumps(json_values({"check": found.check, "repair": _of_repair(found.repair)})))
        return
    rows = [["camera", "state", "shared moments", "residual px", "explained px", "would see mm"]]
    for one in found.check.cameras:
        figures = (f"{one.before_px:.2f}", f"{one.after_px:.2f}", f"{1000 * one.detectable_m:.2f}")
        rows.append([one.name, one.status, str(one.shared), *figures])
    _table(rows)
    for change in found.check.changes:
        click.echo(str(change))
    if found.repair is not None:
        click.echo(found.repair.summary())
        click.echo(f"rig: {asked['repair_to']}")
    elif asked["repair_to"] is not None:
        click.echo("nothing was repaired: no camera moved for sure", err=True)
    click.echo(found.check.summary())


def _of_repair(repair: Any) -> dict[str, Any] | None:
    """What is said of a repair; the rig itself is in its file."""
    return None if repair is None else {key: value for key, value in vars(repair).items() if key != "rig"}


@rig.command("align")
@click.argument("rig_file", type=_file, metavar="RIG")
@click.argument("out", type=_file, metavar="OUT")
@click.option("--points", type=_file, metavar="FILE", help="Measured points: CSV name,x_m,y_m,z_m, or YAML.")
@click.option("--pixels", type=_file, metavar="FILE", help="Where the views show them: CSV view,name,u,v.")
@click.option("--keep-scale", is_flag=True, help="With --points: lengths stay as they are.")
@click.option("--people", type=_file, metavar="SESSION", help="The floor is where the people of a session walk.")
@click.option("--board", metavar="SPEC|FILE", help="The floor is where this board lies in the pictures of --take.")
@click.option("--take", type=_file, metavar="FOLDER", help="Pictures or videos of the board on the floor.")
@click.option("--moment", type=int, default=0, show_default=True, help="Which of the moments that show the board.")
@click.option("--origin", type=click.Choice(["board", "middle"]), default="board", show_default=True,
              help="The board's own origin, or its middle.")  # fmt: skip
@_unit_option
@click.option("--force", is_flag=True, help="Write over OUT.")
@json_option
def align(rig_file: Path, out: Path, keep_scale: bool, as_json: bool, **asked: Any) -> None:
    """Give a calibration another world: the floor at z = 0, z up, by points, a board or people."""
    from mvcap.rig.align import align as run
    from mvcap.rig.convert import json_values

    with bar(as_json) as progress:
        made = run(rig_file, out, scale=not keep_scale, progress=progress, **asked)
    if as_json:
        told = {key: value for key, value in vars(made).items() if key != "rig"}
        click.echo(json.dumps(json_values({"file": str(out), "rms_m": made.rms_m, **told})))
        return
    click.echo("\n".join(made.lines))
    click.echo(f"rig: {out}")


COMMANDS: tuple[click.Command, ...] = (rig,)
