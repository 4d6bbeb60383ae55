"""Lenses and cameras that cannot be half-made, and rigs that keep names and order."""

import subprocess
import sys

import numpy as np
import pytest
from ring_rigs import DISTORTION, look_at, make_rig

from calib import CalibrationError, Camera, Lens, Rig

K = np.array([[900.0, 0, 640], [0, 900, 360], [0, 0, 1]])


def changed(row, column, value):
    out = K.copy()
    out[row, column] = value
    return out


@pytest.mark.parametrize(
    ("size", "matrix", "distortion", "model"),
    [
        ((0, 720), K, [], "pinhole"),
        ((1280.5, 720), K, [], "pinhole"),
        ((1280,), K, [], "pinhole"),
        ((1280, 720), changed(0, 0, np.nan), [], "pinhole"),
        ((1280, 720), changed(0, 0, 0), [], "pinhole"),
        ((1280, 720), changed(1, 1, -900), [], "pinhole"),
        ((1280, 720), changed(1, 0, 5), [], "pinhole"),
        ((1280, 720), changed(2, 2, 2), [], "pinhole"),
        ((1280, 720), K[:2], [], "pinhole"),
        ((1280, 720), K, [0.1, 0.2], "pinhole"),
        ((1280, 720), K, [0.1] * 14, "rational"),
        ((1280, 720), K, [0.1] * 5, "fisheye"),
        ((1280, 720), K, [np.inf, 0, 0, 0], "pinhole"),
        ((1280, 720), K, [], "omnidirectional"),
    ],
)
def test_a_bad_lens_is_refused_by_name(size, matrix, distortion, model):
    with pytest.raises(CalibrationError, match="'east'") as refused:
        Lens("east", size, matrix, distortion, model)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["", "  ", None])
def test_a_lens_has_a_name(name):
    with pytest.raises(CalibrationError, match="name"):
        Lens(name, (2, 2), K, [])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda pose: pose * 2,
        lambda pose: pose * [[-1], [1], [1], [1]],
        lambda pose: pose + np.eye(4) * [1e-3, 0, 0, 0],
        lambda pose: pose * np.nan,
        lambda pose: pose[:3],
    ],
)
def test_a_pose_that_is_none_is_refused_by_name(spoil):
    with pytest.raises(CalibrationError, match="'east'") as refused:
        Camera(Lens("east", (1280, 720), K, []), spoil(look_at((3, 1, 2))))
    assert "\n" not in str(refused.value)


def test_rounded_digits_become_a_rotation():
    camera = Camera(Lens("east", (1280, 720), K, []), np.round(look_at((3, 1, 2)), 5))
    R = camera.cam_from_world[:3, :3]
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(camera.position, (3, 1, 2), atol=1e-4)


def test_nothing_can_be_changed(rig):
    for array in (rig[0].lens.K, rig[0].lens.distortion, rig[0].cam_from_world, rig[0].position, rig.K, rig.P):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_the_given_arrays_stay_their_owner_s():
    mine = K.copy()
    lens = Lens("east", (1280, 720), mine, [])
    mine[0, 0] = 1
    assert lens.K[0, 0] == 900


@pytest.mark.parametrize("model", DISTORTION)
@pytest.mark.parametrize("lead", [(), (7,), (2, 3), (0,)])
def test_lens_and_camera_go_there_and_back(model, lead):
    camera = make_rig(1, model)[0]
    X = np.random.default_rng(0).uniform((-0.8, -0.8, 0.2), (0.8, 0.8, 1.8), (*lead, 3))
    xy = camera.project(X)
    assert xy.shape == (*lead, 2)
    np.testing.assert_allclose(camera.lens.distort(camera.lens.undistort(xy)), xy, atol=1e-7)
    origin, direction = camera.rays(xy)
    np.testing.assert_allclose(origin, camera.position)
    np.testing.assert_allclose(np.linalg.norm(direction, axis=-1), 1)
    np.testing.assert_allclose(np.cross(direction, X - origin), 0, atol=1e-8)


def test_scaling_moves_pixel_centres(points):
    camera = make_rig(1)[0]
    xy = camera.project(points)
    half = Camera(camera.lens.scaled(0.5), camera.cam_from_world)
    assert half.size == (640, 360)
    np.testing.assert_allclose(half.project(points), (xy + 0.5) * 0.5 - 0.5, atol=1e-9)
    assert camera.lens.cropped((1280, 704)).size == (1280, 704)
    np.testing.assert_array_equal(camera.lens.cropped((1280, 704)).K, camera.lens.K)


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
