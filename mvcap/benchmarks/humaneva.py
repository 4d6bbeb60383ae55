"""HumanEva: motion capture of 3 subjects, 15 joints, metres, z up, at 60 Hz, in VideoPose3D's layout.

data_3d_humaneva15.npz   positions_3d: {"Train/S1": {"Walking 1 chunk0": (T, 15, 3)}}

The joints are pelvis, thorax, left shoulder, elbow, wrist, the same on the right, left hip, knee, ankle, the same on
the right, head (concluded from the file's symmetry lists, the joint positions, and the direction in which knees bend).
The file has no cameras, so a ring of four virtual cameras is used: 5 m from the middle of the studio, 2 m high,
1280x720, focal length 1000 px, aimed 1 m above the floor. The 2D input is the ground truth projected into these views
plus noise, default 2 px. A clip is the longest sequence of a subject and an action, named for example S1-Walking.
"""

from __future__ import annotations

import io
import pickle
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib import Camera, Lens, Rig
from calib.bounded_arrays import check_expansion
from calib.bounded_files import check_pickle
from calib.geometry import pose
from mvcap.errors import InputError
from mvcap.evaluation.benchmark_clip import (
    BenchmarkClip,
    Options,
    choose_clips,
    one_line_reason,
    projected_truth,
    same_skeleton,
    truth_table,
)
from mvcap.structures.skeleton import skeleton

RATE_HZ = 60.0
NOISE_PX = 2.0
_SIZE = (1280, 720)


def read(folder: Path, options: Options) -> list[BenchmarkClip]:
    """Return the clips of the file; InputError names a missing or broken file or an unknown clip."""
    options.only("humaneva", "noise_px", "clips")
    sequences = _longest(folder / "data_3d_humaneva15.npz")
    noise_px = NOISE_PX if options.noise_px is None else options.noise_px
    rig = ring()
    rig = rig.select(options.views) if options.views else rig
    clips = []
    for name in choose_clips(list(sequences), options.clips, folder):
        xyz = sequences[name]
        frames = len(xyz)
        subject = int(name.partition("-")[0][1:])
        truth = truth_table(skeleton("humaneva15"), list(range(frames)), [subject] * frames, xyz)
        source = f"projected truth with {noise_px:g} px of noise"
        estimator = projected_truth(truth, noise_px)
        clips.append(
            BenchmarkClip(name, rig, RATE_HZ, frames, truth, np.ones(frames, bool), source, estimator, same_skeleton)
        )
    return clips


def ring() -> Rig:
    """Return the rig of four virtual cameras, view1 to view4."""
    cameras = []
    for index in range(4):
        angle = np.pi / 4 + index * np.pi / 2
        position = np.array([5 * np.cos(angle), 5 * np.sin(angle), 2.0])
        forward = np.array([0, 0, 1.0]) - position
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        R = np.stack([right, np.cross(forward, right), forward])
        K = np.array([[1000.0, 0, (_SIZE[0] - 1) / 2], [0, 1000.0, (_SIZE[1] - 1) / 2], [0, 0, 1]])
        cameras.append(Camera(Lens(f"view{index + 1}", _SIZE, K, np.zeros(0)), pose(R, -R @ position)))
    return Rig(tuple(cameras), source="ring of virtual cameras")


def _longest(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the longest sequence (T, 15, 3) m of each subject and action; InputError if the file has other content."""
    out: dict[str, NDArray[np.float32]] = {}
    held = _positions(path)
    if not isinstance(held, dict) or not held:
        raise InputError(f"{path}: holds no sequences of subjects; copy VideoPose3D's file again")
    for part, subjects in held.items():
        subject = str(part).rpartition("/")[2]
        if not re.fullmatch(r"S[1-9][0-9]?", subject):
            raise InputError(f"{path}: {str(part)[:40]!r} names no subject, as 'Train/S1' does; copy the file again")
        if not isinstance(subjects, dict):
            raise InputError(f"{path}: {part} holds no sequences by action; copy the file again")
        for sequence, xyz in subjects.items():
            if not isinstance(xyz, np.ndarray) or xyz.shape[1:] != (15, 3) or xyz.dtype.kind != "f":
                shape = f"is {xyz.shape}" if isinstance(xyz, np.ndarray) else f"is a {type(xyz).__name__}"
                raise InputError(f"{path}: {part}, {sequence} {shape}, not (T, 15, 3) numbers; copy the file again")
            name = f"{subject}-{str(sequence).partition(' ')[0]}"
            if len(xyz) > len(out.get(name, ())):
                out[name] = xyz
    return dict(sorted(out.items()))


class _Arrays(pickle.Unpickler):
    """Unpickles only arrays and plain values, as a pickle could otherwise run any code."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {"_reconstruct", "ndarray", "dtype"}
        if module.split(".")[0] != "numpy" or name not in allowed:
            raise pickle.UnpicklingError(f"{module}.{name} is not an array")
        return super().find_class(module, name)


def _positions(path: Path) -> Any:
    """Return the dictionary of the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            check_expansion(path, [archive.getinfo("positions_3d.npy")])
            data = archive.read("positions_3d.npy")
        member = io.BytesIO(data)
        version = np.lib.format.read_magic(member)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        header(member)
        check_pickle(data[member.tell() :])
        return _Arrays(member, encoding="latin1").load().item()
    except (
        *(OSError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError, MemoryError, EOFError),
        *(RuntimeError, SyntaxError, pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, struct.error),
    ) as fault:
        raise InputError(
            f"{path}: cannot be read as HumanEva's poses ({one_line_reason(fault)}); give the folder that contains it"
        ) from fault
