"""OpenPose's part candidates and limb scores before grouping into people: one text file per view.

The layout is that of 4D Association (Y. Zhang et al., CVPR 2020) and of its Shelf detections: a line ``4 FRAMES`` (4 is
BODY_25); in each frame for each of 25 joints a line with the number n of candidates and, if n > 0, three lines of n
numbers, x and y as shares of (image width - 1) and (image height - 1), and score; then for each of 26 limbs as many
lines as its first joint has candidates, each with a score for every candidate of its second joint. Empty lines are
ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import ConfigError, InputError
from mvcap.estimation.part_grouping import BODY25_LIMBS, body_height, group_parts, pick_candidates
from mvcap.estimation.prediction_files import existing_folder, fingerprint, match_views
from mvcap.structures.contracts import UNKNOWN_FRAMES, Estimate, State, View
from mvcap.structures.detections import Detections2D, body_size
from mvcap.structures.skeleton import SKELETONS

_BODY25 = 4
_FARTHEST = 0.5  # image sizes beyond the edges; larger values are pixels instead of shares
_SINGLE_JOINT_SCORE = 0.4  # OpenPose's default threshold for a person
# The joints of a standing body fill a box 0.93 of its height high and, by the rule of body_size, a third as wide.
_STANDING_SIZE = 0.93 / np.sqrt(3)


@dataclass(frozen=True)
class OpenPosePartsConfig:
    """Settings of the estimator ``openpose_parts``."""

    folder: str = ""
    """Folder with ``<view>.txt`` for each view, in the layout of 4D Association."""
    min_joints: int = 2
    """Fragments of fewer joints are left out. Raise it to keep whole bodies only."""
    # As for OpenPose, where it was measured. The Shelf detections give 0.17, including calibration errors, for joints
    # labelled in the ground truth and seen by four or more views.
    noise: float = 0.18
    """Expected noise, see ``blazepose``. Measured on OpenPose's detections; a fragment has the noise of its whole body.
    """
    first_frame: int = -1
    """Number, from 0, of the session's first frame in the files; -1 = files and session have the same frames."""

    def __post_init__(self) -> None:
        if self.min_joints < 1:
            raise ConfigError("config key 'estimators.openpose_parts.min_joints' must be 1 or more")


@dataclass(frozen=True)
class Parts:
    """Part candidates and limb scores of one image."""

    xy: tuple[NDArray[np.float64], ...]
    """25 arrays (n, 2) px, the candidates of each joint."""
    score: tuple[NDArray[np.float64], ...]
    """25 arrays (n,) 0..1, their scores."""
    limb_scores: tuple[NDArray[np.float64], ...]
    """26 arrays (n_a, n_b), scores of the limbs between candidates."""


class OpenPoseParts:
    """Estimator ``openpose_parts``: OpenPose's part candidates and limb scores in the layout of 4D Association, a text
    file for each view. Parts are grouped into people here; what is connected only in part becomes a fragment."""

    Config = OpenPosePartsConfig
    needs_images = False

    def __init__(self, config: OpenPosePartsConfig) -> None:
        self.config = config
        self.skeleton = SKELETONS["body25"]
        self._parts: dict[str, list[Parts]] = {}

    def prepare(self, views: tuple[View, ...]) -> str:
        """Read all files; return their fingerprint. InputError if one is missing, broken or has other frames."""
        files = self._files(views)
        for view in views:
            self._parts[view.name] = self._read(files[view.name], view)
        return fingerprint(files[view.name] for view in views)

    def frame_count(self, views: tuple[View, ...]) -> int:
        """Return the number of frames of the shortest file of the views."""
        files = self._files(views)
        return min(len(self._read(files[view.name], view)) for view in views)

    def estimate(self, image: NDArray[np.uint8] | None, frame: int, view: View, state: State) -> Estimate:
        """Return the people and fragments of one frame; needs no image."""
        if view.name not in self._parts:
            self._parts[view.name] = self._read(self._files((view,))[view.name], view)
        parts = self._parts[view.name][frame]
        people = group_parts(parts.xy, parts.limb_scores)
        score = np.nan_to_num(pick_candidates(parts.score, people))
        joints = (people >= 0).sum(1)
        kept = (joints >= self.config.min_joints) & ((joints > 1) | (score.max(1, initial=0) >= _SINGLE_JOINT_SCORE))
        xy = pick_candidates(parts.xy, people[kept])
        rows = Detections2D.build(self.skeleton, frame, view.index, xy, score[kept], self.config.noise)
        return Estimate(self._with_body_noise(rows, view), state)

    def _with_body_noise(self, rows: Detections2D, view: View) -> Detections2D:
        """Return the rows with noise for the size of the whole body, as a fragment's box is smaller than its body.

        A single joint gives no size: the median height of the other rows is used, or the height of the image.
        """
        height, _ = body_height(rows.xy.astype(np.float64))
        known = np.isfinite(height)
        height[~known] = np.median(height[known]) if known.any() else view.size[1]
        size = np.maximum(body_size(rows.box), _STANDING_SIZE * height)[:, None]
        score = np.where(rows.score > 0, rows.score, np.nan)
        return rows.with_columns(noise_px=self.config.noise * self.skeleton.sigma * size / score)

    def _files(self, views: tuple[View, ...]) -> dict[str, Path]:
        folder = existing_folder(self.config.folder, "openpose_parts")
        found = {path.stem: path for path in folder.glob("*.txt")}
        return match_views([view.name for view in views], found, "file", folder, "openpose_parts")

    def _read(self, path: Path, view: View) -> list[Parts]:
        frames = read_parts(path, view.size)
        given = self.config.first_frame >= 0
        first = max(self.config.first_frame, 0)
        known = view.frames < UNKNOWN_FRAMES
        if known and (first + view.frames > len(frames) or (len(frames) > view.frames and not given)):
            raise InputError(
                f"{path}: {len(frames)} frames, but view {view.name} of the session has {view.frames}; make it from "
                f"the same video, or set estimators.openpose_parts.first_frame"
            )
        return frames[first : first + view.frames]


