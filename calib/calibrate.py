"""The one verb: sightings of a target become a rig, and what is known about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calib import bundle, geometry
from calib.accuracy import judge, rig_of, seen_points, trusted_covariance
from calib.bundle import Problem, Solution
from calib.bundle_equations import LENS, lens_numbers
from calib.calibration import POSE, Calibration, Finding, LensFit
from calib.camera import Camera, Lens
from calib.distortion import Bools, Floats
from calib.errors import CalibrationError
from calib.extrinsics import Start, connect, place_bodies
from calib.geometry import invert
from calib.intrinsics import fit_lens, strange_moments
from calib.lens_models import PINHOLE, LensModel, common_sense, model_of, named
from calib.observations import Observations, Refusal
from calib.rig import Rig
from calib.verdict import judged

_GIVEN_FOCAL = 0.005  # of a lens that is given but not fixed: its focal length's standard deviation, of itself
_GIVEN_COEFFICIENT = 0.02
_OUTLIER = 4.5  # sigmas of a sighting's distance: one of 25 000 good ones is as far
_ROUNDS = 4
_RIG_LENS = PINHOLE[3]
_FALSE = 0.5  # of a view's points at a moment: if more are outliers the whole sighting is false


@dataclass(frozen=True, eq=False)
class _Lenses:
    """The lens of every camera to start from, its fit if it was fitted, what is free, and what is known before."""

    lenses: tuple[Lens, ...]
    fits: tuple[LensFit | None, ...]
    free: Bools
    mean: Floats
    information: Floats


def calibrate(
    observations: Observations,
    *,
    lenses: Mapping[str, Lens] | None = None,
    fix_lenses: bool = False,
    lens_observations: Sequence[Observations] = (),
    rig: Rig | None = None,
    models: Sequence[LensModel] | None = None,
    shape_sigma_m: float = 0.0,
) -> Calibration:
    """Calibrate cameras from what they saw of a target at the same moments.

    lenses: known ones by view; held where fix_lenses, else a start that is believed within half a percent.
    lens_observations: pictures of single cameras that tell about lenses only. rig: cameras to start from (of a wand or
    of people there has to be one; its lenses count as known). models: lens models to choose from. shape_sigma_m: above
    0 the target's points may be off by about that much (a bent or misprinted board), and are found.
    Raises CalibrationError where nothing can be calibrated, in one line with what to film.
    """
    given = dict(lenses or {}) | ({camera.name: camera.lens for camera in rig} if rig is not None else {})
    observations, known, early = _with_lenses(observations, given, fix_lenses, lens_observations, models)
    start = _from_rig(observations, known.lenses, rig) if rig is not None else connect(observations, known.lenses)
    observations, known, start, late = _connected(observations, known, start)
    solution, refused = _refined(_problem(observations, known, start, fix_lenses, shape_sigma_m))
    return _finished(solution, known, start, refused, (*early, *late))


def _with_lenses(
    observations: Observations,
    given: Mapping[str, Lens],
    fixed: bool,
    alone: Sequence[Observations],
    models: Sequence[LensModel] | None,
) -> tuple[Observations, _Lenses, list[Finding]]:
    """A lens for every view that can have one; views without are left out and named."""
    lenses, fits, priors, findings, views = [], [], [], [], []
    for view, size in zip(observations.views, observations.sizes, strict=True):
        photos = [table for table in alone if view in table.views]
        if view in given:
            if given[view].size != size:
                raise CalibrationError(
                    f"camera {view!r}: its lens is of {given[view].size[0]}x{given[view].size[1]} pictures, these are "
                    f"{size[0]}x{size[1]}; calibrate the lens at this size"
                )
            lens, fit = given[view], None
            priors.append(_given_prior(lens))
        else:
            try:
                fit = fit_lens(photos[0] if photos else observations, view, models=models)
            except CalibrationError as fault:
                findings.append(Finding("limit", view, "it is left out, its lens cannot be told", str(fault)))
                continue
            lens = fit.lens
            priors.append(_fitted_prior(fit) if photos else common_sense(lens))
            findings += fit.findings
        views.append(view)
        lenses.append(lens)
        fits.append(fit)
    if not views:
        raise CalibrationError(findings[0].todo if findings else "there are no views to calibrate")
    observations = observations.of(views)
    for lens in lenses:
        observations = _without(observations, strange_moments(observations, lens.name, lens))
    free = np.stack([_free(lens, fit, fixed) for lens, fit in zip(lenses, fits, strict=True)])
    mean, information = (np.stack(part) for part in zip(*priors, strict=True))
    return observations, _Lenses(tuple(lenses), tuple(fits), free, mean, information), findings


def _free(lens: Lens, fit: LensFit | None, fixed: bool) -> Bools:
    if fixed:
        return np.zeros(LENS, bool)
    chosen = next((trial.model for trial in fit.trials if trial.chosen), None) if fit is not None else None
    model = named(chosen) if chosen is not None else model_of(lens)
    # Together the cameras tell more of their lenses than each alone, and what they cannot tell the priors do.
    return model.mask() | (_RIG_LENS.mask() if model.model == "pinhole" else model.mask())


def _given_prior(lens: Lens) -> tuple[Floats, Floats]:
    mean, information = lens_numbers(lens), common_sense(lens)[1]
    focal = float(np.sqrt(mean[0] * mean[1]))
    sigma = np.full(LENS, _GIVEN_COEFFICIENT)
    sigma[:4] = _GIVEN_FOCAL * focal
    return mean, information + np.diag(1 / sigma**2)


def _fitted_prior(fit: LensFit) -> tuple[Floats, Floats]:
    """What pictures of one camera alone have told of its lens, as a prior for the rig's fit."""
    mean, information = lens_numbers(fit.lens), np.zeros((LENS, LENS))
    known = np.flatnonzero(np.diagonal(fit.covariance) > 0)
    information[np.ix_(known, known)] = np.linalg.pinv(fit.covariance[np.ix_(known, known)], hermitian=True)
    return mean, information


