"""VoxelPose: sequences in CMU Panoptic's layout with images, and a configuration that names them.

``NAME_SPLIT/...``    as of the format panoptic
``voxelpose.yaml``    DATASET: ROOT, sequences of train and test, CAMERA_NUM; MULTI_PERSON: SPACE_SIZE, SPACE_CENTER mm
``camera_list.json``  panel and node of every camera, for the loader's list of cameras

The space is that of the joints and half a metre around them, in millimetres of the world with z up.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from calib import Rig
from mvcap.datasets.formats.panoptic import PanopticPoses, panoptic_names, sequence_name, write_sequence
from mvcap.datasets.ground_truth import GroundTruth
from mvcap.errors import InputError
from mvcap.structures.npz import write_text

_ROOM_M = 0.5
_ROUND_MM = 100.0


class VoxelPoseFolder:
    """VoxelPose: Panoptic's layout with images, and the configuration of the network's training on it."""

    def check(self, rig: Rig, images: bool) -> None:
        """Raise InputError without images, which the network is trained on, and for lenses as the format panoptic."""
        if not images:
            raise InputError("VoxelPose is trained on images, and the dataset has none; make it with images")
        panoptic_names(rig)

    def write(self, truth: GroundTruth, folder: Path) -> None:
        """Write the sequences and the configuration; InputError as of ``check``."""
        self.check(truth.cameras(), bool(truth.suffix))
        rig = panoptic_names(truth.cameras())
        splits = truth.splits()
        for split in splits:
            write_sequence(truth, split, folder / sequence_name(truth, split), rig)
        names = {split: sequence_name(truth, split) for split in splits}
        cameras = [[0, view] for view in range(len(rig))]
        write_text(folder / "camera_list.json", json.dumps(cameras) + "\n")
        write_text(folder / "voxelpose.yaml", _configuration(truth, names))

    def read(self, folder: Path) -> GroundTruth:
        """Return the sequences in a folder."""
        return PanopticPoses().read(folder)


def _configuration(truth: GroundTruth, names: dict[str, str]) -> str:
    import yaml

    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for one in truth.frames():
        points = one.xyz[np.isfinite(one.xyz).all(-1)]
        if len(points):
            low, high = np.minimum(low, points.min(0)), np.maximum(high, points.max(0))
    low, high = low - _ROOM_M, high + _ROOM_M
    size = np.ceil(1e3 * (high - low) / _ROUND_MM) * _ROUND_MM
    held = {
        "DATASET": {
            "ROOT": ".",
            "TRAIN_DATASET": "panoptic",
            "TEST_DATASET": "panoptic",
            "TRAIN_SEQUENCES": [names[split] for split in ("train",) if split in names],
            "TEST_SEQUENCES": [names[split] for split in ("val", "test") if split in names],
            "CAMERA_NUM": len(truth.views),
            "ROOTIDX": 2,
        },
        "MULTI_PERSON": {
            "SPACE_SIZE": size.tolist(),
            "SPACE_CENTER": np.round(500 * (low + high), 1).tolist(),
            "MAX_PEOPLE_NUM": max((len(one.persons) for one in truth.frames()), default=0),
        },
    }
    return str(yaml.safe_dump(held, sort_keys=False))
