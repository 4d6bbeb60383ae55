import numpy as np
from recorded_take import bent_rig
from synthetic_take import body

from mvcap.datasets.face_blur import blur_circles, detected_head_circles, head_circles
from mvcap.structures.skeleton import skeleton

COCO = skeleton("coco17")
XYZ = body(0.0, (0.0, 0.0, 0.7, 0.0, 1.2))[None]


def test_heads_are_where_they_are_seen():
    for camera in bent_rig():
        [[x, y, radius]] = head_circles(camera, COCO, XYZ)
        face = camera.project(XYZ[0, :5])
        assert np.linalg.norm(face - [x, y], axis=-1).max() < radius < 0.1 * camera.size[0]
        [[u, v, found]] = detected_head_circles(COCO, camera.project(XYZ))
        assert np.hypot(u - x, v - y) < radius and 0.5 * radius < found < 2.5 * radius


def test_a_head_without_joints_is_beyond_the_shoulders():
    camera, hidden = bent_rig()[0], XYZ.copy()
    hidden[0, :5] = np.nan
    [[x, y, radius]] = head_circles(camera, COCO, hidden)
    assert np.linalg.norm(camera.project(XYZ[0, :5]) - [x, y], axis=-1).max() < radius
    hidden[0, 5:7] = np.nan
    assert len(head_circles(camera, COCO, hidden)) == 0


def test_detail_in_the_circle_is_gone_and_the_rest_untouched():
    image = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    out = blur_circles(image, np.array([[60.0, 45.0, 20.0], [-50.0, 3.0, 9.0], [118.0, 88.0, 10.0]]))
    rows, columns = np.indices((90, 120))
    inside = (columns - 60) ** 2 + (rows - 45) ** 2 <= 400
    corner = (columns - 118) ** 2 + (rows - 88) ** 2 <= 100
    assert out[inside].std() < 0.25 * image[inside].std()
    assert (out[~inside & ~corner] == image[~inside & ~corner]).all() and (out[corner] != image[corner]).any()
