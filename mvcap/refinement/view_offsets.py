"""One time offset a view within the least squares of a person's window: what is left of it after synchronisation.

A view that is late by tau frames shows a joint that moves at v px a frame v tau px further on. The offsets of all views
are estimated together with corrections of all joints, which are eliminated (Schur complement): what moves the joints of
all views along their way cannot be told from a delay common to all, and stays with the prior. Velocities are noisy,
which would draw offsets towards zero; two of each are taken from different frames, one as instrument of the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from calib.arrays import Floats
from mvcap.refinement.observations import Observations2D

_ALIKE = 20.0  # residuals that count as one independent one: errors last for half a second, and joints move together
_OUTLIER_SIGMA = 4.0
_CERTAIN = 1e-3  # frames: no prior is narrower
_ROUNDS = 2


def at_refined_times(observations: Observations2D, sigma_frames: Floats) -> Observations2D:
    """Return the observations moved to common times by the estimated offsets of the views; and the points with them.

    sigma_frames (C,): standard deviation of each view's offset as synchronisation states it; all 0 = nothing is moved.
    """
    if not np.any(sigma_frames > 0):
        return observations
    for _ in range(_ROUNDS):
        observations = _moved_once(observations, sigma_frames)
    return observations


def _moved_once(observations: Observations2D, sigma_frames: Floats) -> Observations2D:
    found = _Linear.of(observations)
    step = np.nan_to_num(found.velocity * found.solve(sigma_frames)[:, None, None, None])
    pull = np.einsum("ctj,ctjak,ctja->tjk", found.weight, found.slope, step)
    point = observations.point - np.einsum("tjkl,tjl->tjk", found.inverse, pull)
    return replace(observations, xy=observations.xy - step, point=point)


def estimate_offsets(observations: Observations2D, sigma_frames: Floats) -> Floats:
    """Return the offset (C,) of each view, frames: late ones are above 0. sigma_frames (C,): of the prior."""
    return _Linear.of(observations).solve(sigma_frames)


@dataclass(frozen=True)
class _Linear:
    """The residuals as a linear function of offsets and joints, with robust weights."""

    velocity: Floats
    """(C, T, J, 2) px a frame, NaN where unknown; from the frames two away."""
    instrument: Floats
    """(C, T, J, 2) likewise, from the frames beside; 0 where not used, as all below."""
    off: Floats
    """(C, T, J, 2) px"""
    slope: Floats
    """(C, T, J, 2, 3) px/m"""
    weight: Floats
    """(C, T, J) 1/px^2"""
    inverse: Floats
    """(T, J, 3, 3) m^2"""

    @classmethod
    def of(cls, observations: Observations2D) -> _Linear:
        projected, slope = observations.rig.project_with_jacobian(observations.point)
        velocity, instrument = _difference(projected, 2), _difference(projected, 1)
        sigma = observations.noise_px * observations.noise_scale()
        off = observations.xy - projected
        good = np.isfinite(off + velocity + instrument).all(-1) & np.isfinite(slope).all((-1, -2))
        good &= np.linalg.norm(np.nan_to_num(off), axis=-1) < _OUTLIER_SIGMA * sigma
        good &= good.sum(0) > 1
        weight = np.where(good, 1 / sigma**2, 0.0)
        slope = np.where(good[..., None, None], slope, 0)
        off, instrument = (np.where(good[..., None], of, 0) for of in (off, instrument))
        information = np.einsum("ctj,ctjak,ctjal->tjkl", weight, slope, slope)
        inverse = np.zeros_like(information)
        seen = good.any(0)
        inverse[seen] = np.linalg.pinv(information[seen], hermitian=True)
        return cls(velocity, instrument, off, slope, weight, inverse)

    def solve(self, sigma_frames: Floats) -> Floats:
        """Offsets (C,) frames, with all joints free."""
        views = np.arange(len(self.weight))
        velocity = np.nan_to_num(self.velocity)
        along = [np.einsum("ctj,ctja,ctjak->ctjk", self.weight, of, self.slope) for of in (self.instrument, velocity)]
        normal = -np.einsum("ctjk,tjkl,dtjl->cd", along[0], self.inverse, along[1])
        normal[views, views] += np.einsum("ctj,ctja,ctja->c", self.weight, self.instrument, velocity)
        pull = np.einsum("ctj,ctjak,ctja->tjk", self.weight, self.slope, self.off)
        right = np.einsum("ctj,ctja,ctja->c", self.weight, self.instrument, self.off)
        right -= np.einsum("ctjk,tjkl,tjl->c", along[0], self.inverse, pull)
        prior = np.diag(1 / np.maximum(sigma_frames, _CERTAIN) ** 2)
        return np.asarray(np.linalg.solve(normal / _ALIKE + prior, right / _ALIKE))


def _difference(projected: Floats, reach: int) -> Floats:
    """Velocities (C, T, J, 2) px a frame from the frames `reach` away on both sides; NaN where there are none."""
    out = np.full(projected.shape, np.nan)
    if projected.shape[1] > 2 * reach:
        out[:, reach:-reach] = (projected[:, 2 * reach :] - projected[:, : -2 * reach]) / (2 * reach)
    return out
