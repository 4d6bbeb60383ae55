"""Way of a calibration board that is carried through a volume and shown to all cameras round it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from calib.boards import Board
from calib.boards.pictures import drawings
from calib.geometry import pose, rotation_from_vector

_TURN_S = 16.0  # for once about the vertical
_FACING = np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])
"""Turns a board so that its front, -z, looks along the world's x and its y points down."""


def board_path(
    board: Board, middle: NDArray[np.floating], volume_m: NDArray[np.floating], seed: int
) -> Callable[[float], NDArray[np.float64]]:
    """Return world_from_board (4, 4) at a time s, of a board carried through a volume (3,) m about a middle (3,) m.

    Its front turns about the vertical, once in 16 s; it is tilted, rolled and moved by sums of slow and faster swings.
    """
    rng = np.random.default_rng([seed, 53])
    slow, fast = rng.uniform(0.05, 0.12, 5), rng.uniform(0.16, 0.3, 5)
    phases, begin = rng.uniform(0, 2 * np.pi, (2, 5)), rng.uniform(0, 2 * np.pi)
    drawing = drawings(board)[0]
    centre = np.array([0.5 * (drawing.x[0] + drawing.x[-1]), 0.5 * (drawing.y[0] + drawing.y[-1]), 0.0])

    def path(time_s: float) -> NDArray[np.float64]:
        angle = 2 * np.pi * time_s
        swing = 0.7 * np.sin(slow * angle + phases[0]) + 0.4 * np.sin(fast * angle + phases[1])
        place = np.asarray(middle) + np.clip(swing[:3], -1, 1) * 0.5 * np.asarray(volume_m)
        yaw, tilt, roll = begin + angle / _TURN_S, 0.5 * swing[3], 0.6 * swing[4]
        turn = rotation_from_vector(np.array([0, 0, yaw])) @ _FACING
        turn = turn @ rotation_from_vector(np.array([tilt, 0, 0])) @ rotation_from_vector(np.array([0, 0, roll]))
        return np.asarray(pose(turn, place - turn @ centre))

    return path
