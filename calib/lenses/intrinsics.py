"""Intrinsics from one camera's images of a target: initial fit, choice of images and of the lens model, final fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calib import bundle
from calib.arrays import Bools, Floats
from calib.bundle.equations import LENS
from calib.bundle.problem import Problem, Solution
from calib.calibration import POSE, LensFit, ModelTrial
from calib.camera import Lens
from calib.errors import CalibrationError
from calib.lenses.models import FISHEYE, NAMES, PINHOLE, RATIONAL, LensModel, common_sense
from calib.lenses.observability import picture_findings
from calib.observations import Observations, Refusal
from calib.poses.board_pose import board_poses, homographies
from calib.targets import Target

LEAST_MOMENTS = 3
_MOST = 50  # most images in a lens's fit: more add little information
_START = 15
_CANDIDATES = 300  # most detections from which the informative ones are chosen
_STRANGE = 6.0  # times the median error of the images, above which no lens explains one
_FOLDS = 2
_FOCALS = (0.35, 0.6, 0.9, 1.3, 2.0, 4.0)  # of the larger side of the image
_WIDE = 0.65  # of the larger side: a focal length below this may be a fisheye's
_BEHIND_COST = 300.0  # cost of an observation that an initial lens has behind the camera


@dataclass(frozen=True, eq=False)
class _Views:
    """Observations of one camera, one entry for each flat piece at each moment, and the moment of each entry."""

    observations: Observations
    moment: NDArray[np.intp]


def fit_lens(
    observations: Observations, view: str, *, models: Sequence[LensModel] | None = None, name: str | None = None
) -> LensFit:
    """The lens of a view from its observations of flat boards, with the model of least error on held-out images.

    models: those to choose from (all by default). Raises CalibrationError where the observations determine no lens.
    """
    views = _split_pieces(observations, view, _CANDIDATES)
    if len(views.moment) < LEAST_MOMENTS:
        raise CalibrationError(
            f"camera {view!r}: the target is seen well enough in {len(views.moment)} images, but a lens needs "
            f"{LEAST_MOMENTS} or more; film it in view of this camera, tilted to all sides, all over the image"
        )
    first = _initial_fit(views.observations, models)
    kept = _explained(first)
    if kept.sum() < LEAST_MOMENTS:
        raise CalibrationError(
            f"camera {view!r}: no lens and no pose of the target explain its images; check that it is this target"
        )
    chosen = _most_informative(first, kept)
    seen = _select(views.observations, chosen)
    trials, best = _select_model(seen, first, models)
    final = _refit_with_noise(best)
    used = np.zeros(len(observations.moments), bool)
    used[views.moment[chosen]] = True
    return LensFit(
        replace(final.lenses[0], name=name or view),
        _lens_covariance(final),
        tuple(_free_names(final)),
        _rms(final),
        used,
        trials,
        tuple(picture_findings(view, seen.xy[0], seen.sizes[0])),
    )


def strange_moments(observations: Observations, view: str, lens: Lens) -> list[Refusal]:
    """Moments at which no pose of the target explains a view's observations with a known lens: false detections."""
    views = _split_pieces(observations, view, observations.sigma[0].size)
    if len(views.moment) < LEAST_MOMENTS:
        return []
    solution = _fit(views.observations, lens, np.zeros(LENS, bool))
    error = _median_by_moment(solution)
    reasons = []
    typical = f"{np.nanmedian(error):.2g} px are usual in this camera" if np.isfinite(error).any() else "none fits"
    for index in np.flatnonzero(~_explained(solution)):
        moment = observations.moments[views.moment[index]]
        what = "no pose of the target explains what is seen"
        if np.isfinite(error[index]):
            what += f": the median residual is {error[index]:.2g} px, {typical}"
        reasons.append(Refusal(view, moment, what))
    return reasons


