"""Writer of video files: H.264 in an mp4 or mkv container, for wide compatibility."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import InputError
from mvcap.structures.own_files import lock


def write_video(
    path: str | Path,
    images: Iterable[NDArray[np.uint8]],
    rate_hz: float,
    size: tuple[int, int],
    crf: int = 20,
    seekable: bool = False,
) -> Path:
    """Encode RGB uint8 (H, W, 3) images of one size (w, h) px at rate_hz; odd sizes are padded by one row or column.

    seekable: larger, but a browser seeks exactly in it: every fifth frame is a key frame, and none is coded from a
    later one (B-frames).
    The file is written under a temporary name and renamed, so that a failed run leaves no partial file. Raises
    InputError if there is no image, one has another size, or the file cannot be written.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{path.suffix or '.mp4'}")
    try:
        with part.open("xb") as held:
            lock(held.fileno())  # while it is locked, nobody takes it for what a killed process left
            frames = _encode(part, images, rate_hz, size, crf, seekable)
        if not frames:
            raise InputError(f"{path}: no image to write; a video needs at least one")
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({os.strerror(error.errno or 0)}); check the folder") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _encode(
    path: Path,
    images: Iterable[NDArray[np.uint8]],
    rate_hz: float,
    size: tuple[int, int],
    crf: int,
    seekable: bool,
) -> int:
    import av

    frames = 0
    width, height = size
    with av.open(str(path), "w", options={"movflags": "faststart"} if seekable else {}) as container:
        stream = container.add_stream("libx264", rate=Fraction(rate_hz).limit_denominator(100_000))
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        coded = {"preset": "superfast", "g": "5", "bf": "0"} if seekable else {"preset": "veryfast"}
        stream.options = {"crf": str(crf), **coded}
        stream.codec_context.thread_count = 2
        for image in images:
            if image.shape != (height, width, 3):
                raise InputError(f"{path.name}: image {frames} has shape {image.shape}, not {(height, width, 3)}")
            padded = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")))
            frames += 1
        if frames:
            container.mux(stream.encode(None))
    return frames
