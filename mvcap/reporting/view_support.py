"""Whether the other views confirm the people on whom two views agree: the test of a calibration against the pictures.

Two views agree by chance on people who are not there. A third view that has such a person in its picture does not see
them; where the calibration fits, it does, unless something hides them. The share of further views that confirm people
is near 0 for a calibration that has nothing to do with the pictures, and 0.5 to 1 in crowded to empty real rooms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.reporting.figures import share, tidy
from mvcap.reporting.reason import LIMITS, REFUSE, Reason
from mvcap.structures.poses import Poses3D, missing_joints
from mvcap.triangulation.reprojection_residuals import USED_SIGMA, Residuals

_INSIDE = 0.7  # share of a body inside the image that counts as in the picture
_SMALLER = 1 / 3  # a person shown this much smaller than in the best view need not be found
_JOINTS = 3  # joints within their noise with which a view confirms a person
_REFUTED, _DOUBTFUL = 0.1, 0.25  # share of further views that confirm people
_LOOKS = 3  # independent observations before a share counts
_CHANCE = 0.01  # probability that any real person is taken for one whom no further view confirms
_FARTHER = 30.0  # a camera that is so many times farther from the people than the nearest has another unit of length
_TOGETHER = 0.1  # share of a view's people that it must share with another to be of its group
_FALSE_SHARE, _MANY_FALSE = 0.02, 0.25  # share of the rows that belong to people whom no other view confirms


class _Person:
    """Counts of one person by view."""

    def __init__(self, views: int) -> None:
        self.rows = 0
        self.confirmed = self.possible = 0
        self.missed = np.zeros(views, np.int64)
        """(C,) rows of at least two other views that the view does not confirm, though it has them in the picture."""
        self.supported = np.zeros(views, np.int64)


class ViewSupport:
    """Counts of views that have people in the picture and of those that confirm them, added chunk by chunk."""

    def __init__(self, rig: Rig, rate_hz: float) -> None:
        self._rig = rig
        self._rate_hz = rate_hz
        self._size = np.array([camera.lens.size for camera in rig])[:, None, None]
        views = len(rig)
        self._seen, self._could = np.zeros(views, np.int64), np.zeros(views, np.int64)
        self._both = np.zeros((views, views), np.int64)
        self._away_m, self._rows = np.zeros(views), 0
        self._people: dict[int, _Person] = {}

    def add(self, poses: Poses3D, found: Sequence[Residuals]) -> None:
        """Add a chunk of poses and the residuals of the same frames."""
        if not len(poses):
            return
        supports, visible = self._supports(poses, found), self._in_picture(poses)
        xyz = poses.xyz[:, poses.skeleton.body].astype(np.float64)
        known = ~missing_joints(xyz)
        middle = np.where(known[..., None], xyz, 0).sum(1) / np.maximum(known.sum(1), 1)[:, None]
        away = np.linalg.norm(middle - self._rig.positions[:, None], axis=-1)
        self._away_m += away.sum(1)
        self._rows += len(poses)
        scale = self._rig.focal[:, None] / np.maximum(away, 1e-9)  # (C, M) px of a metre
        visible &= scale > _SMALLER * np.where(supports, scale, 0).max(0)
        visible |= supports
        count, possible = supports.sum(0), visible.sum(0)
        others = (count - supports >= 2) & visible
        self._seen += (supports & others).sum(1)
        self._could += others.sum(1)
        self._both += np.einsum("cm,dm->cd", supports.astype(np.int64), supports.astype(np.int64))
        open_rows = (count >= 2) & (possible > 2)
        for person in np.unique(poses.person).tolist():
            mine = poses.person == person
            one = self._people.setdefault(person, _Person(len(self._rig)))
            one.rows += int(mine.sum())
            one.confirmed += int((count - 2)[mine & open_rows].sum())
            one.possible += int((possible - 2)[mine & open_rows].sum())
            one.missed += (visible & ~supports)[:, mine & open_rows].sum(1)
            one.supported += supports[:, mine].sum(1)

    def _supports(self, poses: Poses3D, found: Sequence[Residuals]) -> NDArray[np.bool_]:
        """Which views (C, M) have a detection of the person with enough joints where the pose is."""
        out = np.zeros((len(self._rig), len(poses)), np.bool_)
        for part in found:
            agrees = (part.normalised[:, poses.skeleton.body] <= USED_SIGMA).sum(1) >= _JOINTS
            out[part.view[agrees], part.pose[agrees]] = True
        return out

    def _in_picture(self, poses: Poses3D) -> NDArray[np.bool_]:
        """Which views (C, M) have most of the body's known joints inside the image."""
        xyz = poses.xyz[:, poses.skeleton.body].astype(np.float64)
        xy = self._rig.project(xyz)
        with np.errstate(invalid="ignore"):
            inside = ((xy >= 0) & (xy < self._size)).all(-1)
        known = (~missing_joints(xyz)).sum(1)
        return np.asarray(inside.sum(-1) >= np.maximum(_INSIDE * known, _JOINTS))

    def summary(self) -> dict[str, Any]:
        """Return the key ``confirmation`` of a report.

        ``share``: of the further views that have people on whom two views agree in the picture, the share that confirms
        them; None with two views, or where no further view has them in the picture. ``looks``: independent
        observations behind it. ``per_view``: the same of each view. ``false``: people whom no further view confirms.
        ``share_false``: their share of all rows. ``groups``: names of the views that see people together, the largest
        group first; one group where the calibration fits. ``far_m``: mean distance from the people of the views that
        are many times farther from them than the nearest.
        """
        confirmed = sum(one.confirmed for one in self._people.values())
        possible = sum(one.possible for one in self._people.values())
        false = self._unconfirmed_people()
        rows = sum(one.rows for one in self._people.values())
        return {
            "share": share(confirmed, possible),
            "looks": sum(int(self._looks(one).sum()) for one in self._people.values()),
            "per_view": [share(int(a), int(b)) for a, b in zip(self._seen, self._could, strict=True)],
            "false": false,
            "share_false": share(sum(self._people[one["person"]].rows for one in false), rows),
            "groups": self._groups(),
            "far_m": self._far_views(),
        }

    def _looks(self, one: _Person) -> NDArray[np.int64]:
        """Independent observations (C,) in which a view misses the person, one a second: occlusions last."""
        return np.minimum(one.missed, np.ceil(one.missed / self._rate_hz).astype(np.int64))

    def _far_views(self) -> dict[str, float | None]:
        away = self._away_m / max(self._rows, 1)
        return {self._rig.names[view]: tidy(away[view]) for view in np.flatnonzero(away > _FARTHER * away.min())}

    def _groups(self) -> list[list[str]]:
        """Names of the views that see people together with other views, a list a group."""
        own = np.diag(self._both)
        linked = self._both > _TOGETHER * np.minimum(own[:, None], own)
        linked |= np.eye(len(own), dtype=np.bool_)
        for middle in range(len(own)):
            linked |= linked[:, [middle]] & linked[[middle]]
        first = sorted({int(np.flatnonzero(row)[0]) for row in linked})
        groups = [[self._rig.names[view] for view in np.flatnonzero(linked[at])] for at in first]
        return sorted((group for group in groups if len(group) > 1), key=len, reverse=True)

    def _unconfirmed_people(self) -> list[dict[str, Any]]:
        """People of whom no further view sees anything, though that is improbable by what it sees of the others."""
        found = []
        confirmed = sum(one.confirmed for one in self._people.values())
        possible = sum(one.possible for one in self._people.values())
        for person, one in sorted(self._people.items()):
            if not one.possible or one.confirmed > _REFUTED * one.possible:
                continue
            rest = possible - one.possible
            usual = (confirmed - one.confirmed) / rest if rest else 0.0
            if (1 - usual) ** int(self._looks(one).sum()) < _CHANCE / len(self._people):
                names = self._rig.names
                found.append(
                    {
                        "person": person,
                        "by": [names[view] for view in np.flatnonzero(one.supported > one.rows / 4)],
                        "not_by": [names[view] for view in np.flatnonzero(one.missed > one.rows / 4)],
                    }
                )
        return found


