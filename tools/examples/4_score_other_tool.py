"""Score what another tool made against the truth, beside mvcap on the same detections.

Run: python tools/examples/4_score_other_tool.py
"""

import numpy as np
import two_walkers

import mvcap

rig = mvcap.Rig.from_opencv(*two_walkers.cameras(), size=two_walkers.SIZE)
positions = two_walkers.truth()  # (T, P, J, 3) m
truth = mvcap.Poses3D.from_dense(positions, "coco17")
found = mvcap.Detections2D.from_dense(*two_walkers.detections(positions), "coco17")

# The other tool's result is an array (T, P, J, 3) m too; here a plain triangulation with the right association.
xy, _ = two_walkers.detections(positions)
xy[:, 1::2] = xy[:, 1::2, ::-1]
others = mvcap.Poses3D.from_dense(rig.triangulate(np.moveaxis(xy, 1, 0)), "coco17")
ours = mvcap.reconstruct_rows(found, rig, rate_hz=two_walkers.RATE_HZ)

print(f"{'':14}{'MPJPE mm':>10}{'recall':>8}{'id switches':>13}{'jitter m/s2':>13}{'px':>6}")
for name, poses in (("plain DLT", others), ("mvcap, raw", ours.raw), ("mvcap", ours)):
    figures = mvcap.score(poses, truth, rig, rate_hz=two_walkers.RATE_HZ)
    print(f"{name:14}{figures['mpjpe_mm']:10.1f}{figures['recall_500']:8.0f}{figures['id_switches']:13}"
          f"{figures['jitter_mps2']:13.2f}{figures['reprojection_px']:6.2f}")  # fmt: skip
