"""Matches the pictures of the views to moments: by name, by number, by timestamps, or by a session."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calib import Camera, Rig, fit_to_images, match_views
from mvcap.calibration.image_sets import (
    LENS_FOLDERS,
    RIG_FOLDERS,
    TAKE_FOLDERS,
    ImageSet,
    cameras_in,
    depth_of,
    subfolder,
)
from mvcap.errors import InputError
from mvcap.structures.image_folders import LAST_NUMBER, natural_order
from mvcap.structures.session import Session

MOST_MOMENTS = 300  # more moments of a moving board add time and almost no information


@dataclass(frozen=True, eq=False)
class Moments:
    """Pictures of C cameras at T moments, and photos of single cameras for their lenses.

    shown (T, C): the number of each camera's picture, -1 where it has none; time_s (T, C) s since the start on one time
    base, NaN where there is none; moments: T names; notes: lines for the user.
    """

    views: tuple[ImageSet, ...]
    shown: NDArray[np.int64]
    time_s: NDArray[np.float64]
    moments: tuple[str, ...]
    lens: tuple[ImageSet, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the views."""
        return tuple(view.name for view in self.views)


def find_moments(source: Path | Session, every_s: float | None = None, most: int | None = None) -> Moments:
    """Find the pictures in a session or a folder, and choose moments: one in every_s seconds, or most of them.

    A folder holds one video for each camera, a folder of images for each camera, or images named by camera and moment;
    the contents of its folder `intrinsics` (or `lenses`) are for the lenses only. Raises InputError where there is
    nothing, or views cannot be matched.
    """
    if (every_s is not None and not every_s > 0) or (most is not None and most < 1):
        raise InputError("--every needs seconds above 0 and --frames a number of 1 or more")
    if not isinstance(source, Session) and (source / "session.yaml").exists():
        source = Session.open(source)
    if isinstance(source, Session):
        return _of_session(source, every_s, most)
    if not source.is_dir():
        raise InputError(f"{source}: {'is a file' if source.exists() else 'no such folder'}; give a folder or session")
    lens = subfolder(source, LENS_FOLDERS)
    place = subfolder(source, RIG_FOLDERS) or source
    views = cameras_in(place)
    if not views and place is source and (inner := subfolder(source, TAKE_FOLDERS)) is not None:
        place, views = inner, cameras_in(inner)
    if not views:
        what = "photos for the lenses only" if lens else "no videos and no images (jpg, png, tif)"
        raise InputError(f"{source}: holds {what}; film the board with all cameras at once and put the files there")
    found = _match_views(place, tuple(views), every_s, most)
    found = replace(found, notes=(*found.notes, *_about_depth(place, views)))
    return replace(found, lens=tuple(cameras_in(lens)) if lens else ())


def _about_depth(folder: Path, views: Sequence[ImageSet]) -> list[str]:
    """A line where images have more than 8 bits."""
    deep = {view.name: depth for view in views if (depth := depth_of(view.files[:1])) is not None}
    if not deep:
        return []
    kinds = " and ".join(dict.fromkeys(deep.values()))
    return [f"{folder}: the images of {', '.join(deep)} are {kinds}: each is stretched to 8 bits"]


def spread_evenly(count: int, most: int | None) -> NDArray[np.int64]:
    """Indices of at most `most` of `count` items, evenly spaced."""
    if most is None or count <= most:
        return np.arange(count)
    return np.unique(np.rint(np.linspace(0, count - 1, most)).astype(np.int64))


def _match_views(folder: Path, views: tuple[ImageSet, ...], every_s: float | None, most: int | None) -> Moments:
    filmed = [view for view in views if view.footage is not None]
    if filmed and len(filmed) < len(views):
        raise InputError(f"{folder}: some cameras have videos and others images; give all of them one kind")
    if filmed:
        return _by_time(folder, views, every_s, most)
    if every_s is not None:
        raise InputError(f"{folder}: images have no times, so --every has no meaning; use --frames N")
    return _by_name(folder, views, most)


