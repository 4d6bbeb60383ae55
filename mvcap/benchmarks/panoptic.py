"""CMU Panoptic: 3D ground truth of 19 joints and real cameras; the 2D input is its projection plus noise.

calibration_*.json                         cm, y down, see ``calib.formats.panoptic``
hdPose3d_stage1_coco19/body3DScene_*.json  one file per frame: bodies with id and joints19 (x, y, z in cm, score or -1)

The folder is one clip or contains several. A clip without a calibration uses that of another clip, as they were
recorded on the same day. By default the views are five HD cameras spread evenly over the list, and the noise is 2 px.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from calib import Rig
from calib.bounded_files import parse_json
from calib.formats import panoptic
from calib.geometry import transform
from mvcap.errors import InputError
from mvcap.evaluation.benchmark_clip import (
    BenchmarkClip,
    Options,
    choose_clips,
    one_line_reason,
    projected_truth,
    same_skeleton,
    truth_table,
)
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import skeleton

RATE_HZ = 29.97
NOISE_PX = 2.0
_VIEWS = 5
_POSES = "hdPose3d_stage1_coco19"


def read(folder: Path, options: Options) -> list[BenchmarkClip]:
    """Return the clips in the folder; InputError names a missing or broken file or an unknown clip."""
    options.only("panoptic", "noise_px", "clips")
    places = sorted({path.parent for path in (folder, *folder.glob("*/")) for path in path.glob(_POSES)})
    cameras = sorted(folder.rglob("calibration_*.json"))
    if not places or not cameras:
        raise InputError(f"{folder}: no {_POSES} with a calibration_*.json in it; give a folder of CMU Panoptic")
    noise_px = NOISE_PX if options.noise_px is None else options.noise_px
    clips = []
    for name in choose_clips([place.name for place in places], options.clips, folder):
        place = next(place for place in places if place.name == name)
        own = sorted(place.glob("calibration_*.json"))
        truth, frames = _truth(place / _POSES)
        source = f"projected truth with {noise_px:g} px of noise"
        rig = _rig((own or cameras)[0], options)
        estimator = projected_truth(truth, noise_px)
        clips.append(
            BenchmarkClip(name, rig, RATE_HZ, frames, truth, np.ones(frames, bool), source, estimator, same_skeleton)
        )
    return clips


def _rig(path: Path, options: Options) -> Rig:
    rig = panoptic.read(path, kind="hd")
    if options.views:
        return rig.select(options.views)
    count = min(_VIEWS, len(rig))
    return rig.select([rig.names[at] for at in np.linspace(0, len(rig), count, endpoint=False).astype(int)])


def _numbered(folder: Path) -> dict[int, Path]:
    """Return the files of poses by the frame number in their names; InputError if there are none or not numbered."""
    files = {path.stem.rpartition("_")[2]: path for path in sorted(folder.glob("body3DScene_*.json"))}
    for number, path in files.items():
        if not (number.isascii() and number.isdecimal() and len(number) <= 9):
            raise InputError(f"{path}: the name has no frame number; name the file body3DScene_00000100.json or so")
    if not files:
        raise InputError(f"{folder}: no body3DScene_*.json in it; copy the poses of CMU Panoptic there")
    return {int(number): path for number, path in files.items()}


def _truth(folder: Path) -> tuple[Poses3D, int]:
    files = _numbered(folder)
    frame, person, found = [], [], []
    for number, path in files.items():
        try:
            for body in parse_json(path.read_bytes())["bodies"]:
                joints = np.array(body["joints19"], float).reshape(19, 4)
                frame.append(number)
                person.append(int(body["id"]) + 1)
                found.append(
                    np.where(joints[:, 3:] > 0, transform(panoptic.WORLD_FROM_PANOPTIC, joints[:, :3]), np.nan)
                )
        except (OSError, ValueError, KeyError, TypeError, ArithmeticError) as fault:
            raise InputError(
                f"{path}: cannot be read as Panoptic's poses ({one_line_reason(fault)}); copy it again"
            ) from fault
    first, last = min(files), max(files)
    truth = truth_table(skeleton("panoptic19"), frame, person, np.array(found))
    return truth.with_columns(frame=truth.frame - first), last - first + 1
