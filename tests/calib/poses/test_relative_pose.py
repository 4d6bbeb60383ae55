"""The relative pose of two cameras from points that both see."""

import numpy as np
import pytest

from calib.errors import CalibrationError
from calib.geometry import invert, pose, rotation_from_vector, transform
from calib.poses.relative_pose import epipolar_residual, in_front, relative_pose

NOISE = 0.002


def scene(seed=0, count=300, noise=NOISE, wrong=0.0, b_from_a=None):
    """Points (N, 2) and (N, 2) of two cameras 60 degrees apart, noisy, some of them wrong, and the true pose."""
    rng = np.random.default_rng(seed)
    truth = pose(rotation_from_vector([0.1, -1.0, 0.05]), [3.5, 0.2, 1.9]) if b_from_a is None else b_from_a
    points = rng.uniform((-1, -1, 3), (1, 1, 5), (count, 3))
    other = transform(truth, points)
    a, b = points[:, :2] / points[:, 2:], other[:, :2] / other[:, 2:]
    a, b = a + noise * rng.standard_normal(a.shape), b + noise * rng.standard_normal(b.shape)
    far = rng.random(count) < wrong
    b[far] += rng.uniform(-0.4, 0.4, (int(far.sum()), 2))
    return a, b, np.full(count, max(noise, 1e-6)), truth


def errors_deg(found, truth):
    turn = found[:3, :3] @ truth[:3, :3].T
    direction = truth[:3, 3] / np.linalg.norm(truth[:3, 3])
    angle = np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))
    return np.degrees([angle, np.arccos(np.clip(found[:3, 3] @ direction, -1, 1))])


def test_exact_points_give_the_exact_pose():
    a, b, noise, truth = scene(noise=0.0)
    found = relative_pose(a, b, noise, noise)
    assert errors_deg(found.b_from_a, truth).max() < 1e-4 and found.inliers.all()
    assert np.linalg.norm(found.b_from_a[:3, 3]) == pytest.approx(1)


@pytest.mark.parametrize("wrong", [0.0, 0.3])
def test_noise_and_wrong_points_are_borne(wrong):
    for seed in range(5):
        a, b, noise, truth = scene(seed, wrong=wrong)
        found = relative_pose(a, b, noise, noise)
        assert errors_deg(found.b_from_a, truth).max() < 1.0
        assert 0.6 < found.rms < 1.4
        assert found.inliers.mean() > 0.9 - wrong


def test_the_covariance_says_how_far_off_it_is():
    square = []
    for seed in range(60):
        a, b, noise, truth = scene(seed)
        found = relative_pose(a, b, noise, noise, start=truth)
        off = np.radians(errors_deg(found.b_from_a, truth))
        spread = np.diag(found.covariance)
        square.append([off[0] ** 2 / spread[:3].sum(), off[1] ** 2 / spread[3:].sum()])
    assert (np.abs(np.log(np.mean(square, axis=0))) < np.log(1.7)).all()


def test_points_behind_a_camera_are_known():
    a, b, _, truth = scene(noise=0.0)
    assert in_front(truth, a, b).all()
    back = truth.copy()
    back[:3, 3] *= -1
    assert not in_front(back, a, b).any()


def test_residuals_are_standard_deviations_and_the_same_from_either_side():
    a, b, noise, truth = scene(1, count=4000)
    residual = epipolar_residual(truth, a, b, noise, noise)
    assert np.std(residual) == pytest.approx(1, abs=0.05)
    assert np.allclose(np.abs(residual), np.abs(epipolar_residual(invert(truth), b, a, noise, noise)))


def test_missing_points_do_not_count():
    a, b, noise, truth = scene(2)
    a[::3] = np.nan
    found = relative_pose(a, b, noise, noise)
    assert errors_deg(found.b_from_a, truth).max() < 1.0 and not found.inliers[::3].any()


def test_too_few_points_and_unrelated_ones_are_refused():
    a, b, noise, _ = scene()
    with pytest.raises(CalibrationError, match="too few"):
        relative_pose(a[:10], b[:10], noise[:10], noise[:10])
    rng = np.random.default_rng(0)
    with pytest.raises(CalibrationError, match="fit"):
        relative_pose(a, rng.uniform(-0.4, 0.4, b.shape), noise / 20, noise / 20)
    with pytest.raises(CalibrationError, match="one place"):
        relative_pose(a, b, noise, noise, start=np.eye(4))
