"""What a report says of a take of one view: depth, scale, lens and gravity, in this order."""

import numpy as np
import pytest
from one_view_take import camera, take

from mvcap.reporting.one_camera import OneCameraFigures, one_camera_places, one_camera_reasons
from mvcap.structures.assumed_camera import assumed_rig, lens_of
from mvcap.structures.poses import packed_covariance

ALONG, ACROSS_M = 0.08, 0.02


def figures(notes=(), world=None, heights=None, known=True):
    """Figures of two people whose distance is uncertain by ALONG."""
    truth, _, rig = take(frames=10)
    away = truth.xyz.astype(float) - rig.positions[0]
    ray = away / np.linalg.norm(away, axis=-1, keepdims=True)
    outer = ray[..., :, None] * ray[..., None, :]
    cov = ALONG**2 * away[..., :, None] * away[..., None, :] + ACROSS_M**2 * (np.eye(3) - outer)
    poses = truth.with_columns(cov=packed_covariance(cov if known else np.full_like(cov, np.nan)))
    held = OneCameraFigures(camera()[0])
    for frame in range(0, 10, 4):
        held.add(poses[(poses.frame >= frame) & (poses.frame < frame + 4)])
    summary = held.summary(lens_of(notes), world, heights or {})
    return {"one_camera": summary, "people": [{"id": 1}, {"id": 2}], "normalised_residual": 1.0, "views": 1}


def test_depth_is_a_figure_of_the_covariances():
    found = figures()["one_camera"]
    assert found["depth_share"] == pytest.approx(ALONG, rel=0.02)
    assert found["across_mm"] == pytest.approx(1000 * ACROSS_M, rel=0.05) and 3 < found["distance_m"] < 7
    first = next(one_camera_reasons(figures()))
    assert first.level == "limits" and "depth is uncertain by 8% (one standard deviation" in first.reason
    assert "assumed stature" in first.reason
    places = list(one_camera_places(figures()))
    assert len(places) == 2 and all("uncertain by 8%" in place for place in places)
    assert "depth is not known" in next(one_camera_reasons(figures(known=False))).reason


def test_statures_that_were_given():
    assert (
        "follow from the statures that were given" in next(one_camera_reasons(figures(heights={"1": 2, "2": 1.6})))[1]
    )
    assert "assumed stature but for person 2;" in next(one_camera_reasons(figures(heights={"2": 1.6})))[1]


def test_lens_and_gravity_are_named():
    note = assumed_rig("one", (640, 480), None)[1]
    people = {"up": "people", "lines": ["the floor fits 3 steps"]}
    reasons = [one.reason for one in one_camera_reasons(figures([note], people))]
    assert "60 degrees" in reasons[1] and "uncertain by 25%" in reasons[1]
    assert reasons[2] == "gravity and floor follow from people who stand (the floor fits 3 steps)"
    given = assumed_rig("one", (640, 480), 75.0)[1]
    reasons = [one.reason for one in one_camera_reasons(figures([given], {"up": "unknown", "lines": ["too few feet"]}))]
    assert "75 degrees" in reasons[1] and "gravity is not known: too few feet" in reasons[2]
    assert len(list(one_camera_reasons(figures()))) == 1


def test_people_who_do_not_fall_on_their_pixels():
    for noise, level in ((4.0, "limits"), (9.0, "do not trust")):
        last = list(one_camera_reasons({**figures(), "normalised_residual": noise}))[-1]
        assert last.level == level and "do not fall on their pixels" in last.reason


def test_a_rig_of_several_cameras_has_none_of_it():
    assert not list(one_camera_reasons({"people": []})) and not list(one_camera_places({"people": []}))
