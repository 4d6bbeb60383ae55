"""Control points: measured points of a scene and their pixels in the views, from files."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from calib.bounded_files import bounded_text, parse_yaml, reason_of
from calib.observations import Observations
from calib.targets import scene_points
from mvcap.errors import InputError

LENGTHS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
CLICK_PX = 1.0  # standard deviation of a careful click
_LEAST = 4  # points that determine the pose of a camera with a known lens
_ROOM_M = 500.0  # a larger extent means that the unit is not metres


@dataclass(frozen=True)
class ControlPoints:
    """N measured points of the world, xyz in metres by name; pixels: (u, v) by name, for each view."""

    xyz: Mapping[str, tuple[float, float, float]]
    pixels: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)


def read_control_points(file: Path, pixels: Path | None = None) -> ControlPoints:
    """Read points from CSV (name, x_m, y_m, z_m) or YAML, and their pixels from CSV (view, name, u, v).

    YAML holds `unit`, `points: {name: [x, y, z]}` and optionally `pixels: {view: {name: [u, v]}}`. Raises InputError
    for a missing unit, for values that are not numbers, and for pixels of unknown points.
    """
    xyz, seen = _of_yaml(file) if file.suffix.lower() in (".yaml", ".yml") else (_points_of_csv(file), {})
    if pixels is not None:
        seen = _pixels_of_csv(pixels)
    if len(xyz) < _LEAST:
        raise InputError(f"{file}: holds {len(xyz)} points; {_LEAST} or more are needed, not all on one line")
    extent = float(np.ptp(np.array(list(xyz.values())), axis=0).max())
    if extent > _ROOM_M:
        raise InputError(f"{file}: the points are {extent:.0f} m apart; are they millimetres? give their unit")
    unknown = sorted({name for of_view in seen.values() for name in of_view} - set(xyz))
    if unknown:
        raise InputError(
            f"{pixels or file}: has pixels of {unknown[0]!r}, but {file} has no such point; use the same names"
        )
    return ControlPoints(xyz, seen)


def control_point_observations(
    points: ControlPoints, views: Sequence[str], sizes: Sequence[tuple[int, int]]
) -> Observations:
    """Observations of the points, a still target, at one moment; InputError where views have too few."""
    unknown = sorted(set(points.pixels) - set(views))
    if unknown:
        raise InputError(f"pixels of scene points are given for {unknown[0]!r}; the views are {', '.join(views)}")
    names = list(points.xyz)
    xy = np.full((len(views), 1, len(names), 2), np.nan)
    for row, (view, (width, height)) in enumerate(zip(views, sizes, strict=True)):
        for name, (u, v) in points.pixels.get(view, {}).items():
            if not (-0.5 <= u <= width - 0.5 and -0.5 <= v <= height - 0.5):
                raise InputError(
                    f"view {view!r}: scene point {name!r} at {u:g}, {v:g} px is outside its {width}x{height} px"
                )
            xy[row, 0, names.index(name)] = u, v
        count = len(points.pixels.get(view, {}))
        if count < _LEAST:
            raise InputError(f"view {view!r}: has pixels of {count} scene points; click {_LEAST} or more in every view")
    sigma = np.where(np.isnan(xy[..., 0]), np.nan, CLICK_PX)
    target = scene_points(list(points.xyz.values()))
    return Observations(target, tuple(views), tuple(sizes), xy, sigma, np.zeros((len(views), 1)), ("scene points",))


def _points_of_csv(file: Path) -> dict[str, tuple[float, float, float]]:
    rows, heading = _table(file)
    units = {match[1] for name in heading if (match := re.fullmatch(r"[xyz][ _]?[\[(]?(m|cm|mm)[\])]?", name))}
    if len(units) != 1:
        raise InputError(
            f"{file}: has no unit; name the columns name,x_m,y_m,z_m (or _cm, _mm), not {','.join(heading)}"
        )
    factor = LENGTHS[units.pop()]
    columns = [next((name for name in heading if name.startswith(axis)), "") for axis in "xyz"]
    return _by_name(file, rows, lambda row: [factor * float(row[column]) for column in columns])


def _pixels_of_csv(file: Path) -> dict[str, dict[str, tuple[float, float]]]:
    rows, heading = _table(file)
    if not {"view", "name", "u", "v"} <= set(heading):
        raise InputError(f"{file}: needs the columns view,name,u,v, not {','.join(heading)}")
    views: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for number, row in rows:
        views.setdefault(row["view"], []).append((number, row))
    return {view: _by_name(file, own, lambda row: [float(row["u"]), float(row["v"])]) for view, own in views.items()}


def _by_name(file: Path, rows: Iterable[tuple[int, dict[str, str]]], values: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, row in rows:
        try:
            numbers = tuple(values(row))
        except (ValueError, KeyError, TypeError):
            numbers = (np.nan,)
        if not np.isfinite(numbers).all() or not row.get("name"):
            raise InputError(f"{file}: line {number} is not a name and numbers; correct it")
        if row["name"] in found:
            raise InputError(f"{file}: line {number} names {row['name']!r} again; give each point once")
        found[row["name"]] = numbers
    return found


def _table(file: Path) -> tuple[list[tuple[int, dict[str, str]]], list[str]]:
    """Rows with their line numbers, and the heading in lower case."""
    try:
        lines = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(bounded_text(file)))]
    except (OSError, ValueError, csv.Error) as fault:
        raise InputError(f"{file}: cannot be read ({reason_of(fault)}); give a CSV file") from fault
    heading = [cell.lower() for cell in lines[0]] if lines else []
    rows = [(number, dict(zip(heading, row, strict=False))) for number, row in enumerate(lines[1:], 2) if any(row)]
    return rows, heading


def _of_yaml(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        document = parse_yaml(bounded_text(file))
        unit = document.get("unit")
        if unit not in LENGTHS:
            raise InputError(f"{file}: has no unit; write `unit: m` (or cm, mm)")
        xyz = {str(name): tuple(LENGTHS[unit] * float(x) for x in at) for name, at in document["points"].items()}
        pixels = {
            str(view): {str(name): tuple(float(x) for x in at) for name, at in own.items()}
            for view, own in (document.get("pixels") or {}).items()
        }
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as fault:
        why = reason_of(fault)
        raise InputError(f"{file}: is not a YAML file of unit, points and pixels ({why}); correct it") from fault
    odd = [name for name, at in xyz.items() if len(at) != 3 or not np.isfinite(at).all()]
    odd += [f"{view} {name}" for view, own in pixels.items() for name, at in own.items()
            if len(at) != 2 or not np.isfinite(at).all()]  # fmt: skip
    if odd:
        raise InputError(f"{file}: {odd[0]!r} needs three numbers as a point, two as a pixel; correct it")
    return xyz, pixels
