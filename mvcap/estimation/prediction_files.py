"""Shared readers for files of other 2D estimators: matching files to views and frames, and fingerprints of files."""

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
"""Skeletons that other estimators write; a wrong choice is mostly detected by the number of keypoints."""

_MIB = 1 << 20


@dataclass(frozen=True)
class FilePerson:
    """One body in a file."""

    frame: int
    xy: NDArray[np.float64]
    """(J, 2) px."""
    score: NDArray[np.float64]
    """(J,) 0..1."""
    box: tuple[float, float, float, float] | None = None
    """left, top, right, bottom, px."""
    carried: int = -1
    """Id given by the estimator's own tracker, -1 for none."""


def imported_skeleton(name: str) -> Skeleton:
    """Return the skeleton of a file by name; InputError lists the supported skeletons."""
    if name not in IMPORTED_SKELETONS:
        raise InputError(f"skeleton {name!r} is not supported in files; set one of: {', '.join(IMPORTED_SKELETONS)}")
    return SKELETONS[name]


def existing_folder(folder: str, estimator: str) -> Path:
    """Return the path of the folder with an estimator's files; InputError if it is not set or does not exist."""
    if not folder:
        raise InputError(
            f"{estimator}: no folder is set; set estimators.{estimator}.folder to the folder with its files"
        )
    path = Path(folder)
    if not path.is_dir():
        raise InputError(
            f"{estimator}: {path} is not a folder; set estimators.{estimator}.folder to the folder with its files"
        )
    return path


def match_views(names: Sequence[str], found: Mapping[str, Path], kind: str, where: Path) -> dict[str, Path]:
    """Return the path of each view: that of the view's name, or the name followed by ``_json`` or any ``_...``.

    ``found``: paths by name; ``kind``: the word for them in the InputError, which lists the views and the paths.
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
    """Return the last group of digits in a file name, ignoring its suffix; InputError if there is none."""
    stem = Path(name).stem.removesuffix("_keypoints")
    groups = re.findall(r"\d+", stem)
    if not groups:
        raise InputError(f"{name}: the file name has no frame number; name files like view_000012.json")
    return int(groups[-1])


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; InputError if it cannot be read or is truncated."""
    try:
        return json.loads(path.read_bytes())
    except OSError as fault:
        raise InputError(f"{path}: cannot be read ({fault.strerror}); check that it exists") from fault
    except ValueError as fault:
        raise InputError(f"{path}: not JSON, or truncated ({fault}); write it again") from fault


def keypoints(values: Any, skeleton: Skeleton, where: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Split x, y, score, x, y, score ... into xy (J, 2) and score (J,); InputError if the length is wrong."""
    flat = flat_numbers(values, where)
    if flat.size != 3 * len(skeleton):
        raise InputError(f"{where}: {flat.size} numbers where {skeleton.name} has {_wanted(flat.size / 3, skeleton)}")
    triplets = flat.reshape(-1, 3)
    return triplets[:, :2], triplets[:, 2]


def keypoint_pairs(
    xy: Any, score: Any, skeleton: Skeleton, where: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points [[x, y], ...] and their scores as xy (J, 2) and score (J,); InputError if a length is wrong."""
    points, scores = flat_numbers(xy, where), flat_numbers(score, where)
    if points.size != 2 * scores.size or scores.size != len(skeleton):
        raise InputError(
            f"{where}: {points.size} coordinates and {scores.size} scores where {skeleton.name} has "
            f"{_wanted(scores.size, skeleton)}"
        )
    return points.reshape(-1, 2), scores


def flat_numbers(values: Any, where: str) -> NDArray[np.float64]:
    """Return a nested list of numbers as a flat array; InputError if it contains anything else."""
    try:
        return np.array(values, dtype=np.float64).ravel()
    except (TypeError, ValueError) as fault:
        raise InputError(f"{where}: not a list of numbers ({fault}); write the file again") from fault


def _wanted(joints: float, skeleton: Skeleton) -> str:
    fitting = [name for name in IMPORTED_SKELETONS if len(SKELETONS[name]) == joints]
    advice = f"set the skeleton to {' or '.join(fitting)}" if fitting else "the file is broken or has another skeleton"
    return f"{len(skeleton)} keypoints; {advice}"


def rows_of(people: Sequence[FilePerson], skeleton: Skeleton, view: int, noise: float) -> Detections2D:
    """Return the rows of one view's people in their order, without bodies that have no joint."""
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
    """Return a box (left, top, right, bottom) from four numbers, or None; ``wide``: the last two are its size."""
    box = flat_numbers(values if values is not None else [], where)[:4]
    if box.size < 4:
        return None
    left, top, right, bottom = (float(x) for x in box)
    return (left, top, left + right, top + bottom) if wide else (left, top, right, bottom)


def ident_of(value: Any, where: str) -> int:
    """Return the integer id that a tracker wrote, alone or as the first item of a list; -1 if there is none."""
    flat = flat_numbers(-1 if value is None else value, where)
    return int(flat[0]) if flat.size and np.isfinite(flat[0]) else -1


def check_frames(frames: Iterable[int], view: View, where: Path) -> None:
    """Raise InputError if frames, counted from 0, exceed those of the session."""
    last = max(frames, default=-1)
    if last >= view.frames:
        raise InputError(
            f"{where}: has frame {last} (counted from 0), but view {view.name} of the session has {view.frames} "
            f"frames; make it from the same video, or set first_frame"
        )


def fingerprint(paths: Iterable[Path]) -> str:
    """Return the sha256 of the names, sizes and contents of files; of files above 64 MiB only first and last MiB."""
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
