"""OpenPose's output: one folder per view with one JSON file per frame."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import ConfigError, InputError
from mvcap.estimation.prediction_files import (
    MOST_FRAMES,
    FilePerson,
    existing_folder,
    file_skeleton,
    fingerprint,
    frame_number,
    ident_of,
    keypoints,
    match_views,
    read_json,
    rows_of,
    skeleton_files,
)
from mvcap.estimation.skeleton_detection import detect_layout
from mvcap.structures.contracts import UNKNOWN_FRAMES, Estimate, State, View
from mvcap.structures.detections import without_missing
from mvcap.structures.pixels import PixelCheck

_SAMPLED_FILES = 200


@dataclass(frozen=True)
class OpenPoseConfig:
    """Settings of the estimator ``openpose``."""

    folder: str = ""
    """Folder that holds the views' folders; each is named as its view, or with ``_json`` or ``_`` and anything after
    it."""
    skeleton: str = "auto"
    """Model that OpenPose was run with: ``body25``, ``body25b``, ``coco18``, ``coco17``, ``coco23``, ``halpe26``,
    ``mpii16``; ``wholebody133``, ``halpe136``, ``body135`` (the body of them); or a skeleton file (.yaml). ``auto`` =
    by the number of keypoints, and BODY_25 and BODY_25B, which have the same number, by their positions."""
    # Measured on OpenPose's detections of the Pose2Sim demo (4 views 1088x1920): with 0.35 the residuals of the
    # triangulated man are half of those expected from the noise (median 0.52 standard deviations; expected: 1.0).
    noise: float = 0.18
    """Expected noise, see ``blazepose``. Measured on OpenPose's detections in the demo take."""
    missing: str = "error"
    """What a frame without a file means: ``error``, or ``empty`` for no person in the image."""
    first_frame: int = -1
    """Number in the file name of the session's first frame; -1 = the view's lowest number."""

    def __post_init__(self) -> None:
        if self.missing not in ("error", "empty"):
            raise ConfigError(f"estimators.openpose.missing is {self.missing!r}; it must be error or empty")