def _without(observations: Observations, refusals: Sequence[Refusal]) -> Observations:
    hidden = np.zeros(observations.sigma.shape, bool)
    for refusal in refusals:
        hidden[observations.views.index(refusal.view), observations.moments.index(refusal.moment)] = True
    return observations.without(hidden, refusals) if refusals else observations


def _from_rig(observations: Observations, lenses: Sequence[Lens], rig: Rig) -> Start:
    """The start that an old rig gives: its cameras, and the target where they see it."""
    poses = np.stack([rig[view].cam_from_world for view in observations.views])
    pieces = np.tile(np.eye(4), (len(observations.target.pieces), 1, 1))
    target = observations.target
    if len(target.pieces) > 1:
        pieces = connect(observations, lenses).body_from_piece
    if target.free:
        bodies = np.full((len(observations.moments), 4, 4), np.nan)
    elif target.still:
        bodies = np.tile(np.eye(4), (len(observations.moments), 1, 1))
    elif target.rank() == 1:
        bodies = _wand_poses(rig.select(observations.views), observations)
    else:
        bodies = place_bodies(observations, lenses, poses, pieces)
    return Start(poses, bodies, pieces, (), ())


def _wand_poses(rig: Rig, observations: Observations) -> Floats:
    """Poses (T, 4, 4) of a wand by its triangulated points; its turn about itself is nobody's business."""
    points = rig.triangulate(observations.xy)
    along = observations.target.points[:, 0]
    poses = np.full((len(points), 4, 4), np.nan)
    for moment, row in enumerate(points):
        good = np.isfinite(row).all(-1)
        if good.sum() < 2:
            continue
        slope = np.polyfit(along[good], row[good], 1)[0]
        x = slope / np.linalg.norm(slope)
        y = np.cross(x, np.eye(3)[np.abs(x).argmin()])
        y /= np.linalg.norm(y)
        R = np.stack([x, y, np.cross(x, y)], 1)
        poses[moment] = geometry.pose(R, row[good].mean(0) - along[good].mean() * x)
    return poses


