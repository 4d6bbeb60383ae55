"""Several people in ordinary pictures by the best open networks that need no GPU: MoveNet and BlazePose, put to a vote.

MoveNet MultiPose finds people in the whole image, at intervals and at one scale at a time. Each person is then followed
from frame to frame by a crop of its own, which several networks read (``mvcap.estimation.body_passes``). Two crops that
show one body are one person; the other is covered for the moment and is looked for where it was last seen. The state of
a view has one row per person, so the estimator can resume at any frame.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mvcap import assets
from mvcap.errors import ConfigError
from mvcap.estimation.blazepose_networks import metric_of
from mvcap.estimation.body_finder import (
    SAME_BODY,
    BodyFinder,
    body_distance,
    scales_of_search,
    search_scales,
)
from mvcap.estimation.body_passes import PASSES, Body, BodyReader, Mode, joint_noise, own_body, skeleton_of
from mvcap.estimation.converted_networks import converted_network, network_identity
from mvcap.estimation.image_pyramid import ImagePyramid
from mvcap.estimation.movenet_networks import Bodies
from mvcap.estimation.onnx_network import DEVICES
from mvcap.structures.contracts import Estimate, State, View
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import Skeleton

_FINDER = "movenet-multipose"
_MOST_THREADS = 256
_SURE = 0.9  # the share of a pass in a body, see ``own_body``, below which people who are close are told apart
_ASSETS = {"thunder": "movenet-thunder", "lightning": "movenet-lightning", "full": "blazepose-landmarks"}


@dataclass(frozen=True)
class PeopleConfig:
    """Settings of the estimator ``people``."""

    mode: Mode = "balanced"
    """``fast``: MoveNet Lightning twice (COCO's 17 joints). ``balanced``: a vote of MoveNet Thunder, Lightning and
    BlazePose (33 joints with hands and feet). ``best``: Thunder twice and BlazePose."""
    detect_every_s: float = 0.15
    """Time between searches of the image for new people, s. Lower it where people come and go quickly."""
    smallest: float = 0.05
    """Height of the smallest people to look for, as a share of the image's longer side. Lower it where small people are
    missed; searches take longer."""
    detector_threshold: float = 0.2
    """Score (0 to 1) above which a body found by a search becomes a candidate."""
    threshold: float = 0.25
    """Mean joint score (0 to 1) below which a crop shows no person. Raise it against false positives."""
    patience_s: float = 0.5
    """How long, s, a person who is covered or lost is looked for where it was last seen."""
    carry_s: float = 0.3
    """Longest time, s, over which a crop is carried to the next frame; over a longer one every image is searched."""
    people: int = 12
    """Most people followed in one view. The time grows with the people who are there."""
    noise: float = 1.0
    """Factor on the noise expected of each joint, which is calibrated: change it only with measurements."""
    masks: bool = False
    """Keep a mask for each person (not in the mode ``fast``): a label image (PNG) for each view and frame, under
    SESSION/masks."""
    threads: int = 1
    """Threads of each network. Views are already processed in parallel (``estimate.threads``)."""
    device: str = "auto"
    """Where MoveNet runs: ``auto`` = the fastest that the installed onnxruntime supports; ``cpu``, ``cuda``,
    ``coreml``, ``directml`` or ``openvino``."""

    def __post_init__(self) -> None:
        if self.mode not in PASSES:
            raise ConfigError(f"people: mode must be one of {', '.join(PASSES)}, not {self.mode!r}")
        times = (self.detect_every_s, self.patience_s, self.carry_s)
        scores = (self.threshold, self.detector_threshold)
        if not 1 <= self.threads <= _MOST_THREADS:
            raise ConfigError(f"people: threads must be from 1 to {_MOST_THREADS}, not {self.threads}")
        if self.people < 1 or not (0 < self.noise < inf and all(0 <= time < inf for time in times)):
            raise ConfigError("people: people must be at least 1, noise above 0, times not negative")
        if not all(0 <= score <= 1 for score in scores):
            raise ConfigError("people: threshold and detector_threshold must be from 0 to 1")
        if not 0.01 <= self.smallest <= 1:
            raise ConfigError(f"people: smallest must be from 0.01 to 1, not {self.smallest}")
        if self.device not in DEVICES:
            raise ConfigError(f"people: device must be one of {', '.join(DEVICES)}, not {self.device!r}")
        if self.masks and self.mode == "fast":
            raise ConfigError("people: masks come from BlazePose; use the mode balanced or best")


@dataclass(frozen=True)
class _People:
    """People followed in one view, one row each."""

    ident: NDArray[np.int64]
    xy: NDArray[np.float64]
    """(N, 17, 2) px, COCO's joints where last seen."""
    step: NDArray[np.float64]
    """(N, 2) px, motion of the body from the frame before."""
    lost: NDArray[np.int64]
    """(N,) consecutive frames in which the person was not seen."""
    next_ident: int
    searches: int
    searched: int
    """Frame of the last search."""

    @classmethod
    def of(cls, state: State) -> _People:
        if not state:
            empty = np.zeros(0, np.int64)
            return cls(empty, np.zeros((0, 17, 2)), np.zeros((0, 2)), empty, 0, 0, 0)
        ident, xy, step, lost = (state[name] for name in ("ident", "xy", "step", "lost"))
        return cls(ident, xy, step, lost, *(int(state[name]) for name in ("next_ident", "searches", "searched")))

    def state(self) -> State:
        """Return the people as the arrays of an estimator's state."""
        columns = {"ident": self.ident, "xy": self.xy, "step": self.step, "lost": self.lost}
        numbers = {"next_ident": self.next_ident, "searches": self.searches, "searched": self.searched}
        return {**columns, **{name: np.array(number) for name, number in numbers.items()}}

    def kept(self, rows: NDArray[np.int64]) -> _People:
        """Return the people of some rows."""
        return replace(self, ident=self.ident[rows], xy=self.xy[rows], step=self.step[rows], lost=self.lost[rows])

    def with_new(self, bodies: list[Body]) -> _People:
        """Return the people and new ones."""
        count = len(bodies)
        return replace(
            self,
            ident=np.concatenate([self.ident, self.next_ident + np.arange(count)]),
            xy=np.concatenate([self.xy, np.reshape([body.coco for body in bodies], (count, 17, 2))]),
            step=np.concatenate([self.step, np.zeros((count, 2))]),
            lost=np.concatenate([self.lost, np.zeros(count, np.int64)]),
            next_ident=self.next_ident + count,
        )


class People:
    """Estimator ``people``: MoveNet and BlazePose in three modes, several people, no GPU. Its networks are downloaded
    at the first use (180 MB once, 60 MB stay)."""

    Config = PeopleConfig
    needs_images: ClassVar[bool] = True

    def __init__(self, config: PeopleConfig) -> None:
        self.config = config
        self.skeleton: Skeleton = skeleton_of(config.mode)
        self._own = threading.local()  # networks hold buffers: one set a thread

    def prepare(self, views: tuple[View, ...]) -> str:
        """Fetch and convert missing networks, and load them; return their identity."""
        self._networks()
        names = sorted({_FINDER, *(_ASSETS[network] for network, _ in PASSES[self.config.mode])})
        return " ".join(f"{name}:{network_identity(name)}" for name in names)

    def estimate(self, image: NDArray[np.uint8] | None, frame: int, view: View, state: State) -> Estimate:
        """Detect people in one RGB image (H, W, 3)."""
        if image is None:
            raise ValueError("people needs images")
        finder, reader = self._networks()
        people = _People.of(state)
        apart = 1 / view.rate_hz > self.config.carry_s
        if apart:
            people = replace(people.kept(np.zeros(0, np.int64)), searches=0)
        pyramid = ImagePyramid(image)
        reader.look_at(pyramid)
        bodies = _read(people.xy + people.step[:, None], pyramid, finder, reader)
        seen = self._followed(people, bodies)
        people = _moved(people, bodies, seen)
        interval = max(1, round(self.config.detect_every_s * view.rate_hz))
        if not people.searches or not 0 <= frame - people.searched < interval:
            scales = search_scales(pyramid.size, self.config.smallest)
            found = finder(pyramid, scales_of_search(people.searches, scales))
            people = replace(people, searches=people.searches + 1, searched=frame)
            people, bodies, seen = self._with_found(people, bodies, seen, found, reader)
        patience = round(self.config.patience_s * view.rate_hz)
        there = [seen[i] and _inside(bodies[i]) for i in range(len(bodies))]
        left = np.array([seen[i] and not there[i] for i in range(len(bodies))], bool)
        keep = np.flatnonzero((people.lost <= patience) & ~left)
        shown = [i for i in keep.tolist() if there[i]]
        rows = self._rows([bodies[i] for i in shown], people.ident[shown], frame, view)
        masks = None
        if self.config.masks and reader.landmarker:
            masks = reader.landmarker.paint_masks([bodies[i].landmarks for i in shown])
        return Estimate(rows, people.kept(keep).state(), masks)

    @cached_property
    def _models(self) -> dict[str, Path]:
        """Files of the networks, fetched, verified and converted once for all threads."""
        networks = dict.fromkeys(network for network, _ in PASSES[self.config.mode])
        files = {
            network: assets.path(_ASSETS[network]) if network == "full" else converted_network(_ASSETS[network])
            for network in networks
        }
        return {"finder": converted_network(_FINDER), **files}

    def _networks(self) -> tuple[BodyFinder, BodyReader]:
        if not hasattr(self._own, "networks"):
            models, how = self._models, (self.config.threads, self.config.device)
            finder = BodyFinder(models["finder"], self.config.detector_threshold, *how)
            self._own.networks = finder, BodyReader(self.config.mode, models, *how)
        networks: tuple[BodyFinder, BodyReader] = self._own.networks
        return networks

    def _followed(self, people: _People, bodies: list[Body]) -> list[bool]:
        """Return which people their crops show; of two crops of one body the one that it moved least in keeps it."""
        seen = [body.quality >= self.config.threshold for body in bodies]
        where = people.xy + people.step[:, None]
        for i in range(len(bodies)):
            for k in range(i):
                if seen[i] and seen[k] and body_distance(bodies[i].coco, bodies[k].coco[None])[0] < SAME_BODY:
                    off = [float(body_distance(bodies[n].coco, where[n][None])[0]) for n in (i, k)]
                    seen[i if off[0] >= off[1] else k] = False
        return seen

    def _with_found(
        self, people: _People, bodies: list[Body], seen: list[bool], found: Bodies, reader: BodyReader
    ) -> tuple[_People, list[Body], list[bool]]:
        """Add the bodies of a search whom no crop shows; a lost person nearby is found again."""
        bodies, seen = list(bodies), list(seen)
        for row in range(len(found)):
            one = found[np.array([row])]
            known = np.reshape([body.coco for body, there in zip(bodies, seen, strict=True) if there], (-1, 17, 2))
            if len(known) and body_distance(one.xy[0], known).min() < SAME_BODY:
                continue
            body = reader(one.xy[0], _beside(one.xy[0], known), one)
            body = reader(body.coco, _beside(body.coco, known), one)
            if body.quality < self.config.threshold or (
                len(known) and body_distance(body.coco, known).min() < SAME_BODY
            ):
                continue
            lost = [i for i in range(len(bodies)) if not seen[i]]
            away = [float(body_distance(body.coco, people.xy[i][None])[0]) for i in lost]
            if away and min(away) < 1:
                again = lost[int(np.argmin(away))]
                bodies[again], seen[again] = body, True
                people.xy[again], people.step[again], people.lost[again] = body.coco, 0, 0
            elif len(bodies) < self.config.people:
                bodies.append(body)
                seen.append(True)
        return people.with_new(bodies[len(people.ident) :]), bodies, seen

    def _rows(self, bodies: list[Body], ident: NDArray[np.int64], frame: int, view: View) -> Detections2D:
        xy, score = [body.xy for body in bodies], [body.score for body in bodies]
        rows = Detections2D.build(self.skeleton, frame, view.index, xy, score, self.config.noise, carried=ident)
        if not bodies:
            return rows
        noise = self.config.noise * np.stack([joint_noise(body, self.config.mode) for body in bodies])
        none = np.full((len(self.skeleton), 3), np.nan)
        metric = [none if body.landmarks is None else body.landmarks.metric for body in bodies]
        noise_px = np.where(rows.score > 0, noise, np.nan).astype(np.float32)
        return rows.with_columns(noise_px=noise_px, metric=metric_of(rows, metric))


def _read(where: NDArray[np.float64], image: ImagePyramid, finder: BodyFinder, reader: BodyReader) -> list[Body]:
    """Return the bodies at places (N, 17, 2) px; where a pass slid to the person beside, with MultiPose's help."""
    close = np.array([[_close(one, other) for other in where] for one in where], bool).reshape(len(where), len(where))
    np.fill_diagonal(close, False)
    seen = [reader.passes(xy) for xy in where]
    found: dict[int, Bodies] = {}
    for i, xy in enumerate(where):
        if i not in found and own_body(seen[i].xy, xy, where[close[i]]).min() < _SURE:
            group = _connected(i, close)
            found |= dict.fromkeys(group, finder.among(image, where[group]))
    return [reader(xy, where[close[i]], found.get(i), seen[i]) for i, xy in enumerate(where)]


def _connected(start: int, close: NDArray[np.bool_]) -> list[int]:
    """Return the people who are close to one of them, or to others who are."""
    group, left = [start], [start]
    while left:
        fresh = [int(i) for i in np.flatnonzero(close[left.pop()]) if i not in group]
        group, left = [*group, *fresh], [*left, *fresh]
    return sorted(group)


def _beside(xy: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return those of others (N, 17, 2) px whose body overlaps with a body (17, 2) px."""
    return np.asarray(others[np.array([_close(xy, other) for other in others], bool)])


def _close(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Return whether the boxes of two bodies (17, 2) px overlap."""
    return bool((np.minimum(one.max(0), other.max(0)) > np.maximum(one.min(0), other.min(0))).all())


def _moved(people: _People, bodies: list[Body], seen: list[bool]) -> _People:
    """Return the people where they are seen now; those who are not stay where they were."""
    there = np.array(seen, bool)
    if not len(there):
        return people
    xy = np.where(there[:, None, None], np.stack([body.coco for body in bodies]), people.xy)
    step = np.where((there & (people.lost == 0))[:, None], np.median(xy - people.xy, axis=1), 0.0)
    return replace(people, xy=xy, step=step, lost=np.where(there, 0, people.lost + 1))


def _inside(body: Body) -> bool:
    """Return whether enough joints (more than 30 %) are in the image."""
    return bool((body.score > 0).mean() > 0.3)
