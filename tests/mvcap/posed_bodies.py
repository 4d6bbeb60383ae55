"""Bodies in random poses, and the joints that a detector would find in them."""

import numpy as np

from mvcap.body_fitting.pose_prior import pose_prior, posed_groups
from mvcap.body_fitting.posed_joints import JointModel, Pose, rotations, scaled_shapes


def random_poses(body, count, seed=0):
    """Poses of the groups of a body within what limbs do: hinges bend from straight to 100 degrees."""
    rng = np.random.default_rng(seed)
    groups = posed_groups(body)
    prior = pose_prior(body, groups)
    turn = rng.normal(0, 1, (count, len(groups), 3)) * np.minimum(prior.spread, 0.6)
    turn[:, prior.hinged, 0] = rng.uniform(0.1, 1.7, (count, prior.hinged.sum())) - prior.bend[prior.hinged]
    turn = np.einsum("tga,gaj->tgj", turn, prior.axes)
    facing = np.stack([*rng.normal(0, 0.15, (2, count)), rng.uniform(-3, 3, count)], -1)
    return Pose(rotations(facing), rng.normal(0, 1, (count, 3)) + np.eye(3)[2], turn)


def joint_model(body, names=None):
    """The model of these joints of a body, with a scale among its shapes."""
    chosen = body.joint_names if names is None else names
    at = np.array([body.joint_names.index(name) for name in chosen])
    return JointModel(scaled_shapes(body), posed_groups(body), at)
