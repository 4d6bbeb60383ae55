"""Parts of people that one view only detects count against all joints, and are named with their view."""

import numpy as np
import pytest
from reported_take import seen_people, summary_of, uneven_rig
from synthetic_take import COCO

from mvcap.reporting.single_view_joints import body_parts, named_views, single_joint_reasons, view_shares

RIG = uneven_rig(4)
LEGS = np.array([joint.endswith(("knee", "ankle")) for joint in COCO.joints])


def without(rows, joints, which):
    """The detections without some joints (J,) in some rows (M,)."""
    gone = which[:, None] & joints
    return rows.with_columns(
        xy=np.where(gone[..., None], np.nan, rows.xy), score=np.where(gone, 0, rows.score),
        noise_px=np.where(gone, np.nan, rows.noise_px),
    )  # fmt: skip


def test_legs_that_one_view_only_detects_forbid_trust_and_are_named():
    rows = seen_people(RIG, people=1)
    summary = summary_of(without(rows, LEGS, rows.view != 1), RIG)
    (found,) = summary["one_view"]["joints"]
    assert found["share"] == pytest.approx(4 / 17, abs=0.01) and found["views"] == {"cam2": 1.0}
    assert found["parts"] == ["legs"] and set(found["joints"]) == set(np.array(COCO.joints)[LEGS])
    reason = " ".join(summary["verdict"]["reasons"])
    assert summary["verdict"]["level"] == "limits" and "person 1: 24% of the joints" in reason
    assert "(legs), detected by cam2 only" in reason and any("legs" in line for line in summary["verdict"]["where_not"])


def test_legs_of_one_of_two_people_and_of_views_that_take_turns():
    rows = seen_people(RIG, hidden=lambda view, person: person == 2)
    both = seen_people(RIG)
    assert len(rows) < len(both)
    summary = summary_of(without(rows, LEGS, rows.view != rows.frame // 4 % 2), RIG)
    (found,) = summary["one_view"]["joints"]
    assert set(found["views"]) == {"cam1", "cam2"} and summary["verdict"]["level"] == "limits"
    assert "one view at a time: cam1 (" in summary["verdict"]["reasons"][0]


def test_a_few_joints_of_one_view_and_joints_that_no_view_ever_detects_are_trusted():
    rows = seen_people(RIG, people=1)
    few = summary_of(without(rows, LEGS, (rows.view != 1) & (rows.frame % 8 == 0)), RIG)
    assert few["one_view"]["joints"] == [] and few["verdict"]["level"] == "trust"
    never = summary_of(without(rows, LEGS, rows.view >= 0), RIG)
    assert never["one_view"]["joints"] == [] and never["verdict"]["level"] == "trust"
    assert "(76% of all)" in never["verdict"]["reasons"][0]


def test_legs_that_no_view_sees_half_of_the_time_count_and_one_false_detection_does_not():
    rows = seen_people(RIG, people=1)
    half = summary_of(without(rows, LEGS, rows.frame >= 12), RIG)
    assert half["one_view"]["joints"][0]["views"] == {} and "by no view" in half["verdict"]["reasons"][0]
    once = summary_of(without(rows, LEGS, (rows.frame != 3) | (rows.view != 0)), RIG)
    assert once["one_view"]["joints"] == [] and once["verdict"]["level"] == "trust"


def test_parts_and_views_in_words():
    assert body_parts(["left_knee", "left_ankle"]) == ["left leg"] and body_parts(["left_knee", "right_knee"]) == [
        "legs"
    ]
    assert body_parts(["right_heel", "head_top", "left_wrist", "tail"]) == ["head", "left arm", "right foot", "tail"]
    assert view_shares({0: 1, 1: 3, -1: 5}, ["a", "b"]) == {"b": 0.75, "a": 0.25}
    assert named_views({"b": 0.97, "a": 0.03}) == "b only"
    assert named_views({"b": 0.75, "a": 0.25}) == "one view at a time: b (75%), a (25%)"
    assert list(single_joint_reasons({"people": []})) == []
