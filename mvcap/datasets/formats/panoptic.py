"""CMU Panoptic: a sequence a split, with poses of 19 joints, the calibration, and images where there are some.

``NAME_SPLIT/calibration_NAME_SPLIT.json``                       every camera as an HD camera of panel 0; cm, y down
``NAME_SPLIT/hdPose3d_stage1_coco19/body3DScene_00000100.json``  bodies with id and joints19 (x, y, z cm, confidence)
``NAME_SPLIT/hdImgs/00_00/00_00_00000100.jpg``                   images
``NAME_SPLIT/views.json``                                        names of the views, rate and units (ours)

Truth has confidence 1, a joint without truth -1. ``mvcap evaluate panoptic`` reads it, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from calib import Camera, Rig
from calib.bounded_files import reason_of
from calib.errors import CalibrationError
from calib.formats import panoptic
from calib.geometry import transform
from mvcap.datasets.ground_truth import (
    SPLITS,
    GroundTruth,
    TruthFrame,
    as_skeleton,
    bare_frame,
    in_memory,
    shown_views,
)
from mvcap.datasets.output_folder import place_copy
from mvcap.datasets.plain_cameras import read_document
from mvcap.errors import InputError
from mvcap.structures.npz import write_text
from mvcap.structures.skeleton import skeleton

PANOPTIC19 = skeleton("panoptic19")
_POSES = "hdPose3d_stage1_coco19"
_FROM_WORLD = np.linalg.inv(panoptic.WORLD_FROM_PANOPTIC)
_MOST_VIEWS = 100


class PanopticPoses:
    """CMU Panoptic: hdPose3d of 19 joints, calibration and images, a sequence a split."""

    def check(self, rig: Rig, images: bool) -> None:
        """Raise InputError for a lens that Panoptic's calibration cannot hold, or too many cameras."""
        panoptic_names(rig)

    def write(self, truth: GroundTruth, folder: Path) -> None:
        """Write a sequence for each split; InputError for a lens that Panoptic's calibration cannot hold."""
        rig = panoptic_names(truth.cameras())
        for split in truth.splits():
            write_sequence(truth, split, folder / sequence_name(truth, split), rig)

    def read(self, folder: Path) -> GroundTruth:
        """Return the sequences in a folder; a sequence whose name ends in no split is of train."""
        places = sorted(path.parent for path in folder.glob(f"*/{_POSES}"))
        places = places or ([folder] if (folder / _POSES).is_dir() else [])
        if not places:
            raise InputError(f"{folder}: no {_POSES} in it; give a folder of CMU Panoptic")
        rig, rate_hz = _read_rig(places[0])
        frames = [one for place in places for one in _read(place, rig)]
        name = places[0].name.removesuffix(f"_{_split(places[0])}")
        return GroundTruth(name, PANOPTIC19, rig, rate_hz, in_memory(frames), suffix="")


def sequence_name(truth: GroundTruth, split: str) -> str:
    """Return the name of a split's sequence."""
    return f"{truth.name}_{split}"


def camera_folder(view: int) -> str:
    """Return Panoptic's name of a camera: panel 0 and its number."""
    return f"00_{view:02d}"


def panoptic_names(rig: Rig) -> Rig:
    """Return the cameras with Panoptic's names; InputError for more than it can number, or for another lens."""
    other = [camera.name for camera in rig if camera.lens.model != "pinhole" or camera.lens.distortion.size > 5]
    if other:
        raise InputError(
            f"cameras {', '.join(other)}: Panoptic's calibration holds pinhole lenses of at most 5 coefficients; write "
            "another format"
        )
    if len(rig) > _MOST_VIEWS:
        raise InputError(f"Panoptic numbers {_MOST_VIEWS} cameras, the rig has {len(rig)}; write another format")
    return with_names(rig, [camera_folder(view) for view in range(len(rig))])


def with_names(rig: Rig, names: list[str]) -> Rig:
    """Return the cameras with other names, in the same order; ValueError for another number of names."""
    cameras = zip(rig, names, strict=True)
    return Rig(tuple(Camera(replace(one.lens, name=name), one.cam_from_world) for one, name in cameras))


def write_sequence(truth: GroundTruth, split: str, place: Path, rig: Rig) -> None:
    """Write the sequence of a split into a folder; rig: the cameras with Panoptic's names."""
    about = {"views": list(truth.views), "rate_hz": truth.rate_hz, "unit": "cm", "split": split}
    write_text(place / "views.json", json.dumps(about, indent=1) + "\n")
    panoptic.write(rig, place / f"calibration_{place.name}.json")
    for one in as_skeleton(truth, PANOPTIC19).of_split(split):
        bodies = []
        for person, xyz in zip(one.persons.tolist(), one.xyz, strict=True):
            known = np.isfinite(xyz).all(-1)
            values = np.where(known[:, None], transform(_FROM_WORLD, xyz), 0.0).round(5)
            joints = np.concatenate([values, np.where(known, 1.0, -1.0)[:, None]], 1)
            bodies.append({"id": person, "joints19": joints.ravel().tolist()})
        time_ms = round(1e3 * one.frame / truth.rate_hz, 3) if truth.rate_hz else None
        scene = {"version": 0.7, "univTime": time_ms, "fpsType": "hd_29_97", "bodies": bodies}
        write_text(place / _POSES / f"body3DScene_{one.frame:08d}.json", json.dumps(scene))
        for view in shown_views(truth, one):
            source = truth.image_path(truth.views[view], one.frame)
            if truth.suffix and source is not None:
                name = camera_folder(view)
                place_copy(source, place / "hdImgs" / name / f"{name}_{one.frame:08d}{truth.suffix}")


def _split(place: Path) -> str:
    ending = place.name.rpartition("_")[2]
    return ending if ending in SPLITS else SPLITS[0]


def _read_rig(place: Path) -> tuple[Rig, float | None]:
    found = sorted(place.glob("calibration_*.json"))
    if not found:
        raise InputError(f"{place}: no calibration_*.json in it; copy the calibration of the sequence there")
    rig = panoptic.read(found[0], kind="hd")
    path = place / "views.json"
    if not path.exists():
        return rig, None
    about = read_document(path, "names of views")
    try:
        names = [str(name) for name in about["views"]]
        return with_names(rig, names), about["rate_hz"]
    except (KeyError, TypeError, ValueError, CalibrationError) as fault:
        raise InputError(f"{path}: cannot be read as names of views ({reason_of(fault)}); make it again") from fault


def _read(place: Path, rig: Rig) -> Iterator[TruthFrame]:
    for path in sorted((place / _POSES).glob("body3DScene_*.json")):
        document = read_document(path, "Panoptic's poses")
        try:
            bodies = document["bodies"]
            joints = np.array([body["joints19"] for body in bodies], np.float64).reshape(len(bodies), 19, 4)
            xyz = np.where(joints[..., 3:] > 0, transform(panoptic.WORLD_FROM_PANOPTIC, joints[..., :3]), np.nan)
            frame = int(path.stem.rpartition("_")[2])
            xy = np.moveaxis(rig.project(xyz), 0, 1)
            yield bare_frame(frame, _split(place), [int(body["id"]) for body in bodies], xyz, len(rig), xy)
        except (KeyError, TypeError, ValueError) as fault:
            raise InputError(
                f"{path}: cannot be read as Panoptic's poses ({reason_of(fault)}); copy it again"
            ) from fault
