"""The plot of one camera: drawn for whatever is known of it, and the numbers that it shows."""

import struct
from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
from made_calibrations import CASES, NAN

from calib.report.view_plots import _cell_means, _nice, view_picture
from calib.report.views import view_evidence


@cache
def view(name="good", row=0):
    return view_evidence(CASES[name](), row)


@cache
def drawn():
    """The picture of a whole view."""
    return view_picture(view(), dpi=55)


def png_size(data):
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


def panel(data, place):
    """A quarter of the picture, RGB as signed numbers: "top left" and so on."""
    whole = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)
    height, width = whole.shape[:2]
    rows = slice(0, height // 2) if place.startswith("top") else slice(height // 2, None)
    return whole[rows, : width // 2] if place.endswith("left") else whole[rows, width // 2 :]


def share(pixels, more, less):
    """Share of the pixels in which one channel clearly exceeds another."""
    return float((pixels[..., "rgb".index(more)] - pixels[..., "rgb".index(less)] > 30).mean())


def test_the_picture_is_as_wide_as_the_page_and_finer_where_asked_for():
    assert png_size(drawn()) == (9.6 * 55, 6.2 * 55)
    assert png_size(view_picture(view(), dpi=20)) == (192, 124)


def test_a_camera_that_saw_nothing_has_no_picture():
    nothing = view("broken")
    assert len(nothing.xy) == 0 and view_picture(nothing) is None


def test_a_camera_that_saw_people_has_a_picture_though_they_have_no_tilt():
    assert np.isnan(view("people").tilt_deg).all() and len(view("people").distance_m) > 10
    assert png_size(view_picture(view("people"), dpi=20)) == (192, 124)


def test_a_camera_without_a_pose_or_residuals_has_one_too():
    bare = replace(view(), connected=False, lens=None, fit=None, distance_m=np.empty(0), tilt_deg=np.empty(0))
    bare = replace(bare, residual=np.full_like(bare.residual, NAN))
    assert png_size(view_picture(bare, dpi=20)) == (192, 124)


def test_dots_are_where_corners_were_seen_and_hatching_is_elsewhere():
    left = view().xy[:, 0] < 450
    some = replace(view(), xy=view().xy[left], residual=view().residual[left])
    data = [panel(one, "top left") for one in (drawn(), view_picture(some, dpi=55))]
    hatched = [share(one, "r", "b") for one in data]
    dotted = [share(one, "b", "r") for one in data]
    assert hatched[1] > 1.2 * hatched[0] > 0 and 0 < dotted[1] < 0.5 * dotted[0]


def test_arrows_of_a_common_residual_are_red_and_longer_than_those_of_noise():
    pushed = replace(view(), residual=view().residual + np.array([0.5, 0]))
    red = [share(panel(one, "top right"), "r", "b") for one in (drawn(), view_picture(pushed, dpi=55))]
    assert red[1] > 1.5 * red[0]


@pytest.mark.parametrize(
    ("length", "nice"), [(0.37, 0.2), (1.0, 1.0), (0.99, 0.5), (7.3, 5.0), (0.021, 0.02), (230.0, 200.0)]
)
def test_a_scale_is_a_plain_number_and_not_longer_than_asked_for(length, nice):
    assert _nice(length) == pytest.approx(nice)


def test_cells_with_enough_observations_have_their_mean():
    rng = np.random.default_rng(0)
    centre = np.array([64.0, 60.0])  # of the first of ten by six cells
    xy = np.concatenate([centre + rng.uniform(-30, 30, (8, 2)), [[700.0, 400.0]] * 4])
    residual = np.concatenate([rng.normal(size=(8, 2)), np.ones((4, 2))])
    places, means = _cell_means(view(), xy, residual)
    np.testing.assert_allclose(places, [xy[:8].mean(0)])
    np.testing.assert_allclose(means, [residual[:8].mean(0)])
    assert [part.shape for part in _cell_means(view(), xy[:3], residual[:3])] == [(0, 2), (0, 2)]
