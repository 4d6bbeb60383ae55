"""``mvcap rig ...``: show, convert and compare calibrations, check or adjust one by a take, set the world of both."""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from typing import Any

import click

from mvcap.cli.options import json_option
from mvcap.cli.progress_bar import bar
from mvcap.errors import InputError

_MANY = 10  # up to so many cameras, all pairwise distances are shown


def _size(context: click.Context, option: click.Parameter, value: str | None) -> tuple[int, int] | None:
    width, cross, height = (value or "").partition("x")
    if value is not None and not (cross and width.isdigit() and height.isdigit()):
        raise InputError(f"--size {value}: give width and height in pixels, as in 1920x1080")
    return (int(width), int(height)) if value else None


_file = click.Path(path_type=Path)
_unit_option = click.option("--unit", metavar="UNIT", help="m, cm, mm or a number of metres, if the file states none.")
_size_option = click.option("--size", metavar="WxH", callback=_size, help="Image size, if the file has none.")


@click.group()
def rig() -> None:
    """Plan a rig; show, convert, compare, check, adjust and align calibrations; level a finished take."""


@rig.command("show")
@click.argument("file", type=_file)
@_unit_option
@_size_option
@click.option("--picture", "picture_file", type=_file, metavar="PNG", help="Draw a plan and an elevation.")
@json_option
def show(file: Path, unit: str | None, size: Any, picture_file: Path | None, as_json: bool) -> None:
    """Show a calibration: intrinsics, fields of view, positions, directions and distances of its cameras."""
    from calib.compare import about_fold
    from mvcap.rig.show import show as run

    shown = run(file, unit=unit, size=size, picture_file=picture_file)
    if as_json:
        click.echo(json.dumps(shown.as_dict()))
        return
    click.echo(f"{shown.rig.source}: {len(shown.rig)} cameras, format {shown.format}, {shown.unit}")
    head = ["camera", "size", "focal px", "view deg", "lens", "distortion px", "x y z m", "heading", "tilt", "roll",
            "to centre m"]  # fmt: skip
    _print_table([head, *(_row(camera) for camera in shown.facts.cameras)])
    for camera in shown.facts.cameras:
        if camera.fold_px is not None:
            click.echo(f"camera {camera.name!r}: {about_fold(camera.fold_px)}", err=True)
    _print_distances(shown.facts)
    if picture_file:
        click.echo(f"picture: {picture_file}")


def _row(camera: Any) -> list[str]:
    return [
        camera.name,
        f"{camera.size[0]}x{camera.size[1]}",
        f"{camera.focal_px[0]:.1f} {camera.focal_px[1]:.1f}",
        f"{camera.fov_deg[0]:.1f} x {camera.fov_deg[1]:.1f}",
        f"{camera.model} {camera.coefficients}",
        f"{camera.bent_px:.1f}",
        " ".join(f"{number:.3f}" for number in camera.position_m),
        f"{camera.heading_deg:.0f}",
        f"{camera.tilt_deg:.0f}",
        f"{camera.roll_deg:.0f}" if isfinite(camera.roll_deg) else "-",
        f"{camera.middle_m:.2f}",
    ]


def _print_distances(facts: Any) -> None:
    names = [camera.name for camera in facts.cameras]
    if len(names) == 1:
        return
    if len(names) <= _MANY:
        click.echo("distances m")
        rows = zip(names, facts.distances_m, strict=True)
        _print_table([["", *names], *([name, *(f"{length:.3f}" for length in row)] for name, row in rows)])
        return
    distances = facts.distances_m
    click.echo(f"distances m: nearest neighbour {distances[distances > 0].min():.3f}, farthest {distances.max():.3f}")


