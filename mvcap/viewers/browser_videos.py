"""Videos that a browser shows exact to the frame: all views in one mosaic, and one view alone.

Frame f of a proxy is frame f of the session, from (f) / rate to (f + 1) / rate; a view that dropped it is grey there. A
browser seeks exactly where every fifth frame is a key frame and no frame is coded from a later one (B-frames), and
videos in one file cannot drift apart while they play. A proxy is made once and kept in the session.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calib.arrays import Image
from mvcap.errors import InputError, MvcapError
from mvcap.structures.session import Session
from mvcap.structures.video_writer import write_video

FOLDER = "proxies"
"""Folder of the proxies in a session."""
MOSAIC = "mosaic"
"""Name of the proxy of all views."""
_VERSION = 1
_MOSAIC_PX, _VIEW_PX = (1120, 860), 1920  # largest mosaic (w, h), longer side of one view
_CRF = 24
_GREY = 90
_AGAIN_S, _PATIENCE_S = 2.0, 10.0  # until what failed is begun again; for a thread to end


@dataclass(frozen=True)
class Tile:
    """Where a view's picture is in a proxy: x, y, w, h px; scale: px of the proxy for one px of the view."""

    view: str
    x: int
    y: int
    w: int
    h: int
    scale: float


@dataclass
class Proxy:
    """State of one proxy: the share done, and why it cannot be made."""

    path: Path
    size: tuple[int, int]
    tiles: tuple[Tile, ...]
    done: float = 0.0
    failed: str = ""
    failed_at: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the state as JSON values, without the path."""
        return {
            "size": list(self.size),
            "tiles": [vars(tile) for tile in self.tiles],
            "done": self.done,
            "failed": self.failed,
        }


class ProxyVideos:
    """The proxies of a session, each made in a thread of its own when it is first asked for.

    folder: where they are kept, default in the session.
    """

    def __init__(self, session: Session, folder: Path | None = None) -> None:
        self.session = session
        self._folder = folder or session.folder / FOLDER
        self._proxies: dict[int | None, Proxy] = {}
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def proxy(self, view: int | None) -> Proxy:
        """Return the proxy of a view, None for the mosaic, and begin to make it; InputError for a view there is not.

        One that failed, or whose file was removed, is begun again.
        """
        with self._lock:
            known = self._proxies.get(view)
            if known is not None and known.failed and time.monotonic() - known.failed_at > _AGAIN_S:
                known = None
            if known is not None and known.done == 1 and not known.path.is_file():
                known = None
            if known is None:
                known = self._proxies[view] = self._begun(view)
            return known

    def make(self, view: int | None) -> Proxy:
        """Return a finished proxy of a view, None for the mosaic; InputError where it cannot be made."""
        proxy = self._planned(view)
        if not is_whole(proxy.path, self.session.frames):
            self._encode(proxy)
        proxy.done = 1.0
        return proxy

    def stop(self) -> None:
        """End the work of all threads and wait for it; what is not finished is removed."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(_PATIENCE_S)

    def _begun(self, view: int | None) -> Proxy:
        proxy = self._planned(view)
        if not self.session.has_footage():
            proxy.failed, proxy.failed_at = "this session has no videos, only detections from files", float("inf")
            return proxy
        thread = threading.Thread(target=self._work, args=(proxy,), daemon=True)
        self._threads.append(thread)
        thread.start()
        return proxy

    def _work(self, proxy: Proxy) -> None:
        try:
            if not is_whole(proxy.path, self.session.frames):
                self._encode(proxy)
            proxy.done = 1.0
        except (MvcapError, OSError) as fault:
            proxy.failed = " ".join(str(fault).split()) or type(fault).__name__
            proxy.failed_at = time.monotonic()

    def _planned(self, view: int | None) -> Proxy:
        names = self.session.names
        sizes = [(int(one.size[0]), int(one.size[1])) for one in self.session.views]
        if view is not None and not 0 <= view < len(names):
            raise InputError(f"no video {view}; the views are 0 to {len(names) - 1}")
        if view is None:
            size, tiles = mosaic_tiles(names, sizes)
        else:
            width, height = sizes[view]
            scale = min(1.0, _VIEW_PX / max(width, height))
            size = (_even(width * scale), _even(height * scale))
            tiles = (Tile(names[view], 0, 0, *size, size[0] / width),)
        key = json.dumps([_VERSION, self.session.identity, view, size, [vars(tile) for tile in tiles]])
        digest = hashlib.sha256(key.encode()).hexdigest()[:12]
        return Proxy(self._folder / f"{MOSAIC if view is None else view}-{digest}.mp4", size, tiles)

    def _encode(self, proxy: Proxy) -> None:
        try:
            proxy.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise InputError(f"{proxy.path.parent}: cannot be made ({fault.strerror}); make it writable") from fault
        write_video(proxy.path, self._pictures(proxy), self.session.rate_hz, proxy.size, _CRF, seekable=True)
        for old in proxy.path.parent.glob(f"{proxy.path.stem.partition('-')[0]}-????????????.mp4"):
            if old != proxy.path:
                with suppress(OSError):
                    old.unlink()

    def _pictures(self, proxy: Proxy) -> Iterator[Image]:
        """Yield the pictures of a proxy and tell how far it is; InputError once the work is to end."""
        import cv2

        streams = [self.session.images(self.session.names.index(tile.view)) for tile in proxy.tiles]
        width, height = proxy.size
        for count, moment in enumerate(zip(*streams, strict=True), 1):
            whole = np.full((height, width, 3), 24, np.uint8)
            for tile, (_, image) in zip(proxy.tiles, moment, strict=True):
                place = whole[tile.y : tile.y + tile.h, tile.x : tile.x + tile.w]
                if image is None:
                    place[:] = _GREY
                else:
                    place[:] = cv2.resize(image, (tile.w, tile.h), interpolation=cv2.INTER_AREA)
            yield whole
            proxy.done = 0.99 * count / self.session.frames
            if self._stopped.is_set():
                raise InputError("stopped")


