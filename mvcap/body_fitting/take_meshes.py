"""Bodies of a whole take: samples of every person for the shape, then poses of all frames, window by window.

A window of a person begins after the last pose that is kept, which it continues, and ends with some frames that are
fitted again in the next one. Memory does not grow with the take but for the numbers of the frames in which each person
has a body.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from calib.arrays import Floats, Ints
from mvcap.body_fitting.pose_fit import Measured, trunk_known
from mvcap.body_fitting.posed_joints import Pose, all_turns
from mvcap.body_fitting.shape_fit import FittedPeople, fit_people, fitted_joints
from mvcap.errors import InputError
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton
from mvcap.structures.skinned_body import SkinnedBody

_SAMPLES = 32  # frames of each person that shape and joint definitions are fitted to, at least where there are so many
_FEWEST_JOINTS = 8
_KEPT, _AHEAD = 224, 32
"""Frames of a window whose poses are kept, and those after them, which tell the last of them what comes."""

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


def posed_runs(bodies: BodiesOfTake, chunks: Chunks, rate_hz: float) -> Iterator[PosedRun]:
    """Yield the poses of all people in the frames that have bodies, in order of frames within each person.

    All frames from shortly before the first of these to shortly after the last are fitted, as neighbours tell what a
    frame does not. The same rows give the same poses, whatever chunks they come in.
    """
    waiting: dict[int, _Window] = {}
    for rows in chunks():
        for person in np.unique(rows.person).tolist():
            if person in bodies.frames:
                window = waiting.setdefault(person, _Window(bodies, person, rate_hz))
                yield from window.offer(rows[rows.person == person])
    for _, window in sorted(waiting.items()):
        yield from window.rest()


class _Window:
    """Rows of one person that wait for those after them, and the last pose that was kept."""

    def __init__(self, bodies: BodiesOfTake, person: int, rate_hz: float) -> None:
        self._bodies, self._person, self._rate_hz = bodies, person, rate_hz
        self._frames = np.zeros(0, np.int64)
        self._measured: Measured | None = None
        self._before: tuple[Pose, float] | None = None

    def offer(self, rows: Poses3D) -> Iterator[PosedRun]:
        """Take further rows, frames ascending, and yield what they complete."""
        fitted, wanted = self._bodies.fitted, self._bodies.frames[self._person]
        measured = measured_rows(rows, fitted.columns_of(rows.skeleton.joints))
        near = (rows.frame >= wanted[0] - _AHEAD) & (rows.frame <= wanted[-1] + _AHEAD)
        near &= trunk_known(fitted.model, measured)
        self._frames = np.concatenate([self._frames, rows.frame[near].astype(np.int64)])
        self._measured = measured[near] if self._measured is None else self._measured.followed_by(measured[near])
        while len(self._frames) >= _KEPT + _AHEAD:
            yield from self._fitted(_KEPT + _AHEAD, _KEPT)

    def rest(self) -> Iterator[PosedRun]:
        """Yield what is left when no rows follow."""
        if len(self._frames):
            yield from self._fitted(len(self._frames), len(self._frames))

    def _fitted(self, count: int, kept: int) -> Iterator[PosedRun]:
        """Fit the next rows, keep the first poses of them, and yield those of frames that have bodies."""
        assert self._measured is not None
        fitted, person = self._bodies.fitted, self._person
        seconds, measured = self._frames[:count] / self._rate_hz, self._measured[:count]
        pose = fitted.poses(person, measured, seconds, self._before)
        self._before = pose[kept - 1 : kept], float(seconds[kept - 1])
        wanted = np.flatnonzero(np.isin(self._frames[:kept], self._bodies.frames[person]))
        frames, pose, measured = self._frames[wanted], pose[wanted], measured[wanted]
        self._frames, self._measured = self._frames[kept:], self._measured[kept:]
        if len(frames):
            apart = fitted.joints(person, pose) - measured.xyz
            distance = np.linalg.norm(apart, axis=-1)[measured.weight > 0]
            turns = all_turns(fitted.body, fitted.model.groups, pose)
            yield PosedRun(person, frames, turns, pose.root, distance)


def measured_rows(rows: Poses3D, columns: Ints) -> Measured:
    """Return chosen joints (J,) of rows with their uncertainties."""
    return Measured.of(rows.xyz[:, columns].astype(np.float64), rows.cov[:, columns][..., [0, 3, 5]].mean(-1))
