"""People of one view in three dimensions: detections of one person become a track, which is lifted and placed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from calib import Rig
from calib.arrays import Floats, Ints
from calib.camera import Camera, Lens
from calib.geometry import invert, transform
from mvcap.errors import PluginError
from mvcap.structures.contracts import Lifter, RootDepth
from mvcap.structures.detections import Detections2D
from mvcap.structures.lifted_person import LiftedPerson
from mvcap.structures.poses import Poses3D, Provenance, packed_covariance
from mvcap.structures.ray_frames import turns_to_rays
from mvcap.structures.view_track import LiftedBody, RootDistances, ViewTrack

LIFT_REACH_S = 2.0
"""How far beyond a chunk a person of one view is looked at, as lifters see time on both sides of a frame."""
_INFERRED = 0.5  # score of joints that were not detected, over the mean of those that were
_LEAST_SCORE = 1e-3


def track_of(rows: Detections2D, lens: Lens, rate_hz: float) -> tuple[Ints, ViewTrack]:
    """Return the frames (T,) of one person's rows of one view, and their track.

    Of two rows of one frame, which are parts of one body, each joint has the place with the higher score.
    """
    order = np.lexsort((-rows.score.sum(1), rows.frame))
    rows = rows[order]
    frame, first, place = np.unique(rows.frame.astype(np.int64), return_index=True, return_inverse=True)
    score = np.zeros((len(frame), len(rows.skeleton)))
    best = np.tile(first[:, None], (1, len(rows.skeleton)))
    for row, at in enumerate(place.tolist()):
        better = rows.score[row] > score[at]
        score[at] = np.where(better, rows.score[row], score[at])
        best[at] = np.where(better, row, best[at])
    joint = np.arange(len(rows.skeleton))
    xy, noise = rows.xy[best, joint].astype(np.float64), rows.noise_px[best, joint].astype(np.float64)
    track = ViewTrack(rows.skeleton, lens, frame / rate_hz, xy, score, noise, _metric(rows, best, lens, xy))
    return frame, track


def _metric(rows: Detections2D, best: Ints, lens: Lens, xy: Floats) -> Floats | None:
    """Joints (T, J, 3) m that the estimator itself gives, turned from the ray through the hips to the camera's axes."""
    if rows.metric is None:
        return None
    metric = rows.metric[best, np.arange(len(rows.skeleton))].astype(np.float64)
    hips = [at for at, name in enumerate(rows.skeleton.joints) if name in ("left_hip", "right_hip", "pelvis")]
    flat = lens.undistort(xy[:, hips].mean(1)) if hips else np.full((len(xy), 2), np.nan)
    turn = turns_to_rays(np.concatenate([flat, np.ones((len(flat), 1))], -1))
    return np.asarray(np.einsum("tab,tjb->tja", turn, metric))


def lift_person(
    rows: Detections2D, lens: Lens, rate_hz: float, lifter: Lifter, root_depth: RootDepth, focal_sigma: float = 0.0
) -> LiftedPerson:
    """Return one person's rows of one view in three dimensions, in the camera's frame.

    focal_sigma: relative standard deviation of the lens's focal length. Raises PluginError if a lifter or root depth
    returns something else than its contract says.
    """
    frame, track = track_of(rows, lens, rate_hz)
    body = lifter.lift(track)
    wanted = track.xy.shape[:2]
    if not isinstance(body, LiftedBody) or body.joints.shape != (*wanted, 3):
        raise PluginError(f"lifter {type(lifter).__name__} did not return a LiftedBody of {wanted} frames and joints")
    root = root_depth.place(track, body)
    if not isinstance(root, RootDistances) or root.root.shape != (wanted[0], 3):
        raise PluginError(f"root depth {type(root_depth).__name__} did not return RootDistances of {wanted[0]} frames")
    return LiftedPerson(frame, track, body, root, focal_sigma)


def people_in(rows: Detections2D) -> Iterator[tuple[int, Detections2D]]:
    """Yield each person of some rows, and the rows of that person."""
    for person in np.unique(rows.person[rows.person >= 0]).tolist():
        yield person, rows[rows.person == person]


def lifted_rows(
    rows: Detections2D, rig: Rig, rate_hz: float, lifter: Lifter, root_depth: RootDepth, focal_sigma: float = 0.0
) -> Poses3D:
    """Return the poses of the people of one view in the world frame, each frame as it is lifted, without smoothing.

    rows: of a rig of one camera, with the number of a track in ``person``, which becomes person and group.
    """
    parts = []
    for person, mine in people_in(rows):
        lifted = lift_person(mine, rig[0].lens, rate_hz, lifter, root_depth, focal_sigma)
        parts.append(poses_in_world(lifted, rig[0], person, lifted.frame, lifted.xyz, lifted.covariance))
    made = Poses3D.concatenate(parts, rows.skeleton)
    return made[np.lexsort((made.person, made.frame))]


def poses_in_world(
    lifted: LiftedPerson, camera: Camera, person: int, frame: Ints, xyz: Floats, covariance: Floats
) -> Poses3D:
    """Return rows of a person in frames (T,), from joints (T, J, 3) m and covariances in the camera's frame.

    Frames may be other ones than those in which the person was detected, whose joints are interpolated ones. A frame
    without any joint has no row. Score, error and provenance follow from the detections of the same frame.
    """
    track, kind = lifted.track, lifted.track.skeleton
    at = np.searchsorted(lifted.frame, frame)
    at = np.minimum(at, len(lifted.frame) - 1)
    looked = lifted.frame[at] == frame
    with np.errstate(invalid="ignore"):
        there = np.isfinite(xyz).all(-1) & np.isfinite(covariance).all((-1, -2)) & (xyz[..., 2] > 0)
    seen = track.known[at] & looked[:, None] & there
    world = invert(camera.cam_from_world)
    turn = world[:3, :3]
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.linalg.norm(camera.lens.distort(xyz[..., :2] / xyz[..., 2:]) - track.xy[at], axis=-1)
    known = np.maximum(track.known.sum(-1), 1)
    usual = _INFERRED * np.where(track.known, track.score, 0).sum(-1) / known
    score = np.where(seen, track.score[at], usual[at][:, None])
    filled = np.where(looked[:, None], Provenance.PRIOR, Provenance.INTERPOLATED)
    rows = np.flatnonzero(there.any(-1))
    columns = {
        "xyz": np.where(there[..., None], transform(world, xyz), np.nan),
        "score": np.where(there, np.maximum(score, _LEAST_SCORE), 0),
        "error_px": np.where(seen, error, np.nan),
        "views": seen.astype(np.uint8),
        "cov": np.where(there[..., None], packed_covariance(turn @ covariance @ turn.T), np.nan),
        "provenance": np.where(seen, Provenance.MONOCULAR, np.where(there, filled, Provenance.MISSING)),
    }
    who = np.full(len(rows), person)
    return Poses3D(kind, frame[rows], who, who, **{name: values[rows] for name, values in columns.items()})
