"""Shelf and Campus: actorsGT.mat with 14 joints of every actor and frame, and a calibration file, by split.

``SPLIT/actorsGT.mat``            actor3D (1, P) cells of (T, 1) cells of (14, 3) m, empty where the actor is not there
``SPLIT/calibration_NAME.json``   by view K's fx fy cx cy, R, T mm with x_cam = R (X - T), k (3), p (2), imgSize
``SPLIT/Camera0/img_000000.jpg``  images, numbered as the rows of the cells
``SPLIT/actors.json``             ids of the actors, names and numbers (ours)

Joints are Shelf's; the top of the head is NaN where no joint of the dataset is that. Rows are frames of the take.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib import Camera, Lens, Rig
from calib.bounded_files import reason_of
from calib.errors import CalibrationError
from calib.geometry import pose
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
from mvcap.datasets.plain_cameras import read_document, text_of
from mvcap.errors import InputError
from mvcap.structures.npz import write_text
from mvcap.structures.skeleton import skeleton

SHELF14 = skeleton("shelf14")
_MOST_COEFFICIENTS = 5


class ShelfActors:
    """Shelf and Campus: actorsGT.mat of 14 joints and the calibration of the views, by split."""

    def check(self, rig: Rig, images: bool) -> None:
        """Raise InputError for a lens that the calibration cannot hold."""
        for camera in rig:
            _plain(camera)

    def write(self, truth: GroundTruth, folder: Path) -> None:
        """Write the files of each split; InputError for a lens that the calibration cannot hold."""
        calibration = {camera.name: _plain(camera) for camera in truth.cameras()}
        for split in truth.splits():
            place = folder / split
            write_text(place / f"calibration_{truth.name}.json", text_of(calibration) + "\n")
            found: dict[int, dict[int, NDArray[np.float64]]] = {}
            count = 0
            for one in as_skeleton(truth, SHELF14).of_split(split):
                count = one.frame + 1
                for person, xyz in zip(one.persons.tolist(), one.xyz, strict=True):
                    found.setdefault(person, {})[one.frame] = xyz
                _place_images(truth, one, place)
            persons = sorted(found)
            actors = [_actor(found[person], count) for person in persons]
            held = np.empty((1, len(persons)), object)
            for at, cell in enumerate(actors):
                held[0, at] = cell
            write_mat(place / "actorsGT.mat", {"actor3D": held})
            about = {"name": truth.name, "rate_hz": truth.rate_hz, "persons": persons, "views": list(truth.views)}
            write_text(place / "actors.json", text_of(about) + "\n")

    def read(self, folder: Path) -> GroundTruth:
        """Return the splits in a folder; a folder with an actorsGT.mat itself is of train."""
        places = {split: folder / split for split in SPLITS if (folder / split / "actorsGT.mat").exists()}
        places = places or ({SPLITS[0]: folder} if (folder / "actorsGT.mat").exists() else {})
        if not places:
            raise InputError(f"{folder}: no actorsGT.mat in it; give a folder of Shelf or Campus")
        first = next(iter(places.values()))
        found = sorted(first.glob("calibration_*.json"))
        if not found:
            raise InputError(f"{first}: no calibration_*.json in it; copy the calibration there")
        rig = _rig(found[0])
        about = read_document(first / "actors.json", "names of actors") if (first / "actors.json").exists() else {}
        frames = [one for split, place in places.items() for one in _read(place, split, rig)]
        name = str(about.get("name", folder.name))
        return GroundTruth(name, SHELF14, rig, about.get("rate_hz"), in_memory(frames), suffix="")


def _actor(frames: dict[int, NDArray[np.float64]], count: int) -> NDArray[Any]:
    """The cells (T, 1) of one actor: empty where there is none."""
    cell = np.empty((count, 1), object)
    cell[:, 0] = [np.zeros((1, 0))] * count
    for frame, xyz in frames.items():
        cell[frame, 0] = xyz
    return cell


def _place_images(truth: GroundTruth, one: TruthFrame, place: Path) -> None:
    for view in shown_views(truth, one):
        source = truth.image_path(truth.views[view], one.frame)
        if truth.suffix and source is not None:
            place_copy(source, place / f"Camera{view}" / f"img_{one.frame:06d}{truth.suffix}")


def _plain(camera: Camera) -> dict[str, Any]:
    lens, R = camera.lens, camera.cam_from_world[:3, :3]
    if lens.model != "pinhole" or lens.distortion.size > _MOST_COEFFICIENTS or lens.K[0, 1] != 0:
        raise InputError(
            f"camera {camera.name!r}: Shelf's calibration holds pinhole lenses of at most 5 coefficients without skew; "
            "write another format"
        )
    k1, k2, p1, p2, k3 = np.pad(lens.distortion, (0, _MOST_COEFFICIENTS - lens.distortion.size)).tolist()
    return {
        "R": R.tolist(),
        "T": (1e3 * camera.position[:, None]).tolist(),
        "fx": lens.K[0, 0], "fy": lens.K[1, 1], "cx": lens.K[0, 2], "cy": lens.K[1, 2],
        "k": [[k1], [k2], [k3]],
        "p": [[p1], [p2]],
        "imgSize": list(camera.size),
    }  # fmt: skip


def _rig(path: Path) -> Rig:
    document = read_document(path, "Shelf's calibration")
    try:
        cameras = []
        for name, held in document.items():
            K = np.array([[held["fx"], 0, held["cx"]], [0, held["fy"], held["cy"]], [0, 0, 1]], np.float64)
            k, p = np.ravel(held["k"]), np.ravel(held["p"])
            R, centre = np.array(held["R"], np.float64), np.ravel(held["T"]) / 1e3
            lens = Lens(str(name), tuple(held["imgSize"]), K, np.array([k[0], k[1], p[0], p[1], k[2]]))
            cameras.append(Camera(lens, pose(R, -R @ centre)))
        return Rig(tuple(cameras), source=str(path))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, CalibrationError) as fault:
        raise InputError(
            f"{path}: cannot be read as Shelf's calibration ({reason_of(fault)}); make it again"
        ) from fault


def _read(place: Path, split: str, rig: Rig) -> Iterator[TruthFrame]:
    actors = read_mat(place / "actorsGT.mat", "actor3D")[0]
    path = place / "actors.json"
    persons = read_document(path, "names of actors")["persons"] if path.exists() else list(range(1, len(actors) + 1))
    for frame in range(max((len(actor) for actor in actors), default=0)):
        there = [
            (person, np.asarray(actor[frame, 0], np.float64))
            for person, actor in zip(persons, actors, strict=True)
            if frame < len(actor) and np.shape(actor[frame, 0]) == (14, 3)
        ]
        if there:
            xyz = np.stack([places for _, places in there])
            xy = np.moveaxis(rig.project(xyz), 0, 1)
            yield bare_frame(frame, split, [person for person, _ in there], xyz, len(rig), xy)
