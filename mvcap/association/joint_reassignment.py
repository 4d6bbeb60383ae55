"""Joints that go to another body: estimators give a neighbour's arm to a person, or find a leg twice.

A joint that does not fit its row's body goes to a body that it fits and that lacks it in this view, or that holds one
there which fits much worse. Rows of a view exchange such joints, so that none is lost; for a body that has no row in
the view, the joint becomes a row of its own.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats, Ints
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import Skeleton

_UNFIT = -1.0
"""Evidence of a joint for its own body below which it is free to go."""
_FIT = 1.0
"""Evidence that another body needs to have it."""
_BETTER = 2.0
"""By how much it must fit better than the joint that the body holds there."""
_TIED = (("ankle", ("toe", "heel")), ("wrist", ("pinky", "index", "thumb")), ("nose", ("eye", "mouth")))


@dataclass(frozen=True)
class JointMoves:
    """Joints that change rows, N of them; joints are those of ``Skeleton.body``."""

    row: Ints
    """Row that has the joint."""
    joint: Ints
    to: Ints
    """Row of the same view that takes it and gives what it has there; -1 = a new one."""
    group: Ints
    """Group that it belongs to."""

    def of_rows(self, rows: Ints) -> JointMoves:
        """Return the same moves for rows numbered (M,) otherwise."""
        return JointMoves(rows[self.row], self.joint, np.where(self.to >= 0, rows[self.to], -1), self.group)

    @classmethod
    def none(cls) -> JointMoves:
        """No moves."""
        return cls(*np.zeros((4, 0), np.int64))

    @classmethod
    def all(cls, parts: list[JointMoves]) -> JointMoves:
        """Moves of many frames."""
        columns = [[part.row, part.joint, part.to, part.group] for part in parts] or [[np.zeros(0, np.int64)] * 4]
        return cls(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def joint_moves(evidence: Floats, group: Ints, view: NDArray[np.integer]) -> JointMoves:
    """Moves of joints of rows in ``group`` (M,), -1 = nobody, from evidence (M, G, J) nats, NaN = unseen."""
    fit = np.nan_to_num(evidence, nan=-np.inf)
    member = np.flatnonzero(group >= 0)
    own = np.full((len(group), fit.shape[2]), -np.inf)
    own[member] = fit[member, group[member]]
    free = (own < _UNFIT)[:, None] & (fit > _FIT)
    if not free.any():
        return JointMoves.none()
    row, body, joint = np.nonzero(free)
    out: list[tuple[int, int, int, int]] = []
    taken: set[tuple[int, int, int]] = set()  # joints of rows that moved, and of bodies that got one, by view
    for at in np.argsort(-fit[row, body, joint], kind="stable"):
        r, g, j = int(row[at]), int(body[at]), int(joint[at])
        mates = np.flatnonzero((group == g) & (view == view[r]))
        touched = {(0, int(one), j) for one in (r, *mates)} | {(1 + int(view[r]), g, j)}
        to = _taker(mates, fit[:, g], j)
        held = own[to, j] + _BETTER if to >= 0 and fit[to, g, j] > -np.inf else -np.inf
        if touched & taken or fit[r, g, j] < held:
            continue
        taken |= touched
        out.append((r, j, to, g))
    # One joint alone makes no new person's part: it is as likely off, and there by chance.
    new = Counter((r, g) for r, _, to, g in out if to < 0)
    kept = [move for move in out if move[2] >= 0 or new[move[0], move[3]] > 1]
    return JointMoves(*np.array(kept, np.int64).reshape(-1, 4).T)


def _taker(mates: Ints, fit: Floats, joint: int) -> int:
    """Row of a body in a view, ``mates``, that takes a joint: that which has it, else the largest; -1 = no row."""
    if not len(mates):
        return -1
    holder = mates[fit[mates, joint] > -np.inf]
    return int(holder[0]) if len(holder) else int(mates[(fit[mates] > -np.inf).sum(1).argmax()])


def apply_moves(rows: Detections2D, made: JointMoves, person: Ints) -> Detections2D:
    """Return rows after moves, whose ``group`` is a person's number; ``person`` (M,) of each row is filled in.

    Joints that no evidence speaks of go with the one that they hang on: toes with an ankle.
    """
    rows = rows.with_columns(person=person)
    if not len(made.row):
        return rows
    tied = _tied(rows.skeleton)
    source = np.repeat(np.arange(len(rows) + 1)[:, None], len(rows.skeleton), axis=1)  # the last row is blank
    new: dict[tuple[int, int], NDArray[np.bool_]] = {}
    for row, joint, to, who in zip(made.row, made.joint, made.to, made.group, strict=True):
        part = tied == joint
        if to >= 0:
            source[row, part], source[to, part] = source[to, part], source[row, part]
        else:
            new.setdefault((int(row), int(who)), np.zeros(len(tied), np.bool_))[part] = True
            source[row, part] = len(rows)
    order = np.concatenate([np.arange(len(rows)), np.array([row for row, _ in new], np.int64)])
    more = np.array([np.where(part, row, len(rows)) for (row, _), part in new.items()], np.int64)
    source = np.concatenate([source[:-1], more.reshape(-1, len(tied))])
    who = np.concatenate([person, np.array([number for _, number in new], np.int64)])
    place = np.argsort(order, kind="stable")
    return _taken(rows, order[place], source[place], who[place])


def _taken(rows: Detections2D, order: Ints, source: Ints, person: Ints) -> Detections2D:
    """Rows (N) like rows ``order``, whose joints are those of rows ``source`` (N, J), the number of rows for none."""
    joint = np.arange(source.shape[1])
    xy = np.concatenate([rows.xy, np.full((1, *rows.xy.shape[1:]), np.nan, np.float32)])[source, joint]
    score = np.concatenate([rows.score, np.zeros((1, len(joint)), np.float32)])[source, joint]
    noise = np.concatenate([rows.noise_px, np.full((1, len(joint)), np.nan, np.float32)])[source, joint]
    return rows[order].with_columns(person=person, xy=xy, score=score, noise_px=noise)


def _tied(kind: Skeleton) -> Ints:
    """Place in ``Skeleton.body`` (J,) of the joint that each joint goes with; -1 = it stays."""
    body = kind.body.tolist()
    out = np.full(len(kind), -1, np.int64)
    for joint, name in enumerate(kind.joints):
        words = name.split("_")
        if joint in body:
            out[joint] = body.index(joint)
            continue
        for root, ends in _TIED:
            side = words[0] if words[0] in ("left", "right") and root != "nose" else ""
            full = f"{side}_{root}" if side else root
            if set(words) & set(ends) and full in kind.joints and kind.joints.index(full) in body:
                out[joint] = body.index(kind.joints.index(full))
    return out
