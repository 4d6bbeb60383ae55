"""BVH, an animation format: one file per person, metres, y up; every frame of the take has a line.

Blender's importer with its default settings (scale 1, forward -Z, up Y) converts the file back to mvcap's world: m, z
up. The format states neither unit nor axes, so these are the same whatever the take's axes are. ``bvh_skeleton``
defines the skeleton and its rest pose. Every joint has six channels: Xposition Yposition Zposition, which replace its
OFFSET at that frame, and Zrotation Xrotation Yrotation in degrees (R = Rz Rx Ry, children in the parent's rotated
axes). So joint positions are exactly those of the take although real limb lengths vary by about one percent; a reader
that uses positions of the root only gets limbs with the lengths of the rest pose.

BVH has no missing values: an unknown joint keeps its last pose relative to its parent, or the rest pose before it is
first known. ``<path>_person01_held.json`` lists the joints and frame ranges that are held in this way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from mvcap.exporters.bvh_skeleton import LastKnown, Tree, angles_zxy, channels, tree_of
from mvcap.structures.npz import written_whole
from mvcap.structures.pose_stream import PoseStream

_FILES_AT_ONCE = 16  # persons written in one pass over the take, two open files each
_BLOCK_FRAMES = 512
_SAMPLES = 512  # minimum number of frames, if available, for the bone lengths of the rest pose
_END_M = 0.05  # length of end sites, which the format requires and the take does not have
_CHANNELS = "Xposition Yposition Zposition Zrotation Xrotation Yrotation"


def write(take: PoseStream, path: Path) -> list[Path]:
    """Write ``<path>_person01.bvh`` and ``<path>_person01_held.json`` etc. and return them; frame 0 comes first.

    Raises SessionError if a file cannot be written.
    """
    take, tree = replace(take, axes="y-up"), tree_of(take.skeleton)
    paths = []
    for first in range(0, len(take.persons), _FILES_AT_ONCE):
        persons = take.persons[first : first + _FILES_AT_ONCE]
        paths += _write_persons(take, tree, persons, path)
    return paths


def _write_persons(take: PoseStream, tree: Tree, persons: tuple[int, ...], path: Path) -> list[Path]:
    sizes = [_Size() for _ in persons]
    for xyz in _joint_blocks(take, tree, persons):
        for index, size in enumerate(sizes):
            size.add(tree, xyz[:, index])
    paths = []
    with ExitStack() as stack:
        files = []
        for person, size in zip(persons, sizes, strict=True):
            motion, notes = (path.with_name(f"{path.stem}_person{person:02d}{end}") for end in (".bvh", "_held.json"))
            paths += [motion, notes]
            note_stream, motion_stream = (_opened(stack, one) for one in (notes, motion))
            rest = tree.rest(size.lengths(tree))
            files.append(_File(tree, LastKnown.at_rest(tree, rest, size.root), note_stream, motion_stream))
            files[-1].begin(take, rest, motion.name)
        for xyz in _joint_blocks(take, tree, persons):
            for index, file in enumerate(files):
                file.add(xyz[:, index])
        for file in files:
            file.finish()
    return paths


def _opened(stack: ExitStack, path: Path) -> TextIO:
    temporary = stack.enter_context(written_whole(path))
    return stack.enter_context(temporary.open("w", encoding="utf-8", newline="\n"))


def _joint_blocks(take: PoseStream, tree: Tree, persons: tuple[int, ...]) -> Iterator[NDArray[np.float64]]:
    """Yield the positions (T, P, B, 3) m of the tree's joints, block by block."""
    for block in take.blocks(take.cut(_BLOCK_FRAMES, persons)):
        yield tree.positions(take.skeleton, block.xyz)


