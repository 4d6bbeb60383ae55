"""One camera and a board of any kind in front of it: the pictures and where the corners truly are."""

import numpy as np
from board_footage import Look, pictures
from generated_boards import Take, made_lens

from calib import Camera, Rig
from calib.boards import board_from
from calib.geometry import pose, rotation_from_vector

SIZE = (800, 450)
SPECS = {
    "charuco": "charuco:7x5:120mm:90mm:DICT_5X5_100",
    "aprilgrid": "aprilgrid:4x3:120mm:36mm:DICT_APRILTAG_36h11",
    "chessboard": "chessboard:7x4:100mm",
    "tags": "tags:DICT_4X4_50:300mm:4",
}


def take_of(spec, tilts=((0.3, -0.4, 0.2),), away_m=2.2, shift_m=(0.0, 0.0), **more):
    """One camera and a board in front of it, a frame for every rotation vector; +z into the board is away from it."""
    board = board_from(spec)
    lens = made_lens("cam", np.random.default_rng(5), SIZE)
    middle = board.target.points.mean(0)
    turns = rotation_from_vector(np.array(tilts, np.float64))
    poses = pose(turns, np.array([*shift_m, away_m]) - turns @ middle)

    def path(time_s):
        return poses[np.clip(np.rint(np.asarray(time_s) * 10).astype(int), 0, len(poses) - 1)]

    return Take(Rig((Camera(lens, np.eye(4)),)), path, board, frames=len(poses), **more)


def film(take, look=None):
    return list(pictures(take, 0, look or Look()))


def truth(take, frame=0):
    return Camera(take.rig[0].lens, take.path(np.array([0.1 * frame]))[0]).project(take.points())
