"""Feet, heads and the direction between them, in any world and with joints missing."""

import numpy as np
import pytest
from walking_take import COCO, body

from calib.geometry import rotation_from_vector
from mvcap.errors import InputError
from mvcap.structures.feet_and_heads import body_directions, feet_and_bodies, is_head, mean_joint, sole_points
from mvcap.structures.skeleton import skeleton

STANDING = body(0.0, 1)
R = rotation_from_vector([0.4, -1.1, 0.7])


def test_directions_turn_with_the_world_and_soles_are_below_the_ankles():
    bodies = np.stack([STANDING, STANDING @ R.T])
    up = body_directions(COCO, bodies)
    assert up[0, 2] > 0.98 and np.linalg.norm(up, axis=-1) == pytest.approx(1)
    np.testing.assert_allclose(up[1], R @ up[0], atol=1e-12)
    soles, along = feet_and_bodies(COCO, bodies)
    assert soles.shape == (4, 3) and along.shape == (2, 3)
    ankles = STANDING[[COCO.index("left_ankle"), COCO.index("right_ankle")]]
    np.testing.assert_allclose(np.linalg.norm(soles[:2] - ankles, axis=-1), 0.08)
    np.testing.assert_allclose(soles[2:], soles[:2] @ R.T, atol=1e-12)


def test_without_feet_or_head_the_trunk_says_where_up_is():
    bodies = np.stack([STANDING] * 4)
    bodies[1, [COCO.index("left_ankle"), COCO.index("right_ankle")]] = np.nan
    bodies[2, is_head(COCO)] = np.nan
    bodies[3] = np.nan
    up = body_directions(COCO, bodies)
    assert (up[:3, 2] > 0.98).all() and np.isnan(up[3]).all()
    kind = skeleton("mvor10")
    assert not sole_points(kind, np.zeros((2, 10, 3)), np.ones((2, 3))).size
    with pytest.raises(InputError, match="no feet"):
        feet_and_bodies(kind, np.zeros((2, 10, 3)))


def test_a_mean_is_of_the_known_joints():
    bodies = STANDING[None].copy()
    bodies[0, COCO.index("left_hip")] = np.nan
    np.testing.assert_array_equal(mean_joint(COCO, bodies, ("hip",))[0], STANDING[COCO.index("right_hip")])
    assert np.isnan(mean_joint(COCO, bodies, ("tail",))).all() and is_head(COCO).sum() == 5
