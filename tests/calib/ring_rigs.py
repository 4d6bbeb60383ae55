"""Rigs with known truth: cameras on a ring, of every lens model."""

import numpy as np

from calib import Camera, Lens, Rig
from calib.geometry import pose

DISTORTION = {
    "pinhole": [-0.21, 0.06, 0.0008, -0.0006, 0.01],
    "rational": [0.31, -0.09, 0.0005, 0.0004, 0.012, 0.52, -0.11, 0.03],
    "fisheye": [-0.02, 0.006, -0.003, 0.0004],
}


def look_at(position, target=(0.0, 0.0, 1.0)):
    """cam_from_world of a camera that looks at a target, the picture's down nearest to the world's."""
    position = np.asarray(position, float)
    z = np.asarray(target) - position
    z /= np.linalg.norm(z)
    x = np.cross(z, (0.0, 0.0, 1.0))
    x /= np.linalg.norm(x)
    R = np.stack([x, np.cross(z, x), z])
    return pose(R, -R @ position)


def make_rig(count=4, model="pinhole", distortion=None, names=None, size=(1280, 720)):
    """Cameras on a ring of 4 m about the origin, 2 m up, each with a lens slightly its own."""
    cameras = []
    for index in range(count):
        angle = 2 * np.pi * (index + 0.3) / count
        K = [[900.0 + index, 0, 640.3 - index], [0, 905.0 + index, 355.7 + index], [0, 0, 1]]
        bent = DISTORTION[model] if distortion is None else distortion
        name = names[index] if names else f"cam_{index + 1}"
        where = look_at((4 * np.cos(angle), 4 * np.sin(angle), 2.0 + 0.1 * index))
        cameras.append(Camera(Lens(name, size, K, bent, model), where))
    return Rig(tuple(cameras))


def make_mixed_rig():
    """Four cameras, one without distortion and one of each model."""
    plain = make_rig(4, distortion=[])
    kinds = [plain[0].lens, *(make_rig(4, model)[index + 1].lens for index, model in enumerate(DISTORTION))]
    return Rig(tuple(Camera(lens, camera.cam_from_world) for lens, camera in zip(kinds, plain, strict=True)))
