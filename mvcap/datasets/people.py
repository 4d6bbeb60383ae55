"""Synthetic takes: people in motion, the true rig, its calibration with errors, and simulated detections."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.structures.synthetic_take import SyntheticTake
from mvcap.synthesis.detector_errors import OPENPOSE, OPENPOSE_WEAK, TOPDOWN, DetectorModel
from mvcap.synthesis.detector_simulator import simulate_detector
from mvcap.synthesis.random_rigs import camera_count, disturb_rig, random_calibration_error, random_rig, shared_volume
from mvcap.synthesis.scenes import ROOM_M, random_scene

_PEOPLE_SHARE = np.array([7, 13, 19, 20, 15, 9, 6, 5, 3.5, 2.5])
"""Relative frequency of 1, 2 ... 10 people: four on average."""
_KINDS, _KIND_SHARES = (OPENPOSE, OPENPOSE_WEAK, TOPDOWN), (0.5, 0.2, 0.3)
"""Kinds of estimators, and the share of each."""
_HARD = ("calibration", "two_or_three_cameras", "alike", "narrow_room", "torn_people")
"""What makes a take hard for association; one of them each."""
_HARD_TURN_DEG = (0.3, 1.2)
_NARROW_M = (3.0, 4.0)
_GAP_SHARE = 0.15
"""Share of the views that lose some frames."""


@dataclass(frozen=True)
class TakeConfig:
    """Settings of takes."""

    split: Literal["train", "held_out"] = "train"
    """Motions to use: ``train`` or ``held_out``."""
    people: tuple[int, int] = (1, 10)
    """Fewest and most people."""
    cameras: tuple[int, int] = (2, 16)
    """Fewest and most cameras of a random rig."""
    frames: int = 24
    """Frames of a take."""
    rate_hz: tuple[float, float] = (10.0, 60.0)
    """Lowest and highest rate."""
    people_evenly: bool = False
    """Every number of people is as frequent as any other; else small groups are more frequent."""
    hard_share: float = 0.0
    """Share of the takes that are hard for association: a bad calibration, two or three cameras, people of the same
    size, a narrow room, or an estimator that often splits, merges and repeats people."""
    rig: Rig | None = None
    """The rig of every take; None: a random one for each."""
    detector: DetectorModel | None = None
    """The estimator of every take, unchanged; None: a random one for each."""


def make_take(seed: int, config: TakeConfig) -> SyntheticTake:
    """Return the take of this seed: the same one every time."""
    rng, hard = np.random.default_rng([seed, 20]), _hard_kind(seed, config.hard_share)
    rate_hz = float(np.exp(rng.uniform(*np.log(config.rate_hz))))
    people = _people_count(rng, *config.people, config.people_evenly)
    room_m = _NARROW_M if hard == "narrow_room" else ROOM_M
    truth = random_scene(
        rng, people, config.frames / rate_hz, rate_hz, config.split, room_m=room_m, alike=hard == "alike"
    )
    truth = truth[truth.frame < config.frames]
    least, most = config.cameras
    most = max(least, min(most, 3)) if hard == "two_or_three_cameras" else most
    known = config.rig or random_rig(rng, camera_count(rng, least, most))
    truth = _move_into_view(truth, known, rng) if len(truth) else truth
    turned_deg, moved_m = random_calibration_error(rng)
    if hard == "calibration":
        turned_deg = float(rng.uniform(*_HARD_TURN_DEG))
        moved_m = turned_deg * float(rng.uniform(0.01, 0.05))
    actual = disturb_rig(rng, known, turned_deg, moved_m)
    model = config.detector or _KINDS[int(rng.choice(len(_KINDS), p=_KIND_SHARES))].randomised(rng)
    if hard == "torn_people" and config.detector is None:
        model = _torn(model, rng)
    rows, whose = simulate_detector(model, truth, actual, rng, rate_hz)
    rows, whose = _drop_frames(rows, whose, len(known), config.frames, rng)
    return SyntheticTake(truth, actual, known, rate_hz, rows, whose)


def _hard_kind(seed: int, share: float) -> str:
    """What makes the take of this seed hard; empty for most."""
    rng = np.random.default_rng([seed, 21])
    return _HARD[int(rng.integers(len(_HARD)))] if rng.random() < share else ""


def _torn(model: DetectorModel, rng: np.random.Generator) -> DetectorModel:
    """The same estimator, which splits, merges and repeats people more often."""
    splits, merges, repeats = rng.uniform((0.05, 0.05, 0.01), (0.35, 0.25, 0.1)).tolist()
    return replace(
        model,
        splits=max(model.splits, splits), merges=max(model.merges, merges), duplicates=max(model.duplicates, repeats),
    )  # fmt: skip


def _people_count(rng: np.random.Generator, least: int, most: int, evenly: bool) -> int:
    number = np.arange(least, most + 1)
    share = np.ones(len(number)) if evenly else _PEOPLE_SHARE[np.minimum(number, len(_PEOPLE_SHARE)) - 1]
    return int(rng.choice(number, p=share / share.sum()))


def _move_into_view(truth: Poses3D, rig: Rig, rng: np.random.Generator) -> Poses3D:
    """The people moved to the middle of the shared volume, within a third of its radius, turned at random."""
    centre, radius = shared_volume(rig)
    xyz = truth.xyz.astype(np.float64)
    middle = np.median(xyz[..., :2].reshape(-1, 2), 0)
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    goal = centre + rng.uniform(-1, 1, 2) * min(radius, 3.0) / 3
    xyz[..., :2] = (xyz[..., :2] - middle) @ turn.T + goal
    return truth.with_columns(xyz=xyz)


def _drop_frames(
    rows: Detections2D, whose: NDArray[np.int32], views: int, frames: int, rng: np.random.Generator
) -> tuple[Detections2D, NDArray[np.int32]]:
    """The rows without frames lost by views: a contiguous gap, or single frames."""
    lost = np.zeros((views, frames), bool)
    for view in np.flatnonzero(rng.random(views) < _GAP_SHARE):
        if rng.random() < 0.5:
            start, length = rng.integers(0, frames), rng.integers(1, max(frames // 2, 2))
            lost[view, start : start + length] = True
        else:
            lost[view] = rng.random(frames) < rng.uniform(0, 0.4)
    keep = ~lost[rows.view, rows.frame]
    return rows[keep], whose[keep]
