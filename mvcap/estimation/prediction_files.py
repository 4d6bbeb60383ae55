"""Files that other 2D estimators wrote: which is whose view, which frame each is of, and the identity of them all."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import InputError
from mvcap.structures.contracts import View
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import SKELETONS, Skeleton

IMPORTED_SKELETONS = ("body25", "body25b", "coco17", "halpe26")
"""Skeletons that other estimators write; their numbers of keypoints differ, so a wrong choice is seen."""

_MIB = 1 << 20


@dataclass(frozen=True)
class FilePerson:
    """One body as a file tells it."""

    frame: int
    xy: NDArray[np.float64]
    """(J, 2) px."""
    score: NDArray[np.float64]
    """(J,) 0..1."""
    box: tuple[float, float, float, float] | None = None
    """left, top, right, bottom, px."""
    carried: int = -1


def imported_skeleton(name: str) -> Skeleton:
    """Skeleton of a file made elsewhere; InputError lists the ones that are read."""
    if name not in IMPORTED_SKELETONS:
        raise InputError(f"skeleton {name!r} is not read from files; set one of: {', '.join(IMPORTED_SKELETONS)}")
    return SKELETONS[name]


def existing_folder(folder: str, estimator: str) -> Path:
    """Path of the folder of an estimator's files; InputError where it is not set or not there."""
    if not folder:
        raise InputError(
            f"{estimator}: no folder is set; set estimators.{estimator}.folder to the folder with its files"
        )
    path = Path(folder)
    if not path.is_dir():
        raise InputError(
            f"{estimator}: {path} is not a folder; set estimators.{estimator}.folder to the one with its files"
        )
    return path


def match_views(names: Sequence[str], found: Mapping[str, Path], kind: str, where: Path) -> dict[str, Path]:
    """Path of each view by name: the view's name, or with ``_json`` added, or with anything that starts with ``_``.

    ``found`` holds the paths by name, ``kind`` is what they are called in the InputError, which lists both sides.
    """
    chosen = {name: found[key] for name in names for key in (f"{name}_json", name) if key in found}
    for name in names:
        taken = set(chosen.values())
        near = [path for key, path in sorted(found.items()) if key.startswith(f"{name}_") and path not in taken]
        if name not in chosen and len(near) == 1:
            chosen[name] = near[0]
    lost = [name for name in names if name not in chosen]
    if lost:
        have = ", ".join(sorted(found)) or "none"
        raise InputError(
            f"{where}: no single {kind} for view {', '.join(lost)} (views: {', '.join(names)}; {kind}s there: {have}); "
            f"name each {kind} after its view"
        )
    return chosen


def frame_number(name: str) -> int:
    """Last group of digits in a file's name, whatever the ending; InputError where there is none."""
    stem = Path(name).stem.removesuffix("_keypoints")
    groups = re.findall(r"\d+", stem)
    if not groups:
        raise InputError(f"{name}: the file's name holds no frame number; name files like view_000012.json")
    return int(groups[-1])


def read_json(path: Path) -> Any:
    """Content of a JSON file; InputError where it cannot be read or is cut short."""
    try:
        return json.loads(path.read_bytes())
    except OSError as fault:
        raise InputError(f"{path}: cannot be read ({fault.strerror}); check that it is there") from fault
    except ValueError as fault:
        raise InputError(f"{path}: not JSON, or cut short ({fault}); write it anew") from fault