def _connected(
    observations: Observations, known: _Lenses, start: Start
) -> tuple[Observations, _Lenses, Start, list[Finding]]:
    """Only the views that hang together, and whom to film with whom for the others."""
    at = np.flatnonzero(np.isfinite(start.cam_from_world).all((1, 2)))
    if len(at) < 2 and len(observations.views) > 1 and not observations.target.still:
        raise CalibrationError(
            "no two cameras saw the target at the same moment; film it where "
            f"{observations.views[0]!r} and {observations.views[1]!r} both see it"
        )
    findings = []
    for name in start.unconnected:
        other = _nearest_view(observations, name, [observations.views[view] for view in at])
        findings.append(
            Finding(
                "limit",
                name,
                "it is left out, it never saw the target together with another camera of the rig",
                f"film the target where {name!r} and {other!r} both see it",
            )
        )
    rows = tuple(at)
    part = _Lenses(
        tuple(known.lenses[view] for view in rows),
        tuple(known.fits[view] for view in rows),
        known.free[at],
        known.mean[at],
        known.information[at],
    )
    left = replace(start, cam_from_world=start.cam_from_world[at])
    return observations.of([observations.views[view] for view in rows]), part, left, findings


def _nearest_view(observations: Observations, name: str, others: Sequence[str]) -> str:
    """The connected view that saw the target at moments nearest to those of another."""
    mine = np.flatnonzero(observations.seen[observations.views.index(name)].any(-1))
    best, least = others[0], np.inf
    for other in others:
        theirs = np.flatnonzero(observations.seen[observations.views.index(other)].any(-1))
        if len(mine) and len(theirs):
            gap = float(np.abs(mine[:, None] - theirs[None]).min())
            if gap < least:
                best, least = other, gap
    return best


def _problem(
    observations: Observations, known: _Lenses, start: Start, fix_lenses: bool, shape_sigma_m: float
) -> Problem:
    target = observations.target
    poses_free = np.ones(len(observations.views), bool)
    poses_free[0] = target.still  # or the world would be nobody's
    pieces = np.where(np.isnan(start.body_from_piece), np.eye(4), start.body_from_piece)
    lost = np.isnan(start.body_from_piece).any((1, 2))[target.of_piece]
    used = np.asarray(observations.seen & ~lost)
    if not target.still and not target.free:
        # A target that one camera alone sees tells about that camera's lens only: worth having, but not moments of
        # less than four points.
        used &= (used.sum(-1) >= (2 if target.rank() == 1 else 4))[..., None]
    free_points = None
    if target.free:
        rig = Rig(tuple(Camera(lens, pose) for lens, pose in zip(known.lenses, start.cam_from_world, strict=True)))
        free_points = rig.triangulate(observations.xy)
        used &= (used.sum(0) >= 2)[None]
    return Problem(
        observations,
        known.lenses,
        start.cam_from_world,
        start.world_from_body,
        pieces,
        used,
        known.free,
        poses_free,
        bodies_free=not target.still,
        free_points=free_points,
        prior_mean=known.mean,
        prior_information=known.information,
        shape_sigma_m=shape_sigma_m,
    )


def _refined(problem: Problem) -> tuple[Solution, list[Refusal]]:
    """The fit in rounds: each knows the noise of every camera, and leaves out what no noise explains."""
    seen = problem.observations
    refused: list[Refusal] = []
    solution = bundle.adjust(problem, tolerance=1e-4)
    for last in range(_ROUNDS):
        noise = _noise(solution)
        distance = np.linalg.norm(solution.residual, axis=-1) / (seen.sigma * noise[:, None, None])
        far = ~(distance <= _OUTLIER)
        false = np.asarray((far & problem.used).sum(-1) > _FALSE * problem.used.sum(-1))
        for view, moment in zip(*np.nonzero(false & problem.used.any(-1)), strict=True):
            refused.append(
                Refusal(seen.views[view], seen.moments[moment], "the other cameras see the target elsewhere")
            )
        used = problem.used & ~(far | false[..., None])
        same = np.array_equal(used, solution.problem.used) and last > 0
        again = replace(
            problem,
            lenses=solution.lenses,
            cam_from_world=solution.cam_from_world,
            world_from_body=solution.world_from_body,
            body_from_piece=solution.body_from_piece,
            points=solution.points,
            free_points=solution.free_points,
            offset_s=solution.offset_s,
            used=used,
            noise=noise,
        )
        final = same or last == _ROUNDS - 1
        solution = bundle.adjust(again, tolerance=1e-8 if final else 1e-5)
        if final:
            break
    unique = {(refusal.view, refusal.moment): refusal for refusal in refused}
    left = solution.problem.used.any(-1)
    return solution, [
        refusal
        for (view, moment), refusal in unique.items()
        if not left[seen.views.index(view), seen.moments.index(moment)]
    ]


