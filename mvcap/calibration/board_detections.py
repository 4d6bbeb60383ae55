"""Detects a board in the pictures of several views in parallel, and caches the detections on disk."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np

from calib.arrays import Image
from calib.boards import Board
from calib.bounded_arrays import bounded_arrays
from calib.detectors.sighting import Sighting, refused_sighting
from calib.observe import Finder
from mvcap.calibration.image_sets import ImageSet
from mvcap.errors import InputError
from mvcap.progress import Progress
from mvcap.structures.npz import write_npz

_VERSION = 2  # of the cache; raise it when the same picture would give another detection
_KEEP_EVERY_S = 10.0


@dataclass(frozen=True)
class BoardDetection:
    """The detection in one picture: its number and name, its size (w, h) px, and the points found.

    size is None where the picture cannot be read; `sighting` then holds the reason.
    """

    number: int
    label: str
    size: tuple[int, int] | None
    sighting: Sighting


def detect_board(
    board: Board, jobs: Sequence[tuple[ImageSet, Sequence[int]]], cache: Path, progress: Progress
) -> list[list[BoardDetection]]:
    """Find a board in the given pictures of each view; `cache` is the folder that keeps the detections.

    An interrupted search continues where it stopped. Raises InputError where the pictures of a view differ in size, or
    none of them can be read.
    """
    work = _Work(board, cache, progress, sum(len(wanted) for _, wanted in jobs))
    with ThreadPoolExecutor(min(os.cpu_count() or 1, max(len(jobs), 1))) as pool:
        running = [pool.submit(work.view, pictures, wanted) for pictures, wanted in jobs]
        try:
            return [job.result() for job in running]
        finally:
            work.stopped = True  # after an interrupt or an error in one view, the others stop too


def common_size(pictures: ImageSet, looks: Sequence[BoardDetection]) -> tuple[int, int]:
    """The common size (w, h) px of a view's pictures; InputError where sizes differ."""
    sizes = Counter(one.size for one in looks if one.size is not None).most_common(2)
    if not sizes:
        why = f": {looks[0].sighting.reason}" if looks else ""
        raise InputError(f"{pictures.name}: none of its {len(looks)} pictures can be read{why}")
    common = sizes[0][0]
    if len(sizes) > 1:
        odd = sizes[1][0]
        label = next(one.label for one in looks if one.size == odd)
        raise InputError(
            f"{pictures.name}: {label} is {odd[0]}x{odd[1]} px, most of its pictures are {common[0]}x{common[1]} px; "
            "all pictures of a camera need the same size: remove the others"
        )
    return common


class _Work:
    """A search through the pictures of several views."""

    def __init__(self, board: Board, cache: Path, progress: Progress, total: int) -> None:
        self.board = board
        self.stopped = False
        self._cache = cache
        self._progress = progress
        self._total = total
        self._done = 0
        self._lock = Lock()
        progress("detect", 0, total)

    def view(self, pictures: ImageSet, wanted: Sequence[int]) -> list[BoardDetection]:
        """Search the given pictures of one view that are not in the cache."""
        keys = dict(zip(wanted, pictures.keys(wanted), strict=True))
        file = self._file(pictures)
        current = set(pictures.keys(range(len(pictures))))
        kept = {key: seen for key, seen in _load(file, len(self.board.target)).items() if key in current}
        todo = [number for number in wanted if keys[number] not in kept]
        self._step(len(wanted) - len(todo))
        finder, saved_s = Finder(self.board), time.monotonic()
        try:
            for number, picture in pictures.read(todo):
                if self.stopped:
                    break
                kept[keys[number]] = _detect(finder, picture, len(self.board.target))
                self._step(1)
                if time.monotonic() - saved_s > _KEEP_EVERY_S:
                    _save(file, kept)
                    saved_s = time.monotonic()
        finally:
            if todo:
                _save(file, kept)
        there = [number for number in wanted if keys[number] in kept]
        looks = [BoardDetection(number, pictures.label(number), *kept[keys[number]]) for number in there]
        if not self.stopped:
            common_size(pictures, looks)
        return looks

    def _file(self, pictures: ImageSet) -> Path:
        about = f"{_VERSION}:{self.board.spec}:{pictures.place}"
        name = re.sub(r"[^\w.-]", "_", pictures.name)
        return self._cache / f"{name}.{hashlib.sha256(about.encode()).hexdigest()[:10]}.npz"

    def _step(self, count: int) -> None:
        with self._lock:
            self._done += count
            self._progress("detect", self._done, self._total)


_Seen = tuple[tuple[int, int] | None, Sighting]


def _detect(finder: Finder, picture: Image | str, points: int) -> _Seen:
    if isinstance(picture, str):
        return None, refused_sighting(points, picture)
    return (picture.shape[1], picture.shape[0]), finder.find(picture)


def _save(file: Path, kept: dict[str, _Seen]) -> None:
    seen = list(kept.values())
    write_npz(
        file,
        {
            "key": np.array(list(kept), np.str_),
            "size": np.array([size or (0, 0) for size, _ in seen], np.int64).reshape(-1, 2),
            "xy": np.array([sighting.xy for _, sighting in seen]),
            "sigma": np.array([sighting.sigma for _, sighting in seen]),
            "reason": np.array([sighting.reason or "" for _, sighting in seen], np.str_),
            "mirrored": np.array([sighting.mirrored for _, sighting in seen], np.bool_),
            "variant": np.array([sighting.variant for _, sighting in seen], np.str_),
        },
    )


def _load(file: Path, points: int) -> dict[str, _Seen]:
    """Cached detections by the keys of pictures; empty where the file is missing or cannot be used."""
    names = ("key", "size", "xy", "sigma", "reason", "mirrored", "variant")
    try:
        held = bounded_arrays(file, names)
        columns = [held[name] for name in names]
    except (OSError, ValueError, KeyError):
        return {}
    if columns[2].shape[1:] != (points, 2):
        return {}
    return {
        str(key): (
            (int(size[0]), int(size[1])) if size[0] else None,
            Sighting(xy, sigma, str(reason) or None, bool(mirrored), str(variant)),
        )
        for key, size, xy, sigma, reason, mirrored, variant in zip(*columns, strict=True)
    }
