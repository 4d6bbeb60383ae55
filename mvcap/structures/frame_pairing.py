"""Pairs the images of several views to the frames of one timeline: by number, by time, by name or by order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import InputError
from mvcap.structures.footage import Footage
from mvcap.structures.frame_clock import FrameClock
from mvcap.structures.image_folders import natural_order
from mvcap.structures.timeline import Timeline, counted_from_first, place_images

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_RATE_TOLERANCE = 0.005  # relative: 29.97 and 30 Hz can be paired by time, 25 and 30 Hz are another recording
_CERTAIN = 4.0  # standard deviations from which on two rates differ
_LISTED = 5  # gaps in a note
_JITTER = 0.1  # of the interval: jitter that is worth a note


def pair_views(
    names: Sequence[str], views: Sequence[Footage], *, rate_hz: float | None = None, trim: bool = False
) -> Timeline:
    """Pair the images of C views: of image folders by the numbers or times in their names, of videos by their clocks.

    Videos, and folders without such names, are taken to start together. Rates that differ by up to 0.5 % are paired by
    time; with rate_hz, the true rate of all views, by the count of the images. trim: views of different length are cut
    to the shortest. Raises InputError: rates or lengths differ, or images cannot be paired.
    """
    if rate_hz is not None and not 0 < rate_hz < np.inf:
        raise InputError(f"a rate of {rate_hz} frames per second is not possible; give a number above 0")
    kinds = {"video" if v.kind == "video" else v.numbers.kind if v.numbers else "names" for v in views}
    told = {
        note: [n for n, v in zip(names, views, strict=True) if note in v.notes] for one in views for note in one.notes
    }
    notes = [f"{', '.join(those)}: {note}" for note, those in told.items()]
    if kinds == {"numbers"}:
        made = _by_number(names, views, notes)
    elif kinds == {"names"}:
        made = _by_name(names, views, notes)
    elif "video" in kinds or kinds == {"times"}:
        made = _by_clock(names, views, notes, rate_hz, trim)
    else:
        what = [view.numbers.kind if view.numbers else "no numbers" for view in views]
        listed = ", ".join(f"{name}: {kind}" for name, kind in zip(names, what, strict=True))
        raise InputError(f"the names of the views' images do not count alike ({listed}); name them alike in all views")
    return made


# By number


def _by_number(names: Sequence[str], views: Sequence[Footage], notes: list[str]) -> Timeline:
    """Images of one number are of one moment."""
    values = [view.numbers.value for view in views if view.numbers is not None]
    base = min(int(value[0]) for value in values)
    step = max(int(np.gcd.reduce(np.concatenate([value - base for value in values]))), 1)
    ticks = [(value - base) // step for value in values]
    span = _shared_span(ticks)
    listed = ", ".join(f"{name} {_first(view)} to {_last(view)}" for name, view in zip(names, views, strict=True))
    if span is None or not _mostly_shared(ticks):
        share = "no numbers" if span is None else "few numbers"
        raise InputError(
            f"{views[0].path}: the views' images share {share} ({listed}), so they cannot be paired; give images of "
            "one moment the same number, or, if the numbers are times, their rate with --rate"
        )
    frame_of, _, number_of = place_images(names, views, ticks, span, [np.zeros(len(tick)) for tick in ticks])
    rate_hz = float(views[0].rate_hz)
    time_s = np.where(frame_of >= 0, np.arange(span[1] - span[0])[:, None] / rate_hz, np.nan)
    if step > 1:
        notes.append(f"the images are numbered in steps of {step}: each step is one frame")
    for column, (name, view, tick) in enumerate(zip(names, views, ticks, strict=True)):
        width = len(view.numbers.texts[0]) if view.numbers else 0
        missing = _gaps(frame_of[:, column])
        if missing:
            shown = [_range(base + step * (span[0] + a), base + step * (span[0] + b), width) for a, b in missing]
            count = sum(b - a + 1 for a, b in missing)
            more = f" and {len(shown) - _LISTED} more gaps" if len(shown) > _LISTED else ""
            notes.append(f"{name}: {_counted(count, 'frame')} dropped, no image {', '.join(shown[:_LISTED])}{more}")
        if outside := int(((tick < span[0]) | (tick >= span[1])).sum()):
            notes.append(f"{name}: {_counted(outside, 'image')} left out, no other view has their numbers ({listed})")
    counts = np.array([counted_from_first(view)[-1] + 1 for view in views], np.int64)
    return Timeline(rate_hz, frame_of, time_s, number_of, counts, notes=tuple(notes))


def _first(view: Footage) -> str:
    return view.numbers.texts[0] if view.numbers is not None else "0"


def _last(view: Footage) -> str:
    return view.numbers.texts[-1] if view.numbers is not None else str(view.frames - 1)


def _range(first: int, last: int, width: int) -> str:
    return f"{first:0{width}d}" if first == last else f"{first:0{width}d} to {last:0{width}d}"


def _gaps(shown: Ints) -> list[tuple[int, int]]:
    """Return first and last frame of each run of frames (T,) without an image."""
    edges = np.flatnonzero(np.diff(np.r_[False, shown < 0, False]))
    return [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]


def _shared_span(ticks: Sequence[Ints]) -> tuple[int, int] | None:
    """Return the first tick that two views have and the one behind the last; None if there is none."""
    tick, count = np.unique(np.concatenate([np.unique(own[own >= 0]) for own in ticks]), return_counts=True)
    shared = tick[count > 1]
    return (int(shared[0]), int(shared[-1]) + 1) if len(shared) else None


def _mostly_shared(ticks: Sequence[Ints]) -> bool:
    """Return whether most images have one of another view at their tick, while two views record or more."""
    first, last = sorted(own.min() for own in ticks)[1], sorted(own.max() for own in ticks)[-2]
    inside = [own[(own >= first) & (own <= last)] for own in ticks]
    _, place, count = np.unique(np.concatenate(inside), return_inverse=True, return_counts=True)
    return bool(2 * (count[place] > 1).sum() >= len(place))


# By name


def _by_name(names: Sequence[str], views: Sequence[Footage], notes: list[str]) -> Timeline:
    """Images of one name, apart from the camera's, are of one moment; by order where names have nothing in common."""
    keys = [[_rest(name, file.stem) for file in view.files] for name, view in zip(names, views, strict=True)]
    moments, count = np.unique(np.concatenate([np.unique(one) for one in keys]), return_counts=True)
    common = {moment for moment, many in zip(moments.tolist(), count.tolist(), strict=True) if many > 1}
    found = sum(key in common for one in keys for key in one)
    if all(len(set(one)) == len(one) for one in keys) and 2 * found >= sum(map(len, keys)):
        order = {key: place for place, key in enumerate(sorted(common, key=natural_order))}
        ticks = [np.array([order.get(key, -1) for key in one], np.int64) for one in keys]
        notes += [
            f"{name}: {_counted(int((tick < 0).sum()), 'image')} left out, no other view has an image of their name"
            for name, tick in zip(names, ticks, strict=True)
            if (tick < 0).any()
        ]
    else:
        if len({view.frames for view in views}) > 1:
            listed = ", ".join(f"{name} {view.frames}" for name, view in zip(names, views, strict=True))
            raise InputError(
                f"{views[0].path}: the views' images share no names or numbers and differ in number ({listed}), so "
                "they cannot be paired; give images of one moment the same number"
            )
        ticks = [np.arange(view.frames) for view in views]
        notes.append("the images are paired by their order; their names have no numbers and nothing in common")
    span = (0, max(int(tick.max()) for tick in ticks) + 1)
    frame_of, _, number_of = place_images(names, views, ticks, span, [np.zeros(len(tick)) for tick in ticks])
    rate_hz = float(views[0].rate_hz)
    time_s = np.where(frame_of >= 0, np.arange(span[1])[:, None] / rate_hz, np.nan)
    for column, name in enumerate(names):
        if lost := int((frame_of[:, column] < 0).sum()):
            notes.append(f"{name}: {_counted(lost, 'frame')} dropped, it has no image of their name")
    counts = np.array([view.frames for view in views], np.int64)
    return Timeline(rate_hz, frame_of, time_s, number_of, counts, notes=tuple(notes))


