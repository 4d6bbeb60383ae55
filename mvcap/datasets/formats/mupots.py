"""MuPoTS-3D: a sequence for each view and split, with annot.mat and occlusion.mat, in camera coordinates.

``TS1/annot.mat``        annotations, a cell (frames, people) of annot2 (2, 17) px, annot3 and univ_annot3 (3, 17) mm in
                         the camera's frame, isValidFrame
``TS1/occlusion.mat``    occlusion_labels, a cell (frames, people) of (1, 17): 1 hidden or out of view, 0 visible, NaN
                         without truth
``TS1/img_000000.jpg``   images, numbered within the sequence
``sequences.json``       of each sequence its view, split, frames, people, camera and rate (ours)

17 joints in MPI-INF-3DHP's order: top of the head, neck, right arm, left arm, right leg, left leg, pelvis, spine, head.
A joint without truth is NaN. ``univ_annot3`` is annot3 scaled about the pelvis to an adult of mean stature. Pixels are
those of the images, with the lens' distortion, 0 at the centre of the first pixel. A sequence has at most 2000 frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.bounded_files import reason_of
from calib.geometry import invert, transform
from mvcap.datasets.ground_truth import (
    GroundTruth,
    JointVisibility,
    TruthFrame,
    as_skeleton,
    bare_frame,
    in_memory,
    shown_views,
)
from mvcap.datasets.mat_files import read_mat, write_mat
from mvcap.datasets.output_folder import place_copy
from mvcap.datasets.plain_cameras import plain_camera, read_document, rig_of, text_of
from mvcap.errors import InputError
from mvcap.structures.npz import write_text
from mvcap.structures.skeleton import Skeleton, usual_bones

_JOINTS = (
    "head_top", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "pelvis", "spine", "head",
)  # fmt: skip
MUPOTS17 = Skeleton("mupots17", _JOINTS, usual_bones(_JOINTS))
"""MuPoTS-3D's joints."""
_ROOT = _JOINTS.index("pelvis")
_MOST_FRAMES = 2000
_HIDDEN = (JointVisibility.SELF_OCCLUDED, JointVisibility.OCCLUDED, JointVisibility.OUT_OF_VIEW)


class MupotsSequences:
    """MuPoTS-3D: annot.mat and occlusion.mat of each view and split, 17 joints in the camera's frame, mm."""

    def write(self, truth: GroundTruth, folder: Path) -> None:
        """Write the sequences TS1, TS2 ... and sequences.json."""
        rig, plain = truth.cameras(), as_skeleton(truth, MUPOTS17)
        sequences: dict[str, Any] = {}
        for split in truth.splits():
            for view in range(len(rig)):
                shown = (one for one in plain.of_split(split) if view in shown_views(truth, one))
                for part in _parts(shown):
                    name = f"TS{len(sequences) + 1}"
                    sequences[name] = _write(truth, part, view, folder / name) | {"split": split}
        about = {"name": truth.name, "rate_hz": truth.rate_hz, "joints": _JOINTS, "sequences": sequences}
        write_text(folder / "sequences.json", text_of(about) + "\n")

    def read(self, folder: Path) -> GroundTruth:
        """Return the dataset in a folder: views of one frame are joined, positions are in the world."""
        about = read_document(folder / "sequences.json", "the sequences of MuPoTS-3D")
        try:
            cameras = {one["camera"]["name"]: one["camera"] for one in about["sequences"].values()}
            rig = rig_of(list(cameras.values()), folder / "sequences.json")
            frames: dict[tuple[str, int], TruthFrame] = {}
            for name, held in about["sequences"].items():
                for one in _read(folder / name, held, rig):
                    key = (one.split, one.frame)
                    frames[key] = _joined(frames[key], one) if key in frames else one
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as fault:
            raise InputError(f"{folder}: cannot be read as MuPoTS-3D ({reason_of(fault)}); make it again") from fault
        return GroundTruth(about["name"], MUPOTS17, rig, about["rate_hz"], in_memory(frames.values()), suffix="")


def _parts(frames: Iterator[TruthFrame]) -> Iterator[list[TruthFrame]]:
    batch: list[TruthFrame] = []
    for one in frames:
        batch.append(one)
        if len(batch) == _MOST_FRAMES:
            yield batch
            batch = []
    if batch:
        yield batch