def _noise(solution: Solution) -> Floats:
    """By how much each camera's sightings are noisier (C,) than detection said, from the middle of their residuals."""
    problem = solution.problem
    seen = problem.observations
    square = (solution.residual**2).sum(-1) / seen.sigma**2
    square = np.where(problem.used, square, np.nan)
    sightings = 2 * np.isfinite(square).sum()
    unknowns = len(solution.information) + 6 * problem.used.any((0, 2)).sum()
    if problem.free_points is not None:
        unknowns = len(solution.information) + 3 * problem.used.any(0).sum()
    share = max(1 - unknowns / max(sightings, 1), 0.1)
    out = np.ones(len(seen.views))
    for view in range(len(out)):
        own = square[view][np.isfinite(square[view])]
        if own.size > 8:
            out[view] = np.sqrt(max(np.median(own) / (2 * np.log(2)) / share, 1e-4))
    return out


def _finished(
    solution: Solution, known: _Lenses, start: Start, refused: list[Refusal], findings: Sequence[Finding]
) -> Calibration:
    """Everything that is known, in the world's frame."""
    solution = _in_a_world(solution)
    observations = solution.problem.observations.without(np.zeros(solution.problem.used.shape, bool), refused)
    rig = rig_of(solution)
    columns, covariance = _covariance(solution)
    accuracy = judge(solution, covariance, columns)
    pairs = tuple(pair for pair in start.pairs if pair.a in rig and pair.b in rig)
    noise = np.nanmean(solution.problem.observations.sigma, (1, 2)) * (
        np.ones(len(rig)) if solution.problem.noise is None else solution.problem.noise
    )
    verdict, reason, action, more = judged(rig, solution, accuracy, findings, covariance, columns)
    return Calibration(
        rig,
        observations,
        solution.problem.used,
        solution.residual,
        solution.world_from_body,
        solution.body_from_piece,
        solution.points,
        solution.free_points,
        solution.offset_s,
        noise,
        columns,
        covariance,
        known.fits,
        pairs,
        start.unconnected,
        accuracy,
        (*findings, *more),
        verdict,
        reason,
        action,
    )


def _covariance(solution: Solution) -> tuple[dict[str, slice], Floats]:
    """Covariance of every camera's pose, lens and coefficients, one after the other, zero where held."""
    trusted = trusted_covariance(solution)
    widths = [POSE + 4 + lens.distortion.size for lens in solution.lenses]
    ends = np.cumsum([0, *widths])
    columns = {lens.name: slice(int(ends[i]), int(ends[i + 1])) for i, lens in enumerate(solution.lenses)}
    target, source = [], []
    for view, (free, at) in enumerate(zip(solution.free, solution.columns, strict=True)):
        fits = free < widths[view]
        target.append(ends[view] + free[fits])
        source.append(np.arange(at.start, at.stop)[fits])
    full = np.zeros((int(ends[-1]), int(ends[-1])))
    to, of = np.concatenate(target).astype(int), np.concatenate(source).astype(int)
    full[np.ix_(to, to)] = trusted[np.ix_(of, of)]
    return columns, full


def _in_a_world(solution: Solution) -> Solution:
    """The solution turned so that z points up if the cameras are held upright, the origin amid what was seen."""
    if solution.problem.observations.target.still:
        return solution
    up = -np.mean(solution.cam_from_world[:, 1, :3], 0)
    ahead = np.mean(solution.cam_from_world[:, 2, :3], 0)
    z = up / np.linalg.norm(up)
    y = ahead - z * (ahead @ z)
    y /= np.linalg.norm(y)
    R = np.stack([np.cross(y, z), y, z])
    points = seen_points(solution)
    middle = points.mean(0) if len(points) else np.zeros(3)
    new_from_old = geometry.pose(R, -R @ middle)
    return moved(solution, new_from_old)


def moved(solution: Solution, new_from_old: Floats) -> Solution:
    """The same solution in another world frame."""
    return replace(
        solution,
        cam_from_world=solution.cam_from_world @ invert(new_from_old),
        world_from_body=new_from_old @ solution.world_from_body,
        free_points=None if solution.free_points is None else geometry.transform(new_from_old, solution.free_points),
    )
