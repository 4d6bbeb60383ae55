"""The verb ``init``: make a session of videos or image folders and the calibration of their cameras."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from calib import CalibrationError, Rig, RigMismatchError, fit_to_images, load_rig, match_views
from mvcap.errors import InputError
from mvcap.structures.assumed_camera import ONE_VIEW_NOTE, assumed_rig, check_fov
from mvcap.structures.footage import VIDEO_SUFFIXES, Footage
from mvcap.structures.frame_pairing import pair_views
from mvcap.structures.image_folders import IMAGE_SUFFIXES, LAST_NUMBER, images_in, split_by_camera, word_in
from mvcap.structures.row_checks import check_rate
from mvcap.structures.session import Session, ViewSource

_TAKE_FOLDERS = ("videos", "images")


@dataclass(frozen=True)
class SourceFiles:
    """Where a view's images are: a video, a folder, or some files of a folder that holds those of several cameras."""

    name: str
    path: Path
    camera: str = ""
    files: tuple[Path, ...] | None = None


def init(
    sources: str | Path | Sequence[str | Path],
    rig: str | Path | Rig | None,
    folder: str | Path,
    *,
    fov_deg: float | None = None,
    rig_unit: str | None = None,
    rig_scale: bool = False,
    subset: bool = False,
    trim: bool = False,
    rate_hz: float | None = None,
    start: float | str | None = None,
    stop: float | str | None = None,
) -> Session:
    """Make a session of synchronised footage and the calibration of its cameras, or return the identical existing one.

    sources: a folder of videos, of image folders, or of images named by camera and number, or a list of videos and
    image folders, each ``path`` or ``name=path``; a view is named after its file, and its camera has the same name.
    rig: a calibration file or a Rig; None for one view, whose lens is then a pinhole of fov_deg, its angle of view
    along the longer side of the picture, 60 degrees if that is None, too. rig_unit: unit of a calibration file that
    does not state its own ("m", "mm", "cm"). rig_scale: the images were resized after calibration. subset: the rig may
    have cameras without a view. trim: cut all views to the length of the shortest. rate_hz: frame rate of images, or
    the true one of videos whose timestamps have another. start, stop: the part of the take that is wanted, stop
    excluded: seconds (2.5, "1:02.5"), or a frame ("300f"). Raises InputError, CalibrationError or SessionError with one
    line that says what is wrong and how to fix it.
    """
    views = sources_in(sources, rig, rig_unit)
    rate_hz = None if rate_hz is None else check_rate(rate_hz)
    footage = [Footage.probe(view.path, rate_hz, view.files) for view in views]
    _check_lens(views, rig, fov_deg)
    names = [view.name for view in views]
    timeline = pair_views(names, footage, rate_hz=rate_hz, trim=trim).part(start, stop)
    sizes = {name: shown.size for name, shown in zip(names, footage, strict=True)}
    if rig is None:
        loaded, note = assumed_rig(names[0], sizes[names[0]], fov_deg)
        size_notes = [note]
    else:
        loaded, size_notes = _load_with_sizes(rig, rig_unit, sizes)
    fitted = _matched(loaded, views, subset)
    fitted, fit_notes = fit_to_images(
        fitted, {camera.name: sizes[name] for camera, name in zip(fitted, names, strict=True)}, scale=rig_scale
    )
    kept = tuple(
        ViewSource(view.name, str(view.path.resolve()), shown.size, shown.identity(), view.camera)
        for view, shown in zip(views, footage, strict=True)
    )
    alone = (ONE_VIEW_NOTE,) if len(views) == 1 else ()
    notes = (*alone, *timeline.notes, *_same_footage(kept), *size_notes, *fit_notes)
    session = Session(Path(folder), kept, timeline.rate_hz, timeline.frames, notes)
    return session.keep(fitted, timeline)


