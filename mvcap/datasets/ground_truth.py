"""Ground truth of a dataset: per frame the people in 3D and in every view, streamed; what formats write and read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.geometry import transform
from mvcap.errors import InputError
from mvcap.progress import Progress
from mvcap.structures.skeleton import Skeleton

SPLITS = ("train", "val", "test")
FRAME_NAME = "{frame:07d}"
_OF_PEOPLE = ("persons", "xyz", "sigma_m", "xy", "visibility", "box", "area_px")


class JointVisibility(IntEnum):
    """Whether a joint can be seen in a view."""

    UNKNOWN = 0
    """The joint has no truth in this frame, or the format does not say."""
    VISIBLE = 1
    """In the picture, with no body before it."""
    SELF_OCCLUDED = 2
    """Behind a part of the same person's body."""
    OCCLUDED = 3
    """Behind another person's body."""
    OUT_OF_VIEW = 4
    """Outside the picture, or behind the camera."""


@dataclass(frozen=True, eq=False)
class TruthFrame:
    """Truth of one frame: P people, C views, J joints."""

    frame: int
    split: str
    """One of ``SPLITS``."""
    persons: NDArray[np.int32]
    """(P,) ids."""
    xyz: NDArray[np.float64]
    """(P, J, 3) m, world; NaN where there is no truth."""
    sigma_m: NDArray[np.float64]
    """(P, J) standard deviation of xyz, m, root mean square over the axes; NaN where unknown."""
    xy: NDArray[np.float64]
    """(P, C, J, 2) px with the lens' distortion, outside the picture too; NaN without truth or behind the camera."""
    visibility: NDArray[np.uint8]
    """(P, C, J) ``JointVisibility``."""
    box: NDArray[np.float64]
    """(P, C, 4) left, top, right, bottom of the whole body within the picture, px; NaN where it is not in it."""
    area_px: NDArray[np.float64]
    """(P, C) pixels of the person's mask that can be seen; NaN where unknown."""
    ignored: NDArray[np.float64]
    """(Q, C, 4) boxes of Q people who are there and have no truth, px; NaN where they are not in the picture."""
    pictured: NDArray[np.bool_]
    """(C,) whether an image of the view was written."""

    def kept(self, which: NDArray[np.bool_]) -> Self:
        """Return the frame with these people (P,) only."""
        return replace(self, **{name: getattr(self, name)[which] for name in _OF_PEOPLE})


