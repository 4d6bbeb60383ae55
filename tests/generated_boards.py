"""Footage of calibration boards whose truth is known: rigs, ways of a board through the room, sightings.

A ``Take`` is everything that is true. ``board_observations`` makes the table of what its cameras see, without pictures;
``pictures`` draws what a camera films and ``footage`` writes it as videos (`board_footage`). Everything follows from
seeds. Units are metres, z up, seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from board_footage import Look, footage, pictures  # noqa: F401  what takes are filmed with

from calib import Camera, Lens, Rig
from calib.boards import board_from
from calib.boards.pictures import drawings
from calib.geometry import invert, pose, rotation_from_vector, similarity, transform
from calib.observations import Observations

SIZE = (1280, 720)
BOARD = board_from("charuco:7x5:120mm:90mm:DICT_5X5_100")
VOLUME_M, MIDDLE = np.array([1.6, 2.4, 1.9]), np.array([0.0, 0.0, 1.1])
SETS = {
    "4 cameras, 200 frames": (4, 200, 1),
    "4 cameras, 200 frames, other": (4, 200, 2),
    "6 cameras, 250 frames": (6, 250, 3),
}
_UP = np.array([0, 0, 1.0])
_STEEPEST = np.cos(np.deg2rad(78))  # between a board's normal and the way to the camera, where corners can be seen


@dataclass(frozen=True)
class Bump:
    """A camera that is knocked: from a frame on it is turned (degrees, about its own axes) and moved (m)."""

    view: str
    frame: int
    turned_deg: tuple[float, float, float] = (0.0, 1.0, 0.0)
    moved_m: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Take:
    """A rig that films a board, and the truth of it.

    path: world_from_body (T, 4, 4) at times (T,) s; body_from_piece (B, 4, 4) where the board has several pieces;
    offset_s (C,): how much later each camera exposes than the clock says; hand: share of time that a hand holds a part
    of the board; bend_m: how far its middle stands out towards who looks at it; stretch: of the print, across and
    down; see_through: it is seen from behind, mirrored.
    """

    rig: Rig
    path: Callable
    board: object = BOARD
    frames: int = 200
    rate_hz: float = 10.0
    body_from_piece: np.ndarray | None = None
    offset_s: tuple[float, ...] = ()
    bumps: tuple[Bump, ...] = ()
    hand: float = 0.0
    bend_m: float = 0.0
    stretch: tuple[float, float] = (1.0, 1.0)
    see_through: bool = False

    @cached_property
    def time_s(self):
        """Clock times (T,)."""
        return np.arange(self.frames) / self.rate_hz

    @cached_property
    def world_from_body(self):
        """Where the board is at the clock's times, (T, 4, 4)."""
        return self.path(self.time_s)

    @cached_property
    def pieces(self):
        """body_from_piece (B, 4, 4)."""
        count = len(self.board.target.pieces)
        return np.tile(np.eye(4), (count, 1, 1)) if self.body_from_piece is None else np.asarray(self.body_from_piece)

    @cached_property
    def drawings(self):
        """What is printed on each piece."""
        return drawings(self.board)

    def paper_m(self, piece):
        """White round the print of a piece."""
        alone = self.board.target.pieces[piece].startswith("tag ")
        return (0.25 if alone else 0.07) * max(self.drawings[piece].size_m)

    def late_s(self, view):
        """How much later a camera exposes."""
        return self.offset_s[view] if self.offset_s else 0.0

    def poses_of(self, view):
        """cam_from_world (T, 4, 4) of a camera, knocks included."""
        camera = self.rig[view]
        out = np.tile(camera.cam_from_world, (self.frames, 1, 1))
        for bump in self.bumps:
            if bump.view == camera.name:
                turned = pose(rotation_from_vector(np.deg2rad(bump.turned_deg)), bump.moved_m)
                out[bump.frame :] = turned @ out[bump.frame :]
        return out

    def shaped(self, points, piece):
        """Points (N, 3) of a piece's print where the real board, stretched and bent, has them."""
        drawing = self.drawings[piece]
        x = points[:, 0] * self.stretch[0]
        return np.stack([x, points[:, 1] * self.stretch[1], points[:, 2] - self._out(x, drawing)], -1)

    def _out(self, x, drawing):
        middle, half = 0.5 * (drawing.x[0] + drawing.x[-1]) * self.stretch[0], 0.5 * drawing.size_m[0] * self.stretch[0]
        return self.bend_m * (1 - ((x - middle) / half) ** 2) if self.bend_m else 0.0 * x

    def points(self):
        """Points (N, 3) of the real target in the frame of its body."""
        target = self.board.target
        out = np.empty((len(target), 3))
        for piece, body_from_piece in enumerate(self.pieces):
            mine = target.of_piece == piece
            out[mine] = transform(body_from_piece, self.shaped(target.points[mine], piece))
        return out

    def hand_at(self, time_s, piece=0):
        """Middle and half axes (4,) m of what a hand covers of a piece, or None: it holds the rim, here and there."""
        if np.sin(1.3 * time_s + 2 * piece) > -np.cos(np.pi * self.hand):
            return None
        drawing, turn = self.drawings[piece], 0.5 * time_s + piece
        wide, high = drawing.size_m
        middle = np.array([drawing.x[0] + wide / 2, drawing.y[0] + high / 2])
        rim = np.clip(0.75 * np.array([np.cos(turn), np.sin(turn)]), -0.5, 0.5) * (wide, high)
        return np.array([*(middle + rim), 0.22 * min(wide, high), 0.16 * min(wide, high)])


