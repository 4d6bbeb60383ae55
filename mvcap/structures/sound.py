"""The sound of a video as mono samples at one rate, with the time of the first one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from calib.arrays import Floats
from mvcap.errors import InputError


def read_sound(path: Path, rate_hz: int) -> tuple[float, Floats]:
    """Return the time s of the first sample, from the container's own zero, and mono samples (N,) -1..1.

    Raises InputError for a file without sound, or whose sound cannot be decoded.
    """
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise InputError(f"{path.name} has no sound")
            resampler = av.AudioResampler(format="flt", layout="mono", rate=rate_hz)
            parts, begins = [], None
            for frame in container.decode(audio=0):
                if begins is None:
                    begins = float(frame.time or 0.0)
                parts += [one.to_ndarray().ravel() for one in resampler.resample(frame)]
            parts += [one.to_ndarray().ravel() for one in resampler.resample(None)]
    except (av.FFmpegError, OSError) as fault:
        raise InputError(f"the sound of {path.name} cannot be read ({fault}); convert it with FFmpeg") from fault
    if begins is None or not parts:
        raise InputError(f"{path.name} has no sound")
    return begins, np.concatenate(parts).astype(np.float64)
