"""Readings of made-up people for tests of integration: standing bodies with errors and covariances of any size."""

import numpy as np
from generated_people import crossing

from mvcap.integration.body_readings import BodyReadings
from mvcap.structures.skeleton import skeleton

HALPE = skeleton("halpe26")
PELVIS = HALPE.index("pelvis")


def standing(count=1, seed=0):
    """Joints (count, J, 3) m about the root, in a camera's axes, of people in different moments of their walk."""
    truth, *_ = crossing(count, 2, 2 + 12 * seed)
    bodies = truth.xyz[truth.frame == truth.frame.max()].astype(float)
    bodies = (bodies - bodies[:, PELVIS, None])[..., [0, 2, 1]] * [1, -1, 1]
    return bodies


def readings(joints, sigma=0.05, score=0.8, kind=HALPE):
    """Readings of joints (N, J, 3) with a standard deviation, m, one number or (N, J, 3) along the camera's axes."""
    wide = np.broadcast_to(np.asarray(sigma, float), joints.shape)
    return BodyReadings(kind, joints, wide[..., None] ** 2 * np.eye(3), np.full(joints.shape[:2], score))
