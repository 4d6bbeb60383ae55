"""The one verb: sightings of a target become a rig, and what is known about it."""

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
    """Calibrate cameras from what they saw of a target at the same moments.

    lenses: known ones by view; held where fix_lenses, else a start that is believed within half a percent.
    lens_observations: pictures of single cameras that tell about lenses only. rig: an earlier calibration: its lenses
    count as known, its world is kept, and its poses are the start where the target's points are fixed to nothing.
    models: lens models to choose from. shape_sigma_m: above 0 the target's points may be off by about that much (a
    bent or misprinted board), and are found.
    Raises CalibrationError where nothing can be calibrated, in one line with what to film.
    """
    given = dict(lenses or {}) | ({camera.name: camera.lens for camera in rig} if rig is not None else {})
    seen = observations
    observations, known, early = with_lenses(observations, given, fix_lenses, lens_observations, models)
    loose = rig is not None and observations.target.free
    start = _from_rig(observations, rig) if rig is not None and loose else connect_views(observations, known.lenses)
    observations, known, start, late = _connected(observations, known, start)
    solution, refused, clocks = solve_reweighted(_problem(observations, known, start, shape_sigma_m))
    told = (*early, *late, *clocks, *shape_findings(solution))
    made = _finished(_in_a_world(solution, rig), known, start, refused, told)
    return check_consistency(made, seen, rig)


def _from_rig(observations: Observations, rig: Rig) -> Start:
    """The start that a rig gives for points that are fixed to nothing."""
    poses = np.stack([rig[view].cam_from_world for view in observations.views])
    alone = _alone(observations)
    poses[alone] = np.nan
    nowhere = np.full((len(observations.moments), 4, 4), np.nan)
    return Start(poses, nowhere, np.eye(4)[None], (), tuple(np.array(observations.views)[alone].tolist()))


def _alone(observations: Observations) -> Bools:
    """Which views (C,) never saw a point that another saw too: a pose of theirs cannot be judged."""
    seen = observations.seen
    return np.asarray(~(seen & (seen.sum(0) >= 2)).any((1, 2)))


def _connected(
    observations: Observations, known: KnownLenses, start: Start
) -> tuple[Observations, KnownLenses, Start, list[Finding]]:
    """Only the views that hang together, and whom to film with whom for the others."""
    at = np.flatnonzero(np.isfinite(start.cam_from_world).all((1, 2)))
    if not len(at):
        raise CalibrationError(
            "no camera sees enough of the measured points to tell where it stands; it takes six, or four on one plane"
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


def _problem(observations: Observations, known: KnownLenses, start: Start, shape_sigma_m: float) -> Problem:
    target = observations.target
    poses_free = np.ones(len(observations.views), bool)
    poses_free[0] = target.still  # or the world would be nobody's
    pieces = np.where(np.isnan(start.body_from_piece), np.eye(4), start.body_from_piece)
    lost = np.asarray(np.isnan(start.body_from_piece).any((1, 2)))[target.of_piece]
    used: Bools = np.asarray(observations.seen & ~lost)
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


def _finished(
    solution: Solution, known: KnownLenses, start: Start, refused: list[Refusal], findings: Sequence[Finding]
) -> Calibration:
    """Everything that is known, in the world's frame."""
    seen = solution.problem.observations
    observations = replace(seen, refused=(*seen.refused, *refused))
    rig = rig_of(solution)
    columns, covariance = _covariance(solution)
    accuracy = measure_accuracy(solution, covariance, columns)
    pairs = loop_errors(start, {camera.name: camera.cam_from_world for camera in rig})
    times = np.ones(len(rig)) if solution.problem.noise is None else solution.problem.noise
    count = seen.seen.sum((1, 2))
    noise = times * np.where(count > 0, np.nansum(seen.sigma, (1, 2)) / np.maximum(count, 1), np.nan)
    findings = (*findings, *_about_focal_lengths(solution, covariance, columns))
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


def _about_focal_lengths(solution: Solution, covariance: Floats, columns: dict[str, slice]) -> list[Finding]:
    """What is to be said of how well every camera's focal length is known, by all that is known in the end."""
    findings = []
    for view, lens in enumerate(solution.lenses):
        at = columns[lens.name].start + POSE
        unsure = float(np.sqrt(max(covariance[at, at], 0.0))) / lens.K[0, 0]
        poses = solution.cam_from_world[view] @ solution.world_from_body[solution.problem.used[view].any(-1)]
        findings += focal_findings(lens.name, unsure, poses[np.isfinite(poses).all((1, 2))])
    return findings


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


def _in_a_world(solution: Solution, old: Rig | None) -> Solution:
    """The solution in the world of measured points or of an old rig; else with z up if the cameras are held upright."""
    if solution.problem.observations.target.still:
        return solution
    same = [view for view, lens in enumerate(solution.lenses) if old is not None and lens.name in old]
    if old is not None and same:
        kept = np.stack([old[solution.lenses[view].name].cam_from_world for view in same])
        return in_new_world(solution, _least_motion(invert(kept), invert(solution.cam_from_world[same])))
    up = -np.mean(solution.cam_from_world[:, 1, :3], 0)
    ahead = np.mean(solution.cam_from_world[:, 2, :3], 0)
    z = up / np.linalg.norm(up)
    y = ahead - z * (ahead @ z)
    y /= np.linalg.norm(y)
    R = np.stack([np.cross(y, z), y, z])
    points = seen_points(solution)
    middle = points.mean(0) if len(points) else np.zeros(3)
    return in_new_world(solution, geometry.pose(R, -R @ middle))


def _least_motion(old: Floats, new: Floats) -> Floats:
    """old_from_new (4, 4) that brings most of the new cameras (C, 4, 4) nearest to the old: a few may have moved."""
    ideas = old @ invert(new)
    spread = np.linalg.norm(old[:, :3, 3] - old[:, :3, 3].mean(0), axis=-1).mean() + 1.0
    landed = ideas[:, None] @ new[None]
    off = (
        np.linalg.norm((landed - old)[..., :3, :3], axis=(-2, -1))
        + np.linalg.norm((landed - old)[..., :3, 3], axis=-1) / spread
    )
    return np.asarray(ideas[int(np.argmin(np.median(off, 1)))])


def in_new_world(solution: Solution, new_from_old: Floats) -> Solution:
    """The same solution in another world frame."""
    return replace(
        solution,
        cam_from_world=solution.cam_from_world @ invert(new_from_old),
        world_from_body=new_from_old @ solution.world_from_body,
        free_points=None if solution.free_points is None else geometry.transform(new_from_old, solution.free_points),
    )
