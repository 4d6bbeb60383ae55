"""Campus: 3D ground truth of 3 actors and the cameras of 3 views of 360x288; it has no 2D detections of its own.

actorsGT.mat               actor3D (1, 3) cells of (2000, 1) cells: (14, 3) m in Shelf's order, or empty
calibration_campus.json    by view R, T with x_cam = R (X - T), T in mm; fx fy cx cy; lenses without distortion

The 2D input is the ground truth projected into the three views plus Gaussian noise (default 1 px, which is about 25 mm
at the distance of these people). The scored frames are 350 to 470 and 650 to 750, both inclusive; the frames between
are part of the clip so that tracks continue, but are not scored.
"""

from __future__ import annotations

import struct
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from calib import Camera, Lens, Rig
from calib.bounded_files import bounded_text, parse_json
from calib.errors import CalibrationError
from calib.geometry import pose
from mvcap.errors import InputError
from mvcap.evaluation.benchmark_clip import (
    BenchmarkClip,
    Options,
    one_line_reason,
    pcp_rules,
    projected_truth,
    truth_table,
)
from mvcap.evaluation.head_rules import read_as_shelf14
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import skeleton

RATE_HZ = 25.0
RULE = "voxelpose-campus"
SIZE = (360, 288)
NOISE_PX = 1.0
_SCORED = ((350, 470), (650, 750))
_FIRST, _LAST = 350, 750


def read(folder: Path, options: Options) -> list[BenchmarkClip]:
    """Return the clip of frames 350 to 750; InputError names a missing or broken file."""
    options.only("campus", "noise_px")
    rig = _rig(folder / "calibration_campus.json")
    rig = rig.select(options.views) if options.views else rig
    truth = _truth(folder / "actorsGT.mat")
    noise_px = NOISE_PX if options.noise_px is None else options.noise_px
    frames = _LAST - _FIRST + 1
    scored = np.zeros(frames, bool)
    for first, last in _SCORED:
        scored[first - _FIRST : last - _FIRST + 1] = True
    source = f"projected truth with {noise_px:g} px of noise"
    read_as, rules = partial(read_as_shelf14, rule=RULE), pcp_rules(RULE)
    estimator = projected_truth(truth, noise_px)
    return [BenchmarkClip("campus", rig, RATE_HZ, frames, truth, scored, source, estimator, read_as, rules)]


def _rig(path: Path) -> Rig:
    try:
        document = parse_json(bounded_text(path))
        return Rig(tuple(_camera(str(name), held) for name, held in document.items()), source=str(path))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, CalibrationError) as fault:
        raise InputError(
            f"{path}: cannot be read as Campus' cameras ({one_line_reason(fault)}); give the folder that holds them"
        ) from fault


def _camera(name: str, held: dict[str, Any]) -> Camera:
    R, centre = np.array(held["R"], float), np.array(held["T"], float).ravel() / 1000
    K = np.array([[held["fx"], 0, held["cx"]], [0, held["fy"], held["cy"]], [0, 0, 1]], float)
    return Camera(Lens(name, SIZE, K, np.zeros(0)), pose(R, -R @ centre))


def _truth(path: Path) -> Poses3D:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    frame, person, found = [], [], []
    try:
        actors = loadmat(path)["actor3D"][0]
        for number, actor in enumerate(actors, 1):
            for index in range(_FIRST, min(_LAST + 1, len(actor))):
                xyz = np.asarray(actor[index, 0])
                if xyz.shape == (14, 3):
                    frame.append(index - _FIRST)
                    person.append(number)
                    found.append(xyz.astype(np.float64))
    except (
        *(OSError, ValueError, LookupError, TypeError, ArithmeticError, MemoryError, NotImplementedError),
        *(AttributeError, MatReadError, zlib.error, struct.error),
    ) as fault:
        raise InputError(
            f"{path}: cannot be read as Campus' truth ({one_line_reason(fault)}); give the folder that holds it"
        ) from fault
    return truth_table(skeleton("shelf14"), frame, person, np.array(found))
