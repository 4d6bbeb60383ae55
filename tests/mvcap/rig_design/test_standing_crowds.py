"""Crowds of a plan: human bodies at the places asked for, apart from each other and from obstacles."""

import numpy as np

from mvcap.rig_design.plan_request import Obstacle, PlanRequest
from mvcap.rig_design.standing_crowds import HALPE, bodies, crowds
from mvcap.structures.anthropometry import too_long_limbs


def test_bodies_are_human_and_as_tall_as_asked():
    rng = np.random.default_rng(0)
    angles = rng.uniform(0, 2 * np.pi, (2, 50))
    xyz = bodies(rng.uniform(-3, 3, (50, 2)), *angles, rng.uniform(0, 0.45, 50), 1.6)
    assert not too_long_limbs(HALPE, xyz, np.zeros(xyz.shape[:2])).any()
    assert np.allclose(xyz[:, HALPE.index("head_top"), 2], 1.6) and xyz[..., 2].min() > -0.02
    thigh = np.linalg.norm(xyz[:, HALPE.index("left_hip")] - xyz[:, HALPE.index("left_knee")], axis=-1)
    assert np.ptp(thigh) < 1e-9


def test_crowds_cover_the_area_and_keep_apart():
    request = PlanRequest(area_m=(4.0, 3.0), people=3, obstacles=(Obstacle((0, 0, 0), (1, 1, 1)),))
    made = crowds(request, 5, 0)
    middle = made.xyz[:, :, HALPE.index("pelvis"), :2]
    assert len(made.xyz) == 5 * len(made.places) and np.allclose(middle[:, 0], made.places[made.place])
    assert np.abs(made.places).max(0).tolist() <= [2.0, 1.5] and np.ptp(made.places[:, 0]) > 3.3
    gap = np.linalg.norm(middle[:, :, None] - middle[:, None], axis=-1)[:, *np.triu_indices(3, 1)]
    assert (gap > 0.5).mean() > 0.999
    assert not ((middle > 0) & (middle < 1)).all(-1).any()
    assert np.array_equal(made.xyz, crowds(request, 5, 0).xyz)
    assert not np.array_equal(made.xyz, crowds(request, 5, 1).xyz)
