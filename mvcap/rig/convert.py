"""A calibration file in another format: ``mvcap rig convert``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

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
    return save_rig(rig, target, to)


def written_as(target: str | Path, to: str | None = None) -> str:
    """The format that `convert` writes."""
    return to or _told_by_name(Path(target))


def json_values(value: Any) -> Any:
    """The value in JSON's types: lists for tuples and arrays, tables for dataclasses, None where not finite."""
    if is_dataclass(value):
        return {key: json_values(entry) for key, entry in vars(value).items()}
    if isinstance(value, dict):
        return {key: json_values(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [json_values(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return json_values(value.tolist())
    return None if isinstance(value, float) and not np.isfinite(value) else value
