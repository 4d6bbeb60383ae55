"""Shared readers for files of other 2D estimators: matching files to views and frames, and fingerprints of files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.bounded_files import bounded_bytes, parse_json, reason_of
from mvcap.errors import InputError
from mvcap.estimation.file_kinds import other_estimator
from mvcap.structures.contracts import View
from mvcap.structures.detections import FARTHEST_PX, Detections2D, joint_box, without_missing
from mvcap.structures.skeleton import SKELETONS, Skeleton
from mvcap.structures.skeleton_file import load_skeleton

IMPORTED_SKELETONS = ("body25", "body25b", "coco17", "halpe26", "coco18", "coco23", "mpii16")
"""Skeletons that other estimators write; a wrong choice is mostly detected by the number of keypoints."""

LARGER_LAYOUTS: Mapping[str, tuple[int, str]] = {
    "wholebody133": (133, "coco23"),
    "halpe136": (136, "halpe26"),
    "body135": (135, "body25b"),
}
"""Layouts of files with face and hands after the body: number of keypoints, and the skeleton of the body's."""

MOST_FRAMES = 100_000_000
"""Frames that a file may count; a number beyond it is no frame number."""

_MIB = 1 << 20
_MOST_BYTES = 2 << 30
_LARGEST_ID = 1 << 31


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


@dataclass(frozen=True)
class FileSkeleton:
    """The keypoints of a person in a file: ``count``, of which the first are the joints of the skeleton."""

    skeleton: Skeleton
    count: int


def file_skeleton(name: str) -> FileSkeleton:
    """Return the keypoints of a file by the name of their skeleton or layout, or from a skeleton file (YAML).

    InputError lists the supported names.
    """
    if name in LARGER_LAYOUTS:
        count, body = LARGER_LAYOUTS[name]
        return FileSkeleton(SKELETONS[body], count)
    kind = imported_skeleton(name)
    return FileSkeleton(kind, len(kind))


def imported_skeleton(name: str) -> Skeleton:
    """Return the skeleton of a file by name, or from a skeleton file; InputError lists the supported skeletons."""
    if name in IMPORTED_SKELETONS:
        return SKELETONS[name]
    if is_skeleton_file(name):
        return load_skeleton(name)
    raise InputError(
        f"skeleton {name!r} is not supported in files; set one of: {', '.join((*IMPORTED_SKELETONS, *LARGER_LAYOUTS))}"
        "; or the path of a skeleton file (.yaml)"
    )


def is_skeleton_file(name: str) -> bool:
    """Return whether a setting ``skeleton`` is the path of a skeleton file instead of a name."""
    return Path(name).suffix.lower() in (".yaml", ".yml")


def skeleton_files(name: str) -> list[Path]:
    """Return the skeleton file that a setting names, as a list for ``fingerprint``; [] for a name."""
    return [Path(name)] if is_skeleton_file(name) else []


def known_layouts(count: int) -> list[str]:
    """Return the names of the skeletons and layouts with a number of keypoints."""
    return [
        *(name for name in IMPORTED_SKELETONS if len(SKELETONS[name]) == count),
        *(name for name, (keypoints, _) in LARGER_LAYOUTS.items() if keypoints == count),
    ]


def existing_folder(folder: str, estimator: str) -> Path:
    """Return the path of the folder with an estimator's files; InputError if it is not set or does not exist."""
    if not folder:
        raise InputError(
            f"{estimator}: no folder is set; set estimators.{estimator}.folder to the folder with its files"
        )
    path = Path(folder)
    if not _is_folder(path):
        raise InputError(
            f"{estimator}: {path} is not a folder; set estimators.{estimator}.folder to the folder with its files"
        )
    return path


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that is too long, or with a null character
        return False


def match_views(
    names: Sequence[str], found: Mapping[str, Path], kind: str, where: Path, estimator: str = ""
) -> dict[str, Path]:
    """Return the path of each view: that of the view's name, or the name followed by ``_json`` or any ``_...``.

    No two views get one path. ``found``: paths by name; ``kind``: the word for them in the InputError, which lists the
    views and the paths, and says which other estimator reads the files there. ``estimator``: the one that does not.
    """
    chosen = {name: found[name] for name in names if name in found}
    for name in names:
        if f"{name}_json" in found and found[f"{name}_json"] not in chosen.values():
            chosen.setdefault(name, found[f"{name}_json"])
    for name in sorted(names, key=len, reverse=True):  # what begins with a longer name is not the shorter name's
        taken = set(chosen.values())
        near = [path for key, path in sorted(found.items()) if key.startswith(f"{name}_") and path not in taken]
        if name not in chosen and len(near) == 1:
            chosen[name] = near[0]
    lost = [name for name in names if name not in chosen]
    if lost:
        have = ", ".join(sorted(found)) or "none"
        raise InputError(
            f"{where}: no single {kind} for view {', '.join(lost)} (views: {', '.join(names)}; {kind}s there: {have}); "
            f"{(estimator and other_estimator(where, estimator)) or f'name each {kind} after its view'}"
        )
    return {name: chosen[name] for name in names}