def read_parts(path: Path, size: tuple[int, int]) -> list[Parts]:
    """Return the part candidates of each frame, in px of images of ``size`` (w, h); InputError names a broken line."""
    lines = _Lines(path)
    kind, frames = lines.header()
    if kind != _BODY25:
        raise InputError(
            f"{path}, line 1: skeleton {kind}, but only {_BODY25} (BODY_25) is supported; run OpenPose with "
            "--model_pose BODY_25"
        )
    last = np.array(size, dtype=np.float64) - 1
    found = [_frame(lines, frame, last) for frame in range(frames)]
    lines.end(frames)
    return found


def _frame(lines: _Lines, frame: int, last: NDArray[np.float64]) -> Parts:
    xy, score = [], []
    for joint in range(len(SKELETONS["body25"])):
        what = f"joint {joint} of frame {frame}"
        x, y, own = lines.rows(3, lines.count(what), what)
        if ((np.abs(x - 0.5) > 0.5 + _FARTHEST) | (np.abs(y - 0.5) > 0.5 + _FARTHEST)).any():
            raise lines.fault(f"{what} is outside the image; x and y must be shares of its width and height", back=3)
        xy.append(np.stack([x, y], axis=-1) * last)
        score.append(own)
    limb_scores = [
        lines.rows(len(score[a]), len(score[b]), f"limb {limb} of frame {frame}")
        for limb, (a, b) in enumerate(BODY25_LIMBS.tolist())
    ]
    return Parts(tuple(xy), tuple(score), tuple(limb_scores))


class _Lines:
    """Reads the numbers of a file line by line, skipping empty lines."""

    def __init__(self, path: Path) -> None:
        try:
            texts = [line.split() for line in path.read_text(encoding="utf-8").split("\n")]
        except OSError as fault:
            raise InputError(f"{path}: cannot be read ({fault.strerror}); check that it exists") from fault
        except UnicodeDecodeError as fault:
            raise InputError(f"{path}: not a text file; write it again") from fault
        self.path = path
        self.number = [at for at, words in enumerate(texts, start=1) if words]
        self.widths = [len(texts[at - 1]) for at in self.number]
        self.next = 0
        self._start = [0, *np.cumsum(self.widths, dtype=np.int64).tolist()]
        try:
            self._values = np.array(list(chain.from_iterable(texts)), dtype=np.float64)
        except ValueError:
            self._values = np.array([_number(word) for words in texts for word in words])
        bad = np.flatnonzero(~np.isfinite(self._values))
        if bad.size:
            self.next = int(np.searchsorted(self._start, bad[0], side="right")) - 1
            raise self.fault("a value is not a finite number")

    def header(self) -> tuple[int, int]:
        """Return the kind of skeleton and the number of frames."""
        if not self.number or self.widths[0] != 2:
            raise InputError(
                f"{self.path}: does not begin with a kind of skeleton and a number of frames; write it again"
            )
        kind, frames = self._values[:2].tolist()
        if kind != int(kind) or frames != int(frames) or frames < 0:
            raise self.fault("the kind of skeleton and the number of frames must be whole numbers")
        self.next = 1
        return int(kind), int(frames)

    def count(self, what: str) -> int:
        """Return the number on a line of its own."""
        value = float(self.rows(1, 1, f"the number of candidates of {what}")[0, 0])
        if value < 0 or value != int(value):
            raise self.fault(f"{value:g} is not a number of candidates of {what}", back=1)
        return int(value)

    def rows(self, rows: int, width: int, what: str) -> NDArray[np.float64]:
        """Return the numbers (rows, width) of the next lines, which must have ``width`` numbers each."""
        if width == 0 or rows == 0:
            return np.zeros((rows, width))
        stop = self.next + rows
        if self.widths[self.next : stop] != [width] * rows:
            wrong = next((at for at, have in enumerate(self.widths[self.next : stop]) if have != width), None)
            if wrong is None:
                raise InputError(f"{self.path}: truncated, ends before {what} is complete; write it again")
            self.next += wrong
            raise self.fault(f"{self.widths[self.next]} numbers, but {what} has {width}")
        values = self._values[self._start[self.next] : self._start[stop]]
        self.next = stop
        return values.reshape(rows, width)

    def end(self, frames: int) -> None:
        """Raise InputError if lines follow the number of frames stated in the first line."""
        if self.next < len(self.number):
            raise self.fault(f"more lines after the last of the {frames} frames that the first line states")

    def fault(self, what: str, back: int = 0) -> InputError:
        """Return an InputError about the next line, or the line ``back`` lines before it."""
        return InputError(f"{self.path}, line {self.number[self.next - back]}: {what}; write the file again")


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return float("nan")
