"""Clips made longer: forward and backward, and copies one after the other, without holding them in memory."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path


def there_and_back(source: Path, target: Path, rate: int, scale: float) -> tuple[int, int]:
    """Write a clip forward and then backward, without B-frames so that copies of it can follow each other."""
    import av

    with av.open(str(source)) as container:
        given = container.streams.video[0]
        width, height = round(given.width * scale), round(given.height * scale)
        shots = [shot.reformat(width, height, "yuv420p") for shot in container.decode(video=0)]
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"bf": "0", "g": str(len(shots)), "preset": "veryfast"}
        for number, shot in enumerate([*shots, *reversed(shots)]):
            shot.pts, shot.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(shot))
        container.mux(stream.encode(None))
    return width, height


def looped(source: Path, target: Path, frames: int) -> None:
    """Write copies of a clip one after the other, up to so many frames, without encoding anything."""
    import av

    with av.open(str(target), "w") as out:
        written, stream = 0, None
        while written < frames:
            with av.open(str(source)) as container:
                given = container.streams.video[0]
                stream = stream or out.add_stream_from_template(given)
                packets = [packet for packet in container.demux(given) if packet.dts is not None]
                step = packets[1].pts - packets[0].pts
                for packet in packets[: frames - written]:
                    packet.pts = packet.dts = written * step
                    packet.stream = stream
                    out.mux(packet)
                    written += 1
