"""The images of one view on disk: a video file or a folder of images, read by frame number and by time."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calib.bounded_pictures import decoded_picture
from mvcap.errors import InputError
from mvcap.structures.frame_clock import ticks
from mvcap.structures.image_folders import ImageNumbers, images_in, in_order
from mvcap.structures.picture_depth import depth_name, to_8_bit
from mvcap.structures.video_container import missing_bytes

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

CLOCK_TAG = "MVCAP_CLOCK"
"""Metadata of a video whose timestamps are of a clock that all videos of one recording share: the clock's name."""
_DEFAULT_IMAGE_RATE_HZ = 30.0
_MIB = 1 << 20
# Codecs whose packets and images do not correspond one to one: hidden reference images, empty packets.
_COUNT_BY_DECODING = {"vp8", "mpeg4", "msmpeg4v3"}


@dataclass(frozen=True, eq=False)
class Footage:
    """The images of one view: facts known without decoding, and a way to stream them.

    size (w, h) px after applying the rotation flag; time_s (F,) f64 s from the container's own zero; pts (F,) i64 in
    the container's time base, strictly increasing: of two images at one time the first counts; keys (K, 2) i64 dts and
    pts of the images at which decoding can start; notes: lines for the user, such as an assumed rate. files (F) and
    numbers are those of images, in order; numbers is None if their names hold none. clock: name of the clock of time_s
    if other views share it, as those of one recording do; else empty.
    """

    path: Path
    kind: str
    size: tuple[int, int]
    rate_hz: float
    time_s: NDArray[np.float64] = field(repr=False)
    pts: NDArray[np.int64] = field(repr=False)
    rotation_deg: int
    codec: str
    keys: NDArray[np.int64] = field(repr=False)
    notes: tuple[str, ...] = ()
    files: tuple[Path, ...] = field(repr=False, default=())
    numbers: ImageNumbers | None = field(repr=False, default=None)
    clock: str = ""

    @property
    def frames(self) -> int:
        """Number of frames F."""
        return len(self.pts)

    @classmethod
    def probe(cls, path: str | Path, rate_hz: float | None = None, files: Sequence[Path] | None = None) -> Footage:
        """Read the facts of a video or an image folder, decoding only its first image and its last ones.

        rate_hz: rate of an image folder in Hz (default 30 and a note); a video has its own timestamps. files: the
        images of this view in a folder that holds those of several; default all.
        Raises InputError: no such file, not a video, no frames, cut short, an unreadable image, two images of one
        number.
        """
        path = Path(path)
        try:
            if not path.exists():
                raise InputError(f"{path}: no such file or folder; check the path")
            if not path.is_dir():
                return _probe_video(path)
            return _probe_images(path, images_in(path) if files is None else files, rate_hz)
        except PermissionError as fault:
            where = fault.filename or path
            raise InputError(f"{where}: cannot be read ({fault.strerror}); make it readable") from fault

    def read(
        self, start: int = 0, stop: int | None = None, wanted: Container[int] | None = None
    ) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Stream frames start to stop (exclusive) as (frame, RGB uint8 (H, W, 3)), the rotation flag applied.

        wanted: the frames to give, default all; files of other images are not read, and those of a video are decoded
        but not converted to RGB. The pixels of a frame do not depend on where reading begins. Memory stays constant. A
        damaged frame that cannot be decoded is left out together with its number. Raises InputError if an image file
        cannot be read.
        """
        start, stop, _ = slice(start, stop).indices(self.frames)
        if start >= stop:
            return iter(())
        wanted = range(start, stop) if wanted is None else wanted
        return (self._read_images if self.kind == "images" else self._read_video)(start, stop, wanted)

    def identity(self) -> str:
        """Return a fingerprint that is fast for large files: sha256 of the sizes and of the first and last MiB."""
        digest = hashlib.sha256()
        files = list(self.files) or [self.path]
        for file in files:
            name = file.name if self.kind == "images" else ""
            digest.update(f"{name}:{file.stat().st_size};".encode())
        for file in {files[0]: None, files[-1]: None}:
            with file.open("rb") as stream:
                digest.update(stream.read(_MIB))
                stream.seek(max(0, file.stat().st_size - _MIB))
                digest.update(stream.read(_MIB))
        return digest.hexdigest()

    def _read_images(self, start: int, stop: int, wanted: Container[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        for frame, file in enumerate(self.files[start:stop], start):
            if frame not in wanted:
                continue
            image = _load_image(file)
            if image.shape[1::-1] != self.size:
                raise InputError(
                    f"{file}: is {image.shape[1]}x{image.shape[0]} px, the first image of the folder is "
                    f"{self.size[0]}x{self.size[1]} px; one view has one size, remove the images of other sizes"
                )
            yield frame, image

    def _read_video(self, start: int, stop: int, wanted: Container[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        with _open(self.path) as (container, stream):
            frame = start
            for picture in _decode_from(container, stream, self._key_before(start)):
                if picture.pts is None or picture.pts < self.pts[frame]:
                    continue
                while picture.pts > self.pts[frame]:  # frames that could not be decoded
                    frame += 1
                    if frame >= stop:
                        return
                if picture.pts == self.pts[frame]:
                    if frame in wanted:
                        yield frame, _upright(picture, self.rotation_deg)
                    frame += 1
                if frame >= stop:
                    return

    def _key_before(self, frame: int) -> int | None:
        """Return the dts of the last key at or before a frame in presentation order; None means from the start."""
        before = np.flatnonzero(self.keys[:, 1] <= self.pts[frame])
        return int(self.keys[before[-1], 0]) if len(before) and before[-1] > 0 else None


# Video files


@contextmanager
def _open(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    import av

    try:
        container = av.open(str(path), "r", metadata_errors="replace")
    except av.FFmpegError as error:
        raise InputError(_why_unopened(path)) from error
    with container:
        if not container.streams.video:
            raise InputError(f"{path}: holds no video stream; give a file with video")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise InputError(f"{path}: its codec is unknown, or its header is damaged; copy or convert it again")
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = 2  # several views are read at once
        yield container, stream


def _why_unopened(path: Path) -> str:
    with path.open("rb") as stream:
        head = stream.read(12)
    if not head:
        return f"{path}: is empty (0 bytes); copy or record it again"
    if head[4:8] == b"ftyp":
        return f"{path}: is cut short, its index (moov) is missing; copy it again, or repair it with the original"
    return f"{path}: is not a video that can be read; give an mp4, mov, mkv or avi file, or a folder of jpg or png"


def _probe_video(path: Path) -> Footage:
    if missing := missing_bytes(path):
        raise InputError(f"{path}: is cut short, at least {missing} bytes are missing at its end; copy it again")
    with _open(path) as (container, stream):
        codec, time_base, average = stream.codec_context.name, stream.time_base, stream.average_rate
        clock = str(container.metadata.get(CLOCK_TAG, ""))
        first = next(_decode_from(container, stream, None), None)
        if first is None:
            raise InputError(f"{path}: holds no image that can be decoded (0 frames); record it again")
    rotation = int(first.rotation) % 360
    pts, keys = _timestamps(path, codec)
    pts = pts[
        pts >= (first.pts or 0)
    ]  # images before the first one cannot be decoded: their reference images are missing
    if first.pts is None or not len(pts) or time_base is None:
        raise InputError(f"{path}: has no timestamps; put it into a container: ffmpeg -i FILE -c copy out.mp4")
    time_s = pts.astype(np.float64) * float(time_base)
    dt_s = ticks(time_s)[1]
    size = (first.width, first.height) if rotation in (0, 180) else (first.height, first.width)
    rate_hz = 1 / dt_s if dt_s else float(average or 1)
    return Footage(path, "video", size, rate_hz, time_s, pts, rotation, codec, keys, clock=clock)


def _timestamps(path: Path, codec: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the presentation times of all images, and the keys.

    They are read from the packets if decoding the end of the file confirms them, otherwise by decoding the whole file.
    """
    if codec not in _COUNT_BY_DECODING:
        with _open(path) as (container, stream):
            packets = [
                (p.pts, p.pts if p.dts is None else p.dts, p.is_keyframe, p.is_discard)
                for p in _packets(container, stream)
                if p.size
            ]
            pts = np.unique([p[0] for p in packets if p[0] is not None and not p[3]]).astype(np.int64)
            keys = np.array([p[1::-1] for p in packets if p[2] and p[0] is not None], np.int64).reshape(-1, 2)
            complete = all(p[0] is not None for p in packets)
        if complete and len(keys) and np.array_equal(_decoded_pts(path, keys[-1]), pts[pts >= keys[-1, 1]]):
            return pts, keys
    return _decoded_pts(path, None), np.empty((0, 2), np.int64)


