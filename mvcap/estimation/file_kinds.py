"""Which estimator reads the files of a folder, for messages about files that were given to another."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

_HEAD_BYTES = 4096
_HDF5_BYTES = 1 << 16
_HDF5 = (".h5", ".hdf5")
_FOLDER_OF = {
    "deeplabcut": "DeepLabCut", "sleap": "SLEAP", "openpose": "OpenPose", "alphapose": "AlphaPose",
    "coco": "COCO or MMPose", "openpose_parts": "OpenPose's part candidates",
}  # fmt: skip


def other_estimator(folder: Path, than: str) -> str:
    """Return which estimator to set for the files of a folder, as the end of a message; "" if none is recognised.

    than: the estimator that does not read them.
    """
    try:
        kinds = [kind for kind in map(file_kind, _some_files(folder)) if kind]
    except OSError:
        return ""
    kind = kinds[0] if kinds else than
    if {than, _sibling(than)} & {*kinds, kind}:
        return ""
    if kind == "table":
        return "there are detections in mvcap's own layout: set estimator=table and estimators.table.file"
    if kind == "slp":
        return (
            "there are labels of SLEAP (.slp): export them as analysis HDF5 or CSV, and set estimator=sleap and "
            "estimators.sleap.folder"
        )
    return f"the files are those of {_FOLDER_OF[kind]}: set estimator={kind} and estimators.{kind}.folder"


def file_kind(path: Path) -> str | None:
    """Return the name of the estimator that reads a file, ``slp`` for labels of SLEAP, or None."""
    suffix = path.suffix.lower()
    if suffix in (".npz", ".parquet"):
        return "table"
    if suffix == ".slp":
        return "slp"
    if suffix not in (".csv", ".json", ".txt", *_HDF5):
        return None
    with path.open("rb") as stream:
        head = stream.read(_HDF5_BYTES if suffix in _HDF5 else _HEAD_BYTES)
    if suffix in _HDF5:
        return "sleap" if "analysis" in path.name or b"node_names" in head else "deeplabcut"
    text = head.decode("utf-8", "replace")
    if suffix == ".csv":
        first = text.lstrip("\ufeff").partition("\n")[0]
        if first.startswith("scorer,"):
            return "deeplabcut"
        return "sleap" if first.startswith("track,frame_idx") else None
    if suffix == ".txt":
        return "openpose_parts" if text.startswith("4 ") else None
    if '"people"' in text:
        return "openpose"
    if '"idx"' in text and '"image_id"' in text:
        return "alphapose"
    return "coco" if any(key in text for key in ('"image_id"', '"instances"', '"annotations"')) else None


def _some_files(folder: Path) -> Iterable[Path]:
    """Return a few files of a folder and of its first subfolders."""
    inside = sorted(islice(folder.iterdir(), 1000))
    files = [path for path in inside if path.is_file()]
    deeper = [path for below in inside if below.is_dir() for path in islice(below.iterdir(), 5) if path.is_file()]
    return [*files[:50], *deeper[:50]]


def _sibling(than: str) -> str:
    """Return an estimator whose files look like those of another, so that neither is proposed for the other."""
    return {"coco": "alphapose", "alphapose": "coco"}.get(than, than)
