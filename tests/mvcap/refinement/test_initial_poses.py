"""Where the least squares begins: points where there are any, straight lines between, and the body carried on."""

import numpy as np
from refined_walk import RATE_HZ, case, unseen, walk
from synthetic_take import COCO, body, ring_rig

from mvcap.refinement.initial_poses import initial_points
from mvcap.refinement.observations import Observations2D
from mvcap.structures.contracts import Evidence
from mvcap.structures.detections import Detections2D

JOINTS = len(COCO)


def begun(xyz, point=None, **how):
    """Where to start from what five cameras see of joints (T, J, 3), of which some points are known."""
    poses, evidence = case(xyz, **how)
    seen = Observations2D.of(poses, evidence)
    known = seen.point if point is None else point
    return initial_points(COCO, seen, known, 1.0, RATE_HZ), known


def blind(point):
    """Where to start from points alone, that no view sees."""
    poses, _ = case(walk(len(point)), cameras=3)
    nothing = Evidence(ring_rig(3), Detections2D.empty(COCO), RATE_HZ, np.ones(9))
    return initial_points(COCO, Observations2D.of(poses, nothing), point, 1.0, RATE_HZ)


def test_points_that_are_known_stay():
    found, known = begun(walk(30), missing=0.2)
    there = np.isfinite(known).all(-1)
    np.testing.assert_array_equal(found[there], known[there])
    assert np.isfinite(found).all()


def test_a_body_that_moves_steadily_goes_on_in_a_straight_line():
    xyz = body(0.0, (0, 0, 1.2, 0.3, 0.8)) + np.arange(20)[:, None, None] * np.array([0.03, -0.01, 0.0])
    point = xyz.copy()
    point[6:13] = np.nan
    np.testing.assert_allclose(blind(point), xyz, atol=1e-9)
    point[3, 4] = np.nan
    off = np.linalg.norm(blind(point) - xyz, axis=-1)
    assert off[3, 4] < 0.1 and np.delete(off, 3, axis=0).max() < 1e-9, "without a joint the middle is another"


def test_before_the_first_and_after_the_last_point_a_body_stays():
    xyz = np.repeat(body(0.0, (0, 0, 1.2, 0.3, 0.8))[None], 12, axis=0)
    point = xyz.copy()
    point[:3], point[9:] = np.nan, np.nan
    np.testing.assert_allclose(blind(point), xyz, atol=1e-12)


def test_a_joint_never_measured_is_in_the_middle_of_the_body():
    xyz = walk(10)
    xyz[:, 7] = np.nan
    np.testing.assert_allclose(blind(xyz)[:, 7], np.nanmean(xyz, axis=1))


def test_of_nothing_all_is_zero():
    found = blind(np.full((4, JOINTS, 3), np.nan))
    assert found.shape == (4, JOINTS, 3) and not found.any()


def test_a_body_that_one_view_sees_is_moved_and_turned_until_it_fits():
    """Somebody steps aside by half a metre and back, and turns, while one view alone sees them."""
    rest, alone, rig = body(0.0, (0, 0, 0.0, 0.3, 0.8)), slice(30, 70), ring_rig(5)
    share = np.sin(np.pi * np.clip((np.arange(100) - 30) / 40, 0, 1)) ** 2
    aside = np.cross(rig[0].position * [1, 1, 0], [0, 0, 1.0])
    aside /= np.linalg.norm(aside)
    cos, sin = np.cos(0.8 * share), np.sin(0.8 * share)
    turned = np.stack([cos[:, None] * rest[:, 0] - sin[:, None] * rest[:, 1],
                       sin[:, None] * rest[:, 0] + cos[:, None] * rest[:, 1],
                       np.broadcast_to(rest[:, 2], (100, JOINTS))], -1)  # fmt: skip
    xyz = turned + 0.5 * share[:, None, None] * aside
    found, known = begun(xyz, unseen=unseen(alone, views=slice(1, None), total=100))
    assert np.isnan(known[alone]).all(), "nothing is triangulated there"
    off = found - xyz
    assert np.linalg.norm(off.mean(1), axis=-1).max() < 0.15
    assert np.abs(off.mean(1) @ aside).max() < 0.06, "across the view it is known well"
    left = found[50, COCO.index("left_shoulder")] - found[50, COCO.index("right_shoulder")]
    true = xyz[50, COCO.index("left_shoulder")] - xyz[50, COCO.index("right_shoulder")]
    assert left @ true / np.linalg.norm(left) / np.linalg.norm(true) > np.cos(0.3)


def test_a_moment_of_one_view_is_bridged_by_straight_lines():
    xyz = walk(30)
    moment = slice(12, 16)
    found, _ = begun(xyz, noise_px=0.0, unseen=unseen(moment, views=slice(1, None), total=30))
    expected = xyz[11] + (np.arange(1, 5) / 5)[:, None, None] * (xyz[16] - xyz[11])
    np.testing.assert_allclose(found[moment], expected, atol=1e-3)


def test_half_a_body_that_is_missing_for_a_frame_stays_where_it_was():
    xyz = np.repeat(body(0.0, (0, 0, 1.2, 0.3, 0.8))[None], 20, axis=0)
    poses, _ = case(walk(20), cameras=3)
    nothing = Evidence(ring_rig(3), Detections2D.empty(COCO), RATE_HZ, np.ones(9))
    point = xyz.copy()
    point[15, :9] = np.nan
    found = initial_points(COCO, Observations2D.of(poses, nothing), point, 1.0, RATE_HZ)
    assert np.linalg.norm(found - xyz, axis=-1).max() < 0.05