def _by_name(folder: Path, views: tuple[ImageSet, ...], most: int | None) -> Moments:
    """Match images by names that are equal apart from the camera's; by order, where names have nothing in common."""
    notes: tuple[str, ...] = ()
    keys = next((keys for rule in (_rest, _number) if _are_common(keys := _keys(views, rule))), None)
    if keys is None and len({view.place for view in views}) == 1:
        keys = _keys(views, _rest)
    if keys is None:
        counts = {len(view) for view in views}
        if len(counts) > 1:
            listed = ", ".join(f"{view.name} {len(view)}" for view in views)
            raise InputError(
                f"{folder}: the cameras' images share no names and differ in number ({listed}), so they cannot be "
                "matched; give images of one moment the same name"
            )
        keys = [[f"{number + 1}" for number in range(len(view))] for view in views]
        if len(views) > 1 and counts != {1}:
            notes = (f"{folder}: images of the cameras are matched by their order; their names have nothing in common",)
    moments = sorted({key for one in keys for key in one}, key=natural_order)
    moments = [moments[index] for index in spread_evenly(len(moments), most or MOST_MOMENTS)]
    places = [{key: number for number, key in enumerate(one)} for one in keys]
    shown = np.array([[place.get(moment, -1) for place in places] for moment in moments], np.int64)
    return Moments(views, shown, np.full(shown.shape, np.nan), tuple(moments), notes=notes)


def _keys(views: Sequence[ImageSet], rule: Callable[[ImageSet, Path], str]) -> list[list[str]]:
    return [[rule(view, file) for file in view.files] for view in views]


def _rest(view: ImageSet, file: Path) -> str:
    """A file's name without the camera's."""
    return re.sub(re.escape(view.name), "", file.stem, count=1, flags=re.IGNORECASE).strip(" _-")


def _number(view: ImageSet, file: Path) -> str:
    match = LAST_NUMBER.search(_rest(view, file))
    return str(int(match[0])) if match else file.stem


def _are_common(keys: Sequence[Sequence[str]]) -> bool:
    """Whether keys identify moments: unique within each camera, and mostly shared with another camera."""
    if any(len(set(one)) < len(one) for one in keys):
        return False
    others = [{key for other in keys if other is not one for key in other} for one in keys]
    common = sum(len(set(one) & other) for one, other in zip(keys, others, strict=True))
    return 2 * common >= sum(map(len, keys)) or len(keys) == 1


def _by_time(folder: Path, views: tuple[ImageSet, ...], every_s: float | None, most: int | None) -> Moments:
    """Match frames of videos by timestamps.csv if it exists, else by the videos' own timestamps from their start."""
    notes: list[str] = []
    if (folder / "timestamps.csv").exists():
        shown, time_s = _by_timestamps(folder / "timestamps.csv", views)
    else:
        shown, time_s = _by_clock(views, notes)
    typical = np.nanmean(time_s, 1)
    chosen = _choose_moments(typical, every_s, most)
    return Moments(views, shown[chosen], time_s[chosen], _time_names(typical[chosen]), notes=tuple(notes))


def _time_names(time_s: NDArray[np.float64]) -> tuple[str, ...]:
    """Names of moments from their times (T,) s, with as many decimals as make them distinct."""
    digits = next((n for n in (2, 3) if len(np.unique(np.round(time_s, n))) == len(time_s)), 6)
    return tuple(f"{moment:.{digits}f} s" for moment in time_s)


def _choose_moments(time_s: NDArray[np.float64], every_s: float | None, most: int | None) -> NDArray[np.int64]:
    """Indices of the moments to use, from the times (T,) s of all."""
    if every_s is None:
        return spread_evenly(len(time_s), most or MOST_MOMENTS)
    wanted = np.arange(time_s[0], time_s[-1] + 1e-6, every_s)
    near = np.unique(np.abs(time_s[:, None] - wanted).argmin(0)) if len(wanted) else np.zeros(1, np.int64)
    return near[spread_evenly(len(near), most)]


