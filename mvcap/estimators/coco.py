"""Predictions in COCO's or MMPose's JSON: one file per view, named after it.

Supported are COCO results (a list of ``image_id``, ``keypoints``, ``score``), COCO annotations (``images`` and
``annotations``), and the output of MMPose's inferencer and demos (a list of ``frame_id`` and ``instances``, alone or as
``instance_info``). If an annotation file ``<view>_annotations.json`` exists, its ``images`` give the frame numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mvcap.errors import InputError
from mvcap.estimation.file_kinds import other_estimator
from mvcap.estimation.prediction_files import (
    FilePerson,
    FileSkeleton,
    box_of,
    check_frames,
    existing_folder,
    file_skeleton,
    frame_number,
    ident_of,
    keypoint_pairs,
    keypoints,
    match_views,
    read_json,
    rows_of,
)
from mvcap.estimation.skeleton_detection import detect_layout
from mvcap.estimation.view_files import ViewFiles
from mvcap.structures.contracts import View
from mvcap.structures.detections import Detections2D
from mvcap.structures.pixels import check_image_size, check_pixels


@dataclass(frozen=True)
class CocoConfig:
    """Settings of the estimator ``coco``."""

    folder: str = ""
    """Folder with one file per view (``<view>.json`` or ``results_<view>.json``)."""
    skeleton: str = "coco17"
    """As ``estimators.openpose.skeleton``; must have the number of keypoints of the files, or be ``auto``."""
    # As for OpenPose, where it was measured; not measured for the models that write this format.
    noise: float = 0.35
    """Expected noise, see ``blazepose``. Not measured for this format."""
    first_frame: int = -1
    """Number of the session's first frame in the files; -1 = the lowest if a file lists every frame, otherwise 0."""


@dataclass(frozen=True)
class Predictions:
    """The people of one file, and the frames that it lists, with or without people."""

    people: list[FilePerson]
    listed: list[int] | None = None
    """None if the file does not list its frames."""


class Coco(ViewFiles):
    """Estimator ``coco``: COCO results or annotations, or predictions that MMPose saves, a JSON file for each view."""

    Config = CocoConfig

    def __init__(self, config: CocoConfig) -> None:
        super().__init__(config.skeleton)
        self.config = config
        self._kind = file_skeleton("coco17" if config.skeleton == "auto" else config.skeleton)
        self.skeleton = self._kind.skeleton

    def files_of(self, views: tuple[View, ...]) -> dict[str, Path]:
        """Return the file of each view, by its name; InputError if one is missing."""
        folder = existing_folder(self.config.folder, "coco")
        found = {
            path.stem.removeprefix("results_"): path
            for path in folder.glob("*.json")
            if not path.stem.endswith("_annotations")
        }
        return match_views([view.name for view in views], found, "file", folder, "coco")

    def files_beside(self, files: dict[str, Path]) -> list[Path]:
        """Return the annotations beside the files of results."""
        return [path for name in files.values() if (path := _annotations_beside(name)).exists()]

    def read(self, path: Path, view: View) -> Detections2D:
        """Return the rows of a view's file, in order of frames; InputError if it is broken or of other frames."""
        beside = _annotations_beside(path)
        listed = read_json(beside) if beside.exists() else None
        images = _frames_of_images(listed, beside) if listed is not None else None
        document = read_json(path)
        if self.config.skeleton == "auto":
            self._kind = file_skeleton(detect_layout(_bodies(document), "coco17"))
            self.skeleton = self._kind.skeleton
        predictions = parse(document, self._kind, path, images)
        first = _first_frame(self.config.first_frame, predictions, view, path)
        people = sorted(predictions.people, key=lambda person: person.frame)
        if people and people[0].frame < first:
            raise InputError(
                f"{path}: frame {people[0].frame} is before estimators.coco.first_frame; set that to this frame"
            )
        check_frames((person.frame - first for person in people), view, path)
        rows = rows_of(people, self.skeleton, view.index, self.config.noise, first)
        check_pixels(rows.xy, rows.score, view.size, path)
        for source in (listed, document):
            check_image_size(_image_sizes(source), rows.xy, view, path)
        return rows


def parse(document: Any, kind: FileSkeleton, path: Path, images: Mapping[int | str, int] | None = None) -> Predictions:
    """Return the people of a JSON document in any supported format; ``images``: frame number of each image id.

    A body without keypoints is left out. InputError if the document has none of the formats, or no body has keypoints.
    """
    if isinstance(document, dict) and "instance_info" in document:
        document = document["instance_info"]
    if isinstance(document, dict) and isinstance(document.get("annotations"), list):
        return _annotated(document, kind, path)
    if isinstance(document, list) and all(isinstance(item, dict) for item in document):
        if document and all("instances" in item for item in document):
            return _mmpose(document, kind, path)
        if all("image_id" in item for item in document):
            items = [(n, item) for n, item in enumerate(document) if item.get("keypoints") not in (None, [])]
            if document and not items:
                raise InputError(f"{path}: none of its {len(document)} bodies has keypoints; write results with them")
            people = [_result(item, kind, f"{path}, entry {n}", images) for n, item in items]
            return Predictions(people, sorted(images.values()) if images else None)
    advice = other_estimator(path.parent, "coco") or "export one of these"
    raise InputError(f"{path}: neither COCO results, COCO annotations nor MMPose predictions; {advice}")