def frame_number(name: str) -> int:
    """Return the last group of digits in a file name, ignoring its suffix; InputError if there is none."""
    stem = Path(name).stem.removesuffix("_keypoints")
    groups = re.findall(r"\d+", stem)
    if not groups:
        raise InputError(f"{name}: the file name has no frame number; name files like view_000012.json")
    if len(groups[-1]) > 18:
        raise InputError(f"{name}: {groups[-1]} is no frame number; name files like view_000012.json")
    return int(groups[-1])


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; InputError if it cannot be read or is truncated."""
    try:
        data = bounded_bytes(path, _MOST_BYTES)
    except (OSError, ValueError) as fault:
        raise InputError(f"{path}: cannot be read ({reason_of(fault)}); check that it exists") from fault
    try:
        return parse_json(data)
    except ValueError as fault:
        raise InputError(f"{path}: not JSON, or truncated ({reason_of(fault)}); write it again") from fault


def keypoints(
    values: Any, skeleton: Skeleton, where: str, count: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Split x, y, score, x, y, score ... into xy (J, 2) and score (J,); InputError if the length is wrong.

    count: number of keypoints in the file if it is not that of the skeleton; the skeleton's are the first.
    """
    flat = flat_numbers(values, where)
    if flat.size != 3 * (count or len(skeleton)):
        raise InputError(
            f"{where}: {flat.size} numbers where {skeleton.name} has {_wanted(flat.size / 3, skeleton, count)}"
        )
    triplets = flat.reshape(-1, 3)[: len(skeleton)]
    return triplets[:, :2], triplets[:, 2]


def keypoint_pairs(
    xy: Any, score: Any, skeleton: Skeleton, where: str, count: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points [[x, y], ...] and their scores as xy (J, 2) and score (J,); InputError if a length is wrong.

    count: as for ``keypoints``.
    """
    points, scores = flat_numbers(xy, where), flat_numbers(score, where)
    if points.size != 2 * scores.size or scores.size != (count or len(skeleton)):
        raise InputError(
            f"{where}: {points.size} coordinates and {scores.size} scores where {skeleton.name} has "
            f"{_wanted(scores.size, skeleton, count)}"
        )
    return points.reshape(-1, 2)[: len(skeleton)], scores[: len(skeleton)]


def flat_numbers(values: Any, where: str) -> NDArray[np.float64]:
    """Return a nested list of numbers as a flat array; InputError if it contains anything else."""
    try:
        return np.array(values, dtype=np.float64).ravel()
    except (TypeError, ValueError, OverflowError, RecursionError) as fault:
        raise InputError(f"{where}: not a list of numbers ({reason_of(fault)}); write the file again") from fault


def _wanted(joints: float, skeleton: Skeleton, count: int) -> str:
    fitting = known_layouts(int(joints)) if joints == int(joints) else []
    advice = (
        f"set the skeleton to {' or '.join(fitting)}"
        if fitting
        else "the file is broken or has another skeleton; for joints of your own set the skeleton to a skeleton file"
    )
    return f"{count or len(skeleton)} keypoints; {advice}"


def rows_of(
    people: Sequence[FilePerson], skeleton: Skeleton, view: int, noise: float, first_frame: int = 0
) -> Detections2D:
    """Return the rows of one view's people in their order, without bodies that have no joint.

    first_frame: number in the file of frame 0.
    """
    xy: NDArray[Any] = np.array([p.xy for p in people], np.float64).reshape(-1, len(skeleton), 2)
    score: NDArray[Any] = np.array([p.score for p in people], np.float64).reshape(-1, len(skeleton))
    carried = np.array([p.carried for p in people], dtype=np.int32)
    frame = np.array([p.frame - first_frame for p in people], dtype=np.int32)
    xy, score = without_missing(xy, score)
    kept = np.flatnonzero((score > 0).any(-1))
    xy, score, carried, frame = xy[kept], score[kept], carried[kept], frame[kept]
    given = np.array([people[at].box or (np.nan,) * 4 for at in kept.tolist()], dtype=np.float64).reshape(-1, 4)
    real = (given[:, 2:] > given[:, :2]).all(-1, keepdims=True) & (np.abs(given) < FARTHEST_PX).all(-1, keepdims=True)
    boxes = np.where(real, given, joint_box(xy))  # real: False for NaN
    return Detections2D.build(skeleton, frame, view, xy, score, noise, carried, boxes)


def without_empty_rows(rows: Detections2D) -> Detections2D:
    """Return the rows that have at least one joint."""
    return rows[np.flatnonzero((rows.score > 0).any(-1))]


def box_of(values: Any, where: str, wide: bool) -> tuple[float, float, float, float] | None:
    """Return a box (left, top, right, bottom) from four numbers, or None; ``wide``: the last two are its size."""
    box = [] if values is None else flat_numbers(values, where)[:4].tolist()
    if len(box) < 4:
        return None
    left, top, right, bottom = box
    return (left, top, left + right, top + bottom) if wide else (left, top, right, bottom)


def ident_of(value: Any, where: str) -> int:
    """Return the integer id that a tracker wrote, alone or as the first item of a list; -1 if there is none.

    InputError for a number that can be no id.
    """
    if value is None:
        return -1
    flat = flat_numbers(value, where)
    if not flat.size or not np.isfinite(flat[0]):
        return -1
    if abs(flat[0]) >= _LARGEST_ID:
        raise InputError(f"{where}: {flat[0]:g} is no number of a person or frame; write the file again")
    return int(flat[0])


def check_frames(frames: Iterable[int], view: View, where: Path) -> None:
    """Raise InputError if frames, counted from 0, exceed those of the session."""
    last = max(frames, default=-1)
    if last >= MOST_FRAMES:
        raise InputError(f"{where}: has frame {last} (counted from 0), which is no number of a frame; set first_frame")
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
