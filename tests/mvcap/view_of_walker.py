"""One generated walker in the view of one camera that moves with them or not: the track and the true joints."""

import numpy as np
from generated_people import circle

from calib import Camera, Lens
from calib.geometry import pose, rotation_from_vector
from mvcap.structures.view_track import ViewTrack

HIPS = (11, 12)


def lens(focal=1000.0, size=(1280, 960), bent=()):
    """A lens with its principal point in the middle."""
    K = np.array([[focal, 0, (size[0] - 1) / 2], [0, focal, (size[1] - 1) / 2], [0, 0, 1]])
    return Lens("view", size, K, np.array(bent) if len(bent) else np.zeros(0))


def walker(frames=60, rate_hz=25.0, person=0):
    """Joints (T, 26, 3) m of one walker, z up."""
    truth = circle(person + 1, 2, frames, rate_hz=rate_hz)[0]
    return truth[truth.person == truth.person.max()].xyz.astype(float), truth.skeleton


def view_of(xyz, kind, camera_lens=None, turned=(0.0, 0.0, 0.0), noise_px=0.0, rate_hz=25.0, seed=0):
    """The track of joints (T, J, 3) in a camera 4 m away at 1.6 m height, and the joints about the hips in its axes.

    ``turned``: rotation vector of the camera about its own axes, from looking at the walker's middle.
    """
    made = camera_lens or lens()
    position = np.array([4.5, 0.0, 1.6])
    ahead = np.array([0, 0, 0.9]) - position
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    R = rotation_from_vector(np.array(turned)) @ np.stack([right, np.cross(ahead, right), ahead])
    camera = Camera(made, pose(R, -R @ position))
    xy = camera.project(xyz)
    xy = xy + np.random.default_rng(seed).normal(0, noise_px, xy.shape)
    known = np.isfinite(xy).all(-1)
    shape = xy.shape[:2]
    per_px = made.K[0, 0] / 1000
    track = ViewTrack(kind, made, np.arange(shape[0]) / rate_hz, np.where(known[..., None], xy, np.nan),
                      np.where(known, 0.9, 0.0), np.where(known, max(noise_px, 2.0 * per_px), np.nan))  # fmt: skip
    about = xyz @ R.T
    left, right_hip = (kind.index(f"{side}_hip") for side in ("left", "right"))
    return track, about - (about[:, left] + about[:, right_hip])[:, None] / 2, R
