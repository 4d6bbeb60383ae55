"""A calibration that does not fit the pictures is not trusted, and what fits is."""

import numpy as np
import pytest
from reported_take import FRAMES, camera, reordered, replaced, seen_people, summary_of, uneven_rig

from calib import Rig
from calib.camera import Camera
from calib.geometry import pose
from mvcap.reporting.view_support import calibration_reasons


def in_millimetres(rig, which):
    return Rig(
        tuple(
            Camera(c.lens, pose(c.cam_from_world[:3, :3], c.cam_from_world[:3, 3] * (1000 if i in which else 1)))
            for i, c in enumerate(rig)
        )
    )


def another_room(count):
    """Cameras in a row on one wall of another room."""
    return Rig(
        tuple(
            camera(f"cam{i + 1}", np.array([-4 + 2.0 * i, 5.0 + i % 2, 1.5 + 0.7 * i]), (1, -1, 0.5 * i))
            for i in range(count)
        )
    )


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_a_calibration_that_fits_is_trusted(count):
    rig = uneven_rig(count)
    summary = summary_of(seen_people(rig), rig)
    assert summary["verdict"]["level"] == "trust" and len(summary["people"]) == 2
    confirmation = summary["confirmation"]
    assert confirmation["share"] == (None if count == 2 else 1.0) and confirmation["groups"] == [list(rig.names)]
    assert confirmation["false"] == [] and confirmation["far_m"] == {}


def test_two_swapped_cameras_are_named_and_forbid_trust():
    rig = uneven_rig(4)
    summary = summary_of(seen_people(rig), reordered(rig, (1, 0, 2, 3)))
    verdict = summary["verdict"]
    assert verdict["level"] == "do not trust"
    assert "pictures of cam1 and cam2 seem to be exchanged" in verdict["reasons"][0]
    assert summary["agreement"]["exchanged"] == {"cam1": "cam2", "cam2": "cam1"}


def test_three_cameras_rotated_are_named_with_their_places():
    rig = uneven_rig(5)
    summary = summary_of(seen_people(rig), reordered(rig, (1, 2, 0, 3, 4)))
    reason = summary["verdict"]["reasons"][0]
    assert summary["verdict"]["level"] == "do not trust" and "cam1, cam2, cam3 seem to be mixed up" in reason
    assert "cam1 shows what cam3 should see" in reason and "cam2 shows what cam1 should see" in reason


@pytest.mark.parametrize("count", [3, 4, 5])
def test_a_calibration_that_has_nothing_to_do_with_the_pictures_forbids_trust(count):
    summary = summary_of(seen_people(uneven_rig(count)), another_room(count))
    assert summary["verdict"]["level"] == "do not trust"
    assert summary["confirmation"]["share"] is None or summary["confirmation"]["share"] < 0.25


def test_one_camera_of_another_room_is_named_and_the_others_serve():
    rig = uneven_rig(5)
    given = replaced(rig, {3: camera("x", np.array([4.0, -5.5, 2.0]), (0.5, 0, 1))})
    summary = summary_of(seen_people(rig), given)
    (reason,) = [reason for reason in summary["verdict"]["reasons"] if "view cam4" in reason]
    assert "too few are seen in view cam4" in reason and "calibration is wrong" in reason
    assert summary["verdict"]["level"] == "limits"
    assert not any(name in " ".join(summary["verdict"]["reasons"]) for name in ("cam1", "cam2", "cam3", "cam5"))


@pytest.mark.parametrize("which", [{0}, {0, 1}])
def test_cameras_in_millimetres_beside_others_in_metres_are_named(which):
    rig = uneven_rig(4)
    summary = summary_of(seen_people(rig), in_millimetres(rig, which))
    verdict = summary["verdict"]
    assert verdict["level"] == "do not trust" and "millimetres" in verdict["reasons"][0]
    assert list(summary["confirmation"]["far_m"]) == [rig.names[at] for at in sorted(which)]


def test_a_person_whom_no_further_view_confirms_may_be_false():
    rig = uneven_rig(5)
    summary = summary_of(seen_people(rig, hidden=lambda view, person: person == 2 and view > 1), rig)
    (false,) = summary["confirmation"]["false"]
    assert false["by"] == ["cam1", "cam2"] and false["not_by"] == ["cam3", "cam4", "cam5"]
    assert summary["verdict"]["level"] != "trust"
    assert any("may not be there" in reason and "cam3 and cam4" in reason for reason in summary["verdict"]["reasons"])


def test_a_person_beyond_the_other_pictures_is_not_false():
    rig = uneven_rig(4)
    away = {
        2: camera("x", np.array([6.0, 5.0, 2.0]), (20, 5, 1)),
        3: camera("x", np.array([-6.0, 5.0, 2.0]), (-20, 5, 1)),
    }
    apart = replaced(rig, away)
    summary = summary_of(seen_people(apart), apart)
    assert summary["confirmation"]["share"] is None and summary["confirmation"]["false"] == []
    assert summary["verdict"]["level"] == "trust"


def test_few_frames_refute_nothing():
    rig = uneven_rig(3)
    found = seen_people(rig, hidden=lambda view, person: view == 2 and person == 1)
    summary = summary_of(found[found.frame < 12], rig, FRAMES)
    assert summary["confirmation"]["looks"] <= 1 and "does not fit" not in " ".join(summary["verdict"]["reasons"])


def test_what_is_unknown_gives_no_reason():
    assert list(calibration_reasons({"people": [], "per_view": [{"name": "cam1"}]})) == []
    alone = {"people": [{"id": 1}], "per_view": [{"name": "cam1", "share_matched": 0.9}], "confirmation": None}
    assert list(calibration_reasons(alone)) == []


def test_views_that_use_hardly_any_detection_forbid_trust_unless_further_views_confirm():
    views = [{"name": f"cam{i}", "share_matched": share} for i, share in enumerate((0.0, 0.02, 0.04))]
    summary = {"people": [{"id": 1}], "per_view": views}
    (reason,) = calibration_reasons(summary)
    assert reason.level == "do not trust" and "0% to 4% of their detections" in reason.reason
    crowd = {"share": 0.8, "looks": 40, "false": [], "share_false": 0.0}  # spectators whom one view sees each
    assert list(calibration_reasons({**summary, "confirmation": crowd})) == []
