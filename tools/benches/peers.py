"""The programs of others on the input that ours had, in the same run, in an environment of their own in the cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benches.measures import against_truth, all_rows, by_person
from benches.section import Row, Section, say

PACKAGES = ("pose2sim==0.10.49", "aniposelib==0.8.0")
PROGRAMS = Path(__file__).resolve().parent / "peer_programs"
MOST_S, MOST_INSTALL_S, MOST_FRAMES_BAD = 1200, 1800, 20
# Joints of halpe26 by the names that Pose2Sim writes.
NAMES = {
    "Hip": "pelvis", "Neck": "neck", "Head": "head_top", "Nose": "nose",
    **{f"{letter}{part}": f"{side}_{joint}" for letter, side in (("L", "left"), ("R", "right")) for part, joint in (
        ("Shoulder", "shoulder"), ("Elbow", "elbow"), ("Wrist", "wrist"), ("Hip", "hip"), ("Knee", "knee"),
        ("Ankle", "ankle"), ("Heel", "heel"), ("BigToe", "big_toe"), ("SmallToe", "small_toe"))},
}  # fmt: skip


def ready(section: Section) -> Path | None:
    """Interpreter of the environment, made and filled where it is missing; None and a line of why if that fails."""
    from mvcap.assets import cache_dir

    folder = cache_dir() / "peers" / "env"
    python, done = folder / "bin" / "python", folder / "installed"
    if done.exists() and done.read_text(encoding="utf-8").split() == list(PACKAGES):
        return python
    try:
        say(f"installing {' '.join(PACKAGES)} into {folder} (minutes, some GB)")
        folder.parent.mkdir(parents=True, exist_ok=True)
        for command in ([sys.executable, "-m", "venv", str(folder)], [python, "-m", "pip", "install", "-q", *PACKAGES]):
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=MOST_INSTALL_S)
        done.write_text("\n".join(PACKAGES), encoding="utf-8")
    except (OSError, subprocess.SubprocessError) as fault:
        told = (getattr(fault, "stderr", None) or str(fault)).strip().splitlines()
        section.facts.append(f"peers left out: {' '.join(PACKAGES)} cannot be installed into {folder} ({told[-1]})")
        return None
    return python


def run(python: Path, session: Any, take: Any, folder: Path) -> list[Row]:
    """Rows of the others on the detections of a session; a line of why where one stops."""
    folder.mkdir(parents=True, exist_ok=True)
    alone = len(take[0].frame) == session.frames
    # Its undistortion, off in its demo, fails for one person where a view does not see them.
    ways = ("-",) if alone else ("-", "undistort")
    rows = [pose2sim(python, session, take, folder / f"pose2sim{way}", way) for way in ways]
    if alone and len(session.rig) == 4 and not misplaced(session, take):
        rows += aniposelib(python, session, take, folder / "aniposelib")
    return rows


def misplaced(session: Any, take: Any) -> bool:
    """Whether the session's cameras are not where those stand that saw the people."""
    return not np.allclose(session.rig.cam_from_world, take[1].cam_from_world)


# --- Pose2Sim --------------------------------------------------------------------------------------------------------


