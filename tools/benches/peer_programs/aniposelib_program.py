"""Run by the interpreter that has aniposelib: its triangulations of one person's joints, timed, written as an npz.

Argument: folder with input.npz: xy (C, T, J, 2) px, K (C, 3, 3), distortion (C, 5), pose (C, 4, 4), size (C, 2), limbs.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np


def main(folder: Path) -> None:
    """Triangulate by each of its three ways; write result.npz and seconds.json into the folder."""
    import cv2
    from aniposelib.cameras import Camera, CameraGroup

    given = np.load(folder / "input.npz")
    cameras = [
        Camera(K, distortion, tuple(size), cv2.Rodrigues(pose[:3, :3])[0].ravel(), pose[:3, 3], f"cam{index}")
        for index, (K, distortion, size, pose) in enumerate(
            zip(given["K"], given["distortion"], given["size"].tolist(), given["pose"], strict=True)
        )
    ]
    group, xy = CameraGroup(cameras), given["xy"]
    points = xy.reshape(len(xy), -1, 2)
    group.triangulate(points.copy())  # compiles
    seconds, found = {}, {}

    def timed(name, work):
        begun = time.process_time()
        found[name] = np.asarray(work(), dtype=float).reshape(*xy.shape[1:3], 3)
        seconds[name] = time.process_time() - begun

    timed("triangulate", lambda: group.triangulate(points.copy()))
    timed("ransac", lambda: group.triangulate_ransac(points.copy())[0])
    timed("optim", lambda: group.optim_points(xy.copy(), found["triangulate"].copy(), constraints=given["limbs"]))
    np.savez(folder / "result.npz", **found)
    (folder / "seconds.json").write_text(json.dumps(seconds), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
