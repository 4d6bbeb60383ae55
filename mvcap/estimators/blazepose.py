"""BlazePose for several people: a tiled detector at intervals, and crops that are tracked from frame to frame by id.

The two networks are MediaPipe's (Bazarevsky et al., "BlazePose: On-device Real-time Body Pose tracking", 2020), made
for one person near the camera. Here the detector searches the image in tiles for all people, each person has a crop of
its own that moves with the body, two crops of one body are reduced to one, and the landmark network gives low scores to
crops without a person. The state of a view has one row per tracked person, so the estimator can resume at any frame.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mvcap import assets
from mvcap.errors import ConfigError
from mvcap.estimation.blazepose_networks import BlazePoseDetector, Landmarker, Landmarks, metric_of
from mvcap.structures.contracts import Estimate, State, View
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import SKELETONS


@dataclass(frozen=True)
class BlazePoseConfig:
    """Settings of the estimator ``blazepose``."""

    detect_every_s: float = 0.15
    """Time between searches of the whole image for new people, s; in between, people are tracked by their crops. Lower
    it where people come and go quickly, raise it for speed."""
    detector_threshold: float = 0.5
    """Score (0 to 1) above which a detection becomes a candidate. Lower it where small people are missed."""
    presence_threshold: float = 0.5
    """Score (0 to 1) of the landmark network that a crop shows a person, below which the crop is dropped. Raise it
    against false positives such as furniture."""
    patience_s: float = 0.1
    """How long, s, a tracked crop may stay below the presence threshold before it is dropped."""
    carry_s: float = 0.3
    """Longest time, s, over which a crop is carried to the next frame; over a longer one people walk out of their
    crops."""
    people: int = 8
    """Most people tracked in one view. The time grows with the people who are there."""
    mirror: bool = True
    """Run the landmark network a second time on each mirrored crop and average: less noise for twice its time."""
    noise: float = 0.3
    """Expected noise, in units of a careful annotator's (see ``Skeleton.sigma``); it scales with the size of the body
    in the image. All gates in _sigma are in units of it: change it only with measurements."""
    masks: bool = False
    """Keep a mask for each person: a label image (PNG) for each view and frame, under SESSION/masks."""

    def __post_init__(self) -> None:
        if self.people < 1 or self.detect_every_s < 0 or self.patience_s < 0:
            raise ConfigError("blazepose: people must be at least 1, detect_every_s and patience_s at least 0")


@dataclass
class _Carried:
    """People tracked in one view, one row each."""

    ident: NDArray[np.int64]
    crop: NDArray[np.float64]
    """(N, 4) px, centre x, y, and the point that defines size and rotation."""
    low: NDArray[np.int64]
    """(N,) consecutive frames below the presence threshold."""
    next_ident: int

    @classmethod
    def of(cls, state: State) -> _Carried:
        if not state:
            return cls(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0, np.int64), 0)
        return cls(state["ident"], state["crop"], state["low"], int(state["next_ident"]))

    def cleared(self) -> _Carried:
        """Return the state without people; ids are not reused."""
        empty = _Carried.of({})
        empty.next_ident = self.next_ident
        return empty

    def add(self, crop: NDArray[np.float64]) -> None:
        """Add a person with a new id."""
        self.ident = np.append(self.ident, self.next_ident)
        self.crop = np.vstack([self.crop, crop])
        self.low = np.append(self.low, 0)
        self.next_ident += 1

    def state(self) -> State:
        """Return the people as the arrays of an estimator state."""
        return {"ident": self.ident, "crop": self.crop, "low": self.low, "next_ident": np.array(self.next_ident)}


class BlazePose:
    """Estimator ``blazepose``: 33 joints, several people, no GPU. Its two networks are downloaded at the first use."""

    Config = BlazePoseConfig
    skeleton = SKELETONS["blazepose33"]
    needs_images: ClassVar[bool] = True

    def __init__(self, config: BlazePoseConfig) -> None:
        self.config = config
        self._own = threading.local()  # interpreters hold buffers: one pair a thread

    def prepare(self, views: tuple[View, ...]) -> str:
        """Fetch missing models; return their identity."""
        names = ("blazepose-detector", "blazepose-landmarks")
        for name in names:
            assets.path(name)
        return " ".join(f"{name}:{assets.ASSETS[name].sha256[:16]}" for name in names)

    def estimate(self, image: NDArray[np.uint8] | None, frame: int, view: View, state: State) -> Estimate:
        """Detect people in one RGB image (H, W, 3)."""
        if image is None:
            raise ValueError("blazepose needs images")
        detector, landmarker = self._networks()
        carried = _Carried.of(state)
        if 1 / view.rate_hz > self.config.carry_s:
            carried = carried.cleared()
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
        """Add newly detected people, and correct tracked crops that have lost their body, in place."""
        for crop in crops:
            same = next((i for i, other in enumerate(found) if _same_place(crop, other.crop)), len(found))
            if same == len(found) >= self.config.people:
                continue
            # The detector's crop is inaccurate: the first pass gives a better one, in which the second pass measures.
            landmarks = landmarker(landmarker(crop).crop)
            if same < len(found):
                found[same] = max(found[same], landmarks, key=_quality)
            elif landmarks.presence >= self.config.presence_threshold:
                found.append(landmarks)
                carried.add(crop)

    def _keep(self, carried: _Carried, found: list[Landmarks], patience: int) -> NDArray[np.int64]:
        """Return the indices of the people to keep: present, inside the image, and one crop per body, the oldest."""
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
        spread = np.array([one.doubt_px for one in found]).reshape(-1, len(self.skeleton))
        # A difference far above the noise means that one of the passes is wrong; the other views reveal such outliers.
        noise_px = np.hypot(rows.noise_px, np.minimum(spread, rows.noise_px))
        return rows.with_columns(noise_px=noise_px, metric=metric_of(rows, [one.metric for one in found]))


def _crops(found: list[Landmarks]) -> NDArray[Any]:
    return np.array([one.crop for one in found]).reshape(-1, 4)


def _quality(one: Landmarks) -> float:
    return one.quality


def _radius(crop: NDArray[np.float64]) -> float:
    return float(np.hypot(*(crop[2:] - crop[:2])))


def _same_place(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Return whether two crops show one body: hips nearer than half the larger crop radius, and similar sizes."""
    small, large = sorted((_radius(a), _radius(b)))
    return bool(np.hypot(*(a[:2] - b[:2])) < 0.5 * large and small > 0.4 * large)


def _same_body(a: Landmarks, b: Landmarks) -> bool:
    """Return whether two sets of landmarks are of one body: median joint distance below 0.2 of the larger radius."""
    distance = np.median(np.hypot(*(a.xy - b.xy).T))
    return bool(distance < 0.2 * max(_radius(a.crop), _radius(b.crop)))
