"""Stands in for your data: two people walk among four cameras; what a 2D estimator would see of them, and the truth."""

import numpy as np

RATE_HZ, FRAMES, SIZE = 25.0, 75, (1280, 720)
# A standing body in COCO's order, metres: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles.
_HALF = [(0.03, 0.09, 1.66), (0.07, 0.0, 1.64), (0.19, 0.0, 1.42), (0.24, 0.0, 1.12), (0.25, 0.05, 0.87),
         (0.12, 0.0, 0.92), (0.11, 0.02, 0.48), (0.11, 0.0, 0.08)]  # fmt: skip
_BODY = np.array([(0.0, 0.11, 1.62)] + [(sign * x, y, z) for x, y, z in _HALF for sign in (-1, 1)])


def truth() -> np.ndarray:
    """Positions (T, P = 2, J = 17, 3) m."""
    time = np.arange(FRAMES) / RATE_HZ
    xyz = np.tile(_BODY, (FRAMES, 2, 1, 1))
    swing = 0.2 * np.sin(2 * np.pi * time)[:, None, None]
    xyz[..., [13, 15, 10], 1] += swing  # one leg and the other arm
    xyz[..., [14, 16, 9], 1] -= swing
    xyz[:, 1, :, :2] *= -1  # the second walks the other way
    xyz[:, 0, :, :2] += np.stack([np.full(FRAMES, 0.6), -1.5 + time], -1)[:, None]
    xyz[:, 1, :, :2] += np.stack([np.full(FRAMES, -0.6), 1.5 - time], -1)[:, None]
    return xyz


def cameras() -> tuple[np.ndarray, ...]:
    """K (C, 3, 3) px, dist (C, 5), rvec (C, 3), tvec (C, 3) m of four cameras, as OpenCV calibrates them."""
    import cv2

    K = np.tile([[900.0, 0, 640], [0, 900, 360], [0, 0, 1]], (4, 1, 1))
    rvec, tvec = np.zeros((4, 3)), np.zeros((4, 3))
    for index, angle in enumerate(np.deg2rad([45, 135, 225, 315])):
        position = np.array([4.5 * np.cos(angle), 4.5 * np.sin(angle), 2.2])
        ahead = (np.array([0, 0, 1.0]) - position) / np.linalg.norm(np.array([0, 0, 1.0]) - position)
        right = np.cross(ahead, (0, 0, 1)) / np.linalg.norm(np.cross(ahead, (0, 0, 1)))
        rotation = np.stack([right, np.cross(ahead, right), ahead])
        rvec[index], tvec[index] = cv2.Rodrigues(rotation)[0].ravel(), -rotation @ position
    return K, np.tile([-0.1, 0.02, 0, 0, 0], (4, 1)), rvec, tvec


def detections(xyz: np.ndarray, noise_px: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (T, C, P, J, 2) px with noise and scores (T, C, P, J); people stand in another order in every view."""
    import cv2

    rng = np.random.default_rng(0)
    K, dist, rvec, tvec = cameras()
    xy = np.empty((FRAMES, 4, 2, 17, 2))
    for view in range(4):
        projected = cv2.projectPoints(xyz.reshape(-1, 3), rvec[view], tvec[view], K[view], dist[view])[0]
        xy[:, view] = projected.reshape(FRAMES, 2, 17, 2)[:, ::-1] if view % 2 else projected.reshape(FRAMES, 2, 17, 2)
    return xy + rng.normal(0, noise_px, xy.shape), np.full(xy.shape[:-1], 0.9)
