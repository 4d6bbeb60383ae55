"""Exposure, gain and white balance that are asked of a camera."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Protocol, runtime_checkable

from mvcap.errors import InputError

AUTO, LOCK = "auto", "lock"
Asked = float | str | None
"""A number; "auto": the camera decides again and again; "lock": what it has when it is opened stays; None: as is."""
_EXAMPLES = {"exposure": "8 (ms)", "gain": "4", "white_balance": "4600 (K)"}


@dataclass(frozen=True)
class CameraControls:
    """What is asked of a camera. Text of a number is taken as one; InputError for anything else."""

    exposure: Asked = None
    """Time of exposure, ms."""
    gain: Asked = None
    """In the camera's own unit: dB of most GenICam cameras, steps of the driver for webcams."""
    white_balance: Asked = None
    """Colour temperature, K."""

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _value(field.name, getattr(self, field.name)))

    @classmethod
    def of_words(cls, words: Mapping[str, str]) -> CameraControls:
        """Return those that the options of an address name; the others of its options are left alone."""
        return cls(**{field.name: words[field.name] for field in fields(cls) if field.name in words})

    @property
    def asked(self) -> dict[str, float | str]:
        """What is asked for, by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if value is not None}

    def over(self, others: CameraControls) -> CameraControls:
        """Return what is asked here, and of others what is not asked here."""
        return CameraControls(**{**others.asked, **self.asked})


CONTROLS = tuple(field.name for field in fields(CameraControls))
"""Names of what can be asked for."""


@runtime_checkable
class AdjustableSource(Protocol):
    """A source whose camera takes exposure, gain and white balance.

    What it then has is in the ``controls`` of its ``StreamFormat``, what it could not do in the ``notes``.
    """

    def adjust(self, controls: CameraControls) -> None:
        """Take note of what is to be set whenever it is opened; InputError if this machine cannot."""
        ...


def _value(name: str, given: Asked) -> Asked:
    if given is None or given in (AUTO, LOCK):
        return given
    try:
        number = float(given)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0 <= number < 1e6 or (number == 0 and name != "gain"):
        word = name.replace("_", "-")
        raise InputError(f"{word} {given!r} is none: give a number, as {_EXAMPLES[name]}, or {AUTO}, or {LOCK}")
    return number
