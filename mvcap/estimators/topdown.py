"""A person detector, then a pose network on each box: any pair of ONNX files that a model card describes.

The detector runs on a schedule; between its runs a person's box comes from the joints of the frame before. People are
carried from frame to frame by the overlap of their boxes and the likeness of their poses, so any frame can be resumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import ConfigError, InputError
from mvcap.estimation.model_card import model_file, read_card
from mvcap.estimation.prediction_files import fingerprint
from mvcap.estimation.topdown_networks import Boxes, PersonDetector, PoseNetwork
from mvcap.structures.contracts import Estimate, State, View
from mvcap.structures.detections import Detections2D, body_size, joint_box
from mvcap.structures.skeleton import Skeleton, skeleton

_ROOM = 0.1
"""Share of a box of joints that is added on each side to have the whole body: its head, hands and feet."""
_SAME = 0.2
"""Overlap of boxes plus likeness of poses (0..2) above which two frames' people are one."""


@dataclass(frozen=True)
class TopDownConfig:
    """Settings of the estimator ``topdown``."""

    card: str = ""
    """The model card; ``configs/models`` has examples."""
    models: str = ""
    """Folder of the networks' files; empty = the card's own folder."""
    every: int = 1
    """Run the detector every so many frames."""
    threshold: float = 0.3
    """Mean score of the joints below which a box holds nobody."""
    duplicate: float = 0.9
    """Likeness of two poses (object keypoint similarity) above which they are of one body."""
    patience: int = 5
    """Runs of the detector that a person may be missed in and still be known again."""
    # As for OpenPose, where it was measured; not measured for RTMPose or HRNet, whose errors on COCO are smaller.
    noise: float = 0.35
    """Expected noise in units of a careful annotator's (see ``Skeleton.sigma``)."""
    threads: int = 1
    """Threads of each network."""
    device: str = "cpu"
    """``cpu``, or ``cuda`` where onnxruntime-gpu is installed."""

    def __post_init__(self) -> None:
        if self.every < 1 or self.threads < 1 or self.patience < 0 or self.device not in ("cpu", "cuda"):
            raise ConfigError("topdown: every and threads are at least 1, patience at least 0, device is cpu or cuda")


@dataclass(frozen=True)
class _Carried:
    """People known in one view, one row each; also those that the last runs of the detector missed."""

    ident: NDArray[np.int64]
    box: Boxes
    xy: NDArray[np.float64]
    """(N, J, 2) px, NaN where missing."""
    missed: NDArray[np.int64]
    """Runs of the detector in a row without this person."""
    next_ident: int

    @classmethod
    def of(cls, state: State, joints: int) -> _Carried:
        if not state:
            return cls(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros((0, joints, 2)), np.zeros(0, np.int64), 0)
        return cls(state["ident"], state["box"], state["xy"], state["missed"], int(state["next_ident"]))

    def state(self) -> State:
        arrays = {"ident": self.ident, "box": self.box, "xy": self.xy, "missed": self.missed}
        return {**arrays, "next_ident": np.array(self.next_ident)}


