"""Associators that number people as a test wants it: with and without memory from frame to frame."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NoConfig:
    """No settings."""


class Deaf:
    """An associator that numbers people frame by frame."""

    Config = NoConfig
    follows = False


class Knows:
    """An associator that follows people."""

    Config = NoConfig
    follows = True
