"""Reassign single joints to another body: estimators assign a neighbour's arm to a person, or detect a leg twice.

A joint that does not fit its row's body goes to a body that it fits and that either lacks the joint in this view or
holds one there that fits much worse. Two rows of a view exchange such joints, so that none is lost; for a body without
a row in the view, the joint becomes a row of its own.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats, Ints
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import Skeleton

_UNFIT_NATS = -1.0
"""Evidence of a joint for its own body, nats, below which it may be reassigned."""
_FIT_NATS = 1.0
"""Least evidence of a joint for the body that gets it, nats."""
_LEAD_NATS = 2.0
"""Least lead of the joint's evidence over that of the joint the body already holds in the view, nats."""
_ATTACHED = (("ankle", ("toe", "heel")), ("wrist", ("pinky", "index", "thumb")), ("nose", ("eye", "mouth")))


@dataclass(frozen=True)
class JointMoves:
    """N joints that move to another row; joints are those of ``Skeleton.body``."""

    row: Ints
    """Row that the joint leaves."""
    joint: Ints
    to: Ints
    """Row of the same view that gets the joint and returns its own in exchange; -1 = a new row."""
    group: Ints
    """Group that the joint belongs to."""

    def of_rows(self, rows: Ints) -> JointMoves:
        """Return the same moves with row numbers translated by ``rows`` (M,)."""
        return JointMoves(rows[self.row], self.joint, np.where(self.to >= 0, rows[self.to], -1), self.group)

    @classmethod
    def none(cls) -> JointMoves:
        """No moves."""
        return cls(*np.zeros((4, 0), np.int64))

    @classmethod
    def all(cls, parts: list[JointMoves]) -> JointMoves:
        """Concatenate the moves of several frames."""
        columns = [[part.row, part.joint, part.to, part.group] for part in parts] or [[np.zeros(0, np.int64)] * 4]
        return cls(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def joint_moves(evidence: Floats, group: Ints, view: NDArray[np.integer]) -> JointMoves:
    """Joint moves between rows of ``group`` (M,), -1 = false positive, from evidence (M, G, J) nats, NaN = unseen."""
    fit = np.nan_to_num(evidence, nan=-np.inf)
    member = np.flatnonzero(group >= 0)
    own = np.full((len(group), fit.shape[2]), -np.inf)
    own[member] = fit[member, group[member]]
    free = (own < _UNFIT_NATS)[:, None] & (fit > _FIT_NATS)
    if not free.any():
        return JointMoves.none()
    row, body, joint = np.nonzero(free)
    out: list[tuple[int, int, int, int]] = []
    blocked: set[tuple[int, int, int]] = set()  # joints moved from or to a row, and joints that a body got in a view
    for at in np.argsort(-fit[row, body, joint], kind="stable"):
        r, g, j = int(row[at]), int(body[at]), int(joint[at])
        mates = np.flatnonzero((group == g) & (view == view[r]))
        touched = {(0, int(one), j) for one in (r, *mates)} | {(1 + int(view[r]), g, j)}
        to = _receiving_row(mates, fit[:, g], j)
        held = own[to, j] + _LEAD_NATS if to >= 0 and fit[to, g, j] > -np.inf else -np.inf
        if touched & blocked or fit[r, g, j] < held:
            continue
        blocked |= touched
        out.append((r, j, to, g))
    # A single joint makes no new row: it is as likely an outlier that fits by chance.
    new = Counter((r, g) for r, _, to, g in out if to < 0)
    kept = [move for move in out if move[2] >= 0 or new[move[0], move[3]] > 1]
    return JointMoves(*np.array(kept, np.int64).reshape(-1, 4).T)


def _receiving_row(mates: Ints, fit: Floats, joint: int) -> int:
    """Row out of ``mates``, a body's rows in a view, that gets a joint; -1 = no row.

    The row that already has the joint, else the row with the most joints.
    """
    if not len(mates):
        return -1
    holder = mates[fit[mates, joint] > -np.inf]
    return int(holder[0]) if len(holder) else int(mates[(fit[mates] > -np.inf).sum(1).argmax()])


def apply_moves(rows: Detections2D, made: JointMoves, person: Ints) -> Detections2D:
    """Return the rows with joint moves applied and ``person`` (M,) filled in; a move's ``group`` is a person's number.

    Joints without evidence of their own move with the joint they are attached to: toes with an ankle.
    """
    rows = rows.with_columns(person=person)
    if not len(made.row):
        return rows
    root = _attached_joints(rows.skeleton)
    source = np.repeat(np.arange(len(rows) + 1)[:, None], len(rows.skeleton), axis=1)  # the last row is blank
    new: dict[tuple[int, int], NDArray[np.bool_]] = {}
    for row, joint, to, who in zip(made.row, made.joint, made.to, made.group, strict=True):
        part = root == joint
        if to >= 0:
            source[row, part], source[to, part] = source[to, part], source[row, part]
        else:
            new.setdefault((int(row), int(who)), np.zeros(len(root), np.bool_))[part] = True
            source[row, part] = len(rows)
    order = np.concatenate([np.arange(len(rows)), np.array([row for row, _ in new], np.int64)])
    more = np.array([np.where(part, row, len(rows)) for (row, _), part in new.items()], np.int64)
    source = np.concatenate([source[:-1], more.reshape(-1, len(root))])
    who = np.concatenate([person, np.array([number for _, number in new], np.int64)])
    place = np.argsort(order, kind="stable")
    return _gather_joints(rows, order[place], source[place], who[place])


def _gather_joints(rows: Detections2D, order: Ints, source: Ints, person: Ints) -> Detections2D:
    """Rows (N,) copied from rows ``order``, with joints from rows ``source`` (N, J); the number of rows = no joint."""
    joint = np.arange(source.shape[1])
    xy = np.concatenate([rows.xy, np.full((1, *rows.xy.shape[1:]), np.nan, np.float32)])[source, joint]
    score = np.concatenate([rows.score, np.zeros((1, len(joint)), np.float32)])[source, joint]
    noise = np.concatenate([rows.noise_px, np.full((1, len(joint)), np.nan, np.float32)])[source, joint]
    own = rows[order]  # metric joints are about the hips of their own row
    metric = None if own.metric is None else np.where((source == order[:, None])[..., None], own.metric, np.nan)
    return own.with_columns(person=person, xy=xy, score=score, noise_px=noise, metric=metric)


def _attached_joints(kind: Skeleton) -> Ints:
    """Index in ``Skeleton.body`` (J,) of the joint that each joint moves with; -1 = it never moves."""
    body = kind.body.tolist()
    out = np.full(len(kind), -1, np.int64)
    for joint, name in enumerate(kind.joints):
        words = name.split("_")
        if joint in body:
            out[joint] = body.index(joint)
            continue
        for root, ends in _ATTACHED:
            side = words[0] if words[0] in ("left", "right") and root != "nose" else ""
            full = f"{side}_{root}" if side else root
            if set(words) & set(ends) and full in kind.joints and kind.joints.index(full) in body:
                out[joint] = body.index(kind.joints.index(full))
    return out
