"""The summary of a rig: directions, angles and distances as they were made, and a picture of it."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ring_rigs import look_at, make_rig

from calib import Camera, Lens, Rig
from calib.geometry import pose, rotation_from_vector
from calib.report.rig_summary import facts, picture

K = np.array([[800.0, 0, 639.5], [0, 820, 359.5], [0, 0, 1]])
PLAIN = Lens("east", (1280, 720), K, [])


def turned(heading_deg, tilt_deg, roll_deg, position=(1.0, -2.0, 1.5)):
    """A camera that looks along a heading and upwards, rolled clockwise as seen from behind it."""
    heading, tilt, roll = np.radians([heading_deg, tilt_deg, roll_deg])
    ahead = np.array([np.cos(tilt) * np.cos(heading), np.cos(tilt) * np.sin(heading), np.sin(tilt)])
    level = look_at(position, np.asarray(position) + ahead)[:3, :3]
    R = rotation_from_vector([0, 0, -roll]) @ level
    return Camera(PLAIN, pose(R, -R @ np.asarray(position)))


def test_a_camera_that_looks_along_x_and_is_rolled_to_the_right():
    """By hand: x ahead, so its right is -y and its down is -z; clockwise, its right turns towards the ground."""
    level = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
    (one,) = facts(Rig((Camera(PLAIN, pose(level, [0, 0, 0])),))).cameras
    assert one.forward == pytest.approx((1, 0, 0)) and one.heading_deg == pytest.approx(0) == one.tilt_deg
    assert one.roll_deg == pytest.approx(0)
    s, c = np.sin(0.1), np.cos(0.1)
    rolled = np.array([[0, -c, -s], [0, s, -c], [1, 0, 0]])
    (one,) = facts(Rig((Camera(PLAIN, pose(rolled, [0, 0, 0])),))).cameras
    assert one.roll_deg == pytest.approx(np.degrees(0.1))


@given(st.floats(-179, 179), st.floats(-80, 80), st.floats(-170, 170))
@settings(max_examples=20, derandomize=True)
def test_heading_tilt_and_roll_are_read_back(heading, tilt, roll):
    (one,) = facts(Rig((turned(heading, tilt, roll),))).cameras
    assert (one.heading_deg, one.tilt_deg, one.roll_deg) == pytest.approx((heading, tilt, roll), abs=1e-6)
    assert one.position_m == pytest.approx((1.0, -2.0, 1.5)) and np.linalg.norm(one.forward) == pytest.approx(1.0)


def test_a_camera_that_looks_straight_down_has_no_roll():
    down = pose(np.diag([1.0, -1, -1]), [0, 0, 3.0])
    (one,) = facts(Rig((Camera(PLAIN, down),))).cameras
    assert np.isnan(one.roll_deg) and one.tilt_deg == pytest.approx(-90) and one.position_m == pytest.approx((0, 0, 3))


def test_fields_of_view_are_those_of_the_focal_length():
    (one,) = facts(Rig((turned(0, 0, 0),))).cameras
    assert one.fov_deg == pytest.approx((2 * np.degrees(np.arctan(640 / 800)), 2 * np.degrees(np.arctan(360 / 820))))
    assert one.focal_px == (800.0, 820.0) and one.bent_px == pytest.approx(0, abs=1e-9)
    assert (one.name, one.size, one.model, one.coefficients) == ("east", (1280, 720), "pinhole", 0)


def test_an_equidistant_fisheye_has_a_field_in_proportion_to_its_width():
    lens = Lens("fish", (1280, 720), K, [0.0] * 4, "fisheye")
    (one,) = facts(Rig((Camera(lens, np.eye(4)),))).cameras
    assert one.fov_deg == pytest.approx((np.degrees(1280 / 800), np.degrees(720 / 820)))


def test_barrel_distortion_widens_the_field_and_moves_the_corners():
    bent = Lens("east", (1280, 720), K, [-0.1, 0, 0, 0])
    (one,) = facts(Rig((Camera(bent, np.eye(4)),))).cameras
    assert one.fov_deg[0] > 2 * np.degrees(np.arctan(640 / 800)) + 1
    corner = bent.undistort([-0.5, -0.5])
    assert one.bent_px == pytest.approx(np.linalg.norm(K[:2, :2] @ corner + K[:2, 2] + 0.5), rel=1e-6)


def test_a_lens_that_folds_back_inside_its_image_is_described_up_to_the_fold():
    folded = Lens("east", (1280, 720), K, [-0.45, 0, 0, 0])
    (one,), (plain,) = (facts(Rig((Camera(lens, np.eye(4)),))).cameras for lens in (folded, PLAIN))
    r = np.sqrt(1 / (3 * 0.45))
    assert one.fold_px == pytest.approx(r * (1 - 0.45 * r * r) * 810, rel=0.01) and plain.fold_px is None
    assert one.fov_deg[0] <= 2 * np.degrees(np.arctan(r)) and np.isfinite([*one.fov_deg, one.bent_px]).all()
    strong = Lens("east", (1280, 720), K, [-3.0, 0, 0, 0])
    (one,) = facts(Rig((Camera(strong, np.eye(4)),))).cameras
    assert one.fov_deg == pytest.approx([2 * np.degrees(np.arctan(np.sqrt(1 / 9)))] * 2)


def test_a_fisheye_that_sees_behind_itself_has_a_field_of_half_a_turn():
    lens = Lens("fish", (1280, 720), np.array([[300.0, 0, 640], [0, 300, 360], [0, 0, 1]]), [0.0] * 4, "fisheye")
    (one,) = facts(Rig((Camera(lens, np.eye(4)),))).cameras
    assert one.fov_deg[0] == pytest.approx(180, abs=0.1) and np.isfinite(one.bent_px)


def test_distances_are_between_the_cameras_and_the_middle_is_what_they_look_at():
    rig = make_rig(4, distortion=[])
    found = facts(rig)
    np.testing.assert_allclose(found.distances_m, found.distances_m.T)
    np.testing.assert_allclose(np.diag(found.distances_m), 0)
    assert found.distances_m[0, 2] == pytest.approx(np.linalg.norm(rig[0].position - rig[2].position))
    np.testing.assert_allclose(found.middle_m, (0, 0, 1), atol=0.03)
    for one, camera in zip(found.cameras, rig, strict=True):
        assert one.middle_m == pytest.approx(np.linalg.norm(camera.position - found.middle_m))
        assert one.position_m[2] == pytest.approx(camera.position[2])


def test_another_place_of_the_world_moves_positions_and_leaves_lenses_and_distances():
    rig = make_rig(3)
    there = facts(rig.moved(pose(rotation_from_vector([0, 0, 0.5]), [10, 0, 0])))
    here = facts(rig)
    np.testing.assert_allclose(there.distances_m, here.distances_m, atol=1e-9)
    for one, other in zip(here.cameras, there.cameras, strict=True):
        assert one.fov_deg == pytest.approx(other.fov_deg) and one.middle_m == pytest.approx(other.middle_m, rel=1e-6)
        assert (other.heading_deg - one.heading_deg - np.degrees(0.5)) % 360 == pytest.approx(0, abs=1e-6)
        assert (one.tilt_deg, one.roll_deg) == pytest.approx((other.tilt_deg, other.roll_deg), abs=1e-6)


def test_a_rig_has_a_picture_as_wide_as_the_page():
    data = picture(make_rig(2, "fisheye"))
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", data[16:24]) == (1056, 484)
