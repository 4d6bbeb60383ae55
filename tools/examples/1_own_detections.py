"""Your own 2D detections as arrays, and a calibration: people in 3D and files for other tools.

Run: python tools/examples/1_own_detections.py [FOLDER]
"""

import sys
import tempfile
from pathlib import Path

import two_walkers

import mvcap

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
rig = mvcap.Rig.from_opencv(*two_walkers.cameras(), size=two_walkers.SIZE)  # or mvcap.load_rig("calib.toml")
xy, score = two_walkers.detections(two_walkers.truth())  # (T, C, P, J, 2) px, NaN where missing; (T, C, P, J)

found = mvcap.Detections2D.from_dense(xy, score, "coco17")
poses = mvcap.reconstruct_rows(found, rig, rate_hz=two_walkers.RATE_HZ)

print("people", poses.persons.tolist(), "positions", poses.dense().shape)  # (T, P, J, 3) m
first = poses.of(person=1)
wrist = first.xyz[:, first.skeleton.index("left_wrist")]
print("left wrist of person 1 in the first frame, m:", wrist[0].astype(float).round(3).tolist())
for suffix in ("npz", "csv", "c3d", "trc"):
    for file in mvcap.write_poses(poses, folder / f"take.{suffix}"):
        print("wrote", file)
