"""Joints of each person that are missing or inaccurate because only one view, or none, detected them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.reporting.figures import share, tidy
from mvcap.reporting.reason import LIMITS, Reason
from mvcap.structures.poses import Poses3D
from mvcap.triangulation.reprojection_residuals import Residuals

_RELEVANT = 0.05  # share of a person's joints
_RELEVANT_OF_TAKE = 0.01  # share of the joints of all people
_NAMED = 3  # persons that a reason names
_SMALL = 0.05  # views with a smaller share are not named
_PARTS = {
    "head": {"nose", "eye", "ear", "mouth", "head", "top", "bottom"},
    "trunk": {"neck", "thorax", "pelvis", "shoulder", "hip"},
    "arms": {"elbow", "wrist"},
    "hands": {"thumb", "index", "pinky", "hand"},
    "legs": {"knee", "ankle"},
    "feet": {"toe", "heel", "foot"},
}
_ONE_OF = {"arms": "arm", "hands": "hand", "legs": "leg", "feet": "foot"}


@dataclass(eq=False)
class _Person:
    rows: int
    detected: NDArray[np.int64]
    """(J,) rows in which a view or more detected the joint."""
    one: NDArray[np.int64]
    """(J,) rows in which one view detected the joint and it is missing or less accurate than wanted."""
    none: NDArray[np.int64]
    """(J,) the same where no view detected the joint."""
    alone: int = 0
    """Joints of ``one`` in rows that one view or none supports as a whole."""
    by_view: dict[int, int] = field(default_factory=dict)


class SingleViewJoints:
    """Counts of joints that one view or none detected and that are missing or inaccurate, added chunk by chunk."""

    def __init__(self) -> None:
        self._people: dict[int, _Person] = {}
        self._joints: tuple[str, ...] = ()

    def add(
        self, poses: Poses3D, found: Sequence[Residuals], bad: NDArray[np.bool_], alone: NDArray[np.bool_],
        looked: NDArray[np.bool_],
    ) -> None:  # fmt: skip
        """Add a chunk of poses and the residuals of the same frames.

        bad: joints (M, J) that are missing or less accurate than wanted; alone: rows (M,) of one view or none; looked:
        rows (M,) of frames that were looked at, the others do not count.
        """
        self._joints = poses.skeleton.joints
        views, which = np.zeros((2, *bad.shape), np.int64)
        for part in found:
            np.add.at(views, part.pose, part.seen)
            np.maximum.at(which, part.pose, np.where(part.seen, part.view[:, None], 0))
        one, none = bad & (views == 1), bad & (views == 0)
        for person in np.unique(poses.person[looked]).tolist():
            mine = (poses.person == person) & looked
            if person not in self._people:
                self._people[person] = _Person(0, *np.zeros((3, bad.shape[1]), np.int64))
            counts = self._people[person]
            counts.rows += int(mine.sum())
            counts.detected += (views[mine] > 0).sum(0)
            counts.one += one[mine].sum(0)
            counts.none += none[mine].sum(0)
            counts.alone += int(one[mine & alone].sum())
            for view, count in enumerate(np.bincount(which[mine][one[mine]]).tolist()):
                if count:
                    counts.by_view[view] = counts.by_view.get(view, 0) + count

    def summary(self, views: Sequence[str]) -> list[dict[str, Any]]:
        """Return the people of whom more than 5 % of the joints are missing or inaccurate for want of views.

        Each: ``person``, ``share`` of the joints that any view detected, ``share_of_take``, ``share_alone`` (the part
        in which the whole person is seen by one view or none), ``parts``, ``joints`` and ``views`` (name: share).
        A joint that no view detects in some frames counts by the share of frames in which one does: that of one false
        detection hardly, that of legs behind a table half of the time.
        """
        found = []
        whole = sum(int(one.detected.sum()) for one in self._people.values())
        for person, one in self._people.items():
            rate = one.detected / max(one.rows, 1)
            bad = one.one + rate * one.none
            every = float((one.detected + rate * one.none).sum())
            if bad.sum() <= _RELEVANT * every:
                continue
            named = [self._joints[at] for at in np.flatnonzero(2 * bad >= bad.max())]
            found.append(
                {
                    "person": person,
                    "share": share(float(bad.sum()), every),
                    "share_of_take": share(float(bad.sum()), max(whole, every)),
                    "share_alone": tidy((one.alone + float((rate * one.none).sum() if one.alone else 0)) / every),
                    "parts": body_parts(named),
                    "joints": named,
                    "views": view_shares(one.by_view, views),
                }
            )
        return sorted(found, key=lambda one: -one["share_of_take"])


def body_parts(joints: Sequence[str]) -> list[str]:
    """Return the parts of the body to which joints belong: "legs", or "left leg" where all are of one side."""
    sides: dict[str, set[str]] = {}
    for joint in joints:
        words = joint.split("_")
        part = next((name for name, ends in _PARTS.items() if ends & {words[0], words[-1]}), joint)
        sides.setdefault(part, set()).add(words[0] if words[0] in ("left", "right") else "")
    out = []
    for part in [*(name for name in _PARTS if name in sides), *(name for name in sides if name not in _PARTS)]:
        (side, *others) = sides[part]
        out.append(f"{side} {_ONE_OF[part]}" if part in _ONE_OF and side and not others else part)
    return out


def view_shares(counts: Mapping[int, int], views: Sequence[str]) -> dict[str, float | None]:
    """Return the share of each view, by name, in counts by view, the largest first; a view of -1 (none) is left out."""
    known = {view: count for view, count in counts.items() if view >= 0 and count}
    order = sorted(known, key=lambda view: (-known[view], view))
    return {views[view]: share(known[view], sum(known.values())) for view in order}


def named_views(shares: Mapping[str, float | None]) -> str:
    """Return views and shares in words: "cam2 only", or "one view at a time: cam1 (60%), cam2 (40%)"."""
    large = {name: part for name, part in shares.items() if (part or 0) >= _SMALL} or dict(list(shares.items())[:1])
    if len(large) == 1:
        return f"{next(iter(large))} only"
    return "one view at a time: " + ", ".join(f"{name} ({part:.0%})" for name, part in large.items())


def single_joint_reasons(summary: Mapping[str, Any], whole_person_said: bool = False) -> Iterator[Reason]:
    """Reason where joints of people, rather than whole people, are uncertain because one view or none detected them.

    whole_person_said: whether another reason names the times in which one view sees the whole person.
    """
    relevant = [
        one for one in (summary.get("one_view") or {}).get("joints", [])
        if (one["share_of_take"] or 0) > _RELEVANT_OF_TAKE
        and not (whole_person_said and 2 * one["share_alone"] > one["share"])
    ]  # fmt: skip
    if not relevant:
        return
    wanted = summary["accuracy"]["wanted_mm"]
    more = f"; and {len(relevant) - _NAMED} more" if len(relevant) > _NAMED else ""
    yield Reason(
        LIMITS,
        f"joints that one view or none detected are missing or have a standard deviation above {wanted:g} mm: "
        f"{'; '.join(map(single_joint_place, relevant[:_NAMED]))}{more}: leave these joints out, or add views that see "
        f"them",
    )


def single_joint_place(one: Mapping[str, Any]) -> str:
    """Return a person of ``one_view.joints`` in words: how much, which parts and by which views."""
    parts = ", ".join(one["parts"])
    by = named_views(one["views"]) if one["views"] else "no view"
    return f"person {one['person']}: {one['share']:.0%} of the joints ({parts}), detected by {by}"
