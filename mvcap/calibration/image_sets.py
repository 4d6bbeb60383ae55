"""The pictures of every camera in a folder: videos, folders of images, or images named by camera and moment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Image
from calib.bounded_pictures import decoded_picture
from mvcap.errors import InputError
from mvcap.structures.footage import VIDEO_SUFFIXES, Footage
from mvcap.structures.image_folders import IMAGE_SUFFIXES, natural_order, split_by_camera
from mvcap.structures.picture_depth import depth_name, to_8_bit

LENS_FOLDERS = ("intrinsics", "intrinsic", "lenses", "lens")
RIG_FOLDERS = ("extrinsics", "extrinsic", "rig")
TAKE_FOLDERS = ("videos", "images")


@dataclass(frozen=True, eq=False)
class ImageSet:
    """The pictures of one camera: a video, or image files in order; size_told: given for a camera that has neither."""

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
        """Cache keys of the given pictures: another file of the same name has another key."""
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
        """Stream (number, RGB picture) of the given pictures, in order; a text with the error instead of a picture."""
        if self.footage is None:
            for number in wanted:
                yield number, _image(self.files[number])
        elif self.footage.kind == "video":
            yield from _read_video(self.footage, wanted)
        else:
            for number in wanted:
                try:
                    yield from self.footage.read(number, number + 1)
                except InputError as fault:
                    yield number, str(fault)


def find_lens_photos(folder: Path) -> tuple[ImageSet, ...]:
    """Find the pictures of every camera in a folder, without common moments; InputError where there are none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the one with the photos for the lenses")
    place = subfolder(folder, LENS_FOLDERS) or folder
    if views := cameras_in(place):
        return tuple(views)
    raise InputError(f"{folder}: holds no videos and no images (jpg, png, tif); give the photos of the board")


def _stamp(file: Path) -> str:
    about = file.stat()
    return f"{file.name}:{about.st_size}:{about.st_mtime_ns}"


def _image(file: Path) -> Image | str:
    image = _decoded(file)
    return image if isinstance(image, str) else np.ascontiguousarray(to_8_bit(image)[..., ::-1])


def _decoded(file: Path) -> NDArray[Any] | str:
    """The picture (H, W, 3) of a file, BGR, in its own depth, or why there is none."""
    try:
        return decoded_picture(file)
    except OSError as fault:
        return f"{file.name} cannot be read ({fault.strerror})"
    except ValueError as fault:
        return f"{file.name} is {fault}"


def depth_of(files: Sequence[Path]) -> str | None:
    """The depth of the first image of some that is not 8 bit, as "16-bit" or "floating-point"; None where all are."""
    images = map(_decoded, files)
    return next((depth for image in images if not isinstance(image, str) and (depth := depth_name(image))), None)


def _read_video(footage: Footage, wanted: Sequence[int]) -> Iterator[tuple[int, Image | str]]:
    """Read on from frame to frame where the next one is near, and seek to its key frame where that is nearer."""
    keys = np.searchsorted(footage.pts, footage.keys[:, 1]) if len(footage.keys) else np.zeros(1, np.int64)
    last = int(wanted[-1]) + 1 if len(wanted) else 0
    stream, at = footage.read(0, 0), -1
    for number in map(int, wanted):
        key = int(keys[keys <= number].max(initial=0))
        # A frame that is skipped while reading is decoded and converted, one before the start is only decoded.
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


def subfolder(folder: Path, names: Sequence[str]) -> Path | None:
    """The first subfolder of a folder with one of these names, in any case; None where there is none."""
    folders = {path.name.lower(): path for path in folder.iterdir() if path.is_dir()}
    return next((folders[name] for name in names if name in folders), None)


def cameras_in(folder: Path) -> list[ImageSet]:
    """The cameras whose pictures are in a folder: its videos, else its folders, else its images by their names."""
    inside = sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=lambda p: natural_order(p.name))
    videos = [path for path in inside if path.suffix.lower() in VIDEO_SUFFIXES]
    if videos:
        return [ImageSet(path.stem, footage=Footage.probe(path)) for path in videos]
    single = [view for path in inside if path.is_dir() and (view := _single_camera(path))]
    if single:
        return single
    images = [path for path in inside if path.suffix.lower() in IMAGE_SUFFIXES]
    return [ImageSet(name or folder.name, tuple(files)) for name, files in split_by_camera(images).items()]


def _single_camera(folder: Path) -> ImageSet | None:
    """A camera from a folder with its images or its one video, named after the folder; None where there are none."""
    if folder.name.lower() in (*LENS_FOLDERS, *RIG_FOLDERS):
        return None
    name = re.sub(r"^(int|ext|intrinsics?|extrinsics?)[_-]|[_-](img|images?|int|ext)$", "", folder.name) or folder.name
    inside = sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=lambda p: natural_order(p.name))
    files = tuple(path for path in inside if path.suffix.lower() in IMAGE_SUFFIXES)
    videos = [path for path in inside if path.suffix.lower() in VIDEO_SUFFIXES]
    if len(videos) == 1 and not files:
        return ImageSet(name, footage=Footage.probe(videos[0]))
    return ImageSet(name, files) if files else None
