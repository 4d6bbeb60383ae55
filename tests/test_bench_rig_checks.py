"""The bench of `rig check`: its takes have the turn and the late view that they state."""

import importlib

import numpy as np

from mvcap.structures.poses import Poses3D
from mvcap.synthesis.bodies import HALPE

rig_checks = importlib.import_module("benches.rig_checks")


def test_delayed_people_are_where_they_were():
    xyz = np.arange(6.0)[:, None, None] * np.ones((6, len(HALPE), 3))
    ones, zero = np.ones((6, len(HALPE))), np.zeros((6, len(HALPE)))
    truth = Poses3D(
        HALPE, np.arange(6), np.ones(6), np.ones(6), xyz, ones, zero, zero, np.zeros((6, len(HALPE), 6)), ones
    )
    np.testing.assert_allclose(rig_checks._delayed(truth, 0.5).xyz[1:, 0, 0], np.arange(5) + 0.5)
    np.testing.assert_allclose(rig_checks._delayed(truth, 0.0).xyz, xyz)


def test_a_take_has_its_turn_and_is_the_same_every_time(monkeypatch):
    monkeypatch.setattr(rig_checks, "_FRAMES", 8)
    one, other = (rig_checks.make_checked(3, 2.0) for _ in range(2))
    np.testing.assert_array_equal(one.rows.xy, other.rows.xy)
    assert one.since == 0 and rig_checks.make_checked(2, 2.0).since > 0 and (one.late != 0).sum() <= 1
    assert one.rows.frame.max() < 8 and one.rows.view.max() < len(one.rig)
