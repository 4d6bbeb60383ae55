"""Calibrations as files: look at one, turn one into another format, compare two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calib import Rig, load_rig, save_rig
from calib.compare import Comparison
from calib.compare import compare as compared
from calib.formats import declares_unit, files_of, format_of
from calib.formats import told_by_name as _told_by_name
from calib.rig_facts import RigFacts, facts, picture
from mvcap.errors import InputError

Sizes = tuple[int, int] | Mapping[str, tuple[int, int]] | None


@dataclass(frozen=True)
class Shown:
    """A calibration file at a glance: its format, whence its unit is known, and the rig."""

    format: str
    unit: str
    rig: Rig
    facts: RigFacts

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values, None where a number is not known."""
        about = {"source": self.rig.source, "format": self.format, "unit": self.unit}
        return {**about, **{key: plain(value) for key, value in vars(self.facts).items()}}


def show(
    path: str | Path, *, unit: str | float | None = None, size: Sizes = None, picture_file: str | Path | None = None
) -> Shown:
    """What a calibration file holds, and a plan and elevation of it as PNG where `picture_file` says.

    Raises RigFileError for a file that cannot be read, InputError where the picture cannot be written.
    """
    rig = load_rig(path, unit=unit, size=size)
    format = format_of(Path(path))
    if declares_unit(format):
        words = "metres, as the format says"
    else:
        words = f"its lengths taken as {unit}, as said" if unit else "taken as metres: the file does not say"
    if picture_file is not None:
        try:
            Path(picture_file).write_bytes(picture(rig) or b"")
        except OSError as fault:
            raise InputError(f"{picture_file} cannot be written: {fault.strerror}; choose another place") from None
    return Shown(format, words, rig, facts(rig))


def convert(
    source: str | Path,
    target: str | Path,
    *,
    to: str | None = None,
    unit: str | float | None = None,
    size: Sizes = None,
    force: bool = False,
) -> list[str]:
    """Write the rig of one file as another, of the format `to` or the one its name asks for; what is lost, a line each.

    Raises InputError where files would be written over without `force`, RigFileError for what cannot be read or held.
    """
    target = Path(target)
    rig = load_rig(source, unit=unit, size=size)
    there = [str(file) for file in files_of(target, to) if file.exists()]
    if there and not force:
        raise InputError(f"{', '.join(there)} is there already; choose another name or say --force")
    return save_rig(rig, target, to)


def written_as(target: str | Path, to: str | None = None) -> str:
    """The format that `convert` writes."""
    return to or _told_by_name(Path(target))


def compare(
    a: str | Path | Rig, b: str | Path | Rig, *, unit: str | float | None = None, scale: bool = False
) -> Comparison:
    """How rig b differs from rig a; files that do not say their unit are in `unit`. See `calib.compare.compare`."""
    first, second = (one if isinstance(one, Rig) else load_rig(one, unit=unit) for one in (a, b))
    return compared(first, second, scale=scale)


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """A comparison as plain values, None where a number is not known, the points in the volume as a summary."""
    found = comparison.points_mm[np.isfinite(comparison.points_mm)]
    points: dict[str, Any] = {"count": int(found.size), "of": len(comparison.points_mm)}
    if found.size:
        points |= {"rms_mm": comparison.volume_rms_mm, "median_mm": float(np.median(found)),
                   "p95_mm": float(np.percentile(found, 95)), "max_mm": float(found.max())}  # fmt: skip
    return {
        "alignment": "similarity" if comparison.scaled else "rigid",
        "scale": comparison.scale,
        **{key: plain(getattr(comparison, key)) for key in ("a_from_b", "cameras", "baselines")},
        "points": points,
        **{key: plain(getattr(comparison, key)) for key in ("only_a", "only_b", "notes")},
    }


def plain(value: Any) -> Any:
    """Lists for tuples and arrays, tables for dataclasses, None for what is not finite: all that JSON has."""
    if is_dataclass(value):
        return {key: plain(entry) for key, entry in vars(value).items()}
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [plain(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    return None if isinstance(value, float) and not np.isfinite(value) else value
