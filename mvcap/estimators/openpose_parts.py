"""OpenPose's part candidates and limb scores, before they are people: a text file for each view.

The layout is that of 4D Association (Y. Zhang et al., CVPR 2020) and of its Shelf detections: a line ``4 FRAMES`` (4 is
BODY_25); in each frame for each of 25 joints a line with the number n of candidates and, if there are any, three lines
of n numbers, x and y as shares of the picture's width and height less one, and score; then for each of 26 limbs as many
lines as its first joint has candidates, each with a score for every candidate of its second joint. Empty lines count
for nothing.
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
_FARTHEST = 0.5  # of the picture, beyond its edges: more is not a share but a pixel
_LONE_SCORE = 0.4  # OpenPose's default for a person to be kept
# A standing body's joints fill a box 0.93 of its height high and, by the rule of body_size, a third as wide.
_STANDING_SIZE = 0.93 / np.sqrt(3)


@dataclass(frozen=True)
class OpenPosePartsConfig:
    """Settings of the estimator ``openpose_parts``."""

    folder: str = ""
    """Folder with ``<view>.txt`` for each view, in the layout of 4D Association."""
    min_joints: int = 2
    """Fragments of fewer joints are left out."""
    # As for OpenPose, where it was measured. Truth-labelled joints of the Shelf detections seen by four views or more
    # tell 0.17, with the errors of that calibration in it.
    noise: float = 0.18
    """Expected noise in units of a careful annotator's (see ``Skeleton.sigma``)."""
    first_frame: int = -1
    """Number, from 0, of the session's first frame in the files; -1 = they are of the same frames."""

    def __post_init__(self) -> None:
        if self.min_joints < 1:
            raise ConfigError("config key 'estimators.openpose_parts.min_joints' is 1 or more")


@dataclass(frozen=True)
class Parts:
    """Part candidates of one picture."""

    xy: tuple[NDArray[np.float64], ...]
    """25 arrays (n, 2) px."""
    score: tuple[NDArray[np.float64], ...]
    """25 arrays (n,) 0..1."""
    limb_scores: tuple[NDArray[np.float64], ...]
    """26 arrays (n_a, n_b)."""


