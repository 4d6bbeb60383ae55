"""The main function: calibrates a rig from observations of a target, and says how accurate it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from calib import geometry
from calib.arrays import Bools, Floats
from calib.bundle.problem import Problem, Solution
from calib.calibration import POSE, Calibration, Finding
from calib.camera import Camera, Lens
from calib.errors import CalibrationError
from calib.geometry import invert
from calib.lenses.models import LensModel
from calib.lenses.observability import focal_findings
from calib.lenses.priors import KnownLenses, with_lenses
from calib.observations import Observations, Refusal
from calib.poses.extrinsics import Start, connect_views, loop_errors
from calib.quality.board_shape import shape_findings
from calib.quality.consistency import check_consistency
from calib.quality.uncertainty import measure_accuracy, rig_of, seen_points, trusted_covariance
from calib.quality.verdict import LEFT_OUT, decide_verdict
from calib.rig import Rig
from calib.solving.reweighting import solve_reweighted


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
    """Calibrate cameras from their observations of a target at the same moments.

    lenses: known lenses by view; held fixed where fix_lenses, else a start with a prior of half a percent.
    lens_observations: images of single cameras that constrain their lenses only. rig: an earlier calibration: its
    lenses count as known, its world is kept, and its poses are the start where the target is made of free points.
    models: lens models to choose from. shape_sigma_m: above 0, the target's points are estimated too, with this
    standard deviation as a prior (a bent or misprinted board). Raises CalibrationError where nothing can be calibrated;
    its one line says what to film.
    """
    given = dict(lenses or {}) | ({camera.name: camera.lens for camera in rig} if rig is not None else {})
    seen = observations
    observations, known, lens_findings = with_lenses(observations, given, fix_lenses, lens_observations, models)
    is_free = rig is not None and observations.target.free
    start = (
        _start_from_rig(observations, rig) if rig is not None and is_free else connect_views(observations, known.lenses)
    )
    observations, known, start, view_findings = _keep_connected(observations, known, start)
    solution, refused, offset_findings = solve_reweighted(_problem(observations, known, start, shape_sigma_m))
    findings = (*lens_findings, *view_findings, *offset_findings, *shape_findings(solution))
    made = _build_calibration(_set_world(solution, rig), known, start, refused, findings)
    return check_consistency(made, seen, rig)


def _start_from_rig(observations: Observations, rig: Rig) -> Start:
    """The start from a rig's poses, for a target of free points."""
    poses = np.stack([rig[view].cam_from_world for view in observations.views])
    alone = _unshared_views(observations)
    poses[alone] = np.nan
    no_bodies = np.full((len(observations.moments), 4, 4), np.nan)
    return Start(poses, no_bodies, np.eye(4)[None], (), tuple(np.array(observations.views)[alone].tolist()))


def _unshared_views(observations: Observations) -> Bools:
    """Mask (C,) of the views that share no observed point with another view: their poses are not observable."""
    seen = observations.seen
    return np.asarray(~(seen & (seen.sum(0) >= 2)).any((1, 2)))


def _keep_connected(
    observations: Observations, known: KnownLenses, start: Start
) -> tuple[Observations, KnownLenses, Start, list[Finding]]:
    """Keep the views connected by shared observations; findings say which views to film together for the others."""
    at = np.flatnonzero(np.isfinite(start.cam_from_world).all((1, 2)))
    if not len(at):
        raise CalibrationError(
            "no camera sees enough of the measured points to estimate its pose; it needs six, or four on one plane"
        )
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
                f"{LEFT_OUT}, it never saw the target together with another camera of the rig",
                f"film the target where {name!r} and {other!r} both see it",
            )
        )
    rows = tuple(at)
    part = KnownLenses(
        tuple(known.lenses[view] for view in rows),
        tuple(known.fits[view] for view in rows),
        known.free[at],
        known.mean[at],
        known.information[at],
    )
    left = replace(start, cam_from_world=start.cam_from_world[at])
    return observations.of([observations.views[view] for view in rows]), part, left, findings


def _nearest_view(observations: Observations, name: str, others: Sequence[str]) -> str:
    """The connected view that saw the target nearest in time to the view of this name."""
    mine = np.flatnonzero(observations.seen[observations.views.index(name)].any(-1))
    best, least = others[0], np.inf
    for other in others:
        theirs = np.flatnonzero(observations.seen[observations.views.index(other)].any(-1))
        if len(mine) and len(theirs):
            gap = float(np.abs(mine[:, None] - theirs[None]).min())
            if gap < least:
                best, least = other, gap
    return best


