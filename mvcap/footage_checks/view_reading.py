"""What reading a view's file gave, whole or not: its times, its pictures' figures, and where it is damaged."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mvcap.footage_checks.picture_series import PictureFacts, PictureSeries

Floats = NDArray[np.float64]
Decode = Literal["sampled", "all"]
"""Which pictures are decoded: all, or of a long take some in a row at moments spread over it."""


@dataclass(frozen=True)
class ReadingJob:
    """A view to read: a video, or a folder of images, of which ``files`` are this view's (empty = all)."""

    name: str
    path: Path
    files: tuple[Path, ...] = ()
    decode: Decode = "sampled"
    rate_hz: float | None = None


def _none() -> Floats:
    return np.zeros(0)


def _no_pictures() -> PictureFacts:
    return PictureSeries(np.zeros(0)).facts()


@dataclass(eq=False)
class ViewReading:
    """What a file says and what could be decoded of it; times in s from the container's zero.

    refused: why nothing can be read; empty if something can. missing_bytes: by which the file is shorter than it says.
    time_s (F,): times of the pictures that the container holds, increasing. untimed: pictures without a time;
    backwards: times before that of the picture decoded before; double: pictures at a time that another has. failed_s:
    times of packets that the decoder refused; corrupt_s: of pictures decoded with errors; lost_s: of pictures that
    never came out of the decoder. stopped: what ended the reading before the end; empty if nothing did.
    """

    name: str
    path: Path
    kind: Literal["video", "images"] = "video"
    refused: str = ""
    no_index: bool = False
    codec: str = ""
    size: tuple[int, int] = (0, 0)
    rotation_deg: int = 0
    clock: str = ""
    missing_bytes: int = 0
    time_s: Floats = field(repr=False, default_factory=_none)
    untimed: int = 0
    backwards: int = 0
    double: int = 0
    failed_s: Floats = field(repr=False, default_factory=_none)
    corrupt_s: Floats = field(repr=False, default_factory=_none)
    lost_s: Floats = field(repr=False, default_factory=_none)
    bad_files: tuple[str, ...] = ()
    stopped: str = ""
    whole: bool = True
    pictures: PictureFacts = field(repr=False, default_factory=_no_pictures)

    @property
    def frames(self) -> int:
        """Pictures that the container holds, F."""
        return len(self.time_s)

    @property
    def good_s(self) -> Floats:
        """Times of the pictures that could be decoded without error, increasing."""
        return np.setdiff1d(self.pictures.time_s, np.union1d(self.corrupt_s, self.failed_s))

    @property
    def bad_s(self) -> Floats:
        """Times of the pictures that could not, increasing."""
        return np.unique(np.concatenate([self.failed_s, self.corrupt_s, self.lost_s]))
