"""Job calibrate: a calibration for each folder of footage, or session, of a folder."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calib.boards import board_from
from calib.bounded_files import bounded_text
from mvcap.calibrate import calibrate
from mvcap.errors import ConfigError, InputError
from mvcap.structures.image_folders import IMAGE_SUFFIXES, natural_order

_OWN = ("source", "out", "force", "progress")
_VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".m4v", ".webm", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".ts")


class CalibrateJob:
    """Job calibrate: items are folders with videos or images, settings the keywords of ``mvcap.calibrate``."""

    def items(self, folder: Path) -> list[str]:
        """Return the names of the folders that hold footage, or are sessions; results lie beside, NAME.calibration."""
        names = [place.name for place in folder.iterdir() if place.is_dir() and _has_footage(place)]
        if not names:
            raise InputError(f"{folder}: no folder in it holds videos or images; give the folder of the takes' folders")
        return sorted(names, key=natural_order)

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raise ConfigError for a keyword that ``calibrate`` does not have, CalibrationError for a board it is not."""
        known = [name for name in inspect.signature(calibrate).parameters if name not in _OWN]
        for key in settings:
            if key not in known:
                raise ConfigError(f"--set {key}: calibrate has no such setting; there are: {', '.join(known)}")
        for key in ("board", "lens_board"):
            if key in settings:
                board_from(settings[key])

    def run(self, item: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Calibrate, unless that is done; the rig is written last, so that there is none without its report."""
        place = _place(item)
        if not (place / "rig.yaml").exists():
            calibrate(item, out=place, **settings)
        folder = place if (place / "rig.yaml").exists() else place / "rejected"
        held = json.loads(bounded_text(folder / "calibration.json"))
        page = (folder / "calibration.html").relative_to(item.parent).as_posix()
        return {"verdict": held["verdict"]["level"], "about": held["verdict"]["reason"], "page": page}

    def stands(self, item: Path, facts: Mapping[str, Any]) -> bool:
        """Whether the report is there."""
        return (item.parent / str(facts.get("page"))).is_file()


def _place(item: Path) -> Path:
    return item.parent / f"{item.name}.calibration"


def _has_footage(place: Path) -> bool:
    """Whether a folder is a session, or holds videos or images itself or in a folder of it."""
    if place.name.startswith(".") or place.suffix == ".calibration":
        return False
    suffixes = (*_VIDEOS, *IMAGE_SUFFIXES)
    files = (file for pattern in ("session.yaml", "*", "*/*", "*/*/*") for file in place.glob(pattern))
    return any(file.name == "session.yaml" or file.suffix.lower() in suffixes for file in files)