def calibration_reasons(summary: Mapping[str, Any]) -> Iterator[Reason]:
    """Reasons from views that do not confirm the people of others, or whose pictures are exchanged."""
    found, agreement = summary.get("confirmation") or {}, summary.get("agreement") or {}
    if agreement.get("exchanged"):
        yield _exchange_reason(agreement)
        return
    if found.get("far_m"):
        yield _unit_reason(found["far_m"])
    matched = [v["share_matched"] for v in summary["per_view"] if v.get("share_matched") is not None]
    confirmed = found.get("share") if found.get("looks", 0) >= _LOOKS else None
    hardly = bool(matched) and bool(summary["people"]) and float(np.median(matched)) < _REFUTED / 2
    hardly = hardly and not (found.get("share") or 0) > 2 * _DOUBTFUL
    if not hardly and (confirmed is None or confirmed >= _DOUBTFUL):
        yield from _false_people(found)
        return
    parts = []
    if confirmed is not None:
        parts.append(
            f"where two views agree on a person, only {confirmed:.0%} of the other views that have the person in the "
            f"picture see them there"
        )
    if len(found.get("groups", [])) > 1:
        listed = ", and ".join(" and ".join(group) for group in found["groups"])
        parts.append(f"{listed} agree only among themselves")
    if hardly:
        parts.append(f"the views use {min(matched):.0%} to {max(matched):.0%} of their detections")
    yield Reason(
        REFUSE if hardly or (confirmed or 0) < _REFUTED else LIMITS,
        f"the calibration does not fit the pictures: {'; '.join(parts)}: check that it is the calibration of this "
        f"take, the order of the cameras, the image size and the synchronisation; calibrate again if cameras moved",
    )


