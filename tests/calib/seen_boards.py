"""What cameras see of any target, boards or not, and problems that start from the truth: all from seeds."""

from dataclasses import replace

import numpy as np
from generated_boards import MIDDLE, Take, arc_rig, board_observations, standing, volume_rms  # noqa: F401

from calib import Camera, Rig
from calib.boards import board_from
from calib.bundle import Problem
from calib.bundle.equations import LENS, small_motion
from calib.geometry import pose, rotation_from_vector, transform
from calib.lenses.models import PINHOLE
from calib.observations import Observations
from calib.targets import Target

BOARD = board_from("chessboard:7x5:100mm")
SMALL = Target("small board", [[0.15 * x, 0.15 * y, 0.0] for y in range(3) for x in range(4)])


def lens_of_many(rig):
    """The lenses of a rig by view."""
    return {camera.name: camera.lens for camera in rig}


def scattered(count, seed=0, *, target=BOARD.target, spread_m=0.7, turned=0.5, middle=MIDDLE, facing_deg=0.0):
    """Poses (count, 4, 4) of a target here and there about a place, each turned at random about a mean of facing the
    world's x axis (turned by facing_deg about z); turned: standard deviation of each rotation, radians."""
    rng = np.random.default_rng(seed)
    facing = np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])
    about = rotation_from_vector([0, 0, np.deg2rad(facing_deg)])
    R = about @ rotation_from_vector(rng.normal(0, turned, (count, 3))) @ facing
    place = middle + rng.uniform(-spread_m, spread_m, (count, 3))
    return pose(R, place - np.einsum("tij,j->ti", R, target.points.mean(0)))


def sightings(rig, target, world, noise_px=0.1, *, seed=0, time_s=None):
    """What a rig sees of points (T, N, 3) or (C, T, N, 3) m, as `Observations`, without anything that hides them."""
    rng = np.random.default_rng(seed)
    world = np.broadcast_to(world, (len(rig), *np.shape(world)[-3:]))
    xy = np.stack([camera.project(points) for camera, points in zip(rig, world, strict=True)])
    sizes = np.array([camera.size for camera in rig])[:, None, None]
    xy = np.where(((xy >= 0) & (xy <= sizes - 1)).all(-1)[..., None], xy + rng.normal(0, noise_px, xy.shape), np.nan)
    count = world.shape[1]
    clock = np.tile(np.arange(count) / 5.0 if time_s is None else time_s, (len(rig), 1))
    sigma = np.full(xy.shape[:-1], noise_px or 0.1)
    names = tuple(f"{index}" for index in range(count))
    return Observations(target, rig.names, tuple(camera.size for camera in rig), xy, sigma, clock, names)


def board_sightings(rig, poses, noise_px=0.1, *, board=BOARD, seed=0, **options):
    """What a rig sees of a board that stands at poses (T, 4, 4), one a moment."""
    take = Take(rig, standing(poses), board, frames=len(poses), rate_hz=1.0, **options)
    return board_observations(take, noise_px, seed=seed)


def problem_of(observations, rig, poses, *, free=PINHOLE[3], hold=0, seed=None, **options):
    """The problem that starts at the truth, or near it with a seed; one camera's pose is held."""
    cameras = len(rig)
    lens_free = np.zeros((cameras, LENS), bool) if free is None else np.tile(free.mask(), (cameras, 1))
    poses_free = np.ones(cameras, bool)
    if hold is not None:
        poses_free[hold] = False
    pieces = options.pop("body_from_piece", np.tile(np.eye(4), (len(observations.target.pieces), 1, 1)))
    at, bodies = np.array(rig.cam_from_world), np.array(poses)
    if seed is not None:
        rng = np.random.default_rng(seed)
        at[poses_free] = small_motion(rng.normal(0, 0.01, (poses_free.sum(), 6))) @ at[poses_free]
        bodies = bodies @ small_motion(rng.normal(0, 0.01, (len(bodies), 6)))
    lenses = tuple(camera.lens for camera in rig)
    return Problem(observations, lenses, at, bodies, pieces, observations.seen, lens_free, poses_free, **options)


def small_problem(outliers=False):
    """Two cameras, six moments of a small board, one distortion coefficient; outliers: two sightings are far off."""
    rig, poses = arc_rig(2, 5), scattered(6, 3, spread_m=0.4)
    seen = sightings(rig, SMALL, in_place(SMALL, poses), 0.3, seed=1)
    if outliers:
        xy = np.array(seen.xy)
        xy[0, 2, 3] += 20.0
        xy[1, 4, 7] -= [9.0, 0.0]
        seen = replace(seen, xy=xy)
    return problem_of(seen, rig, poses, free=PINHOLE[1], seed=2)


def in_place(board, poses):
    """World points (T, N, 3) m of a target at poses (T, 4, 4)."""
    return transform(poses[:, None], board.points[None])


def relative(rig):
    """Poses (C, 4, 4) of all cameras in the frame of the first."""
    first = np.linalg.inv(rig.cam_from_world[0])
    return rig.cam_from_world @ first


def pose_error(a, b):
    """Largest angle, degrees, and largest distance, m, between the cameras of two rigs seen from their first ones."""
    off = relative(a) @ np.linalg.inv(relative(b))
    turned = np.clip((np.trace(off[:, :3, :3], axis1=1, axis2=2) - 1) / 2, -1, 1)
    shift = np.linalg.norm(relative(a)[:, :3, 3] - relative(b)[:, :3, 3], axis=-1)
    return float(np.rad2deg(np.arccos(turned)).max()), float(shift.max())


def with_lenses(rig, lenses):
    """The same poses with other lenses."""
    return Rig(tuple(Camera(lens, camera.cam_from_world) for lens, camera in zip(lenses, rig, strict=True)))


def close_ups(lens, count, seed=0, *, turned=0.5, board=BOARD.target, noise_px=0.1, near=(0.5, 1.0), reach=1.0):
    """What one camera sees of a board held before it here and there in its picture.

    near: shares of the picture's width that the board fills, least and most; reach: how far towards the rim it gets.
    """
    rng = np.random.default_rng(seed)
    R = rotation_from_vector(rng.normal(0, turned, (count, 3)) * [1, 1, 0.6])
    away = lens.K[0, 0] * np.ptp(board.points[:, 0]) / lens.size[0] / rng.uniform(near[0], near[1], count)
    pixel = (0.5 + reach * rng.uniform(-0.42, 0.42, (count, 2))) * lens.size
    ray = np.concatenate([lens.undistort(pixel), np.ones((count, 1))], 1)
    place = ray * away[:, None]
    poses = pose(R, place - np.einsum("tij,j->ti", R, board.points.mean(0)))
    rig = Rig((Camera(lens, np.eye(4)),))
    return sightings(rig, board, in_place(board, poses), noise_px, seed=seed + 1)


def with_poses(rig, cam_from_world):
    """The same lenses at other poses."""
    return Rig(tuple(Camera(camera.lens, at) for camera, at in zip(rig, cam_from_world, strict=True)))
