"""Shelf in 4D Association's layout: OpenPose part candidates of 5 views and 3D ground truth of 4 actors, m, z up.

calibration.json   by view: K (9), RT (12) with x_cam = RT [X; 1], imgSize
detection/<view>.txt   BODY_25 part candidates with PAF scores, see the estimator ``openpose_parts``
gt.txt             15 joints per person: the 14 of Shelf and the midpoint of the hips
skel.txt           the same layout with 19 joints: 4D Association's own result; a joint of zeros is missing

Four people are labelled; a fifth, who passes by, is not, so an unmatched person is not always a false positive.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calib import Camera, Lens, Rig
from calib.bounded_files import bounded_text, parse_json
from calib.errors import CalibrationError
from calib.geometry import pose
from mvcap.errors import InputError
from mvcap.evaluation.benchmark_clip import (
    BenchmarkClip,
    EstimatorSettings,
    Options,
    one_line_reason,
    pcp_rules,
    truth_table,
)
from mvcap.evaluation.head_rules import read_as_shelf14
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton, skeleton

RATE_HZ = 25.0
RULE = "voxelpose"
"""The head rule used for matching to the ground truth and for errors in mm."""
_LARGEST = 2**31
_BY_JOINTS = {15: "shelf15", 19: "skel19"}


def read(folder: Path, options: Options) -> list[BenchmarkClip]:
    """Return the clip in the folder; InputError names a missing or broken file."""
    options.only("shelf")
    rig = _rig(folder / "calibration.json")
    truth, frames = read_people(folder / "gt.txt")
    truth = read_as_shelf14(truth, RULE)
    rig = rig.select(options.views) if options.views else rig

    def estimator(session: Path) -> EstimatorSettings:
        parts = {"folder": str((folder / "detection").resolve())}
        return {"estimator": "openpose_parts", "estimators": {"openpose_parts": parts}}

    scored, source = np.ones(frames, bool), "OpenPose part candidates"
    read_as = partial(read_as_shelf14, rule=RULE)
    return [BenchmarkClip("shelf", rig, RATE_HZ, frames, truth, scored, source, estimator, read_as, pcp_rules(RULE))]


def _rig(path: Path) -> Rig:
    try:
        document = parse_json(bounded_text(path))
        cameras = []
        for name, held in document.items():
            K, RT = np.reshape(held["K"], (3, 3)), np.reshape(held["RT"], (3, 4))
            lens = Lens(str(name), tuple(held["imgSize"]), K, np.zeros(0))
            cameras.append(Camera(lens, pose(_nearest_rotation(RT[:, :3]), RT[:, 3])))
        return Rig(tuple(cameras), source=str(path))
    except (
        *(OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError),
        *(np.linalg.LinAlgError, CalibrationError),
    ) as fault:
        raise InputError(
            f"{path}: cannot be read as Shelf's calibration ({one_line_reason(fault)}); give the folder that holds it"
        ) from fault


def _nearest_rotation(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation nearest to a matrix, as the file's matrices are rounded."""
    U, _, V = np.linalg.svd(matrix)
    return np.asarray(U @ V)


def read_people(path: Path) -> tuple[Poses3D, int]:
    """Return the people of gt.txt or skel.txt, numbered from 1, and the number of frames; InputError for a bad file.

    The file has per frame the number of people, then for each an id and x, y, z and score of every joint.
    """
    try:
        values = np.array(path.read_text(encoding="utf-8").split(), np.float64)
    except (OSError, ValueError) as fault:
        raise InputError(
            f"{path}: cannot be read as 3D poses ({one_line_reason(fault)}); give 4D Association's gt.txt or skel.txt"
        ) from fault
    kind = _kind(path, values)
    joints, frames = len(kind), _count(values[1], path, "frames")
    at, number, frame, person, found = 2, 0, [], [], []
    try:
        for number in range(frames):
            count, at = _count(values[at], path, f"people in frame {number}"), at + 1
            for _ in range(count):
                frame.append(number)
                person.append(_count(values[at], path, f"id of a person in frame {number}") + 1)
                found.append(values[at + 1 : at + 1 + 4 * joints].reshape(4, joints))
                at += 1 + 4 * joints
    except (IndexError, ValueError) as fault:
        raise InputError(f"{path}: ends within frame {number} of {frames}; copy the file again") from fault
    blocks = np.array(found).reshape(-1, 4, joints)
    xyz = np.moveaxis(blocks[:, :3], 1, 2)
    lost = (xyz == 0).all(-1) | (blocks[:, 3] <= 0)
    return truth_table(kind, frame, person, np.where(lost[..., None], np.nan, xyz)), frames


def _count(value: float, path: Path, what: str) -> int:
    """Return a whole number of 0 or more; InputError for any other."""
    if not 0 <= value < _LARGEST or value != int(value):  # so for NaN
        raise InputError(f"{path}: {value:g} is no number of {what}; copy the file again")
    return int(value)


def _kind(path: Path, values: NDArray[np.float64]) -> Skeleton:
    joints = _count(values[0], path, "joints") if len(values) > 1 else 0
    if joints not in _BY_JOINTS:
        raise InputError(f"{path}: begins with {joints} joints; 15 (gt.txt) and 19 (skel.txt) are known")
    return skeleton(_BY_JOINTS[joints])
