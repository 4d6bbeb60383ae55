"""How accurate the reported joints are by their covariances, and who is seen by one view or none, when and by which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.reporting.figures import share, tidy
from mvcap.reporting.joint_sources import JointSource, joint_sources
from mvcap.reporting.reason import LIMITS, REFUSE, Reason
from mvcap.reporting.single_view_joints import SingleViewJoints, named_views, single_joint_reasons, view_shares
from mvcap.reporting.time_spans import bin_count, frame_bins, in_looked_frames, longest_spans, span_in_words
from mvcap.structures.poses import Poses3D
from mvcap.triangulation.reprojection_residuals import Histogram, Residuals

WANTED_MM = 50.0
_MOST, _HALF = 0.9, 0.5  # shares of the reported joints that must be as accurate as wanted
_RELEVANT = 0.05  # share of all joints that one view or none sees and that are missing or less accurate than wanted
_SPAN_S = 0.2
_SPANS = 3
_PLACES = 3  # places that a reason names
_KINDS = (JointSource.VIEWS, JointSource.ONE_VIEW, JointSource.NO_VIEW)


def worst_sigma_mm(cov: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the standard deviation (...) mm along the worst axis from covariances (..., 6) m^2; NaN where unknown.

    The largest eigenvalue of a symmetric matrix in closed form (Smith, 1961).
    """
    xx, xy, xz, yy, yz, zz = np.moveaxis(np.asarray(cov, np.float64), -1, 0)
    mean = (xx + yy + zz) / 3
    a, b, c = xx - mean, yy - mean, zz - mean
    spread = np.sqrt((a**2 + b**2 + c**2 + 2 * (xy**2 + xz**2 + yz**2)) / 6)
    determinant = a * (b * c - yz**2) - xy * (xy * c - yz * xz) + xz * (xy * yz - b * xz)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(spread > 0, determinant / (2 * spread**3), 0)
        largest = mean + 2 * spread * np.cos(np.arccos(np.clip(ratio, -1, 1)) / 3)
        return np.asarray(1000 * np.sqrt(np.where(largest >= 0, largest, np.nan)))


@dataclass(eq=False)
class _Person:
    """Counts of one person in the bins of the take."""

    rows: NDArray[np.int64]
    alone: NDArray[np.int64]
    """(B,) rows seen by one view or none."""
    joints: NDArray[np.int64]
    coarse: NDArray[np.int64]
    """(B,) reported joints that are less accurate than wanted."""
    by_view: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    """View that sees the person alone -> (B,) rows; -1: no view."""
    known: int = 0
    fine: int = 0
    sigma: Histogram = field(default_factory=lambda: Histogram(1, bins=300))


