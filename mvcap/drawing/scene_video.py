"""Videos and rows of pictures of a take in 3D: moment by moment, so that memory does not grow with the take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from calib import Rig
from calib.arrays import Floats, Image
from mvcap.drawing.overlay import RowsByFrame
from mvcap.drawing.scene_picture import Cloud, scene_picture
from mvcap.drawing.viewpoints import Viewpoint, people_box, viewpoint_on
from mvcap.progress import Progress, silent
from mvcap.structures.pose_stream import PoseStream
from mvcap.structures.poses import Poses3D
from mvcap.structures.video_writer import write_video

_RATE_HZ = 30.0  # of a video at most; takes with more have every n-th frame in it
_FOLLOWED_S = 0.8  # time constant with which the viewpoint follows people
_SMALLEST_M = 2.4  # width of the box that is followed


def scene_video(
    file: str | Path,
    take: PoseStream,
    rig: Rig | None = None,
    *,
    camera_path: str = "orbit",
    size: tuple[int, int] = (1280, 720),
    cloud_at: Callable[[int], Cloud | None] | None = None,
    progress: Progress = silent,
) -> Path:
    """Write an MP4 of a take from a camera path (``viewpoints.CAMERA_PATHS``) and return it.

    It has the take's duration, and at most 30 frames a second: every n-th frame of a faster take. The take's axes do
    not matter, z is up in the picture. size: (w, h) px. cloud_at: returns the points of a frame, or None. Raises
    InputError for an unknown path, a take without frames or a file that cannot be written.
    """
    step = max(1, int(np.ceil(take.rate_hz / _RATE_HZ - 1e-6)))
    pictures = scene_pictures(
        take, range(0, take.frames, step), rig, camera_path=camera_path, size=size, cloud_at=cloud_at
    )

    def counted() -> Iterator[Image]:
        for frame, picture in pictures:
            yield picture
            progress("video", min(frame + step, take.frames), take.frames)

    return write_video(file, counted(), take.rate_hz / step, size)


def scene_moments(
    take: PoseStream,
    frames: Sequence[int],
    rig: Rig | None = None,
    *,
    camera_path: str = "front",
    size: tuple[int, int] = (480, 360),
    columns: int = 4,
) -> Image:
    """Return pictures of some moments of a take, in ascending order, side by side in rows (H, W, 3) RGB."""
    found = [picture for _, picture in scene_pictures(take, frames, rig, camera_path=camera_path, size=size)]
    columns = min(columns, max(len(found), 1))
    gap, rows = 4, max(1, -(-len(found) // columns))
    sheet = np.full((rows * (size[1] + gap) - gap, columns * (size[0] + gap) - gap, 3), 255, np.uint8)
    for at, picture in enumerate(found):
        top, left = at // columns * (size[1] + gap), at % columns * (size[0] + gap)
        sheet[top : top + size[1], left : left + size[0]] = picture
    return sheet


def scene_pictures(
    take: PoseStream,
    frames: Sequence[int],
    rig: Rig | None = None,
    *,
    camera_path: str = "front",
    size: tuple[int, int] = (1280, 720),
    cloud_at: Callable[[int], Cloud | None] | None = None,
) -> Iterator[tuple[int, Image]]:
    """Yield frames, in ascending order, and their pictures (H, W, 3) RGB; arguments as those of ``scene_video``.

    One pass over the take finds out where people are, and one draws them. InputError for an unknown path.
    """
    take = replace(take, axes="z-up")
    box = people_box(take.turned())
    rows_at = RowsByFrame(take.turned(), Poses3D.empty(take.skeleton))
    followed = _Followed(take.rate_hz)
    still = None if camera_path in ("orbit", "follow") else viewpoint_on(camera_path, box, 0.0, size, rig)
    for frame in frames:
        rows = rows_at.at(frame)
        share = frame / max(take.frames, 1)
        viewpoint: Viewpoint = still or viewpoint_on(
            camera_path, followed.box(frame, rows, box) if camera_path == "follow" else box, share, size
        )
        yield frame, scene_picture(
            rows, rig, viewpoint=viewpoint, size=size, cloud=cloud_at(frame) if cloud_at else None, box=box,
            title=f"{frame / take.rate_hz:.2f} s   frame {frame}",
        )  # fmt: skip


class _Followed:
    """The box of the people at a moment, which follows them smoothly and stays where it is while nobody is there."""

    def __init__(self, rate_hz: float) -> None:
        self._rate_hz = rate_hz
        self._box: Floats | None = None
        self._frame = 0

    def box(self, frame: int, rows: Poses3D, whole: Floats) -> Floats:
        """Return the box (2, 3) m at a frame, after all that were asked for; whole: that of the take."""
        now = people_box([rows]) if np.isfinite(rows.xyz).any() else self._box
        if now is None:
            return whole
        middle, half = now.mean(0), np.ptp(now, axis=0) / 2
        half[:2] = np.maximum(half[:2], _SMALLEST_M / 2)
        now = np.stack([middle - half, middle + half])
        share = 1 - np.exp(-(frame - self._frame) / self._rate_hz / _FOLLOWED_S)
        self._box = now if self._box is None else self._box + share * (now - self._box)
        self._frame = frame
        return self._box
