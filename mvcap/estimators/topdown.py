"""A person detector, then a pose network on each box: any pair of ONNX files that a model card describes.

The detector runs at intervals; between its runs a person's box is computed from the joints of the previous frame.
People are tracked from frame to frame by box overlap and pose similarity; the state of a view allows resuming at any
frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import ConfigError, InputError
from mvcap.estimation.model_card import model_file, read_card
from mvcap.estimation.onnx_network import DEVICES
from mvcap.estimation.prediction_files import fingerprint
from mvcap.estimation.topdown_networks import Boxes, PersonDetector, PoseNetwork
from mvcap.structures.contracts import Estimate, State, View
from mvcap.structures.detections import Detections2D, body_size, joint_box
from mvcap.structures.skeleton import Skeleton, skeleton

_ROOM = 0.1
"""Share of a box of joints that is added on each side so that it contains head, hands and feet."""
_MIN_SIMILARITY = 0.2
"""Box overlap plus pose similarity (0..2) above which people of two frames are the same."""


@dataclass(frozen=True)
class TopDownConfig:
    """Settings of the estimator ``topdown``."""

    card: str = ""
    """The model card, such as ``configs/models/rtmdet-nano_rtmpose.yaml``."""
    models: str = ""
    """Folder of the network files; empty = the folder of the card."""
    every: int = 1
    """Run the detector every so many frames. Raise it for speed where people move slowly."""
    threshold: float = 0.3
    """Mean score (0 to 1) of a body's joints below which a box is a false positive."""
    duplicate: float = 0.9
    """Object keypoint similarity (0 to 1) of two poses above which they are one body, detected twice."""
    patience: int = 5
    """Runs of the detector in which a person may be missed and still be tracked."""
    # As for OpenPose, where it was measured; not measured for RTMPose or HRNet, whose errors on COCO are smaller.
    noise: float = 0.35
    """Expected noise, see ``blazepose``. Not measured for RTMPose and HRNet."""
    threads: int = 1
    """Threads of each network. Views are already processed in parallel (``estimate.threads``)."""
    device: str = "cpu"
    """``cpu``, ``auto`` for the fastest that the installed onnxruntime supports, or ``cuda``, ``coreml``, ``directml``,
    ``openvino`` where its build for them is installed."""

    def __post_init__(self) -> None:
        if self.every < 1 or self.threads < 1 or self.patience < 0 or self.device not in DEVICES:
            devices = ", ".join(DEVICES)
            raise ConfigError(f"topdown: every and threads must be at least 1, patience at least 0, device {devices}")


@dataclass(frozen=True)
class _Carried:
    """People tracked in one view, one row each, including those that the last detector runs missed."""

    ident: NDArray[np.int64]
    box: Boxes
    xy: NDArray[np.float64]
    """(N, J, 2) px, NaN where missing."""
    missed: NDArray[np.int64]
    """(N,) consecutive detector runs without this person."""
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
    """Estimator ``topdown``: a person detector and a pose network of your own, two ONNX files that a model card
    describes (``configs/models``)."""

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
        """Load both networks and run them once; return the fingerprint of card and files.

        AssetError if a network is missing or does not fit the card.
        """
        detector, pose = self._networks
        black = np.zeros((64, 64, 3), np.uint8)
        detector(black)
        pose(black, np.array([[0.0, 0.0, 63.0, 63.0]]))
        return fingerprint([Path(self.config.card), *self._files])

    def estimate(self, image: NDArray[np.uint8] | None, frame: int, view: View, state: State) -> Estimate:
        """Detect people in one RGB image (H, W, 3)."""
        if image is None:
            raise ValueError("topdown needs images")
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
        """Return the rows of the people in the boxes, without false positives, duplicates and joints off the image."""
        xy, score = pose(image, boxes)
        height, width = image.shape[:2]
        inside = ((xy > -0.5) & (xy < (width - 0.5, height - 0.5))).all(-1)
        score = np.where(inside, score, 0)
        rows = Detections2D.build(self.skeleton, frame, view.index, xy, score, self.config.noise, box=boxes)
        rows = rows[np.flatnonzero(_mean_score(rows) >= self.config.threshold)]
        return rows[self._distinct(rows)]

    def _distinct(self, rows: Detections2D) -> NDArray[np.int64]:
        """Return the ascending indices of the rows without duplicates; of duplicates the one with most score stays."""
        oks = similarity(rows.xy, rows.xy, body_size(rows.box), self.skeleton)
        kept: list[int] = []
        for row in np.argsort(-_mean_score(rows), kind="stable"):
            if all(oks[row, other] < self.config.duplicate for other in kept):
                kept.append(int(row))
        return np.array(sorted(kept), dtype=np.int64)

    def _carry(self, rows: Detections2D, before: _Carried, searched: bool) -> tuple[NDArray[np.int64], _Carried]:
        """Return the ids of the rows, continued from the previous frame where people match, and the new state."""
        from scipy.optimize import linear_sum_assignment

        size = body_size(before.box)
        closeness = box_iou(before.box, rows.box) + similarity(before.xy, rows.xy, size, self.skeleton)
        old, new = linear_sum_assignment(closeness, maximize=True)
        same = closeness[old, new] > _MIN_SIMILARITY
        ident = np.full(len(rows), -1, dtype=np.int64)
        ident[new[same]] = before.ident[old[same]]
        fresh = np.flatnonzero(ident < 0)
        ident[fresh] = before.next_ident + np.arange(len(fresh))
        # A person lost between two detector runs is kept at least until the next run.
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
    """Return the intersection over union (N, M) of boxes (N, 4) and (M, 4)."""
    shared = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    common = np.prod(np.maximum(shared, 0), axis=-1)
    area_a, area_b = (np.prod(np.maximum(box[:, 2:] - box[:, :2], 0), axis=-1) for box in (a, b))
    return np.asarray(common / np.maximum(area_a[:, None] + area_b - common, 1e-9), dtype=np.float64)


def similarity(
    a: NDArray[np.floating], b: NDArray[np.floating], size: NDArray[np.float64], of: Skeleton
) -> NDArray[np.float64]:
    """Return COCO's object keypoint similarity (N, M) of poses (N, J, 2) and (M, J, 2); 0 without common joints.

    ``size`` (N,) px: size of the bodies, the square root of their area.
    """
    squared = ((a[:, None].astype(np.float64) - b[None]) ** 2).sum(-1)
    # COCO's constant is twice the annotator's standard deviation.
    exponent = squared / (2 * (2 * of.sigma * np.maximum(size, 1)[:, None, None]) ** 2)
    shared = np.isfinite(exponent)
    total = np.where(shared, np.exp(-np.where(shared, exponent, 0)), 0).sum(-1)
    return np.asarray(total / np.maximum(shared.sum(-1), 1), dtype=np.float64)


def _mean_score(rows: Detections2D) -> NDArray[np.floating]:
    """Return the mean score (M,) of the detected joints; 0 without any."""
    found = (rows.score > 0).sum(-1)
    return np.asarray(rows.score.sum(-1) / np.maximum(found, 1))