# --- rigs and ways ---------------------------------------------------------------------------------------------------


def arc_rig(cameras=4, seed=0, *, degrees=120.0, radius_m=3.5, size=SIZE, model="pinhole"):
    """Cameras on an arc round the middle of the volume, each with a lens of its own: f 1000 to 1060 px at 1280 px
    width, k1 about -0.12, the principal point 5 to 22 px off the centre. ``model``: any of ``calib.Lens``."""
    rng = np.random.default_rng(seed)
    angles = np.deg2rad(np.linspace(-degrees / 2, degrees / 2, cameras)) if cameras > 1 else [0.0]
    made = []
    for index, angle in enumerate(angles):
        height = MIDDLE[2] + (0.1, 0.7, -0.2, 0.4)[index % 4] + rng.uniform(-0.1, 0.1)
        position = np.array([radius_m * np.cos(angle), radius_m * np.sin(angle), height])
        lens = made_lens(f"cam{index + 1:02d}", rng, size, model)
        made.append(Camera(lens, looking_at(position, MIDDLE + rng.uniform(-0.1, 0.1, 3), rng.normal(0, 0.02))))
    return Rig(tuple(made))


def made_lens(name, rng, size=SIZE, model="pinhole"):
    """A lens as those of ``arc_rig``; a fisheye sees twice as far to the side."""
    scale, turn = size[0] / 1280, rng.uniform(0, 2 * np.pi)
    focal = rng.uniform(1000, 1060) * scale * (0.5 if model == "fisheye" else 1.0)
    off = rng.uniform(5, 22) * scale * np.array([np.cos(turn), np.sin(turn)])
    cx, cy = np.array(size) / 2 - 0.5 + off
    K = np.array([[focal, 0, cx], [0, focal * rng.uniform(0.999, 1.001), cy], [0, 0, 1]])
    k1, k2 = rng.normal(-0.12, 0.01), rng.normal(0.02, 0.01)
    p1, p2 = rng.normal(0, 3e-4, 2)
    of_model = {
        "pinhole": [k1, k2, p1, p2, 0.0],
        "rational": [k1 + 0.3, k2, p1, p2, 0.0, 0.3, 0.02, 0.0],
        "fisheye": [0.1 * k1, 0.2 * k2, 0.0, 0.0],
    }
    return Lens(name, size, K, np.array(of_model[model]), model)


