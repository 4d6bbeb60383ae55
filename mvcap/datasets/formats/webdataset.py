"""WebDataset: tar shards of images with their truth as JSON and their masks, for loaders that stream.

``SPLIT-000000.tar``   of each image KEY.jpg (or KEY.png), KEY.mask.png and KEY.json; KEY is VIEW_FRAME
``dataset.json``       cameras, skeleton, rate and the shards of each split

A shard has at most 1000 images. The same dataset gives the same bytes: members have no date and no owner.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from calib.bounded_files import parse_json, reason_of
from mvcap.datasets.ground_truth import (
    FRAME_NAME,
    GroundTruth,
    TruthFrame,
    bare_frame,
    in_memory,
    root_depth,
    shown_views,
)
from mvcap.datasets.plain_cameras import array_of, numbers, plain_rig, read_document, rig_of, text_of
from mvcap.errors import InputError
from mvcap.structures.npz import write_text, written_whole
from mvcap.structures.skeleton import skeleton

_IMAGES_OF_SHARD = 1000
_ARRAYS = {"joints_px": "xy", "joints_visibility": "visibility", "body_box": "box", "area_px": "area_px"}


class WebDatasetShards:
    """WebDataset: tar shards of images, masks and truth, the same bytes for the same dataset."""

    def write(self, truth: GroundTruth, folder: Path) -> None:
        """Write the shards of each split and dataset.json."""
        shards: dict[str, list[str]] = {}
        for split in truth.splits():
            shards[split] = []
            with ExitStack() as stack:
                archive: tarfile.TarFile | None = None
                for count, (key, members) in enumerate(_samples(truth, split)):
                    if archive is None or count % _IMAGES_OF_SHARD == 0:
                        stack.close()
                        name = f"{split}-{count // _IMAGES_OF_SHARD:06d}.tar"
                        shards[split].append(name)
                        temporary = stack.enter_context(written_whole(folder / name))
                        archive = stack.enter_context(tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT))
                    for ending, data in members:
                        member = tarfile.TarInfo(f"{key}.{ending}")
                        member.size, member.mode = len(data), 0o644
                        archive.addfile(member, io.BytesIO(data))
        about = {
            "name": truth.name,
            "rate_hz": truth.rate_hz,
            "skeleton": truth.skeleton.stored_name,
            "joints": list(truth.skeleton.joints),
            "cameras": plain_rig(truth.cameras()),
            "shards": shards,
        }
        write_text(folder / "dataset.json", json.dumps(about, indent=1) + "\n")

    def read(self, folder: Path) -> GroundTruth:
        """Return the dataset in a folder; images and masks stay in the shards."""
        about = read_document(folder / "dataset.json", "a dataset of shards")
        try:
            rig = rig_of(about["cameras"], folder / "dataset.json")
            kind = skeleton(about["skeleton"])
            frames: dict[int, tuple[str, dict[int, Any]]] = {}
            for split, names in about["shards"].items():
                for name in names:
                    for sample in _read(folder / Path(name).name):
                        frames.setdefault(sample["frame"], (split, {}))[1][sample["view"]] = sample
            held = [_frame(frame, split, views, len(rig), len(kind)) for frame, (split, views) in frames.items()]
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as fault:
            raise InputError(f"{folder}: cannot be read as shards ({reason_of(fault)}); make it again") from fault
        return GroundTruth(about["name"], kind, rig, about["rate_hz"], in_memory(held), suffix="")


def _samples(truth: GroundTruth, split: str) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    rig = truth.cameras()
    for one in truth.of_split(split):
        depth = root_depth(one, truth.skeleton, rig)
        for view in shown_views(truth, one):
            name = rig.names[view]
            members = []
            for ending, path in (
                (truth.suffix.removeprefix("."), truth.image_path(name, one.frame)),
                ("mask.png", truth.mask_path(name, one.frame)),
            ):
                if ending and path is not None and path.exists():
                    members.append((ending, path.read_bytes()))
            held = {
                "frame": one.frame,
                "view": view,
                "split": split,
                "persons": one.persons.tolist(),
                "joints_m": numbers(one.xyz),
                "joints_sigma_m": numbers(one.sigma_m),
                **{key: numbers(getattr(one, column)[:, view], 4) for key, column in _ARRAYS.items()},
                "root_depth_m": numbers(depth[:, view]),
                "ignored_boxes": numbers(one.ignored[:, view], 3),
                "pictured": bool(one.pictured[view]),
            }
            members.append(("json", text_of(held).encode()))
            yield f"{name.replace('.', '-')}_{FRAME_NAME.format(frame=one.frame)}", members


def _read(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if member.name.endswith(".json"):
                    stream = archive.extractfile(member)
                    if stream is None:
                        raise InputError(f"{path}: {member.name} is no file; make the dataset again")
                    yield parse_json(stream.read())
    except (OSError, ValueError, tarfile.TarError) as fault:
        raise InputError(f"{path}: cannot be read as a shard ({reason_of(fault)}); make the dataset again") from fault


def _frame(frame: int, split: str, views: dict[int, Any], count: int, joints: int) -> TruthFrame:
    """A frame of the samples of its views."""
    first = next(iter(views.values()))
    people = len(first["persons"])
    xyz = array_of(first["joints_m"]).reshape(people, joints, 3)
    out = bare_frame(frame, split, first["persons"], xyz, count)
    out.sigma_m[:] = array_of(first["joints_sigma_m"]).reshape(people, joints)
    others = np.full((len(first["ignored_boxes"]), count, 4), np.nan)
    for view, sample in views.items():
        out.pictured[view] = sample["pictured"]
        others[:, view] = array_of(sample["ignored_boxes"]).reshape(-1, 4)
        for key, column in _ARRAYS.items():
            if people:
                getattr(out, column)[:, view] = array_of(sample[key])
    return TruthFrame(**{**vars(out), "ignored": others})
