"""Lenses and cameras: values that no camera can have are refused, pixels and rays are inverse, scales compose."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ring_rigs import DISTORTION, look_at, make_rig

from calib.camera import Camera, Lens
from calib.distortion import COEFFICIENTS
from calib.errors import CalibrationError
from calib.geometry import rotation_from_vector

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


@given(st.integers(1, 6), st.sampled_from([0.25, 0.5, 2.0, 3.0]))
@settings(max_examples=12, derandomize=True)
def test_scales_compose_and_their_inverse_undoes_them(first, second):
    lens = make_rig(1, size=(1280, 720))[0].lens
    both, once = lens.scaled(first).scaled(second), lens.scaled(first * second)
    np.testing.assert_allclose(both.K, once.K, rtol=1e-12)
    assert both.size == once.size
    back = lens.scaled(first).scaled(1 / first)
    np.testing.assert_allclose(back.K, lens.K, rtol=1e-12)
    assert back.size == lens.size
    np.testing.assert_array_equal(back.distortion, lens.distortion)


def test_half_and_double_images_keep_the_principal_point_among_pixel_centres():
    lens = Lens("east", (4, 2), [[3.0, 0, 1.5], [0, 3, 0.5], [0, 0, 1]], [])
    np.testing.assert_allclose(lens.scaled(0.5).K[:2, 2], (0.5, 0.0))  # pixels 0 1 | 2 3: the middle of two pixels
    np.testing.assert_allclose(lens.scaled(2).K[:2, 2], (3.5, 1.5))


def test_a_lens_ends_where_its_map_folds_back():
    lens = Lens("east", (1280, 720), K, [-0.33, 0, 0, 0])
    fold = 1 / np.sqrt(3 * 0.33)  # the derivative of r - 0.33 r^3 is zero there
    assert lens.valid_radius == pytest.approx(fold, rel=1e-9)
    inside, outside = [0.999 * fold, 0.0], [1.001 * fold, 0.0]
    assert np.isfinite(lens.distort(inside)).all() and np.isnan(lens.distort(outside)).all()
    largest = lens.distort(inside)[0]
    assert np.isnan(lens.undistort([largest + 5, 360.0])).all()  # nothing that the lens sees is there
    assert Lens("east", (1280, 720), K, [0.2, 0, 0, 0]).valid_radius == np.inf


def test_lens_maps_without_distortion_are_the_matrix():
    lens = Lens("east", (1280, 720), changed(0, 1, 2.5), [])
    np.testing.assert_allclose(lens.distort([[0.1, -0.2], [0, 0]]), [[640 + 90 - 0.5, 360 - 180], [640, 360]])
    np.testing.assert_allclose(lens.undistort(lens.distort([0.1, -0.2])), [0.1, -0.2], atol=1e-15)


@pytest.mark.parametrize("model", COEFFICIENTS)
def test_each_model_takes_its_counts_of_coefficients_and_no_other(model):
    for count in COEFFICIENTS[model]:
        assert Lens("east", (8, 8), K, np.zeros(count), model).distortion.shape == (count,)
    for count in set(range(15)) - set(COEFFICIENTS[model]):
        with pytest.raises(CalibrationError, match=rf"'east': {count} .*{model}"):
            Lens("east", (8, 8), K, np.zeros(count), model)


@pytest.mark.parametrize("size", [(640.0, 480.0), np.array([640, 480]), [640, 480]])
def test_a_size_becomes_two_whole_numbers(size):
    lens = Lens("east", size, K, [])
    assert lens.size == (640, 480) and all(type(side) is int for side in lens.size)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": (0, 720)}, ("'east'", "(0, 720)")),
        ({"K": changed(0, 0, -7.0)}, ("'east'", "-7", "900", "positive")),
        ({"K": changed(1, 0, 5.0)}, ("'east'", "fx s cx")),
        ({"model": "omnidirectional"}, ("'east'", "'omnidirectional'", "pinhole", "rational", "fisheye")),
        ({"distortion": [np.nan] * 4}, ("'east'", "nan", "finite")),
    ],
)
def test_a_refusal_names_the_camera_and_the_value(changes, words):
    good = {"name": "east", "size": (1280, 720), "K": K, "distortion": []}
    with pytest.raises(CalibrationError) as refused:
        Lens(**good | changes)
    assert all(word in str(refused.value) for word in words)


def test_digits_lost_in_a_file_are_borne_up_to_a_limit():
    pose = look_at((3, 1, 2))
    lens = Lens("east", (1280, 720), K, [])
    for spoiled, good in ((4e-5, True), (4e-4, False)):
        bent = pose + spoiled * np.array([[0, 1, 0, 0]] + [[0] * 4] * 3)
        if not good:
            with pytest.raises(CalibrationError, match=r"'east'.*orthonormal"):
                Camera(lens, bent)
            continue
        R = Camera(lens, bent).cam_from_world[:3, :3]
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-14)
        np.testing.assert_allclose(R, pose[:3, :3], atol=1e-4)


@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6))
@settings(max_examples=12, derandomize=True)
def test_the_position_is_what_the_pose_brings_to_the_origin(numbers):
    R, t = rotation_from_vector(numbers[:3]), np.array(numbers[3:])
    camera = Camera(Lens("east", (1280, 720), K, []), np.block([[R, t[:, None]], [np.zeros((1, 3)), 1]]))
    np.testing.assert_allclose(R @ camera.position + t, 0, atol=1e-12)
    np.testing.assert_allclose(camera.project(camera.position + R.T @ [0, 0, 2.0]), K[:2, 2], atol=1e-9)
    assert np.isnan(camera.project(camera.position - R.T @ [0, 0, 2.0])).all()


def test_a_missing_pixel_has_no_ray():
    camera = make_rig(1)[0]
    direction = camera.rays([[np.nan, 3.0], [640.0, 360.0]])[1]
    assert np.isnan(direction[0]).all() and np.isfinite(direction[1]).all()


def test_a_camera_is_called_as_its_lens_and_neither_can_be_changed():
    camera = make_rig(1, names=["east"])[0]
    assert (camera.name, camera.size) == ("east", camera.lens.size)
    with pytest.raises(FrozenInstanceError):
        camera.lens = camera.lens
    with pytest.raises(FrozenInstanceError):
        camera.lens.model = "fisheye"


def test_an_image_size_beyond_any_camera_is_refused():
    with pytest.raises(CalibrationError, match=r"'east'.*1e\+20.*no image is so large"):
        Lens("east", (1280, 10**20), np.eye(3), np.zeros(0))
