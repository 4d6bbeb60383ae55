"""COCO keypoints: a file of annotations a split, which pycocotools reads and evaluates.

``annotations/person_keypoints_SPLIT.json``   images, annotations, categories, as of COCO 2017

A person has 17 keypoints (x, y, v): v 2 visible, 1 hidden, 0 without truth or out of the picture; box and compressed
run-length mask are of what can be seen. People who are there without truth are one region with ``iscrowd`` of an image,
so that detections there count neither way. ``file_name`` is below the dataset's folder ``images``.
Beyond COCO: ``cameras``, ``skeleton`` and ``rate_hz`` of the file, ``frame`` and ``view`` of an image, and of a person
``person``, all joints as ``joints_px``, ``joints_m`` (world), ``joints_sigma_m``, ``joints_visibility``
(``JointVisibility``), ``root_depth_m`` and ``body_box`` of the whole body.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from calib.bounded_files import reason_of
from mvcap.datasets.ground_truth import (
    SPLITS,
    GroundTruth,
    JointVisibility,
    TruthFrame,
    as_skeleton,
    bare_frame,
    image_name,
    in_memory,
    root_depth,
    shown_views,
)
from mvcap.datasets.plain_cameras import array_of, numbers, plain_rig, read_document, rig_of, text_of
from mvcap.errors import InputError
from mvcap.structures.npz import written_whole
from mvcap.structures.skeleton import skeleton

COCO17 = skeleton("coco17")
_VIEW_OF_FILE = ".jpg"
_V = np.array([0, 2, 1, 1, 0])
"""COCO's v of each ``JointVisibility``."""


class CocoKeypoints:
    """COCO keypoints, boxes and masks, one JSON file a split; pycocotools reads and evaluates it."""

    def write(self, truth: GroundTruth, folder: Path) -> None:
        """Write ``annotations/person_keypoints_SPLIT.json`` of every split that has frames."""
        for split in truth.splits():
            path = folder / "annotations" / f"person_keypoints_{split}.json"
            with written_whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
                _write(truth, split, stream)

    def read(self, folder: Path) -> GroundTruth:
        """Return the dataset in a folder; without our extra keys, images are frames of one view without cameras."""
        paths = [folder / "annotations" / f"person_keypoints_{split}.json" for split in SPLITS]
        there = [path for path in paths if path.exists()]
        if not there:
            raise InputError(f"{folder}: no annotations/person_keypoints_SPLIT.json in it; give a COCO folder")
        parts = [_read(path, SPLITS[paths.index(path)]) for path in there]
        frames = [one for part, _ in parts for one in part]
        head = parts[0][1]
        rig = rig_of(head["cameras"], there[0]) if head.get("cameras") else None
        name = str((head.get("info") or {}).get("description") or folder.name)
        kind = skeleton(head["skeleton"]) if head.get("skeleton") else COCO17
        return GroundTruth(name, kind, rig, head.get("rate_hz"), in_memory(frames), suffix="")


def _write(truth: GroundTruth, split: str, stream: IO[str]) -> None:
    rig = truth.cameras()
    head = {
        "info": {"description": truth.name, "version": "1.0", "contributor": "mvcap"},
        "licenses": [{"id": 1, "name": str(truth.about.get("licence") or "not stated"), "url": ""}],
        "categories": [_category()],
        "cameras": plain_rig(rig),
        "skeleton": truth.skeleton.stored_name,
        "rate_hz": truth.rate_hz,
    }
    stream.write(text_of(head)[:-1] + ',"images":[')
    _join(stream, (text_of(one) for one in _images(truth, split)))
    stream.write('],"annotations":[')
    _join(stream, (text_of(one | {"id": number}) for number, one in enumerate(_annotations(truth, split), 1)))
    stream.write("]}\n")


def _join(stream: IO[str], lines: Iterator[str]) -> None:
    between = "\n"
    for line in lines:
        stream.write(between + line)
        between = ",\n"


def _category() -> dict[str, Any]:
    bones = (COCO17.bones + 1).tolist()
    return {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(COCO17.joints), "skeleton": bones}


def _image_id(truth: GroundTruth, one: TruthFrame, view: int) -> int:
    return one.frame * len(truth.views) + view + 1


