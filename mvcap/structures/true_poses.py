"""Known poses as a file: what the estimator ``oracle`` and benchmarks with projected truth start from."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from mvcap.errors import InputError
from mvcap.structures.npz import write_npz
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import skeleton


def write_true_poses(path: Path, poses: Poses3D) -> None:
    """Write poses as an npz of their columns and the skeleton's name."""
    write_npz(path, {"skeleton": np.array(poses.skeleton.name), **poses.arrays()})


def read_true_poses(path: Path) -> Poses3D:
    """Read poses that ``write_poses`` wrote; InputError where the file is missing, broken or of another kind."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return Poses3D.from_arrays(skeleton(str(arrays["skeleton"])), arrays)
    except KeyError as fault:
        raise InputError(f"{path}: no {fault} in it; write it with mvcap.estimators.oracle.write_poses") from fault
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as fault:
        raise InputError(
            f"{path}: cannot be read as poses ({fault}); set estimators.oracle.poses to an npz of poses"
        ) from fault