def _split_pieces(observations: Observations, view: str, most: int) -> _Views:
    """Each flat piece at each moment as a separate entry, at most `most`, evenly spaced."""
    seen, target = observations.of([view]), observations.target
    flat = [piece for piece in range(len(target.pieces)) if target.rank(piece) == 2]
    parts, moments = [], []
    for piece in flat:
        sigma = np.where(target.of_piece == piece, seen.sigma[0], np.nan)
        enough = np.isfinite(sigma).sum(1) >= max(4, min(8, (target.of_piece == piece).sum()))
        parts.append(np.where(enough[:, None], sigma, np.nan)[enough])
        moments.append(np.flatnonzero(enough))
    at = np.concatenate(moments) if moments else np.zeros(0, np.intp)
    sigma = np.concatenate(parts) if parts else np.zeros((0, len(target)))
    some = np.unique(np.linspace(0, len(at) - 1, min(len(at), most)).round().astype(int)) if len(at) else at
    at, sigma = at[some], sigma[some]
    alone = Target(target.name, target.points)
    names = tuple(seen.moments[index] for index in at)
    return _Views(Observations(alone, (view,), seen.sizes, seen.xy[:, at], sigma[None], seen.time_s[:, at], names), at)


def _select(seen: Observations, rows: Bools) -> Observations:
    return seen.at(np.flatnonzero(rows))


def _fit(
    seen: Observations,
    lens: Lens,
    free: Bools,
    *,
    poses: Floats | None = None,
    steps: int = 60,
    tolerance: float = 1e-6,
) -> Solution:
    """The free ones of a lens's 16 numbers, and all poses, fitted to observations of one camera."""
    if poses is None:
        poses = board_poses(seen.xy[0], seen.target, lens).cam_from_piece[0, :, 0]
    mean, information = common_sense(lens)
    problem = Problem(
        seen,
        (lens,),
        np.eye(4)[None],
        poses,
        np.eye(4)[None],
        seen.seen,
        free[None],
        np.zeros(1, bool),
        prior_mean=mean[None],
        prior_information=information[None],
    )
    return bundle.adjust(problem, iterations=steps, tolerance=tolerance)


def _initial_fit(seen: Observations, models: Sequence[LensModel] | None) -> Solution:
    """A fit to all images, starting from the focal length that explains a few of them best."""
    size = seen.sizes[0]
    few = seen.at(np.unique(np.linspace(0, len(seen.moments) - 1, _START).round().astype(int)))
    closed = _focal_of(homographies(few.xy[0], few.target.points), size)
    best, which, lowest = None, None, np.inf
    families = [PINHOLE[2], FISHEYE] if models is None else _families(models)
    for model in families:
        for focal in (*([closed] if np.isfinite(closed) else []), *(share * max(size) for share in _FOCALS)):
            if model.model == "fisheye" and focal > _WIDE * max(size):
                continue
            trial = _fit(few, model.lens(seen.views[0], size, focal), model.mask(), steps=12, tolerance=1e-3)
            behind = few.seen & ~np.isfinite(trial.residual).all(-1)
            cost = trial.cost + _BEHIND_COST * behind.sum()
            if best is None or cost < 0.98 * lowest:
                best, which, lowest = trial, model, cost
            if model.model != "fisheye" and focal == closed and _rms(trial) < 1.0:
                break
    assert best is not None and which is not None
    return _fit(seen, best.lenses[0], which.mask())


def _families(models: Sequence[LensModel]) -> list[LensModel]:
    """One simple model of each formula that may be chosen."""
    kinds = {model.model for model in models}
    simple = min((m for m in models if m.model != "fisheye"), key=lambda m: len(m.free), default=None)
    quick = [PINHOLE[2] if any(len(m.free) >= 2 for m in models) else simple] if kinds - {"fisheye"} else []
    return [model for model in (*quick, FISHEYE if "fisheye" in kinds else None) if model is not None]


