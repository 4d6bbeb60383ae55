"""One frame of people who stand apart, as the views of a ring see them: rows without a session or an estimator."""

import numpy as np
from generated_people import HALPE, circle

from mvcap.structures.detections import Detections2D, joint_box

KIND = HALPE.body_part


def standing(people=2):
    """Joints (people, J, 3) m of people who stand apart."""
    poses, _, _ = circle(people, 5, 2)
    return poses.xyz[poses.frame == 0].astype(float)[:, HALPE.body]


def seen_by(rig, xyz, noise_px=2.0, seed=0, views=None, stated_px=2.0):
    """Rows of people (P, J, 3) in views, all by default, and whose they are (M,)."""
    xy = rig.project(xyz) + np.random.default_rng(seed).normal(0, noise_px, (len(rig), *xyz.shape[:2], 2))
    views = np.arange(len(rig)) if views is None else np.asarray(views)
    flat, view = xy[views].reshape(-1, len(KIND), 2), np.repeat(views, len(xyz))
    there = np.isfinite(flat).all(-1)
    zero = np.zeros(len(flat))
    noise = np.where(there, stated_px, np.nan)
    rows = Detections2D(KIND, zero, view, zero - 1, zero - 1, joint_box(flat), flat, there, noise)
    return rows, np.tile(np.arange(len(xyz)), len(views))
