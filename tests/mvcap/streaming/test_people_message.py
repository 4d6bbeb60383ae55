"""What is sent of people: JSON that says its unit and axes, and OSC of those who have a number."""

import json

import numpy as np
from synthetic_take import truth

from mvcap.streaming.people_message import LiveMoment, as_json, osc_messages, people_message
from mvcap.structures.detections import Detections2D


def moment_of(people):
    poses = truth(1, people=people)
    xyz, score = poses.xyz.copy(), poses.score.copy()
    xyz[0, 3], score[0, 3] = np.nan, 0
    shown = poses.with_columns(xyz=xyz, score=score, person=np.arange(people))
    return LiveMoment(7, 1.5, shown, Detections2D.empty(poses.skeleton))


def test_json_holds_places_unit_and_unknown_joints():
    moment = moment_of(2)
    message = json.loads(as_json(people_message(moment, 1_800_000_000.25, 0.125)))
    assert (message["frame"], message["time_s"], message["delay_ms"]) == (7, 1_800_000_000.25, 125.0)
    assert (message["unit"], message["axes"]) == ("m", "z-up") and len(message["joints"]) == 17
    first, second = message["people"]
    assert (first["id"], second["id"]) == (0, 1) and first["xyz"][3] is None
    np.testing.assert_allclose(second["xyz"], moment.poses.xyz[1], atol=1e-4)


def test_osc_is_of_those_who_have_a_number():
    moment = moment_of(2)
    (frame, values), *joints = osc_messages(people_message(moment, 5.0, 0.0))
    assert (frame, values) == ("/mvcap/frame", [7, 5.0])
    assert len(joints) == 17 and all(address.startswith("/mvcap/person/1/") for address, _ in joints)
    assert joints[0][0].endswith(f"/{moment.poses.skeleton.joints[0]}")
    np.testing.assert_allclose(joints[0][1], moment.poses.xyz[1, 0], atol=1e-4)


def test_nobody_is_an_empty_list():
    moment = moment_of(1)
    empty = LiveMoment(1, 0.0, moment.poses[:0], moment.rows)
    assert people_message(empty, 0.0, 0.0)["people"] == [] and len(osc_messages(people_message(empty, 0.0, 0.0))) == 1
