"""What there is to calibrate from: the pictures of every camera in a folder or a session, and which show one moment."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calib import Camera, Rig, fit_to_images, match_views
from mvcap.errors import InputError
from mvcap.init import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from mvcap.structures.footage import Footage
from mvcap.structures.session import Image, Session

MOST_MOMENTS = 300  # more of a waved board adds time and next to no knowledge
_LENS_FOLDERS = ("intrinsics", "intrinsic", "lenses", "lens")
_RIG_FOLDERS = ("extrinsics", "extrinsic", "rig")
_TAKE_FOLDERS = ("videos", "images")
_CAMERA = re.compile(r"(?<![a-z])(?:camera|cam|view|gopro|kinect|c|v)[ _-]?\d+", re.IGNORECASE)
_LAST_NUMBER = re.compile(r"\d+(?=\D*$)")


@dataclass(frozen=True, eq=False)
class Pictures:
    """The pictures of one camera: a video, or image files in order; size_told: of a camera that has neither."""

    name: str
    files: tuple[Path, ...] = ()
    footage: Footage | None = None
    size_told: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.files) if self.footage is None else self.footage.frames

    @property
    def place(self) -> Path:
        """The video, or the folder of the images."""
        return (self.footage.path if self.footage is not None else self.files[0].parent).resolve()

    @property
    def size(self) -> tuple[int, int]:
        """Size (w, h) px of the first picture that can be read; InputError where none can."""
        if self.footage is not None:
            return self.footage.size
        if self.size_told is not None:
            return self.size_told
        for file in self.files:
            image = _image(file)
            if not isinstance(image, str):
                return image.shape[1], image.shape[0]
        raise InputError(f"{self.name}: none of its {len(self)} pictures can be read: {image}")

    def keys(self, wanted: Sequence[int]) -> list[str]:
        """What each of the pictures wanted is known by on disk: another file of that name gets another key."""
        if self.footage is not None and self.footage.kind == "video":
            file = _stamp(self.footage.path)
            return [f"{file}:{number}" for number in wanted]
        if self.footage is not None:
            return [f"{self.footage.path}:{number}:{self.footage.frames}" for number in wanted]
        return [_stamp(self.files[number]) for number in wanted]

    def label(self, number: int) -> str:
        """A picture's name for the user: its file, or its time in the video."""
        if self.footage is None:
            return self.files[number].name
        return f"{self.footage.time_s[number] - self.footage.time_s[0]:.2f} s"

    def read(self, wanted: Sequence[int]) -> Iterator[tuple[int, Image | str]]:
        """Stream (number, RGB picture) of the pictures wanted, in order; a text instead of one says what is wrong."""
        if self.footage is None:
            for number in wanted:
                yield number, _image(self.files[number])
        elif self.footage.kind == "video":
            yield from _of_video(self.footage, wanted)
        else:
            for number in wanted:
                try:
                    yield from self.footage.read(number, number + 1)
                except InputError as fault:
                    yield number, str(fault)


