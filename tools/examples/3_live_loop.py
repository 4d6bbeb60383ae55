"""A live loop on arrays: one moment of all views after another, people in 3D at once.

Run: python tools/examples/3_live_loop.py
With pictures instead of detections: found = mvcap.detect(images, memory=seen), images (C, H, W, 3) uint8 RGB.
"""

import time

import numpy as np
import two_walkers

import mvcap

rig = mvcap.Rig.from_opencv(*two_walkers.cameras(), size=two_walkers.SIZE)
xy, score = two_walkers.detections(two_walkers.truth())

memory: dict[str, np.ndarray] = {}  # what association knows of the people so far; the same dict at every moment
began = time.perf_counter()
for frame in range(two_walkers.FRAMES):
    found = mvcap.Detections2D.from_dense(xy[frame : frame + 1], score[frame : frame + 1], "coco17")
    found = found.with_columns(frame=np.full(len(found), frame))
    found = mvcap.associate_rows(found, rig, rate_hz=two_walkers.RATE_HZ, memory=memory)
    poses = mvcap.triangulate_rows(found, rig)  # (M people); the number of a person stays the same
    if frame % 25 == 0:
        for person in poses.persons:
            hips = poses.of(person=person).to_skeleton("panoptic19")
            pelvis = hips.xyz[0, hips.skeleton.index("pelvis")]
            place = pelvis.astype(float).round(2).tolist()
            print(f"{frame / two_walkers.RATE_HZ:4.1f} s  person {person}  pelvis at {place} m")
print(f"{1000 * (time.perf_counter() - began) / two_walkers.FRAMES:.1f} ms a moment")