def _write(truth: GroundTruth, part: list[TruthFrame], view: int, place: Path) -> dict[str, Any]:
    camera = truth.cameras()[view]
    persons = sorted({int(person) for one in part for person in one.persons})
    annotations = np.empty((len(part), len(persons)), object)
    occlusion = np.empty((len(part), len(persons)), object)
    for row, one in enumerate(part):
        held = one.persons.tolist()
        for column, person in enumerate(persons):
            at = held.index(person) if person in held else -1
            xyz = transform(camera.cam_from_world, one.xyz[at]) * 1e3 if at >= 0 else np.full((17, 3), np.nan)
            xy = one.xy[at, view] if at >= 0 else np.full((17, 2), np.nan)
            size = truth.sizes.get(person, np.nan)
            annotations[row, column] = {
                "annot2": xy.T,
                "annot3": xyz.T,
                "univ_annot3": (xyz[_ROOT] + (xyz - xyz[_ROOT]) / size).T,
                "isValidFrame": np.array([[float(at >= 0)]]),
            }
            states = one.visibility[at, view] if at >= 0 else np.zeros(17, np.uint8)
            occlusion[row, column] = np.where(states == 0, np.nan, np.isin(states, _HIDDEN))[None]
        source = truth.image_path(camera.name, one.frame)
        if truth.suffix and source is not None:
            place_copy(source, place / f"img_{row:06d}{truth.suffix}")
    write_mat(place / "annot.mat", {"annotations": annotations})
    write_mat(place / "occlusion.mat", {"occlusion_labels": occlusion})
    frames = [one.frame for one in part]
    return {"view": view, "camera": plain_camera(camera), "frames": frames, "persons": persons}


def _read(place: Path, about: dict[str, Any], rig: Rig) -> Iterator[TruthFrame]:
    annotations = read_mat(place / "annot.mat", "annotations")
    occlusion = read_mat(place / "occlusion.mat", "occlusion_labels")
    view = rig.names.index(about["camera"]["name"])
    world = invert(rig[view].cam_from_world)
    for row, frame in enumerate(about["frames"]):
        cells = [
            (person, annotations[row, column], occlusion[row, column])
            for column, person in enumerate(about["persons"])
            if annotations[row, column]["isValidFrame"][0, 0].item() == 1
        ]
        people = len(cells)
        xyz = np.array([cell["annot3"][0, 0].T for _, cell, _ in cells], np.float64).reshape(people, 17, 3)
        xy = np.full((people, len(rig), 17, 2), np.nan)
        seen = np.zeros((people, len(rig), 17), np.uint8)
        for at, (_, cell, hidden) in enumerate(cells):
            xy[at, view] = cell["annot2"][0, 0].T
            seen[at, view] = _states(hidden.ravel(), xy[at, view], rig[view].size)
        persons = [person for person, _, _ in cells]
        yield bare_frame(int(frame), about["split"], persons, transform(world, xyz / 1e3), len(rig), xy, seen)


def _states(hidden: NDArray[np.float64], xy: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.uint8]:
    """What the flags (17,) say: visible, hidden (by whom is not told: by another), out of view, or nothing."""
    with np.errstate(invalid="ignore"):
        inside = ((xy >= -0.5) & (xy < np.array(size) - 0.5)).all(-1)
    out = np.where(hidden == 1, JointVisibility.OCCLUDED, JointVisibility.VISIBLE)
    out = np.where((hidden == 1) & ~inside, JointVisibility.OUT_OF_VIEW, out)
    return np.where(np.isnan(hidden), JointVisibility.UNKNOWN, out).astype(np.uint8)


def _joined(one: TruthFrame, other: TruthFrame) -> TruthFrame:
    """The frame with what another view has of the same people."""
    if not np.array_equal(one.persons, other.persons):
        raise ValueError(f"frame {one.frame} has other people in another view")
    known: NDArray[np.bool_] = np.asarray(other.visibility.any(-1))
    xy = np.where(np.isfinite(one.xy), one.xy, other.xy)
    return replace(one, xy=xy, visibility=np.where(known[..., None], other.visibility, one.visibility))