def bare_frame(
    frame: int, split: str, persons: Any, xyz: Any, views: int, xy: Any = None, visibility: Any = None
) -> TruthFrame:
    """Return a frame of which only ids (P,), positions (P, J, 3) m, pixels (P, C, J, 2) and visibility are known."""
    places = np.asarray(xyz, np.float64)
    people, joints = places.shape[:2]
    pixels = np.full((people, views, joints, 2), np.nan) if xy is None else np.asarray(xy, np.float64)
    seen = np.zeros((people, views, joints), np.uint8) if visibility is None else np.asarray(visibility, np.uint8)
    unknown = np.full((people, views), np.nan)
    return TruthFrame(
        frame, split, np.asarray(persons, np.int32), places, np.full((people, joints), np.nan), pixels, seen,
        np.full((people, views, 4), np.nan), unknown, np.empty((0, views, 4)), np.zeros(views, np.bool_),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """A dataset: its frames are streamed and may be gone through several times."""

    name: str
    skeleton: Skeleton
    rig: Rig | None
    """The cameras in the order of the views; None where a format has none."""
    rate_hz: float | None
    """Frames per second that the numbers of frames count at."""
    frames: Callable[[], Iterator[TruthFrame]]
    folder: Path | None = None
    """Folder with ``images/VIEW/FRAME.jpg`` and ``masks/VIEW/FRAME.png``; None without."""
    suffix: str = ".jpg"
    """Of the images."""
    sizes: Mapping[int, float] = field(default_factory=dict)
    """Size of each person relative to an adult of mean stature."""
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the views, in order."""
        return self.rig.names if self.rig else ()

    def cameras(self) -> Rig:
        """Return the cameras; InputError if there are none."""
        if self.rig is None:
            raise InputError(f"dataset {self.name!r} has no cameras, which this format needs; add them")
        return self.rig

    def of_split(self, split: str) -> Iterator[TruthFrame]:
        """Yield the frames of a split."""
        return (one for one in self.frames() if one.split == split)

    def splits(self) -> list[str]:
        """Return which splits have frames."""
        there = {one.split for one in self.frames()}
        return [name for name in SPLITS if name in there]

    def persons(self) -> list[int]:
        """Return the ids of all people, ascending."""
        return sorted({int(person) for one in self.frames() for person in one.persons})

    def image_path(self, view: str, frame: int) -> Path | None:
        """Return where the image of a view lies; None where there are none."""
        return self.folder / image_name(view, frame, self.suffix) if self.folder else None

    def mask_path(self, view: str, frame: int) -> Path | None:
        """Return where the mask of a view lies: its values are the ids of people; None where there are none."""
        return self.folder / mask_name(view, frame) if self.folder else None


class DatasetFormat(Protocol):
    """A layout of datasets: what a name of the kind ``dataset_format`` stands for.

    It may have ``check(rig, images)``, too, which raises InputError, before a take is gone through, for cameras that it
    cannot hold, or where it needs images and there are none.
    """

    def write(self, truth: GroundTruth, folder: Path) -> None:
        """Write the dataset into a new folder; InputError, before anything is written, for what it cannot hold."""

    def read(self, folder: Path) -> GroundTruth:
        """Return what the layout in a folder holds; InputError for one that is damaged."""


def root_depth(one: TruthFrame, kind: Skeleton, rig: Rig) -> NDArray[np.float64]:
    """Return the distance (P, C) m along each camera's axis of the root, the middle of the hips; NaN if unknown."""
    hips = [kind.index(name) for name in ("left_hip", "right_hip") if name in kind.joints]
    root = one.xyz[:, hips].mean(1) if len(hips) == 2 else np.full((len(one.persons), 3), np.nan)
    return np.stack([transform(camera.cam_from_world, root)[:, 2] for camera in rig], 1)


def shown_views(truth: GroundTruth, one: TruthFrame) -> list[int]:
    """Return the views of a frame that have an image; all of them in a dataset without images."""
    return np.flatnonzero(one.pictured).tolist() if truth.suffix else list(range(len(one.pictured)))


def image_name(view: str, frame: int, suffix: str) -> str:
    """Return the path of an image below a dataset's folder."""
    return f"images/{view}/{FRAME_NAME.format(frame=frame)}{suffix}"


def mask_name(view: str, frame: int) -> str:
    """Return the path of a mask below a dataset's folder."""
    return f"masks/{view}/{FRAME_NAME.format(frame=frame)}.png"


def in_memory(frames: Iterable[TruthFrame]) -> Callable[[], Iterator[TruthFrame]]:
    """Return a source of these frames that may be gone through again."""
    held = sorted(frames, key=lambda one: (SPLITS.index(one.split), one.frame))
    return lambda: iter(held)


def followed(truth: GroundTruth, progress: Progress, label: str, total: int) -> GroundTruth:
    """Return the dataset with progress shown as its frames are gone through."""

    def frames() -> Iterator[TruthFrame]:
        for count, one in enumerate(truth.frames(), 1):
            yield one
            progress(label, min(count, total), total)

    return replace(truth, frames=frames)


def as_skeleton(truth: GroundTruth, target: Skeleton) -> GroundTruth:
    """Return the dataset with the joints of another skeleton, matched by name.

    Joints that are the middle of known ones (the pelvis of both hips, the neck of both shoulders) are derived; any
    other joint that the dataset lacks is missing. Derived ones are visible where all their sources are.
    """
    matrix = derivable(truth.skeleton, target)

    def frames() -> Iterator[TruthFrame]:
        return (converted(one, matrix, truth.rig) for one in truth.frames())

    return replace(truth, skeleton=target, frames=frames)


def derivable(source: Skeleton, target: Skeleton) -> NDArray[np.float64]:
    """Return the matrix (J', J) that makes joints of another; rows of NaN where that would need extrapolation."""
    matrix = source.convert(target)
    with np.errstate(invalid="ignore"):
        matrix[(matrix < 0).any(1)] = np.nan  # the top of the head from ears and shoulders is a guess, no measurement
    return matrix


def converted(one: TruthFrame, matrix: NDArray[np.float64], rig: Rig | None) -> TruthFrame:
    """Return a frame with joints by the matrix (J', J) of ``derivable``; derived joints are projected anew."""
    made = np.isfinite(matrix[:, 0])
    weights = np.where(made[:, None], matrix, 0.0)
    single = (weights > 0).sum(1) == 1
    first = weights.argmax(1)
    xyz = one.xyz[:, first]
    xy = one.xy[:, :, first]
    visibility = one.visibility[:, :, first].copy()
    sigma = one.sigma_m[:, first].copy()
    for joint in np.flatnonzero(made & ~single):
        mine = weights[joint] > 0
        xyz[:, joint] = np.einsum("k,pkd->pd", weights[joint, mine], one.xyz[:, mine])
        places = xyz[:, joint]
        xy[:, :, joint] = np.nan if rig is None else np.moveaxis(rig.project(places), 0, 1)
        sigma[:, joint] = np.sqrt((weights[joint, mine] ** 2 * one.sigma_m[:, mine] ** 2).sum(-1))
        states = one.visibility[:, :, mine]
        worst = states.max(-1)
        worst[(states == JointVisibility.UNKNOWN).any(-1)] = JointVisibility.UNKNOWN
        visibility[:, :, joint] = worst
    for array in (xyz, sigma):
        array[:, ~made] = np.nan
    xy[:, :, ~made], visibility[:, :, ~made] = np.nan, JointVisibility.UNKNOWN
    return replace(one, xyz=xyz, xy=xy, sigma_m=sigma, visibility=visibility)


def packed_frames(frames: list[TruthFrame]) -> dict[str, NDArray[Any]]:
    """Return frames as arrays of one npz: columns of people one after another, and how many each frame has."""
    out = {name: np.concatenate([getattr(one, name) for one in frames]) for name in (*_OF_PEOPLE, "ignored")}
    return out | {
        "frame": np.array([one.frame for one in frames], np.int64),
        "split": np.array([SPLITS.index(one.split) for one in frames], np.uint8),
        "people": np.array([len(one.persons) for one in frames], np.int64),
        "others": np.array([len(one.ignored) for one in frames], np.int64),
        "pictured": np.array([one.pictured for one in frames], np.bool_),
    }


def unpacked_frames(arrays: Mapping[str, NDArray[Any]]) -> Iterator[TruthFrame]:
    """Yield the frames that ``packed_frames`` made arrays of."""
    ends, other_ends = np.cumsum(arrays["people"]), np.cumsum(arrays["others"])
    for at, frame in enumerate(arrays["frame"]):
        mine = slice(int(ends[at] - arrays["people"][at]), int(ends[at]))
        others = slice(int(other_ends[at] - arrays["others"][at]), int(other_ends[at]))
        held = {name: arrays[name][mine] for name in _OF_PEOPLE}
        split = SPLITS[int(arrays["split"][at])]
        yield TruthFrame(
            frame=int(frame), split=split, ignored=arrays["ignored"][others], pictured=arrays["pictured"][at], **held
        )
