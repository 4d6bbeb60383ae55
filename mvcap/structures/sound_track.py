"""Sound files, and videos with a sound track, as cameras with a microphone record."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import InputError
from mvcap.structures.npz import written_whole

_BLOCK = 1024


def write_wav(path: Path, samples: NDArray[np.floating], rate_hz: int) -> None:
    """Write mono samples (N,) -1..1 as a WAV file of 16 bits. SessionError if it cannot be written."""
    with written_whole(path) as part, wave.open(str(part), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(_of_16_bits(samples).tobytes())


def add_sound_track(path: Path, samples: NDArray[np.floating], rate_hz: int) -> None:
    """Give a video without sound mono samples (N,) -1..1 from its first picture on, coded as AAC.

    The pictures are copied as they are. Raises InputError for a file that is no video.
    """
    import av

    with written_whole(path) as part:
        try:
            with av.open(str(path)) as video, av.open(str(part), "w") as out:
                pictures = out.add_stream_from_template(video.streams.video[0])
                track = out.add_stream("aac", rate=rate_hz, layout="mono")
                for packet in video.demux(video=0):
                    if packet.dts is not None:
                        packet.stream = pictures
                        out.mux(packet)
                _encode_sound(out, track, _of_16_bits(samples), rate_hz)
        except (av.FFmpegError, IndexError) as fault:
            raise InputError(f"{path}: no sound track can be added ({fault}); give a video file") from fault


def _encode_sound(out: object, track: object, samples: NDArray[np.int16], rate_hz: int) -> None:
    import av

    for begin in range(0, len(samples), _BLOCK):
        block = np.ascontiguousarray(samples[None, begin : begin + _BLOCK])
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, begin, Fraction(1, rate_hz)
        out.mux(track.encode(frame))  # type: ignore[attr-defined]
    out.mux(track.encode(None))  # type: ignore[attr-defined]


def _of_16_bits(samples: NDArray[np.floating]) -> NDArray[np.int16]:
    return np.asarray(np.rint(np.clip(samples, -1, 1) * 32767), np.int16)