def _focal_of(maps: Floats, size: tuple[int, int]) -> float:
    """The focal length that makes the maps' axes orthogonal, with a central principal point (Zhang 2000); else NaN."""
    centre = np.array([[1, 0, -(size[0] - 1) / 2], [0, 1, -(size[1] - 1) / 2], [0, 0, 1]])
    H = centre @ maps[np.isfinite(maps).all((1, 2))]
    if not len(H):
        return float("nan")
    H = H / np.linalg.norm(H[:, :, :2], axis=(1, 2), keepdims=True) * max(size)
    a, b = H[:, :, 0], H[:, :, 1]
    across = np.concatenate([(a[:, :2] * b[:, :2]).sum(1), (a[:, :2] ** 2 - b[:, :2] ** 2).sum(1)])
    ahead = np.concatenate([a[:, 2] * b[:, 2], a[:, 2] ** 2 - b[:, 2] ** 2])
    square = -(across @ ahead) / max(ahead @ ahead, 1e-300)
    return float(np.sqrt(square)) if 0.1 * max(size) < np.sqrt(max(square, 0)) < 20 * max(size) else float("nan")


def _by_moment(solution: Solution) -> Floats:
    """RMS residual (T,) px of each moment's observations, NaN where there is no pose."""
    return _root_mean(solution.residual)


def _root_mean(residual: Floats) -> Floats:
    square = (residual[0] ** 2).sum(-1)
    seen = np.isfinite(square)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sqrt(np.where(seen, square, 0).sum(-1) / seen.sum(-1) / 2))


def _median_by_moment(solution: Solution) -> Floats:
    """Median residual (T,) px of each moment's observations, robust to single false corners."""
    distance = np.linalg.norm(solution.residual[0], axis=-1)
    out = np.full(len(distance), np.nan)
    seen = np.isfinite(distance).any(-1)
    out[seen] = np.nanmedian(distance[seen], axis=-1)
    return out


def _rms(solution: Solution) -> float:
    square = solution.residual[np.isfinite(solution.residual)] ** 2
    return float(np.sqrt(square.mean())) if square.size else float("inf")


def _explained(solution: Solution) -> Bools:
    error = _median_by_moment(solution)
    known, seen = error[np.isfinite(error)], solution.problem.observations
    if not known.size:
        return np.zeros(len(error), bool)
    typical = max(float(np.median(known)), float(np.median(seen.sigma[seen.seen])))
    with np.errstate(invalid="ignore"):
        return np.asarray(error <= _STRANGE * typical)


def _most_informative(first: Solution, kept: Bools) -> Bools:
    """The most informative images about the lens, chosen greedily by the determinant of their information."""
    if kept.sum() <= _MOST:
        return kept
    seen = first.problem.observations
    full = PINHOLE[4] if first.lenses[0].model != "fisheye" else FISHEYE
    mask = full.mask()[None]
    problem = replace(first.problem, lenses=first.lenses, world_from_body=first.world_from_body, lens_free=mask)
    information = bundle.information_by_moment(problem)
    scale = 1 / np.sqrt(np.maximum(np.diagonal(information[kept].sum(0)), 1e-300))
    information = information * scale * scale[:, None]
    total, chosen = 1e-3 * np.eye(len(scale)), np.zeros(len(seen.moments), bool)
    for _ in range(_MOST):
        gain = np.linalg.slogdet(total + information)[1]
        gain[chosen | ~kept] = -np.inf
        best = int(np.argmax(gain))
        chosen[best] = True
        total = total + information[best]
    return chosen


def _select_model(
    seen: Observations, first: Solution, models: Sequence[LensModel] | None
) -> tuple[tuple[ModelTrial, ...], Solution]:
    """Every model's error on held-out images, and the fit of the simplest that is as good as the best."""
    start, poses = first.lenses[0], None
    tried: list[LensModel] = []
    errors: list[Floats] = []
    fits: list[Solution] = []
    for model in _candidates(start, models):
        if models is None and model.model == "pinhole" and _without_gain(errors):
            continue
        fit = _fit(seen, _as_model(start, model), model.mask(), poses=poses)
        poses = fit.world_from_body if model.model == "pinhole" else poses
        fits.append(fit)
        tried.append(model)
        errors.append(_held_out(seen, fit, model.mask()))
    total = np.array([np.nanmean(error) for error in errors])
    best = int(np.argmin(total))
    good = best
    for index in np.argsort([len(model.free) + 0.5 * (model.model != "pinhole") for model in tried], kind="stable"):
        worse = errors[index] - errors[best]
        sigma = np.nanstd(worse) / np.sqrt(max(np.isfinite(worse).sum() - 1, 1))
        if total[index] - total[best] <= max(sigma, 1e-3 * total[best]):
            good = int(index)
            break
    trials = tuple(
        ModelTrial(model.label, model.free, float(np.sqrt(error)), index == good)
        for index, (model, error) in enumerate(zip(tried, total, strict=True))
    )
    return trials, fits[good]


