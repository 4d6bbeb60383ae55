"""The joints of one person by several passes of MoveNet and BlazePose over a crop, put to a vote.

Thunder and Lightning (MoveNet) read an upright square around the body; BlazePose reads a crop turned along the trunk
that MoveNet found, in which it is far more accurate than in crops of its own. The facial points, hands and feet that
only BlazePose knows are set beside the voted nose, wrists and ankles, as BlazePose sees them from its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mvcap.estimation.blazepose_networks import Landmarker, Landmarks
from mvcap.estimation.body_finder import body_distance, body_extent
from mvcap.estimation.image_pyramid import ImagePyramid
from mvcap.estimation.joint_vote import Vote, vote
from mvcap.estimation.movenet_networks import COCO17, Bodies, SinglePose, Square
from mvcap.structures.detections import body_size, joint_box
from mvcap.structures.skeleton import SKELETONS, Skeleton

Mode = Literal["fast", "balanced", "best"]
Pass = tuple[str, bool]
PASSES: dict[str, tuple[Pass, ...]] = {
    "fast": (("lightning", False), ("lightning", True)),
    "balanced": (("thunder", False), ("lightning", False), ("full", False)),
    "best": (("thunder", False), ("thunder", True), ("full", False)),
}
"""Passes of each mode: the network, and whether it sees the mirror image; the first finds the trunk for ``full``."""

_ROOM = 1.25
"""Side of a crop over the extent of the body's joints."""
_TRUNK_ROOM = 1.1
"""Radius of BlazePose's crop over the distance from the hips to the farthest joint."""
_LEAST_APART = 0.1
"""Distance of bodies, see ``body_distance``, that any pass has from where a body was in the frame before."""
_BLAZEPOSE = SKELETONS["blazepose33"]
_OF_COCO = np.array([_BLAZEPOSE.index(joint) for joint in COCO17.joints])
_HIPS, _SHOULDERS = ([COCO17.index(f"{side}_{joint}") for side in ("left", "right")] for joint in ("hip", "shoulder"))


def _anchors() -> NDArray[np.int64]:
    """Return (33,) for each BlazePose joint that COCO lacks the COCO joint (0..16) that it is set beside, else -1."""
    out = np.full(len(_BLAZEPOSE), -1)
    for joint, name in enumerate(_BLAZEPOSE.joints):
        if name in COCO17.joints:
            continue
        side = "left_" if "left" in name.split("_") else "right_"
        end = next((e for part, e in (("heel", "ankle"), ("toe", "ankle"), ("eye", "eye")) if part in name), "wrist")
        out[joint] = COCO17.index("nose" if "mouth" in name else side + end)
    return out


_ANCHOR = _anchors()


def skeleton_of(mode: str) -> Skeleton:
    """Return the joints that a mode knows: COCO's 17, or BlazePose's 33 where BlazePose takes part."""
    return _BLAZEPOSE if any(network == "full" for network, _ in PASSES[mode]) else COCO17


@dataclass(frozen=True)
class Passes:
    """What P passes of MoveNet see of one body."""

    xy: NDArray[np.float64]
    """(P, 17, 2) px"""
    score: NDArray[np.float64]
    """(P, 17) in 0..1"""


@dataclass(frozen=True)
class Body:
    """One person in one image, in the joints of ``skeleton_of`` a mode."""

    xy: NDArray[np.float64]
    """(J, 2) px"""
    score: NDArray[np.float64]
    """(J,) in 0..1, 0 outside the image"""
    spread_px: NDArray[np.float64]
    """(J,) px, how far the passes that agree lie apart"""
    agreement: NDArray[np.float64]
    """(J,) share of the passes that agree, 0..1"""
    quality: float
    """Mean score of the 17 COCO joints, 0..1"""
    coco: NDArray[np.float64]
    """(17, 2) px, the voted COCO joints, from which the next crop is computed"""
    landmarks: Landmarks | None
    """BlazePose's output with the mask, where it takes part"""


