"""The verb ``init``: make a session of videos or image folders and the calibration of their cameras."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calib import Rig, fit_to_images, load_rig, match_views
from mvcap.errors import InputError
from mvcap.structures.footage import IMAGE_SUFFIXES, VIDEO_SUFFIXES, Footage, ticks
from mvcap.structures.session import Session, ViewSource

_RATE_TOLERANCE = 0.005  # relative: 29.97 and 30 Hz count as equal, 25 and 30 Hz do not


@dataclass(frozen=True)
class _Clip:
    """One view's footage, with the tick of its own regular clock for each image."""

    name: str
    footage: Footage
    tick: NDArray[np.int64]
    rate_hz: float

    @property
    def length(self) -> int:
        return int(self.tick.max()) + 1


def init(
    sources: str | Path | Sequence[str | Path],
    rig: str | Path | Rig,
    folder: str | Path,
    *,
    rig_unit: str | None = None,
    rig_scale: bool = False,
    subset: bool = False,
    trim: bool = False,
    rate_hz: float | None = None,
) -> Session:
    """Make a session of synchronised footage and the calibration of its cameras, or return the identical existing one.

    sources: a folder of videos or of image folders, or a list of videos and image folders, each ``path`` or
    ``name=path``; a view is named after its file, and its camera has the same name. rig: a calibration file or a Rig.
    rig_unit: unit of a calibration file that does not state its own ("m", "mm", "cm"). rig_scale: the images were
    resized after calibration. subset: the rig may have cameras without a view. trim: cut all views to the length of the
    shortest. rate_hz: frame rate of image folders. Raises InputError, CalibrationError or SessionError with one line
    that says what is wrong and how to fix it.
    """
    clips = [_clip(name, path, rate_hz) for name, path in _named(sources)]
    if len(clips) < 2:
        raise InputError(f"{clips[0].footage.path}: one view only; 3D needs two or more synchronised views")
    notes = [f"{clip.footage.path.name}: {note}" for clip in clips for note in clip.footage.notes]
    length = _common_length(clips, trim, notes)
    rate = _common_rate(clips)
    loaded = rig if isinstance(rig, Rig) else load_rig(Path(rig), unit=rig_unit)
    fitted = match_views(loaded, [clip.name for clip in clips], allow_extra=subset)
    fitted, fit_notes = fit_to_images(
        fitted, {camera.name: clip.footage.size for camera, clip in zip(fitted, clips, strict=True)}, scale=rig_scale
    )
    frame_of, time_s = _timeline(clips, length, notes)
    views = tuple(_source(clip) for clip in clips)
    session = Session(Path(folder), views, rate, length, (*notes, *fit_notes))
    return session.keep(fitted, frame_of, time_s)


def _named(sources: str | Path | Sequence[str | Path]) -> list[tuple[str, Path]]:
    """Return name and path of every view; InputError if there is no footage or if two views have the same name."""
    given = [sources] if isinstance(sources, str | Path) else list(sources)
    if not given:
        raise InputError("no footage given; name a folder or a list of videos")
    pairs: list[tuple[str, Path]] = []
    for source in given:
        name, equals, rest = str(source).partition("=")
        if equals and not Path(str(source)).exists():
            pairs.append((name, Path(rest)))
        else:
            pairs += [(_view_name(path), path) for path in _expand(Path(source))]
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"two views are named {twice[0]!r}; give them different names with NAME=PATH")
    return pairs


def _view_name(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


def _expand(path: Path) -> Iterable[Path]:
    """Return the paths of the views: the path itself if it is a video or image folder, else those in the folder."""
    if not path.is_dir() or _holds(path, IMAGE_SUFFIXES):
        return [path]
    inside = sorted(p for p in path.iterdir() if not p.name.startswith("."))
    views = [p for p in inside if p.suffix.lower() in VIDEO_SUFFIXES or (p.is_dir() and _holds(p, IMAGE_SUFFIXES))]
    if not views:
        raise InputError(
            f"{path}: contains no videos and no image folders (videos: {', '.join(VIDEO_SUFFIXES[:5])} ...)"
        )
    return views


def _holds(folder: Path, suffixes: tuple[str, ...]) -> bool:
    return any(p.suffix.lower() in suffixes for p in folder.iterdir())


def _clip(name: str, path: Path, rate_hz: float | None) -> _Clip:
    footage = Footage.probe(path, rate_hz)
    tick, interval_s = ticks(footage.time_s)
    return _Clip(name, footage, tick, 1 / interval_s if interval_s > 0 else footage.rate_hz)


def _common_rate(clips: list[_Clip]) -> float:
    rates = np.array([clip.rate_hz for clip in clips])
    typical = float(np.median(rates))
    odd = [clip for clip in clips if abs(clip.rate_hz / typical - 1) > _RATE_TOLERANCE]
    if odd:
        listed = ", ".join(f"{clip.name} {clip.rate_hz:.3f} Hz" for clip in clips)
        raise InputError(
            f"{odd[0].footage.path}: the views' frame rates differ ({listed}); convert them to one rate "
            "(for example with ffmpeg -r) before making a session"
        )
    return typical


def _common_length(clips: list[_Clip], trim: bool, notes: list[str]) -> int:
    lengths = [clip.length for clip in clips]
    if len(set(lengths)) == 1:
        return lengths[0]
    listed = ", ".join(f"{clip.name} {clip.length}" for clip in clips)
    if not trim:
        odd = clips[int(np.argmax(np.abs(np.array(lengths) - np.median(lengths))))]
        raise InputError(
            f"{odd.footage.path}: the views have different numbers of frames ({listed}) and may not be synchronised: "
            "cut them to a common start, or pass --trim if they start together and only their ends differ"
        )
    notes.append(f"the views have different numbers of frames ({listed}): all cut to {min(lengths)}")
    return min(lengths)


def _timeline(clips: list[_Clip], length: int, notes: list[str]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return each view's image number at each frame (T, C), -1 = dropped, and its timestamp in s (T, C), NaN = dropped.

    Adds a note for every view with dropped or doubled images.
    """
    frame_of = np.full((length, len(clips)), -1, dtype=np.int64)
    time_s = np.full((length, len(clips)), np.nan)
    for view, clip in enumerate(clips):
        kept = np.flatnonzero((clip.tick >= 0) & (clip.tick < length))
        frame_of[clip.tick[kept], view] = kept
        time_s[clip.tick[kept], view] = clip.footage.time_s[kept]
        dropped = int((frame_of[:, view] < 0).sum())
        double = int((clip.tick < 0).sum())
        if dropped or double:
            notes.append(
                f"{clip.footage.path.name}: {dropped} frames dropped and {double} doubled, according to its timestamps"
            )
    return frame_of, time_s


def _source(clip: _Clip) -> ViewSource:
    footage = clip.footage
    return ViewSource(clip.name, str(footage.path.resolve()), footage.size, footage.identity())