@dataclass(frozen=True, eq=False)
class Material:
    """What C cameras took at T moments, and photos of single cameras for their lenses.

    shown (T, C): the number of each camera's picture, -1 where it has none; time_s (T, C) s since the start on one
    clock, NaN where there is none; moments: T names; notes: lines for the user.
    """

    views: tuple[Pictures, ...]
    shown: NDArray[np.int64]
    time_s: NDArray[np.float64]
    moments: tuple[str, ...]
    lens: tuple[Pictures, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the views."""
        return tuple(view.name for view in self.views)


def find(source: Path | Session, every_s: float | None = None, most: int | None = None) -> Material:
    """Find the pictures in a session or a folder, and choose moments: one in every_s seconds, or most of them.

    A folder holds videos side by side, a folder of images for each camera, or images named by camera and moment; what
    is in its folder `intrinsics` (or `lenses`) is for the lenses alone. Raises InputError: nothing there, views that
    cannot be matched.
    """
    if (every_s is not None and not every_s > 0) or (most is not None and most < 1):
        raise InputError("--every takes seconds above 0 and --frames a number of 1 or more")
    if not isinstance(source, Session) and (source / "session.yaml").exists():
        source = Session.open(source)
    if isinstance(source, Session):
        return _of_session(source, every_s, most)
    if not source.is_dir():
        raise InputError(f"{source}: {'is a file' if source.exists() else 'no such folder'}; give a folder or session")
    lens = _room(source, _LENS_FOLDERS)
    place = _room(source, _RIG_FOLDERS) or source
    views = _cameras(place)
    if not views and place is source and (inner := _room(source, _TAKE_FOLDERS)) is not None:
        place, views = inner, _cameras(inner)
    if not views:
        what = "photos for the lenses only" if lens else "no videos and no images (jpg, png)"
        raise InputError(f"{source}: holds {what}; film the board with all cameras at once and put the files there")
    found = _matched(place, tuple(views), every_s, most)
    return replace(found, lens=tuple(_cameras(lens)) if lens else ())


def find_lens_photos(folder: Path) -> tuple[Pictures, ...]:
    """Find the pictures of every camera in a folder, whatever moments they are of; InputError where there are none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the one with the photos for the lenses")
    place = _room(folder, _LENS_FOLDERS) or folder
    if views := _cameras(place):
        return tuple(views)
    raise InputError(f"{folder}: holds no videos and no images (jpg, png); give the folder with photos of the board")


def evenly(count: int, most: int | None) -> NDArray[np.int64]:
    """Indices of at most so many of a number of things, spread evenly."""
    if most is None or count <= most:
        return np.arange(count)
    return np.unique(np.rint(np.linspace(0, count - 1, most)).astype(np.int64))


def _stamp(file: Path) -> str:
    about = file.stat()
    return f"{file.name}:{about.st_size}:{about.st_mtime_ns}"


def _image(file: Path) -> Image | str:
    import cv2

    try:
        data = np.fromfile(file, np.uint8)  # not imread, which fails on some names outside ASCII
    except OSError as fault:
        return f"{file.name} cannot be read ({fault.strerror})"
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    return f"{file.name} is not an image that can be read" if image is None else np.ascontiguousarray(image[..., ::-1])


def _of_video(footage: Footage, wanted: Sequence[int]) -> Iterator[tuple[int, Image | str]]:
    """Read on from frame to frame where the next is near, and begin anew at its key where that is nearer."""
    keys = np.searchsorted(footage.pts, footage.keys[:, 1]) if len(footage.keys) else np.zeros(1, np.int64)
    last = int(wanted[-1]) + 1 if len(wanted) else 0
    stream, at = footage.read(0, 0), -1
    for number in map(int, wanted):
        key = int(keys[keys <= number].max(initial=0))
        # A frame that is passed over on the way is decoded and made a picture, one before the start only decoded.
        if at < 0 or number - key < 2 * (number - at):
            stream = footage.read(number, last)
        picture: Image | None = None
        for at, image in stream:
            if at >= number:
                picture = image if at == number else None
                break
        yield number, "is damaged in the video" if picture is None else picture
        if picture is None:
            at = -1


# What is in a folder


def _room(folder: Path, names: Sequence[str]) -> Path | None:
    rooms = {path.name.lower(): path for path in folder.iterdir() if path.is_dir()}
    return next((rooms[name] for name in names if name in rooms), None)


def _cameras(folder: Path) -> list[Pictures]:
    """The cameras whose pictures are in a folder: its videos, else its folders, else its images by their names."""
    inside = sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=lambda p: _natural(p.name))
    videos = [path for path in inside if path.suffix.lower() in VIDEO_SUFFIXES]
    if videos:
        return [Pictures(path.stem, footage=Footage.probe(path)) for path in videos]
    rooms = [view for path in inside if path.is_dir() and (view := _room_of_one(path))]
    if rooms:
        return rooms
    images = [path for path in inside if path.suffix.lower() in IMAGE_SUFFIXES]
    views: dict[str, list[Path]] = {}
    for path, (name, _) in zip(images, _named(images), strict=True):
        views.setdefault(name or folder.name, []).append(path)
    return [Pictures(name, tuple(files)) for name, files in views.items()]


def _room_of_one(folder: Path) -> Pictures | None:
    """A folder with the images, or the one video, of a camera that it is named after."""
    if folder.name.lower() in (*_LENS_FOLDERS, *_RIG_FOLDERS):
        return None
    name = re.sub(r"^(int|ext|intrinsics?|extrinsics?)[_-]|[_-](img|images?|int|ext)$", "", folder.name) or folder.name
    inside = sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=lambda p: _natural(p.name))
    files = tuple(path for path in inside if path.suffix.lower() in IMAGE_SUFFIXES)
    videos = [path for path in inside if path.suffix.lower() in VIDEO_SUFFIXES]
    if len(videos) == 1 and not files:
        return Pictures(name, footage=Footage.probe(videos[0]))
    return Pictures(name, files) if files else None