def _images(truth: GroundTruth, split: str) -> Iterator[dict[str, Any]]:
    for one in truth.of_split(split):
        for view in shown_views(truth, one):
            camera = truth.cameras()[view]
            name = image_name(camera.name, one.frame, truth.suffix or _VIEW_OF_FILE).removeprefix("images/")
            yield {
                "id": _image_id(truth, one, view),
                "license": 1,
                "file_name": name,
                "width": camera.size[0],
                "height": camera.size[1],
                "frame": one.frame,
                "view": view,
            }


def _annotations(truth: GroundTruth, split: str) -> Iterator[dict[str, Any]]:
    rig = truth.cameras()
    as_coco = as_skeleton(truth, COCO17)
    for one, plain in zip(truth.of_split(split), as_coco.of_split(split), strict=True):
        depth = root_depth(one, truth.skeleton, rig)
        for view in shown_views(truth, one):
            mask = read_ids(truth, rig.names[view], one.frame)
            base = {"image_id": _image_id(truth, one, view), "category_id": 1}
            for at, person in enumerate(one.persons.tolist()):
                region = _region(mask, [person], one.box[at, view])
                if region is not None:
                    yield base | region | _person(one, plain, at, view, depth[at, view])
            others = [value for value in _values(mask) if value not in one.persons]
            boxes = one.ignored[:, view][np.isfinite(one.ignored[:, view]).all(-1)]
            crowd = _region(mask, others, None) if mask is not None else _boxes_region(boxes, rig[view].size)
            if crowd is not None and crowd["area"] > 0:
                yield base | crowd | {"iscrowd": 1, "keypoints": [0] * 3 * len(COCO17), "num_keypoints": 0}


def _person(one: TruthFrame, plain: TruthFrame, at: int, view: int, depth: float) -> dict[str, Any]:
    v = _V[plain.visibility[at, view]]
    xy = np.where(v[:, None] > 0, plain.xy[at, view], 0).round(3)
    return {
        "iscrowd": 0,
        "keypoints": np.concatenate([xy, v[:, None]], 1).ravel().tolist(),
        "num_keypoints": int((v > 0).sum()),
        "person": int(one.persons[at]),
        "joints_px": numbers(one.xy[at, view], 4),
        "joints_m": numbers(one.xyz[at]),
        "joints_sigma_m": numbers(one.sigma_m[at]),
        "joints_visibility": one.visibility[at, view].tolist(),
        "root_depth_m": numbers(depth),
        "body_box": numbers(one.box[at, view], 3),
    }


def _region(mask: NDArray[Any] | None, ids: Sequence[int], box: NDArray[np.float64] | None) -> dict[str, Any] | None:
    """Mask, box and area of people in an image; of the box without a mask; None if nothing of them can be seen."""
    if mask is not None:
        mine = np.isin(mask, ids)
        rows, columns = np.flatnonzero(mine.any(1)), np.flatnonzero(mine.any(0))
        if not len(rows):
            return None
        edges = [columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]]
        counts = {"size": list(mask.shape), "counts": run_lengths(mine)}
        return {"segmentation": counts, "bbox": [int(edge) for edge in edges], "area": int(mine.sum())}
    if box is None or not np.isfinite(box).all():
        return None
    left, top, right, bottom = (box + 0.5).round(3).tolist()  # COCO counts from the edge of the first pixel
    size = [round(right - left, 3), round(bottom - top, 3)]
    return {
        "bbox": [left, top, *size],
        "area": round(size[0] * size[1], 1),
        "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
    }


def _boxes_region(boxes: NDArray[np.float64], size: tuple[int, int]) -> dict[str, Any] | None:
    if not len(boxes):
        return None
    mask = np.zeros(size[::-1], np.uint8)
    for left, top, right, bottom in np.rint(boxes + 0.5).astype(int):
        mask[top:bottom, left:right] = 1
    return _region(mask, [1], None)


def _values(mask: NDArray[Any] | None) -> list[int]:
    return [] if mask is None else [int(value) for value in np.flatnonzero(np.bincount(mask.ravel())) if value]


def read_ids(truth: GroundTruth, view: str, frame: int) -> NDArray[Any] | None:
    """Return the ids of people (H, W) of an image, from the dataset's mask; None if there is none."""
    import cv2

    path = truth.mask_path(view, frame)
    if path is None or not path.exists():
        return None
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise InputError(f"{path}: is damaged; make the dataset again")
    return np.asarray(image)