def looking_at(position, at, roll=0.0):
    """cam_from_world (4, 4) of a camera that looks at a point, upright but for a roll, radians."""
    z = np.asarray(at) - position
    z /= np.linalg.norm(z)
    x = np.cross(z, _UP)
    x /= np.linalg.norm(x)
    R = rotation_from_vector([0, 0, roll]) @ np.stack([x, np.cross(z, x), z])
    return pose(R, -R @ position)


def carried(board=BOARD, seed=0, *, volume_m=VOLUME_M, middle=MIDDLE, turns_deg=(45.0, 30.0, 35.0), facing_deg=0.0):
    """Way of a board carried by hand through a volume: world_from_body at times (T,) s.

    It faces ``facing_deg`` (of the world's x axis, about z), turned about the vertical, tilted and rolled by angles of
    the given standard deviations; now and then it is turned away from some cameras.
    """
    rng = np.random.default_rng(seed)
    slow, fast = rng.uniform(0.05, 0.12, 6), rng.uniform(0.16, 0.3, 6)
    phases = rng.uniform(0, 2 * np.pi, (2, 6))
    body_middle = _middle_of(board)

    def path(time_s):
        t = 2 * np.pi * np.asarray(time_s, np.float64)[..., None]
        swing = 0.75 * np.sin(slow * t + phases[0]) + 0.4 * np.sin(fast * t + phases[1])  # within 1.15, 0.6 on average
        place = middle + np.clip(swing[..., :3], -1, 1) * 0.5 * np.asarray(volume_m) * 0.85
        yaw, tilt, roll = np.moveaxis(swing[..., 3:] / 0.6 * np.deg2rad(turns_deg), -1, 0)
        facing = np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])  # its front, -z, to the world's x; its y down
        R = _about(_UP, yaw + np.deg2rad(facing_deg)) @ facing @ _about([1, 0, 0], tilt) @ _about([0, 0, 1], roll)
        return pose(R, place - np.einsum("...ij,j->...i", R, body_middle))

    return path