class AccuracyCounts:
    """Standard deviations of the joints and rows seen by one view or none, of a whole take, added chunk by chunk."""

    def __init__(self, frames: int, rate_hz: float, wanted_mm: float = WANTED_MM, step: int = 1) -> None:
        """Start with no counts. step: only the frames whose number it divides were looked at.

        The joints of the others count for the accuracy; what views see of them is unknown.
        """
        self.frames = frames
        self.rate_hz = rate_hz
        self.step = step
        self.wanted_mm = wanted_mm
        self._sigma = Histogram(len(JointSource))
        self._reported = np.zeros(len(JointSource), np.int64)
        self._known, self._fine = np.zeros(len(JointSource), np.int64), np.zeros(len(JointSource), np.int64)
        self._joints = 0
        self._looked = np.zeros(len(JointSource), np.int64)
        """Reported joints by source in the frames that were looked at."""
        self._rows = self._one = self._none = 0
        self._alone_joints = self._alone_bad = self._looked_joints = 0
        self._people: dict[int, _Person] = {}
        self._single = SingleViewJoints()

    def add(self, poses: Poses3D, found: Sequence[Residuals]) -> None:
        """Add a chunk of poses; found: the residuals of the same frames, which tell the views of each row."""
        if not len(poses):
            return
        source, sigma = joint_sources(poses), worst_sigma_mm(poses.cov)
        sigma = np.where(source == JointSource.MISSING, np.nan, sigma)
        known, fine = np.isfinite(sigma), sigma <= self.wanted_mm
        self._sigma.add(source.ravel(), sigma.ravel())
        for total, which in ((self._reported, source > 0), (self._known, known), (self._fine, fine)):
            total += np.bincount(source[which], minlength=len(total))
        self._joints += source.size
        looked = poses.frame % self.step == 0
        self._looked += np.bincount(source[looked].ravel(), minlength=len(JointSource))
        one, none, view = _rows_alone(source, _views_of_rows(len(poses), found))
        one, none = one & looked, none & looked
        alone = one | none
        bad = (source == JointSource.MISSING) | (sigma > self.wanted_mm)
        self._single.add(poses, found, bad, alone, looked)
        self._rows += int(looked.sum())
        self._one, self._none = self._one + int(one.sum()), self._none + int(none.sum())
        self._looked_joints += source[looked].size
        self._alone_joints += source[alone].size
        self._alone_bad += int((~fine[alone]).sum())
        bins = frame_bins(*in_looked_frames(poses.frame, self.frames, self.step))
        for person in np.unique(poses.person).tolist():
            mine = poses.person == person
            part = looked[mine], alone[mine], view[mine]
            self._add_person(person, bins[mine], source[mine], sigma[mine], *part)

    def _add_person(
        self, person: int, bins: NDArray[np.int64], source: NDArray[np.uint8], sigma: NDArray[np.float64],
        looked: NDArray[np.bool_], alone: NDArray[np.bool_], view: NDArray[np.int64],
    ) -> None:  # fmt: skip
        if person not in self._people:
            count = bin_count(in_looked_frames(np.empty(0, np.int64), self.frames, self.step)[1])
            rows, lonely, joints, coarse = np.zeros((4, count), np.int64)
            self._people[person] = _Person(rows, lonely, joints, coarse)
        one = self._people[person]
        np.add.at(one.rows, bins, looked)
        np.add.at(one.alone, bins, alone)
        np.add.at(one.joints, bins, (source > 0).sum(1))
        np.add.at(one.coarse, bins, (sigma > self.wanted_mm).sum(1))
        for which in np.unique(view[alone]).tolist():
            rows = one.by_view.setdefault(which, np.zeros(len(one.rows), np.int64))
            np.add.at(rows, bins[alone & (view == which)], 1)
        one.known += int(np.isfinite(sigma).sum())
        one.fine += int((sigma <= self.wanted_mm).sum())
        one.sigma.add(np.zeros(sigma.size, np.int64), sigma.ravel())

    def summary(self, views: Sequence[str]) -> dict[str, Any]:
        """Return the keys ``accuracy`` and ``one_view`` of a report, with None where a number is unknown.

        accuracy: ``wanted_mm``, ``share_within`` (of the reported joints with a covariance), ``share_reported`` (of all
        joints of the rows), ``median_mm``, ``p90_mm``, ``p95_mm``, ``by_source`` (the same for two views or more, one
        view, no view) and ``places`` where most joints are less accurate. one_view: shares of the joints and of the
        rows (a person in a frame) seen by one view and by none, ``share_uncertain`` (joints of these rows, of all
        joints, that are missing or less accurate than wanted), ``places`` (person, time, view or None, and shares of
        all such ``views``) and ``joints`` (of people of whom some joints are seen by one view or none).
        """
        reported = int(self._reported.sum())
        every = slice(None)
        return {
            "accuracy": {
                "wanted_mm": self.wanted_mm,
                "share_reported": share(reported, self._joints),
                **self._figures(every),
                "by_source": {
                    kind.name.lower(): {
                        "share_joints": share(int(self._reported[kind]), reported),
                        **self._figures(slice(int(kind), int(kind) + 1)),
                    }
                    for kind in _KINDS
                },
                "places": self._coarse_places(),
            },
            "one_view": {
                "share_joints": share(int(self._looked[JointSource.ONE_VIEW]), int(self._looked[1:].sum())),
                "share_joints_no_view": share(int(self._looked[JointSource.NO_VIEW]), int(self._looked[1:].sum())),
                "share_rows": share(self._one, self._rows),
                "share_rows_no_view": share(self._none, self._rows),
                "share_uncertain": share(self._alone_bad, self._looked_joints),
                "share_uncertain_of_these": share(self._alone_bad, self._alone_joints),
                "places": self._alone_places(views),
                "joints": self._single.summary(views),
            },
        }

    def people(self) -> dict[int, dict[str, Any]]:
        """Return each person's ``share_one_view`` (rows of one view or none), ``share_within`` and ``p90_mm``."""
        return {
            person: {
                "share_one_view": share(int(one.alone.sum()), int(one.rows.sum())),
                "share_within": share(one.fine, one.known),
                "p90_mm": tidy(one.sigma.quantile(0.9)),
            }
            for person, one in self._people.items()
        }

    def _figures(self, kinds: slice) -> dict[str, Any]:
        part = self._sigma.part(kinds)
        return {
            "share_within": share(int(self._fine[kinds].sum()), int(self._known[kinds].sum())),
            **{f"{name}_mm": tidy(part.quantile(q)) for name, q in (("median", 0.5), ("p90", 0.9), ("p95", 0.95))},
        }

    def _coarse_places(self) -> list[dict[str, Any]]:
        found = []
        for person, one in self._people.items():
            marked = (one.joints > 0) & (2 * one.coarse > one.joints)
            for begin, end in self._spans(marked):
                found.append({"person": person, "from_s": tidy(begin), "to_s": tidy(end)})
        return _longest_first(found)

    def _alone_places(self, views: Sequence[str]) -> list[dict[str, Any]]:
        found = []
        for person, one in self._people.items():
            for begin, end in self._spans((one.rows > 0) & (2 * one.alone > one.rows)):
                size = len(one.rows) * self.rate_hz / max(self.frames, 1)
                within = slice(round(begin * size), max(round(end * size), round(begin * size) + 1))
                by_view = {view: int(rows[within].sum()) for view, rows in one.by_view.items()}
                view = max(by_view, key=by_view.__getitem__)
                name = views[view] if view >= 0 else None
                place = {"person": person, "from_s": tidy(begin), "to_s": tidy(end), "view": name}
                found.append({**place, "views": view_shares(by_view, views)})
        return _longest_first(found)

    def _spans(self, marked: NDArray[np.bool_]) -> list[tuple[float, float]]:
        duration = self.frames / self.rate_hz
        return longest_spans(marked, duration, min(_SPAN_S, duration / 10), _SPANS)


