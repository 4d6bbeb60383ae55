"""Small pictures of the views while they are recorded, and what is wrong with them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mvcap.recording.picture_decoder import PictureDecoder
from mvcap.structures.live_frames import LiveFrame

if TYPE_CHECKING:
    from calib.observe import Finder

_WIDTH = 480
_KEPT = 64  # packets since the last key frame; of longer groups only the key frame is shown
_CELLS = (8, 6)  # of the picture, in which the board's points are counted
_CLIPPED, _DARK = 250, 12
_MUCH = 0.05  # share of clipped pixels
_SOFT = 0.4  # of the best sharpness of a view so far


@dataclass(frozen=True)
class PictureQuality:
    """Facts of a picture, and what they mean for a recording."""

    brightness: float
    """Median, 0 to 255."""
    clipped: float
    """Share of pixels that are white."""
    sharpness: float
    """Root mean square of the Laplacian over that of the contrast: falls when the picture is out of focus."""

    def warnings(self, best_sharpness: float) -> list[str]:
        """Return what to do about it; best_sharpness: the highest of this view so far."""
        out = []
        if self.clipped > _MUCH:
            out.append(f"overexposed: {100 * self.clipped:.0f} % of the picture is white")
        if self.brightness < _DARK:
            out.append(f"dark: half of the picture is below {_DARK} of 255")
        if best_sharpness > 0 and self.sharpness < _SOFT * best_sharpness:
            out.append(f"blurred: {100 * self.sharpness / best_sharpness:.0f} % of the sharpness it had")
        return out


def picture_quality(image: NDArray[np.uint8]) -> PictureQuality:
    """Measure a picture (H, W, 3)."""
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    contrast = float(grey.std())
    sharpness = float(cv2.Laplacian(grey, cv2.CV_32F).std()) / contrast if contrast > 1 else 0.0
    return PictureQuality(float(np.median(grey)), float((grey >= _CLIPPED).mean()), sharpness)


@dataclass
class _View:
    packets: list[LiveFrame] = field(default_factory=list)
    best: float = 0.0
    cells: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_CELLS[::-1], np.int64))
    jpeg: bytes = b""
    warnings: list[str] = field(default_factory=list)
    shown: LiveFrame | None = None
    picture: NDArray[np.uint8] | None = None
    people: int | None = None


class Preview:
    """Keeps the newest frames of every view, and decodes them only when somebody looks.

    finder: of a board whose coverage of each picture is counted and drawn. ``listen`` is the recorder's listener.
    """

    def __init__(self, names: Sequence[str], finders: Sequence[Finder] = ()) -> None:
        self.names = list(names)
        self._views = {name: _View() for name in names}
        self._finders = dict(zip(names, finders, strict=False))
        self._locks = {name: threading.Lock() for name in names}

    def listen(self, name: str, frame: LiveFrame, at_s: float) -> None:
        """Take note of a frame."""
        view = self._views[name]
        packets = [frame] if frame.key else [*view.packets, frame] if len(view.packets) < _KEPT else view.packets
        view.packets = packets

    def jpeg(self, name: str, codec: str) -> bytes:
        """Return the newest picture of a view, 480 px wide, as JPEG; empty before the first."""
        import cv2

        view = self._views[name]
        with self._locks[name]:
            packets = view.packets
            if not packets or packets[-1] is view.shown:
                return view.jpeg
            image = _newest(codec, packets)
            if image is None:
                return view.jpeg
            view.shown = packets[-1]
            height = max(1, round(image.shape[0] * _WIDTH / image.shape[1]))
            small = np.asarray(cv2.resize(image, (_WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)
            quality = picture_quality(small)
            view.picture = small
            view.best = max(view.best, quality.sharpness)
            view.warnings = quality.warnings(view.best)
            if name in self._finders:
                small = self._count_board(name, image, small)
            view.jpeg = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 75])[1].tobytes()
            return view.jpeg

    def picture(self, name: str, codec: str) -> NDArray[np.uint8] | None:
        """Return the newest picture of a view, RGB (H, 480, 3); None before the first."""
        self.jpeg(name, codec)
        return self._views[name].picture

    def note_people(self, name: str, count: int) -> None:
        """Take note of how many people the newest picture of a view shows."""
        self._views[name].people = count

    def facts(self, name: str) -> dict[str, Any]:
        """Return warnings, people if they are counted, and the share that the board has covered, if one is given."""
        view = self._views[name]
        out: dict[str, Any] = {"warnings": view.warnings}
        if view.people is not None:
            out["people"] = view.people
        if name in self._finders:
            out["board"] = float((view.cells > 0).mean())
        return out

    def _count_board(self, name: str, image: NDArray[np.uint8], small: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Add the board's points to the cells that they are in; tint the cells that have some."""
        cells = self._views[name].cells
        found = self._finders[name].find(image)
        points = found.xy[np.isfinite(found.xy).all(-1)] if found.reason is None else np.zeros((0, 2))
        at = np.floor(points / [image.shape[1], image.shape[0]] * _CELLS).astype(int)
        inside = at[((at >= 0) & (at < _CELLS)).all(-1)]
        np.add.at(cells, (inside[:, 1], inside[:, 0]), 1)
        out = small.copy()
        tall, wide = small.shape[0] / _CELLS[1], small.shape[1] / _CELLS[0]
        for row, column in np.argwhere(cells > 0).tolist():
            part = out[round(row * tall) : round((row + 1) * tall), round(column * wide) : round((column + 1) * wide)]
            part[..., 1] = np.maximum(part[..., 1], 140)
        return out


def _newest(codec: str, packets: Sequence[LiveFrame]) -> NDArray[np.uint8] | None:
    """The picture of the last packet; of the first where the group is too long to be decoded at every look."""
    if packets[-1].packet is None or packets[-1].key:
        return PictureDecoder(codec).image(packets[-1])
    decoder, image = PictureDecoder(codec), None
    for packet in packets if len(packets) < _KEPT else packets[:1]:
        found = decoder.image(packet)
        image = image if found is None else found
    return image
