"""One person in one view: rays through a distorting lens, and shapes that do not fit."""

import numpy as np
import pytest

from calib.camera import Camera, Lens
from mvcap.structures.skeleton import skeleton
from mvcap.structures.view_track import ViewTrack

COCO = skeleton("coco17")
LENS = Lens("a", (1280, 720), np.array([[900.0, 0, 640], [0, 905, 350], [0, 0, 1]]), np.array([-0.2, 0.05, 0, 0, 0]))


def test_rays_go_through_the_points_that_were_projected():
    points = np.random.default_rng(0).uniform((-1, -1, 3), (1, 1, 5), (4, len(COCO), 3))
    xy = Camera(LENS, np.eye(4)).project(points)
    xy[1, 3] = np.nan
    known = np.isfinite(xy).all(-1)
    track = ViewTrack(COCO, LENS, np.arange(4) / 30, xy, known * 1.0, np.where(known, 2.0, np.nan))
    rays = points / np.linalg.norm(points, axis=-1, keepdims=True)
    assert np.array_equal(track.known, known)
    assert np.allclose(track.rays()[known], rays[known], atol=1e-6)
    assert np.isnan(track.rays()[1, 3]).all()


def test_the_noise_of_a_ray_is_that_of_its_pixel():
    """2 px are 2 / 900 rad in the middle of the picture, fewer where a distant pixel shows less of the scene."""
    plain = Lens("b", (1280, 720), np.array([[900.0, 0, 640], [0, 900, 350], [0, 0, 1]]), np.zeros(0))
    xy = np.full((1, len(COCO), 2), (640.0, 350.0))
    xy[0, 1], xy[0, 2] = (640 + 900, 350), np.nan
    known = np.isfinite(xy).all(-1)
    noise = ViewTrack(COCO, plain, np.zeros(1), xy, known * 1.0, np.where(known, 2.0, np.nan)).noise_rad()[0]
    np.testing.assert_allclose(noise[0], 2 / 900, rtol=1e-3)
    np.testing.assert_allclose(
        noise[1], 2 / 900 * np.cos(np.pi / 4) ** 1.5, rtol=2e-3
    )  # the solid angle falls as cos^3
    assert np.isnan(noise[2])


def test_shapes_that_do_not_fit_are_named():
    xy = np.zeros((2, len(COCO), 2))
    with pytest.raises(ValueError, match="score must have the shape"):
        ViewTrack(COCO, LENS, np.arange(2.0), xy, np.ones((2, 3)), np.ones((2, len(COCO))))
    with pytest.raises(ValueError, match="metric must have the shape"):
        ViewTrack(COCO, LENS, np.arange(2.0), xy, np.ones((2, len(COCO))), np.ones((2, len(COCO))), np.zeros((2, 3)))
    for time_s in ([1.0, 0.0], [0.0, 0.0], [0.0, np.nan]):
        with pytest.raises(ValueError, match="finite and ascending"):
            ViewTrack(COCO, LENS, np.array(time_s), xy, np.ones((2, len(COCO))), np.ones((2, len(COCO))))
