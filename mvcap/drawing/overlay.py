"""Overlays on the footage: 2D detections thin and hollow, projected 3D poses solid in each person's colour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from calib import Camera, Rig
from calib.arrays import Image
from mvcap.drawing.colours import Rgb, colour, ink
from mvcap.errors import InputError
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton
from mvcap.structures.video_writer import write_video

Point = tuple[int, int]
Rows = TypeVar("Rows", Detections2D, Poses3D)
_SHIFT = 4  # coordinates in sixteenths of a pixel
_HEIGHT_PX = 960


class RowsByFrame(Generic[Rows]):
    """Reads rows frame by frame from a stream of chunks; frames must be requested in ascending order."""

    def __init__(self, chunks: Iterator[Rows], empty: Rows) -> None:
        self._chunks: Iterator[Rows] = chunks
        self._held: Rows = empty

    def at(self, frame: int) -> Rows:
        """Return the rows of a frame, which must not lie before the last requested one."""
        while not len(self._held) or self._held.frame.max() < frame:
            chunk = next(self._chunks, None)
            if chunk is None:
                return self._held[:0]
            self._held = chunk
        return self._held[self._held.frame == frame]


def draw_rows(
    image: Image,
    rows: Detections2D,
    owner: NDArray[np.integer],
    projected: NDArray[np.floating],
    ids: NDArray[np.integer],
    skeleton: Skeleton,
    title: str = "",
) -> Image:
    """Draw one view of one frame on a copy of the image (H, W, 3) RGB.

    rows (M): the view's detections; owner (M,): the person each is assigned to, -1 = unassigned (drawn grey);
    projected (P, J, 2) px: projected poses of the persons ids (P,), NaN where a joint cannot be projected.
    """
    canvas = np.ascontiguousarray(image).copy()
    width = stroke_px(canvas)
    for xy, person in zip(rows.xy, owner.tolist(), strict=True):
        _draw_found(canvas, xy, rows.skeleton, _light(colour(person)), width)
    for xy, person in zip(projected, ids.tolist(), strict=True):
        _draw_pose(canvas, xy, skeleton, colour(person), width)
    for xy, person in zip(projected, ids.tolist(), strict=True):
        _draw_id(canvas, xy, person, width)
    if title:
        _label(canvas, title, (2 * width, 2 * width), (30, 30, 30), width)
    return canvas


def draw(
    image: Image,
    poses: Poses3D,
    camera: Camera,
    *,
    frame: int | None = None,
    detections: Detections2D | None = None,
    title: str = "",
) -> Image:
    """Draw 3D poses on a copy of a camera's image (H, W, 3) RGB and return it.

    poses: rows of one frame, or rows of a take together with ``frame``. detections: rows of this view and frame, drawn
    thin and hollow. Joints behind the camera or outside the valid range of its lens model are not drawn.
    """
    picture = np.asarray(image)
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        raise InputError(f"the image must be (H, W, 3) uint8 RGB, not {picture.shape} {picture.dtype}")
    if picture.shape[1::-1] != camera.size:
        raise InputError(f"the image is {picture.shape[1]}x{picture.shape[0]} px, camera {camera.name} {camera.size}")
    shown = poses if frame is None else poses.of(frame=frame)
    if len(np.unique(shown.frame)) > 1:
        raise InputError("the poses are of several frames; say which with frame")
    rows = Detections2D.empty(poses.skeleton) if detections is None else detections
    projected = camera.project(shown.xyz.astype(np.float64))
    return draw_rows(picture, rows, owners(rows, shown), projected, shown.person, shown.skeleton, title)


def owners(rows: Detections2D, poses: Poses3D) -> NDArray[np.int32]:
    """Return the person (M,) that each detection of one frame is assigned to, by the poses' groups; -1 = unassigned."""
    person_of = dict(zip(poses.group.tolist(), poses.person.tolist(), strict=True))
    return np.array([person_of.get(group, -1) if group >= 0 else -1 for group in rows.person.tolist()], np.int32)


def overlay_images(
    images: Iterable[tuple[int, Image]],
    view: int,
    rig: Rig,
    detections: Iterator[Detections2D],
    poses: Iterator[Poses3D],
    skeletons: tuple[Skeleton, Skeleton],
    rate_hz: float,
    height_px: int = _HEIGHT_PX,
) -> Iterator[tuple[int, Image]]:
    """Yield (frame, RGB image) of one view with detections and poses drawn, at most height_px high.

    detections, poses: streams of chunks, read in parallel with the images. skeletons: of detections and of poses.
    """
    found_at = RowsByFrame(detections, Detections2D.empty(skeletons[0]))
    posed_at = RowsByFrame(poses, Poses3D.empty(skeletons[1]))
    for frame, image in images:
        found, posed = found_at.at(frame), posed_at.at(frame)
        title = f"{rig.names[view]}  frame {frame}  {frame / rate_hz:.2f} s"
        yield frame, draw_view(image, view, rig, found, posed, height_px, title)


def draw_view(
    image: Image, view: int, rig: Rig, found: Detections2D, posed: Poses3D, height_px: int = _HEIGHT_PX, title: str = ""
) -> Image:
    """Return one image of a view with the detections and poses of its frame, at most height_px high.

    Line widths are scaled to the size of the image.
    """
    small, scale = shrink(image, height_px)
    found = found[found.view == view]
    sized = found.with_columns(xy=resized_px(found.xy, scale))
    projected = resized_px(rig.cameras[view].project(posed.xyz.astype(np.float64)), scale)
    return draw_rows(small, sized, owners(found, posed), projected, posed.person, posed.skeleton, title)


