"""MPI-INF-3DHP: a sequence for each person and split, with annot.mat of all cameras and camera.calibration.

``S1/Seq1/annot.mat``           annot2, annot3, univ_annot3: cells (cameras, 1) of (frames, 28 * 2) px and (frames,
                                28 * 3) mm in the camera's frame; cameras, frames
``S1/Seq1/camera.calibration``  of each camera its size, intrinsic (4, 4) and extrinsic (4, 4, mm) matrices
``S1/Seq1/imageSequence/video_0/img_000001.jpg``  images, numbered from 1 as frames extracted from a video are
``sequences.json``              of each sequence its person, split and frames, the cameras and the rate (ours)

S1 is person 1, Seq1, Seq2 and Seq3 are train, val and test. 28 joints in the data set's order; those that the take
lacks (spine, clavicles, hands, the top of the head) are NaN. ``univ_annot3`` is annot3 scaled about the pelvis to an
adult of mean stature. Frames of other people are those of their own sequences. The lens' distortion, which the
calibration cannot hold, is in sequences.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.bounded_files import reason_of
from calib.geometry import invert, transform
from mvcap.datasets.ground_truth import (
    SPLITS,
    GroundTruth,
    TruthFrame,
    as_skeleton,
    bare_frame,
    in_memory,
    shown_views,
)
from mvcap.datasets.mat_files import read_mat, write_mat
from mvcap.datasets.output_folder import place_copy
from mvcap.datasets.plain_cameras import plain_rig, read_document, rig_of, text_of
from mvcap.errors import InputError
from mvcap.structures.npz import write_text
from mvcap.structures.skeleton import Skeleton, usual_bones

_JOINTS = (
    "spine3", "spine4", "spine2", "spine", "pelvis", "neck", "head", "head_top",
    *(f"left_{part}" for part in ("clavicle", "shoulder", "elbow", "wrist", "hand")),
    *(f"right_{part}" for part in ("clavicle", "shoulder", "elbow", "wrist", "hand")),
    *(f"left_{part}" for part in ("hip", "knee", "ankle", "foot", "toe")),
    *(f"right_{part}" for part in ("hip", "knee", "ankle", "foot", "toe")),
)  # fmt: skip
MPI_INF_28 = Skeleton("mpi_inf_28", _JOINTS, usual_bones(_JOINTS))
"""MPI-INF-3DHP's joints."""
_ROOT = _JOINTS.index("pelvis")


class MpiInf3dhpSequences:
    """MPI-INF-3DHP: annot.mat of 28 joints in every camera's frame, mm, a sequence for each person and split."""

    def write(self, truth: GroundTruth, folder: Path) -> None:
        """Write the sequences and sequences.json; a person's poses of a split are in memory."""
        rig, plain = truth.cameras(), as_skeleton(truth, MPI_INF_28)
        sequences: dict[str, Any] = {}
        for person in truth.persons():
            for number, split in enumerate(SPLITS, 1):
                frames, places, pixels = _of_person(plain, person, split)
                if not frames:
                    continue
                name = f"S{person}/Seq{number}"
                _write(truth, folder / name, person, frames, places, pixels)
                sequences[name] = {"person": person, "split": split, "frames": frames}
                _place_images(truth, folder / name, person, split)
        about = {"name": truth.name, "rate_hz": truth.rate_hz, "joints": _JOINTS, "cameras": plain_rig(rig)}
        write_text(folder / "sequences.json", text_of({**about, "sequences": sequences}) + "\n")

    def read(self, folder: Path) -> GroundTruth:
        """Return the dataset in a folder, with people of one frame together, in the world of the cameras."""
        about = read_document(folder / "sequences.json", "the sequences of MPI-INF-3DHP")
        try:
            rig = rig_of(about["cameras"], folder / "sequences.json")
            held: dict[tuple[str, int], list[tuple[int, NDArray[np.float64], NDArray[np.float64]]]] = {}
            for name, facts in about["sequences"].items():
                places, pixels = _read(folder / name, rig)
                for row, frame in enumerate(facts["frames"]):
                    held.setdefault((facts["split"], int(frame)), []).append(
                        (int(facts["person"]), places[row], pixels[row])
                    )
            frames = [_frame(split, frame, people, len(rig)) for (split, frame), people in held.items()]
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as fault:
            raise InputError(f"{folder}: cannot be read as MPI-INF-3DHP ({reason_of(fault)}); make it again") from fault
        return GroundTruth(about["name"], MPI_INF_28, rig, about["rate_hz"], in_memory(frames), suffix="")


