"""Small clips in several containers and codecs, damaged by seed, and jobs that end their process or never end."""

import os
import time
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

SIZE = (64, 48)
KINDS = {
    "h264.mp4": ("libx264", "yuv420p", {"bf": "3", "g": "10", "preset": "fast"}),
    "fast.mp4": ("libx264", "yuv420p", {"g": "12"}),
    "h264.mkv": ("libx264", "yuv420p", {"bf": "2", "g": "12"}),
    "mpeg4.avi": ("mpeg4", "yuv420p", {}),
    "mjpeg.avi": ("mjpeg", "yuvj420p", {}),
    "mjpeg.mov": ("mjpeg", "yuvj420p", {}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"deadline": "realtime", "cpu-used": "8"}),
    "h264.ts": ("libx264", "yuv420p", {"g": "10"}),
}
"""Codec, pixels and options of each kind of clip, by the end of its name."""


def picture(frame, size=SIZE):
    """Noise, and a bar that moves."""
    image = np.random.default_rng(frame).integers(60, 110, (size[1], size[0], 3), np.uint8)
    place = 2 * frame % size[0]
    image[:, place : place + 6] = 220
    return image


def clip(path, times_ms=None, frames=40, size=SIZE, kind=None):
    """Write a clip at 25 Hz, or with the packets' times in ms as given; sizes may be a list, of which MJPEG is able."""
    import av

    codec, pixels, options = KINDS[kind or next(name for name in KINDS if path.name.endswith(name))]
    sizes = size if isinstance(size, list) else [size] * frames
    container_options = {"movflags": "faststart"} if "fast" in (kind or path.name) else {}
    with av.open(str(path), "w", options=container_options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.options = *sizes[0], pixels, options
        stream.codec_context.time_base = Fraction(1, 1000)
        encoders, current = {sizes[0]: stream}, sizes[0]
        for frame, wanted in enumerate(sizes):
            if wanted != current:
                other = av.CodecContext.create(codec, "w")
                other.width, other.height, other.pix_fmt = *wanted, pixels
                other.time_base, other.framerate, other.options = Fraction(1, 1000), Fraction(25), options
                encoders[wanted], current = encoders.get(wanted, other), wanted
            shot = av.VideoFrame.from_ndarray(picture(frame, wanted), format="rgb24").reformat(format=pixels)
            shot.pts, shot.time_base = 40 * frame, Fraction(1, 1000)
            _mux(container, stream, encoders[wanted].encode(shot), times_ms)
        _mux(container, stream, encoders[current].encode(None), times_ms)
    return path


def _mux(container, stream, packets, times_ms):
    for packet in packets:
        packet.stream = stream
        if times_ms is not None:
            packet.time_base = Fraction(1, 1000)
            packet.pts = packet.dts = times_ms[round(packet.pts / 40)]
        container.mux(packet)


def clips(folder):
    """A whole clip of each kind."""
    folder.mkdir(parents=True, exist_ok=True)
    return [clip(folder / name) for name in KINDS]


def mutated(data, seed):
    """A file's bytes cut off, with bits flipped, a range zeroed, two blocks exchanged, or other bytes in its head."""
    rng = np.random.default_rng(seed)
    out, count = bytearray(data), len(data)
    way = int(rng.integers(5))
    if way == 0:
        return bytes(out[: int(rng.integers(1, count))])
    if way == 1:
        for _ in range(int(rng.integers(1, 30))):
            out[int(rng.integers(count))] ^= 1 << int(rng.integers(8))
    elif way == 2:
        start = int(rng.integers(count))
        stop = min(count, start + int(rng.integers(1, max(2, count // 4))))
        out[start:stop] = bytes(stop - start)
    elif way == 3:
        length = int(rng.integers(16, max(17, count // 6)))
        a, b = (int(one) for one in rng.integers(count - length, size=2))
        out[a : a + length], out[b : b + length] = out[b : b + length], out[a : a + length]
    else:
        for _ in range(int(rng.integers(1, 20))):
            out[int(rng.integers(min(count, 1500)))] = int(rng.integers(256))
    return bytes(out)


@dataclass(frozen=True)
class FallingJob:
    """A job that ends its process, or that never ends."""

    how: str

    def run(self, tell, partial):
        """Tell that one of two is done, then fall."""
        partial("half")
        tell(1, 2)
        if self.how == "abort":
            os.abort()
        time.sleep(60)
