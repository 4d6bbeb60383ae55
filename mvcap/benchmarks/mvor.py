"""MVOR: an operating room at isolated moments in 3 views; upper bodies, heavy occlusion, manual labels.

camma_mvor_2018.json   cameras, 2D labels of 10 joints with a person id that holds across views, 3D poses of 12 joints
openpose_kps.json, rtpose_kps.json   detections of two detectors, 17 COCO joints

The file does not name the 3D joints. Projected into the views (x_cam = inv(extrinsics) X, mm, the first camera's frame,
whatever ``ref_camera`` states), the first ten match the ten labelled joints in their order, with median distances of 5
to 20 px, and the last two lie beyond the wrists: hands. The ten are scored, in mm; the head is the midpoint of the ears
(median 5.6 px from the label where a detector found both). The labels ignore distortion, and so do the cameras here.

The world is the file's room frame, raised by 1.1 m so that the floor is about z = 0. The rate is 0.05 Hz: moments lie
more than a minute apart, and with 20 s per frame no setting of tracking links people between moments. Many people are
not labelled, so unmatched people are reported but should not be minimised. The 3D labels also use depth: every sixth of
these people is labelled in one view only, so recall from geometry is at most about 83 %.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib import Camera, Lens, Rig
from calib.bounded_files import parse_json
from calib.errors import CalibrationError
from calib.geometry import pose, transform
from mvcap.errors import InputError
from mvcap.evaluation.benchmark_clip import BenchmarkClip, EstimatorSettings, Options, one_line_reason, truth_table
from mvcap.evaluation.head_rules import read_as_mvor
from mvcap.structures.detection_table import write_detections_npz
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import skeleton

RATE_HZ = 0.05
_FLOOR_M = 1.1
_FILES = {"openpose": "openpose_kps.json", "rtpose": "rtpose_kps.json"}
_HIDDEN = 1
_LABEL_NOISE = 0.8
"""Noise of a careful annotator, measured between views and including camera errors; twice that for hidden joints."""
_DETECTOR_NOISE = 0.35
"""Measured in the same way: residuals between views are 0.96 to 1.05 times this noise."""


def read(folder: Path, options: Options) -> list[BenchmarkClip]:
    """Return all moments as one clip, with the 2D labels or a detector as input; InputError names what is wrong."""
    options.only("mvor", "detections")
    kind = options.detections or "labels"
    if kind not in ("labels", *_FILES):
        raise InputError(f"--detections {kind}: unknown; available: labels, {', '.join(_FILES)}")
    path = folder / "camma_mvor_2018.json"
    document = _json(path)
    try:
        rig, room = _rig(document)
        images = {int(one["id"]): (frame, view) for frame, moment in enumerate(document["multiview_images"])
                  for view, one in enumerate(moment["images"])}  # fmt: skip
        labels = _labels(document, images)
        truth = _truth(document, images, room)
        found = labels if kind == "labels" else _detections(_json(folder / _FILES[kind]), images)
    except (
        *(LookupError, TypeError, ValueError, ArithmeticError, AttributeError),
        *(np.linalg.LinAlgError, CalibrationError),
    ) as fault:
        raise InputError(f"{path}: is not MVOR's 2018 file (at {one_line_reason(fault)}); copy it again") from fault
    if options.views:
        names = rig.names
        rig = rig.select(options.views)
        found, labels = (_of_views(rows, names, rig.names) for rows in (found, labels))
    frames = len(document["multiview_images"])
    source = "people labelled by hand" if kind == "labels" else f"people found by {kind}"
    estimator = _table(found, rig)
    scored = np.ones(frames, bool)
    return [
        BenchmarkClip(
            "mvor", rig, RATE_HZ, frames, truth, scored, source, estimator, read_as_mvor, moments=True, labels=labels
        )
    ]


def _json(path: Path) -> Any:
    try:
        return parse_json(path.read_bytes())
    except (OSError, ValueError) as fault:
        raise InputError(
            f"{path}: cannot be read ({one_line_reason(fault)}); give the folder of MVOR's json files"
        ) from fault


def _rig(document: Any) -> tuple[Rig, NDArray[np.float64]]:
    """Return the cameras in metres, and the transform (4, 4) from the first camera (mm) to the room frame (m)."""
    held = document["cameras_info"]["camParams"]
    room = np.reshape(held["firstCamToRoomRef"], (4, 4)).astype(float)
    room[2, 3] += 1000 * _FLOOR_M
    cameras = []
    for number, (inner, outer) in enumerate(zip(held["intrinsics"], held["extrinsics"], strict=True), 1):
        (fx, fy), (cx, cy) = inner["focallength"], inner["principalpoint"]
        lens = Lens(
            f"cam{number}", tuple(inner["imagesize"]), np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]), np.zeros(0)
        )
        cam_from_room = np.linalg.inv(room @ np.reshape(outer, (4, 4)))
        U, _, V = np.linalg.svd(cam_from_room[:3, :3])
        cameras.append(Camera(lens, pose(U @ V, cam_from_room[:3, 3] / 1000)))
    scale = np.diag([0.001, 0.001, 0.001, 1.0])
    return Rig(tuple(cameras), source="MVOR"), scale @ room


def _labels(document: Any, images: dict[int, tuple[int, int]]) -> Detections2D:
    rows = []
    for one in document["annotations"]:
        if not one["only_bbox"]:
            joints = np.reshape(one["keypoints"], (10, 3)).astype(float)
            frame, view = images[int(one["image_id"])]
            score = np.where(joints[:, 2] == _HIDDEN, 0.5, np.where(joints[:, 2] > 0, 1.0, 0.0))
            row = Detections2D.build(skeleton("mvor10"), frame, view, joints[None, :, :2], score[None], _LABEL_NOISE)
            rows.append(row.with_columns(person=np.array([int(one["person_id"])])))
    return Detections2D.concatenate(rows, skeleton("mvor10"))


def _detections(people: Any, images: dict[int, tuple[int, int]]) -> Detections2D:
    rows = []
    for one in people:
        joints = np.reshape(one["coco_keypoints"], (17, 3)).astype(float)
        frame, view = images[int(one["image_id"])]
        row = Detections2D.build(
            skeleton("coco17"), frame, view, joints[None, :, :2], joints[None, :, 2], _DETECTOR_NOISE
        )
        rows.append(row)
    return Detections2D.concatenate(rows, skeleton("coco17"))


def _truth(document: Any, images: dict[int, tuple[int, int]], room: NDArray[np.float64]) -> Poses3D:
    frame, person, found = [], [], []
    for one in document["annotations3D"]:
        joints = np.reshape(one["keypoints3D"], (-1, 4)).astype(float)[:10]
        frame.append(images[int(one["image_ids"].split("_")[0])][0])
        person.append(int(one["person_id"]))
        found.append(np.where(joints[:, 3:] > 0, transform(room, joints[:, :3]), np.nan))
    return truth_table(skeleton("mvor10"), frame, person, np.array(found))


def _of_views(rows: Detections2D, names: tuple[str, ...], wanted: tuple[str, ...]) -> Detections2D:
    rows = rows[np.isin(rows.view, [names.index(name) for name in wanted])]
    return rows.with_columns(view=np.array([wanted.index(names[view]) for view in rows.view], np.int16))


def _table(rows: Detections2D, rig: Rig) -> Any:
    """Return a function that sets up the estimator ``table`` with the rows, without their person ids."""

    def estimator(folder: Path) -> EstimatorSettings:
        ordered = rows[np.argsort(rows.frame, kind="stable")].with_columns(person=np.full(len(rows), -1))
        write_detections_npz(folder / "detections.npz", [ordered], rig.names, rows.skeleton)
        return {"estimator": "table", "estimators": {"table": {"file": str(folder / "detections.npz")}}}

    return estimator
