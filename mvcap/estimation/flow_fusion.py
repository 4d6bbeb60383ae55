"""Poses of the frames before and after, carried to a frame along dense optical flow and fused with what it shows.

A joint that a frame hides or blurs is often clear a moment earlier or later. The flow from image to image (Kroeger et
al., "Fast Optical Flow using Dense Inverse Search", 2016) carries it there, forwards from earlier frames and backwards
from later ones (after Yuan et al., "A Simple Baseline for Pose Tracking in Videos of Crowded Scenes", 2020). Where the
flow forwards and back does not return to the joint, the joint is moved with the rest of its body. A carried joint has
more noise and a lower score than it had, by the error of the flow and the number of steps.

One view at a time, in a window of a few images, so memory is bounded. People are linked by the estimator's own ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Bools, Floats, Ints
from mvcap.structures.contracts import State
from mvcap.structures.detections import Detections2D, body_size, joint_box
from mvcap.structures.skeleton import Skeleton

_LONGEST_PX = 640  # longest side of the images of which the flow is computed
_PATCH = 2  # the flow of a joint is the median over a square of 2 * 2 + 1 pixels
_LOST = 0.05  # forward-backward error, as a share of the body's size, above which the flow has lost a joint
_STEP_PX = 0.5  # least error of one step, in pixels of the reduced image
_FORGET = 0.5  # a score falls by exp(-0.5) with each step
_BODY_JOINTS = 4  # joints whose flow is sound that tell how a body moves
_INSERTED = 0.3  # least share of a missed person's joints that are carried to it from both sides
_APART = 0.2  # most distance between them, the median over joints, as a share of the body's size
_ROUNDS = 8  # steps towards the geometric median


@dataclass(frozen=True)
class FlowFrame:
    """What is kept of one image of a view."""

    frame: int
    rows: Detections2D
    gray: NDArray[np.uint8]
    """(h, w) reduced image."""
    scale: float
    """Pixels of the image in one of the reduced image."""


@dataclass(frozen=True)
class CarriedJoints:
    """Joints of M people at another frame than the one that they were detected in."""

    ident: Ints
    """(M,) ids of the estimator."""
    xy: Floats
    """(M, J, 2) px, NaN where missing or not followed."""
    score: Floats
    """(M, J) 0..1, lower than it was."""
    noise_px: Floats
    """(M, J) px, larger than it was."""


def reduced_gray(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """Return an RGB image (H, W, 3) in gray, at most 640 px long, and how many of its pixels are one of that."""
    import cv2

    height, width = image.shape[:2]
    scale = max(1.0, max(height, width) / _LONGEST_PX)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if scale > 1:
        gray = cv2.resize(gray, (round(width / scale), round(height / scale)), interpolation=cv2.INTER_AREA)
    return np.asarray(gray, np.uint8), scale


def dense_flow(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the flow (h, w, 2) px that takes each pixel of gray image a (h, w) to its place in image b.

    OpenCV splits the work by its number of threads, on which the flow depends a little: set it to one.
    """
    import cv2

    if min(a.shape) < 16:
        return np.zeros((*a.shape, 2), np.float32)
    flow = np.zeros((*a.shape, 2), np.float32)
    return np.asarray(cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(a, b, flow), np.float32)


def sampled_flow(flow: NDArray[np.float32], xy: Floats) -> Floats:
    """Return the flow (..., 2) at points xy (..., 2) px, the median over a patch; NaN outside the image."""
    height, width = flow.shape[:2]
    reach = np.arange(-_PATCH, _PATCH + 1)
    known: Bools = np.asarray(np.isfinite(xy).all(-1))
    x, y = np.moveaxis(np.rint(np.where(known[..., None], xy, -1)).astype(np.int64), -1, 0)
    inside = known & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    columns = np.clip(x[..., None, None] + reach, 0, width - 1)
    rows = np.clip(y[..., None, None] + reach[:, None], 0, height - 1)
    found = np.median(flow[rows, columns].reshape(*x.shape, -1, 2), axis=-2)
    return np.asarray(np.where(inside[..., None], found, np.nan), np.float64)


def follow_joints(
    xy: Floats, size: Floats, there: NDArray[np.float32], back: NDArray[np.float32], scale: float
) -> tuple[Floats, Floats]:
    """Return joints (M, J, 2) px moved from one image to the next, and the error (M, J) px of the step.

    xy: (M, J, 2) px; size: (M,) px of the bodies; there, back: flow between the reduced images, ``scale`` px of the
    image in one of theirs. The error is that of going there and back. A joint whose error is more than 5 % of the
    body's size takes the median step of the joints that are followed, and the scatter of these steps as its error; it
    is lost (NaN) where they are too few.
    """
    step = sampled_flow(there, xy / scale) * scale
    again = sampled_flow(back, (xy + step) / scale) * scale
    error = np.linalg.norm(step + again, axis=-1)
    sound = np.isfinite(error) & (error < _LOST * size[:, None])
    some = sound.sum(-1) >= _BODY_JOINTS
    whole, spread = np.full((len(xy), 2), np.nan), np.full(len(xy), np.nan)
    for body in np.flatnonzero(some):
        whole[body] = np.median(step[body, sound[body]], axis=0)
        away = np.linalg.norm(step[body, sound[body]] - whole[body], axis=-1)
        spread[body] = 1.5 * np.median(away) + _LOST * size[body]
    step = np.where(sound[..., None], step, whole[:, None])
    error = np.where(sound, np.hypot(error, _STEP_PX * scale), spread[:, None])
    return xy + step, np.where(np.isfinite(xy).all(-1), error, np.nan)