def _by_clock(views: Sequence[ImageSet], notes: list[str]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Picture (T, C) and time (T, C) s at each frame of the slowest view; all videos are assumed to start together.

    A moment counts where two views have a picture; beyond the end of the slowest view, the next one gives the moments.
    """
    view_times = [view.footage.time_s - view.footage.time_s[0] for view in views if view.footage is not None]
    rates = [view.footage.rate_hz for view in views if view.footage is not None]
    ends = [times[-1] for times in view_times]
    if max(ends) - min(ends) > 1.5 / min(rates):
        listed = ", ".join(f"{view.name} {end:.2f} s" for view, end in zip(views, ends, strict=True))
        notes.append(
            f"the videos differ in length ({listed}): they are assumed to start together, and the moments that two of "
            "them show are used"
        )
    reference, start = np.zeros(0), -np.inf
    for view in np.argsort(rates, kind="stable"):
        reference = np.append(reference, view_times[view][view_times[view] > start])
        start = reference[-1] + 0.6 / rates[view]  # as far as a picture may be from its moment
    shown = np.empty((len(reference), len(view_times)), np.int64)
    time_s = np.empty(shown.shape)
    for column, (times, rate) in enumerate(zip(view_times, rates, strict=True)):
        after = np.clip(np.searchsorted(times, reference), 1, max(len(times) - 1, 1))
        near = np.where(reference - times[after - 1] <= times[np.minimum(after, len(times) - 1)] - reference,
                        after - 1, np.minimum(after, len(times) - 1))  # fmt: skip
        dropped = np.abs(times[near] - reference) > 0.6 / rate
        shown[:, column] = np.where(dropped, -1, near)
        time_s[:, column] = np.where(dropped, np.nan, times[near])
    kept = (shown >= 0).sum(1) >= min(2, len(views))
    return shown[kept], time_s[kept]


def _by_timestamps(path: Path, views: Sequence[ImageSet]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Picture (T, C) and time (T, C) s from a table of sync_index, cam_id, frame_time, one row for each frame."""
    rows = _rows_of(path)
    moments = sorted({sync for of_view in rows.values() for sync, _ in of_view})
    place = {sync: index for index, sync in enumerate(moments)}
    shown = np.full((len(moments), len(views)), -1, np.int64)
    time_s = np.full(shown.shape, np.nan)
    for column, view in enumerate(views):
        digits = LAST_NUMBER.search(view.name)
        own = rows.get(view.name) or rows.get(str(int(digits[0])) if digits else "")
        if own is None or len(own) != len(view):
            raise InputError(
                f"{path}: has {len(own or ())} times for view {view.name!r}, its video {len(view)} frames; correct the "
                "file, or remove it to use the videos' own timestamps"
            )
        at = [place[sync] for sync, _ in own]
        shown[at, column] = np.arange(len(own))
        time_s[at, column] = [moment_s for _, moment_s in own]
    return shown, time_s - np.nanmin(time_s)


def _rows_of(path: Path) -> Mapping[str, list[tuple[int, float]]]:
    """(sync_index, frame_time) of the frames of each camera, in order of time."""
    rows: dict[str, list[tuple[int, float]]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            for row in csv.DictReader(stream):
                one = (int(row["sync_index"]), float(row["frame_time"]))
                rows.setdefault(str(row["cam_id"]).strip(), []).append(one)
    except (OSError, ValueError, KeyError, TypeError) as fault:
        why = " ".join(str(fault).split())
        raise InputError(f"{path}: is not a table of sync_index, cam_id, frame_time ({why}); correct it") from fault
    return {name: sorted(of_view, key=lambda one: one[1]) for name, of_view in rows.items()}


def _of_session(session: Session, every_s: float | None, most: int | None) -> Moments:
    if not session.has_footage():
        views = tuple(ImageSet(view.name, size_told=view.size) for view in session.views)
        return Moments(views, np.empty((0, len(views)), np.int64), np.empty((0, len(views))), ())
    views = tuple(ImageSet(view.name, footage=session.footage(index)) for index, view in enumerate(session.views))
    chosen = _choose_moments(np.arange(session.frames) / session.rate_hz, every_s, most)
    time_s = np.array(session.time_s, np.float64)
    for column in range(len(views)):
        start = int(np.isfinite(time_s[:, column]).argmax())
        time_s[:, column] += start / session.rate_hz - time_s[start, column]
    moments = _time_names(chosen / session.rate_hz)
    shown = np.asarray(session.frame_of, np.int64)[chosen]
    return Moments(views, shown, time_s[chosen], moments, notes=tuple(session.notes))


def rig_for_images(rig: Rig, material: Moments) -> Rig:
    """The rig with the cameras of the views, in their order, under their names, fitted to their picture sizes."""
    chosen = match_views(rig, material.names, allow_extra=True)
    named = (
        Camera(replace(camera.lens, name=name), camera.cam_from_world)
        for name, camera in zip(material.names, chosen, strict=True)
    )
    return fit_to_images(replace(chosen, cameras=tuple(named)), {view.name: view.size for view in material.views})[0]
