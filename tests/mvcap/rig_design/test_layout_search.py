"""The search of a layout: better than where it began, inside the mounts, the same for the same seed."""

import numpy as np
import pytest

from mvcap.errors import InputError
from mvcap.rig_design import layout_search
from mvcap.rig_design.expected_accuracy import plan_figures
from mvcap.rig_design.layout_search import Mounts, search_layout
from mvcap.rig_design.plan_request import PlanRequest, parse_kinds
from mvcap.rig_design.standing_crowds import crowds

ROOM = PlanRequest(room_m=(6.0, 5.0, 3.0), people=1)


@pytest.fixture
def small(monkeypatch):
    for name, value in (("_PLACES", 9), ("_DRAWS", 1), ("_ROUNDS", 2), ("_GENERATIONS", 4)):
        monkeypatch.setattr(layout_search, name, value)


def test_a_layout_gets_better_and_is_the_same_again(small):
    kinds, told = parse_kinds(("3:1280x720:70:30", "1:1920x1080:90:60")), []
    made = search_layout(ROOM, kinds, progress=lambda *one: told.append(one))
    assert made.history_mm[-1] < 0.95 * made.history_mm[0] and list(made.history_mm) == sorted(made.history_mm)[::-1]
    assert [camera.size for camera in made.rig] == [(1280, 720)] * 3 + [(1920, 1080)]
    assert made.rates_hz == (30.0, 30.0, 30.0, 60.0) and told[-1] == ("layout", 8, 8)
    again = search_layout(ROOM, kinds)
    assert np.array_equal(again.rig.P, made.rig.P)
    other = search_layout(ROOM, kinds, seed=1)
    assert not np.array_equal(other.rig.P, made.rig.P)
    x, y, z = made.rig.positions.T
    assert ((z >= 1.0) & (z <= 2.8)).all() and np.allclose(np.maximum(np.abs(x) - 2.88, np.abs(y) - 2.38), 0)


def test_cameras_under_the_ceiling_look_at_the_people(small):
    made = search_layout(ROOM, parse_kinds(("4:1280x720:80",)), Mounts(ceiling=True))
    assert np.allclose(made.rig.positions[:, 2], 2.88)
    figures = plan_figures(made.rig, crowds(ROOM, 1, 0, 20), ROOM, made.rates_hz)
    assert figures.summary()["joints_in_two_views"] > 0.8


def test_heights_are_those_of_the_room():
    with pytest.raises(InputError, match="--heights 2x4: from low to high, within the room's 3 m"):
        search_layout(ROOM, parse_kinds(("2:640x480:60",)), Mounts(2.0, 4.0))
