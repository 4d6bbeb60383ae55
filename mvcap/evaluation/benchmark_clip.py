"""The result of every benchmark reader: clips with cameras, ground truth, and the settings of an estimator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.errors import InputError
from mvcap.evaluation.head_rules import read_as_shelf
from mvcap.structures.detections import Detections2D
from mvcap.structures.pose_file import save_poses
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton

_CHOICES = {"noise_px": "--noise", "detections": "--detections", "clips": "--clips"}
EstimatorSettings = dict[str, Any]
Reading = Callable[[Poses3D], Poses3D]


@dataclass(frozen=True)
class Options:
    """Options of a benchmark reader; None means the benchmark's default."""

    noise_px: float | None = None
    """Standard deviation, px, of the noise added to projected ground truth, where that is the 2D input."""
    detections: str | None = None
    """Kind of 2D detections, where the benchmark has several kinds."""
    views: tuple[str, ...] | None = None
    """Views to use, by name."""
    clips: tuple[str, ...] | None = None
    """Clips to use, by name."""

    def only(self, benchmark: str, *taken: str) -> None:
        """Raise InputError if an option is set that the benchmark does not have; taken: the options it has."""
        for name in ("noise_px", "detections", "clips"):
            if getattr(self, name) is not None and name not in taken:
                raise InputError(f"{benchmark} has no option {_CHOICES[name]}; leave it out")


@dataclass(frozen=True, eq=False)
class BenchmarkClip:
    """One take of a benchmark: T frames with ground truth."""

    name: str
    rig: Rig
    rate_hz: float
    frames: int
    truth: Poses3D
    """Ground truth; person = number of the actor, frames count from the first frame of the clip."""
    scored: NDArray[np.bool_]
    """(T,) whether each frame is scored."""
    detections: str
    """Description of the source of the 2D detections."""
    estimator: Callable[[Path], EstimatorSettings]
    """Writes the estimator's input into a session folder; returns the settings that select the estimator."""
    read: Reading
    """Converts estimated poses to the skeleton of the ground truth."""
    pcp_rules: Mapping[str, Reading] = field(default_factory=dict)
    """Conversions to shelf15 for PCP, by the name of the head rule; empty if PCP is not defined."""
    moments: bool = False
    """Whether the frames are isolated moments far apart, in which people are not tracked."""
    labels: Detections2D | None = None
    """2D labels of the images, person = actor; None: the projected ground truth serves as labels."""


def truth_table(skeleton: Skeleton, frame: list[int], person: list[int], xyz: NDArray[np.floating]) -> Poses3D:
    """Return a table of ground truth from joints (M, J, 3) m, NaN where unknown; the score of known joints is 1."""
    return Poses3D.from_positions(skeleton, frame, person, xyz)


def projected_truth(truth: Poses3D, noise_px: float) -> Callable[[Path], EstimatorSettings]:
    """Return a function that sets up the estimator ``oracle``: projected ground truth plus noise, without track ids."""

    def estimator(folder: Path) -> EstimatorSettings:
        save_poses(folder / "truth.npz", truth)
        oracle = {"poses": str(folder / "truth.npz"), "rig": str(folder / "rig.yaml"), "noise_px": noise_px,
                  "carry": False}  # fmt: skip
        return {"estimator": "oracle", "estimators": {"oracle": oracle}}

    return estimator


def choose_clips(names: Sequence[str], wanted: tuple[str, ...] | None, folder: Path) -> list[str]:
    """Return the wanted clips, by default all; InputError for an unknown clip lists the available ones."""
    unknown = [name for name in wanted or () if name not in names]
    if unknown:
        raise InputError(f"{folder}: no clip {', '.join(unknown)}; available: {', '.join(names)}")
    return [name for name in names if not wanted or name in wanted]


def pcp_rules(rule: str) -> dict[str, Reading]:
    """Return the conversions to shelf15 by 4D Association's head rule and by VoxelPose's rule for the data set."""
    return {"4da": partial(read_as_shelf, rule="4da"), "voxelpose": partial(read_as_shelf, rule=rule)}


def one_line_reason(fault: Exception) -> str:
    """Return a short one-line reason why a file could not be read."""
    return " ".join(str(getattr(fault, "strerror", None) or fault).split())


def same_skeleton(poses: Poses3D) -> Poses3D:
    """Return the poses unchanged, for estimators whose skeleton is that of the ground truth."""
    return poses
