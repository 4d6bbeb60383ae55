"""Lenses there and back, against OpenCV; and NaN, never a wrong root, where there is no way back."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calib.distortion import distort, distort_with_jacobian, undistort, valid_radius

PRISM = [0.31, -0.09, 0.0005, 0.0004, 0.012, 0.52, -0.11, 0.03, 0.002, -0.001, -0.0015, 0.0007]
LENSES = [
    ("pinhole", []),
    ("pinhole", [-0.21, 0.06, 0.0008, -0.0006]),
    ("pinhole", [-0.21, 0.06, 0.0008, -0.0006, 0.01]),
    ("rational", PRISM[:8]),
    ("rational", PRISM),
    ("fisheye", [-0.02, 0.006, -0.003, 0.0004]),
    ("fisheye", [0.0, 0.0, 0.0, 0.0]),
]
GRID = np.stack(np.meshgrid(np.linspace(-0.8, 0.8, 9), np.linspace(-0.5, 0.5, 7)), -1)


def opencv_distort(points, coefficients, model):
    flat, zero = np.ascontiguousarray(points.reshape(-1, 1, 2)), np.zeros(3)
    if model == "fisheye":
        return cv2.fisheye.distortPoints(flat, np.eye(3), np.array(coefficients, float)).reshape(points.shape)
    ahead = np.concatenate([flat, np.ones_like(flat[..., :1])], -1)
    bent = cv2.projectPoints(ahead, zero, zero, np.eye(3), np.array(coefficients, float) if coefficients else None)[0]
    return bent.reshape(points.shape)


@pytest.mark.parametrize(("model", "coefficients"), LENSES)
def test_agrees_with_opencv_and_comes_back(model, coefficients):
    bent = distort(GRID, coefficients, model)
    np.testing.assert_allclose(bent, opencv_distort(GRID, coefficients, model), atol=1e-12)
    np.testing.assert_allclose(undistort(bent, coefficients, model), GRID, atol=1e-9)


@pytest.mark.parametrize(("model", "coefficients"), LENSES)
def test_undistortion_agrees_with_opencv(model, coefficients):
    bent = np.ascontiguousarray(0.6 * GRID.reshape(-1, 1, 2))
    k = np.array(coefficients, float)
    if model == "fisheye":
        theirs = cv2.fisheye.undistortPoints(bent, np.eye(3), k)
    else:
        many = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 200, 1e-13)
        theirs = cv2.undistortPoints(bent, np.eye(3), k if k.size else None, criteria=many)
    np.testing.assert_allclose(undistort(bent, coefficients, model), theirs, atol=1e-8)


@pytest.mark.parametrize(("model", "coefficients"), LENSES)
def test_jacobian_is_the_derivative(model, coefficients):
    points = np.concatenate([GRID.reshape(-1, 2), [[0, 0], [1e-8, 0], [1e-5, 2e-5]]])
    _, jacobian = distort_with_jacobian(points, coefficients, model)
    numeric = np.stack(
        [
            (distort(points + step, coefficients, model) - distort(points - step, coefficients, model)) / 2e-6
            for step in 1e-6 * np.eye(2)
        ],
        -1,
    )
    np.testing.assert_allclose(np.broadcast_to(jacobian, numeric.shape), numeric, atol=1e-7)


small = st.floats(-0.4, 0.4)


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(["pinhole", "rational", "fisheye"]),
    st.lists(small, min_size=8, max_size=8),
    st.integers(0, 2**31),
)
def test_any_lens_comes_back_or_says_nan(model, numbers, seed):
    k = np.array(numbers)
    k[2:4] *= 0.01 if model != "fisheye" else 1
    k = k[: {"pinhole": 5, "rational": 8, "fisheye": 4}[model]]
    edge = float(valid_radius(k, model))
    rng = np.random.default_rng(seed)
    radius, angle = rng.uniform(0, min(0.9 * edge, 1.5), 40), rng.uniform(0, 2 * np.pi, 40)
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    bent, slope = distort_with_jacobian(points, k, model)
    whole = np.linalg.eigvalsh(slope + np.swapaxes(slope, 1, 2)).min(-1) > 0.2
    np.testing.assert_allclose(undistort(bent, k, model)[whole], points[whole], atol=1e-6)
    anywhere = rng.uniform(-3, 3, (40, 2))
    back = undistort(anywhere, k, model)
    found = np.isfinite(back).all(-1)
    np.testing.assert_allclose(distort(back[found], k, model), anywhere[found], atol=1e-9)
    assert (np.hypot(*back[found].T) < edge).all()


def test_valid_radius_is_where_the_map_turns():
    assert valid_radius([], "pinhole") == np.inf
    assert valid_radius([0.3, 0, 0, 0], "pinhole") == np.inf
    assert valid_radius([-1 / 3, 0, 0, 0], "pinhole") == pytest.approx(1)  # 1 - 3 r^2 / 3 = 0
    assert valid_radius([0] * 5 + [-0.25, 0, 0], "rational") == pytest.approx(2)  # the pole
    assert valid_radius([-1 / 3, 0, 0, 0], "fisheye") == pytest.approx(np.tan(1))
    np.testing.assert_allclose(valid_radius([[-1 / 3, 0, 0, 0], [0, 0, 0, 0]], "pinhole"), [1, np.inf])


def test_no_root_beyond_the_fold():
    """k1 = -1/3 brings no point farther out than 2/3; the polynomial has other roots, all of them wrong."""
    k = [-1 / 3, 0, 0, 0]
    assert np.isnan(undistort([[0.7, 0], [0, 2.0], [-5, 5.0]], k, "pinhole")).all()
    inside = undistort([[0.66, 0.0]], k, "pinhole")
    assert np.hypot(*inside.T) < 1
    np.testing.assert_allclose(distort(inside, k, "pinhole"), [[0.66, 0.0]], atol=1e-10)
    assert np.isnan(undistort([2.0, 0.0], [0, 0, 0, 0], "fisheye")).all()  # 2 rad: behind the picture's plane


def test_nan_in_nan_out_and_the_rest_untouched():
    points = np.array([[np.nan, 0.1], [0.1, np.nan], [0.1, 0.1], [np.inf, 0]])
    back = undistort(points, [-0.2, 0, 0, 0], "pinhole")
    assert np.isfinite(back).all(-1).tolist() == [False, False, True, False]


@pytest.mark.parametrize("model", ["pinhole", "fisheye"])
def test_coefficients_broadcast(model):
    k = np.array([[-0.1, 0.01, 0, 0], [0.05, 0, 0, 0]])[:, None]
    bent = distort(GRID.reshape(-1, 2), k, model)
    assert bent.shape == (2, 63, 2)
    np.testing.assert_allclose(bent[1], distort(GRID.reshape(-1, 2), k[1, 0], model))
    np.testing.assert_allclose(undistort(bent, k, model)[0], GRID.reshape(-1, 2), atol=1e-9)


def test_an_unfitting_count_is_refused():
    with pytest.raises(ValueError, match="7 coefficients"):
        distort([0, 0], np.zeros(7), "pinhole")
