"""Pictures with people whose places are known: PARSE's photographs, Panoptic's moments, frames of the demo takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benches.person_finders import Truth

PARSE_JOINTS = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist", "right_elbow",
    "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip
"""The first 12 of PARSE's 14 joints; the neck and the top of the head follow."""
BODY = tuple(f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
             for side in ("left", "right"))  # fmt: skip
PARSE_TEST = range(100, 305)
PANOPTIC_PEOPLE = 3
"""People in the dome at each moment of Panoptic's pictures, counted by eye."""
_INSIDE = 6
"""Of the 12 joints of the body, how many an image has to show for somebody to be in it."""


@dataclass(frozen=True)
class Labelled:
    """A photograph of PARSE: RGB, and the 14 joints (14, 2) px of the person that is labelled."""

    image: Any
    xy: Any

    @property
    def truth(self) -> Truth:
        """The labelled person: the box of its joints."""
        low, high = self.xy.min(0), self.xy.max(0)
        hips = (self.xy[2] + self.xy[3]) / 2
        return Truth(np.concatenate([low, high])[None], hips[None], np.array([(high - low).max()]))


def parse_pictures(folder: Path, most: int | None = None) -> list[Labelled]:
    """PARSE's test photographs; the first ones where not all are wanted."""
    import scipy.io

    xy = scipy.io.loadmat(folder / "labels.mat")["ptsAll"].astype(np.float64) - 1  # Matlab counts pixels from 1
    return [Labelled(_read(folder / f"im{at + 1:04d}.jpg"), xy[..., at]) for at in PARSE_TEST[:most]]


@dataclass(frozen=True)
class Dome:
    """Panoptic's pictures: RGB by moment and view, and the rig of those views in metres."""

    moments: list[list[Any]]
    rig: Any


def panoptic(folder: Path, most: int | None = None) -> Dome:
    """The moments of all views; the first ones where not all are wanted."""
    import calib

    whole = calib.load_rig(folder / "camera_parameters.json")
    views = sorted(place.name for place in folder.iterdir() if place.is_dir())
    rig = calib.Rig(tuple(whole[whole.names.index(view)] for view in views))
    stems = sorted(path.stem.removeprefix(f"{views[0]}_") for path in (folder / views[0]).glob("*.jpg"))[:most]
    return Dome([[_read(folder / view / f"{view}_{stem}.jpg") for view in views] for stem in stems], rig)


def _read(path: Path) -> Any:
    import cv2

    picture = cv2.imread(str(path))
    if picture is None:
        raise FileNotFoundError(f"{path}: no picture that can be read")
    return np.ascontiguousarray(picture[..., ::-1])


def body_columns(kind: Any) -> list[int]:
    """The columns of the 12 joints of the body in a skeleton."""
    return [kind.index(joint) for joint in BODY]


def people_in_view(poses: Any, camera: Any, frame: int, image: Any, least: int = _INSIDE) -> Truth:
    """The people in 3D whom an image shows: at least so many of their 12 body joints are inside it."""
    rows = poses[poses.frame == frame]
    xy = np.asarray(camera.project(rows.xyz.astype(np.float64)), np.float64)
    height, width = image.shape[:2]
    inside = ((xy > -0.5) & (xy < (width - 0.5, height - 0.5))).all(-1)
    there = inside[:, body_columns(poses.skeleton)].sum(1) >= least
    xy, inside = xy[there], inside[there]
    hips = xy[:, [poses.skeleton.index(f"{side}_hip") for side in ("left", "right")]]
    lost = np.isnan(hips).all((1, 2))
    hips[lost] = _of_known(np.nanmedian, xy[lost])[:, None]  # the middle of the body
    hips = _of_known(np.nanmean, hips)
    shown = np.where(inside[..., None], xy, np.nan)
    low, high = (_of_known(how, shown) for how in (np.nanmin, np.nanmax))
    extent = (_of_known(np.nanmax, xy) - _of_known(np.nanmin, xy)).max(-1, initial=1.0)
    return Truth(np.concatenate([low, high], -1), hips, extent)


def _of_known(how: Any, xy: Any) -> Any:
    return how(xy, axis=1) if len(xy) else np.zeros((0, 2))