def _rest(name: str, stem: str) -> str:
    return re.sub(re.escape(name), "", stem, count=1, flags=re.IGNORECASE).strip(" _-").lower()


# By time


@dataclass(frozen=True)
class _Rate:
    """The interval of the frames, which views have another one, and what the user gave."""

    interval_s: float
    drifting: tuple[bool, ...]
    given_hz: float | None

    @property
    def rate_hz(self) -> float:
        return self.given_hz or 1 / self.interval_s


def _by_clock(
    names: Sequence[str], views: Sequence[Footage], notes: list[str], rate_hz: float | None, trim: bool
) -> Timeline:
    """Images by the regular clock that fits each view's times: from its first image, or on a clock that all share."""
    named = all(view.numbers is not None and view.numbers.kind == "times" for view in views)
    base = min(int(view.numbers.value[0]) for view in views if view.numbers is not None) if named else 0
    times = [(v.numbers.value - base) / 1e9 if named and v.numbers is not None else v.time_s for v in views]
    shared = named or _of_one_recording(views)
    clocks = [FrameClock.of(time_s) for time_s in times]
    rate = _common_rate(names, views, clocks, rate_hz)
    paired = rate.drifting if shared or rate_hz is None else (False,) * len(views)
    origin_s = min(clock.start_s for clock in clocks)
    ticks, near = [], []
    for clock, drifts in zip(clocks, paired, strict=True):
        offset = (clock.start_s - origin_s) / rate.interval_s if shared else 0.0
        place = clock.tick * (clock.interval_s / rate.interval_s if drifts else 1.0)
        tick = np.rint(place).astype(np.int64) + round(offset)
        if drifts:
            tick = np.rint(place + offset).astype(np.int64)
        ticks.append(np.where(clock.tick < 0, -1, tick))
        near.append(np.abs(place + offset - tick))
    if shared:
        span = _shared_clock(names, views, ticks, times)
    else:
        span = _common_length(names, views, clocks, ticks, trim, paired, notes)
    frame_of, _, number_of = place_images(names, views, ticks, span, near)
    time_s = np.full(frame_of.shape, np.nan)
    for column, (own_s, clock) in enumerate(zip(times, clocks, strict=True)):
        there = np.flatnonzero(frame_of[:, column] >= 0)
        factor = 1.0 if rate_hz is None or not clock.interval_s else 1 / (rate_hz * clock.interval_s)
        time_s[there, column] = own_s[frame_of[there, column]] * factor
    _note_clocks(names, views, clocks, rate, paired, notes)
    _note_drops(names, views, clocks, frame_of, notes)
    if shared:
        _note_offsets(names, clocks, rate.interval_s, origin_s, notes)
    counts = np.array([counted_from_first(view)[-1] + 1 for view in views], np.int64)
    return Timeline(rate.rate_hz, frame_of, time_s, number_of, counts, notes=tuple(notes))


