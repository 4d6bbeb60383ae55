"""What a check of a rig finds: changes of cameras, views with a time offset, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from calib.arrays import Bools, Floats
from calib.changes.evidence import CHANGE
from calib.changes.lags import Lags

Kind: TypeAlias = Literal["moved", "drifted", "zoomed"]
Status: TypeAlias = Literal["still", "late", "moved", "drifted", "zoomed", "unclear", "not seen enough"]
CheckVerdict: TypeAlias = Literal["unmoved", "moved", "wrong", "cannot tell"]

SYNCHRONISE = "synchronise the views, then check again where millimetres matter"
ASSUMES = (
    "all cameras turned and shifted together, as on one beam, look the same as before: that is not detected",
    "fewer than half of the cameras moved at once: the others are assumed to stand where they stood",
    "a time offset of a view is constant: it is estimated where the target moves from one moment to the next",
)


@dataclass(frozen=True, eq=False)
class Change:
    """A camera whose pose or zoom is different since a moment.

    since: index of the first moment after the change began, 0 where it was before the take; until: first moment at
    which it is complete, later than since for a slow drift; earliest, latest: 95 % interval of its beginning; moment,
    time_s: name and time of `since`, NaN without timestamps. rotation_deg, moved_m (of its position) and zoom (new
    focal length over old), each with one standard deviation; in_volume_m: RMS displacement of what the camera sees at
    the positions of the target. rivals: cameras whose change would explain the take as well. chance: probability that
    noise alone produces as much. motion (7,): rotation (rad) and shift (m) in the camera's frame, log of the zoom.
    """

    camera: str
    kind: Kind
    since: int
    until: int
    earliest: int
    latest: int
    moment: str
    time_s: float
    rotation_deg: float
    rotation_sigma_deg: float
    moved_m: float
    moved_sigma_m: float
    zoom: float
    zoom_sigma: float
    in_volume_m: float
    rivals: tuple[str, ...]
    chance: float
    motion: Floats

    def __str__(self) -> str:
        """In words: which camera, how far, since when."""
        who = " or ".join((self.camera, *self.rivals))
        parts = []
        if self.kind != "zoomed" and self.rotation_deg > 0:
            parts.append(f"turned by {self.rotation_deg:.2f} (± {self.rotation_sigma_deg:.2g}) degrees")
        if self.kind != "zoomed" and self.moved_m > 0:
            parts.append(f"moved by {1000 * self.moved_m:.1f} (± {1000 * self.moved_sigma_m:.2g}) mm")
        if self.zoom != 1:
            parts.append(f"zoomed by {100 * (self.zoom - 1):+.2f} (± {100 * self.zoom_sigma:.2g}) %")
        when = "since before the take" if self.since == 0 else f"since {self.moment}"
        if self.latest - self.earliest > 1:
            when += f" (moment {self.since}, between {self.earliest} and {self.latest})"
        how = "drifted: " if self.kind == "drifted" else ""
        return f"{who} {how}{' and '.join(parts)} {when}, {1000 * self.in_volume_m:.1f} mm in the volume"


@dataclass(frozen=True)
class LateView:
    """A view with a time offset against the median of all: late_s (ahead: negative) and its standard deviation, s.

    moments: the same in steps from one moment of the take to the next.
    """

    camera: str
    late_s: float
    sigma_s: float
    moments: float

    def __str__(self) -> str:
        """In words: which view, and by how much."""
        side = "late" if self.late_s > 0 else "early"
        return f"{self.camera} is {side} by {1000 * abs(self.late_s):.0f} ms ({abs(self.moments):.2f} frames)"


@dataclass(frozen=True)
class CameraCheck:
    """The result for one camera: RMS residuals px along each axis with the rig as given and with the changes found.

    Of free points, whose residuals have outliers, they are those of a normal distribution with the same median.

    shared: moments at which it saw points that another camera saw too; noise_px: measured noise of its observations;
    detectable_m: the smallest rotation in the middle of the take that would have been detected, as a displacement at
    the positions of the target.
    """

    name: str
    status: Status
    shared: int
    noise_px: float
    before_px: float
    after_px: float
    detectable_m: float


@dataclass(frozen=True, eq=False)
class Check:
    """A rig compared with a take.

    changes: those that matter, in the order of time; small: found, but too small to matter. late: views with a time
    offset, which is taken away before cameras are compared. off: factor on the trusted standard deviations that the
    whole rig needs, moved cameras aside; 1 where it is as good as trusted.
    """

    cameras: tuple[CameraCheck, ...]
    changes: tuple[Change, ...]
    small: tuple[Change, ...]
    off: float
    verdict: CheckVerdict
    reason: str
    next_action: str
    late: tuple[LateView, ...] = ()
    assumes: tuple[str, ...] = ASSUMES

    @property
    def moved(self) -> tuple[str, ...]:
        """Names of the cameras whose change is unambiguous."""
        return tuple(dict.fromkeys(change.camera for change in self.changes if not change.rivals))

    def summary(self) -> str:
        """One line: verdict, reason, and what to do."""
        return f"{self.verdict}: {self.reason}; next: {self.next_action}"


def late_views(names: tuple[str, ...], lags: Lags) -> tuple[LateView, ...]:
    """The views whose time offset is significant."""
    sure = lags.sure
    return tuple(
        LateView(names[view], float(sure[view]), float(lags.sigma_s[view]), float(sure[view] / lags.step_s))
        for view in np.flatnonzero(sure)
    )


def along_vector(vector: Floats, covariance: Floats) -> float:
    """Standard deviation along a vector; along the worst direction where it is zero."""
    size = float(np.linalg.norm(vector))
    if size == 0:
        return float(np.sqrt(max(np.linalg.eigvalsh(covariance)[-1], 0)))
    return float(np.sqrt(np.maximum(vector @ covariance @ vector, 0))) / size


def given_zero(motion: Floats, spread: Floats, kept: Bools) -> tuple[Floats, Floats]:
    """A normal motion (7,) and its covariance (7, 7) where the numbers that are not kept are known to be zero."""
    gone = ~kept
    pull = spread[np.ix_(kept, gone)] @ np.linalg.inv(spread[np.ix_(gone, gone)])
    out, covariance = np.zeros(CHANGE), np.zeros((CHANGE, CHANGE))
    out[kept] = motion[kept] - pull @ motion[gone]
    covariance[np.ix_(kept, kept)] = spread[np.ix_(kept, kept)] - pull @ spread[np.ix_(gone, kept)]
    return out, covariance
