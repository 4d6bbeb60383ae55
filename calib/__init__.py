"""Cameras and points: lenses, poses, rigs, their calibration and files, and the geometry between pixels and metres.

The main function is `calib.calibrate.calibrate(observations)`; import it from there, as it takes longer to load.
Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calib.calibration import Calibration
    from calib.camera import Camera, Lens
    from calib.errors import CalibrationError, RigFileError, RigMismatchError
    from calib.formats import FORMATS, load_rig, save_rig
    from calib.observations import Observations
    from calib.rig import Rig
    from calib.targets import Target
    from calib.views import fit_to_images, match_views

_MODULE_OF = {
    "Calibration": "calibration",
    **dict.fromkeys(("Camera", "Lens"), "camera"),
    **dict.fromkeys(("CalibrationError", "RigFileError", "RigMismatchError"), "errors"),
    **dict.fromkeys(("FORMATS", "load_rig", "save_rig"), "formats"),
    "Observations": "observations",
    "Rig": "rig",
    "Target": "targets",
    **dict.fromkeys(("fit_to_images", "match_views"), "views"),
}

__all__ = [
    "FORMATS",
    "Calibration",
    "CalibrationError",
    "Camera",
    "Lens",
    "Observations",
    "Rig",
    "RigFileError",
    "RigMismatchError",
    "Target",
    "fit_to_images",
    "load_rig",
    "match_views",
    "save_rig",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
