"""Corners of two blurred edges: their place to a hundredth of a pixel, its error as large as it is said to be."""

import cv2
import numpy as np
import pytest
from scipy.special import erf

from calib.boards import board_from
from calib.camera import Lens
from calib.detectors.chessboard import surroundings as around_chessboard
from calib.detectors.corners import Corners, Surroundings, fit
from calib.detectors.plane import corners_on
from calib.geometry import pose, rotation_from_vector, transform

STEP_PX = 40  # from one corner to the next
SHAPE = (5, 6)


def surroundings(count, *, tag=False, reach=14.0):
    """Corners of which all but the two edges is plain; metres are pixels here."""
    return Surroundings(
        np.full((count, 2, 2), reach),
        np.full((count, 2, 2), np.inf),
        np.full(count, tag),
        np.ones((count, 2)),
        np.ones(count),
    )


def drawn(*, tag=False, angle=(0.15, 1.7), blur=(1.0, 1.3), contrast=120.0, grey=110.0, slope=(0.0, 0.0), noise=0.0):
    """An image of crossings, or of tags' corners, each at a place of its own: image, places (N, 2), edges' axes.

    angle: of the normals of the two edges; contrast: signed, between the two colours; slope: of the brightness.
    """
    rng = np.random.default_rng(4)
    rows, columns = SHAPE
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    places = (np.stack([x, y], -1).reshape(-1, 2) + 0.5) * STEP_PX + rng.uniform(-0.5, 0.5, (rows * columns, 2))
    at = np.stack(np.meshgrid(np.arange(columns * STEP_PX), np.arange(rows * STEP_PX)), -1).astype(float)
    nearest = np.clip(at[..., 1] // STEP_PX, 0, rows - 1) * columns + np.clip(at[..., 0] // STEP_PX, 0, columns - 1)
    away = at - places[nearest.astype(int)]
    edges = [
        erf((away @ [np.cos(turn), np.sin(turn)]) / (np.sqrt(2) * width))
        for turn, width in zip(angle, blur, strict=True)
    ]
    colour = (1 + edges[0]) * (1 + edges[1]) / 4 if tag else edges[0] * edges[1] / 2
    image = grey + contrast * colour + away @ slope + noise * rng.standard_normal(away.shape[:2])
    normals = np.array([[np.cos(turn), np.sin(turn)] for turn in angle])
    return np.rint(image.clip(0, 255)).astype(np.uint8), places, np.linalg.inv(normals)


def fitted(image, places, axes, *, tag=False, off=0.8):
    """Corners from starts that are `off` px away."""
    rng = np.random.default_rng(1)
    around = rng.uniform(-off, off, places.shape)
    return fit(image, places + around, np.tile(axes, (len(places), 1, 1)), surroundings(len(places), tag=tag))


@pytest.mark.parametrize("tag", [False, True], ids=["crossing", "tag"])
def test_places_blurs_and_contrasts_are_those_of_the_picture(tag):
    image, places, axes = drawn(tag=tag)
    found = fitted(image, places, axes, tag=tag)
    assert np.linalg.norm(found.xy - places, axis=-1).max() < 0.03
    np.testing.assert_allclose(found.blur, np.tile([1.0, 1.3], (len(places), 1)), atol=0.08)
    np.testing.assert_allclose(found.contrast, 120, atol=4)
    assert found.match.min() > 0.998


def test_the_expected_error_is_that_which_happens():
    image, places, axes = drawn(noise=4.0)
    found = fitted(image, places, axes)
    scaled = (found.xy - places) / found.sigma[:, None]
    assert 0.8 < np.sqrt((scaled**2).mean()) < 1.25
    assert abs(scaled.mean()) < 0.3
    noisier = fitted(*drawn(noise=8.0))
    assert np.median(noisier.sigma) == pytest.approx(2 * np.median(found.sigma), rel=0.25)


def test_blur_and_low_contrast_make_the_expected_error_larger():
    sharp = np.median(fitted(*drawn(noise=3.0)).sigma)
    assert np.median(fitted(*drawn(noise=3.0, blur=(2.5, 2.5))).sigma) > 1.5 * sharp
    assert np.median(fitted(*drawn(noise=3.0, contrast=40.0)).sigma) == pytest.approx(3 * sharp, rel=0.3)


def test_the_sign_of_the_contrast_tells_black_from_white():
    found = fitted(*drawn(contrast=-100.0))
    np.testing.assert_allclose(found.contrast, -100, atol=4)


def test_uneven_light_shifts_no_corner():
    image, places, axes = drawn(slope=(0.8, -0.5))
    assert np.linalg.norm(fitted(image, places, axes).xy - places, axis=-1).max() < 0.03


@pytest.mark.parametrize("angle", [(0.0, np.pi / 2), (0.6, 1.5), (2.8, 4.6)])
def test_edges_may_have_any_direction(angle):
    image, places, axes = drawn(angle=angle)
    assert np.linalg.norm(fitted(image, places, axes).xy - places, axis=-1).max() < 0.03


def test_each_corner_is_fitted_for_itself():
    image, places, axes = drawn(noise=2.0)
    whole = fitted(image, places, axes)
    alone = fit(image, places[[7]], axes[None], surroundings(1))
    np.testing.assert_allclose(alone.xy[0], whole.xy[7], atol=2e-3)


def test_what_is_no_corner_explains_little():
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 255, (240, 320)).astype(np.uint8)
    found = fit(texture, rng.uniform(40, 200, (12, 2)), np.tile(np.eye(2), (12, 1, 1)), surroundings(12))
    assert np.nanmax(found.match) < 0.6
    one_edge = np.tile(np.where(np.arange(320) < 160, 40, 220).astype(np.uint8), (240, 1))
    along = fit(one_edge, np.array([[160.0, 120.0]]), np.eye(2)[None], surroundings(1))
    assert not along.sigma[0] < 0.3  # nothing says where on the edge