def geometric_median(xy: Floats, weight: Floats) -> Floats:
    """Return the weighted geometric median (..., 2) of points xy (K, ..., 2), NaN where there is none.

    weight: (K, ...), 0 where a point is missing. The algorithm of Weiszfeld, from the weighted mean.
    """
    known = np.where(weight[..., None] > 0, xy, 0.0)
    total = weight.sum(0)
    out = (weight[..., None] * known).sum(0) / np.where(total > 0, total, np.nan)[..., None]
    for _ in range(_ROUNDS):
        near = weight / np.maximum(np.linalg.norm(known - out, axis=-1), 1e-2)
        out = (near[..., None] * known).sum(0) / np.where(total > 0, near.sum(0), np.nan)[..., None]
    return np.asarray(out)


class FlowWindow:
    """The last images of a view with their detections; ``fused`` gives the rows of those that were not given yet."""

    def __init__(self, span: int, view: int, to: int = 0, frames: Sequence[FlowFrame] = ()) -> None:
        """Start at frame ``to`` of a view with these images, in order.

        span: a frame is fused with the images at most so many frames before and after it.
        """
        self.span, self.view, self.to = span, view, to
        self.frames = list(frames)
        self._flows: dict[tuple[int, int], NDArray[np.float32]] = {}

    @classmethod
    def of_state(cls, state: State, span: int, view: int, kind: Skeleton) -> FlowWindow:
        """Return the window that ``state`` saved; an empty one for an empty state."""
        if not state:
            return cls(span, view)
        held = {name.removeprefix("rows."): values for name, values in state.items() if name.startswith("rows.")}
        rows = Detections2D.from_arrays(kind, held)
        shown = zip(state["frames"].tolist(), state["gray"], state["scale"].tolist(), strict=True)
        frames = [FlowFrame(frame, rows[rows.frame == frame], gray, scale) for frame, gray, scale in shown]
        return cls(span, view, int(state["to"]), frames)

    def state(self, kind: Skeleton) -> State:
        """Return the window as plain arrays."""
        shape = self.frames[0].gray.shape if self.frames else (0, 0)
        rows = Detections2D.concatenate([one.rows for one in self.frames], kind)
        return {
            "to": np.array(self.to),
            "frames": np.array([one.frame for one in self.frames], np.int64),
            "gray": np.array([one.gray for one in self.frames], np.uint8).reshape(-1, *shape),
            "scale": np.array([one.scale for one in self.frames], np.float64),
            **{f"rows.{name}": values for name, values in rows.arrays().items()},
        }

    def add(self, one: FlowFrame) -> None:
        """Add the next image; images that no frame to come is fused with are forgotten."""
        self.frames.append(one)
        self._forget()

    def _forget(self) -> None:
        self.frames = [one for one in self.frames if one.frame >= self.to - self.span]
        oldest = self.frames[0].frame if self.frames else 0
        self._flows = {pair: flow for pair, flow in self._flows.items() if min(pair) >= oldest}

    def fused(self, stop: int, before: bool = True, after: bool = True) -> list[Detections2D]:
        """Return the rows of every image before frame ``stop`` that were not given yet, fused with those around it.

        Rows without an id are as they were. People missed in an image and carried to it from both sides are added at
        the end of its rows. before, after: the sides to use.
        """
        due = [at for at, one in enumerate(self.frames) if self.to <= one.frame < stop]
        out = [self._fused(at, before, after) for at in due]
        self.to = max(self.to, stop)
        self._forget()
        return out

    def _fused(self, at: int, before: bool, after: bool) -> Detections2D:
        now = self.frames[at]
        near = [place for place, one in enumerate(self.frames) if 0 < abs(one.frame - now.frame) <= self.span]
        earlier, later = (
            [found for origin in side if (found := self._carried(origin, at)) is not None]
            for side in ([one for one in near if one < at and before], [one for one in near if one > at and after])
        )
        rows = fuse_rows(now.rows, [*earlier, *later])
        return Detections2D.concatenate([rows, missed_rows(now, self.view, earlier, later)], rows.skeleton)

    def _carried(self, origin: int, at: int) -> CarriedJoints | None:
        """Return the people of one image carried to another one, step by step; None if nobody has an id."""
        start = self.frames[origin].rows
        start = start[start.carried >= 0]
        if not len(start):
            return None
        xy, variance = start.xy.astype(np.float64), start.noise_px.astype(np.float64) ** 2
        score, size = start.score.astype(np.float64), body_size(joint_box(start.xy))
        step = 1 if origin < at else -1
        for one in range(origin, at, step):
            limit = np.maximum(_LOST * size, 1.0)[:, None]
            xy, error = follow_joints(
                xy, size, self._flow(one, one + step), self._flow(one + step, one), self.frames[one].scale
            )
            variance = variance + error**2
            score = score * np.exp(-_FORGET) / (1 + (error / limit) ** 2)
        known = np.isfinite(xy).all(-1) & np.isfinite(variance) & (score > 1e-3)
        return CarriedJoints(
            start.carried.astype(np.int64),
            np.where(known[..., None], xy, np.nan),
            np.where(known, score, 0.0),
            np.sqrt(np.where(known, variance, np.nan)),
        )

    def _flow(self, a: int, b: int) -> NDArray[np.float32]:
        pair = self.frames[a].frame, self.frames[b].frame
        if pair not in self._flows:
            self._flows[pair] = dense_flow(self.frames[a].gray, self.frames[b].gray)
        return self._flows[pair]