def _unit_reason(far_m: Mapping[str, float]) -> Reason:
    listed = ", ".join(f"{name} ({away:,.0f} m)" for name, away in far_m.items())
    return Reason(
        REFUSE,
        f"the calibration places {listed} far from the people of the other views, as if its lengths were millimetres "
        f"or centimetres beside metres: write all cameras in one unit, then run again",
    )


def _exchange_reason(agreement: Mapping[str, Any]) -> Reason:
    moved = agreement["exchanged"]
    names = list(moved)
    each = "; ".join(f"{view} shows what {camera} should see" for view, camera in moved.items())
    what = (
        f"of {names[0]} and {names[1]} seem to be exchanged"
        if len(names) == 2
        else f"of {', '.join(names)} seem to be mixed up"
    )
    return Reason(
        REFUSE,
        f"the pictures {what} ({each}): put right, the views agree by {agreement['put_right']:.0%}, as given by "
        f"{agreement['as_given']:.0%}, and people appear where nobody is: exchange the videos or detections of these "
        f"views (or the names in the calibration) and reconstruct again",
    )


def _false_people(found: Mapping[str, Any]) -> Iterator[Reason]:
    false = found.get("false", [])
    if not false or (found["share_false"] or 0) < _FALSE_SHARE:
        return
    listed = "; ".join(false_person(one) for one in false[:3])
    yield Reason(
        REFUSE if found["share_false"] >= _MANY_FALSE else LIMITS,
        f"{len(false)} of the people may not be there ({found['share_false']:.0%} of all person-frames): {listed}: "
        f"check them in the overlays, and the calibration and the order of these cameras",
    )


def false_person(one: Mapping[str, Any]) -> str:
    """Return in words which views see a person whom others do not confirm."""
    return f"person {one['person']}, seen by {' and '.join(one['by'])}, is not where {' and '.join(one['not_by'])} look"