def _result(
    item: Mapping[str, Any], kind: FileSkeleton, where: str, images: Mapping[int | str, int] | None
) -> FilePerson:
    frame = _frame_of(item.get("image_id"), where, images)
    xy, score = keypoints(item["keypoints"], kind.skeleton, where, kind.count)
    return FilePerson(
        frame, xy, score, box_of(item.get("bbox"), where, wide=True), ident_of(item.get("track_id"), where)
    )


def _frame_of(image_id: Any, where: str, images: Mapping[int | str, int] | None) -> int:
    if not isinstance(image_id, int | str):
        raise InputError(f"{where}: image_id is {str(image_id)[:40]}; it must be a whole number or a file name")
    if images is None:
        return image_id if isinstance(image_id, int) else frame_number(image_id)
    if image_id not in images:
        raise InputError(
            f"{where}: image_id {image_id!r} is not among the images; give the annotations of the same images"
        )
    return images[image_id]


def _bodies(document: Any) -> Iterator[Any]:
    """Yield the keypoints of people, as flat x, y, score where the file has them so, of a document of any format."""
    if isinstance(document, dict):
        document = document.get("instance_info", document.get("annotations"))
    for item in document if isinstance(document, list) else ():
        if isinstance(item, dict) and isinstance(item.get("instances"), list):
            for person in item["instances"]:
                points = person.get("keypoints") if isinstance(person, dict) else None
                if isinstance(points, list) and points:
                    yield [value for point in points for value in _triplet(point)]
        elif isinstance(item, dict):
            yield item.get("keypoints")


def _triplet(point: Any) -> list[Any]:
    return [*point, 1.0] if isinstance(point, list) and len(point) == 2 else [np.nan] * 3


def _image_sizes(document: Any) -> set[tuple[Any, Any]]:
    images = document.get("images") if isinstance(document, dict) else None
    images = images if isinstance(images, list) else ()
    return {
        (image["width"], image["height"])
        for image in images
        if isinstance(image, dict) and all(isinstance(image.get(side), int) for side in ("width", "height"))
    }


def _annotated(document: Mapping[str, Any], kind: FileSkeleton, path: Path) -> Predictions:
    images = _frames_of_images(document, path)
    if not all(isinstance(item, dict) for item in document["annotations"]):
        raise InputError(f"{path}: 'annotations' is not a list of bodies; export them again")
    items = [item for item in document["annotations"] if item.get("keypoints")]
    people = [_result(item, kind, f"{path}, annotation {n}", images) for n, item in enumerate(items)]
    # Manual labels have 0 = not labelled, 1 = hidden, 2 = visible in place of the score.
    top = max((float(person.score.max()) for person in people), default=1.0)
    if top > 1.5:
        people = [FilePerson(p.frame, p.xy, p.score / 2, p.box, p.carried) for p in people]
    return Predictions(people, sorted(images.values()))


def _frames_of_images(document: Any, path: Path) -> dict[int | str, int]:
    """Return the frame number of each image id, from the file names of the images."""
    images = document.get("images") if isinstance(document, dict) else None
    if not isinstance(images, list) or not all(isinstance(i, dict) and {"id", "file_name"} <= i.keys() for i in images):
        raise InputError(
            f"{path}: no list 'images' with id and file_name in it; export the images with the annotations"
        )
    if not all(isinstance(i["id"], int | str) and isinstance(i["file_name"], str) for i in images):
        raise InputError(f"{path}: an image has no number as id, or no text as file_name; export the images again")
    return {image["id"]: frame_number(image["file_name"]) for image in images}


def _mmpose(document: Sequence[Mapping[str, Any]], kind: FileSkeleton, path: Path) -> Predictions:
    people = []
    listed = []
    for number, item in enumerate(document):
        where = f"{path}, entry {number}"
        frame = ident_of(item.get("frame_id", number), where)
        listed.append(frame)
        instances = item["instances"]
        if not isinstance(instances, list) or not all(isinstance(person, dict) for person in instances):
            raise InputError(f"{where}: 'instances' is not a list of bodies; save the predictions again")
        for person in instances:
            if person.get("keypoints") in (None, []):
                continue
            points, scores = person["keypoints"], person.get("keypoint_scores")
            xy, score = keypoint_pairs(points, scores, kind.skeleton, where, kind.count)
            box = box_of(person.get("bbox"), where, wide=False)
            people.append(FilePerson(frame, xy, score, box, ident_of(person.get("track_id"), where)))
    return Predictions(people, sorted(listed))


def _annotations_beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}_annotations.json")


def _first_frame(wanted: int, predictions: Predictions, view: View, path: Path) -> int:
    """Return the number of the session's first frame in the file; InputError if its frames do not fit the session."""
    listed = predictions.listed
    if listed is None:
        return max(wanted, 0)
    first = wanted if wanted >= 0 else min(listed, default=0)
    for expected, frame in enumerate(listed, start=first):
        if frame != expected:
            fault = "is unexpected, or listed twice" if frame < expected else "is missing"
            raise InputError(f"{path}: frame {min(frame, expected)} {fault}; run the estimator on every frame once")
    if len(listed) != view.frames:
        raise InputError(
            f"{path}: {len(listed)} frames where view {view.name} of the session has {view.frames}; "
            f"run the estimator on the session's video"
        )
    return first
