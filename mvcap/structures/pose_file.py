"""Poses of a take as one npz file: ``poses.npz`` of a session, and true poses for the estimator ``oracle``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.bounded_arrays import bounded_arrays
from calib.bounded_files import parse_json, reason_of
from mvcap.errors import InputError
from mvcap.structures.npz import NpzStream, write_npz, written_whole
from mvcap.structures.poses import Poses3D, TakeInfo
from mvcap.structures.skeleton import Skeleton, skeleton

_SAME_RATE = 0.01


def save_poses(path: Path, poses: Poses3D) -> Path:
    """Write poses as an npz of their columns, raw poses with the prefix ``raw_``, and the name of the skeleton.

    ``about`` is JSON: unit, axes, rate and length, if the poses have ``take``. SessionError if it cannot be written.
    """
    held = {"skeleton": np.array(poses.skeleton.stored_name), **poses.arrays()}
    if poses.take is not None:
        raw = poses.take.raw.arrays() if poses.take.raw is not None else {}
        held |= {"about": _told(poses.take, poses.skeleton)}
        held |= {f"raw_{name}": column for name, column in raw.items()}
    write_npz(path, held)
    return path


def save_pose_blocks(path: Path, blocks: Callable[[], Iterable[Poses3D]], take: TakeInfo) -> Path:
    """Write poses given as blocks of rows, gone through once for each column, as ``save_poses`` does.

    Raises SessionError if the file cannot be written, ValueError without a block.
    """
    first: Poses3D | None = None
    count = 0
    for block in blocks():
        first, count = block if first is None else first, count + len(block)
    if first is None:
        raise ValueError("no block of poses")
    with written_whole(path) as part, NpzStream(part) as stream:
        for name, value in (("skeleton", np.array(first.skeleton.stored_name)), ("about", _told(take, first.skeleton))):
            stream.begin(name, value.shape, value.dtype)
            stream.extend(value)
        for name, column in first.arrays().items():
            stream.begin(name, (count, *column.shape[1:]), column.dtype)
            for block in blocks():
                stream.extend(block.arrays()[name])
    return path


def _told(take: TakeInfo, kind: Skeleton) -> NDArray[np.str_]:
    about = {
        **take.about,
        "unit": "m",
        "axes": "z-up",
        "rate_hz": take.rate_hz,
        "frames": take.frames,
        "skeleton": kind.stored_name,
        "joints": kind.joints,
    }
    return np.array(json.dumps(about, sort_keys=True))


def load_poses(path: str | Path) -> Poses3D:
    """Read ``poses.npz`` of a session, or a file that ``save_poses`` or ``write_poses`` wrote.

    Returns the refined poses, with the raw poses in ``raw`` if the file has them, the frame rate in ``rate_hz`` and the
    metadata of the file in ``take.about``. Raises InputError for a file that cannot be read.
    """
    file = Path(path)
    try:
        held = bounded_arrays(file)
        about = _about(held)
        kind = skeleton(str(about["skeleton"]))
        refined = Poses3D.from_arrays(kind, held)
        before = {key.removeprefix("raw_"): value for key, value in held.items() if key.startswith("raw_")}
        raw = Poses3D.from_arrays(kind, before) if before else None
        frames = int(about.get("frames", refined.frame.max(initial=-1) + 1))
        return replace(refined, take=TakeInfo(about.get("rate_hz"), frames, raw, about))
    except InputError as fault:
        raise InputError(f"{file}: {fault}") from fault
    except (OSError, LookupError, ValueError, TypeError, ArithmeticError) as fault:
        raise InputError(f"{file}: cannot be read as poses ({reason_of(fault)}); give a poses.npz") from fault


def load_truth(path: str | Path, frames: int, rate_hz: float) -> Poses3D:
    """Read poses to show beside those of a take of so many frames; InputError for those of another length or rate."""
    found = load_poses(path)
    take = found.take
    other = take.rate_hz if take else None
    if take and (take.frames > frames or (other and abs(other / rate_hz - 1) > _SAME_RATE)):
        rate = f" at {other:.6g} Hz" if other else ""
        raise InputError(
            f"{path}: has {take.frames} frames{rate}, the session {frames} at {rate_hz:.6g} Hz; give the truth of this "
            "take"
        )
    return found


def _about(held: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the metadata of a file of poses: its ``about``, or at least its skeleton; ValueError if there is none."""
    if "about" in held:
        about = parse_json(str(held["about"]))
        if not isinstance(about, dict) or "skeleton" not in about:
            raise ValueError("its 'about' names no skeleton")
        return about
    if "skeleton" not in held:
        raise ValueError(f"no array 'about' or 'skeleton' in it; there are {', '.join(list(held)[:20]) or 'none'}")
    return {"skeleton": str(held["skeleton"])}
