"""Row-level part of the detector model: left-right swaps, merged, split, duplicate and false people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.arrays import Floats
from mvcap.structures.detections import body_size, joint_box
from mvcap.structures.skeleton import Skeleton
from mvcap.synthesis.correlated_noise import correlated_normal, expit, random_events

if TYPE_CHECKING:
    from mvcap.synthesis.detector_errors import DetectorModel


_ARM, _LEG = ("elbow", "wrist", "pinky", "index", "thumb"), ("knee", "ankle", "heel", "toe")
_HEAD = ("nose", "eye", "ear", "mouth", "head")
_NO_PERSON = -1


@dataclass
class SeenRows:
    """Detections of an estimator, one row each; joints are missing where xy is NaN."""

    frame: NDArray[Any]
    view: NDArray[Any]
    xy: Floats
    """(M, J, 2) px."""
    score: Floats
    """(M, J)."""
    whose: NDArray[Any]
    """(M, J) index of the true person, -1 = no person."""
    size: Floats
    """(M,) px: size of the body that the row belongs to."""
    lone: NDArray[np.bool_]
    """(M,) output whatever the number of its joints."""

    def __getitem__(self, rows: NDArray[Any]) -> SeenRows:
        return SeenRows(*(getattr(self, spec.name)[rows] for spec in fields(self)))

    def __len__(self) -> int:
        return len(self.frame)

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> SeenRows:
        """Return the rows of all parts in order."""
        return SeenRows(*(np.concatenate([getattr(part, spec.name) for part in parts]) for spec in fields(cls)))

    def only(self, joints: NDArray[np.bool_]) -> SeenRows:
        """Return the rows with these joints (M, J) only."""
        xy, score = np.where(joints[..., None], self.xy, np.nan), np.where(joints, self.score, 0.0)
        return SeenRows(self.frame, self.view, xy, score, self.whose, self.size, self.lone)


@cache
def torn_parts(kind: Skeleton) -> NDArray[np.bool_]:
    """Groups of joints (G, J) that are split off or merged together: arms, legs, ends, head, both legs, halves."""

    def have(words: tuple[str, ...], side: str = "") -> list[bool]:
        return [joint.startswith(side) and any(word in joint.split("_") for word in words) for joint in kind.joints]

    limbs = [have(words, side) for words in (_ARM, _LEG) for side in ("left_", "right_")]
    shoulder = [a | b for a, b in zip(have(("shoulder",), "left_"), limbs[0], strict=True)]
    halves = [have((*_LEG, "hip", "pelvis")), have((*_HEAD, *_ARM, "shoulder", "neck", "thorax"))]
    ends = [have(words, side) for words in (_ARM[1:], _LEG[1:]) for side in ("left_", "right_")]
    found = np.array([*limbs, *ends, have(_HEAD), have(_LEG), shoulder, *halves])
    return found[found.any(1) & ~found.all(1)]


@dataclass
class PointRows:
    """Joints of all people in all views: true and observed."""

    true: Floats
    """(T, C, P, J, 2) px true positions, NaN behind a camera and for absent people."""
    xyz: Floats
    """(T, P, J, 3) m."""
    xy: Floats
    """(T, C, P, J, 2) px observed positions, NaN where missing."""
    score: Floats
    """(T, C, P, J), 0 where missing."""
    whose: NDArray[np.int64]
    """(T, C, P, J) index of the true person of the joint, whatever row it is in."""
    size: Floats
    """(T, C, P) px, NaN where a person cannot be seen."""
    stated: Floats
    """(T, C, P, J) px: the noise that the estimator states."""
    hidden: NDArray[np.bool_]
    """(T, C, P, J) occluded by a body or an object."""
    inside: NDArray[np.bool_]
    """(T, C, P, J) within the picture."""
    turned: NDArray[np.bool_]
    """(T, C, P, J) part of a face that is turned away."""
    last: Floats
    """(C, 2) width and height of the pictures less one."""
    memory: float
    """Correlation of time-correlated errors from one frame to the next."""

    def rows(self) -> SeenRows:
        """All observed people, one row each."""
        return self.picked(np.asarray(np.isfinite(self.xy[..., 0]).any(-1)))

    def picked(self, rows: NDArray[np.bool_]) -> SeenRows:
        """Return these rows (T, C, P)."""
        frame, view, person = np.nonzero(rows)
        at = frame, view, person
        lone = np.zeros(len(frame), bool)
        return SeenRows(frame, view, self.xy[at], self.score[at], self.whose[at], self.size[at], lone)


def swap_left_right(model: DetectorModel, kind: Skeleton, points: PointRows, rng: np.random.Generator) -> None:
    """Swap left and right of whole rows, of legs and of arms."""
    shape, J = points.size.shape, len(kind)
    source = np.broadcast_to(np.arange(J), (*shape, J)).copy()
    for words, share in ((_LEG, model.leg_swaps), (_ARM, model.arm_swaps), ((), model.body_swaps)):
        mine = np.array([not words or any(word in joint.split("_") for word in words) for joint in kind.joints])
        rows = _events(points, share, rng)
        source[rows] = np.where(mine, kind.mirror[source[rows]], source[rows])
    points.xy = np.take_along_axis(points.xy, source[..., None], 3)
    points.score = np.take_along_axis(points.score, source, 3)


def merge_neighbours_rows(model: DetectorModel, kind: Skeleton, points: PointRows, rng: np.random.Generator) -> None:
    """Let rows take over a limb of a neighbour with an overlapping box, or swap one with it."""
    T, C, P = points.size.shape
    box = joint_box(points.xy.reshape(-1, len(kind), 2)).reshape(T, C, P, 4)
    limb = rng.integers(0, len(torn_parts(kind)), (C, P))
    how, liking = rng.random((C, P)), rng.random((C, P, P))
    for t, c, p in zip(*np.nonzero(_events(points, model.merges, rng)), strict=True):
        with np.errstate(invalid="ignore"):
            near = np.asarray(((box[t, c, p, :2] < box[t, c, :, 2:]) & (box[t, c, :, :2] < box[t, c, p, 2:])).all(-1))
        near[p] = False
        if not near.any():
            continue
        other = int(np.where(near, liking[c, p], -1).argmax())
        joints = np.flatnonzero(torn_parts(kind)[limb[c, p]])
        mine, theirs = (t, c, p, joints), (t, c, other, joints)
        for values in (points.xy, points.score, points.whose):
            previous = values[theirs].copy()
            if how[c, p] < 0.4:
                values[theirs] = values[mine]
            values[mine] = previous
        if how[c, p] > 0.6:
            points.xy[theirs], points.score[theirs] = np.nan, 0.0


def split_rows(model: DetectorModel, kind: Skeleton, points: PointRows, rng: np.random.Generator) -> list[SeenRows]:
    """Split parts and single joints off rows; return the split parts as rows of their own."""
    out, parts = [], torn_parts(kind)
    for often in (model.splits, model.splits / 3):
        logit = np.log(max(often, 1e-9) / (1 - often)) + model.splits_hidden * points.hidden.mean(-1)
        share = expit(logit) if often else np.zeros_like(logit)
        cut = _events(points, share, rng)
        part = parts[rng.integers(0, len(parts), points.size.shape[1:])][None] & cut[..., None]
        out.append(points.picked(cut).only(part[cut]))
        points.xy[part], points.score[part] = np.nan, 0.0
    alone = np.isfinite(points.xy[..., 0]) & (rng.random(points.score.shape) < model.lone_joints)
    row, joint = np.nonzero(alone[alone.any(-1)])
    rows = points.picked(np.asarray(alone.any(-1)))[row].only(joint[:, None] == np.arange(len(kind)))
    rows.lone[:] = True
    points.xy[alone], points.score[alone] = np.nan, 0.0
    return [*(rows for rows in out if len(rows)), rows]


def duplicate_rows(model: DetectorModel, kind: Skeleton, points: PointRows, rng: np.random.Generator) -> list[SeenRows]:
    """Return duplicate rows of people: whole or in part, slightly different and with lower scores."""
    again = _events(points, model.duplicates, rng)
    rows = points.picked(again)
    parts = np.concatenate([torn_parts(kind), np.ones((3, len(kind)), bool)])
    part = parts[rng.integers(0, len(parts), points.size.shape[1:])]
    rows = rows.only(part[rows.view, np.nonzero(again)[2]] & (rng.random(rows.score.shape) > 0.1))
    error = 1.5 * points.stated[again][..., None] * rng.standard_normal(rows.xy.shape)
    rows.xy, rows.score = rows.xy + error, rows.score * rng.uniform(0.4, 1.0, (len(rows), 1))
    return [rows]


def copy_rows(model: DetectorModel, rows: SeenRows, rng: np.random.Generator) -> SeenRows:
    """Return the rows, some of them repeated once or more."""
    if not model.copies:
        return rows
    times = np.where(rng.random(len(rows)) < model.copies, 1 + rng.geometric(0.7, len(rows)), 1)
    return rows[np.repeat(np.arange(len(rows)), times)]


def false_positives(
    model: DetectorModel, kind: Skeleton, points: PointRows, rig: Rig, rng: np.random.Generator
) -> list[SeenRows]:
    """Return rows of false positives: static objects, always at the same place, and others."""
    T, C, _ = points.size.shape
    xyz = points.xyz[np.isfinite(points.xyz[..., 0, 0])]
    if not len(xyz):
        return []
    owner = rng.integers(0, C, rng.poisson(model.furniture * C))
    xy = rig.project(_random_bodies(xyz, owner, points, rig, rng))  # (C, K, J, 2)
    likely = rng.beta(1.0, 1.0, (C, len(owner)))
    likely[(rng.random(likely.shape) < 0.8) & (np.arange(C)[:, None] != owner)] = 0.0
    frame, view, thing = np.nonzero(random_events(correlated_normal(rng, (T, *likely.shape), points.memory), likely))
    least = model.phantom_joints
    fixed = rng.random((C, len(owner), len(kind))) < rng.uniform(least, 1.0, (C, len(owner), 1))
    often = fixed[view, thing] & (rng.random((len(frame), len(kind))) < rng.uniform(least, 1.0, (len(frame), 1)))
    still = _false_rows(model, kind, frame, view, xy[view, thing], often, points, rng)
    count = rng.poisson(model.phantoms, (T, C))
    frame, view = (np.repeat(side.ravel(), count.ravel()) for side in np.indices((T, C)))
    xy = rig.project(_random_bodies(xyz, view, points, rig, rng))[view, np.arange(len(frame))]
    often = rng.random((len(frame), len(kind))) < rng.uniform(least, 1.0, (len(frame), 1))
    return [still, _false_rows(model, kind, frame, view, xy, often, points, rng)]


def _random_bodies(
    xyz: Floats, views: NDArray[np.integer], points: PointRows, rig: Rig, rng: np.random.Generator
) -> Floats:
    """Bodies (K, J, 3) like those of people xyz (N, J, 3), turned about the vertical, within the views (K,)."""
    body = xyz[rng.integers(0, len(xyz), len(views))]
    angle = rng.uniform(0, 2 * np.pi, len(body))
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    centred = body - body.mean(1, keepdims=True)
    turned = np.stack(
        [cos * centred[..., 0] - sin * centred[..., 1], sin * centred[..., 0] + cos * centred[..., 1], centred[..., 2]],
        -1,
    )
    people = xyz.mean((0, 1))
    far = np.linalg.norm(rig.positions[views] - people, axis=-1) * rng.uniform(0.4, 1.6, len(views))
    pixel = rng.uniform(0, 1, (len(views), 2)) * points.last[views]
    place = np.empty((len(views), 3))
    for view in np.unique(views).tolist():
        mine = views == view
        place[mine] = rig.positions[view] + rig[view].rays(pixel[mine])[1] * far[mine, None]
    return np.asarray(turned * rng.uniform(0.5, 1.1, (len(body), 1, 1)) + place[:, None])


def _false_rows(
    model: DetectorModel,
    kind: Skeleton,
    frame: NDArray[np.integer],
    view: NDArray[np.integer],
    xy: Floats,
    often: NDArray[np.bool_],
    points: PointRows,
    rng: np.random.Generator,
) -> SeenRows:
    """False-positive rows (M,) at positions xy (M, J, 2) px, with the joints ``often`` that lie in the picture."""
    size = body_size(joint_box(xy))
    xy = xy + 0.03 * np.nan_to_num(size)[:, None, None] * rng.standard_normal(xy.shape)
    last = points.last[view][:, None]
    with np.errstate(invalid="ignore"):
        inside = ((xy >= -0.5) & (xy <= last + 0.5)).all(-1)
    often = often & (inside | ((rng.random(often.shape) < model.outside) & np.isfinite(xy[..., 0])))
    score = 0.6 * rng.standard_normal((len(xy), 1)) + (0.4 + model.score_spread) * rng.standard_normal(often.shape)
    score += model.phantom_score
    score = np.clip(1 / (1 + np.exp(-score)), 0.03, 0.99)
    no_person = np.full(often.shape, _NO_PERSON)
    rows = SeenRows(frame, view, xy, score, no_person, np.nan_to_num(size, nan=1.0), np.zeros(len(xy), bool))
    return rows.only(often)


def _events(points: PointRows, share: Floats | float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Rows (T, C, P) with an event of this probability, correlated in time."""
    happens = random_events(correlated_normal(rng, points.size.shape, points.memory), share)
    return happens & np.isfinite(points.xy[..., 0]).any(-1)
