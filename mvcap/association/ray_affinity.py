"""Pairwise affinities from rays: log-likelihood ratios of "the same body" against "another person nearby".

A joint in a view is a ray whose noise follows from pixel noise, focal length and depth. Two rays of the same joint pass
each other within their noise; rays of different people pass at any distance. The ratio of the two densities is evidence
in nats. It adds up over views and is weak where the noise is as wide as a room. No gate in pixels or metres is needed.
A share of joints is wrong for other reasons, which bounds the evidence of one joint against a match.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.arrays import Floats
from mvcap.structures.anthropometry import body_scale, scale_noise
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import Skeleton

ELSEWHERE_M = 2.0
"""Range in metres over which another person's joint is uniformly distributed: the room that people share."""
WRONG = 0.08
"""Share of joints that are outliers regardless of noise."""
ALIKE = 0.3
"""Correlation of the errors of a body's joints in one view: thirteen joints count as much as three independent ones."""
_LEAST_RAD = 1e-5  # a hundredth of a pixel with an ordinary lens: the least noise of any ray
_SCALE_SIGMA = 0.2  # standard deviation of the logarithm of a body's size: measurement and population
_SCALE_RANGE = 2.0  # range of that logarithm for wrong pairs: a third to three times a human's size
EXCHANGE_NATS = 2.0
"""Prior against a left-right swap, nats: least gain before one is accepted, as swaps are rare."""


@dataclass(frozen=True)
class BodyRays:
    """Rays of the joints of M rows (one person in one view each)."""

    view: NDArray[np.integer]
    """(M,)"""
    origin: Floats
    """(M, 3) m"""
    direction: Floats
    """(M, J, 3) unit vectors, 0 where unseen."""
    variance: Floats
    """(M, J) rad^2 of each axis perpendicular to the ray, 0 where unseen."""
    seen: NDArray[np.bool_]
    """(M, J)"""

    @classmethod
    def of(cls, rows: Detections2D, rig: Rig, min_score: float = 0.0) -> BodyRays:
        """Rays of rows; joints with a lower score, or without a positive noise, count as unseen."""
        view = rows.view.astype(np.int64)
        order = np.argsort(view, kind="stable")
        count = np.bincount(view, minlength=len(rig))
        slot = np.empty(len(rows), np.int64)
        slot[order] = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
        seen = (rows.score >= min_score) & (rows.noise_px > 0) & np.isfinite(rows.xy).all(-1)
        seen = seen & np.isfinite(rows.noise_px)
        stacked = np.full((len(rig), int(count.max(initial=0)), len(rows.skeleton), 2), np.nan)
        stacked[view, slot] = np.where(seen[..., None], rows.xy, np.nan)
        direction = rig.rays(stacked)[1][view, slot]
        seen = seen & np.isfinite(direction).all(-1)
        angle = np.where(seen, rows.noise_px, 0).astype(np.float64) / rig.focal[view, None]
        angle = np.where(seen, np.clip(angle, _LEAST_RAD, 1), 0)
        return cls(view, rig.positions[view], np.where(seen[..., None], direction, 0), angle**2, seen)

    def __getitem__(self, rows: slice | NDArray[np.integer]) -> BodyRays:
        return BodyRays(self.view[rows], self.origin[rows], self.direction[rows], self.variance[rows], self.seen[rows])

    def exchanged(self, flip: NDArray[np.bool_], mirror: NDArray[np.int64]) -> BodyRays:
        """Return the rays with left and right swapped in the rows (M,), or joints of rows (M, J), of ``flip``."""
        if not flip.any():
            return self
        swap = flip if flip.ndim == 2 else flip[:, None]
        direction = np.where(swap[..., None], self.direction[:, mirror], self.direction)
        variance = np.where(swap, self.variance[:, mirror], self.variance)
        return BodyRays(self.view, self.origin, direction, variance, np.where(swap, self.seen[:, mirror], self.seen))

    def widened(self, variance: Floats) -> BodyRays:
        """Return the rays with the variance (C,) rad^2 of each view's calibration error added."""
        more = np.where(self.seen, variance[self.view, None], 0)
        return BodyRays(self.view, self.origin, self.direction, self.variance + more, self.seen)


