"""Cameras and points: lenses, poses, rigs, their files, and the geometry between pixels and metres."""

from calib.camera import Camera, Lens
from calib.errors import CalibrationError, RigFileError, RigMismatchError
from calib.formats import FORMATS, load_rig, save_rig
from calib.rig import Rig
from calib.views import fit_to_images, match_views

__all__ = [
    "FORMATS",
    "CalibrationError",
    "Camera",
    "Lens",
    "Rig",
    "RigFileError",
    "RigMismatchError",
    "fit_to_images",
    "load_rig",
    "match_views",
    "save_rig",
]
