"""Protocols of the plug-ins: arguments and results of estimators, associators, refiners, lifters and others.

No base class is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.progress import Progress
from mvcap.structures.detections import Detections2D
from mvcap.structures.point_cloud import PointCloud
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton
from mvcap.structures.sync_evidence import SyncEvidence, UnsynchronisedTake
from mvcap.structures.view_track import LiftedBody, RootDistances, ViewTrack

State = dict[str, NDArray[Any]]
"""State of a plug-in between frames: plain arrays, so that it can be saved and resumed."""


@dataclass(frozen=True)
class View:
    """Information about a view for an estimator."""

    index: int
    name: str
    size: tuple[int, int]
    """Width and height, px."""
    rate_hz: float
    frames: int


UNKNOWN_FRAMES = 2**31 - 1
"""``View.frames`` if the length of the take is unknown."""


@runtime_checkable
class FileEstimator(Protocol):
    """An estimator that reads the files of another program, and knows their number of frames."""

    def frame_count(self, views: tuple[View, ...]) -> int:
        """Return the number of frames of the files of these views, whose ``frames`` is ``UNKNOWN_FRAMES``."""
        ...


@dataclass(frozen=True)
class Estimate:
    """The people of one image, the state for the next image, and masks if requested."""

    rows: Detections2D
    state: State
    masks: NDArray[np.uint8] | None = None
    """(H, W) label image: 0 = no person, m + 1 = row m of ``rows``."""


class Estimator(Protocol):
    """Detects people in single images. A pure function: all knowledge of earlier frames is in ``state``."""

    skeleton: Skeleton
    needs_images: bool

    def prepare(self, views: tuple[View, ...]) -> str:
        """Check models and files before the work starts; return the identity of the source of the rows."""
        ...

    def estimate(self, image: NDArray[np.uint8] | None, frame: int, view: View, state: State) -> Estimate:
        """Detect people in an RGB image (H, W, 3), or None if the estimator needs no images.

        ``state`` is empty at the first frame of a view. Dropped frames are skipped.
        """
        ...


class Associator(Protocol):
    """Associates people across views. A pure function: all knowledge of earlier frames is in ``memory``."""

    follows: bool
    """Whether a person number means the same person in all frames; it is then never reused for another person."""

    def associate(self, rows: Detections2D, rig: Rig, rate_hz: float, memory: State) -> tuple[Detections2D, State]:
        """Return the rows of some frames, in order of frames, with ``person`` filled, and the new memory.

        person: 0, 1, 2 ... or -1 for unassigned. A row with joints of two people may be returned as two rows, each with
        a part of the joints; two rows of a view may be one person if they share no joint or are duplicates.
        ``memory``: the memory returned for the previous frames, empty at the first. ``rate_hz``: frames per second.
        """
        ...


def _nothing() -> NDArray[np.float64]:
    return np.zeros(())


@dataclass(frozen=True)
class Evidence:
    """Data about one person in addition to the poses."""

    rig: Rig
    rows: Detections2D
    """Detections of this person in all views in the frames of the window, linked to the poses by frame."""
    rate_hz: float
    limb_length_m: NDArray[np.float64]
    """(B',) m, the person's length of each of ``skeleton.limbs`` over the whole take; NaN where unknown."""
    limb_sigma: NDArray[np.float64] = field(default_factory=_nothing)
    """(B',), or one number for all: standard deviation of a limb's length during one posture, as a share of it."""
    calibration_px: NDArray[np.float64] = field(default_factory=_nothing)
    """(C,) px, or one number for all: constant calibration error of each view, in addition to the pixel noise."""
    offset_sigma_frames: NDArray[np.float64] = field(default_factory=_nothing)
    """(C,), or one number for all: standard deviation of the views' time offsets; 0 = synchronous cameras."""
    frame_step: int = 1
    """Only the frames whose number it divides were looked at: in the others nobody was missed."""


class Refiner(Protocol):
    """Refines the poses of one person over a window of frames."""

    def refine(self, poses: Poses3D, evidence: Evidence) -> Poses3D:
        """Return refined rows, and rows for frames in between. ``poses``: one person, in order of frames."""
        ...


@dataclass(frozen=True)
class MaskedMoment:
    """One moment of C calibrated views: images, whose pixels belong to which of P people, and where these are."""

    rig: Rig
    images: tuple[NDArray[np.uint8] | None, ...]
    """C RGB images (H, W, 3); None for a view without one."""
    labels: tuple[NDArray[np.uint8] | None, ...]
    """C label images (H, W): 0 = nobody, p + 1 = person p of ``persons``, 255 = a person of unknown number; None for a
    view without masks. A view whose label image lacks a person did not detect that person."""
    persons: NDArray[np.int32]
    """(P,) ids, at most 254."""
    joints: NDArray[np.floating]
    """(P, J, 3) m, NaN where unknown: they bound the volume that is searched. J may be 0."""
    depths: tuple[NDArray[np.floating] | None, ...] = ()
    """C depth images (H, W) m along the optical axis, of depth cameras; 0 or NaN where unknown. Empty without any."""


class Densifier(Protocol):
    """Makes points on the surface of people out of the images and masks of one moment. A pure function."""

    def densify(self, moment: MaskedMoment) -> PointCloud:
        """Return the points of all people; empty where the views do not show anybody well enough."""
        ...


class Synchroniser(Protocol):
    """Finds by how much views on clocks of their own are late. A pure function."""

    def find(self, take: UnsynchronisedTake, progress: Progress) -> SyncEvidence:
        """Return the delays of the views that this kind of evidence tells, and why it refuses the others."""
        ...


class Lifter(Protocol):
    """Lifts one person's track in one view to joints about the root. A pure function."""

    def lift(self, track: ViewTrack) -> LiftedBody:
        """Return the joints of every frame; NaN where the track does not tell them. Any number of frames, any lens."""
        ...


class RootDepth(Protocol):
    """Places a lifted person in the camera's frame. A pure function."""

    def place(self, track: ViewTrack, body: LiftedBody) -> RootDistances:
        """Return the root of every frame; NaN where the track does not tell it."""
        ...


@runtime_checkable
class Learned(Protocol):
    """A plug-in whose result depends on learned weights in addition to its settings."""

    def identity(self, rig: Rig) -> str:
        """Return the identity of the weights used for a rig; results made with other weights are stale."""
        ...