def fuse_rows(rows: Detections2D, carried: Sequence[CarriedJoints]) -> Detections2D:
    """Return the rows of one image (M) with their joints fused with those that were carried to it, by score.

    A joint is at the geometric median of where it was detected and carried to, weighted by score. Its variance is the
    weighted mean of theirs plus their scatter: a detector errs alike in neighbouring frames, so their number does not
    count.
    """
    ids = rows.carried.astype(np.int64)
    stacks = [(rows.xy.astype(np.float64), rows.score.astype(np.float64), rows.noise_px.astype(np.float64))]
    stacks += [_of_people(one, ids) for one in carried]
    if len(stacks) == 1 or not len(rows):
        return rows
    fused, strength, spread = _fused(stacks)
    return replace(
        rows,
        xy=np.where((strength > 0)[..., None], fused, np.nan),
        score=np.where(rows.score > 0, np.maximum(rows.score, strength), strength),
        noise_px=np.where(strength > 0, spread, np.nan),
    )


def missed_rows(
    now: FlowFrame, view: int, earlier: Sequence[CarriedJoints], later: Sequence[CarriedJoints]
) -> Detections2D:
    """Return rows (M) of people whom the image lacks and who are carried to it from before and after to one place."""
    kind = now.rows.skeleton
    before, after = (np.concatenate([np.empty(0, np.int64), *(one.ident for one in side)]) for side in (earlier, later))
    missed = np.setdiff1d(np.intersect1d(before, after), now.rows.carried)
    if not len(missed):
        return Detections2D.empty(kind)
    parts = [[_of_people(one, missed) for one in side] for side in (earlier, later)]
    (one, here, _), (other, there, _) = (_fused(side) for side in parts)
    known, apart = (here > 0) & (there > 0), np.linalg.norm(one - other, axis=-1)
    xy, score, noise = _fused([*parts[0], *parts[1]])
    xy = np.where((score > 0)[..., None], xy, np.nan)
    box = joint_box(xy)
    sound = known.mean(-1) >= _INSERTED
    sound[sound] &= np.array(
        [np.median(apart[at, known[at]]) < _APART * body_size(box[at][None])[0] for at in np.flatnonzero(sound)],
        np.bool_,
    )
    whole = np.ones(int(sound.sum()), np.int64)
    return Detections2D(
        kind, whole * now.frame, whole * view, -whole, missed[sound], box[sound], xy[sound],
        np.where(score > 0, score, 0)[sound], np.where(score > 0, noise, np.nan)[sound],
    )  # fmt: skip


def _of_people(one: CarriedJoints, ids: Ints) -> tuple[Floats, Floats, Floats]:
    """Return xy (M, J, 2), score (M, J) and noise (M, J) of the people with these ids (M,); missing where none is."""
    joints = one.xy.shape[1]
    same = (ids[:, None] == one.ident[None]) & (ids[:, None] >= 0)
    there, at = same.any(1), same.argmax(1) if len(one.ident) else np.zeros(len(ids), np.int64)
    xy, score, noise = (
        np.full((len(ids), joints, 2), np.nan),
        np.zeros((len(ids), joints)),
        np.full((len(ids), joints), np.nan),
    )
    xy[there], score[there], noise[there] = one.xy[at[there]], one.score[at[there]], one.noise_px[at[there]]
    return xy, score, noise


def _fused(parts: Sequence[tuple[Floats, Floats, Floats]]) -> tuple[Floats, Floats, Floats]:
    """Return place (M, J, 2), score (M, J) and noise (M, J) px of joints given by K of these; score 0 = missing."""
    xy, score, noise = (np.stack(values) for values in zip(*parts, strict=True))
    there: Bools = np.asarray(score > 0)
    total = score.sum(0)
    place = geometric_median(xy, score)
    some = np.where(total > 0, total, np.nan)
    away = np.where(there, ((xy - place) ** 2).sum(-1) / 2, 0.0)
    with np.errstate(invalid="ignore"):
        variance = (score * (np.where(there, noise, 0.0) ** 2 + away)).sum(0) / some
    strength = np.where(total > 0, (score**2).sum(0) / np.where(total > 0, total, 1.0), 0.0)
    return place, strength, np.sqrt(variance)