def _of_one_recording(views: Sequence[Footage]) -> bool:
    """Whether the timestamps of all views are of one clock."""
    return bool(views[0].clock) and len({view.clock for view in views}) == 1


def _common_rate(
    names: Sequence[str], views: Sequence[Footage], clocks: Sequence[FrameClock], given_hz: float | None
) -> _Rate:
    """Return the interval of the slowest view, from all views that agree with it within the error of their times."""
    every = np.array([c.interval_s or 1 / v.rate_hz for c, v in zip(clocks, views, strict=True)])
    error = np.array([c.interval_error_s if c.interval_s else i for c, i in zip(clocks, every, strict=True)])
    slowest = int(np.argmax(every - _CERTAIN * error))
    agree = np.abs(every - every[slowest]) <= _CERTAIN * np.hypot(error, error[slowest])
    weight = 1 / (error[agree] ** 2 + (1e-7 * every[agree]) ** 2)
    interval_s = float((weight * every[agree]).sum() / weight.sum())
    off = np.abs(every / interval_s - 1) - _CERTAIN * np.hypot(error, error[slowest]) / interval_s
    if (off > _RATE_TOLERANCE).any():
        listed = ", ".join(f"{name} {1 / one:.3f} Hz" for name, one in zip(names, every.tolist(), strict=True))
        typical = float(np.median(every))
        odd = int(np.argmax(np.abs(every / typical - 1)))
        raise InputError(
            f"{views[odd].path}: the views' frame rates differ ({listed}); convert them to one rate (for example with "
            "ffmpeg -r) before making a session"
        )
    return _Rate(interval_s, tuple((~agree).tolist()), given_hz)


def _shared_clock(
    names: Sequence[str], views: Sequence[Footage], ticks: Sequence[Ints], times: Sequence[Floats]
) -> tuple[int, int]:
    span = _shared_span(ticks)
    if span is None:
        listed = ", ".join(f"{name} {own[0]:.3f} to {own[-1]:.3f} s" for name, own in zip(names, times, strict=True))
        raise InputError(
            f"{views[0].path}: the times in the names of the views' images have no moment in common ({listed}, from "
            "the first of all); give the images of one moment the same number or time"
        )
    return span


