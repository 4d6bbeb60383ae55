"""Rigs keep names and order, project as their cameras do, and stay the same in another world."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ring_rigs import DISTORTION, make_mixed_rig

from calib.errors import CalibrationError
from calib.geometry import invert, pose, rotation_from_vector, transform
from calib.rig import Rig


def test_nothing_can_be_changed(rig):
    for array in (rig[0].lens.K, rig[0].lens.distortion, rig[0].cam_from_world, rig[0].position, rig.K, rig.P):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_a_rig_is_its_cameras(mixed_rig, points):
    xy = mixed_rig.project(points.reshape(3, 20, 3))
    assert xy.shape == (4, 3, 20, 2)
    for index, camera in enumerate(mixed_rig):
        np.testing.assert_allclose(xy[index].reshape(-1, 2), camera.project(points), atol=1e-9)
        np.testing.assert_allclose(mixed_rig.undistort(xy)[index], camera.lens.undistort(xy[index]), atol=1e-9)
        np.testing.assert_allclose(mixed_rig.rays(xy)[1][index], camera.rays(xy[index])[1], atol=1e-9)
    plain = np.append(points[0], 1) @ mixed_rig.P[0].T
    np.testing.assert_allclose(plain[:2] / plain[2], mixed_rig[0].project(points[0]), atol=1e-9)
    assert mixed_rig.K.shape == (4, 3, 3) and mixed_rig.positions.shape == (4, 3)


def test_names_and_order(rig):
    assert len(rig) == 4 and rig.names == ("cam_1", "cam_2", "cam_3", "cam_4")
    assert rig["cam_2"] is rig[1] and "cam_3" in rig and "cam_9" not in rig
    assert rig.select(["cam_4", "cam_1"]).names == ("cam_4", "cam_1")
    assert rig.reordered(rig.names[::-1]).names == rig.names[::-1]
    with pytest.raises(CalibrationError, match="cam_9"):
        rig["cam_9"]
    with pytest.raises(CalibrationError, match="once"):
        rig.reordered(["cam_1"])
    with pytest.raises(CalibrationError, match="'cam_1'"):
        Rig((rig[0], rig[1], rig[0]))
    with pytest.raises(CalibrationError, match="at least one"):
        Rig(())


def test_pixels_of_another_count_of_cameras_are_refused(rig):
    for wrong in (np.zeros((3, 2)), np.zeros((4, 3)), np.zeros(2)):
        with pytest.raises(ValueError, match="4 cameras"):
            rig.undistort(wrong)


def test_another_unit_looks_the_same(rig, points):
    np.testing.assert_allclose(rig.scaled_world(1000).project(points * 1000), rig.project(points), atol=1e-8)
    with pytest.raises(CalibrationError, match="positive"):
        rig.scaled_world(0)


def test_importing_is_cheap():
    heavy = "import sys, calib; print([m for m in ('cv2', 'scipy', 'yaml', 'mvcap') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True).stdout.strip() == "[]"


numbers = st.lists(st.floats(-2, 2), min_size=6, max_size=6)


@given(numbers, numbers)
@settings(max_examples=12, derandomize=True)
def test_another_world_frame_changes_no_picture_and_frames_compose(first, second):
    rig = make_mixed_rig()
    points = np.random.default_rng(3).uniform((-0.8, -0.8, 0.2), (0.8, 0.8, 1.8), (9, 3))
    a, b = (pose(rotation_from_vector(one[:3]), one[3:]) for one in (first, second))
    there = rig.moved(a)
    np.testing.assert_allclose(there.project(transform(a, points)), rig.project(points), atol=1e-7)
    np.testing.assert_allclose(there.moved(b).cam_from_world, rig.moved(b @ a).cam_from_world, atol=1e-12)
    np.testing.assert_allclose(there.moved(invert(a)).positions, rig.positions, atol=1e-12)


def test_a_scaled_world_and_back_is_the_same(rig):
    again = rig.scaled_world(1000).scaled_world(0.001)
    np.testing.assert_allclose(again.cam_from_world, rig.cam_from_world, rtol=1e-12)
    for wrong in (-1.0, np.nan, np.inf):
        with pytest.raises(CalibrationError, match=f"{wrong}"):
            rig.scaled_world(wrong)


def test_reprojection_errors_are_distances_in_pixels(mixed_rig, points):
    xy = mixed_rig.project(points)
    np.testing.assert_allclose(mixed_rig.reprojection_error(points, xy + np.array([3, -4])), 5.0, atol=1e-9)
    xy[2, 7] = np.nan
    missing = np.isnan(mixed_rig.reprojection_error(points, xy))
    assert missing[2, 7] and missing.sum() == 1


def test_pixels_per_ray_is_the_derivative_of_the_lens(mixed_rig, points):
    flat = mixed_rig.undistort(mixed_rig.project(points))
    slope, step = mixed_rig.pixels_per_ray(flat), 1e-6
    assert slope.shape == (*flat.shape, 2)
    for view, camera in enumerate(mixed_rig):
        for axis, way in enumerate(step * np.eye(2)):
            numeric = (camera.lens.distort(flat[view] + way) - camera.lens.distort(flat[view] - way)) / (2 * step)
            np.testing.assert_allclose(slope[view, ..., axis], numeric, rtol=1e-5, atol=1e-3)


def test_focal_lengths_are_means_of_both_axes(rig):
    np.testing.assert_allclose(rig.focal**2, [camera.lens.K[0, 0] * camera.lens.K[1, 1] for camera in rig])


def opencv_arrays(count=3):
    rng = np.random.default_rng(4)
    K = np.array([[[900.0 + index, 0, 640], [0, 905, 355], [0, 0, 1]] for index in range(count)])
    return K, rng.normal(0, 0.2, (count, 3)), np.array([0.1, -0.2, 4.0]) + rng.normal(0, 0.1, (count, 3))


@pytest.mark.parametrize("coefficients", [0, 4, 5, 8, 12, 14])
def test_rigs_of_opencv_s_arrays_project_as_opencv_does(coefficients):
    K, rvec, tvec = opencv_arrays()
    bent = [*DISTORTION["rational"], 1e-3, -5e-4, 8e-4, 3e-4, 0.0, 0.0][:coefficients]
    rig = Rig.from_opencv(K, [bent] * 3 if coefficients else None, rvec, tvec, (1280, 720), ["a", "b", "c"])
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (6, 3))
    assert rig.names == ("a", "b", "c")
    for view in range(3):
        theirs = cv2.projectPoints(points, rvec[view], tvec[view], K[view], np.array(bent) if bent else None)[0]
        np.testing.assert_allclose(rig[view].project(points), theirs[:, 0], atol=1e-8)
    turned = Rig.from_opencv(K, None, rig.cam_from_world[:, :3, :3], tvec, [(1280, 720)] * 3)
    np.testing.assert_allclose(turned.cam_from_world, rig.cam_from_world, atol=1e-12)
    assert turned.names == ("cam1", "cam2", "cam3")


def test_fisheyes_of_opencv_s_arrays_project_as_opencv_does():
    K, rvec, tvec = opencv_arrays(1)
    rig = Rig.from_opencv(K, [DISTORTION["fisheye"]], rvec, tvec, (1280, 720), fisheye=True)
    points = np.random.default_rng(0).uniform(-2, 2, (6, 1, 3))
    theirs = cv2.fisheye.projectPoints(points, rvec, tvec[:, None], K[0], np.array(DISTORTION["fisheye"]))[0]
    np.testing.assert_allclose(rig[0].project(points[:, 0]), theirs[:, 0], atol=1e-8)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tvec": np.zeros((2, 3))}, ("tvec", "3", "2")),
        ({"rvec": np.zeros((2, 3))}, ("rvec", "3", "2")),
        ({"dist": [[]] * 2}, ("dist", "3", "2")),
        ({"names": ["a"]}, ("names", "3", "1")),
        ({"dist": [[0.0] * 14, [*[0.0] * 13, 0.1], []]}, ("'cam2'", "tilt")),
    ],
    ids=["translations", "rotations", "coefficients", "names", "a tilted sensor"],
)
def test_opencv_s_arrays_that_do_not_fit_are_named(changes, words):
    K, rvec, tvec = opencv_arrays()
    given = {"K": K, "dist": None, "rvec": rvec, "tvec": tvec, "size": (1280, 720)}
    with pytest.raises(CalibrationError) as refused:
        Rig.from_opencv(**given | changes)
    assert all(word in str(refused.value) for word in words)