def run_lengths(mask: NDArray[np.bool_]) -> str:
    """Return a mask (H, W) as COCO's compressed run-length code.

    Lengths of runs of 0 and 1 in turn, by columns; from the fourth on, less the one two before; each as digits of five
    bits from the lowest, as characters from 48 on, with bit 32 where more follow (source: COCO's mask API).
    """
    flat = np.concatenate([[False], np.asarray(mask, np.bool_).ravel(order="F")])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    lengths = np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()
    out = []
    for at, length in enumerate(lengths):
        value = length - lengths[at - 2] if at > 2 else length
        more = True
        while more:
            digit, value = value & 31, value >> 5
            more = value != (-1 if digit & 16 else 0)
            out.append(chr(48 + (digit | 32 * more)))
    return "".join(out)


def mask_of(counts: str, size: Sequence[int]) -> NDArray[np.bool_]:
    """Return the mask (H, W) of COCO's compressed run-length code."""
    lengths: list[int] = []
    value = shift = 0
    for character in counts:
        digit = ord(character) - 48
        value |= (digit & 31) << shift
        shift += 5
        if not digit & 32:
            value -= (1 << shift) if digit & 16 else 0
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    if sum(lengths) != int(size[0]) * int(size[1]) or min(lengths, default=0) < 0:
        raise ValueError(f"a mask's runs do not fill {size[1]}x{size[0]} pixels")
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape((int(size[0]), int(size[1])), order="F")


def _read(path: Path, split: str) -> tuple[list[TruthFrame], dict[str, Any]]:
    document = read_document(path, "COCO's annotations")
    try:
        images = {one["id"]: one for one in document["images"]}
        held: dict[int, list[dict[str, Any]]] = {}
        for one in document["annotations"]:
            held.setdefault(images[one["image_id"]].get("frame", one["image_id"]), []).append(one)
        kind = skeleton(document["skeleton"]) if document.get("skeleton") else COCO17
        views = len(document.get("cameras") or [0])
        shown: dict[int, list[int]] = {}
        for one in images.values():
            shown.setdefault(one.get("frame", one["id"]), []).append(one.get("view", 0))
        frames = [
            _frame(frame, split, held.get(frame, []), images, views, len(kind), np.array(shown[frame]))
            for frame in sorted(shown)
        ]
        head = {key: value for key, value in document.items() if key not in ("images", "annotations")}
        return frames, head
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as fault:
        raise InputError(f"{path}: cannot be read as COCO's annotations ({reason_of(fault)}); make it again") from fault


def _frame(
    frame: int,
    split: str,
    held: list[dict[str, Any]],
    images: dict[int, dict[str, Any]],
    views: int,
    joints: int,
    shown: NDArray[np.int64],
) -> TruthFrame:
    """The people of one frame; those of COCO's own files are numbered by their annotations."""
    mine = [one for one in held if not one.get("iscrowd")]
    persons = sorted({int(one.get("person", one["id"])) for one in mine})
    xyz, sigma = np.full((len(persons), joints, 3), np.nan), np.full((len(persons), joints), np.nan)
    out = bare_frame(frame, split, persons, xyz, views)
    for one in mine:
        at, view = persons.index(int(one.get("person", one["id"]))), images[one["image_id"]].get("view", 0)
        out.area_px[at, view] = one["area"]
        if "joints_px" in one:
            out.xy[at, view], out.visibility[at, view] = array_of(one["joints_px"]), one["joints_visibility"]
            xyz[at], sigma[at] = array_of(one["joints_m"]), array_of(one["joints_sigma_m"])
            out.box[at, view] = array_of(one["body_box"])
            continue
        found = np.array(one["keypoints"], np.float64).reshape(-1, 3)
        out.xy[at, view] = np.where(found[:, 2:] > 0, found[:, :2], np.nan)
        states = {0: JointVisibility.UNKNOWN, 1: JointVisibility.SELF_OCCLUDED, 2: JointVisibility.VISIBLE}
        out.visibility[at, view] = [states[int(v)] for v in found[:, 2]]
        left, top, width, height = one["bbox"]
        out.box[at, view] = np.array([left, top, left + width, top + height]) - 0.5
    pictured = np.zeros(views, np.bool_)
    pictured[shown] = True
    return TruthFrame(**{**vars(out), "xyz": xyz, "sigma_m": sigma, "pictured": pictured})
