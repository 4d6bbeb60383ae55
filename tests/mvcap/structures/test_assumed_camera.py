"""A camera that is not calibrated: its angle of view, its pose, and what the notes of its session say."""

import numpy as np
import pytest

from mvcap.errors import InputError
from mvcap.structures.assumed_camera import PRIOR_FOCAL_SHARE, PRIOR_FOV_DEG, assumed_rig, check_fov, lens_of


@pytest.mark.parametrize("size", [(1920, 1080), (1080, 1920)])
@pytest.mark.parametrize("fov", [None, 40.0, 90.0])
def test_the_angle_is_that_of_the_longer_side(size, fov):
    rig, note = assumed_rig("one", size, fov)
    flat = rig[0].lens.undistort(np.array([[-0.5, -0.5], [size[0] - 0.5, size[1] - 0.5]]))
    longer = int(np.argmax(size))
    angle = np.degrees(np.arctan(flat[1, longer]) - np.arctan(flat[0, longer]))
    assert angle == pytest.approx(fov or PRIOR_FOV_DEG)
    lens = lens_of(["another note", note])
    assert lens.source == ("prior" if fov is None else "fov") and f"{angle:g} degrees" in lens.words
    assert lens.focal_sigma == (PRIOR_FOCAL_SHARE if fov is None else 0)


def test_the_camera_is_level_and_above_the_floor():
    rig, _ = assumed_rig("one", (640, 480), None)
    np.testing.assert_allclose(rig[0].cam_from_world[:3, :3] @ [0, 0, 1], [0, -1, 0], atol=1e-12)
    np.testing.assert_allclose(rig.positions[0], [0, 0, 1.5])


def test_a_calibrated_lens_has_no_note():
    assert lens_of(["two views are alike"]).source == "rig" and lens_of([]).focal_sigma == 0


@pytest.mark.parametrize("angle", [0, -3, 200, 180.0, float("nan"), float("inf"), True, "60", None])
def test_impossible_angles(angle):
    with pytest.raises(InputError, match="--fov"):
        check_fov(angle)
