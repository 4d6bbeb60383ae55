"""Run by the interpreter that has Pose2Sim: its three steps on a project folder, timed; people are written as an npz.

Arguments: project folder, frames a second, number of people, and `undistort` or `-`. The other settings are those of
its own demo, except that it draws nothing and writes no C3D.
"""

import contextlib
import json
import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np


def main(folder: Path, rate_hz: float, people: int, undistort: bool) -> None:
    """Run the steps; write result.npz and seconds.json into the project folder."""
    from Pose2Sim import Pose2Sim

    shutil.copy(Path(Pose2Sim.__file__).parent / "Demo_SinglePerson" / "Config.toml", folder / "Config.toml")
    config = {
        "project": {"project_dir": str(folder), "multi_person": people > 1, "frame_rate": rate_hz},
        "pose": {"pose_model": "Body_with_feet"},
        "triangulation": {"undistort_points": undistort, "make_c3d": False},
        "filtering": {"display_figures": False, "save_filt_plots": False, "make_c3d": False},
    }
    steps = {"association": Pose2Sim.personAssociation, "triangulation": Pose2Sim.triangulation,
             "filtering": Pose2Sim.filtering}  # fmt: skip
    timed(steps, config, frame_range=[0, 15])  # loads and compiles
    for made in ("pose-associated", "pose-3d"):
        shutil.rmtree(folder / made, ignore_errors=True)
    seconds = timed(steps, config, frame_range="all")
    files = sorted((folder / "pose-3d").glob("*.trc"))
    found = {}
    for kind in ("raw", "filtered"):
        mine = [path for path in files if ("filt" in path.stem) == (kind == "filtered")]
        for number, path in enumerate(mine):
            found[f"{kind}_{number}_frame"], found[f"{kind}_{number}_xyz"], names = read(path)
            found["names"] = np.array(names)
    np.savez(folder / "result.npz", **found)
    (folder / "seconds.json").write_text(json.dumps(seconds), encoding="utf-8")


def timed(steps: dict, config: dict, frame_range: object) -> dict:
    """CPU seconds of the steps, and under "stopped" why one did not get through."""
    config = {**config, "project": {**config["project"], "frame_range": frame_range}}
    seconds = {}
    for name, step in steps.items():
        begun = time.process_time()
        try:
            with contextlib.redirect_stdout(sys.stderr):
                step(config)
        except Exception as fault:  # noqa: BLE001 - it raises plain Exception where nothing could be triangulated
            seconds["stopped"] = f"{name}: {' '.join(str(fault).split()) or type(fault).__name__}"
        seconds[name] = time.process_time() - begun
        if "stopped" in seconds:
            break
    return seconds


def read(path: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Frames (T,), positions (T, J, 3) m with z up, and names of the markers of a TRC file; NaN where it has none."""
    lines = path.read_text(encoding="utf-8").splitlines()
    names = [name for name in lines[3].split("\t")[2:] if name]
    rows = [line.split("\t") for line in lines[5:] if line.strip()]
    width = 2 + 3 * len(names)
    cells = [[float(cell) if cell.strip() else np.nan for cell in [*row, *[""] * width][:width]] for row in rows]
    table = np.array(cells).reshape(-1, width)
    xyz = table[:, 2:].reshape(len(table), -1, 3)[..., [2, 0, 1]]  # its files have y up
    xyz[(xyz == 0).all(-1)] = np.nan
    return table[:, 0].astype(int), xyz, names


if __name__ == "__main__":
    os.environ["MPLBACKEND"] = "Agg"
    main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "undistort")
