"""Part candidates and limb scores of people in one picture."""

from __future__ import annotations

import numpy as np

from mvcap.estimation.part_grouping import BODY25_LIMBS

JOINTS = 25

# Joints of a body of height 1 that stands and faces the camera, y down from the soles.
STANDING = np.array(
    [
        (0.0, -0.92), (0.0, -0.82), (-0.11, -0.82), (-0.14, -0.636), (-0.15, -0.49), (0.11, -0.82), (0.14, -0.636),
        (0.15, -0.49), (0.0, -0.53), (-0.06, -0.53), (-0.06, -0.285), (-0.06, -0.04), (0.06, -0.53), (0.06, -0.285),
        (0.06, -0.04), (-0.02, -0.94), (0.02, -0.94), (-0.06, -0.93), (0.06, -0.93), (0.09, 0.07), (0.13, 0.07),
        (0.06, 0.0), (-0.09, 0.07), (-0.13, 0.07), (-0.06, 0.0),
    ]
)  # fmt: skip


def scene(*bodies, keep=None, seed=0):
    """Candidates and true limb scores of bodies (J, 2), shuffled; also which body each candidate is of."""
    rng = np.random.default_rng(seed)
    order = [rng.permutation(len(bodies)) for _ in range(JOINTS)]
    order = [np.array([b for b in one if keep is None or keep(b, joint)], int) for joint, one in enumerate(order)]
    xy = [np.array([bodies[b][joint] for b in own]).reshape(-1, 2) for joint, own in enumerate(order)]
    scores = [np.where(order[a][:, None] == order[b], 0.8, 0.0) for a, b in BODY25_LIMBS]
    return xy, scores, order
