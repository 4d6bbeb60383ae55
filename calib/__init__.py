"""Cameras and points: lenses, poses, rigs, their calibration and files, and the geometry between pixels and metres.

The main function is `calib.calibrate.calibrate(observations)`; import it from there, as it takes longer to load.
"""

from calib.calibration import Calibration
from calib.camera import Camera, Lens
from calib.errors import CalibrationError, RigFileError, RigMismatchError
from calib.formats import FORMATS, load_rig, save_rig
from calib.observations import Observations
from calib.rig import Rig
from calib.targets import Target
from calib.views import fit_to_images, match_views

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
