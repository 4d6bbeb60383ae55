"""A box that moves at a constant velocity in an empty room: a scene whose truth is known by hand."""

import numpy as np

from calib import Camera, Lens
from calib.geometry import pose
from mvcap.rendering.room import random_room

SIZE = (160, 120)
_QUADS = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])


class MovingBox:
    """A cube of 0.5 m, person 1, its parts its six sides; its middle is at ``start + time_s * velocity``."""

    def __init__(self, start=(0.0, 0.0, 1.0), velocity=(0.0, 0.0, 0.0)):
        self.start, self.velocity = np.array(start), np.array(velocity)
        self.faces = np.concatenate([_QUADS[:, [0, 1, 2]], _QUADS[:, [0, 2, 3]]], 1).reshape(-1, 3).astype(np.uint32)
        self.person = np.ones(12, np.uint8)
        self.part = (np.arange(12) // 2 + 1).astype(np.uint8)
        self.pieces = (slice(0, 8),)

    def vertices(self, time_s):
        corners = np.array([[n >> 2 & 1, n >> 1 & 1, n & 1] for n in range(8)]) - 0.5
        return self.start + time_s * self.velocity + 0.5 * corners

    def albedo(self, face, share):
        return np.tile(np.float32([0.8, 0.4, 0.1]), (len(face), 1))


def camera_at(position=(3.0, 0.2, 1.1), size=SIZE, focal=110.0, distortion=(-0.25, 0.05, 0.001, -0.002, 0.0)):
    """A camera that looks along -x, upright, with a lens that bends straight lines."""
    R = np.array([[0.0, 1, 0], [0, 0, -1], [-1, 0, 0]])
    K = np.array([[focal, 0, size[0] / 2 - 1.3], [0, 1.01 * focal, size[1] / 2 + 0.7], [0, 0, 1]])
    return Camera(Lens("one", size, K, np.array(distortion)), pose(R, -R @ np.array(position)))


def empty_room(seed=0):
    """A room about the box and the camera."""
    ends = np.array([[-2.0, -2.5, 0], [3.5, 2.5, 2.5]])
    return random_room(np.random.default_rng(seed), *ends, ends)
