"""The report says whether the rig or the detector is at fault, and promises of an adjustment only what was computed."""

import warnings
from xml.etree import ElementTree

import numpy as np
import pytest
from synthetic_take import RATE_HZ, ring_rig, truth

from calib import Camera, Rig
from calib.geometry import pose, rotation_from_vector
from mvcap.reporting import plots
from mvcap.reporting.reason import LIMITS
from mvcap.reporting.residual_split import ResidualSplit, rig_reasons
from mvcap.structures.detections import Detections2D
from mvcap.triangulation.robust_triangulation import triangulate_rows
from mvcap.triangulation.view_lag import ViewLag

FRAMES, NOISE = 120, 3.0


def turned(rig, degrees):
    """The rig with each camera turned by so much, in another direction each."""
    cameras = []
    for index, camera in enumerate(rig):
        axis = np.array([np.cos(2.4 * index), np.sin(2.4 * index), 0])
        R = rotation_from_vector(np.deg2rad(degrees) * axis) @ camera.cam_from_world[:3, :3]
        cameras.append(Camera(camera.lens, pose(R, -R @ camera.position)))
    return Rig(tuple(cameras))


def summary_of(degrees, cameras=4, shift_px=0.0, wanted_mm=50.0, frames=FRAMES, people=2, person_px=0.0):
    """The figures of people whom the true cameras see, triangulated with cameras turned by so much.

    Detections of each joint lie beside it in each view by shift_px, and those of each person by person_px.
    """
    true, people = ring_rig(cameras), truth(FRAMES, people=people)
    rig, rng = turned(true, degrees), np.random.default_rng(0)
    shift = rng.normal(0, shift_px, (cameras, len(people.skeleton), 2))
    persons = rng.normal(0, person_px, (cameras, len(people.persons) + 1, 1, 2))
    split, lag = ResidualSplit(rig, people.skeleton, RATE_HZ), ViewLag(rig)
    for start in range(0, frames, 40):
        tables = []
        for frame in range(start, min(start + 40, frames)):
            shown = people[people.frame == frame]
            for view in range(cameras):
                xy = true[view].project(shown.xyz.astype(float)) + shift[view] + persons[view, shown.person]
                xy = xy + rng.normal(0, NOISE, xy.shape)
                rows = Detections2D.build(people.skeleton, frame, view, xy, np.full(xy.shape[:2], 0.9), 1.0)
                level = np.where(np.isnan(rows.xy[..., 0]), np.nan, NOISE)
                tables.append(rows.with_columns(person=shown.group, noise_px=level))
        rows = Detections2D.concatenate(tables, people.skeleton)
        bodies = triangulate_rows(rows, rig, calibration_px=np.full(cameras, 10.0))
        split.add(rows, bodies)
        lag.add(rows, bodies)
    return split.summary(lag, wanted_mm)


@pytest.fixture(scope="module")
def wrong():
    return summary_of(1.0)


def test_turned_cameras_are_the_rigs_fault_and_an_adjustment_is_tried(wrong):
    trial = wrong["adjustment"]
    assert (
        wrong["at_fault"]
        and trial["helps"]
        and trial["after_px"] < 0.6 * trial["before_px"]
        and trial["after_px"] < 1.3 * 1.18 * NOISE
    )
    (reason,) = rig_reasons({"residual_parts": wrong})
    assert reason.level == LIMITS and "`mvcap rig adjust SESSION`" in reason.reason
    assert f"to {trial['after_px']:.1f} px after an adjustment (now {trial['before_px']:.1f} px" in reason.reason
    worst = max(wrong["views"], key=lambda view: view["rig_mm"])
    assert f"{worst['name']} by {worst['rig_px']:.0f} px" in reason.reason


def test_figures_are_by_view_and_joint(wrong):
    for view in wrong["views"]:
        assert view["predicted"] > 0.9
        assert view["rig_px"] > 0 and len(view["constant_px"]) == 2 and view["lag_ms"] is None
        assert view["scatter_px"] == pytest.approx(0.79 * 1.18 * NOISE, rel=0.2), (
            "of 8 coordinates the position takes 3"
        )
        assert [one["joint"] for one in view["joints"]] == list(truth(1).skeleton.joints)
        assert view["joint_px"] < 2 and all(one["scatter_px"] < 2 * NOISE for one in view["joints"])


def test_a_good_rig_with_a_detector_of_its_own_is_not_accused_nor_tried():
    found = summary_of(0.0, shift_px=6.0)
    assert found["at_fault"] == [] and found["adjustment"] is None
    assert list(rig_reasons({"residual_parts": found})) == []
    assert np.median([view["joint_px"] for view in found["views"]]) > 3


def test_what_a_detector_takes_each_persons_joints_for_is_not_the_rigs_fault():
    found = summary_of(0.0, people=3, person_px=5.0, wanted_mm=30.0)
    seemed = [view for view in found["views"] if view["rig_px"] > view["scatter_px"]]
    assert seemed and max(view["predicted"] for view in seemed) < 0
    assert found["at_fault"] == [] and found["adjustment"] is None and not list(rig_reasons({"residual_parts": found}))


def test_what_no_adjustment_mends_and_is_not_the_same_everywhere_is_not_the_rigs_fault(monkeypatch):
    refused = {"helps": False, "before_px": 3.0, "after_px": 2.9, "moments": 60, "refused": None}
    monkeypatch.setattr(ResidualSplit, "_trial", lambda self, lag: refused)
    found = summary_of(0.3, wanted_mm=30.0)
    for view in found["views"]:
        constant = np.linalg.norm(view["constant_px"])
        assert (view["name"] in found["at_fault"]) == (constant > view["scatter_px"])


def test_what_is_fine_for_the_accuracy_wanted_is_no_reason():
    assert summary_of(1.0, wanted_mm=1000.0)["at_fault"] == []


def test_nothing_is_promised_where_no_adjustment_can_be_computed(wrong):
    two = summary_of(1.0, cameras=2, wanted_mm=5.0)
    assert two["at_fault"] and two["adjustment"]["after_px"] is None and not two["adjustment"]["helps"]
    (reason,) = rig_reasons({"residual_parts": two})
    assert "adjust SESSION" not in reason.reason and "needs three views" in reason.reason
    vain = {**wrong, "adjustment": {**wrong["adjustment"], "helps": False}}
    (reason,) = rig_reasons({"residual_parts": vain})
    assert "adjust SESSION" not in reason.reason and "no adjustment to these people" in reason.reason
    assert list(rig_reasons({})) == [] and list(rig_reasons({"residual_parts": None})) == []


@pytest.mark.parametrize("count", [0, 1, 4, 40])
def test_parts_of_any_number_of_views_are_drawn(wrong, count):
    views = [{**wrong["views"][0], "name": f"camera $ {number}", "rig_px": None} for number in range(count)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ElementTree.fromstring(plots.residual_parts_plot(views))


@pytest.mark.parametrize("seconds", [0.4, 1.0, 1.4])
def test_a_take_so_short_that_errors_may_last_as_long_accuses_no_view(seconds):
    found = summary_of(1.0, frames=round(seconds * RATE_HZ))
    assert found["at_fault"] == [] and found["adjustment"] is None and not list(rig_reasons({"residual_parts": found}))
    assert all(view["constant_sigma_px"] is None for view in found["views"])