def _check_lens(views: Sequence[SourceFiles], rig: str | Path | Rig | None, fov_deg: float | None) -> None:
    """InputError for several views without a calibration, and for an angle of view that is impossible or idle."""
    if fov_deg is not None:
        check_fov(fov_deg)
    if rig is None and len(views) > 1:
        raise InputError(f"{len(views)} views need a calibration: --rig FILE; only one view can do without")
    if fov_deg is not None and rig is not None:
        raise InputError("--fov is for one view without a calibration, and --rig has the lens; leave one of them out")


def _same_footage(views: Sequence[ViewSource]) -> list[str]:
    """Return a note for views whose files have the same content."""
    alike = {view.identity: [one.name for one in views if one.identity == view.identity] for view in views}
    return [f"views {', '.join(names)} have the same footage: one is a copy" for names in alike.values() if names[1:]]


# Which views there are


def sources_in(
    sources: str | Path | Sequence[str | Path], rig: str | Path | Rig | None = None, unit: str | None = None
) -> list[SourceFiles]:
    """Return the views of the sources; InputError if there is no footage or if two views have the same name.

    rig: its cameras' names tell whose the images in one folder are; without it the usual words in their names do.
    """
    given = [sources] if isinstance(sources, str | Path) else list(sources)
    if not given:
        raise InputError("no footage given; name a folder or a list of videos")
    for folder in (Path(source) for source in given):
        if not os.access(folder, os.R_OK | os.X_OK) and folder.is_dir():
            raise InputError(f"{folder}: the folder cannot be read (permission denied); make it readable")
    views: list[SourceFiles] = []
    for source in given:
        name, equals, rest = str(source).partition("=")
        if equals and not Path(str(source)).exists():
            if not name or not rest:
                raise InputError(f"{source!r}: a view is given as NAME=PATH")
            views.append(SourceFiles(name, Path(rest)))
        else:
            views += _expand(Path(source), len(given) == 1, rig, unit)
    names = [view.name for view in views]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"two views are named {twice[0]!r}; give them different names with NAME=PATH")
    places = [(view.path.resolve(), view.camera) for view in views]
    if again := next((view for index, view in enumerate(views) if places[index] in places[:index]), None):
        other = views[places.index((again.path.resolve(), again.camera))]
        raise InputError(f"{again.path}: is given for view {other.name} and for view {again.name}; each has its own")
    return views


def _expand(path: Path, alone: bool, rig: str | Path | Rig | None, unit: str | None) -> list[SourceFiles]:
    """Return the views of a path: itself if it is a video or image folder, else those in the folder.

    The images of a folder are those of several cameras if it is the only source (alone) and their names say so.
    """
    if not path.is_dir():
        if str(path) == "-":
            raise InputError("'-' stands for no videos: `mvcap reconstruct -` takes detections of files")
        return [SourceFiles(path.stem, path)]
    if (path / "session.yaml").exists():
        raise InputError(f"{path}: is a session already; `mvcap reconstruct {path}` takes it, alone and as it is")
    inside, images = _inside(path), images_in(path)
    videos = [p for p in inside if p.suffix.lower() in VIDEO_SUFFIXES]
    if images and (not alone or not videos):
        return _split(path, images, alone, rig, unit)
    folders = [found for p in inside if p.is_dir() and (found := _one_view(p, single=not videos))]
    views = sorted([*(SourceFiles(p.stem, p) for p in videos), *folders], key=lambda view: view.path.name)
    if views:
        return views
    within = next((p for p in inside if p.is_dir() and p.name.lower() in _TAKE_FOLDERS), None)
    if within is not None and alone:
        return _expand(within, alone, rig, unit)
    kinds = sorted({p.suffix.lower() for p in inside if p.is_file() and p.suffix})
    there = f"; there are {', '.join(kinds[:5])}" if kinds else ""
    raise InputError(
        f"{path}: contains no videos and no image folders (videos: {', '.join(VIDEO_SUFFIXES[:5])} ...; images: "
        f"{', '.join(IMAGE_SUFFIXES)}{there})"
    )


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=lambda p: p.name)
    except OSError as fault:
        raise InputError(f"{folder}: cannot be read ({fault.strerror}); check its permissions") from fault


