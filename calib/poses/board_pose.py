"""Poses of a rigid target from single images of a camera with a known lens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calib import geometry
from calib.arrays import Bools, Floats
from calib.camera import Lens
from calib.targets import Target

LEAST = 4  # points that determine the pose of a flat board; a body of any other shape needs six
_SPREAD = 0.02  # least width over length of a board's visible points for a pose


@dataclass(frozen=True, eq=False)
class BoardPoses:
    """Poses of B pieces at T moments, two each: for a distant flat board, a mirrored pose fits almost as well.

    cam_from_piece (2, T, B, 4, 4), the better first; rms (2, T, B) px; NaN where a piece is not seen well enough.
    """

    cam_from_piece: Floats
    rms: Floats


def board_poses(xy: Floats, target: Target, lens: Lens) -> BoardPoses:
    """Poses of every piece from observations xy (T, N, 2) px of one camera.

    Flat pieces by IPPE (Collins and Bartoli 2014), others by SQPnP (Terzakis and Lourakis 2020), both in OpenCV.
    """
    pieces = len(target.pieces)
    poses, rms = np.full((2, len(xy), pieces, 4, 4), np.nan), np.full((2, len(xy), pieces), np.nan)
    flat = lens.undistort(xy)
    seen = np.asarray(np.isfinite(flat).all(-1))
    focal = float(np.sqrt(lens.K[0, 0] * lens.K[1, 1]))
    for piece in range(pieces):
        of = target.of_piece == piece
        rank = target.rank(piece)
        if rank < 2:
            continue
        frame, points = _flatten(target.points[of]) if rank == 2 else (np.eye(4), target.points[of])
        for moment in np.flatnonzero((seen[:, of]).sum(-1) >= (LEAST if rank == 2 else LEAST + 2)):
            here = seen[moment, of]
            if not _spreads(points[here], rank):
                continue
            found = _poses(points[here], flat[moment, of][here], rank)
            for index, pose in enumerate(found[:2]):
                residual = _reproject(pose, points[here]) - flat[moment, of][here]
                rms[index, moment, piece] = focal * np.sqrt((residual**2).mean())
                poses[index, moment, piece] = pose @ frame
    swap = rms[1] < rms[0]
    poses[:, swap], rms[:, swap] = poses[::-1, swap], rms[::-1, swap]
    return BoardPoses(poses, rms)


def _flatten(points: Floats) -> tuple[Floats, Floats]:
    """flat_from_piece (4, 4) and the points (N, 3) in that frame: centred, with z = 0."""
    middle = points.mean(0)
    _, _, axes = np.linalg.svd(points - middle)
    axes[2] = np.cross(axes[0], axes[1])
    frame = geometry.pose(axes, -axes @ middle)
    flat = geometry.transform(frame, points)
    flat[:, 2] = 0.0
    return frame, flat


def _spreads(points: Floats, rank: int) -> Bools | bool:
    size = np.linalg.svd(points - points.mean(0), compute_uv=False)
    return bool(size[rank - 1] > _SPREAD * size[0])


def _poses(points: Floats, flat: Floats, rank: int) -> list[Floats]:
    """Candidate cam_from_flat (4, 4), in front of the camera."""
    import cv2

    # Without noise, IPPE may find no pose where a symmetry makes it divide by zero.
    for method in (cv2.SOLVEPNP_IPPE, cv2.SOLVEPNP_SQPNP) if rank == 2 else (cv2.SOLVEPNP_SQPNP,):
        try:
            _, turns, shifts, _ = cv2.solvePnPGeneric(points, flat[:, None], np.eye(3), None, flags=method)
        except cv2.error:  # degenerate points that the checks above did not catch
            continue
        found = []
        for turn, shift in zip(turns, shifts, strict=True):
            pose = geometry.pose(geometry.rotation_from_vector(turn.ravel()), shift.ravel())
            if np.isfinite(pose).all() and (geometry.transform(pose, points)[:, 2] > 0).all():
                found.append(pose)
        if found:
            return found
    return []


def _reproject(pose: Floats, points: Floats) -> Floats:
    seen = geometry.transform(pose, points)
    return np.asarray(seen[:, :2] / seen[:, 2:])


def homographies(xy: Floats, points: Floats) -> Floats:
    """Maps (T, 3, 3) of flat points (N, 2 of 3) to pixels xy (T, N, 2), NaN where fewer than four are seen.

    Normalised direct linear transformation (Hartley 1997).
    """
    out = np.full((len(xy), 3, 3), np.nan)
    plane = points[:, :2]
    for moment, row in enumerate(xy):
        here = np.isfinite(row).all(-1)
        if here.sum() < LEAST:
            continue
        (a, from_a), (b, from_b) = _normalise(plane[here]), _normalise(row[here])
        one = np.ones((len(a), 1))
        nought = np.zeros((len(a), 3))
        ground = np.concatenate([a, one], 1)
        rows = np.concatenate(
            [
                np.concatenate([ground, nought, -b[:, :1] * ground], 1),
                np.concatenate([nought, ground, -b[:, 1:] * ground], 1),
            ]
        )
        _, size, right = np.linalg.svd(rows, full_matrices=True)
        if size[-1 if len(size) < 9 else -2] > 1e-9 * size[0]:
            out[moment] = np.linalg.inv(from_b) @ right[-1].reshape(3, 3) @ from_a
    return out


def _normalise(points: Floats) -> tuple[Floats, Floats]:
    middle = points.mean(0)
    size = np.sqrt(((points - middle) ** 2).sum(-1).mean() / 2) or 1.0
    return (points - middle) / size, np.array(
        [[1 / size, 0, -middle[0] / size], [0, 1 / size, -middle[1] / size], [0, 0, 1]]
    )
