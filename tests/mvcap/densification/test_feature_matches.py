"""Features: matched only along epipolar lines, and joined into tracks."""

import numpy as np
from capsule_people import circle_rig

from mvcap.densification.feature_matches import Keypoints, epipolar_matches, keypoints_of, tracks_of

RIG = circle_rig(3, size=(320, 240))


def known_keypoints(points, descriptor):
    xy = RIG.project(points)
    return [Keypoints(xy[view], RIG[view].lens.undistort(xy[view]), descriptor) for view in range(3)]


def some_points(count=60, seed=0):
    rng = np.random.default_rng(seed)
    descriptor = rng.random((count, 128)).astype(np.float32)
    descriptor /= np.linalg.norm(descriptor, axis=-1, keepdims=True)
    return rng.uniform(-0.5, 0.5, (count, 3)) + np.array([0, 0, 1]), descriptor


def test_matches_lie_on_epipolar_lines():
    points, descriptor = some_points()
    found = known_keypoints(points, descriptor)
    same = epipolar_matches(found[0], found[1], RIG, (0, 1), 3.0)
    assert len(same) > 50 and (same[:, 0] == same[:, 1]).all()
    moved = Keypoints(found[1].xy, found[1].flat + np.array([0, 0.1]), descriptor)  # 26 px off the lines
    assert len(epipolar_matches(found[0], moved, RIG, (0, 1), 3.0)) < 5
    alike = Keypoints(found[1].xy, found[1].flat, np.tile(descriptor[:1], (60, 1)))
    assert len(epipolar_matches(found[0], alike, RIG, (0, 1), 3.0)) < 20  # no best among equals
    assert epipolar_matches(found[0], keypoints_of(np.zeros((240, 320, 3), np.uint8), None, RIG, 1, 9), RIG, (0, 1),
                            3.0).shape == (0, 2)  # fmt: skip


def test_tracks_join_what_shares_a_keypoint():
    points, descriptor = some_points(5)
    found = known_keypoints(points, descriptor)
    same = np.stack([np.arange(5)] * 2, -1)
    xy = tracks_of(found, {(0, 1): same, (1, 2): same[:3]})
    assert xy.shape == (3, 5, 2) and np.isfinite(xy).all(-1).sum(0).tolist() == [3, 3, 3, 2, 2]
    np.testing.assert_allclose(RIG.triangulate(xy), points, atol=1e-6)
    wrong = tracks_of(found, {(0, 1): same, (0, 2): same, (1, 2): np.array([[0, 1]])})  # joins two points of a view
    assert wrong.shape[1] == 3
    assert tracks_of(found, {(0, 1): same[:0]}).shape == (3, 0, 2)


def test_people_have_no_features():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (24, 32, 3), dtype=np.uint8).repeat(10, 0).repeat(10, 1)
    label = np.zeros((240, 320), np.uint8)
    label[:, :160] = 1
    everywhere, beside = (keypoints_of(image, mask, RIG, 0, 500) for mask in (None, label))
    assert (everywhere.xy[:, 0] < 150).any() and (beside.xy[:, 0] >= 160).all() and len(beside.xy) > 20
    np.testing.assert_allclose(np.linalg.norm(beside.descriptor, axis=-1), 1, atol=1e-4)