def _one_view(folder: Path, single: bool) -> SourceFiles | None:
    """Return the view of a folder of images or, if `single`, of one video; None for a folder of something else."""
    inside = _inside(folder)
    if any(p.suffix.lower() in IMAGE_SUFFIXES for p in inside):
        return SourceFiles(folder.name, folder)
    videos = [p for p in inside if p.suffix.lower() in VIDEO_SUFFIXES]
    return SourceFiles(folder.name, videos[0]) if single and len(videos) == 1 else None


def _split(
    folder: Path, images: list[Path], alone: bool, rig: str | Path | Rig | None, unit: str | None
) -> list[SourceFiles]:
    """Return the views of a flat folder of images, by the names of the rig's cameras or else by the usual words."""
    views = {}
    if alone and rig is None:
        views = split_by_camera(images)
    elif alone and rig is not None:
        size = Footage.probe(folder, 30.0, images[:1]).size
        names = rig.names if isinstance(rig, Rig) else load_rig(Path(rig), unit=unit, size=size).names
        views = split_by_camera(images, names)
    if len(views) < 2 or "" in views:
        return [SourceFiles(folder.name, folder)]
    return [SourceFiles(name, folder, name, tuple(files)) for name, files in views.items()]


# Which camera a view belongs to


def _load_with_sizes(
    rig: str | Path | Rig, unit: str | None, sizes: dict[str, tuple[int, int]]
) -> tuple[Rig, list[str]]:
    """Load a calibration; where it does not state the size of its images, that of the footage counts, with a note."""
    if isinstance(rig, Rig):
        return rig, []
    try:
        return load_rig(Path(rig), unit=unit), []
    except CalibrationError:
        loaded = load_rig(Path(rig), unit=unit, size=sizes)
    listed = ", ".join(sorted({f"{camera.size[0]}x{camera.size[1]}" for camera in loaded}))
    return loaded, [f"{rig}: states no image size; that of the footage is used ({listed})"]


def _matched(rig: Rig, views: list[SourceFiles], subset: bool) -> Rig:
    """Return the cameras of the views; RigMismatchError says which file may be which camera, and how to say so."""
    names = [view.name for view in views]
    try:
        return match_views(rig, names, allow_extra=subset)
    except RigMismatchError as fault:
        guess = _likely(rig.names, names)
        if not guess or any(view.camera for view in views):
            raise
        at = {view.name: view for view in views}
        shown = " ".join(f"{camera}={at[name].path}" for name, camera in islice(guess.items(), 4))
        more = " ..." if len(guess) > 4 else ""
        raise RigMismatchError(f"{fault}; if a file has another name, give NAME=PATH, as in {shown}{more}") from fault


def _likely(cameras: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Return the camera that each view without one may be of: the one whose name it holds, or that holds its name.

    Else the one with the same last number, or the only one that is left over.
    """
    lost = [name for name in names if name.lower() not in {camera.lower() for camera in cameras}]
    free = [camera for camera in cameras if camera.lower() not in {name.lower() for name in names}]
    found = {name: word_in(name, free) or next((c for c in free if word_in(c, [name])), None) for name in lost}
    found = {name: found[name] or _same_number(name, free) for name in lost}
    if len(lost) == len(free) == 1:
        return {lost[0]: free[0]}
    known = [camera for camera in found.values() if camera]
    return {name: camera for name, camera in found.items() if camera and known.count(camera) == 1}


def _same_number(name: str, cameras: Sequence[str]) -> str | None:
    numbers = {camera: int(found[0]) for camera in cameras if (found := LAST_NUMBER.search(camera))}
    own = LAST_NUMBER.search(name)
    alike = [camera for camera, number in numbers.items() if own and number == int(own[0])]
    return alike[0] if len(alike) == 1 else None
