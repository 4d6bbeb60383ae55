"""A calibration file in another format: ``mvcap rig convert``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from calib import load_rig, save_rig
from calib.formats import files_of
from calib.formats import told_by_name as _told_by_name
from mvcap.errors import InputError

Sizes = tuple[int, int] | Mapping[str, tuple[int, int]] | None


def convert(
    source: str | Path,
    target: str | Path,
    *,
    to: str | None = None,
    unit: str | float | None = None,
    size: Sizes = None,
    force: bool = False,
) -> list[str]:
    """Write the rig of one file as another, in the format `to` or that of its name; -> what is lost, one line each.

    Raises InputError where files would be overwritten without `force`, RigFileError for what cannot be read or held.
    """
    target = Path(target)
    rig = load_rig(source, unit=unit, size=size)
    there = [str(file) for file in files_of(target, to) if file.exists()]
    if there and not force:
        raise InputError(f"{', '.join(there)} exists already; choose another name or give --force")
    lost = save_rig(rig, target, to)
    return [*lost, *(f"camera {name!r}, which has no pose or lens in {source}" for name in rig.unplaced)]


def written_as(target: str | Path, to: str | None = None) -> str:
    """The format that `convert` writes."""
    return to or _told_by_name(Path(target))
