"""Frames of a live source: what a camera or stream gives, with the times that are known of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class StreamFormat:
    """What a source gives."""

    codec: str
    """FFmpeg's name of the codec of its packets: h264 or hevc (Annex B, parameter sets in front of key frames) or
    mjpeg; empty where it gives images."""
    size: tuple[int, int]
    """Width and height, px."""
    rate_hz: float | None = None
    """The rate that it declares; the delivered one is measured."""
    depth_unit_m: float | None = None
    """Metres of one unit of its depth images, where it gives some."""
    controls: Mapping[str, float | str] = field(default_factory=dict)
    """Exposure, gain, white balance ... as far as the source tells, when it was opened."""
    notes: tuple[str, ...] = ()
    """What was asked of the camera and could not be done, a line each."""

    @property
    def refers(self) -> bool:
        """Whether its packets refer to those before, so that decoding begins at key frames only."""
        return self.codec in ("h264", "hevc")


@dataclass(frozen=True, eq=False)
class LiveFrame:
    """One frame, as a packet of the stream's codec or as an image."""

    received_ns: int
    """Time of arrival on the monotonic clock of this machine, ns."""
    source_s: float | None = None
    """Time that the source states, on a clock of its own, s."""
    number: int | None = None
    """Number that the source counts its frames by; a jump is frames lost on the way."""
    packet: bytes | None = None
    key: bool = True
    """Whether decoding can begin here."""
    image: Image | None = None
    """RGB (H, W, 3)."""
    decoded: Any = None
    """A picture of PyAV (``VideoFrame``), which is converted to RGB only if it is looked at."""
    depth: NDArray[np.uint16] | None = None
    """(H, W), in units of ``StreamFormat.depth_unit_m``; 0 where unknown."""


class LiveStream(Protocol):
    """A source that is open; one thread reads it and closes it."""

    format: StreamFormat

    def read(self) -> LiveFrame | None:
        """Wait for the next frame, at most some seconds; None at the end. SourceError if the connection is lost."""
        ...

    def close(self) -> None:
        """Let the camera or connection go."""
        ...


@runtime_checkable
class FiniteStream(Protocol):
    """A stream of files, whose frames are known beforehand."""

    missing_at_end: int
    """Frames behind the last one that could be read, once ``read`` has returned None."""


class LiveSource(Protocol):
    """A camera or stream that can be opened, and again after it was lost. ``ends``: whether its end is no loss."""

    ends: bool

    def open(self) -> LiveStream:
        """Open it; SourceError if it is not there, in one line with the reason."""
        ...
