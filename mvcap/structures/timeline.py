"""The timeline of a take: which image every view shows at each frame, paired by number, by time or by order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import InputError
from mvcap.structures.footage import Footage

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MOST_FRAMES = 5_000_000
"""The longest take, in frames: 46 hours at 30 Hz."""
MOST_HZ = 1e5
"""The highest rate of a take, frames a second."""
ARRAYS = ("frame_of", "time_s", "number_of", "number_count", "first")
"""The arrays of a timeline on disk; the last three are left out if they follow from the first."""
SPARSE = (100, 100_000)
"""Frames for each one that has images or rows, and beside them: a longer take has a wrong frame number or time."""
_FRAMES = re.compile(r"(\d+) ?f(?:rames?)?")
_SECONDS = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+) ?s?")


@dataclass(frozen=True, eq=False)
class Timeline:
    """T frames of C views at one rate.

    frame_of (T, C): place of each view's image in its footage, -1 = it has none; time_s (T, C): its time, s, or NaN.
    number_of (T, C): its number as files of detections of the view count, from that of the view's first image, or -1;
    number_count (C,): numbers of each view. first: frame of the whole take that is frame 0 here. notes: lines for the
    user.
    """

    rate_hz: float
    frame_of: Ints = field(repr=False)
    time_s: Floats = field(repr=False)
    number_of: Ints = field(repr=False)
    number_count: Ints = field(repr=False)
    first: int = 0
    notes: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        """Number of frames T."""
        return len(self.frame_of)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays as they are stored, by their names in ``ARRAYS``."""
        out: dict[str, NDArray[Any]] = {"frame_of": self.frame_of.astype(np.int32), "time_s": self.time_s}
        whole = self.first == 0 and (self.number_count == self.frames).all()
        if whole and np.array_equal(self.number_of, self.frame_of):
            return out
        return out | {
            "number_of": self.number_of, "number_count": self.number_count, "first": np.array(self.first, np.int64)
        }  # fmt: skip

    def part(self, start: float | str | None, stop: float | str | None) -> Timeline:
        """Return the frames from start to stop (exclusive), each as ``frame_at`` takes it; None = the end of the take.

        Raises InputError if there is no such part.
        """
        first, last = part_of(start, stop, self.rate_hz, self.frames)
        if (first, last) == (0, self.frames):
            return self
        note = (
            f"frames {first} to {last - 1} of the take's {self.frames} ({first / self.rate_hz:.3f} to "
            f"{last / self.rate_hz:.3f} s): frame {first} of the take is frame 0 of the session"
        )
        rows = slice(first, last)
        return replace(
            self, frame_of=self.frame_of[rows], time_s=self.time_s[rows], number_of=self.number_of[rows],
            first=self.first + first, notes=(*self.notes, note),
        )  # fmt: skip


def part_of(start: float | str | None, stop: float | str | None, rate_hz: float, frames: int) -> tuple[int, int]:
    """Return the first frame of a part of a take and the one behind its last; InputError if there is no such part."""
    first = 0 if start is None else frame_at(start, rate_hz, "--from")
    last = frames if stop is None else frame_at(stop, rate_hz, "--to")
    length = f"the take has {frames} frames, {frames / rate_hz:.6g} s at {rate_hz:.6g} Hz"
    if first >= frames:
        raise InputError(f"--from {start} is at or behind the end: {length}")
    if last > frames:
        raise InputError(f"--to {stop} is behind the end: {length}; leave it out to go to the end")
    if first >= last:
        raise InputError(f"--from {start} and --to {stop} leave no frame between them: {length}")
    return first, last


def frame_at(moment: float | str, rate_hz: float, option: str) -> int:
    """Return the frame of a moment: seconds as a number, "2.5", "2.5s" or "1:02.5", or a frame as "300f".

    Raises InputError, which names the option, for anything else.
    """
    text = str(moment).strip()
    if found := _FRAMES.fullmatch(text):
        return int(found[1][:12])
    if found := _SECONDS.fullmatch(text):
        hours, minutes, seconds = (float(part or 0) for part in found.groups())
        at_s = hours * 3600 + minutes * 60 + seconds
        if at_s * rate_hz < MOST_FRAMES * 1e3:
            return round(at_s * rate_hz)
    raise InputError(f"{option} {moment}: give seconds (2.5 or 1:02.5) or a frame (300f), 0 or more")


def check_length(frames: int, what: str) -> int:
    """Return a length in frames; InputError, which begins with `what`, if no take is so long."""
    if frames > MOST_FRAMES:
        raise InputError(f"{what}: {frames} frames, more than any take has ({MOST_FRAMES}); correct the frame numbers")
    return frames


def place_images(
    names: Sequence[str], views: Sequence[Footage], ticks: Sequence[Ints], span: tuple[int, int], near: Sequence[Floats]
) -> tuple[Ints, Floats, Ints]:
    """Return frame_of, time_s, number_of (T, C) of views whose images have ticks (F,); the nearest to one counts.

    span: first tick and the one behind the last. near: distance (F,) of each image from its tick. A tick below span[0]
    is none. Raises InputError where a view has hardly any image for all the frames.
    """
    start, stop = span
    check_span(names, views, ticks, span)
    frame_of = np.full((stop - start, len(views)), -1, np.int64)
    time_s, number_of = np.full(frame_of.shape, np.nan), frame_of.copy()
    for column, (view, tick, far) in enumerate(zip(views, ticks, near, strict=True)):
        kept = np.flatnonzero((tick >= start) & (tick < stop))
        kept = kept[np.argsort(-far[kept], kind="stable")]
        frame_of[tick[kept] - start, column] = kept
        there = np.flatnonzero(frame_of[:, column] >= 0)
        image = frame_of[there, column]
        time_s[there, column] = view.time_s[image]
        number_of[there, column] = counted_from_first(view)[image]
    return frame_of, time_s, number_of


def counted_from_first(view: Footage) -> Ints:
    """Return the number (F,) of each image as files of detections of the view have it, from its first image."""
    if view.numbers is not None and view.numbers.kind == "numbers":
        return np.asarray(view.numbers.value - view.numbers.value[0])
    return np.arange(view.frames)


def check_span(names: Sequence[str], views: Sequence[Footage], ticks: Sequence[Ints], span: tuple[int, int]) -> None:
    """Raise InputError, which names the jump, if the frames are far more than the images of every view."""
    frames, most = span[1] - span[0], max(view.frames for view in views)
    if frames <= min(SPARSE[0] * most + SPARSE[1], MOST_FRAMES):
        return
    at = [np.flatnonzero((tick >= span[0]) & (tick < span[1])) for tick in ticks]
    jumps = [int(np.diff(tick[kept]).max(initial=0)) for tick, kept in zip(ticks, at, strict=True)]
    column = int(np.argmax(jumps))
    tick, view, kept = ticks[column], views[column], at[column]
    image = int(kept[np.diff(tick[kept]).argmax()]) if len(kept) > 1 else 0
    where = (
        f"{view.files[image].name} and {view.files[image + 1].name}"
        if view.files and image + 1 < view.frames
        else f"its images {image} and {image + 1} ({view.time_s[image]:.6g} s)"
    )
    raise InputError(
        f"{view.path}: view {names[column]} jumps by {jumps[column]} frames between {where}, so that the take would "
        f"have {frames} frames of {most} images; remove or rename what does not belong there"
    )