@dataclass(frozen=True)
class RayDistances:
    """Distances between the rays of P pairs of rows, joint by joint."""

    square: Floats
    """(P, J) m^2 squared distance between the rays."""
    variance: Floats
    """(P, J) m^2 expected from noise; infinite for rays that are closest behind a camera; NaN where unseen."""
    middle: Floats
    """(P, J, 3) m midpoint of the closest points of both rays."""
    sine2: Floats
    """(P, J) squared sine of the angle between the rays; the variance along the rays grows by its inverse."""
    reach2: Floats
    """(P, J) m^2 sum of the squared depths of the closest points: the effect of an error of one radian."""

    def evidence(self, more: float = 0.0) -> Floats:
        """Evidence (P, J) in nats that the joint belongs to the same body; NaN where either row lacks it.

        ``more``: additional variance, rad^2, of both rays.
        """
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            variance = self.variance + more * self.reach2
            near = np.exp(-0.5 * self.square / variance) * (ELSEWHERE_M / np.sqrt(2 * np.pi * variance))
        return np.asarray(np.log((1 - WRONG) * near + WRONG))


def ray_distances(
    rays: BodyRays, first: NDArray[np.int64], second: NDArray[np.int64], other: BodyRays | None = None
) -> RayDistances:
    """Distances of rows ``first`` (P,) from rows ``second`` (P,) of ``other``, by default the same rays."""
    other = other or rays
    baseline = (other.origin[second] - rays.origin[first])[:, None]
    a, b = rays.direction[first], other.direction[second]
    both = rays.seen[first] & other.seen[second]
    cosine = _dot(a, b)
    sine2 = np.maximum(1 - cosine**2, 1e-9)
    along_a, along_b = _dot(baseline, a), _dot(baseline, b)
    depth_a, depth_b = (along_a - cosine * along_b) / sine2, (cosine * along_a - along_b) / sine2
    apart = baseline + depth_b[..., None] * b - depth_a[..., None] * a
    variance = rays.variance[first] * depth_a**2 + other.variance[second] * depth_b**2
    variance = np.where((depth_a > 0) & (depth_b > 0), np.maximum(variance, 1e-12), np.inf)
    middle = rays.origin[first][:, None] + depth_a[..., None] * a + 0.5 * apart
    return RayDistances(_dot(apart, apart), np.where(both, variance, np.nan), middle, sine2, depth_a**2 + depth_b**2)


def _dot(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.einsum("...x,...x->...", a, b))


def body_total(evidence: Floats) -> Floats:
    """Evidence (...) of bodies from that of their joints (..., J), NaN = unseen; errors in a view are correlated."""
    known = ~np.isnan(evidence)
    count = known.sum(-1)
    alike = np.maximum(1 + (count - 1) * ALIKE, 1)
    return np.asarray(np.where(known, evidence, 0).sum(-1) / alike)


def size_evidence(met: RayDistances, skeleton: Skeleton) -> Floats:
    """Evidence (P,) from the size of the bodies that pairs of rows give: a human's, against any size."""
    scale = body_scale(skeleton, np.where(np.isnan(met.variance)[..., None], np.nan, met.middle))
    sigma = np.hypot(_SCALE_SIGMA, scale_noise(skeleton, met.variance / met.sine2))
    sigmas = np.log(np.where(scale > 0, scale, 1e-9)) / sigma
    density = np.exp(-0.5 * sigmas**2) * _SCALE_RANGE / (np.sqrt(2 * np.pi) * sigma)
    evidence = np.log(0.95 * density + 0.05)
    return np.asarray(np.where(np.isfinite(scale), np.where(sigma > _SCALE_RANGE / 2, 0, evidence), 0))


def body_evidence(rays: BodyRays, xyz: Floats, cov: Floats, known: NDArray[np.bool_]) -> Floats:
    """Evidence (M, G, J) in nats that rows' joints are those of bodies xyz (G, J, 3), cov (G, J, 3, 3).

    ``known`` (G, J); NaN where a joint is unseen or unknown. The leading axes may also be (M, 1): one body for each
    row.
    """
    direction = rays.direction[:, None]
    off = xyz - rays.origin[:, None, None]
    depth = _dot(off, direction)
    across = np.maximum(_dot(off, off) - depth**2, 0)
    along = np.einsum("...x,...xy,...y->...", direction, cov, direction)
    spread = 0.5 * np.maximum(np.trace(cov, axis1=-2, axis2=-1) - along, 0)
    variance = rays.variance[:, None] * depth**2 + spread
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        near = np.exp(-0.5 * across / variance) * (ELSEWHERE_M**2 / (2 * np.pi * variance))
    out = np.log((1 - WRONG) * np.where(depth > 0, near, 0) + WRONG)
    return np.asarray(np.where(rays.seen[:, None] & known, out, np.nan))
