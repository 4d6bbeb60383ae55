"""Observations of a target by several cameras: one dense table, and the refused images with their reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Bools, Floats
from calib.errors import CalibrationError
from calib.targets import Target


@dataclass(frozen=True)
class Refusal:
    """An image, or the detection in it, that is not used, and the reason in words for the user."""

    view: str
    moment: str
    reason: str


@dataclass(frozen=True, eq=False)
class Observations:
    """Image points of the N points of one target in C cameras at T moments.

    xy (C, T, N, 2) px, NaN where not seen; sigma (C, T, N) px, the standard deviation that the detector expects of each
    coordinate (blur, small squares and corners at the rim make it larger), NaN with xy; sizes (w, h) px of each camera;
    time_s (C, T) s, NaN where a camera has no image (or the views have no common time base); moments: a name for each,
    for the user ("12.40 s", "IMG_0012.jpg"). Moments without any observation need not be kept.
    """

    target: Target
    views: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    xy: Floats
    sigma: Floats
    time_s: Floats
    moments: tuple[str, ...]
    refused: tuple[Refusal, ...] = field(default=())

    def __post_init__(self) -> None:
        shape = (len(self.views), len(self.moments), len(self.target))
        xy, sigma, time_s = (np.asarray(part, np.float64) for part in (self.xy, self.sigma, self.time_s))
        if xy.shape != (*shape, 2) or sigma.shape != shape or time_s.shape != shape[:2] or len(self.sizes) != shape[0]:
            raise CalibrationError(
                f"observations of {shape[0]} views, {shape[1]} moments and {shape[2]} points do not fit together: "
                f"xy {xy.shape}, sigma {sigma.shape}, time {time_s.shape}, {len(self.sizes)} sizes"
            )
        missing = ~(np.isfinite(xy).all(-1) & np.isfinite(sigma) & (sigma > 0))
        object.__setattr__(self, "xy", np.where(missing[..., None], np.nan, xy))
        object.__setattr__(self, "sigma", np.where(missing, np.nan, sigma))
        object.__setattr__(self, "time_s", time_s)

    @property
    def seen(self) -> Bools:
        """Which points are seen, (C, T, N)."""
        return np.asarray(np.isfinite(self.sigma))

    def at(self, moments: NDArray[np.bool_] | NDArray[np.intp]) -> Observations:
        """The observations at some moments only."""
        names = np.array(self.moments, object)[moments]
        xy, sigma, time_s = self.xy[:, moments], self.sigma[:, moments], self.time_s[:, moments]
        return replace(self, xy=xy, sigma=sigma, time_s=time_s, moments=tuple(names))

    def of(self, views: Sequence[str]) -> Observations:
        """The observations of some views only, in the order given."""
        rows = [self.views.index(view) for view in views]
        return replace(
            self,
            views=tuple(views),
            sizes=tuple(self.sizes[row] for row in rows),
            xy=self.xy[rows],
            sigma=self.sigma[rows],
            time_s=self.time_s[rows],
            refused=tuple(refusal for refusal in self.refused if refusal.view in views),
        )

    def refusing(self, refusals: Sequence[Refusal]) -> Observations:
        """The observations without those of some views at some moments; the reasons are kept."""
        sigma = np.array(self.sigma)
        for refusal in refusals:
            sigma[self.views.index(refusal.view), self.moments.index(refusal.moment)] = np.nan
        return replace(self, sigma=sigma, refused=(*self.refused, *refusals))
