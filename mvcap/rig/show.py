"""What a calibration file holds: ``mvcap rig show``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calib import Rig, load_rig
from calib.formats import declares_unit, format_of
from calib.report.json_values import json_values
from calib.report.rig_summary import RigFacts, facts, picture
from mvcap.errors import InputError, SessionError
from mvcap.rig.convert import Sizes
from mvcap.structures.npz import written_whole


@dataclass(frozen=True)
class RigOverview:
    """Summary of a calibration file: its format, where its unit comes from, and the rig."""

    format: str
    unit: str
    rig: Rig
    facts: RigFacts

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values, None where a number is not known."""
        about = {"source": self.rig.source, "format": self.format, "unit": self.unit}
        return {**about, **{key: json_values(value) for key, value in vars(self.facts).items()}}


def show(
    path: str | Path, *, unit: str | float | None = None, size: Sizes = None, picture_file: str | Path | None = None
) -> RigOverview:
    """What a calibration file holds; a plan and an elevation of it are written as PNG to `picture_file`.

    Raises RigFileError for a file that cannot be read, InputError where the picture cannot be written.
    """
    rig = load_rig(path, unit=unit, size=size)
    format = format_of(Path(path))
    if declares_unit(format):
        words = "metres, by the format"
    else:
        words = f"lengths in {unit}, as given" if unit else "metres assumed: the file does not declare its unit"
    if picture_file is not None:
        drawn = picture(rig) or b""
        if not Path(picture_file).parent.is_dir():
            raise InputError(f"{picture_file} cannot be written: there is no such folder; choose another place")
        try:
            with written_whole(Path(picture_file)) as temporary:
                temporary.write_bytes(drawn)
        except SessionError as fault:
            raise InputError(str(fault)) from None
    return RigOverview(format, words, rig, facts(rig))
