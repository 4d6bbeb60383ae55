"""Absolute times that footage carries: lists of frames, names of images, wall-clock timestamps, SMPTE timecode."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from mvcap.errors import InputError
from mvcap.recording.frame_log import SUFFIX, read_frame_log
from mvcap.structures.footage import CLOCK_TAG, Footage

_TIMECODE = re.compile(r"(\d{2}):(\d{2}):(\d{2})([:;.])(\d{2,3})")
_WALL_S = 1e9  # since 1970: 2001; smaller timestamps count from the beginning of a recording
_DAY_S = 86400.0
_MICROSECOND = 1e-6
_CAPTURE_S = 0.002
"""Standard deviation of the times in a list of frames: capture times are found from when frames arrive."""


@dataclass(frozen=True)
class RecordedTime:
    """When the own time 0 of a file was, s, on an absolute clock.

    kind: "wall" = since 1970, by the clock of the machine or camera `clock`; "timecode" = of the day, by SMPTE timecode
    of a family of rates `clock`. sigma_s: standard deviation of reading it, without the error of the clock itself.
    """

    kind: Literal["wall", "timecode"]
    zero_s: float
    sigma_s: float
    clock: str


def recorded_time(path: Path) -> RecordedTime:
    """Return the absolute time of a video or image folder; InputError, with the reason, where it carries none."""
    if path.is_dir():
        return _of_names(path)
    log = path.with_name(path.stem + SUFFIX)
    if log.exists():
        times = read_frame_log(log)
        if len(times.capture_s):
            first = float(times.wall_ns[0]) / 1e9 - float(times.capture_s[0])
            return RecordedTime("wall", first, _CAPTURE_S, _clock_name(path) or path.name)
    return _of_container(path)


def timecode_seconds(text: str, rate: Fraction) -> float:
    """Return the time of day s of a SMPTE timecode HH:MM:SS:FF at a rate in Hz; `;` or `.` = drop frame.

    Drop-frame counting leaves out two numbers (four at 60) each minute but every tenth, SMPTE ST 12-1. ValueError for
    what is no timecode of this rate.
    """
    found = _TIMECODE.fullmatch(text.strip())
    if not found:
        raise ValueError(f"'{text}' is no timecode")
    hour, minute, second, frame = (int(found[part]) for part in (1, 2, 3, 5))
    nominal = round(rate)
    if hour > 23 or minute > 59 or second > 59 or frame >= nominal:
        raise ValueError(f"'{text}' is no timecode at {float(rate):.4g} frames per second")
    count = ((hour * 60 + minute) * 60 + second) * nominal + frame
    if found[4] != ":":
        minutes = 60 * hour + minute
        count -= round(nominal / 15) * (minutes - minutes // 10)
    return float(count / rate)


def _of_names(folder: Path) -> RecordedTime:
    footage = Footage.probe(folder)
    numbers = footage.numbers
    if numbers is None or numbers.kind != "times" or numbers.value[0] / 1e9 < _WALL_S:
        raise InputError(f"the images of {folder.name} are not named by times since 1970")
    return RecordedTime("wall", float(numbers.value[0]) / 1e9 - float(footage.time_s[0]), _MICROSECOND, folder.name)


def _clock_name(path: Path) -> str:
    import av

    try:
        with av.open(str(path), metadata_errors="replace") as container:
            return str(container.metadata.get(CLOCK_TAG, ""))
    except (av.FFmpegError, OSError):
        return ""


def _of_container(path: Path) -> RecordedTime:
    import av

    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.video:
                raise InputError(f"{path.name} holds no video")
            video = container.streams.video[0]
            begin = float((video.start_time or 0) * (video.time_base or 0))
            rate = video.average_rate or video.base_rate
            places = [video.metadata, container.metadata, *(stream.metadata for stream in container.streams)]
    except (av.FFmpegError, OSError) as fault:
        raise InputError(f"{path.name} cannot be read ({fault})") from fault
    if begin > _WALL_S:  # as of `ffmpeg -use_wallclock_as_timestamps 1 -copyts`
        return RecordedTime("wall", 0.0, _MICROSECOND, path.name)
    tags = [(key.lower(), value) for place in places for key, value in place.items()]
    text = next((str(value) for key, value in tags if key == "timecode"), "")
    if not text or not rate:
        raise InputError(f"{path.name} carries no timecode, no list of its frames' times, and no wall-clock timestamps")
    # A capture of 240 frames a second may count 30: the frames of a timecode are at most 60 a second.
    counted = rate
    while counted > 61:
        counted = counted / 2
    try:
        at = timecode_seconds(text, counted)
    except ValueError as fault:
        raise InputError(f"{path.name}: {fault}") from fault
    # The number stands for the whole interval of a frame: two free phases of even distribution.
    exact = counted.denominator == 1 or ":" not in text[-3:]
    family = "time of day" if exact else f"{float(counted):.2f} Hz without drop frames"
    return RecordedTime("timecode", at - begin, float(1 / counted) / np.sqrt(12), family)


def times_apart(one: RecordedTime, other: RecordedTime) -> float:
    """Return by how much the own time 0 of `other` was later than that of `one`, s; timecodes pass midnight."""
    apart = other.zero_s - one.zero_s
    return apart if one.kind == "wall" else (apart + _DAY_S / 2) % _DAY_S - _DAY_S / 2
