"""Tables of named points of each person and frame, as DeepLabCut and SLEAP write them, and their rows of detections."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.bounded_arrays import GRANTED_BYTES, MOST_TIMES
from calib.bounded_files import reason_of
from mvcap.errors import InputError
from mvcap.estimation.prediction_files import check_frames, imported_skeleton
from mvcap.structures.contracts import View
from mvcap.structures.detections import Detections2D, without_missing
from mvcap.structures.joint_names import known_joint
from mvcap.structures.skeleton import SKELETONS, Skeleton
from mvcap.structures.skeleton_file import skeleton_of_names

_FAULTS = (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, MemoryError)
"""What damaged data raises in h5py, pyarrow and numpy; ``UnpicklingError`` is caught where pickles are read."""
_MOST_HEADER = 1 << 22
_VIDEO = re.compile(r"\.(mp4|avi|mov|mkv|m4v|mpg|mpeg|webm|predictions|analysis)(\..*)?$", re.IGNORECASE)


@dataclass(frozen=True)
class PointTable:
    """Named points: N rows, each one person in one frame."""

    names: tuple[str, ...]
    """Names of the J points."""
    frame: NDArray[np.int64]
    """(N,) number of the frame in the file."""
    carried: NDArray[np.int64]
    """(N,) id of the person in the file, -1 without."""
    xy: NDArray[np.float64]
    """(N, J, 2) px."""
    score: NDArray[np.float64]
    """(N, J); NaN where the file has none, which counts as 1."""


@contextmanager
def naming(path: Path, program: str) -> Iterator[None]:
    """Name the file in an InputError for whatever damaged data raises; ``program``: whose file it should be."""
    try:
        yield
    except _FAULTS as fault:
        raise InputError(
            f"{path}: cannot be read as a file of {program} ({reason_of(fault)}); export it again"
        ) from fault


def skeleton_of_points(names: Sequence[str], setting: str, where: Path) -> Skeleton:
    """Return the skeleton of points with these names: that of the setting, or for ``auto`` one of their own.

    For ``auto`` names such as ``LShoulder`` or ``hip_r`` are recognised. If they are those of a skeleton in
    ``mvcap.structures.skeleton``, it is that one. InputError if they are not enough for a person.
    """
    if setting != "auto":
        return imported_skeleton(setting)
    known = {name: joint for name in names if (joint := known_joint(name))}
    found = set(known.values())
    if len(found) == len(names):
        same = next((kind for kind in SKELETONS.values() if set(kind.joints) == found), None)
        if same is not None:
            return same
    try:
        return skeleton_of_names(where.stem, names, known)
    except ValueError as fault:
        raise InputError(f"{where}: {fault}, in a skeleton file, and set the skeleton to it") from fault


def point_rows(table: PointTable, kind: Skeleton, view: View, noise: float, first: int, where: Path) -> Detections2D:
    """Return the rows of a view, in the order of frames, of which ``first`` is the session's first.

    InputError if no point is a joint of the skeleton, or for frames that the session has not.
    """
    at = _columns_of(table.names, kind)
    if not (at >= 0).any():
        raise InputError(
            f"{where}: none of its points ({', '.join(table.names[:30])}) is a joint of skeleton {kind.name}; set the "
            "skeleton to a skeleton file with these names"
        )
    order = np.argsort(table.frame, kind="stable")
    xy, score = table.xy[order][:, at], table.score[order][:, at]
    xy[:, at < 0] = np.nan
    xy, score = without_missing(xy, np.where(np.isnan(score), 1.0, score))
    kept = np.flatnonzero((score > 0).any(-1))
    frame = table.frame[order][kept] - first
    if len(frame) and frame[0] < 0:
        raise InputError(f"{where}: frame {frame[0] + first} is before the session's first; set first_frame to it")
    check_frames((int(frame.max(initial=-1)),), view, where)
    carried = table.carried[order][kept]
    return Detections2D.build(kind, frame, view.index, xy[kept], score[kept], noise, carried)


def _columns_of(names: Sequence[str], kind: Skeleton) -> NDArray[np.int64]:
    """Return the number of the point of each joint (J,), -1 where the file has none."""
    exact = {name: at for at, name in enumerate(names)}
    meant: dict[str, int] = {}
    for at, name in enumerate(names):
        joint = known_joint(name)
        if joint:
            meant.setdefault(joint, at)
    labels = kind.labels or kind.joints
    found = [exact.get(label, meant.get(joint, -1)) for label, joint in zip(labels, kind.joints, strict=True)]
    return np.array(found, np.int64)


def video_name(stem: str) -> str:
    """Return the name of the video that a file of DeepLabCut or SLEAP is named after."""
    name = re.split(r"_?DLC_", stem, maxsplit=1)[0] or stem
    numbered = re.search(r"\.\d{3}_(.+)$", name)  # SLEAP: labels.v001.000_video.analysis.h5
    return _VIDEO.sub("", numbered[1] if numbered else name)


def one_file_each(files: Iterable[Path], order: Sequence[str]) -> dict[str, Path]:
    """Return the file of each video; of several, the one whose suffix comes first in ``order``, not a filtered one."""
    ranked = sorted(
        files, key=lambda path: ("_filtered" in path.stem, order.index(path.suffix.lower()), len(path.name), path.name)
    )
    found: dict[str, Path] = {}
    for path in ranked:
        found.setdefault(video_name(path.stem), path)
    return found


def csv_columns(path: Path, skip: int, columns: int, text: Sequence[int]) -> list[NDArray[Any]]:
    """Return the columns of a CSV file below its first ``skip`` lines: numbers, or text for those in ``text``.

    ValueError for a line with another number of cells or a cell that is no number.
    """
    import pyarrow as pa
    from pyarrow import csv

    names = [f"f{at}" for at in range(columns)]
    kinds = {name: pa.string() if at in text else pa.float64() for at, name in enumerate(names)}
    table = csv.read_csv(
        path,
        csv.ReadOptions(skip_rows=skip, column_names=names),
        csv.ParseOptions(),
        csv.ConvertOptions(column_types=kinds, null_values=["", "NaN", "nan", "None", "NA"], strings_can_be_null=False),
    )
    return [table[name].to_numpy() for name in names]


def csv_head(path: Path, lines: int) -> list[list[str]]:
    """Return the cells of the first lines of a CSV file; OSError or ValueError if it cannot be read."""
    import csv

    with path.open("rb") as stream:
        text = stream.read(_MOST_HEADER).decode("utf-8-sig", "replace")
    try:
        return list(csv.reader(text.splitlines()[:lines]))
    except csv.Error as fault:
        raise ValueError(str(fault)) from fault


def frames_of(cells: NDArray[Any]) -> NDArray[np.int64]:
    """Return frame numbers from numbers or from names of images; ValueError if there is none."""
    if cells.dtype.kind in "iuf":
        values = cells.astype(np.float64)
    else:
        texts = [str(cell) for cell in cells]
        try:
            values = np.array(texts, np.float64)
        except ValueError:
            found = [re.findall(r"\d+", Path(text).stem) for text in texts]
            lost = next((text for text, groups in zip(texts, found, strict=True) if not groups), None)
            if lost is not None:
                raise ValueError(f"{lost[:60]!r} names no frame") from None
            values = np.array([float(groups[-1]) for groups in found])
    if values.size and not (np.isfinite(values).all() and np.abs(values).max() < 1 << 53):
        raise ValueError("a frame is no number")
    whole = values.astype(np.int64)
    if (whole != values).any():
        raise ValueError("a frame is no whole number")
    return whole


def open_hdf5(path: Path) -> Any:
    """Return an HDF5 file opened for reading; InputError if h5py is not installed, OSError if it is no HDF5 file."""
    try:
        import h5py
    except ImportError as fault:
        raise InputError(f"{path}: HDF5 files need h5py: pip install h5py; or export the points as CSV") from fault
    return h5py.File(path, "r")


def hdf5_array(group: Any, name: str, path: Path) -> NDArray[Any]:
    """Return a dataset of an HDF5 group; ValueError if there is none, or if it would be far larger than the file."""
    link = group.get(name, getlink=True)
    if link is None or type(link).__name__ != "HardLink":
        raise ValueError(f"no dataset {name} in it")
    import h5py

    found = group[name]
    if not isinstance(found, h5py.Dataset) or (found.dtype.hasobject and not h5py.check_string_dtype(found.dtype)):
        raise ValueError(f"{name} is no dataset of numbers or text")
    if found.external or found.is_virtual:
        raise ValueError(f"{name} is kept in another file")
    if found.size * max(found.dtype.itemsize, 1) > max(GRANTED_BYTES, MOST_TIMES * path.stat().st_size):
        raise ValueError(f"{name} is more than {MOST_TIMES} times larger than the file")
    return np.asarray(found[()])


def texts_of(values: NDArray[Any]) -> list[str]:
    """Return an array of text or bytes as text."""
    return [one.decode("utf-8") if isinstance(one, bytes) else str(one) for one in np.ravel(values).tolist()]


def same_points(table: PointTable, seen: Mapping[str, tuple[str, ...]], where: Path) -> None:
    """Raise InputError if the points of a view are named otherwise than those of the views before it."""
    for other, names in seen.items():
        if set(names) != set(table.names):
            raise InputError(
                f"{where}: its points ({', '.join(table.names[:30])}) are not those of view {other} "
                f"({', '.join(names[:30])}); give files with the same points, or set the skeleton"
            )
