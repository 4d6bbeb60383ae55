"""What can go wrong for a user, and nothing else: faults of the program itself stay ordinary exceptions.

    MvcapError               one clear line: what is wrong, where, what to do. The command line exits with status 2.
    ├── InputError           a file, a folder or an argument that cannot be used
    ├── ConfigError          an unknown key or a value of the wrong type
    ├── AssetError           a model or sample that is missing, broken, or cannot be fetched
    ├── SessionError         a session that cannot be made, opened or written
    │   └── StaleError       an artefact made with other settings or from other inputs
    └── PluginError          an unknown or unfit estimator, associator, refiner or exporter

``calib.errors.CalibrationError`` is its counterpart for cameras; ``calib`` stays useful alone.
"""

from __future__ import annotations


class MvcapError(Exception):
    """The message is one line for the user: what is wrong, where, and what to do."""


class InputError(MvcapError):
    """A file, a folder or an argument that cannot be used."""


class ConfigError(MvcapError):
    """An unknown key or a value of the wrong type in a configuration."""


class AssetError(MvcapError):
    """A model or sample that is missing, broken, or cannot be fetched."""


class SessionError(MvcapError):
    """A session that cannot be made, opened or written."""


class StaleError(SessionError):
    """An artefact made with other settings or from other inputs than the ones asked for now."""


class PluginError(MvcapError):
    """An unknown or unfit estimator, associator, refiner or exporter."""
