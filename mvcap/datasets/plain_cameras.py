"""Cameras and truth as plain values, for the extra keys of formats that hold text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calib import Camera, Lens, Rig
from calib.bounded_files import bounded_bytes, parse_json, reason_of
from calib.errors import CalibrationError
from mvcap.errors import InputError

MOST_BYTES = 4 << 30
"""Of a file of annotations."""
_DECIMALS = 6


def plain_camera(camera: Camera) -> dict[str, Any]:
    """Return a camera as plain values: name, size px, K px, distortion, model, cam_from_world m."""
    lens = camera.lens
    return {
        "name": camera.name,
        "size": list(camera.size),
        "K": lens.K.tolist(),
        "distortion": lens.distortion.tolist(),
        "model": lens.model,
        "cam_from_world": camera.cam_from_world.tolist(),
    }


def plain_rig(rig: Rig) -> list[dict[str, Any]]:
    """Return the cameras of a rig as plain values."""
    return [plain_camera(camera) for camera in rig]


def rig_of(values: Sequence[Mapping[str, Any]], where: Path) -> Rig:
    """Return the rig that ``plain_rig`` made values of; InputError for others."""
    try:
        return Rig(
            tuple(
                Camera(
                    Lens(one["name"], tuple(one["size"]), one["K"], one["distortion"], one["model"]),
                    np.array(one["cam_from_world"], np.float64),
                )
                for one in values
            ),
            source=str(where),
        )
    except (KeyError, TypeError, ValueError, CalibrationError) as fault:
        raise InputError(f"{where}: its cameras cannot be read ({reason_of(fault)}); make the dataset again") from fault


def numbers(values: Any, decimals: int = _DECIMALS) -> Any:
    """Return an array as nested lists of rounded numbers, None where they are not finite."""
    rounded = np.round(np.asarray(values, np.float64), decimals)
    if not rounded.ndim:
        return float(rounded) if np.isfinite(rounded) else None
    plain = rounded.astype(object)
    plain[~np.isfinite(rounded)] = None
    return plain.tolist()


def array_of(values: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the array that ``numbers`` made lists of: NaN for None."""
    return np.array(values, np.float64)


def text_of(values: Any) -> str:
    """Return values as JSON in one line, without NaN."""
    return json.dumps(values, allow_nan=False, separators=(",", ":"))


def read_document(path: Path, what: str) -> Any:
    """Return what a JSON file holds; InputError, which says what it should be, for one that cannot be read."""
    try:
        return parse_json(bounded_bytes(path, MOST_BYTES))
    except (OSError, ValueError) as fault:
        raise InputError(f"{path}: cannot be read as {what} ({reason_of(fault)}); give a whole dataset") from fault