def _print_table(rows: list[list[str]]) -> None:
    """Print rows as columns, the first column left-aligned, the others right-aligned."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        click.echo("  ".join(cells).rstrip())


@rig.command("convert")
@click.argument("source", type=_file, metavar="IN")
@click.argument("target", type=_file, metavar="OUT")
@click.option("--to", metavar="FORMAT", help="Format of OUT. [default: from its name]")
@_unit_option
@_size_option
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@json_option
def convert(source: Path, target: Path, as_json: bool, **asked: Any) -> None:
    """Write a calibration in another format, and list what that format cannot store."""
    from mvcap.rig import convert as verb

    lost = verb.convert(source, target, **asked)
    format = verb.written_as(target, asked["to"])
    if as_json:
        click.echo(json.dumps({"file": str(target), "format": format, "lost": lost}))
        return
    click.echo(f"{target}: format {format}")
    for line in lost:
        click.echo(f"not stored: {line}", err=True)


@rig.command("compare")
@click.argument("a", type=_file, metavar="A")
@click.argument("b", type=_file, metavar="B")
@_unit_option
@click.option("--scale", is_flag=True, help="Also fit a common scale factor between A and B.")
@json_option
def compare(a: Path, b: Path, unit: str | None, scale: bool, as_json: bool) -> None:
    """Align two calibrations and compare their cameras, with the effect on 3D points in millimetres."""
    from mvcap.rig import compare as verb

    found = verb.compare(a, b, unit=unit, scale=scale)
    if as_json:
        click.echo(json.dumps(verb.comparison_dict(found)))
        return
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    how = "with a scale" if found.scaled else "rigidly"
    click.echo(f"B aligned to A {how}; lengths of A are {found.scale:.5f} of B's")
    rows = [["camera", "focal %", "centre px", "lens px", "rotation deg", "position mm"]]
    for camera in found.cameras:
        x, y = camera.principal_px
        rows.append([camera.name, f"{camera.focal_percent:+.3f}", f"{x:+.2f} {y:+.2f}", f"{camera.lens_px:.2f}",
                     f"{camera.rotation_deg:.4f}", f"{camera.position_mm:.2f}"])  # fmt: skip
    _print_table(rows)
    _print_largest_differences(found, verb.comparison_dict(found)["points"])


def _print_largest_differences(found: Any, points: dict[str, Any]) -> None:
    worst = max(found.baselines, key=lambda pair: abs(pair.percent) if isfinite(pair.percent) else -1.0)
    names = " - ".join(worst.names)
    click.echo(f"baselines: largest difference {worst.percent:+.3f} % ({names}, {worst.length_m:.3f} m)")
    if points["count"]:
        click.echo(
            f"points in the shared volume: RMS {points['rms_mm']:.2f} mm, median {points['median_mm']:.2f}, "
            f"95 % {points['p95_mm']:.2f}, maximum {points['max_mm']:.2f} ({points['count']} of {points['of']})"
        )
    else:
        click.echo("points in the shared volume: no point is seen by two cameras")
    for side, only in (("A", found.only_a), ("B", found.only_b)):
        if only:
            click.echo(f"only in {side}: {', '.join(only)}")


@rig.command("check")
@click.argument("rig_file", type=_file, metavar="RIG")
@click.argument("take", type=_file, metavar="SESSION|FOLDER")
@click.option("--board", metavar="SPEC|FILE", help="The filmed board. [default: the people of the session]")
@_unit_option
@click.option("--every", "every_s", type=float, metavar="S", help="Use one moment of the videos every S seconds.")
@click.option("--frames", type=int, metavar="N", help="Use at most N moments.")
@click.option("--repair", "repair_to", type=_file, metavar="OUT", help="Write the rig with moved cameras corrected.")
@click.option("--force", is_flag=True, help="Overwrite OUT.")
@json_option
def check(rig_file: Path, take: Path, as_json: bool, **asked: Any) -> None:
    """Check an old calibration against a new take: which cameras moved, how far, and since when."""
    from calib.report.json_values import json_values
    from mvcap.rig.check import check as run

    with bar(as_json) as progress:
        found = run(rig_file, take, progress=progress, **asked)
    if as_json:
        facts = {"check": found.check, "repair": _repair_facts(found.repair), "refused": found.refused}
        click.echo(json.dumps(json_values(facts)))
        return
    rows = [["camera", "state", "shared moments", "residual px", "if corrected px", "detectable mm"]]
    for camera in found.check.cameras:
        figures = (f"{camera.before_px:.2f}", f"{camera.after_px:.2f}", f"{1000 * camera.detectable_m:.2f}")
        rows.append([camera.name, camera.status, str(camera.shared), *figures])
    _print_table(rows)
    for line in (*found.check.changes, *found.check.late):
        click.echo(str(line))
    if found.repair is not None:
        click.echo(found.repair.summary())
        click.echo(f"rig: {asked['repair_to']}")
    elif asked["repair_to"] is not None:
        click.echo(f"nothing was repaired: {found.refused or 'no camera has certainly moved'}", err=True)
    click.echo(found.check.summary())


def _repair_facts(repair: Any) -> dict[str, Any] | None:
    """Return a repair's attributes without the rig, which has its own file; None without a repair."""
    return None if repair is None else {key: value for key, value in vars(repair).items() if key != "rig"}


