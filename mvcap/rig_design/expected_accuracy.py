"""Expected error of triangulated joints, and coverage, of a rig for people in a room.

First-order propagation: a camera that sees a joint adds its information J^T J / s^2, with J the derivative of the pixel
by the joint and s the detector's noise, which is proportional to the person's size in the picture. Triangulation
weights views by that noise, while the pixels also have the calibration's error (rotation f * angle, position f * m / z)
and, without synchronisation, the motion between the pictures; the covariance is that of weighted least squares with
other weights than the inverse variances: A^-1 B A^-1. Errors that all views share, as how a detector defines a joint,
are not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib import Camera, Rig
from calib.arrays import Floats
from mvcap.rig_design.plan_request import PlanRequest
from mvcap.rig_design.standing_crowds import HALPE, Crowds
from mvcap.structures.detections import body_size, joint_box
from mvcap.synthesis.detector_errors import OPENPOSE, OPENPOSE_WEAK, TOPDOWN, DetectorModel
from mvcap.synthesis.detector_joints import group_of
from mvcap.synthesis.occlusion import occluded

_MODELS = {"topdown": TOPDOWN, "openpose": OPENPOSE, "weak": OPENPOSE_WEAK}
_SOFT = 0.015  # width of the edge of a picture for a search, as a share of its diagonal


@dataclass(frozen=True, eq=False)
class JointNoise:
    """Noise of a detector: share (J,) of a body's size in the picture, and a floor in px; ``hidden`` multiplies it."""

    share: Floats
    floor_px: float
    hidden: float

    @classmethod
    def of_model(cls, model: DetectorModel) -> JointNoise:
        """Return the noise of a model of errors, typical of visible joints; hidden ones that are missed count as noise.

        Scores vary, and triangulation weights by them: the mean of the information over the scores counts.
        """
        group = group_of(HALPE)
        node, weight = np.polynomial.hermite_e.hermegauss(15)
        spread = np.hypot(model.score_spread, model.score_row)
        score = 1 / (1 + np.exp(-(np.array(model.score)[group][:, None] + spread * node)))
        mean = np.sqrt((weight * score**2).sum(-1) / weight.sum())
        share = model.noise_factor * HALPE.sigma * np.array(model.noise)[group] / mean
        missed = 1 / (1 + np.exp(-(np.array(model.missed).mean() + model.missed_hidden)))
        return cls(share, model.floor_px, float(model.hidden_noise / np.sqrt(1 - missed)))

    @classmethod
    def of_request(cls, request: PlanRequest) -> JointNoise:
        """Return the noise of the request's detector."""
        return cls.of_model(_MODELS[request.detector])


@dataclass(frozen=True, eq=False)
class ViewTerms:
    """What one camera adds for the first person of each moment: sums A and B (S, J, 3, 3), 1/m^2; what it sees (S, J).

    inside: in the picture and not behind an obstacle. visible: nor behind a body.
    """

    information: Floats
    spread: Floats
    inside: NDArray[np.bool_]
    visible: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PlanFigures:
    """What a rig will see of people, and how accurately.

    error_mm (S, J): expected distance (root mean square) of the triangulated from the true joint; NaN where fewer than
    two views show it. views (S, J): views that show a joint, bodies in between counted as hiding it. whole (S,): views
    that have the whole body in the picture. Of the places: error_map_mm (G,) median over moments and joints, NaN where
    most joints have none; view_map (G,) mean of `views`; whole_map (G,) mean of `whole`.
    """

    crowds: Crowds
    error_mm: Floats
    worst_axis_mm: Floats
    views: NDArray[np.int64]
    whole: NDArray[np.int64]
    occluded_share: float

    def by_place(self, values: Floats) -> Floats:
        """Return the mean (G,) over the moments of each place of values (S,)."""
        count = np.bincount(self.crowds.place, minlength=len(self.crowds.places))
        return np.asarray(np.bincount(self.crowds.place, values, minlength=len(count)) / np.maximum(count, 1))

    @property
    def error_map_mm(self) -> Floats:
        """(G,) median expected error of each place, mm; joints without two views count as infinitely far off."""
        filled = np.where(np.isnan(self.error_mm), np.inf, self.error_mm)
        found = [np.median(filled[self.crowds.place == place]) for place in range(len(self.crowds.places))]
        return np.where(np.isfinite(found), found, np.nan)

    @property
    def view_map(self) -> Floats:
        """(G,) mean number of views that show a joint."""
        return self.by_place(self.views.mean(1))

    @property
    def whole_map(self) -> Floats:
        """(G,) mean number of views that have the whole body in the picture."""
        return self.by_place(self.whole.astype(float))

    def summary(self) -> dict[str, float | None]:
        """Figures of the whole area: errors in mm, shares 0..1."""
        seen = self.error_mm[np.isfinite(self.error_mm)]
        worst = self.worst_axis_mm[np.isfinite(self.worst_axis_mm)]
        return {
            "error_median_mm": float(np.median(seen)) if len(seen) else None,
            "error_p90_mm": float(np.percentile(seen, 90)) if len(seen) else None,
            "worst_axis_median_mm": float(np.median(worst)) if len(worst) else None,
            "joints_in_two_views": float((self.views >= 2).mean()),
            "joints_in_three_views": float((self.views >= 3).mean()),
            "joints_without_error": float(np.isnan(self.error_mm).mean()),
            "views_of_a_joint": float(self.views.mean()),
            "whole_body_in_two_views": float((self.whole >= 2).mean()),
            "whole_body_in_three_views": float((self.whole >= 3).mean()),
            "occluded_by_bodies": self.occluded_share,
        }


