"""Root depth ``reprojection``: the root from which the lifted joints fall on their pixels. Nothing is learned.

The root is the weighted least-squares solution of the angles between the rays through the lifted joints and the rays
through the pixels, by Gauss-Newton steps. The variance of an angle is that of the pixels plus that of the lifted joint
across the ray, over the squared distance; joints far off are weighted down as by Student's t (K. L. Lange, R. J. A.
Little, J. M. G. Taylor, "Robust Statistical Modeling Using the t Distribution", JASA 84, 1989). The covariance of the
root follows from the normal matrix; the size of the body, which all frames share, is not in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calib.arrays import Bools, Floats
from mvcap.errors import ConfigError
from mvcap.structures.ray_frames import turns_to_rays
from mvcap.structures.view_track import LiftedBody, RootDistances, ViewTrack

_STEPS = 8
_LONGEST_STEP = 0.5  # of the distance
_FREEDOM = 4.0  # degrees of freedom of Student's t
_LEAST_JOINTS = 2  # one ray tells no distance
_LEAST_RAD = 1e-5  # of a pixel's noise: exact detections keep a finite weight


@dataclass(frozen=True)
class ReprojectionConfig:
    """Settings of the root depth ``reprojection``."""

    correlated: float = 9.0
    """Factor on the variance of the root that the normal matrix gives: errors of a body's joints are not independent.
    Measured on the demo takes; change it only with measurements."""
    together: float = 0.1
    """Share of the variance of the lifted joints that all of them have in common, as they are about one root. Measured
    as well."""

    def __post_init__(self) -> None:
        if not (self.correlated > 0 and 0 <= self.together <= 1):
            raise ConfigError("reprojection: correlated must be above 0, together from 0 to 1")


@dataclass(frozen=True)
class GivenDistances:
    """Distances of the root that are known from elsewhere than the pixels of the joints."""

    metres: Floats
    """(T,) m, NaN where unknown."""
    share: Floats
    """(T,) standard deviation as a share of the distance."""


class Reprojection:
    """Root depth ``reprojection``: the lifted joints fall on their pixels; no learning."""

    Config = ReprojectionConfig

    def __init__(self, config: ReprojectionConfig) -> None:
        self.config = config

    def place(self, track: ViewTrack, body: LiftedBody) -> RootDistances:
        """Return the root of every frame; NaN where fewer than two joints are both seen and lifted."""
        return fitted_roots(track, body, self.config)


def fitted_roots(
    track: ViewTrack,
    body: LiftedBody,
    config: ReprojectionConfig,
    given: GivenDistances | None = None,
    only_given: bool = False,
) -> RootDistances:
    """Return the roots of a track that agree best with its pixels, and with given distances if there are any.

    only_given: the distance is the given one, and the pixels tell the direction alone. Raises ValueError if the body
    is not one of the track's frames and joints.
    """
    if body.joints.shape != (*track.xy.shape[:2], 3):
        raise ValueError(f"the body has the shape {body.joints.shape}, the track {track.xy.shape[:2]}")
    problem = _Problem.of(track, body)
    root = _start(problem)
    if only_given and given is not None:
        root *= (given.metres / np.linalg.norm(root, axis=-1))[:, None]
    for _ in range(_STEPS):
        matrix, slope = _with_given(*problem.normal(root, config.correlated), root, given, only_given)
        root = _moved(root, _solved(matrix, slope), given if only_given else None)
    matrix, _ = _with_given(*problem.normal(root, config.correlated), root, given, only_given)
    covariance = _inverted(matrix) + config.together * problem.usual_covariance
    return _distances(root, covariance, problem.known, body.scale_sigma)


@dataclass(frozen=True)
class _Problem:
    """The joints that are both seen and lifted; values of others are of no meaning."""

    joints: Floats
    """(T, J, 3) m about the root"""
    covariance: Floats
    """(T, J, 3, 3) m^2"""
    rays: Floats
    """(T, J, 3)"""
    across: Floats
    """(T, J, 2, 3) unit vectors across the rays"""
    angle: Floats
    """(T, J) rad, noise of the pixels"""
    known: Bools
    """(T, J)"""

    @classmethod
    def of(cls, track: ViewTrack, body: LiftedBody) -> _Problem:
        rays, angle = track.rays(), track.noise_rad()
        values = (rays.sum(-1), angle, body.joints.sum(-1), body.covariance.sum((-1, -2)))
        known = np.all([np.isfinite(value) for value in values], axis=0)
        rays = np.where(known[..., None], rays, (0.0, 0.0, 1.0))
        across = turns_to_rays(rays)[..., :2].swapaxes(-1, -2)
        joints = np.where(known[..., None], body.joints, 0.0)
        covariance = np.where(known[..., None, None], body.covariance, np.eye(3))
        return cls(joints, covariance, rays, across, np.where(known, np.maximum(angle, _LEAST_RAD), 1.0), known)

    @property
    def usual_covariance(self) -> Floats:
        """(T, 3, 3) m^2, mean covariance of the lifted joints of each frame."""
        count = np.maximum(self.known.sum(-1), 1)[:, None, None]
        return np.asarray(np.where(self.known[..., None, None], self.covariance, 0).sum(1) / count)

    def normal(self, root: Floats, correlated: float) -> tuple[Floats, Floats]:
        """Return the normal matrix (T, 3, 3) 1/m^2 and the slope (T, 3) 1/m of the weighted angles at ``root``.

        correlated: by how much the joints' errors, which are not independent, enlarge the variance of the root.
        """
        place = root[:, None] + self.joints
        ahead = np.maximum((self.rays * place).sum(-1), 1e-3)
        off = (self.across @ place[..., None])[..., 0] / ahead[..., None]
        slope = (self.across - off[..., None] * self.rays[..., None, :]) / ahead[..., None, None]
        spread = slope @ self.covariance @ slope.swapaxes(-1, -2) + self.angle[..., None, None] ** 2 * np.eye(2)
        weight = np.linalg.inv(spread)
        square = np.einsum("tja,tjab,tjb->tj", off, weight, off)
        weight *= np.where(self.known, (_FREEDOM + 2) / (_FREEDOM + square) / correlated, 0)[..., None, None]
        matrix = np.einsum("tjab,tjac,tjcd->tbd", slope, weight, slope)
        return matrix, -np.einsum("tjab,tjac,tjc->tb", slope, weight, off)


def _start(problem: _Problem) -> Floats:
    """Roots (T, 3) m on the mean ray, where the spread of the joints over that of their rays gives the distance."""
    weight = problem.known / np.maximum(problem.known.sum(-1, keepdims=True), 1)
    ray, middle = (np.einsum("tj,tja->ta", weight, values) for values in (problem.rays, problem.joints))
    ray /= np.maximum(np.linalg.norm(ray, axis=-1, keepdims=True), 1e-9)
    turned = turns_to_rays(ray)
    flat = ((problem.joints - middle[:, None]) @ turned)[..., :2]
    bent = (problem.rays @ turned)[..., :2]
    size, seen = (np.sqrt(np.einsum("tj,tja->t", weight, values**2)) for values in (flat, bent))
    return np.asarray(ray * (np.maximum(size, 1e-6) / np.maximum(seen, 1e-9))[:, None] - middle)


def _with_given(
    matrix: Floats, slope: Floats, root: Floats, given: GivenDistances | None, only_given: bool
) -> tuple[Floats, Floats]:
    """The normal equations with the given distances; ``only_given``: without what the pixels tell along the ray."""
    if given is None:
        return matrix, slope
    way = np.linalg.norm(root, axis=-1, keepdims=True)
    ahead = root / way
    if only_given:
        keep = np.eye(3) - ahead[:, :, None] * ahead[:, None]
        matrix, slope = keep @ matrix @ keep, (keep @ slope[..., None])[..., 0]
    known = np.isfinite(given.metres) & np.isfinite(given.share)
    weight = np.where(known, 1 / (np.where(known, given.share, 1.0) * way[:, 0]) ** 2, 0.0)
    off = np.where(known, np.log(np.where(known, given.metres, 1.0) / way[:, 0]) * way[:, 0], 0.0)
    matrix = matrix + weight[:, None, None] * ahead[:, :, None] * ahead[:, None]
    return matrix, slope + (weight * off)[:, None] * ahead


def _moved(root: Floats, step: Floats, given: GivenDistances | None) -> Floats:
    """Roots after a step that is shortened where it is too long; at the given distances, if there are any."""
    way = np.linalg.norm(root, axis=-1, keepdims=True)
    length = np.linalg.norm(step, axis=-1, keepdims=True)
    moved = root + step * np.minimum(1, _LONGEST_STEP * way / np.maximum(length, 1e-12))
    if given is not None:
        moved *= given.metres[:, None] / np.linalg.norm(moved, axis=-1, keepdims=True)
    return np.asarray(moved)


def _solved(matrix: Floats, slope: Floats) -> Floats:
    return np.asarray((_inverted(matrix) @ slope[..., None])[..., 0])


def _inverted(matrix: Floats) -> Floats:
    """Inverses of symmetric matrices (T, 3, 3); what is not known at all gets a large variance, NaN stays."""
    good = np.asarray(np.isfinite(matrix).all((-1, -2)))
    scale = np.maximum(np.trace(matrix, axis1=-2, axis2=-1), 1e-300)
    safe = np.where(good[:, None, None], matrix / scale[:, None, None], 0) + 1e-9 * np.eye(3)
    return np.where(good[:, None, None], np.linalg.inv(safe) / scale[:, None, None], np.nan)


def _distances(root: Floats, covariance: Floats, known: Bools, scale_sigma: float) -> RootDistances:
    """The result; NaN where there are too few joints, or no root in front of the camera."""
    way = np.linalg.norm(root, axis=-1, keepdims=True)
    along = np.einsum("ta,tab,tb->t", root / way, covariance, root / way)
    across = (np.trace(covariance, axis1=-2, axis2=-1) - along) / 2
    good = (known.sum(-1) >= _LEAST_JOINTS) & (root[:, 2] > 0) & (along > 0) & (across > 0)
    return RootDistances(
        np.where(good[:, None], root, np.nan),
        np.sqrt(np.where(good, along, np.nan)),
        np.sqrt(np.where(good, across, np.nan)),
        scale_sigma,
    )