def _decoded_pts(path: Path, key: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Return the presentation times of the images decoded from a key (dts, pts) on, or from the start."""
    with _open(path) as (container, stream):
        pictures = _decode_from(container, stream, None if key is None else int(key[0]))
        pts = np.unique([p.pts for p in pictures if p.pts is not None]).astype(np.int64)
    return pts if key is None else pts[pts >= key[1]]


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[Any]]:
    """Yield the packets; InputError where a damaged container cannot be read on."""
    import av

    try:
        yield from container.demux(stream)
    except av.FFmpegError as error:
        raise InputError(
            f"{container.name}: cannot be read to its end ({error.strerror}); copy it again, or see `mvcap check`"
        ) from error


def _decode_from(container: InputContainer, stream: VideoStream, key_dts: int | None) -> Iterator[VideoFrame]:
    """Yield the images from the key at or before key_dts on; damaged packets are skipped."""
    import av

    if key_dts is not None:
        container.seek(key_dts, stream=stream, backward=True)
    for packet in _packets(container, stream):
        try:
            yield from packet.decode()
        except av.FFmpegError:  # of one packet: invalid, or of a kind that FFmpeg does not know
            continue


def _upright(picture: VideoFrame, rotation_deg: int) -> NDArray[np.uint8]:
    image: Any = picture.to_ndarray(format="rgb24")
    return image if rotation_deg == 0 else np.ascontiguousarray(np.rot90(image, rotation_deg // 90))


# Folders of images


def _probe_images(folder: Path, images: Sequence[Path], rate_hz: float | None) -> Footage:
    if not images:
        raise InputError(f"{folder}: holds no jpg, png or tif; give a video file or a folder of images")
    if rate_hz is not None and not 0 < rate_hz < np.inf:
        raise InputError(f"{folder}: a rate of {rate_hz} frames per second is not possible; give a number above 0")
    files, numbers = in_order(images, rate_hz)
    notes: tuple[str, ...] = ()
    if numbers is not None and numbers.kind == "times" and len(files) > 1:
        time_s = (numbers.value - numbers.value[0]) / 1e9
        rate_hz = 1 / ticks(time_s)[1]
    else:
        if rate_hz is None:
            notes = (f"rate not given, {_DEFAULT_IMAGE_RATE_HZ:g} frames per second assumed; give it with --rate",)
        rate_hz = rate_hz or _DEFAULT_IMAGE_RATE_HZ
        place = np.arange(len(files)) if numbers is None else (numbers.value - numbers.value[0]) // numbers.step
        time_s = place / rate_hz
    first = _decode_image(files[0])
    height, width = first.shape[:2]
    if depth := depth_name(first):
        notes = (*notes, f"the images are {depth}: each is stretched to 8 bits")
    keys, codec = np.empty((0, 2), np.int64), files[0].suffix.lower()[1:]
    order = np.arange(len(files))
    return Footage(
        folder, "images", (width, height), rate_hz, time_s, order, 0, codec, keys, notes, tuple(files), numbers
    )


def _load_image(file: Path) -> NDArray[np.uint8]:
    return np.ascontiguousarray(to_8_bit(_decode_image(file))[..., ::-1])


def _decode_image(file: Path) -> NDArray[Any]:
    """Return the image (H, W, 3), BGR, in its own depth."""
    try:
        return decoded_picture(file)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); check the file") from error
    except ValueError as error:
        raise InputError(f"{file}: is {error}; replace or remove it") from error


VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mts", ".mpg", ".mpeg", ".ts", ".wmv")