class OpenPose:
    """Estimator ``openpose``: OpenPose's JSON output, a folder for each view with a file for each frame. See
    ``configs/openpose.yaml``."""

    Config = OpenPoseConfig
    needs_images = False

    def __init__(self, config: OpenPoseConfig) -> None:
        self.config = config
        self._kind = file_skeleton("body25" if config.skeleton == "auto" else config.skeleton)
        self.skeleton = self._kind.skeleton
        self._files: dict[str, dict[int, Path]] = {}

    def prepare(self, views: tuple[View, ...]) -> str:
        """Read every file once; return their fingerprint. InputError if one is missing or broken."""
        self._find(views)
        every = [path for view in views for path in self._files[view.name].values()]
        if self.config.skeleton == "auto":
            sampled = every[:: max(1, len(every) // _SAMPLED_FILES)]
            self._kind = file_skeleton(detect_layout(_bodies(sampled), "body25"))
            self.skeleton = self._kind.skeleton
        listed = read = 0
        for view in views:
            check = PixelCheck(view.size)
            for path in self._files[view.name].values():
                people, without = self._people(path, 0)
                listed, read = listed + without, read + len(people)
                for person in people:
                    xy, score = without_missing(person.xy, person.score)
                    check.add(xy[None], score[None])
            check.finish(next(iter(self._files[view.name].values())).parent)
        if listed and not read:
            raise InputError(
                f"{self.config.folder}: none of its {listed} people has pose_keypoints_2d; run OpenPose with the body "
                "(--body 1)"
            )
        numbered = (path for view in views for _, path in sorted(self._files[view.name].items()))
        return fingerprint([*numbered, *skeleton_files(self.config.skeleton)])

    def frame_count(self, views: tuple[View, ...]) -> int:
        """Return the number of frames from the first to the last file of the views, including gaps."""
        self._find(views)
        return max(max(self._files[view.name]) for view in views) + 1

    def estimate(self, image: NDArray[np.uint8] | None, frame: int, view: View, state: State) -> Estimate:
        """Return the people of one frame's file; needs no image."""
        if view.name not in self._files:
            self._find((view,))
        path = self._files[view.name].get(frame)
        people = self._people(path, frame)[0] if path else []
        return Estimate(rows_of(people, self.skeleton, view.index, self.config.noise), state)

    def _find(self, views: tuple[View, ...]) -> None:
        root = existing_folder(self.config.folder, "openpose")
        folders = {path.name: path for path in root.iterdir() if path.is_dir()}
        matched = match_views([view.name for view in views], folders, "folder", root, "openpose")
        for view in views:
            self._files[view.name] = self._by_frame(matched[view.name], view)

    def _by_frame(self, folder: Path, view: View) -> dict[int, Path]:
        """Return the files of one view by frame, counted from 0; InputError if they do not fit the session's frames."""
        numbered = _numbered(folder)
        lowest, highest = min(numbered), max(numbered)
        given = self.config.first_frame >= 0
        first = self.config.first_frame if given else lowest
        if highest - first >= MOST_FRAMES:
            raise InputError(
                f"{folder}: files of frames {lowest} to {highest}, which are no numbers of frames; name them like "
                "view_000012_keypoints.json"
            )
        gaps = [number for number in range(first, highest) if number not in numbered]
        if gaps and self.config.missing == "error":
            name = _name_like(numbered[lowest].name, gaps[0])
            raise InputError(
                f"{folder / name} is missing; write it, or set estimators.openpose.missing to empty if missing files "
                "mean frames without people"
            )
        span = highest - first + 1
        # If files may be missing, a shorter sequence is accepted only with a given first frame, which aligns it.
        short_is_fine = given and self.config.missing == "empty"
        short = span < view.frames < UNKNOWN_FRAMES and not short_is_fine
        if lowest < first or span > view.frames or short:
            raise InputError(
                f"{folder}: files of {span} frames ({lowest} to {highest}), but view {view.name} of the session has "
                f"{view.frames}; run OpenPose on the session's video, or set estimators.openpose.first_frame "
                f"and estimators.openpose.missing"
            )
        return {number - first: path for number, path in numbered.items()}

    def _people(self, path: Path, frame: int) -> tuple[list[FilePerson], int]:
        """Return the people of a file, and the number of those who have hands or a face but no body's keypoints.

        Some tools write an empty list for a body that they have removed.
        """
        every = list(enumerate(_listed(path)))
        with_body = [(number, person) for number, person in every if person.get("pose_keypoints_2d") not in (None, [])]
        people = [self._person(person, frame, f"{path}, person {number}") for number, person in with_body]
        return people, sum(person.get("pose_keypoints_2d") is None for _, person in every)

    def _person(self, person: Mapping[str, Any], frame: int, where: str) -> FilePerson:
        xy, score = keypoints(person["pose_keypoints_2d"], self._kind.skeleton, where, self._kind.count)
        return FilePerson(frame, xy, score, carried=ident_of(person.get("person_id"), where))


def _listed(path: Path) -> list[dict[str, Any]]:
    document = read_json(path)
    people = document.get("people") if isinstance(document, dict) else None
    if not isinstance(people, list) or not all(isinstance(person, dict) for person in people):
        raise InputError(f"{path}: not an output file of OpenPose, which has a list 'people'")
    return people


def _bodies(paths: Sequence[Path]) -> Iterator[Any]:
    for path in paths:
        yield from (person.get("pose_keypoints_2d") for person in _listed(path))


def _numbered(folder: Path) -> dict[int, Path]:
    """Return the JSON files of a folder by the number in their names; InputError if there are none or duplicates."""
    numbered: dict[int, Path] = {}
    for path in sorted(folder.glob("*.json")):
        number = frame_number(path.name)
        if number in numbered:
            raise InputError(
                f"{folder}: {numbered[number].name} and {path.name} have the same frame number; remove one of them"
            )
        numbered[number] = path
    if not numbered:
        raise InputError(f"{folder}: no JSON files in it; write OpenPose's output there (--write_json)")
    return numbered


def _name_like(name: str, number: int) -> str:
    """Return the file name with another frame number."""
    *_, group = re.finditer(r"\d+", Path(name).stem)
    return f"{name[: group.start()]}{number:0{len(group[0])}d}{name[group.end() :]}"