def _common_length(
    names: Sequence[str], views: Sequence[Footage], clocks: Sequence[FrameClock], ticks: Sequence[Ints], trim: bool,
    drifting: Sequence[bool], notes: list[str],
) -> tuple[int, int]:  # fmt: skip
    """Return the ticks from 0 to the end of the shortest view; InputError if lengths differ by more than rates do."""
    own = [int(clock.tick.max()) + 1 for clock in clocks]
    length = [int(tick.max()) + 1 for tick in ticks]
    spare = max(length) - min(length)
    if spare == 0 or len(set(own)) == 1 or (any(drifting) and spare == 1):
        return 0, min(length)
    listed = ", ".join(f"{name} {one}" for name, one in zip(names, own, strict=True))
    if not trim:
        odd = int(np.argmax(np.abs(np.array(own) - np.median(own))))
        raise InputError(
            f"{views[odd].path}: the views have different numbers of frames ({listed}) and may not be synchronised: "
            "cut them to a common start, or pass --trim if they start together and only their ends differ"
        )
    notes.append(f"the views have different numbers of frames ({listed}): all cut to {min(length)}")
    return 0, min(length)


# What the user is told


def _counted(count: int, noun: str) -> str:
    # 1 frame, 2 frames
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _label(name: str, view: Footage) -> str:
    return view.path.name if view.kind == "video" else name


def _note_clocks(
    names: Sequence[str], views: Sequence[Footage], clocks: Sequence[FrameClock], rate: _Rate, paired: Sequence[bool],
    notes: list[str],
) -> None:  # fmt: skip
    """Add notes on jitter, on rates that differ a little, and on a rate that replaces that of the timestamps."""
    for name, view, clock in zip(names, views, clocks, strict=True):
        if view.frames > 2 and clock.jitter_s > _JITTER * clock.interval_s > 0:
            notes.append(
                f"{_label(name, view)}: its timestamps vary by {1e3 * clock.jitter_s:.1f} ms about a regular "
                f"{1 / clock.interval_s:.5g} Hz; its images are taken to be regular"
            )
    known = [(name, clock.interval_s) for name, clock in zip(names, clocks, strict=True) if clock.interval_s]
    listed = ", ".join(f"{name} {1 / interval_s:.3f} Hz" for name, interval_s in known)
    if any(rate.drifting):
        drift = max(abs(c.interval_s / rate.interval_s - 1) * (int(c.tick.max()) + 1) for c in clocks)
        what = f"the views' rates differ ({listed}), by {drift:.1f} frames over the take"
        if any(paired):
            fastest = 1 / min(interval_s for _, interval_s in known)
            notes.append(
                f"{what}: images are paired by time, within half a frame; if one trigger releases all cameras, give "
                f"--rate {fastest:.5g}, which pairs them by their count"
            )
        else:
            notes.append(f"{what}: images are paired by their count, as --rate {rate.rate_hz:.6g} says")
    elif rate.given_hz is not None:
        measured = 1 / rate.interval_s
        error = max(_CERTAIN * min(clock.interval_error_s for clock in clocks) * measured, 1e-4)
        if any(clock.interval_s for clock in clocks) and abs(rate.given_hz / measured - 1) > error:
            notes.append(
                f"--rate {rate.given_hz:.6g} replaces the {measured:.6g} Hz of the timestamps: every image is used, "
                f"and a second of the footage is {measured / rate.given_hz:.4g} s of the take"
            )


def _note_drops(
    names: Sequence[str], views: Sequence[Footage], clocks: Sequence[FrameClock], frame_of: Ints, notes: list[str]
) -> None:
    for column, (name, view, clock) in enumerate(zip(names, views, clocks, strict=True)):
        dropped, double = int((frame_of[:, column] < 0).sum()), int((clock.tick < 0).sum())
        if dropped or double:
            what = "the times in their names" if view.kind == "images" else "its timestamps"
            notes.append(
                f"{_label(name, view)}: {_counted(dropped, 'frame')} dropped and {double} doubled, according to {what}"
            )


def _note_offsets(
    names: Sequence[str], clocks: Sequence[FrameClock], interval_s: float, origin_s: float, notes: list[str]
) -> None:
    """Add a note if the images of a view are taken between those of another."""
    place = np.array([(clock.start_s - origin_s) / interval_s for clock in clocks])
    off = place - np.rint(place)
    if np.abs(off).max() > _JITTER:
        every = zip(names, (1e3 * interval_s * off).tolist(), strict=True)
        listed = ", ".join(f"{name} {one:+.1f} ms" for name, one in every)
        notes.append(f"the views' images are not of the same moments: {listed} from the frame")