def _natural(text: str) -> list[tuple[bool, int, str]]:
    """A key by which 10 comes after 9."""
    parts = re.split(r"([0-9]+)", text)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def _named(images: Sequence[Path]) -> list[tuple[str, str]]:
    """Camera and moment in the names of images: cam_0_frame_0050, cam01_06_int, left12; the camera may be nobody."""
    found = [_CAMERA.search(path.stem) for path in images]
    if all(found):
        parts = [(match[0], match.string[: match.start()] + match.string[match.end() :]) for match in found if match]
        return [(name, rest.strip(" _-")) for name, rest in parts]
    out = []
    for path in images:
        match = _LAST_NUMBER.search(path.stem)
        name = path.stem[: match.start()].strip(" _-") if match else path.stem
        out.append((name, match[0] if match else ""))
    return out


# Which pictures are of one moment


def _matched(folder: Path, views: tuple[Pictures, ...], every_s: float | None, most: int | None) -> Material:
    filmed = [view for view in views if view.footage is not None]
    if filmed and len(filmed) < len(views):
        raise InputError(f"{folder}: some cameras have videos and others images; give all of them one kind")
    if filmed:
        return _by_time(folder, views, every_s, most)
    if every_s is not None:
        raise InputError(f"{folder}: images have no times, so --every says nothing; use --frames N")
    return _by_name(folder, views, most)


def _by_name(folder: Path, views: tuple[Pictures, ...], most: int | None) -> Material:
    """Images of one name but for the camera are of one moment; the order tells, where folders' names say nothing."""
    notes: tuple[str, ...] = ()
    keys = next((keys for rule in (_rest, _number) if _shared(keys := _keys(views, rule))), None)
    if keys is None and len({view.place for view in views}) == 1:
        keys = _keys(views, _rest)
    if keys is None:
        counts = {len(view) for view in views}
        if len(counts) > 1:
            listed = ", ".join(f"{view.name} {len(view)}" for view in views)
            raise InputError(
                f"{folder}: the cameras' images share no names and differ in number ({listed}), so which belong to one "
                "moment cannot be told; name images of one moment alike"
            )
        keys = [[f"{number + 1}" for number in range(len(view))] for view in views]
        if len(views) > 1 and counts != {1}:
            notes = (f"{folder}: images of the cameras are matched by their order; their names have nothing in common",)
    moments = sorted({key for one in keys for key in one}, key=_natural)
    moments = [moments[index] for index in evenly(len(moments), most or MOST_MOMENTS)]
    places = [{key: number for number, key in enumerate(one)} for one in keys]
    shown = np.array([[place.get(moment, -1) for place in places] for moment in moments], np.int64)
    return Material(views, shown, np.full(shown.shape, np.nan), tuple(moments), notes=notes)


def _keys(views: Sequence[Pictures], rule: Callable[[Pictures, Path], str]) -> list[list[str]]:
    return [[rule(view, file) for file in view.files] for view in views]


def _rest(view: Pictures, file: Path) -> str:
    """What a file's name has besides the camera's."""
    return re.sub(re.escape(view.name), "", file.stem, count=1, flags=re.IGNORECASE).strip(" _-")


def _number(view: Pictures, file: Path) -> str:
    match = _LAST_NUMBER.search(_rest(view, file))
    return str(int(match[0])) if match else file.stem


def _shared(keys: Sequence[Sequence[str]]) -> bool:
    """Whether the keys tell the moments: each once a camera, and most of them the same as another camera's."""
    if any(len(set(one)) < len(one) for one in keys):
        return False
    others = [{key for other in keys if other is not one for key in other} for one in keys]
    common = sum(len(set(one) & other) for one, other in zip(keys, others, strict=True))
    return 2 * common >= sum(map(len, keys)) or len(keys) == 1


def _by_time(folder: Path, views: tuple[Pictures, ...], every_s: float | None, most: int | None) -> Material:
    """Frames of videos: together by timestamps.csv if it is there, else by the videos' own clocks from their start."""
    notes: list[str] = []
    if (folder / "timestamps.csv").exists():
        shown, time_s = _by_file(folder / "timestamps.csv", views)
    else:
        shown, time_s = _by_clock(views, notes)
    typical = np.nanmean(time_s, 1)
    chosen = _chosen(typical, every_s, most)
    return Material(views, shown[chosen], time_s[chosen], _clocked(typical[chosen]), notes=tuple(notes))


def _clocked(time_s: NDArray[np.float64]) -> tuple[str, ...]:
    """Names of moments by their times (T,) s, with as many decimals as it takes to tell them apart."""
    digits = next((n for n in (2, 3) if len(np.unique(np.round(time_s, n))) == len(time_s)), 6)
    return tuple(f"{moment:.{digits}f} s" for moment in time_s)