def standing(poses, seconds=1.0):
    """Way of a board that is put somewhere for some seconds each: poses (S, 4, 4)."""
    poses = np.asarray(poses)
    return lambda time_s: poses[np.clip(np.asarray(time_s) // seconds, 0, len(poses) - 1).astype(int)]


def _middle_of(board):
    drawing = drawings(board)[0]
    return np.array([0.5 * (drawing.x[0] + drawing.x[-1]), 0.5 * (drawing.y[0] + drawing.y[-1]), 0.0])


def _about(axis, angle):
    return rotation_from_vector(np.asarray(angle)[..., None] * np.asarray(axis, np.float64))


def peers_take(name):
    """One of the three sets that PEERS.md states figures of, by its name in ``SETS``."""
    cameras, frames, seed = SETS[name]
    return Take(arc_rig(cameras, seed), carried(BOARD, seed, turns_deg=(32, 22, 25)), frames=frames, hand=0.15)


# --- how good a rig is -----------------------------------------------------------------------------------------------


def volume_points(volume_m=VOLUME_M, middle=MIDDLE):
    """390 points (N, 3) m on a grid through the volume, its faces included."""
    axes = [
        m + side * np.linspace(-0.5, 0.5, count) for m, side, count in zip(middle, volume_m, (6, 13, 5), strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)


def volume_rms(estimated, true, points=None):
    """RMS error, mm, of points of the volume that the true rig sees without noise and the estimated one triangulates.

    Where that is does not matter (aligned without scale); only pixels in the pictures count, at least two a point.
    Infinite where the estimated rig cannot triangulate what was seen.
    """
    points = volume_points() if points is None else points
    xy = true.project(points)
    inside = [
        ((one >= -0.5) & (one <= np.array(camera.size) - 0.5)).all(-1) for camera, one in zip(true, xy, strict=True)
    ]
    xy = np.where(np.array(inside)[..., None], xy, np.nan)
    known = np.isfinite(xy[..., 0]).sum(0) >= 2
    found = estimated.select(true.names).triangulate(xy[:, known])
    if not np.isfinite(found).all():
        return float("inf")
    _, R, t = similarity(found, points[known], scale=False)
    return float(1000 * np.sqrt(((found @ R.T + t - points[known]) ** 2).sum(-1).mean()))


# --- sightings without pictures --------------------------------------------------------------------------------------


def board_observations(take, noise_px=0.1, *, outliers=0.0, outlier_px=8.0, missing=0.0, seed=0):
    """What the cameras of a take see of its points, by projection.

    A coordinate is wrong by a normal error of noise_px * (1 + (8 px / s)^2), s the distance in the picture to the next
    point of the piece, which is its sigma; 0: exact, and sigma that of 0.1 px. ``outliers``: share of points that are
    up to ``outlier_px`` off besides; ``missing``: share not found.
    Points outside of the picture, under the hand, and of pieces seen steeply or from behind are NaN.
    """
    rng = np.random.default_rng(seed)
    target, points = take.board.target, take.points()
    shape = (len(take.rig), take.frames, len(target))
    xy, sigma = np.full((*shape, 2), np.nan), np.full(shape, np.nan)
    for view, camera in enumerate(take.rig):
        cam_from_body = take.poses_of(view) @ take.path(take.time_s + take.late_s(view))
        for frame, matrix in enumerate(cam_from_body):
            xy[view, frame] = Camera(camera.lens, matrix).project(points)
            xy[view, frame, _hidden(take, matrix, take.time_s[frame] + take.late_s(view))] = np.nan
        inside = (xy[view] >= 0) & (xy[view] <= np.array(camera.size) - 1)
        xy[view, ~inside.all(-1)] = np.nan
        sigma[view] = (noise_px or 0.1) * (1 + (8 / _spacing(xy[view], target)) ** 2)
    if noise_px:
        xy += rng.normal(0, 1, xy.shape) * sigma[..., None]
    off = rng.random(shape) < outliers
    xy[off] += rng.uniform(-outlier_px, outlier_px, xy[off].shape)
    xy[rng.random(shape) < missing] = np.nan
    moments = tuple(f"{time:.2f} s" for time in take.time_s)
    time_s = np.tile(take.time_s, (len(take.rig), 1))
    return Observations(target, take.rig.names, tuple(camera.size for camera in take.rig), xy, sigma, time_s, moments)


def _hidden(take, cam_from_body, time_s):
    """Which points (N,) of the target a camera cannot see: steep, from behind, under the hand."""
    target = take.board.target
    out = np.zeros(len(target), bool)
    for piece, body_from_piece in enumerate(take.pieces):
        mine = np.flatnonzero(target.of_piece == piece)
        towards = invert(cam_from_body @ body_from_piece)[:3, 3] - target.points[mine].mean(0)
        facing = -towards[2] / np.linalg.norm(towards)
        out[mine] = (abs(facing) if take.see_through else facing) < _STEEPEST
        hand = take.hand_at(time_s, piece)
        if hand is not None and facing > 0:
            out[mine] |= (((target.points[mine, :2] - hand[:2]) / hand[2:]) ** 2).sum(-1) < 1.1
    return out


def _spacing(xy, target):
    """Distance (T, N) px from every point to the next one in the table on the same piece."""
    step = np.linalg.norm(np.diff(xy, axis=1), axis=-1)
    step[:, np.diff(target.of_piece) != 0] = np.nan
    first, last = (
        np.pad(step, ((0, 0), (1, 0)), constant_values=np.nan),
        np.pad(step, ((0, 0), (0, 1)), constant_values=np.nan),
    )
    return np.nan_to_num(np.fmin(first, last), nan=20.0)
