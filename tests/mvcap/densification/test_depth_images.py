"""Depth images: unknown depths, lenses, and views that agree with points."""

import numpy as np
from capsule_people import circle_rig

from calib import Rig
from mvcap.densification.depth_images import agreeing_views, as_pinhole, known_depth

RIG = circle_rig(2, size=(160, 120))


def test_unknown_far_and_nobodys_depths_are_zero():
    depth = np.array([[1.0, np.nan, np.inf, -1.0, 9.0, 2.0]])
    label = np.array([[1, 1, 1, 1, 1, 0]], np.uint8)
    assert known_depth(depth, None, 8.0).tolist() == [[1, 0, 0, 0, 0, 2]]
    assert known_depth(depth, label, 8.0).tolist() == [[1, 0, 0, 0, 0, 0]]


def test_a_point_is_found_where_a_pinhole_sees_it():
    camera = RIG[0]
    image = np.zeros((120, 160), np.float32)
    point = camera.rays(np.array([[30.0, 20.0]]))
    at = np.asarray(point[0]).reshape(-1, 3)[0] + 3 * point[1][0]
    image[20, 30] = 7
    flat = as_pinhole(image, camera, smooth=False)
    seen = camera.lens.K @ (camera.cam_from_world[:3] @ [*at, 1])
    y, x = np.unravel_index(flat.argmax(), flat.shape)
    assert flat.max() == 7 and np.hypot(*(seen[:2] / seen[2] - [x, y])) < 1
    colours = as_pinhole(np.full((120, 160, 3), 90, np.uint8), camera, smooth=True)
    assert colours.shape == (120, 160, 3) and (colours[40:80, 40:120] == 90).all()
    plain = circle_rig(1, size=(160, 120), distortion=(0.0,) * 5)[0]
    assert as_pinhole(image, plain, smooth=False) is image


def test_views_agree_where_they_measure_the_point():
    forward = RIG[0].cam_from_world[2, :3]
    middle = np.array([0.0, 0.0, 0.9]) + np.outer([0, -0.1, -60.0], forward)
    far = RIG[0].cam_from_world[2, :3] @ middle[0] + RIG[0].cam_from_world[2, 3]
    depth = np.full((120, 160), far + 0.01)
    agree, apart, xy = agreeing_views(middle, [depth, None], Rig(RIG.cameras), 0.03)
    assert agree.tolist() == [[True, False, False], [False] * 3] and xy.shape == (2, 3, 2)
    np.testing.assert_allclose(apart[0, 0], 0.01, atol=1e-9)
    assert np.isnan(apart[0, 1]) and np.isnan(apart[1]).all()
