"""Sound files, and videos that are joined from parts and given a sound track, as cameras with a microphone record."""

from __future__ import annotations

import wave
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import InputError
from mvcap.structures.npz import written_whole

_BLOCK = 1024


def write_wav(path: Path, blocks: Iterable[NDArray[np.floating]], rate_hz: int) -> None:
    """Write mono samples -1..1, in blocks (N,), as a WAV file of 16 bits. SessionError if it cannot be written."""
    with written_whole(path) as part, wave.open(str(part), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        for samples in blocks:
            file.writeframes(np.asarray(np.rint(np.clip(samples, -1, 1) * 32767), np.int16).tobytes())


def join_videos(path: Path, parts: Sequence[Path], sound: Path | None = None) -> None:
    """Write a video that shows others, as ``write_video`` wrote them with the same settings, one after the other.

    Pictures are copied as they are coded. sound: a mono WAV file of 16 bits that begins with the first picture, which
    becomes a track coded as AAC. Little is in memory, however long it is. Raises InputError for a part that is no
    video, or a file that is no such sound; SessionError if the video cannot be written.
    """
    import av

    if not parts:
        raise InputError(f"{path}: no part to join; a video needs at least one")
    now: Path = parts[0]
    with written_whole(path) as whole:
        try:
            with ExitStack() as stack:
                first = stack.enter_context(av.open(str(parts[0])))
                out = stack.enter_context(av.open(str(whole), "w"))
                pictures = out.add_stream_from_template(first.streams.video[0])
                rate = first.streams.video[0].average_rate
                track = _Track(out, sound, stack) if sound is not None else None
                begin = 0
                for now in parts:
                    count = 0
                    for packet in _packets(now):
                        step = round(1 / (rate * packet.time_base))
                        packet.pts, packet.dts = packet.pts + begin * step, packet.dts + begin * step
                        packet.stream = pictures
                        if track is not None:
                            track.until(float(packet.dts * packet.time_base))
                        out.mux(packet)
                        count += 1
                    begin += count
                if track is not None:
                    track.until(np.inf)
        except (av.FFmpegError, IndexError) as fault:
            if isinstance(fault, OSError) and not isinstance(fault, ValueError):
                raise  # the disk, not the part
            raise InputError(f"{now}: cannot be joined ({fault}); give a video file") from fault


def _packets(path: Path) -> Iterator[Any]:
    import av

    with av.open(str(path)) as video:
        for packet in video.demux(video.streams.video[0]):
            if packet.dts is not None:
                yield packet


class _Track:
    """Sound of a WAV file on its way into a container, as far as the pictures are."""

    def __init__(self, out: Any, sound: Path, stack: ExitStack) -> None:
        try:
            self._file = stack.enter_context(wave.open(str(sound)))  # noqa: SIM115
        except (wave.Error, EOFError) as fault:
            raise InputError(f"{sound}: is no WAV file ({fault})") from fault
        if (self._file.getnchannels(), self._file.getsampwidth()) != (1, 2):
            raise InputError(f"{sound}: give mono sound of 16 bits")
        self._out, self._rate_hz = out, self._file.getframerate()
        self._stream = out.add_stream("aac", rate=self._rate_hz, layout="mono")
        self._done, self._ended = 0, False

    def until(self, time_s: float) -> None:
        """Encode what is heard before a time; the rest and the encoder's own for an infinite one."""
        import av

        while not self._ended and self._done < time_s * self._rate_hz:
            block = np.frombuffer(self._file.readframes(_BLOCK), np.int16)
            if len(block):
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block[None]), format="s16", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = self._rate_hz, self._done, Fraction(1, self._rate_hz)
                self._out.mux(self._stream.encode(frame))
                self._done += len(block)
            else:
                self._out.mux(self._stream.encode(None))
                self._ended = True