class _Size:
    """Bone lengths of a person, sampled evenly over the frames in which they are present, in bounded memory."""

    def __init__(self) -> None:
        self.root = np.full(3, np.nan)
        self._kept: list[NDArray[np.float64]] = []
        self._step, self._seen = 1, 0

    def add(self, tree: Tree, xyz: NDArray[np.float64]) -> None:
        """Add the joint positions (T, B, 3) of a block."""
        xyz = xyz[np.isfinite(xyz).all(-1).any(-1)]
        rooted = np.flatnonzero(np.isfinite(xyz[:, 0]).all(-1))
        if len(rooted) and np.isnan(self.root).any():
            self.root = xyz[rooted[0], 0]
        some = xyz[-self._seen % self._step :: self._step]
        self._seen += len(xyz)
        self._kept += list(tree.lengths(some))
        while len(self._kept) >= 2 * _SAMPLES:
            self._kept, self._step = self._kept[::2], 2 * self._step

    def lengths(self, tree: Tree) -> NDArray[np.float64]:
        """Return the median bone lengths (B,) m, NaN if a bone never had both ends known."""
        values = np.reshape(self._kept, (-1, len(tree.names)))
        known = np.isfinite(values).any(0)
        out = np.full(len(tree.names), np.nan)
        out[known] = np.nanmedian(values[:, known], axis=0)
        return out


@dataclass
class _File:
    """The two open files of a person."""

    tree: Tree
    state: LastKnown
    notes: TextIO
    motion: TextIO
    _frame: int = 0
    _since: dict[int, int] = field(default_factory=dict)
    _between: str = "\n"

    def begin(self, take: PoseStream, rest: NDArray[np.float64], name: str) -> None:
        """Write the headers."""
        self.motion.write(f"HIERARCHY\n{_hierarchy(self.tree, rest)}MOTION\nFrames: {take.frames}\n")
        self.motion.write(f"Frame Time: {1 / take.rate_hz:.9f}\n")
        head = {"format": "mvcap-bvh-held-1", "file": name, "frames": take.frames, "rate_hz": take.rate_hz,
                "unit": "m", "axes": "y-up", "held_values": ["joint", "first_frame", "last_frame"]}  # fmt: skip
        self.notes.write(f'{json.dumps(head)[:-1]}, "held": [')

    def add(self, xyz: NDArray[np.float64]) -> None:
        """Write the frames of a block of joint positions (T, B, 3)."""
        place, turn = channels(self.tree, xyz, self.state)
        values = np.concatenate([place, np.rad2deg(angles_zxy(turn))], axis=-1) + 0.0
        line = " ".join(["%.6f"] * values[0].size) + "\n" if len(values) else ""
        self.motion.writelines(line % tuple(row) for row in values.reshape(len(values), -1).tolist())
        self._note(~np.isfinite(xyz).all(-1) & self.tree.measured)
        self._frame += len(xyz)

    def _note(self, held: NDArray[np.bool_]) -> None:
        """Write the ranges of held frames (T, B) that end in this block."""
        before = np.zeros((1, held.shape[1]), bool)
        before[0, list(self._since)] = True
        change = np.diff(np.concatenate([before, held]).astype(np.int8), axis=0)
        for index, joint in np.argwhere(change).tolist():
            if change[index, joint] > 0:
                self._since[joint] = self._frame + index
            else:
                self._end(joint, self._frame + index - 1)

    def _end(self, joint: int, last: int) -> None:
        self.notes.write(self._between + json.dumps([self.tree.names[joint], self._since.pop(joint), last]))
        self._between = ",\n"

    def finish(self) -> None:
        """Write the remaining held ranges and the end of the JSON file."""
        for joint in sorted(self._since):
            self._end(joint, self._frame - 1)
        self.notes.write("\n]}\n")


def _hierarchy(tree: Tree, rest: NDArray[np.float64], joint: int = 0, depth: int = 0) -> str:
    """Return the BVH text of the tree from a joint downwards, with offsets (B, 3) m."""
    indent, children = "  " * depth, np.flatnonzero(tree.parent == joint).tolist()
    lines = [
        f"{indent}{'JOINT' if depth else 'ROOT'} {tree.names[joint]}",
        f"{indent}{{",
        f"{indent}  OFFSET {_numbers(rest[joint])}",
        f"{indent}  CHANNELS 6 {_CHANNELS}",
    ]
    if not children:
        end = _numbers(_END_M * tree.direction[joint])
        lines += [f"{indent}  End Site", f"{indent}  {{", f"{indent}    OFFSET {end}", f"{indent}  }}"]
    below = "".join(_hierarchy(tree, rest, child, depth + 1) for child in children)
    return "\n".join(lines) + "\n" + below + f"{indent}}}\n"


def _numbers(vector: NDArray[np.float64]) -> str:
    return " ".join(f"{value + 0.0:.6f}" for value in vector)
