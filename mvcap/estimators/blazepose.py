"""BlazePose for several people: a tiled detector on a schedule, and crops that are carried from frame to frame by id.

The two networks are MediaPipe's (Bazarevsky et al., "BlazePose: On-device Real-time Body Pose tracking", 2020), made
for one person near the camera. Here the picture is searched in tiles for every person, each person has a crop of its
own that follows the body, two crops on one body are reduced to one, and what the landmark network does not take for a
person scores low. The state of a view is one row per carried person, so any frame can be resumed.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mvcap import assets
from mvcap.errors import ConfigError
from mvcap.estimation.blazepose_networks import BlazePoseDetector, Landmarker, Landmarks
from mvcap.structures.contracts import Estimate, State, View
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import SKELETONS


@dataclass(frozen=True)
class BlazePoseConfig:
    """Settings of the estimator ``blazepose``."""

    detect_every_s: float = 0.15
    """Search the whole picture for new people so often."""
    detector_threshold: float = 0.5
    """Score above which the detector's find becomes a candidate."""
    presence_threshold: float = 0.5
    """The landmark network's belief that a crop holds a person, below which the crop is given up."""
    patience_s: float = 0.1
    """How long a carried crop may stay below the threshold before it is dropped."""
    carry_s: float = 0.3
    """Crops are carried over at most so long: in more time a person walks out of theirs, and others into it."""
    people: int = 8
    """Most people carried in one view."""
    mirror: bool = True
    """Run each crop a second time mirrored and average: less noise for twice the time of the landmark network."""
    noise: float = 0.3
    """Expected noise in units of a careful annotator's (see ``Skeleton.sigma``)."""
    masks: bool = False
    """Keep a mask per person."""

    def __post_init__(self) -> None:
        if self.people < 1 or self.detect_every_s < 0 or self.patience_s < 0:
            raise ConfigError("blazepose: people is at least 1, detect_every_s and patience_s are at least 0")


@dataclass
class _Carried:
    """People followed in one view, one row each."""

    ident: NDArray[np.int64]
    crop: NDArray[np.float64]
    """(N, 4) centre x, y, and the point that gives size and turn, px."""
    low: NDArray[np.int64]
    """Frames in a row below the presence threshold."""
    next_ident: int

    @classmethod
    def of(cls, state: State) -> _Carried:
        if not state:
            return cls(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0, np.int64), 0)
        return cls(state["ident"], state["crop"], state["low"], int(state["next_ident"]))

    def nobody(self) -> _Carried:
        """Return the state in which nobody is followed any more; numbers are not given twice."""
        empty = _Carried.of({})
        empty.next_ident = self.next_ident
        return empty

    def add(self, crop: NDArray[np.float64]) -> None:
        """Follow one person more."""
        self.ident = np.append(self.ident, self.next_ident)
        self.crop = np.vstack([self.crop, crop])
        self.low = np.append(self.low, 0)
        self.next_ident += 1

    def state(self) -> State:
        """Return the same as what is carried on to the next frame."""
        return {"ident": self.ident, "crop": self.crop, "low": self.low, "next_ident": np.array(self.next_ident)}