def pose2sim(python: Path, session: Any, take: Any, folder: Path, way: str) -> Row:
    """Association, triangulation and Butterworth filter of Pose2Sim, with the settings of its demo."""
    true, _, rate_hz = take
    people = len(np.unique(true.person))
    frames = min(session.frames, MOST_FRAMES_BAD) if misplaced(session, take) else session.frames
    write_project(folder, session, frames)
    who = f"Pose2Sim 0.10.49{', undistorting' if way == 'undistort' else ''}, measured"
    seconds, found = outcome(python, "pose2sim_program.py", folder, rate_hz, people, way)
    if found is None:
        return {"who": f"{who}: {seconds['stopped']}"}
    row: Row = {
        "who": who,
        **{
            key: 1000 * seconds[name] / frames
            for key, name in (("assoc ms", "association"), ("tri ms", "triangulation"), ("filter ms", "filtering"))
            if name in seconds
        },
    }
    if "stopped" in seconds:
        return row | {"who": f"{who}: {seconds['stopped'][:70]}"}
    true = true[true.frame < frames]
    names = [NAMES.get(str(name), "") for name in found["names"]]
    theirs = [place for place, name in enumerate(names) if name]
    joints = [true.skeleton.index(names[place]) for place in theirs]
    for kind in ("raw", "filtered"):
        xyz, frame, person = [], [], []
        for number in range(sum(key.startswith(f"{kind}_") for key in found) // 2):
            at = found[f"{kind}_{number}_frame"]
            all_joints = np.full((len(at), len(true.skeleton), 3), np.nan)
            all_joints[:, joints] = found[f"{kind}_{number}_xyz"][
                :, [place for place, name in enumerate(names) if name]
            ]
            xyz, frame, person = [*xyz, all_joints], [*frame, at], [*person, np.full(len(at), number)]
        if xyz:
            one = against_truth(*map(np.concatenate, (xyz, frame, person)), true, joints)
            row |= {f"{kind} mm": one["MPJPE mm"], "id switches": one["id switches"], "covered": one["covered"]}
    return row


def write_project(folder: Path, session: Any, frames: int) -> None:
    """Write the detections as OpenPose json, a file a view and frame, and the session's rig as Pose2Sim's toml."""
    from calib import save_rig

    rows = all_rows(session, "estimate")
    (folder / "calibration").mkdir(parents=True)
    save_rig(session.rig, folder / "calibration" / "Calib.toml")
    flat = np.concatenate([np.nan_to_num(rows.xy), rows.score[..., None]], axis=-1).reshape(len(rows), -1)
    for view, name in enumerate(session.rig.names):
        place = folder / "pose" / f"{name}_json"
        place.mkdir(parents=True)
        for frame in range(frames):
            mine = flat[(rows.view == view) & (rows.frame == frame)]
            people = [{"person_id": [-1], "pose_keypoints_2d": np.round(one.astype(float), 3).tolist()} for one in mine]
            text = json.dumps({"version": 1.3, "people": people})
            (place / f"{name}_{frame:06d}.json").write_text(text, encoding="utf-8")


# --- aniposelib ------------------------------------------------------------------------------------------------------


def aniposelib(python: Path, session: Any, take: Any, folder: Path) -> list[Row]:
    """The three triangulations of aniposelib of one person, whose rows need no association."""
    true, rig = take[0], session.rig
    rows = all_rows(session, "estimate")
    keys, xy = by_person(rows, np.zeros(len(rows), int), len(rig))
    folder.mkdir(parents=True)
    np.savez(
        folder / "input.npz", xy=xy.astype(float), K=rig.K, pose=rig.cam_from_world,
        distortion=np.stack([camera.lens.distortion for camera in rig]),
        size=np.array([camera.lens.size for camera in rig]), limbs=true.skeleton.limbs,
    )  # fmt: skip
    seconds, found = outcome(python, "aniposelib_program.py", folder)
    if found is None:
        return [{"who": f"aniposelib 0.8.0, measured: {seconds['stopped']}"}]
    out = []
    for name in ("triangulate", "ransac", "optim"):
        time, mm = ("filter ms", "filtered mm") if name == "optim" else ("tri ms", "raw mm")
        one = against_truth(found[name], *keys.T, true)
        out.append({"who": f"aniposelib 0.8.0 {name}, measured", time: 1000 * seconds[name] / len(keys),
                    mm: one["MPJPE mm"], "covered": one["covered"]})  # fmt: skip
    return out


def outcome(python: Path, program: str, folder: Path, *arguments: Any) -> tuple[dict[str, Any], Any]:
    """What a program in the other environment wrote: seconds, and its npz or None where it did not get so far."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    quiet = {"XLA_FLAGS": flags, "MPLBACKEND": "Agg", "QT_QPA_PLATFORM": "offscreen", "JAX_PLATFORMS": "cpu"}
    command = [str(python), str(PROGRAMS / program), str(folder), *map(str, arguments)]
    try:
        subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=MOST_S, cwd=folder,
            env={**os.environ, **one_thread, **quiet},
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as fault:
        told = (getattr(fault, "stderr", None) or str(fault)).strip().splitlines()
        return {"stopped": str(told[-1])[:100]}, None
    seconds = json.loads((folder / "seconds.json").read_text(encoding="utf-8"))
    with np.load(folder / "result.npz") as result:
        return seconds, {name: result[name] for name in result.files}
