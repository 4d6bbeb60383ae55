"""The contracts of what can be exchanged: what estimators, associators and refiners take and give. No base class."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton

State = dict[str, NDArray[Any]]
"""What an estimator carries from frame to frame in one view: plain arrays, so that it can be saved and resumed."""


@dataclass(frozen=True)
class View:
    """What an estimator may know about the view it works on."""

    index: int
    name: str
    size: tuple[int, int]
    """w, h in px."""
    rate_hz: float
    frames: int


UNKNOWN_FRAMES = 2**31 - 1
"""``View.frames`` where the length of the take is not known."""


@runtime_checkable
class FileEstimator(Protocol):
    """An estimator that reads files made elsewhere, and can tell how many frames they hold."""

    def frame_count(self, views: tuple[View, ...]) -> int:
        """Return the frames of the files of these views, whose own ``frames`` is ``UNKNOWN_FRAMES``."""
        ...


@dataclass(frozen=True)
class Estimate:
    """One picture's people, what to carry to the next picture, and their masks if asked for."""

    rows: Detections2D
    state: State
    masks: NDArray[np.uint8] | None = None
    """(H, W) label picture: 0 = nobody, m + 1 = row m of ``rows``."""


class Estimator(Protocol):
    """People in one picture. Pure: what it knows of earlier frames comes in and goes out as ``state``."""

    skeleton: Skeleton
    needs_images: bool

    def prepare(self, views: tuple[View, ...]) -> str:
        """Check models and files before the work starts; return the identity of what the rows will come from."""
        ...

    def estimate(self, image: NDArray[np.uint8] | None, frame: int, view: View, state: State) -> Estimate:
        """Find people in an RGB picture (H, W, 3), or None where the estimator needs none.

        ``state`` is empty at the first frame of a view. A dropped frame is not asked for.
        """
        ...


class Associator(Protocol):
    """Who is who across the views. Pure: what it knows of earlier frames comes in and goes out as ``memory``."""

    follows: bool
    """Whether a number means the same person from frame to frame; it is given to nobody else later."""

    def associate(self, rows: Detections2D, rig: Rig, rate_hz: float, memory: State) -> tuple[Detections2D, State]:
        """Return the rows of some frames, in order of frames, with ``person`` filled, and what is to be remembered.

        Person: 0, 1, 2 ... or -1 for nobody. A row whose joints are of two people may come back as two rows, which
        have the row's joints between them; two rows of a view may be one person where they share no joint or are
        copies. ``memory`` is what was returned for the frames before, empty at the first. ``rate_hz``: frames a second.
        """
        ...


def _nothing() -> NDArray[np.float64]:
    return np.zeros(())


@dataclass(frozen=True)
class Evidence:
    """What is known of one person beside the poses."""

    rig: Rig
    rows: Detections2D
    """What the views saw of this person in the frames of the window, linked by frame."""
    rate_hz: float
    limb_length_m: NDArray[np.float64]
    """(B',) the person's length of each of ``skeleton.limbs`` over the whole take; NaN where unknown."""
    limb_sigma: NDArray[np.float64] = field(default_factory=_nothing)
    """(B',), or one number for all: by what share of it a limb may be longer or shorter while a posture lasts."""
    calibration_px: NDArray[np.float64] = field(default_factory=_nothing)
    """(C,), or one number for all: how far each view's rays are off beyond the noise of the pixels, at all frames."""


class Refiner(Protocol):
    """Better poses of one person over a window of frames."""

    def refine(self, poses: Poses3D, evidence: Evidence) -> Poses3D:
        """Return the same rows, moved, and rows for frames between them. ``poses``: one person, in order of frames."""
        ...


@runtime_checkable
class Learned(Protocol):
    """A plug-in whose result depends on learned weights, beside its settings."""

    def identity(self, rig: Rig) -> str:
        """Which weights serve a rig; results made with others are stale."""
        ...