class OpenPoseParts:
    """Estimator ``openpose_parts``: people and fragments of people from OpenPose's part candidates."""

    Config = OpenPosePartsConfig
    needs_images = False

    def __init__(self, config: OpenPosePartsConfig) -> None:
        self.config = config
        self.skeleton = SKELETONS["body25"]
        self._parts: dict[str, list[Parts]] = {}

    def prepare(self, views: tuple[View, ...]) -> str:
        """Read all files; return their fingerprint. InputError where one is missing, broken or of other frames."""
        files = self._files(views)
        for view in views:
            self._parts[view.name] = self._read(files[view.name], view)
        return fingerprint(files[view.name] for view in views)

    def frame_count(self, views: tuple[View, ...]) -> int:
        """Return the frames that the shortest file of the views holds."""
        files = self._files(views)
        return min(len(self._read(files[view.name], view)) for view in views)

    def estimate(self, image: NDArray[np.uint8] | None, frame: int, view: View, state: State) -> Estimate:
        """People and fragments of one frame; no picture is needed."""
        if view.name not in self._parts:
            self._parts[view.name] = self._read(self._files((view,))[view.name], view)
        parts = self._parts[view.name][frame]
        people = group_parts(parts.xy, parts.limb_scores)
        score = np.nan_to_num(pick_candidates(parts.score, people))
        joints = (people >= 0).sum(1)
        kept = (joints >= self.config.min_joints) & ((joints > 1) | (score.max(1, initial=0) >= _LONE_SCORE))
        xy = pick_candidates(parts.xy, people[kept])
        rows = Detections2D.build(self.skeleton, frame, view.index, xy, score[kept], self.config.noise)
        return Estimate(self._of_body_size(rows, view), state)

    def _of_body_size(self, rows: Detections2D, view: View) -> Detections2D:
        """Rows with the noise of the whole body's size: a fragment's own box is smaller than its body.

        A lone joint tells no size: it is taken for one of the others, or of a body as tall as the picture.
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
        return match_views([view.name for view in views], found, "file", folder)

    def _read(self, path: Path, view: View) -> list[Parts]:
        frames = read_parts(path, view.size)
        given = self.config.first_frame >= 0
        first = max(self.config.first_frame, 0)
        known = view.frames < UNKNOWN_FRAMES
        if known and (first + view.frames > len(frames) or (len(frames) > view.frames and not given)):
            raise InputError(
                f"{path}: {len(frames)} frames where view {view.name} of the session has {view.frames}; make it from "
                f"the same video, or set estimators.openpose_parts.first_frame"
            )
        return frames[first : first + view.frames]


def read_parts(path: Path, size: tuple[int, int]) -> list[Parts]:
    """Part candidates of a file's frames, in px of pictures of ``size`` (w, h); InputError names a broken line."""
    lines = _Lines(path)
    kind, frames = lines.header()
    if kind != _BODY25:
        raise InputError(
            f"{path}, line 1: skeleton {kind} where {_BODY25} (BODY_25) is read; run OpenPose with --model_pose BODY_25"
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
            raise lines.fault(f"{what} is outside the picture; x and y are shares of its width and height", back=3)
        xy.append(np.stack([x, y], axis=-1) * last)
        score.append(own)
    limb_scores = [
        lines.rows(len(score[a]), len(score[b]), f"limb {limb} of frame {frame}")
        for limb, (a, b) in enumerate(BODY25_LIMBS.tolist())
    ]
    return Parts(tuple(xy), tuple(score), tuple(limb_scores))


class _Lines:
    """Numbers of a file, taken line by line; lines without any are passed over."""

    def __init__(self, path: Path) -> None:
        try:
            texts = [line.split() for line in path.read_text(encoding="utf-8").split("\n")]
        except OSError as fault:
            raise InputError(f"{path}: cannot be read ({fault.strerror}); check that it is there") from fault
        except UnicodeDecodeError as fault:
            raise InputError(f"{path}: not a text file; write it anew") from fault
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
            raise self.fault("something in it is not a finite number")

    def header(self) -> tuple[int, int]:
        """Kind of skeleton and number of frames."""
        if not self.number or self.widths[0] != 2:
            raise InputError(
                f"{self.path}: does not begin with a kind of skeleton and a number of frames; write it anew"
            )
        kind, frames = self._values[:2].tolist()
        if kind != int(kind) or frames != int(frames) or frames < 0:
            raise self.fault("a kind of skeleton and a number of frames are whole numbers")
        self.next = 1
        return int(kind), int(frames)

    def count(self, what: str) -> int:
        """Return the number on a line of its own."""
        value = float(self.rows(1, 1, f"the number of candidates of {what}")[0, 0])
        if value < 0 or value != int(value):
            raise self.fault(f"{value:g} is no number of candidates of {what}", back=1)
        return int(value)

    def rows(self, rows: int, width: int, what: str) -> NDArray[np.float64]:
        """Return the numbers (rows, width) of the next lines, which hold ``width`` each."""
        if width == 0 or rows == 0:
            return np.zeros((rows, width))
        stop = self.next + rows
        if self.widths[self.next : stop] != [width] * rows:
            wrong = next((at for at, have in enumerate(self.widths[self.next : stop]) if have != width), None)
            if wrong is None:
                raise InputError(f"{self.path}: ends before {what} is complete; it was cut short, write it anew")
            self.next += wrong
            raise self.fault(f"{self.widths[self.next]} numbers where {what} has {width}")
        values = self._values[self._start[self.next] : self._start[stop]]
        self.next = stop
        return values.reshape(rows, width)

    def end(self, frames: int) -> None:
        """InputError where there is more than the frames that the first line tells."""
        if self.next < len(self.number):
            raise self.fault(f"more lines after the last of {frames} frames; the first line tells how many there are")

    def fault(self, what: str, back: int = 0) -> InputError:
        """InputError about the line that comes next, or one before it."""
        return InputError(f"{self.path}, line {self.number[self.next - back]}: {what}; write the file anew")


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return float("nan")
