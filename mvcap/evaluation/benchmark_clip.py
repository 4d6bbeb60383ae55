"""What every reader gives: clips with cameras, truth, and the settings by which an estimator finds their people."""

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
from mvcap.structures.poses import Poses3D, Provenance
from mvcap.structures.skeleton import Skeleton

_CHOICES = {"noise_px": "--noise", "detections": "--detections", "clips": "--clips"}
EstimatorSettings = dict[str, Any]
Reading = Callable[[Poses3D], Poses3D]


@dataclass(frozen=True)
class Options:
    """What can be asked of a reader; None is the benchmark's own choice."""

    noise_px: float | None = None
    """Standard deviation of the noise on projected truth, where that is what people in 2D are had of."""
    detections: str | None = None
    """Which people in 2D, where there are several kinds."""
    views: tuple[str, ...] | None = None
    """Views to use, by name."""
    clips: tuple[str, ...] | None = None
    """Clips to use, by name."""

    def only(self, benchmark: str, *taken: str) -> None:
        """Raise InputError where something is asked for that a benchmark has no choice of."""
        for name in ("noise_px", "detections", "clips"):
            if getattr(self, name) is not None and name not in taken:
                raise InputError(f"{benchmark} has no choice of {_CHOICES[name]}; leave it out")


@dataclass(frozen=True, eq=False)
class BenchmarkClip:
    """One take of a benchmark."""

    name: str
    rig: Rig
    rate_hz: float
    frames: int
    truth: Poses3D
    """Persons are the actors' numbers; frames count from the first of the clip."""
    scored: NDArray[np.bool_]
    """(T,) frames whose truth counts."""
    detections: str
    """In words: where the people in 2D come from."""
    estimator: Callable[[Path], EstimatorSettings]
    """Writes what the estimator reads into a session's folder; returns the settings that choose it."""
    read: Reading
    """Found people in the truth's skeleton."""
    pcp_rules: Mapping[str, Reading] = field(default_factory=dict)
    """Where PCP is defined: people as shelf15, by the name of the rule that builds their heads."""
    moments: bool = False
    """Whether the frames are moments far apart, in which nobody is followed."""
    labels: Detections2D | None = None
    """People labelled in the pictures, person = actor; None: those are the projected truth."""


def truth_table(skeleton: Skeleton, frame: list[int], person: list[int], xyz: NDArray[np.floating]) -> Poses3D:
    """Truth of joints (M, J, 3) m, NaN where unknown; score 1 where known."""
    xyz = np.asarray(xyz, np.float64).reshape(-1, len(skeleton), 3)
    there = np.asarray(np.isfinite(xyz).all(-1))
    who = np.array(person, np.int32)
    return Poses3D(
        skeleton,
        frame=np.array(frame, np.int32),
        person=who,
        group=who,
        xyz=np.where(there[..., None], xyz, np.nan),
        score=there,
        error_px=np.full(there.shape, np.nan),
        views=np.zeros(there.shape),
        cov=np.full((*there.shape, 6), np.nan),
        provenance=np.where(there, Provenance.MEASURED, Provenance.MISSING),
    )


def projected_truth(truth: Poses3D, noise_px: float) -> Callable[[Path], EstimatorSettings]:
    """Settings of the estimator ``oracle``: the truth in the clip's cameras with noise, people without names."""

    def estimator(folder: Path) -> EstimatorSettings:
        save_poses(folder / "truth.npz", truth)
        oracle = {"poses": str(folder / "truth.npz"), "rig": str(folder / "rig.yaml"), "noise_px": noise_px,
                  "carry": False}  # fmt: skip
        return {"estimator": "oracle", "estimators": {"oracle": oracle}}

    return estimator


def choose_clips(names: Sequence[str], wanted: tuple[str, ...] | None, folder: Path) -> list[str]:
    """Return the clips wanted, all of them where none is named; InputError lists those there are."""
    lost = [name for name in wanted or () if name not in names]
    if lost:
        raise InputError(f"{folder}: no clip {', '.join(lost)}; there are: {', '.join(names)}")
    return [name for name in names if not wanted or name in wanted]


def pcp_rules(rule: str) -> dict[str, Reading]:
    """Readings as shelf15 by 4D Association's head rule and by VoxelPose's for the data set."""
    return {"4da": partial(read_as_shelf, rule="4da"), "voxelpose": partial(read_as_shelf, rule=rule)}


def one_line_reason(fault: Exception) -> str:
    """Return in few words on one line why a file could not be read."""
    return " ".join(str(getattr(fault, "strerror", None) or fault).split())


def same_skeleton(poses: Poses3D) -> Poses3D:
    """The reading of poses that have the truth's skeleton already."""
    return poses