def keypoints(values: Any, skeleton: Skeleton, where: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Split x, y, score, x, y, score ... into xy (J, 2) and score (J,); InputError where the length is wrong."""
    flat = flat_numbers(values, where)
    if flat.size != 3 * len(skeleton):
        raise InputError(f"{where}: {flat.size} numbers where {skeleton.name} has {_wanted(flat.size / 3, skeleton)}")
    triplets = flat.reshape(-1, 3)
    return triplets[:, :2], triplets[:, 2]


def keypoint_pairs(
    xy: Any, score: Any, skeleton: Skeleton, where: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points [[x, y], ...] and their scores as xy (J, 2) and score (J,); InputError where a length is wrong."""
    points, scores = flat_numbers(xy, where), flat_numbers(score, where)
    if points.size != 2 * scores.size or scores.size != len(skeleton):
        raise InputError(
            f"{where}: {points.size} coordinates and {scores.size} scores where {skeleton.name} has "
            f"{_wanted(scores.size, skeleton)}"
        )
    return points.reshape(-1, 2), scores


def flat_numbers(values: Any, where: str) -> NDArray[np.float64]:
    """Flat array of a list of numbers, however it is nested; InputError where something else is in it."""
    try:
        return np.array(values, dtype=np.float64).ravel()
    except (TypeError, ValueError) as fault:
        raise InputError(f"{where}: not a list of numbers ({fault}); write the file anew") from fault


def _wanted(joints: float, skeleton: Skeleton) -> str:
    fitting = [name for name in IMPORTED_SKELETONS if len(SKELETONS[name]) == joints]
    way_out = f"set the skeleton to {' or '.join(fitting)}" if fitting else "the file is broken or of another skeleton"
    return f"{len(skeleton)} keypoints; {way_out}"


def rows_of(people: Sequence[FilePerson], skeleton: Skeleton, view: int, noise: float) -> Detections2D:
    """Rows of one view's people in their order; a body without any joint is left out."""
    xy = np.array([p.xy for p in people]).reshape(-1, len(skeleton), 2)
    score = np.array([p.score for p in people]).reshape(-1, len(skeleton))
    carried = np.array([p.carried for p in people], dtype=np.int32)
    rows = Detections2D.build(skeleton, 0, view, xy, score, noise, carried)
    given = np.array([p.box or (np.nan,) * 4 for p in people], dtype=np.float64).reshape(-1, 4)
    real = (given[:, 2:] > given[:, :2]).all(-1, keepdims=True)  # False for NaN
    boxes = np.where(real, given, rows.box)
    rows = Detections2D.build(skeleton, 0, view, xy, score, noise, carried, boxes)
    return without_empty_rows(rows.with_columns(frame=np.array([p.frame for p in people], dtype=np.int32)))


def without_empty_rows(rows: Detections2D) -> Detections2D:
    """Return the rows that have at least one joint."""
    return rows[np.flatnonzero((rows.score > 0).any(-1))]


def box_of(values: Any, where: str, wide: bool) -> tuple[float, float, float, float] | None:
    """Box left, top, right, bottom from four numbers, the last two being width and height where ``wide``; or None."""
    box = flat_numbers(values if values is not None else [], where)[:4]
    if box.size < 4:
        return None
    left, top, right, bottom = (float(x) for x in box)
    return (left, top, left + right, top + bottom) if wide else (left, top, right, bottom)


def ident_of(value: Any, where: str) -> int:
    """Whole number that stands alone or first in a list, as trackers write ids; -1 where there is none."""
    flat = flat_numbers(-1 if value is None else value, where)
    return int(flat[0]) if flat.size and np.isfinite(flat[0]) else -1


def check_frames(frames: Iterable[int], view: View, where: Path) -> None:
    """InputError where frames counted from 0 do not fit into the session's."""
    last = max(frames, default=-1)
    if last >= view.frames:
        raise InputError(
            f"{where}: it reaches frame {last} (counted from 0), but view {view.name} of the session has {view.frames} "
            f"frames; make it from the same video, or set first_frame"
        )


def fingerprint(paths: Iterable[Path]) -> str:
    """sha256 over the files' names, sizes and contents; of a file above 64 MiB only the first and last MiB."""
    digest = hashlib.sha256()
    for path in paths:
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as stream:
            if size <= 64 * _MIB:
                digest.update(stream.read())
                continue
            digest.update(stream.read(_MIB))
            stream.seek(-_MIB, 2)
            digest.update(stream.read())
    return digest.hexdigest()
