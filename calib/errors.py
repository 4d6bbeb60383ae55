"""The errors of the package; every message is one line: what is wrong, where, and what to do.

CalibrationError          anything below, or values that no lens or camera can have
├── RigFileError          a calibration file that cannot be read, trusted or written
└── RigMismatchError      cameras and views, or image sizes, that do not belong together
"""


class CalibrationError(Exception):
    """Something about cameras is wrong; the message says what, where and what to do."""


class RigFileError(CalibrationError):
    """A calibration file is missing, damaged, of an unknown kind, or cannot hold the rig."""


class RigMismatchError(CalibrationError):
    """The cameras of a rig do not fit the views or the images they are used with."""
