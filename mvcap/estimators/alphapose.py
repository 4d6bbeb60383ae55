"""AlphaPose's output: one JSON file per view, a list of the bodies of all its frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvcap.errors import InputError
from mvcap.estimation.prediction_files import (
    FilePerson,
    box_of,
    check_frames,
    existing_folder,
    file_skeleton,
    frame_number,
    ident_of,
    keypoints,
    match_views,
    read_json,
    rows_of,
)
from mvcap.estimation.skeleton_detection import detect_layout
from mvcap.estimation.view_files import ViewFiles
from mvcap.structures.contracts import View
from mvcap.structures.detections import Detections2D
from mvcap.structures.pixels import check_pixels


@dataclass(frozen=True)
class AlphaPoseConfig:
    """Settings of the estimator ``alphapose``."""

    folder: str = ""
    """Folder with ``<view>.json`` or ``<view>/alphapose-results.json`` for each view."""
    skeleton: str = "coco17"
    """As ``estimators.openpose.skeleton``; must have the number of keypoints of the files, or be ``auto``."""
    # As for OpenPose, where it was measured; not measured for AlphaPose.
    noise: float = 0.35
    """Expected noise, see ``blazepose``. Not measured for AlphaPose."""
    first_frame: int = 0
    """Number in ``image_id`` of the session's first frame. A frame that is not in the file has no people."""


class AlphaPose(ViewFiles):
    """Estimator ``alphapose``: AlphaPose's output, a JSON file for each view."""

    Config = AlphaPoseConfig

    def __init__(self, config: AlphaPoseConfig) -> None:
        super().__init__(config.skeleton)
        self.config = config
        self._kind = file_skeleton("coco17" if config.skeleton == "auto" else config.skeleton)
        self.skeleton = self._kind.skeleton

    def files_of(self, views: tuple[View, ...]) -> dict[str, Path]:
        """Return the file of each view, by its name; InputError if one is missing."""
        folder = existing_folder(self.config.folder, "alphapose")
        found = {path.parent.name: path for path in folder.glob("*/alphapose-results.json")}
        found |= {path.stem: path for path in folder.glob("*.json")}
        return match_views([view.name for view in views], found, "file", folder, "alphapose")

    def read(self, path: Path, view: View) -> Detections2D:
        """Return the rows of a view's file, in order of frames; InputError if it is broken or of other frames."""
        document = read_json(path)
        if not isinstance(document, list) or not all(isinstance(i, dict) and "image_id" in i for i in document):
            raise InputError(f"{path}: not a results file of AlphaPose, which is a list of bodies with image_id")
        with_body = [(number, item) for number, item in enumerate(document) if item.get("keypoints") not in (None, [])]
        if document and not with_body:
            raise InputError(f"{path}: none of its {len(document)} bodies has keypoints; write the results with them")
        if self.config.skeleton == "auto" and with_body:
            self._kind = file_skeleton(detect_layout((item["keypoints"] for _, item in with_body), "coco17"))
            self.skeleton = self._kind.skeleton
        people = [self._person(item, f"{path}, entry {number}") for number, item in with_body]
        people.sort(key=lambda person: person.frame)
        if people and people[0].frame < 0:
            number = people[0].frame + self.config.first_frame
            raise InputError(
                f"{path}: frame {number} is before the session's first; set estimators.alphapose.first_frame to it"
            )
        check_frames((person.frame for person in people), view, path)
        rows = rows_of(people, self.skeleton, view.index, self.config.noise)
        check_pixels(rows.xy, rows.score, view.size, path)
        return rows

    def _person(self, item: Mapping[str, Any], where: str) -> FilePerson:
        # The score of the whole body is a sum that can exceed 1, so only the joints' scores are used.
        xy, score = keypoints(item["keypoints"], self.skeleton, where, self._kind.count)
        frame = frame_number(str(item["image_id"])) - self.config.first_frame
        ident = ident_of(item.get("idx"), where)
        return FilePerson(frame, xy, score, box_of(item.get("box"), where, wide=True), ident)
