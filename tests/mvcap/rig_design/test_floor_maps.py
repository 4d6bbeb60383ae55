"""The picture of a plan: rooms, obstacles, cameras, and places with and without a value."""

import cv2
import numpy as np
from synthetic_take import ring_rig

from mvcap.rig_design.expected_accuracy import plan_figures
from mvcap.rig_design.floor_maps import floor_maps
from mvcap.rig_design.plan_request import Obstacle, PlanRequest
from mvcap.rig_design.standing_crowds import crowds

ROOM = PlanRequest(room_m=(13.0, 13.0, 3.0), area_m=(4.0, 4.0), obstacles=(Obstacle((1, 1, 0), (2, 2, 1)),))


def test_a_picture_has_a_row_for_each_rig():
    people = crowds(ROOM, 1, 0, 30)
    shown = [(f"rig {n}", ring_rig(n), plan_figures(ring_rig(n), people, ROOM, [60.0] * n)) for n in (2, 5)]
    one, both = (cv2.imdecode(np.frombuffer(floor_maps(ROOM, part), np.uint8), 1) for part in (shown[:1], shown))
    assert both.shape[0] > 1.8 * one.shape[0] and one.shape[1] == both.shape[1] > 1000
    assert floor_maps(ROOM, shown) == floor_maps(ROOM, shown)
    orange = (np.abs(both.astype(int) - (0, 94, 213)) < 12).all(-1)
    assert orange.sum() > 200  # cameras and what they see
    grey = (np.abs(one.astype(int) - 208) < 3).all(-1).sum()
    nothing = [("none", ring_rig(4).select(["cam1"]), plan_figures(ring_rig(4).select(["cam1"]), people, ROOM, [60.0]))]
    empty = cv2.imdecode(np.frombuffer(floor_maps(ROOM, nothing), np.uint8), 1)
    assert (np.abs(empty.astype(int) - 208) < 3).all(-1).sum() > grey + 1000
