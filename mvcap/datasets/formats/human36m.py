"""Human3.6M as VideoPose3D keeps it: 17 joints by subject and action, in 3D and in every camera.

``data_3d_NAME.npz``      positions_3d: subject -> action -> (T, 17, 3) m, world
``data_2d_NAME_gt.npz``   positions_2d: subject -> action -> a list of (T, 17, 2) px by camera; metadata
``cameras.json``          cameras, and of each action its split, first frame and step (ours)

A subject is a person, ``S`` and the id; an action is a run of frames without a gap, named SPLIT and its number. Joints
without truth are NaN: the spine and the top of the head, where only they could be guessed. The 2D poses are those of
the joints in the image, with the lens' distortion, and NaN where there is no image.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.bounded_files import reason_of
from mvcap.datasets.ground_truth import (
    SPLITS,
    GroundTruth,
    TruthFrame,
    as_skeleton,
    bare_frame,
    in_memory,
    shown_views,
)
from mvcap.datasets.object_arrays import read_mapping, write_mappings
from mvcap.datasets.plain_cameras import plain_rig, read_document, rig_of, text_of
from mvcap.errors import InputError
from mvcap.structures.npz import write_text
from mvcap.structures.skeleton import Skeleton, usual_bones

_JOINTS = (
    "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "spine", "thorax",
    "nose", "head_top", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
)  # fmt: skip
HUMAN36M17 = Skeleton("human36m17", _JOINTS, usual_bones(_JOINTS))
"""The 17 joints of Human3.6M that methods use."""


@dataclass
class _Run:
    """Frames of a person without a gap."""

    split: str
    first: int
    xyz: list[NDArray[np.float32]] = field(default_factory=list)
    xy: list[NDArray[np.float32]] = field(default_factory=list)
    last: int = 0


class Human36mArrays:
    """Human3.6M as VideoPose3D keeps it: positions_3d and positions_2d of 17 joints by subject and action."""

    def write(self, truth: GroundTruth, folder: Path) -> None:
        """Write the two npz files and cameras.json; all of a person's poses are in memory."""
        runs, step = _runs(truth)
        names = {person: _action_names(mine) for person, mine in runs.items()}
        three = {
            f"S{person}": {name: np.stack(run.xyz) for name, run in zip(names[person], mine, strict=True)}
            for person, mine in runs.items()
        }
        two = {
            f"S{person}": {
                name: [np.stack([xy[view] for xy in run.xy]) for view in range(len(truth.views))]
                for name, run in zip(names[person], mine, strict=True)
            }
            for person, mine in runs.items()
        }
        left = [j for j, name in enumerate(_JOINTS) if name.startswith("left")]
        symmetry = [left, HUMAN36M17.mirror[left].tolist()]
        metadata = {"layout_name": "h36m", "num_joints": 17, "keypoints_symmetry": symmetry}
        write_mappings(folder / f"data_3d_{truth.name}.npz", {"positions_3d": three})
        write_mappings(folder / f"data_2d_{truth.name}_gt.npz", {"positions_2d": two, "metadata": metadata})
        actions = {
            f"S{person}": {
                name: {"split": run.split, "first": run.first, "step": step}
                for name, run in zip(names[person], mine, strict=True)
            }
            for person, mine in runs.items()
        }
        about = {"name": truth.name, "rate_hz": truth.rate_hz, "joints": _JOINTS, "actions": actions}
        write_text(folder / "cameras.json", text_of(about | {"cameras": plain_rig(truth.cameras())}) + "\n")

    def read(self, folder: Path) -> GroundTruth:
        """Return the dataset in a folder."""
        about = read_document(folder / "cameras.json", "cameras of Human3.6M's layout")
        try:
            rig = rig_of(about["cameras"], folder / "cameras.json")
            name = str(about["name"])
            three = read_mapping(folder / f"data_3d_{name}.npz", "positions_3d")
            two = read_mapping(folder / f"data_2d_{name}_gt.npz", "positions_2d")
            frames = list(_frames(about, three, two, rig))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as fault:
            raise InputError(
                f"{folder}: cannot be read as Human3.6M's layout ({reason_of(fault)}); make it again"
            ) from fault
        return GroundTruth(name, HUMAN36M17, rig, about["rate_hz"], in_memory(frames), suffix="")


def _runs(truth: GroundTruth) -> tuple[dict[int, list[_Run]], int]:
    """Runs of frames of each person, and by how much the numbers of frames grow in them."""
    numbers = [one.frame for one in truth.frames()]
    step = int(np.diff(numbers).min()) if len(numbers) > 1 else 1
    step = max(step, 1)
    out: dict[int, list[_Run]] = {}
    for one in as_skeleton(truth, HUMAN36M17).frames():
        shown = set(shown_views(truth, one))
        hidden = [view for view in range(len(truth.views)) if view not in shown]
        for at, person in enumerate(one.persons.tolist()):
            mine = out.setdefault(person, [])
            if not mine or mine[-1].split != one.split or one.frame != mine[-1].last + step:
                mine.append(_Run(one.split, one.frame))
            xy = one.xy[at].astype(np.float32)
            xy[hidden] = np.nan
            mine[-1].xyz.append(one.xyz[at].astype(np.float32))
            mine[-1].xy.append(xy)
            mine[-1].last = one.frame
    return out, step


def _action_names(runs: list[_Run]) -> list[str]:
    counts = dict.fromkeys(SPLITS, 0)
    names = []
    for run in runs:
        counts[run.split] += 1
        names.append(f"{run.split} {counts[run.split]}")
    return names


def _frames(about: Any, three: Any, two: Any, rig: Rig) -> Iterator[TruthFrame]:
    held: dict[tuple[str, int], list[tuple[int, NDArray[Any], NDArray[Any]]]] = {}
    for subject, actions in about["actions"].items():
        if not re.fullmatch("S[0-9]+", subject):
            raise ValueError(f"{subject[:40]!r} names no subject")
        for name, facts in actions.items():
            xyz, views = three[subject][name], two[subject][name]
            for number in range(len(xyz)):
                key = (facts["split"], int(facts["first"]) + number * int(facts["step"]))
                xy = np.stack([view[number] for view in views])
                held.setdefault(key, []).append((int(subject[1:]), xyz[number], xy))
    for (split, frame), people in held.items():
        people.sort(key=lambda one: one[0])
        ids, xyz, xy = zip(*people, strict=True)
        yield bare_frame(frame, split, ids, np.stack(xyz), len(rig), np.stack(xy))