def test_unknown_and_outlying_places_have_no_corner():
    image, places, axes = drawn()
    asked = np.array([[np.nan, 5.0], [-50.0, 20.0], [40.0, 500.0], places[9]])
    found = fit(image, asked, np.tile(axes, (4, 1, 1)), surroundings(4))
    assert np.isnan(found.xy[:3]).all() and np.isnan(found.sigma[:3]).all() and np.isnan(found.match[:3]).all()
    np.testing.assert_allclose(found.xy[3], places[9], atol=0.03)


def test_nothing_asked_is_nothing_found():
    found = fit(np.zeros((9, 9), np.uint8), np.zeros((0, 2)), np.zeros((0, 2, 2)), surroundings(0))
    assert isinstance(found, Corners) and found.xy.shape == (0, 2) and found.sigma.shape == (0,)


def test_rows_of_surroundings_are_selected_together():
    around = surroundings(4)
    around.reach[2] = 3.0
    around.sign[2] = -1.0
    some = around[np.array([False, False, True, True])]
    assert some.reach[:, 0, 0].tolist() == [3.0, 14.0] and some.sign.tolist() == [-1.0, 1.0] and len(some.tag) == 2


def fisheye_board(degrees, distance_m=1.3, sub=4):
    """A chessboard that a 170 degree fisheye sees at an angle, and its true corners (N, 2) px; the rays are exact."""
    lens = Lens(
        "fish", (640, 360), [[215.0, 0, 323.5], [0, 215, 176.5], [0, 0, 1]], [0.02, -0.01, 0.002, -5e-4], "fisheye"
    )
    board, side = board_from("chessboard:6x5:90mm"), 0.09
    angle = np.deg2rad(degrees)
    ahead = np.array([np.sin(angle), 0.0, np.cos(angle)])
    R = np.stack([np.cross([0, 1, 0], ahead), [0, 1, 0], ahead], 1) @ rotation_from_vector([0.2, -0.15, 0.1])
    place = pose(R, distance_m * ahead - R @ board.target.points.mean(0))
    seen = transform(place, board.target.points)
    true = lens.distort(seen[:, :2] / seen[:, 2:])
    low, high = np.floor(true.min(0)).astype(int) - 30, np.ceil(true.max(0)).astype(int) + 30
    low, high = np.maximum(low, 0), np.minimum(high, np.array(lens.size) - 1)
    steps = [np.arange(a, b + 1)[:, None] + (np.arange(sub) + 0.5) / sub - 0.5 for a, b in zip(low, high, strict=True)]
    flat = lens.undistort(np.stack(np.meshgrid(*(step.ravel() for step in steps)), -1))
    rays = np.concatenate([flat, np.ones((*flat.shape[:-1], 1))], -1)
    on_board = (rays * ((R[:, 2] @ place[:3, 3]) / (rays @ R[:, 2]))[..., None] - place[:3, 3]) @ R
    column, row = np.floor(on_board[..., 0] / side + 1), np.floor(on_board[..., 1] / side + 1)
    grey = np.where((column + row) % 2 == 0, 30.0, 220.0)
    grey = np.where((column >= 0) & (column <= 6) & (row >= 0) & (row <= 5), grey, 220.0)
    inner = grey.reshape(len(steps[1]), sub, len(steps[0]), sub).mean((1, 3))
    image = np.full((360, 640), 220.0)
    image[low[1] : high[1] + 1, low[0] : high[0] + 1] = inner
    image = cv2.GaussianBlur(image, (0, 0), 0.6) + np.random.default_rng(0).normal(0, 1, image.shape)
    return board, np.clip(np.rint(image), 0, 255).astype(np.uint8), true


@pytest.mark.parametrize("degrees", [20, 55, 75])
def test_corners_at_the_edge_of_a_fisheye_have_no_bias_towards_its_centre(degrees):
    board, image, true = fisheye_board(degrees)
    points = board.target.points[:, :2]
    rough = true + np.random.default_rng(1).normal(0, 0.3, true.shape)
    found = corners_on(image, points, around_chessboard(board), board.square_m, points, rough)
    outwards = (true - [323.5, 176.5]) / np.linalg.norm(true - [323.5, 176.5], axis=1, keepdims=True)
    off = ((found.xy - true) * outwards).sum(1)
    off = off[np.isfinite(off)]
    assert len(off) >= 20 and abs(off.mean()) < 3 * off.std() / np.sqrt(len(off)) + 0.003 and off.std() < 0.03