class TopDown:
    """Estimator ``topdown``: a person detector and a pose network, both ONNX files."""

    Config = TopDownConfig
    needs_images = True

    def __init__(self, config: TopDownConfig) -> None:
        if not config.card:
            raise InputError(
                "topdown: no model card is set; set estimators.topdown.card to a file like those in configs/models"
            )
        self.config = config
        self.card = read_card(Path(config.card))
        self.skeleton: Skeleton = skeleton(self.card.pose.skeleton)

    def prepare(self, views: tuple[View, ...]) -> str:
        """Load both networks and run them once; return the identity of card and files.

        AssetError where a network is missing or does not do what the card says.
        """
        detector, pose = self._networks
        black = np.zeros((64, 64, 3), np.uint8)
        detector(black)
        pose(black, np.array([[0.0, 0.0, 63.0, 63.0]]))
        return fingerprint([Path(self.config.card), *self._files])

    def estimate(self, image: NDArray[np.uint8] | None, frame: int, view: View, state: State) -> Estimate:
        """Find people in one RGB picture (H, W, 3)."""
        if image is None:
            raise ValueError("topdown needs pictures")
        detector, pose = self._networks
        before = _Carried.of(state, len(self.skeleton))
        present = before.missed == 0
        search = frame % self.config.every == 0 or not present.any()
        boxes = detector(image) if search else before.box[present]
        rows = self._rows(image, boxes, pose, frame, view)
        ident, after = self._carry(rows, before, search)
        return Estimate(rows.with_columns(carried=ident.astype(np.int32)), after.state())

    @property
    def _files(self) -> tuple[Path, Path]:
        folder = Path(self.config.models) if self.config.models else Path(self.config.card).parent
        return model_file(self.card.detector, folder), model_file(self.card.pose, folder)

    @cached_property
    def _networks(self) -> tuple[PersonDetector, PoseNetwork]:
        detector, pose = self._files
        settings = (self.config.threads, self.config.device)
        return PersonDetector(self.card.detector, detector, *settings), PoseNetwork(self.card.pose, pose, *settings)

    def _rows(self, image: NDArray[np.uint8], boxes: Boxes, pose: PoseNetwork, frame: int, view: View) -> Detections2D:
        """Rows of the people in the boxes: those that look like people, one a body; joints in the picture only."""
        xy, score = pose(image, boxes)
        height, width = image.shape[:2]
        inside = ((xy > -0.5) & (xy < (width - 0.5, height - 0.5))).all(-1)
        score = np.where(inside, score, 0)
        rows = Detections2D.build(self.skeleton, frame, view.index, xy, score, self.config.noise, box=boxes)
        rows = rows[np.flatnonzero(_mean_score(rows) >= self.config.threshold)]
        return rows[self._distinct(rows)]

    def _distinct(self, rows: Detections2D) -> NDArray[np.int64]:
        """Indices of the rows that are left when of two poses of one body the surer one stays, in their order."""
        likeness = similarity(rows.xy, rows.xy, body_size(rows.box), self.skeleton)
        kept: list[int] = []
        for row in np.argsort(-_mean_score(rows), kind="stable"):
            if all(likeness[row, other] < self.config.duplicate for other in kept):
                kept.append(int(row))
        return np.array(sorted(kept), dtype=np.int64)

    def _carry(self, rows: Detections2D, before: _Carried, searched: bool) -> tuple[NDArray[np.int64], _Carried]:
        """Ids of the rows, those of the people before where they are the same, and the people to go on with."""
        from scipy.optimize import linear_sum_assignment

        size = body_size(before.box)
        closeness = box_iou(before.box, rows.box) + similarity(before.xy, rows.xy, size, self.skeleton)
        old, new = linear_sum_assignment(closeness, maximize=True)
        same = closeness[old, new] > _SAME
        ident = np.full(len(rows), -1, dtype=np.int64)
        ident[new[same]] = before.ident[old[same]]
        fresh = np.flatnonzero(ident < 0)
        ident[fresh] = before.next_ident + np.arange(len(fresh))
        # Who was lost between two runs of the detector is waited for until it runs again.
        missed = np.maximum(before.missed + searched, 1)
        lost = ~np.isin(before.ident, ident) & (missed <= self.config.patience)
        xy = rows.xy.astype(np.float64)
        grown = joint_box(xy)
        grown += _ROOM * np.tile(grown[:, 2:] - grown[:, :2], 2) * (-1, -1, 1, 1)
        return ident, _Carried(
            np.concatenate([ident, before.ident[lost]]),
            np.concatenate([grown, before.box[lost]]),
            np.concatenate([xy, before.xy[lost]]),
            np.concatenate([np.zeros(len(rows), np.int64), missed[lost]]),
            before.next_ident + len(fresh),
        )


def box_iou(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Intersection over union (N, M) of boxes (N, 4) and (M, 4)."""
    shared = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    common = np.prod(np.maximum(shared, 0), axis=-1)
    area_a, area_b = (np.prod(np.maximum(box[:, 2:] - box[:, :2], 0), axis=-1) for box in (a, b))
    return np.asarray(common / np.maximum(area_a[:, None] + area_b - common, 1e-9), dtype=np.float64)


def similarity(
    a: NDArray[np.floating], b: NDArray[np.floating], size: NDArray[np.float64], of: Skeleton
) -> NDArray[np.float64]:
    """COCO's object keypoint similarity (N, M) of poses (N, J, 2) and (M, J, 2); 0 where they share no joint.

    ``size`` (N,) px is the bodies' size, the square root of their area.
    """
    squared = ((a[:, None].astype(np.float64) - b[None]) ** 2).sum(-1)
    # COCO's constant is twice the annotator's standard deviation.
    exponent = squared / (2 * (2 * of.sigma * np.maximum(size, 1)[:, None, None]) ** 2)
    shared = np.isfinite(exponent)
    likeness = np.where(shared, np.exp(-np.where(shared, exponent, 0)), 0).sum(-1)
    return np.asarray(likeness / np.maximum(shared.sum(-1), 1), dtype=np.float64)


def _mean_score(rows: Detections2D) -> NDArray[np.floating]:
    """Mean score (M,) of the joints that were found; 0 where none was."""
    found = (rows.score > 0).sum(-1)
    return np.asarray(rows.score.sum(-1) / np.maximum(found, 1))
