"""Depth images that were recorded with a video: those of its frames, in metres."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import InputError
from mvcap.recording.matroska import DepthFile
from mvcap.structures.footage import CLOCK_TAG

_SAME_S = 0.0015  # times of both files are whole ms


def depth_file(video: Path) -> Path | None:
    """Return the file of depth images of a recorded video, FOLDER/depth beside FOLDER/videos; None without one."""
    path = video.parent.parent / "depth" / f"{video.stem}.mkv"
    return path if path.is_file() else None


def recorded_depths(
    path: Path, video: Path, times_s: Iterable[float], size: tuple[int, int]
) -> Iterator[NDArray[np.float32] | None]:
    """Yield the depth image (H, W) m, 0 where unknown, at each time s, ascending; None where there is none, or for NaN.

    video: of the same recording. size: width and height of its frames, px, to which odd ones were padded. One image at
    a time is in memory. Raises InputError for a file of another recording or size, or a damaged one.
    """
    import av

    try:
        with av.open(str(path)) as container, av.open(str(video)) as of_video:
            unit = container.metadata.get(DepthFile.UNIT_TAG, "")
            if container.metadata.get(CLOCK_TAG) != of_video.metadata.get(CLOCK_TAG) or not unit:
                raise InputError(f"{path}: is not the depth of {video}; move it away, or put back the one recorded")
            pictures = _timed(container)
            at_s, picture = next(pictures, (np.inf, None))
            for wanted_s in times_s:
                while at_s < wanted_s - _SAME_S:
                    at_s, picture = next(pictures, (np.inf, None))
                there = picture is not None and abs(at_s - wanted_s) <= _SAME_S
                yield _in_metres(picture, float(unit), size, path) if there else None
    except (av.FFmpegError, OSError, ValueError) as fault:
        raise InputError(f"{path}: cannot be read ({getattr(fault, 'strerror', None) or fault})") from fault


def _timed(container: Any) -> Iterator[tuple[float, Any]]:
    """Times s and pictures; damaged ones are left out."""
    import av

    for packet in container.demux(video=0):
        try:
            yield from ((float(picture.time), picture) for picture in packet.decode() if picture.time is not None)
        except av.error.InvalidDataError:
            continue


def _in_metres(picture: Any, unit_m: float, size: tuple[int, int], path: Path) -> NDArray[np.float32]:
    depth = picture.to_ndarray(format="gray16le").astype(np.float32) * np.float32(unit_m)
    more = size[1] - depth.shape[0], size[0] - depth.shape[1]
    if not {*more} <= {0, 1}:
        raise InputError(f"{path}: is {depth.shape[1]}x{depth.shape[0]} px, its video {size[0]}x{size[1]} px")
    return np.asarray(np.pad(depth, ((0, more[0]), (0, more[1]))), np.float32)