def _without_gain(errors: Sequence[Floats]) -> bool:
    """Whether the last two models, each with more coefficients, did not reduce the error."""
    mean = [float(np.nanmean(error)) for error in errors]
    return len(mean) >= 4 and min(mean[-2:]) > 0.998 * min(mean[:-2])


def _candidates(start: Lens, models: Sequence[LensModel] | None) -> list[LensModel]:
    if models is not None:
        return list(models)
    focal = float(np.sqrt(start.K[0, 0] * start.K[1, 1])) / max(start.size)
    wide = [RATIONAL, FISHEYE] if start.model == "fisheye" or focal < _WIDE else []
    return [*PINHOLE, *wide]


def _as_model(start: Lens, model: LensModel) -> Lens:
    """An initial lens of a model from a lens of another model."""
    lens = model.lens(start.name, start.size, float(np.sqrt(start.K[0, 0] * start.K[1, 1])))
    if (start.model == "fisheye") == (model.model == "fisheye"):
        values = np.zeros(lens.distortion.size)
        values[: start.distortion.size] = start.distortion[: values.size]
        values[~model.mask()[4 : 4 + values.size]] = 0.0
        return replace(lens, K=start.K, distortion=values)
    return lens


def _held_out(seen: Observations, fit: Solution, free: Bools) -> Floats:
    """Mean squared error (T,) px^2 of each image with the lens fitted to the other folds."""
    out = np.full(len(seen.moments), np.nan)
    fold = np.arange(len(seen.moments)) % min(_FOLDS, len(seen.moments))
    for index in range(fold.max() + 1):
        rest, left = np.flatnonzero(fold != index), np.flatnonzero(fold == index)
        lens = _fit(seen.at(rest), fit.lenses[0], free, poses=fit.world_from_body[rest], tolerance=1e-5).lenses[0]
        held_out = _fit(seen.at(left), lens, np.zeros(LENS, bool), poses=fit.world_from_body[left], tolerance=1e-5)
        out[left] = _by_moment(held_out) ** 2
    return out


def _refit_with_noise(fit: Solution) -> Solution:
    """The fit repeated with the noise estimated from its residuals."""
    problem = fit.problem
    sigmas = fit.residual / problem.observations.sigma[..., None]
    middle = float(np.nanmedian((sigmas**2).sum(-1))) / (2 * np.log(2))  # of two squared Gaussians
    noise = np.array([np.sqrt(middle)]) if np.isfinite(middle) and middle > 0 else np.ones(1)
    again = replace(problem, lenses=fit.lenses, world_from_body=fit.world_from_body, noise=noise)
    return bundle.adjust(again, iterations=20)


def _lens_covariance(solution: Solution) -> Floats:
    """Covariance (4 + k, 4 + k) of fx fy cx cy and the coefficients, zero where held fixed."""
    count = 4 + solution.lenses[0].distortion.size
    out = np.zeros((LENS, LENS))
    at = solution.free[0] - POSE
    out[np.ix_(at, at)] = np.maximum(1.0, _scatter_ratio(solution)) * solution.covariance(scatter=False)
    return out[:count, :count]


def _scatter_ratio(solution: Solution) -> float:
    """Variance from the scatter of the moments over that from the noise alone, geometric mean over the unknowns."""
    plain, scattered = solution.covariance(scatter=False), solution.covariance()
    known = np.diagonal(plain) > 0
    return float(np.exp(np.log(np.diagonal(scattered)[known] / np.diagonal(plain)[known]).mean()))


def _free_names(solution: Solution) -> list[str]:
    names = ("fx", "fy", "cx", "cy", *NAMES[solution.lenses[0].model])
    return [names[index - POSE] for index in solution.free[0] if index - POSE < len(names)]