def _problem(observations: Observations, known: KnownLenses, start: Start, shape_sigma_m: float) -> Problem:
    target = observations.target
    poses_free = np.ones(len(observations.views), bool)
    poses_free[0] = target.still  # the first camera fixes the gauge
    pieces = np.where(np.isnan(start.body_from_piece), np.eye(4), start.body_from_piece)
    lost = np.asarray(np.isnan(start.body_from_piece).any((1, 2)))[target.of_piece]
    used: Bools = np.asarray(observations.seen & ~lost)
    if not target.still and not target.free:
        # A moment that a single camera sees constrains that camera's lens only: it is kept, but not with fewer than
        # four points.
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


def _build_calibration(
    solution: Solution, known: KnownLenses, start: Start, refused: list[Refusal], findings: Sequence[Finding]
) -> Calibration:
    """The calibration in the world's frame, with covariance, accuracy, findings and verdict."""
    seen = solution.problem.observations
    observations = replace(seen, refused=(*seen.refused, *refused))
    rig = rig_of(solution)
    columns, covariance = _covariance(solution)
    accuracy = measure_accuracy(solution, covariance, columns)
    pairs = loop_errors(start, {camera.name: camera.cam_from_world for camera in rig})
    times = np.ones(len(rig)) if solution.problem.noise is None else solution.problem.noise
    count = seen.seen.sum((1, 2))
    noise = times * np.where(count > 0, np.nansum(seen.sigma, (1, 2)) / np.maximum(count, 1), np.nan)
    findings = (*findings, *_all_focal_findings(solution, covariance, columns))
    verdict, reason, action, more = decide_verdict(rig, solution, accuracy, findings)
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


def _all_focal_findings(solution: Solution, covariance: Floats, columns: dict[str, slice]) -> list[Finding]:
    """Findings on every camera's focal length, from its uncertainty in the final solution."""
    findings = []
    for view, lens in enumerate(solution.lenses):
        at = columns[lens.name].start + POSE
        relative_sigma = float(np.sqrt(max(covariance[at, at], 0.0))) / lens.K[0, 0]
        poses = solution.cam_from_world[view] @ solution.world_from_body[solution.problem.used[view].any(-1)]
        findings += focal_findings(lens.name, relative_sigma, poses[np.isfinite(poses).all((1, 2))])
    return findings


def _covariance(solution: Solution) -> tuple[dict[str, slice], Floats]:
    """Joint covariance of all cameras' poses, lenses and coefficients, camera by camera, zero where held fixed."""
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


def _set_world(solution: Solution, old: Rig | None) -> Solution:
    """The solution in the world of measured points or of an old rig; else z is up for cameras held upright."""
    if solution.problem.observations.target.still:
        return solution
    same = [view for view, lens in enumerate(solution.lenses) if old is not None and lens.name in old]
    if old is not None and same:
        kept = np.stack([old[solution.lenses[view].name].cam_from_world for view in same])
        return in_new_world(solution, _robust_alignment(invert(kept), invert(solution.cam_from_world[same])))
    up = -np.mean(solution.cam_from_world[:, 1, :3], 0)
    ahead = np.mean(solution.cam_from_world[:, 2, :3], 0)
    z = up / np.linalg.norm(up)
    y = ahead - z * (ahead @ z)
    y /= np.linalg.norm(y)
    R = np.stack([np.cross(y, z), y, z])
    points = seen_points(solution)
    middle = points.mean(0) if len(points) else np.zeros(3)
    return in_new_world(solution, geometry.pose(R, -R @ middle))


def _robust_alignment(old: Floats, new: Floats) -> Floats:
    """old_from_new (4, 4) with the least median motion between cameras (C, 4, 4), robust to a few that moved."""
    candidates = old @ invert(new)
    spread = np.linalg.norm(old[:, :3, 3] - old[:, :3, 3].mean(0), axis=-1).mean() + 1.0
    aligned = candidates[:, None] @ new[None]
    deviation = (
        np.linalg.norm((aligned - old)[..., :3, :3], axis=(-2, -1))
        + np.linalg.norm((aligned - old)[..., :3, 3], axis=-1) / spread
    )
    return np.asarray(candidates[int(np.argmin(np.median(deviation, 1)))])


def in_new_world(solution: Solution, new_from_old: Floats) -> Solution:
    """The same solution in another world frame."""
    return replace(
        solution,
        cam_from_world=solution.cam_from_world @ invert(new_from_old),
        world_from_body=new_from_old @ solution.world_from_body,
        free_points=None if solution.free_points is None else geometry.transform(new_from_old, solution.free_points),
    )