def write_overlay(path: Path, images: Iterable[tuple[int, Image]], rate_hz: float) -> Path:
    """Write drawn frames to a video with the size of the first one. Raises InputError if there are no frames."""
    stream = (image for _, image in images)
    first = next(stream, None)
    if first is None:
        return write_video(path, (), rate_hz, (2, 2))
    return write_video(path, _chain(first, stream), rate_hz, (first.shape[1], first.shape[0]), crf=26)


def shrink(image: Image, height_px: int) -> tuple[Image, float]:
    """Return the image shrunk to at most height_px high, and its scale; images are never enlarged."""
    import cv2

    height, width = image.shape[:2]
    if height <= height_px:
        return image, 1.0
    scale = height_px / height
    size = (max(1, round(width * scale)), height_px)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def resized_px(xy: NDArray[np.floating], scale: float) -> NDArray[np.floating]:
    """Scale coordinates (..., 2) px to a resized image; the centre of the top-left pixel is (0, 0) in both images."""
    return (xy + 0.5) * scale - 0.5


def stroke_px(image: Image) -> int:
    """Return the width of a solid line: about 1/250 of the image height."""
    return max(2, round(len(image) / 250))


def _light(tint: Rgb) -> Rgb:
    red, green, blue = (round(0.45 * value + 0.55 * 255) for value in tint)
    return red, green, blue


def _chain(first: Image, rest: Iterator[Image]) -> Iterator[Image]:
    yield first
    yield from rest


def _bones(xy: NDArray[np.floating], skeleton: Skeleton, image: Image) -> Iterator[tuple[Point, Point]]:
    """Yield the ends of the bones whose joints are both known and drawable, in fixed-point pixels."""
    for a, b in skeleton.bones.tolist():
        if _drawable(xy[a], image) and _drawable(xy[b], image):
            yield _fixed(xy[a]), _fixed(xy[b])


def _drawable(point: NDArray[np.floating], image: Image) -> bool:
    """Return whether a point is finite and at most one image size outside the image, so that no lines cross it."""
    height, width = image.shape[:2]
    return bool(np.isfinite(point).all() and -width < point[0] < 2 * width and -height < point[1] < 2 * height)


def _fixed(point: NDArray[np.floating]) -> Point:
    x, y = np.rint(point.astype(np.float64) * (1 << _SHIFT)).astype(int).tolist()
    return x, y


def _draw_found(image: Image, xy: NDArray[np.floating], skeleton: Skeleton, tint: Rgb, width: int) -> None:
    import cv2

    thin, radius = (
        max(1, width // 3),
        round((2.2 if width > 2 else 1.4) * width * (1 << _SHIFT)),
    )  # wider than the pose drawn over it
    for stroke, shade in ((thin + width // 3, (40, 40, 40)), (thin, tint)):
        for start, end in _bones(xy, skeleton, image):
            cv2.line(image, start, end, shade, stroke, cv2.LINE_AA, _SHIFT)
        for point in xy:
            if _drawable(point, image):
                cv2.circle(image, _fixed(point), radius, shade, stroke, cv2.LINE_AA, _SHIFT)


def _draw_pose(image: Image, xy: NDArray[np.floating], skeleton: Skeleton, tint: Rgb, width: int) -> None:
    import cv2

    edge = ink(tint)  # an outline, visible on any background
    bones = list(_bones(xy, skeleton, image))
    for stroke, shade in ((width + 2, edge), (width, tint)):
        for start, end in bones:
            cv2.line(image, start, end, shade, stroke, cv2.LINE_AA, _SHIFT)
    for point in xy:
        if _drawable(point, image):
            cv2.circle(image, _fixed(point), round(0.8 * width * (1 << _SHIFT)), tint, -1, cv2.LINE_AA, _SHIFT)


def _draw_id(image: Image, xy: NDArray[np.floating], person: int, width: int) -> None:
    known = xy[np.isfinite(xy).all(-1)]
    height, breadth = image.shape[:2]
    inside = known[(known >= 0).all(-1) & (known[:, 0] < breadth) & (known[:, 1] < height)]
    if not len(inside):
        return
    top = inside[inside[:, 1].argmin()]
    corner = (round(float(top[0])) + 3 * width, round(float(top[1])) - 12 * width)
    _label(image, f"{person}", corner, colour(person), width)


def _label(image: Image, text: str, corner: Point, background: Rgb, width: int) -> None:
    """Draw text on a filled box, shifted if necessary so that all of it is in the image."""
    import cv2

    font, scale, stroke, pad = cv2.FONT_HERSHEY_SIMPLEX, 0.25 * width, max(1, round(0.5 * width)), 2 * width
    (text_width, text_height), below = cv2.getTextSize(text, font, scale, stroke)
    box = (text_width + 2 * pad, text_height + below + pad)
    x = min(max(corner[0], 0), max(image.shape[1] - box[0], 0))
    y = min(max(corner[1], 0), max(image.shape[0] - box[1], 0))
    cv2.rectangle(image, (x, y), (x + box[0], y + box[1]), background, -1)
    at = (x + pad, y + text_height + pad // 2)
    cv2.putText(image, text, at, font, scale, ink(background), stroke, cv2.LINE_AA)