@rig.command("adjust")
@click.argument("session", type=_file, metavar="SESSION")
@click.option("--out", type=_file, metavar="RIG", help="Write the adjusted rig there, and leave SESSION as it is.")
@click.option("--force", is_flag=True, help="Overwrite RIG.")
@json_option
def adjust(session: Path, as_json: bool, **asked: Any) -> None:
    """Adjust the cameras of a take to the people in it, if held-out moments then agree better; show before and after.

    Scale and world stay. The old rig is kept in the session; `mvcap reconstruct SESSION` then starts at association.
    """
    from calib.report.json_values import json_values
    from mvcap.rig.adjust import adjust as run

    with bar(as_json) as progress:
        made = run(session, progress=progress, **asked)
    if as_json:
        click.echo(json.dumps(json_values(made.as_dict())))
        return
    rows = [["camera", "residual px", "if adjusted px", "moved mm", "turned deg", "centre px", "focal %"]]
    for view, name in enumerate(made.fit.old.names):
        x, y = made.fit.principal_px[view]
        rows.append(
            [name, *(f"{px[view]:.1f}" for px in (made.fit.view_before_px, made.fit.view_after_px)),
             f"{1000 * made.fit.moved_m[view]:.1f}", f"{made.fit.turned_deg[view]:.2f}", f"{x:+.1f} {y:+.1f}",
             f"{made.fit.focal_percent[view]:+.2f}"]
        )  # fmt: skip
    _print_table(rows)
    click.echo("\n".join(made.lines))
    if made.file is not None:
        click.echo(f"rig: {made.file}")


@rig.command("align")
@click.argument("rig_file", type=_file, metavar="RIG|SESSION")
@click.argument("out", type=_file, metavar="OUT")
@click.option("--points", type=_file, metavar="FILE", help="Measured points: CSV name,x_m,y_m,z_m, or YAML.")
@click.option("--pixels", type=_file, metavar="FILE", help="Pixels of these points: CSV view,name,u,v.")
@click.option("--keep-scale", is_flag=True, help="With --points: do not change the scale.")
@click.option("--people", type=_file, metavar="SESSION", help="Take the floor on which the people of a session walk.")
@click.option("--board", metavar="SPEC|FILE", help="Take the floor on which this board lies in --take.")
@click.option("--take", type=_file, metavar="FOLDER", help="Images or videos of the board on the floor.")
@click.option("--moment", type=int, default=0, show_default=True, help="Index among the moments that show the board.")
@click.option("--origin", type=click.Choice(["board", "middle"]), default="board", show_default=True,
              help="World origin: the board's own origin, or its centre.")  # fmt: skip
@_unit_option
@click.option("--force", is_flag=True, help="Overwrite OUT.")
@json_option
def align(rig_file: Path, out: Path, keep_scale: bool, as_json: bool, **asked: Any) -> None:
    """Change the world frame of a calibration: floor at z = 0, z up, from points, a board or people.

    A finished take follows with `mvcap rig level SESSION --like OUT`.
    """
    from calib.report.json_values import json_values
    from mvcap.rig.align import align as run

    with bar(as_json) as progress:
        made = run(rig_file, out, scale=not keep_scale, progress=progress, **asked)
    if as_json:
        facts = {key: value for key, value in vars(made).items() if key != "rig"}
        click.echo(json.dumps(json_values({"file": str(out), "rms_m": made.rms_m, **facts})))
        return
    click.echo("\n".join(made.lines))
    click.echo(f"rig: {out}")


@rig.command("level")
@click.argument("session", type=_file, metavar="SESSION")
@click.option("--like", type=_file, metavar="RIG", help="Take the world of this calibration, as `rig align` wrote it.")
@click.option("--out", type=_file, metavar="FOLDER", help="Make a new session, and leave SESSION as it is.")
@_unit_option
@json_option
def level(session: Path, as_json: bool, **asked: Any) -> None:
    """Turn a finished take so that z points up and its floor is z = 0, by the people in it; nothing is computed anew.

    Cameras, poses and covariances move together; files and report are written again.
    """
    from calib.report.json_values import json_values
    from mvcap.rig.level import level as run

    with bar(as_json) as progress:
        made = run(session, progress=progress, **asked)
    if as_json:
        moved = {"new_from_old": made.new_from_old, "scale": made.scale, "lines": made.lines}
        files = [str(file) for file in made.files]
        click.echo(json.dumps(json_values({"session": str(made.session.folder), "files": files, **moved})))
        return
    click.echo("\n".join([*made.lines, *(str(file) for file in made.files)]))
    click.echo(f"session: {made.session.folder.resolve()}")