def _of_person(
    truth: GroundTruth, person: int, split: str
) -> tuple[list[int], list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Frames of a person in a split, positions (28, 3) m, world, and pixels (C, 28, 2)."""
    frames, places, pixels = [], [], []
    for one in truth.of_split(split):
        for at in np.flatnonzero(one.persons == person):
            frames.append(one.frame)
            places.append(one.xyz[at])
            pixels.append(one.xy[at])
    return frames, places, pixels


def _write(
    truth: GroundTruth,
    place: Path,
    person: int,
    frames: list[int],
    places: list[NDArray[np.float64]],
    pixels: list[NDArray[np.float64]],
) -> None:
    rig, size = truth.cameras(), truth.sizes.get(person, np.nan)
    names = ("annot2", "annot3", "univ_annot3")
    arrays: dict[str, NDArray[Any]] = {name: np.empty((len(rig), 1), object) for name in names}
    for view, camera in enumerate(rig):
        seen = 1e3 * transform(camera.cam_from_world, np.stack(places))
        root = seen[:, _ROOT : _ROOT + 1]
        arrays["annot2"][view, 0] = np.stack(pixels)[:, view].reshape(len(frames), -1)
        arrays["annot3"][view, 0] = seen.reshape(len(frames), -1)
        arrays["univ_annot3"][view, 0] = (root + (seen - root) / size).reshape(len(frames), -1)
    arrays["cameras"] = np.arange(len(rig), dtype=np.uint8)[None]
    arrays["frames"] = np.arange(len(frames), dtype=np.uint32)[:, None]
    write_mat(place / "annot.mat", arrays)
    write_text(place / "camera.calibration", _calibration(rig))


def _calibration(rig: Rig) -> str:
    """The text of camera.calibration: sizes, and matrices by rows."""
    lines = ["Skeletool Camera Calibration File V1.0"]
    for view, camera in enumerate(rig):
        intrinsic, extrinsic = np.eye(4), camera.cam_from_world.copy()
        intrinsic[:3, :3] = camera.lens.K
        extrinsic[:3, 3] *= 1e3
        size = f"{camera.size[0]} {camera.size[1]}"
        lines += [f"name          {view}", f"  sensor      {size}", f"  size        {size}", "  animated    0"]
        for name, matrix in (("intrinsic", intrinsic), ("extrinsic", extrinsic)):
            lines.append(f"  {name}   {' '.join(f'{value:.9g}' for value in matrix.ravel())}")
        lines.append("  radial      0")
    return "\n".join(lines) + "\n"


def _place_images(truth: GroundTruth, place: Path, person: int, split: str) -> None:
    row = 0
    for one in truth.of_split(split):
        if person not in one.persons:
            continue
        row += 1
        for view in shown_views(truth, one):
            source = truth.image_path(truth.views[view], one.frame)
            if truth.suffix and source is not None:
                name = f"img_{row:06d}{truth.suffix}"
                place_copy(source, place / "imageSequence" / f"video_{view}" / name)


def _read(place: Path, rig: Rig) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions (T, 28, 3) m, world, and pixels (T, C, 28, 2) of a sequence."""
    annot2, annot3 = (read_mat(place / "annot.mat", name) for name in ("annot2", "annot3"))
    seen = np.asarray(annot3[0, 0], np.float64).reshape(-1, len(_JOINTS), 3)
    pixels = [np.asarray(annot2[view, 0], np.float64).reshape(-1, len(_JOINTS), 2) for view in range(len(rig))]
    return transform(invert(rig[0].cam_from_world), seen / 1e3), np.stack(pixels, 1)


def _frame(
    split: str, frame: int, people: list[tuple[int, NDArray[np.float64], NDArray[np.float64]]], views: int
) -> TruthFrame:
    people.sort(key=lambda one: one[0])
    ids, places, pixels = zip(*people, strict=True)
    return bare_frame(frame, split, ids, np.stack(places), views, np.stack(pixels))
