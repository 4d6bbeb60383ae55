"""Bodies of a whole take: samples of every person for the shape, then poses of all frames, chunk by chunk.

Memory does not grow with the take but for the numbers of the frames in which each person has a body.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from calib.arrays import Bools, Floats, Ints
from mvcap.body_fitting.pose_fit import Measured, trunk_known
from mvcap.body_fitting.posed_joints import Pose, all_turns
from mvcap.body_fitting.shape_fit import FittedPeople, fit_people, fitted_joints
from mvcap.errors import InputError
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton
from mvcap.structures.skinned_body import SkinnedBody

_SAMPLES = 32  # frames of each person that shape and joint definitions are fitted to, at least where there are so many
_FEWEST_JOINTS = 8
_POSED_AT_ONCE = 256

Chunks = Callable[[], Iterable[Poses3D]]


@dataclass(frozen=True, eq=False)
class BodiesOfTake:
    """The people of a take as bodies."""

    fitted: FittedPeople
    frames: Mapping[int, Ints]
    """Person -> frames, ascending, in which the person has a body: those in which the trunk is known."""
    left_out: int
    """Rows of poses without a body: too few joints are known there, or in all frames of the person."""

    def rest(self, person: int) -> tuple[Floats, Floats]:
        """Return vertices (V, 3) and heads of bones (B, 3) m of a person at rest."""
        body, shape = self.fitted.body, self.fitted.shapes[person]
        return body.vertices.at(shape), body.heads.at(shape)


@dataclass(frozen=True, eq=False)
class PosedRun:
    """Poses of one person in T frames."""

    person: int
    frames: Ints
    turns: Floats
    """(T, B, 3, 3) rotations of the bones relative to their parents."""
    root: Floats
    """(T, 3) m head of the first bone."""
    distance: Floats
    """(N,) m, of the body's joints from those of the poses, where these are known."""


@dataclass
class _Sample:
    """Some frames of a person, evenly over those that came so far."""

    every: int = 1
    seen: int = 0
    rows: list[tuple[Floats, Floats]] = field(default_factory=list)

    def offer(self, xyz: Floats, variance: Floats) -> None:
        """Keep every n-th frame; n doubles whenever there are too many."""
        if self.seen % self.every == 0:
            self.rows.append((xyz, variance))
        self.seen += 1
        if len(self.rows) > 2 * _SAMPLES:
            self.rows, self.every = self.rows[::2], 2 * self.every


def fitted_bodies(
    body: SkinnedBody, kind: Skeleton, chunks: Chunks, wanted: Callable[[int], bool] = lambda frame: True
) -> BodiesOfTake:
    """Fit the shape of each person of a take, and the joint definitions, in one pass over its chunks.

    kind: skeleton of the poses; wanted: whether a frame is among those that bodies are wanted in; all are fitted to.
    Raises InputError if no person's trunk is ever known, or if the skeleton lacks joints of the trunk.
    """
    model, columns, names = fitted_joints(body, kind.joints)
    if missing := [name for name in ("left_hip", "right_hip", "left_shoulder", "right_shoulder") if name not in names]:
        raise InputError(f"skeleton {kind.name} has no {', '.join(missing)}, by which bodies are placed")
    samples: dict[int, _Sample] = {}
    frames: dict[int, list[int]] = {}
    rows_wanted = 0
    for rows in chunks():
        measured = measured_rows(rows, columns)
        known = trunk_known(model, measured)
        enough = known & ((measured.weight > 0).sum(1) >= _FEWEST_JOINTS)
        for index, (frame, person) in enumerate(zip(rows.frame.tolist(), rows.person.tolist(), strict=True)):
            if enough[index]:
                samples.setdefault(person, _Sample()).offer(measured.xyz[index], measured.weight[index])
            if known[index] and wanted(frame):
                frames.setdefault(person, []).append(frame)
            rows_wanted += wanted(frame)
    people = {who: Measured(*(np.stack(part) for part in zip(*one.rows, strict=True))) for who, one in samples.items()}
    if not people:
        raise InputError(
            "no person has hips and shoulders in any frame, by which bodies are placed; see `mvcap report`"
        )
    fitted = fit_people(body, names, people)
    found = {who: np.array(held) for who, held in sorted(frames.items()) if who in people}
    return BodiesOfTake(fitted, found, rows_wanted - sum(map(len, found.values())))


def posed_runs(bodies: BodiesOfTake, chunks: Chunks) -> Iterator[PosedRun]:
    """Yield the poses of all people in the frames that have bodies, in order of frames within each person.

    A limb without any known joint keeps its rotation in the body between the frames in which it has one.
    """
    fitted = bodies.fitted
    held: dict[int, Floats] = {}
    for rows in chunks():
        for person in np.unique(rows.person).tolist():
            mine = rows[(rows.person == person) & np.isin(rows.frame, bodies.frames.get(person, np.zeros(0)))]
            for begin in range(0, len(mine), _POSED_AT_ONCE):
                some = mine[np.arange(begin, min(begin + _POSED_AT_ONCE, len(mine)))]
                measured = measured_rows(some, fitted.columns_of(some.skeleton.joints))
                pose = fitted.poses(person, measured)
                turn = bridged(pose.turn, limbs_known(fitted, measured), some.frame, held.get(person))
                held[person] = turn[-1]
                pose = Pose(pose.rotation, pose.root, turn)
                turns = all_turns(fitted.body, fitted.model.groups, pose)
                apart = fitted.joints(person, pose) - measured.xyz
                distance = np.linalg.norm(apart, axis=-1)[measured.weight > 0]
                yield PosedRun(person, some.frame.astype(np.int64), turns, pose.root, distance)


def measured_rows(rows: Poses3D, columns: Ints) -> Measured:
    """Return chosen joints (J,) of rows with their uncertainties."""
    return Measured.of(rows.xyz[:, columns].astype(np.float64), rows.cov[:, columns][..., [0, 3, 5]].mean(-1))


def limbs_known(fitted: FittedPeople, measured: Measured) -> Bools:
    """Return in which frames (T, G) any joint that a group of bones moves is known."""
    model = fitted.model
    moved = np.stack([model.moves[[bone for bone, one in enumerate(model.group) if one == group]].any(0)
                      for group in range(len(model.groups))])  # fmt: skip
    known: Bools = np.asarray(((measured.weight[:, None] > 0) & moved).any(-1))
    return known


def bridged(turn: Floats, known: Bools, frames: Ints, before: Floats | None) -> Floats:
    """Return rotation vectors (T, G, 3) with those that are not known (T, G) between those that are, or the last known.

    before (G, 3): those of the frame before the first.
    """
    out = turn.copy()
    for group in range(turn.shape[1]):
        seen = np.flatnonzero(known[:, group])
        if len(seen) == len(turn):
            continue
        places, values = frames[seen].astype(np.float64), turn[seen, group]
        if before is not None and not known[0, group]:
            places, values = np.append(frames[0] - 1.0, places), np.concatenate([before[None, group], values])
        if len(places):
            for axis in range(3):
                out[:, group, axis] = np.interp(frames, places, values[:, axis])
    return out