@rig.command("plan")
@click.option("--room", default="8x6x3", show_default=True, metavar="WxDxH", help="Width, depth, height, m.")
@click.option("--area", metavar="WxD", help="Where people are, about the middle. [default: 0.75 m from the walls]")
@click.option("--obstacle", "obstacles", multiple=True, metavar="X0,Y0,X1,Y1,H", help="A box on the floor, m.")
@click.option("--cameras", "kinds", multiple=True, metavar="N:WxH:DEG[:HZ]", help="Propose a layout of N such cameras.")
@click.option("--rig", "rigs", multiple=True, type=_file, metavar="RIG", help="A layout to look at; may be repeated.")
@click.option("--rate", "rate_hz", type=float, default=60.0, show_default=True, help="Rate of the cameras of --rig.")
@_unit_option
@click.option("--heights", default="1.0x2.8", show_default=True, metavar="LOWxHIGH", help="Of mounts on the walls, m.")
@click.option("--ceiling", is_flag=True, help="Mounts are under the ceiling.")
@click.option("--people", type=int, default=2, show_default=True, help="People in the area, who hide each other.")
@click.option("--height", "height_m", type=float, default=1.75, show_default=True, help="Body height, m.")
@click.option("--detector", default="topdown", show_default=True, help="Noise in 2D: topdown, openpose or weak.")
@click.option("--calibration", default="0.1x3", show_default=True, metavar="DEGxMM", help="Its standard deviations.")
@click.option("--unsynchronised", is_flag=True, help="Cameras run freely, without a common trigger.")
@click.option("--out", type=_file, metavar="FOLDER", help="Write plan.png, plan.json and the proposed rig.yaml there.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of people and search.")
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@json_option
def plan(as_json: bool, **asked: Any) -> None:
    """Plan cameras for a room: expected error of joints, coverage, occlusion; compare rigs, or propose one.

    The world's origin is the middle of the floor, z up.
    """
    from mvcap.rig.plan import plan as run

    request, kinds, mounts = _planned(asked)
    rest = {name: asked[name] for name in ("rigs", "rate_hz", "unit", "out", "seed", "force")}
    with bar(as_json, "steps") as progress:
        made = run(request, kinds=kinds, mounts=mounts, progress=progress, **rest)
    if as_json:
        click.echo(json.dumps(made.as_dict()))
        return
    for note in made.notes:
        click.echo(f"note: {note}", err=True)
    found = [one.figures.summary() for one in made.rigs]
    rows = [[label, *(_figure(name, one[name]) for one in found)] for name, label in _PLAN_FIGURES.items()]
    _print_table([["", *(one.name for one in made.rigs)], *rows])
    for file in made.files:
        click.echo(f"{'rig' if file.suffix == '.yaml' else file.stem}: {file}")


_PLAN_FIGURES = {
    "error_median_mm": "error of a joint, median mm",
    "error_p90_mm": "its 90th percentile, mm",
    "worst_axis_median_mm": "along the worst axis, median mm",
    "views_of_a_joint": "views that show a joint",
    "joints_in_two_views": "joints in two views or more",
    "joints_in_three_views": "in three or more",
    "whole_body_in_two_views": "whole bodies in two views or more",
    "whole_body_in_three_views": "in three or more",
    "occluded_by_bodies": "hidden by bodies",
    "joints_without_error": "joints in fewer than two pictures",
}


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if name.endswith("_mm") or name == "views_of_a_joint" else f"{100 * value:.1f} %"


def _planned(asked: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The request, kinds of cameras and mounts of the options."""
    from mvcap.rig_design.layout_search import Mounts
    from mvcap.rig_design.plan_request import PlanRequest, parse_kinds, parse_lengths, parse_obstacle

    turned, moved = parse_lengths("--calibration", asked["calibration"], 2)
    low, high = parse_lengths("--heights", asked["heights"], 2)
    room = parse_lengths("--room", asked["room"], 3)
    request = PlanRequest(
        room_m=(room[0], room[1], room[2]),
        area_m=parse_lengths("--area", asked["area"], 2) if asked["area"] else None,  # type: ignore[arg-type]
        obstacles=tuple(map(parse_obstacle, asked["obstacles"])),
        turned_deg=turned,
        moved_m=moved / 1000,
        synchronised=not asked["unsynchronised"],
        **{name: asked[name] for name in ("people", "height_m", "detector")},
    )
    kinds = parse_kinds(asked["kinds"]) if asked["kinds"] else ()
    return request, kinds, Mounts(low, min(high, room[2]) if asked["heights"] == "1.0x2.8" else high, asked["ceiling"])


COMMANDS: tuple[click.Command, ...] = (rig,)