def _chosen(time_s: NDArray[np.float64], every_s: float | None, most: int | None) -> NDArray[np.int64]:
    """Indices of the moments to look at, of all moments (T,) s."""
    if every_s is None:
        return evenly(len(time_s), most or MOST_MOMENTS)
    wanted = np.arange(time_s[0], time_s[-1] + 1e-6, every_s)
    near = np.unique(np.abs(time_s[:, None] - wanted).argmin(0)) if len(wanted) else np.zeros(1, np.int64)
    return near[evenly(len(near), most)]


def _by_clock(views: Sequence[Pictures], notes: list[str]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Picture (T, C) and time (T, C) s at each frame of the slowest view; every view's clock starts with its video."""
    clocks = [view.footage.time_s - view.footage.time_s[0] for view in views if view.footage is not None]
    rates = [view.footage.rate_hz for view in views if view.footage is not None]
    ends = [clock[-1] for clock in clocks]
    if max(ends) - min(ends) > 1.5 / min(rates):
        listed = ", ".join(f"{view.name} {end:.2f} s" for view, end in zip(views, ends, strict=True))
        notes.append(f"the videos differ in length ({listed}): they are taken to start together")
    reference = clocks[int(np.argmin(rates))]
    reference = reference[reference <= min(ends) + 0.5 / min(rates)]
    shown = np.empty((len(reference), len(clocks)), np.int64)
    time_s = np.empty(shown.shape)
    for column, (clock, rate) in enumerate(zip(clocks, rates, strict=True)):
        after = np.clip(np.searchsorted(clock, reference), 1, max(len(clock) - 1, 1))
        near = np.where(reference - clock[after - 1] <= clock[np.minimum(after, len(clock) - 1)] - reference,
                        after - 1, np.minimum(after, len(clock) - 1))  # fmt: skip
        dropped = np.abs(clock[near] - reference) > 0.6 / rate
        shown[:, column] = np.where(dropped, -1, near)
        time_s[:, column] = np.where(dropped, np.nan, clock[near])
    return shown, time_s


def _by_file(path: Path, views: Sequence[Pictures]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Picture (T, C) and time (T, C) s of a table sync_index, cam_id, frame_time: a row for each frame of a video."""
    rows = _rows_of(path)
    moments = sorted({sync for of_view in rows.values() for sync, _ in of_view})
    place = {sync: index for index, sync in enumerate(moments)}
    shown = np.full((len(moments), len(views)), -1, np.int64)
    time_s = np.full(shown.shape, np.nan)
    for column, view in enumerate(views):
        digits = _LAST_NUMBER.search(view.name)
        own = rows.get(view.name) or rows.get(str(int(digits[0])) if digits else "")
        if own is None or len(own) != len(view):
            raise InputError(
                f"{path}: has {len(own or ())} times for view {view.name!r}, its video {len(view)} frames; correct the "
                "file, or remove it to go by the videos' own clocks"
            )
        at = [place[sync] for sync, _ in own]
        shown[at, column] = np.arange(len(own))
        time_s[at, column] = [moment_s for _, moment_s in own]
    return shown, time_s - np.nanmin(time_s)


def _rows_of(path: Path) -> Mapping[str, list[tuple[int, float]]]:
    """(sync_index, frame_time) of the frames of each camera, in the order of time."""
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


def _of_session(session: Session, every_s: float | None, most: int | None) -> Material:
    if not session.has_footage():
        views = tuple(Pictures(view.name, size_told=view.size) for view in session.views)
        return Material(views, np.empty((0, len(views)), np.int64), np.empty((0, len(views))), ())
    views = tuple(Pictures(view.name, footage=session.footage(index)) for index, view in enumerate(session.views))
    chosen = _chosen(np.arange(session.frames) / session.rate_hz, every_s, most)
    time_s = np.array(session.time_s, np.float64)
    for column in range(len(views)):
        start = int(np.isfinite(time_s[:, column]).argmax())
        time_s[:, column] += start / session.rate_hz - time_s[start, column]
    moments = _clocked(chosen / session.rate_hz)
    shown = np.asarray(session.frame_of, np.int64)[chosen]
    return Material(views, shown, time_s[chosen], moments, notes=tuple(session.notes))


def fitted(rig: Rig, material: Material) -> Rig:
    """The cameras of the views, in their order, under their names, for pictures of their size."""
    chosen = match_views(rig, material.names, allow_extra=True)
    named = (
        Camera(replace(camera.lens, name=name), camera.cam_from_world)
        for name, camera in zip(material.names, chosen, strict=True)
    )
    return fit_to_images(replace(chosen, cameras=tuple(named)), {view.name: view.size for view in material.views})[0]