class BlazePose:
    """Estimator ``blazepose``: 33 joints, several people, no GPU."""

    Config = BlazePoseConfig
    skeleton = SKELETONS["blazepose33"]
    needs_images: ClassVar[bool] = True

    def __init__(self, config: BlazePoseConfig) -> None:
        self.config = config
        self._own = threading.local()  # interpreters hold buffers: one pair a thread

    def prepare(self, views: tuple[View, ...]) -> str:
        """Fetch the models where they are missing; return their identity."""
        names = ("blazepose-detector", "blazepose-landmarks")
        for name in names:
            assets.path(name)
        return " ".join(f"{name}:{assets.ASSETS[name].sha256[:16]}" for name in names)

    def estimate(self, image: NDArray[np.uint8] | None, frame: int, view: View, state: State) -> Estimate:
        """Find people in one RGB picture (H, W, 3)."""
        if image is None:
            raise ValueError("blazepose needs pictures")
        detector, landmarker = self._networks()
        carried = _Carried.of(state)
        if 1 / view.rate_hz > self.config.carry_s:
            carried = carried.nobody()
        landmarker.look_at(image)
        found = [landmarker(crop) for crop in carried.crop]
        if frame % max(1, round(self.config.detect_every_s * view.rate_hz)) == 0 or not found:
            self._search(detector(image), carried, found, landmarker)
        keep = self._keep(carried, found, round(self.config.patience_s * view.rate_hz))
        kept = [found[i] for i in keep]
        rows = self._rows(kept, carried.ident[keep], frame, view)
        masks = landmarker.paint_masks(kept) if self.config.masks else None
        after = _Carried(carried.ident[keep], _crops(kept), carried.low[keep], carried.next_ident)
        return Estimate(rows, after.state(), masks)

    def _networks(self) -> tuple[BlazePoseDetector, Landmarker]:
        if not hasattr(self._own, "networks"):
            detector = BlazePoseDetector(assets.path("blazepose-detector"), self.config.detector_threshold)
            landmarker = Landmarker(assets.path("blazepose-landmarks"), self.config.mirror)
            self._own.networks = detector, landmarker
        networks: tuple[BlazePoseDetector, Landmarker] = self._own.networks
        return networks

    def _search(
        self, crops: NDArray[np.float64], carried: _Carried, found: list[Landmarks], landmarker: Landmarker
    ) -> None:
        """Add the people that nobody is carrying yet, and set right a carried crop that has lost its body."""
        for crop in crops:
            same = next((i for i, other in enumerate(found) if _same_place(crop, other.crop)), len(found))
            if same == len(found) >= self.config.people:
                continue
            # The detector's crop is rough: the first pass finds a better one, the second is measured in it.
            landmarks = landmarker(landmarker(crop).crop)
            if same < len(found):
                found[same] = max(found[same], landmarks, key=_quality)
            elif landmarks.presence >= self.config.presence_threshold:
                found.append(landmarks)
                carried.add(crop)

    def _keep(self, carried: _Carried, found: list[Landmarks], patience: int) -> NDArray[np.int64]:
        """Indices of the people to go on with: believed in, inside the picture, one crop a body (the older one)."""
        low = np.array([one.presence < self.config.presence_threshold for one in found], dtype=bool)
        carried.low = np.where(low, carried.low + 1, 0) if len(found) else carried.low
        keep: list[int] = []
        for i, one in enumerate(found):
            if carried.low[i] > patience or not one.inside:
                continue
            if any(_same_body(one, found[k]) for k in keep):
                continue
            keep.append(i)
        return np.array(keep, dtype=np.int64)

    def _rows(self, found: list[Landmarks], ident: NDArray[np.int64], frame: int, view: View) -> Detections2D:
        xy = [one.xy for one in found]
        score = [one.score for one in found]
        rows = Detections2D.build(self.skeleton, frame, view.index, xy, score, self.config.noise, carried=ident)
        doubt = np.array([one.doubt_px for one in found]).reshape(-1, len(self.skeleton))
        # A doubt far above the noise is no noise: one of the passes is wrong, which the other views have to tell.
        return rows.with_columns(noise_px=np.hypot(rows.noise_px, np.minimum(doubt, rows.noise_px)))


def _crops(found: list[Landmarks]) -> NDArray[Any]:
    return np.array([one.crop for one in found]).reshape(-1, 4)


def _quality(one: Landmarks) -> float:
    return one.quality


def _radius(crop: NDArray[np.float64]) -> float:
    return float(np.hypot(*(crop[2:] - crop[:2])))


def _same_place(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Whether two crops are of one body: their hips nearer than half a body radius, at about the same size."""
    small, large = sorted((_radius(a), _radius(b)))
    return bool(np.hypot(*(a[:2] - b[:2])) < 0.5 * large and small > 0.4 * large)


def _same_body(a: Landmarks, b: Landmarks) -> bool:
    """Whether two sets of landmarks lie on one body: their typical joint nearer than a tenth of the body's diameter."""
    distance = np.median(np.hypot(*(a.xy - b.xy).T))
    return bool(distance < 0.2 * max(_radius(a.crop), _radius(b.crop)))
