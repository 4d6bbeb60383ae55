"""An initial rig from people alone: it starts from two views and adds one view after the other.

The pose of a new view comes from people whose joints the posed views triangulate (perspective-n-point, OpenCV's P3P in
random samples); after each view, bundle adjustment runs and all pairs of posed views are matched again. A start may be
wrong, as where somebody stands still; so several rigs are grown and the one that explains most is kept. Its unit is the
population's mean body size, its world the first view's camera.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from calib import Camera, Lens, Rig
from calib.arrays import Bools, Floats, Ints
from calib.bundle import adjust
from calib.bundle.problem import Problem
from calib.geometry import invert, pose
from calib.observations import Observations
from calib.robust_triangulation import triangulate_robust
from calib.targets import free_points
from mvcap.self_calibration.cross_view_matches import (
    LEAST_FRAMES,
    MovingPeople,
    PairFit,
    fit_pair,
    match_tracks,
    persons_of_tracks,
)
from mvcap.self_calibration.single_view_tracks import RowTrack
from mvcap.structures.anthropometry import body_scale
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import Skeleton

_SEEDS = 4  # pairs of views to start from
_ENOUGH = 0.9  # of the evidence of all pairs of views, each on its own: a rig that explains as much is accepted
_OLD = 4.0  # factor on the noise for the errors of an old rig
_STILL = 2.5  # standard deviations that a body has to move, by the median joint, to give new information
_FRAMES = 40  # frames in the adjustment of a growing rig
_ROUNDS = 2
_WRONG = 4.0  # times the median residual of its view, above which an observation is an outlier
_LEAST_JOINTS = 30  # least inliers for the pose of a new view
_PNP_POINTS = 500


@dataclass(frozen=True, eq=False)
class PeopleViews:
    """Rows of a take, their tracks in each view, and their rays."""

    rows: Detections2D
    lenses: tuple[Lens, ...]
    tracks: list[RowTrack]
    moving: MovingPeople

    def frames_of(self, person: Ints, most: int) -> Ints:
        """Up to `most` frames, evenly spaced, at which two or more views have tracks with a person (K,)."""
        seen: dict[int, set[int]] = {}
        for track, who in zip(self.tracks, person.tolist(), strict=True):
            for frame in track.frame.tolist() if who >= 0 else ():
                seen.setdefault(frame, set()).add(track.view)
        good = np.array(sorted(frame for frame, views in seen.items() if len(views) > 1), np.int64)
        return good[np.unique(np.linspace(0, len(good) - 1, min(most, len(good))).astype(int))] if len(good) else good

    def row_at(self, person: Ints, frames: Ints) -> Ints:
        """Rows (C, T, P) of persons 0..P-1, from the persons (K,) of the tracks; -1 = not seen."""
        people = int(person.max(initial=-1)) + 1
        out = np.full((len(self.lenses), len(frames), people), -1, np.int64)
        for track, who in zip(self.tracks, person.tolist(), strict=True):
            if who >= 0:
                _, here, there = np.intersect1d(frames, track.frame, assume_unique=True, return_indices=True)
                out[track.view, here, who] = track.row[there]
        return out

    def observations(self, person: Ints, frames: Ints, rate_hz: float) -> Observations:
        """All joints of the persons as free points, at these frames: N = persons x joints.

        A person who has not moved since the last frame is left out: the errors of the joints are then the same.
        """
        row = self.row_at(person, frames)
        row = np.where(self._has_moved(row), row, -1)
        there = row >= 0
        views, moments, people = row.shape
        shape = (views, moments, people * len(self.rows.skeleton))
        xy = np.where(there[..., None, None], self.rows.xy[row].astype(np.float64), np.nan).reshape(*shape, 2)
        sigma = np.where(there[..., None], self.rows.noise_px[row].astype(np.float64), np.nan).reshape(shape)
        time_s = np.broadcast_to(frames / rate_hz, (views, moments))
        names = tuple(lens.name for lens in self.lenses)
        sizes = tuple(lens.size for lens in self.lenses)
        moment = tuple(f"{frame / rate_hz:.2f} s" for frame in frames)
        return Observations(free_points(shape[2]), names, sizes, xy, sigma, time_s, moment)

    def _has_moved(self, row: Ints) -> Bools:
        """Mask (T, P) of persons in rows (C, T, P) who have moved in some view since their last masked moment."""
        _, moments, people = row.shape
        out = np.zeros((moments, people), np.bool_)
        for person in range(people):
            last = np.full(len(row), -1)
            for moment in range(moments):
                now = row[:, moment, person]
                if not (now >= 0).any():
                    continue
                both = (now >= 0) & (last >= 0)
                if both.any():
                    off = np.linalg.norm(self.rows.xy[now[both]] - self.rows.xy[last[both]], axis=-1)
                    if np.nanmax(_medians(off / self.rows.noise_px[now[both]]), initial=0.0) < _STILL:
                        continue
                out[moment, person], last = True, now
        return out


def _medians(values: Floats) -> Floats:
    """Median (K,) over (K, J) of the known values; NaN where there are none."""
    known = np.isfinite(values).any(1)
    out = np.full(len(values), np.nan)
    out[known] = np.nanmedian(values[known], axis=1)
    return out


@dataclass(frozen=True, eq=False)
class GrownRig:
    """Poses of the posed views (cam_from_world by view), the person (K,) of each track (-1 = none), the evidence."""

    poses: dict[int, Floats]
    person: Ints
    nats: float


def first_rig(people: PeopleViews, progress: Callable[[int, int], None] = lambda done, whole: None) -> GrownRig | None:
    """The best rig of as many views as people connect; None where they connect no two views."""
    views = len(people.lenses)
    pairs = list(combinations(range(views), 2))
    fits: list[PairFit] = []
    for done, (a, b) in enumerate(pairs):
        progress(done, len(pairs))
        fit = fit_pair(people.moving, people.tracks, a, b)
        fits += [fit] if fit is not None else []
    best: GrownRig | None = None
    most = sum(fit.nats for fit in fits)
    for seed in sorted(fits, key=lambda fit: -fit.nats)[:_SEEDS]:
        grown = _grow(people, {seed.a: np.eye(4), seed.b: seed.pose.b_from_a})
        if grown is not None and (best is None or _better(grown, best)):
            best = grown
        if best is not None and best.nats > _ENOUGH * most:
            break
    return best


def rig_from_old(people: PeopleViews, poses: dict[int, Floats]) -> GrownRig | None:
    """The rig grown from the earlier poses of the cameras; views that do not fit them any more are posed again."""
    return _grow(people, poses, _OLD)


def _better(one: GrownRig, other: GrownRig) -> bool:
    return (len(one.poses), one.nats) > (len(other.poses), other.nats)


def _grow(people: PeopleViews, poses: dict[int, Floats], widened: float = 1.0) -> GrownRig | None:
    """The rig grown from posed views; None where their matches are lost."""
    now = refit_matches(people, poses, widened)
    while now is not None and len(now.poses) < len(people.lenses):
        trials = [
            placed
            for view in range(len(people.lenses))
            if view not in now.poses and (placed := _place_view(people, now, view)) is not None
        ]
        if not trials:
            break
        _, view, cam_from_world = max(trials, key=lambda trial: trial[0])
        grown = refit_matches(people, {**now.poses, view: cam_from_world})
        if grown is None or len(grown.poses) <= len(now.poses):
            break
        now = grown
    return now


def refit_matches(people: PeopleViews, poses: dict[int, Floats], widened: float = 1.0) -> GrownRig | None:
    """Match people of posed views and adjust the poses to them, twice; None where no people match.

    Views without a match are left out. widened: factor on the noise for the errors of the initial poses.
    """
    for factor in (widened, 1.0):
        nats = all_matches(people, poses, factor)
        poses = _sharing(people, poses, nats)
        if not nats:
            return None
        poses = _adjust(people, poses, persons_of_tracks(people.tracks, nats), _FRAMES)
    nats = all_matches(people, poses)
    poses = _sharing(people, poses, nats)
    return GrownRig(poses, persons_of_tracks(people.tracks, nats), sum(nats.values())) if nats else None


def _sharing(people: PeopleViews, poses: dict[int, Floats], nats: dict[tuple[int, int], float]) -> dict[int, Floats]:
    """The posed views that share matched people with another."""
    views = {people.tracks[track].view for pair in nats for track in pair}
    return {view: at for view, at in poses.items() if view in views}


def all_matches(people: PeopleViews, poses: dict[int, Floats], widened: float = 1.0) -> dict[tuple[int, int], float]:
    """Matched tracks of any two posed views, with their evidence."""
    nats: dict[tuple[int, int], float] = {}
    moving = MovingPeople(people.moving.bare, widened * people.moving.noise)
    for a, b in combinations(sorted(poses), 2):
        nats |= match_tracks(moving, people.tracks, a, b, poses[b] @ invert(poses[a]))
    return nats


def pose_view(people: PeopleViews, poses: dict[int, Floats]) -> Rig:
    """The rig of the posed views."""
    return Rig(tuple(Camera(people.lenses[view], poses[view]) for view in sorted(poses)))


def _adjust(people: PeopleViews, poses: dict[int, Floats], person: Ints, frames: int) -> dict[int, Floats]:
    rig = pose_view(people, poses)
    seen = people.observations(person, people.frames_of(person, frames), 1.0).of(rig.names)
    fitted, points = bundle_adjust(rig, seen)
    scale = float(np.nanmedian(body_scale(people.rows.skeleton, joints_3d(points, people.rows.skeleton))))
    fitted = fitted.scaled_world(1 / scale) if np.isfinite(scale) and scale > 0 else fitted
    return dict(zip(sorted(poses), fitted.cam_from_world, strict=True))


def joints_3d(points: Floats, kind: Skeleton) -> Floats:
    """Joints (..., P, J, 3) of free points (..., P J, 3)."""
    return points.reshape(*points.shape[:-2], -1, len(kind), 3)


def bundle_adjust(rig: Rig, seen: Observations, rounds: int = _ROUNDS) -> tuple[Rig, Floats]:
    """Rig, with its lenses fixed, and points (T, N, 3) that fit the observations best; outliers are left out."""
    start = triangulate_robust(rig, seen.xy, seen.sigma)
    points, used = start.xyz, start.used
    lenses = tuple(camera.lens for camera in rig)
    poses_free = np.arange(len(rig)) > 0
    held_fixed = np.zeros((len(rig), 16), bool)
    bodies, piece = np.tile(np.eye(4), (len(seen.moments), 1, 1)), np.eye(4)[None]
    for _ in range(rounds):
        problem = Problem(
            seen, lenses, rig.cam_from_world, bodies, piece, used, held_fixed, poses_free, free_points=points
        )
        solution = adjust(problem, iterations=30, tolerance=1e-6)
        rig = Rig(tuple(Camera(lens, at) for lens, at in zip(lenses, solution.cam_from_world, strict=True)))
        again = triangulate_robust(rig, seen.xy, seen.sigma)
        points, used = again.xyz, again.used & ~_is_outlier(again.residual_px / seen.sigma)
    return rig, points


def _is_outlier(normal: Floats) -> Bools:
    """Mask (C, T, N) of outliers: residuals in standard deviations far above the median of their view."""
    typical = np.array([np.nanmedian(view) if np.isfinite(view).any() else 1.0 for view in normal])
    return np.asarray(normal > _WRONG * typical[:, None, None])


def _place_view(people: PeopleViews, now: GrownRig, view: int) -> tuple[float, int, Floats] | None:
    """Evidence, view and pose of a new view, from joints that the posed ones triangulate; None where none fits."""
    rig = pose_view(people, now.poses)
    frames = people.frames_of(now.person, 3 * _FRAMES)
    seen = people.observations(now.person, frames, 1.0).of(rig.names)
    bodies = joints_3d(triangulate_robust(rig, seen.xy, seen.sigma).xyz, people.rows.skeleton)
    best: tuple[float, int, Floats] | None = None
    for track in people.tracks:
        if track.view != view:
            continue
        _, here, there = np.intersect1d(frames, track.frame, assume_unique=True, return_indices=True)
        for person in range(bodies.shape[1]) if len(here) >= LEAST_FRAMES else ():
            found = _resect(people.moving, bodies[here, person], track.row[there])
            if found is None:
                continue
            nats = sum(
                sum(match_tracks(people.moving, people.tracks, other, view, found @ invert(at)).values())
                for other, at in now.poses.items()
            )
            if nats > 0 and (best is None or nats > best[0]):
                best = nats, view, found
    return best


def _resect(moving: MovingPeople, xyz: Floats, rows: Ints) -> Floats | None:
    """Pose (4, 4) of a camera from joints (F, J, 3) of the world seen in its rows (F,); None where none fits."""
    import cv2

    points, flat, noise = xyz.reshape(-1, 3), moving.bare[rows].reshape(-1, 2), moving.noise[rows].ravel()
    good = np.flatnonzero(np.isfinite(points).all(-1) & np.isfinite(noise))
    if len(good) < _LEAST_JOINTS:
        return None
    good = good[np.unique(np.linspace(0, len(good) - 1, min(_PNP_POINTS, len(good))).astype(int))]
    width = 3 * float(np.median(noise[good]))
    done, turn, shift, inside = cv2.solvePnPRansac(
        points[good], flat[good], np.eye(3), None, iterationsCount=300, reprojectionError=width, flags=cv2.SOLVEPNP_P3P
    )
    if not done or inside is None or len(inside) < max(_LEAST_JOINTS, 0.3 * len(good)):
        return None
    some = good[inside.ravel()]
    turn, shift = cv2.solvePnPRefineLM(points[some], flat[some], np.eye(3), None, turn, shift)
    return pose(cv2.Rodrigues(turn)[0], shift.ravel())