def _views_of_rows(rows: int, found: Sequence[Residuals]) -> NDArray[np.int64]:
    """Number of joints (M, C) that each view sees of each row."""
    views = 1 + max((int(part.view.max(initial=-1)) for part in found), default=0)
    seen = np.zeros((rows, max(views, 1)), np.int64)
    for part in found:
        np.add.at(seen, (part.pose, part.view), part.seen.sum(1))
    return seen


def _rows_alone(
    source: NDArray[np.uint8], seen: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
    """Return which rows (M,) one view and which no view supports, and the view (M,) with most joints, -1 if none.

    A row that one view detected is seen by one view; so is one in which more joints rest on one view than on several.
    """
    views = (seen > 0).sum(1)
    none = views == 0
    one_rather = (source == JointSource.ONE_VIEW).sum(1) > (source == JointSource.VIEWS).sum(1)
    one = ~none & ((views == 1) | one_rather)
    return one, none, np.where(none, -1, seen.argmax(1))


def _longest_first(places: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(places, key=lambda place: place["from_s"] - place["to_s"])


def accuracy_reasons(summary: Mapping[str, Any]) -> Iterator[Reason]:
    """Reasons from the covariances at the accuracy that the user wants."""
    found = summary.get("accuracy") or {}
    within = found.get("share_within")
    if within is None or within >= _MOST:
        return
    places = _named(f"person {one['person']} {span_in_words(one)}" for one in found["places"][:_PLACES])
    yield Reason(
        REFUSE if within < _HALF else LIMITS,
        f"{1 - within:.0%} of the reported joints have a standard deviation above {found['wanted_mm']:g} mm along "
        f"their worst axis (median {found['median_mm']:.0f} mm, 10 % above {found['p90_mm']:.0f} mm){places}: leave "
        f"these joints out by their covariance, add views, or state the accuracy that is enough: report.wanted_mm",
    )


def one_view_reasons(summary: Mapping[str, Any]) -> Iterator[Reason]:
    """Reasons where people, or parts of them, that one view or none sees are uncertain and a relevant part."""
    found, wanted = summary.get("one_view") or {}, (summary.get("accuracy") or {}).get("wanted_mm")
    whole = (found.get("share_uncertain") or 0) > _RELEVANT
    yield from single_joint_reasons(summary, whole)
    if not whole:
        return
    one, none = found["share_rows"], found["share_rows_no_view"]
    unseen = f", and by none in {none:.0%}" if none >= 0.005 else ""
    places = _named(map(alone_place, found["places"][:_PLACES]))
    yield Reason(
        LIMITS,
        f"people are seen by one view only in {one:.0%} of their frames{unseen}{places}: the distance from that view "
        f"is estimated from limbs and motion, and {found['share_uncertain_of_these']:.0%} of the joints there are "
        f"missing or have a standard deviation above {wanted:g} mm: leave these times out, or add views that see them",
    )


def alone_place(place: Mapping[str, Any]) -> str:
    """Return a place of ``one_view`` in words."""
    if place["view"] is None:
        return f"person {place['person']} {span_in_words(place)} by no view"
    return (
        f"person {place['person']} {span_in_words(place)} by {named_views(place.get('views') or {place['view']: 1.0})}"
    )


def coarse_place(place: Mapping[str, Any], wanted_mm: float) -> str:
    """Return a place of ``accuracy`` in words."""
    return (
        f"person {place['person']} {span_in_words(place)}: most joints have a standard deviation above {wanted_mm:g} mm"
    )


def _named(places: Iterator[str]) -> str:
    listed = "; ".join(places)
    return f": {listed}" if listed else ""