class BodyReader:
    """The networks of one mode, for crops of the current image."""

    def __init__(self, mode: str, models: dict[str, Path], threads: int, device: str) -> None:
        self._passes = PASSES[mode]
        self._movenets = {
            name: SinglePose(models[name], threads, device)
            for name in dict.fromkeys(network for network, _ in self._passes)
            if name != "full"
        }
        self.landmarker = Landmarker(models["full"], mirror=False) if skeleton_of(mode) is _BLAZEPOSE else None
        self._image = ImagePyramid(np.zeros((1, 1, 3), np.uint8))

    def look_at(self, image: ImagePyramid) -> None:
        """Set the current RGB image."""
        self._image = image
        if self.landmarker:
            self.landmarker.look_at(image)

    def passes(self, near: NDArray[np.floating]) -> Passes:
        """Return what MoveNet sees in the crop around joints (17, 2) px of the frame before, or of a search."""
        square = Square((near.min(0) + near.max(0)) / 2, _ROOM * max(float(body_extent(near)), 1.0))
        pixels = {name: square.read(self._image, net.size) for name, net in self._movenets.items()}
        seen = [
            self._movenets[network](pixels[network], square, mirrored)
            for network, mirrored in self._passes
            if network != "full"
        ]
        return Passes(np.stack([xy for xy, _ in seen]), np.stack([score for _, score in seen]))

    def __call__(
        self,
        near: NDArray[np.floating],
        rivals: NDArray[np.floating] | None = None,
        found: Bodies | None = None,
        seen: Passes | None = None,
    ) -> Body:
        """Return the body at joints (17, 2) px of the frame before, or of a search.

        rivals: joints (N, 17, 2) px of people beside it, to whom a pass may slide; found: what MultiPose, which tells
        people apart, sees there. A pass counts the less the nearer it is to a rival than to ``near``. seen: what
        ``passes`` returned for ``near``, if that was called before.
        """
        seen = seen or self.passes(near)
        places, scores = seen.xy, seen.score
        if found is not None and len(found) and (off := body_distance(near, found.xy)).min() < 1:
            places = np.concatenate([places, found.xy[[off.argmin()]]])
            scores = np.concatenate([scores, found.joint_score[[off.argmin()]]])
        weight = own_body(places, near, rivals)
        score = (weight[:, None] * scores).sum(0) / max(float(weight.sum()), 1e-6) * weight.max()
        voted = vote(places, weight, float(body_extent(near)))
        if self.landmarker is None:
            return self._body(voted, score, None, 0.0)
        marks = self.landmarker(_trunk_crop(voted.xy))
        places = np.concatenate([places, marks.xy[None, _OF_COCO]])
        trust = own_body(places[-1:], near, rivals)
        voted = vote(places, np.concatenate([weight, marks.presence * trust]), float(body_extent(voted.xy)))
        return self._body(voted, score, marks, float(trust[0]))

    def _body(self, voted: Vote, score: NDArray[np.float64], marks: Landmarks | None, trust: float) -> Body:
        xy, spread, agreement, joint_score = voted.xy, voted.spread_px, voted.agreement, score
        if marks is not None:
            xy, spread = marks.xy.copy(), np.zeros(len(marks.xy))
            agreement, joint_score = np.ones(len(xy)), trust * marks.score
            xy[_OF_COCO], spread[_OF_COCO], agreement[_OF_COCO] = voted.xy, voted.spread_px, voted.agreement
            joint_score[_OF_COCO] = score
            own = np.flatnonzero(_ANCHOR >= 0)
            beside = _ANCHOR[own]
            xy[own] += voted.xy[beside] - marks.xy[_OF_COCO[beside]]
            spread[own], agreement[own] = voted.spread_px[beside], voted.agreement[beside]
        width, height = self._image.size
        within = ((xy > -0.5) & (xy < (width - 0.5, height - 0.5))).all(-1)
        score_inside = np.where(within, joint_score, 0.0)
        return Body(xy, score_inside, spread, agreement, float(score.mean()), voted.xy, marks)


def own_body(
    places: NDArray[np.float64], near: NDArray[np.floating], rivals: NDArray[np.floating] | None
) -> NDArray[np.float64]:
    """Return how surely passes (P, 17, 2) px show the body at ``near`` (17, 2) rather than a rival: (P,), 0 to 1."""
    if rivals is None or not len(rivals):
        return np.ones(len(places))
    own = body_distance(near, places) + _LEAST_APART
    other = np.min([body_distance(rival, places) for rival in rivals], axis=0) + _LEAST_APART
    return np.asarray(1 / (1 + (own / other) ** 4), np.float64)


def _trunk_crop(coco: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return BlazePose's crop (4,) for MoveNet's joints (17, 2): middle of the hips, and a point above the head."""
    hips, shoulders = coco[_HIPS].mean(0), coco[_SHOULDERS].mean(0)
    up = shoulders - hips
    up = up / max(float(np.hypot(*up)), 1e-6) if np.hypot(*up) > 1 else np.array([0.0, -1.0])
    radius = _TRUNK_ROOM * float(np.linalg.norm(coco - hips, axis=-1).max())
    return np.concatenate([hips, hips + max(radius, 1.0) * up])


@dataclass(frozen=True)
class _Noise:
    """Constants of ``joint_noise`` for one mode."""

    annotator: float
    """Share of a careful annotator's standard deviation (``Skeleton.sigma``)."""
    grid: float
    """Error of the network's grid, as a share of the body's extent."""
    spread: float
    """Share of the spread of the passes."""
    score: float
    """Power of the score by which the rest is divided."""
    beside: float
    """Error of the joints that only BlazePose knows, in addition, as a share of the body's extent."""


# Fitted to the residuals of both demo takes with adjusted rigs, by maximum likelihood of Student's t with 3 degrees of
# freedom, then scaled so that 68 and 95 % of the residuals along an axis are as nearly as both can be inside 1 and 1.96
# standard deviations: 70 to 76 and 90 to 94 %. `tools/bench detectors` repeats the check, by joint.
_NOISE = {
    "fast": _Noise(0.108, 0.0035, 0.44, 1.75, 0.0),
    "balanced": _Noise(0.104, 0.001, 0.60, 0.73, 0.0062),
    "best": _Noise(0.090, 0.002, 0.94, 0.62, 0.0063),
}
_LEAST_SCORE = 0.2  # there are too few joints with lower scores to fit by


def joint_noise(body: Body, mode: str) -> NDArray[np.float64]:
    """Return the expected standard deviation (J,) of a body's joints along an axis, px.

    It grows with the spread of the passes, which tells more than any score, and falls with the score.
    """
    of, known, extent = skeleton_of(mode), _NOISE[mode], float(body_extent(body.coco))
    size = float(body_size(joint_box(body.xy[None]))[0])
    beside = np.full(len(of), known.beside)
    beside[_OF_COCO if len(of) == len(_BLAZEPOSE) else slice(None)] = 0.0
    still = (known.annotator * of.sigma * size) ** 2 + (known.grid**2 + beside**2) * extent**2
    off = np.sqrt(still + (known.spread * body.spread_px) ** 2)
    return np.asarray(off / np.clip(body.score, _LEAST_SCORE, 1) ** known.score, np.float64)
