"""Errors that a user can cause and fix; bugs in the program raise ordinary exceptions instead.

    MvcapError               one line: what is wrong, where, and how to fix it. The command line exits with status 2.
    ├── InputError           a file, a folder or an argument that cannot be used
    ├── ConfigError          an unknown key or a value of the wrong type
    ├── AssetError           a model or sample that is missing, broken, or cannot be fetched
    ├── SessionError         a session that cannot be made, opened or written
    │   └── StaleError       an artefact made with other settings or from other inputs
    ├── SourceError          a camera or stream that cannot be opened, or was lost
    └── PluginError          an unknown or incompatible estimator, associator, refiner or exporter

``calib.errors.CalibrationError`` is the counterpart in ``calib``, which does not depend on ``mvcap``.
"""

from __future__ import annotations


class MvcapError(Exception):
    """An error whose message is one line for the user: what is wrong, where, and how to fix it."""


class InputError(MvcapError):
    """A file, a folder or an argument that cannot be used."""


class ConfigError(MvcapError):
    """An unknown key or a value of the wrong type in a configuration."""


class AssetError(MvcapError):
    """A model or sample that is missing, broken, or cannot be fetched."""


class SessionError(MvcapError):
    """A session that cannot be made, opened or written."""


class StaleError(SessionError):
    """An artefact made with other settings or from other inputs than the current ones."""


class SourceError(MvcapError):
    """A camera or stream that cannot be opened, or was lost."""


class PluginError(MvcapError):
    """An unknown or incompatible estimator, associator, refiner or exporter."""