def view_terms(
    camera: Camera,
    rate_hz: float,
    people: Crowds,
    request: PlanRequest,
    noise: JointNoise,
    soft: bool = False,
) -> ViewTerms:
    """Return what a camera adds. soft: the picture's edge is a slope, for searches; figures have a sharp one."""
    body = people.xyz[:, 0]
    xy, slope = (part[0] for part in Rig((camera,)).project_with_jacobian(body))  # (S, J, 2), (S, J, 2, 3)
    size = body_size(joint_box(xy))
    depth = (body - camera.position) @ camera.cam_from_world[2, :3]
    last = np.array(camera.size) - 1.0
    with np.errstate(invalid="ignore"):
        margin = np.minimum(xy + 0.5, last + 0.5 - xy).min(-1)
        margin = np.where(depth > 0.2, margin, -np.inf)
    free = ~_behind_boxes(camera.position, body, request.boxes())
    inside = (margin > 0) & free
    behind = occluded(camera, HALPE, people.xyz)[:, 0]
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        share = 1 / (1 + np.exp(-margin / (_SOFT * np.hypot(*camera.size)))) * free if soft else inside * 1.0
        variance = (noise.share * size[:, None]) ** 2 + noise.floor_px**2
        variance = np.where(behind, variance * noise.hidden**2, variance)
        focal = camera.lens.K[0, 0]
        away = np.hypot(request.moved_m, request.motion_m(rate_hz)) / np.maximum(depth, 0.2)
        wrong = focal**2 * (np.deg2rad(request.turned_deg) ** 2 + away**2)
        known = np.isfinite(variance) & np.isfinite(slope).all((-1, -2)) & (share > 1e-6)
        weight = np.where(known, share / variance, 0.0)
        spread = np.where(known, weight * (1 + wrong / variance), 0.0)
    square = np.einsum("sjai,sjak->sjik", *(np.where(known[..., None, None], slope, 0.0),) * 2)
    return ViewTerms(weight[..., None, None] * square, spread[..., None, None] * square, inside, inside & ~behind)


def covariances(information: Floats, spread: Floats, prior_m: float | None = None) -> Floats:
    """Covariances (..., 3, 3) m^2 of sums over views; prior_m: a standard deviation of positions without any view."""
    prior = np.eye(3) / prior_m**2 if prior_m else np.zeros((3, 3))
    inverse = np.linalg.inv(information + prior + 1e-9 * np.eye(3))
    return np.asarray(inverse @ (spread + prior) @ inverse)


def plan_figures(
    rig: Rig, people: Crowds, request: PlanRequest, rates_hz: Sequence[float], noise: JointNoise | None = None
) -> PlanFigures:
    """Return what the rig will see of the crowds' first people, and the expected errors of their joints.

    rates_hz: of each camera. noise: of the detector, by default that of the request.
    """
    noise = noise or JointNoise.of_request(request)
    terms = [view_terms(camera, rate, people, request, noise) for camera, rate in zip(rig, rates_hz, strict=True)]
    inside = np.stack([one.inside for one in terms])
    visible = np.stack([one.visible for one in terms])
    cov = covariances(sum(one.information for one in terms), sum(one.spread for one in terms))  # type: ignore[arg-type]
    enough = inside.sum(0) >= 2
    trace = np.trace(cov, axis1=-2, axis2=-1)
    error = np.where(enough, 1e3 * np.sqrt(np.maximum(trace, 0)), np.nan)
    worst = np.where(enough, 1e3 * np.sqrt(np.maximum(np.linalg.eigvalsh(cov)[..., -1], 0)), np.nan)
    hidden = float((inside & ~visible).sum() / max(int(inside.sum()), 1))
    return PlanFigures(people, error, worst, visible.sum(0), inside.all(-1).sum(0), hidden)


def _behind_boxes(position: Floats, points: Floats, boxes: Floats) -> NDArray[np.bool_]:
    """Whether the way from a position (3,) to points (..., 3) passes a box of (O, 2, 3), by slabs."""
    out = np.zeros(points.shape[:-1], bool)
    way = points - position
    with np.errstate(divide="ignore", invalid="ignore"):
        for low, high in boxes:
            one, other = (low - position) / way, (high - position) / way
            enter, leave = np.fmin(one, other).max(-1), np.fmax(one, other).min(-1)
            out |= (np.maximum(enter, 0.0) < np.minimum(leave, 1.0)) & (leave > 0)
    return out
