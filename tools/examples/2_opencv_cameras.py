"""Your own cameras as OpenCV calibrated them: a rig, its reprojection error, points in 3D, and a file of it.

Run: python tools/examples/2_opencv_cameras.py [RIG.toml]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import two_walkers

import mvcap

K, dist, rvec, tvec = two_walkers.cameras()  # (C, 3, 3), (C, 5), (C, 3), (C, 3) m: of cv2.calibrateCamera, solvePnP
rig = mvcap.Rig.from_opencv(K, dist, rvec, tvec, size=two_walkers.SIZE, names=["north", "west", "south", "east"])

truth = two_walkers.truth()[0, 0]  # (J, 3) m: one person
xy = rig.project(truth) + np.random.default_rng(0).normal(0, 1, (len(rig), 17, 2))  # (C, J, 2) px with 1 px of noise
points = rig.triangulate(xy)  # (J, 3) m, lenses undistorted

error_px = rig.reprojection_error(points, xy)  # (C, J)
print("cameras stand at, m:", rig.positions.round(2).tolist())
print(f"reprojection error {np.nanmedian(error_px):.2f} px, error in 3D",
      f"{1000 * np.linalg.norm(points - truth, axis=-1).mean():.1f} mm")  # fmt: skip
file = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp()) / "rig.toml"
mvcap.save_rig(rig, file)
print("wrote", file, "with cameras", mvcap.load_rig(file).names)