def is_whole(path: Path, frames: int) -> bool:
    """Whether a proxy is there and its last picture can be decoded as that of the last of so many frames."""
    import av

    if not path.is_file():
        return False
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            if stream.frames != frames or stream.average_rate is None or stream.time_base is None:
                return False
            container.seek(round((frames - 1) / stream.average_rate / stream.time_base), stream=stream)
            last = max(frame.time for frame in container.decode(stream) if frame.time is not None)
            return round(last * float(stream.average_rate)) == frames - 1
    except (OSError, ValueError, IndexError):  # of FFmpeg's faults each is one of these
        return False


def mosaic_tiles(names: tuple[str, ...], sizes: list[tuple[int, int]]) -> tuple[tuple[int, int], tuple[Tile, ...]]:
    """Return size (w, h) of a mosaic of pictures of sizes (w, h), and their tiles, as large as they get."""
    count = len(sizes)
    aspect = float(np.median([width / height for width, height in sizes]))
    best: tuple[float, int, int] = (0.0, 1, 1)
    for columns in range(1, count + 1):
        rows = -(-count // columns)
        width = min(_MOSAIC_PX[0] / columns, _MOSAIC_PX[1] / rows * aspect)
        best = max(best, (width, -rows * columns, columns))
    columns = best[2]
    rows = -(-count // columns)
    cell = (_even(best[0]), _even(best[0] / aspect))
    fits = [min(cell[0] / width, cell[1] / height, 1.0) for width, height in sizes]
    widths, heights = ([_even(size[axis] * fit) for size, fit in zip(sizes, fits, strict=True)] for axis in (0, 1))
    cell = (max(widths), max(heights))
    tiles = []
    for at, (name, (width, height)) in enumerate(zip(names, sizes, strict=True)):
        scale = min(cell[0] / width, cell[1] / height, 1.0)
        w, h = _even(width * scale), _even(height * scale)
        x, y = (at % columns) * cell[0], (at // columns) * cell[1]
        tiles.append(Tile(name, x + (cell[0] - w) // 2, y + (cell[1] - h) // 2, w, h, w / width))
    return (columns * cell[0], rows * cell[1]), tuple(tiles)


def _even(length: float) -> int:
    return max(2, int(length) // 2 * 2)
