"""Corners of two blurred edges: their place to a hundredth of a pixel, its error as large as it is said to be."""

import numpy as np
import pytest
from scipy.special import erf

from calib.detectors.corners import Corners, Surroundings, fit

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
