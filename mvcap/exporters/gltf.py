"""glTF 2.0, for viewers and animation programs: one binary file (.glb) of all persons, metres, seconds, y up.

The format demands these units and axes, so they are the same whatever the take's axes are. A person is a node with a
child node for each joint: a sphere in the person's colour with an animated position. A bone is a child of its first
joint: a cylinder whose animated rotation and scale point and stretch it to the second one. So any viewer shows moving
figures, and positions and lengths are exactly those of the take at every frame. Times are those of the take: frame 0 is
at 0 s, and frame n at n / rate.

The format has no missing values. A joint that is missing has scale 0 from that frame until it is known again, in steps,
which the specification names as the way to hide a node; its position is held meanwhile and means nothing. The same is
true of a bone when one of its ends is missing, and of a whole person outside the frames in which they are present.
Between two frames, positions and directions are interpolated where the joint is known at the first of the two; the
length of a bone is that of the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mvcap.drawing.colours import colour, linear_rgb
from mvcap.errors import InputError
from mvcap.exporters.gltf_file import (
    FLOAT,
    LARGEST_BYTES,
    SHORT,
    GltfDocument,
    cylinder_mesh,
    element_bytes,
    sphere_mesh,
)
from mvcap.structures.npz import written_whole
from mvcap.structures.pose_stream import Block, PoseStream
from mvcap.structures.skeleton import Skeleton

_BLOCK_VALUES = 20_000  # coordinates of a block: memory does not grow with the number of people either
_JOINT_M, _DETAIL_M, _BONE_M = 0.022, 0.011, 0.010  # radii
_DETAILS = {"eye", "ear", "mouth", "pinky", "index", "thumb"}  # joints as small spheres, as they are close together
_LARGEST_INT16 = 32767

_Item = dict[str, Any]


def write(take: PoseStream, path: Path) -> list[Path]:
    """Write ``<path>.glb``.

    Raises SessionError if the file cannot be written, InputError if the take is too long for the format, whose files
    are at most 4 GiB.
    """
    take = replace(take, axes="y-up")
    document, parts = _document(take)
    if document.file_bytes > LARGEST_BYTES:
        raise InputError(
            f"glTF cannot hold this take: its file would have {document.file_bytes / 1e9:.1f} GB, and the format ends "
            "at 4.3 GB; export to bvh, parquet or csv"
        )
    file = path.with_name(f"{path.stem}.glb")
    with written_whole(file) as temporary, temporary.open("wb") as stream:
        buffer = document.begin(stream)
        for begin, values in parts.arrays:
            _put(stream, buffer + begin, values)
        for first in range(0, take.frames, _BLOCK_VALUES):
            frames = np.arange(first, min(first + _BLOCK_VALUES, take.frames))
            _put(stream, buffer + parts.times + 4 * first, _seconds(frames, take.rate_hz))
        for block in _blocks(take, len(parts.people)):
            for person in parts.people:
                person.write(stream, buffer, block, take.skeleton)
    return [file]


def _put(stream: BinaryIO, at: int, values: NDArray[Any]) -> None:
    stream.seek(at)
    stream.write(np.ascontiguousarray(values).tobytes())


def _seconds(frames: NDArray[np.integer], rate_hz: float) -> NDArray[np.float32]:
    return np.asarray(frames / rate_hz, np.float32)


def _blocks(take: PoseStream, people: int) -> Iterator[Block]:
    frames = _BLOCK_VALUES // max(1, 3 * people * len(take.skeleton))
    yield from take.blocks(take.cut(max(1, min(frames, take.frames))) if people and take.frames else [])


@dataclass
class _Track:
    """One person of the file: its keyframes, which begin a frame before they are present and end one after."""

    person: int
    first: int
    stop: int
    """Frames of the keyframes, stop exclusive."""
    rest: NDArray[np.float64]
    """(J, 3) m, where each joint is known first; 0 where it never is."""
    begins: dict[str, int] = field(default_factory=dict)
    """Channels ("move", "show", "turn", "stretch") -> where those of the first joint or bone begin in the buffer."""
    _place: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))
    _turn: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 4)))

    @property
    def keys(self) -> int:
        """Number of keyframes."""
        return self.stop - self.first

    def write(self, stream: BinaryIO, buffer: int, block: Block, skeleton: Skeleton) -> None:
        """Write the keyframes of a block into the file, whose buffer begins at a position of it."""
        start, stop = max(block.start, self.first), min(block.part.stop, self.stop)
        if start >= stop:
            return
        if start == self.first:
            self._place = self.rest
            self._turn = np.tile([0.0, 0.0, 0.0, 1.0], (len(skeleton.bones), 1))
        who = block.part.persons.index(self.person)
        xyz = block.xyz[start - block.start : stop - block.start, who].astype(np.float64)
        known: NDArray[np.bool_] = np.asarray(np.isfinite(xyz).all(-1))
        place = _held(xyz, known, self._place)
        one, other = skeleton.bones.T
        both = known[:, one] & known[:, other]
        turn, length = _sticks(place[:, other] - place[:, one])
        turn = _held(turn, both & (length > 0), self._turn)
        self._place, self._turn = place[-1], turn[-1]
        ones = np.ones_like(length)
        channels = {
            "move": place.astype("<f4"),
            "show": np.repeat(known[..., None], 3, -1).astype("<f4"),
            "turn": np.rint(turn * _LARGEST_INT16).astype("<i2"),
            "stretch": np.where(both[..., None], np.stack([ones, length, ones], -1), 0).astype("<f4"),
        }
        for name, values in channels.items():
            size = values[0, 0].nbytes if values.shape[1] else 0
            for index in range(values.shape[1]):
                at = self.begins[name] + (index * self.keys + start - self.first) * size
                _put(stream, buffer + at, values[:, index])


def _held(values: NDArray[np.float64], known: NDArray[np.bool_], before: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values (T, N, D) in which those that are not known (T, N) are the last known ones, at first ``before``."""
    last = np.maximum.accumulate(np.where(known, np.arange(len(values))[:, None], -1), axis=0)
    taken = np.take_along_axis(values, np.maximum(last, 0)[..., None], axis=0)
    return np.where(last[..., None] >= 0, taken, before)


def _sticks(along: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return quaternions (..., 4) x y z w that turn +y to vectors (..., 3) on the shortest way, and their lengths m."""
    length = np.linalg.norm(along, axis=-1)
    x, y, z = np.moveaxis(along / np.maximum(length, 1e-9)[..., None], -1, 0)
    turn = np.stack([z, np.zeros_like(x), -x, 1 + y], -1)
    size = np.linalg.norm(turn, axis=-1, keepdims=True)
    return np.where(size > 1e-6, turn / np.maximum(size, 1e-6), [1.0, 0.0, 0.0, 0.0]), length


@dataclass
class _Parts:
    """What is to be written into the buffer, and where."""

    people: list[_Track]
    arrays: list[tuple[int, NDArray[Any]]] = field(default_factory=list)
    """Small arrays, and where each begins."""
    times: int = 0
    """Where the times (T,) s of all frames begin, which the buffer view ``times_view`` is."""
    times_view: int = 0


def _document(take: PoseStream) -> tuple[GltfDocument, _Parts]:
    """Return the document, with a place in its buffer for everything, and what is to be written there."""
    about = {"unit": "m", "axes": "y-up", "rate_hz": take.rate_hz, "frames": take.frames,
             "skeleton": take.skeleton.name, "persons": list(take.persons)}  # fmt: skip
    document, parts = GltfDocument(about), _Parts(_tracks(take))
    document.add("scenes", name=take.name, nodes=[0])
    document.add("nodes", name=take.name)
    if take.frames:
        parts.times_view, parts.times = document.reserve(4 * take.frames)
        animation = document.item("animations", document.add("animations", name=take.name, channels=[], samplers=[]))
        _whole_take(document, animation, parts, take)
        shapes = _shapes(document, parts) if parts.people else {}
        for track in parts.people:
            child = _add_person(document, animation, parts, shapes, track, take)
            document.item("nodes", 0).setdefault("children", []).append(child)
    return document, parts


def _tracks(take: PoseStream) -> list[_Track]:
    """Return the people that the take has rows of, in a first pass over it."""
    found: dict[int, _Track] = {}
    for chunk in take.turned():
        for person in np.unique(chunk.person).tolist():
            rows = chunk[chunk.person == person]
            first, last = int(rows.frame.min()), int(rows.frame.max())
            track = found.setdefault(person, _Track(person, first - 1, 0, np.full((len(take.skeleton), 3), np.nan)))
            track.stop = last + 2
            for joint in np.flatnonzero(np.isnan(track.rest[:, 0])):
                known = np.flatnonzero(np.isfinite(rows.xyz[:, joint]).all(-1))
                if len(known):
                    track.rest[joint] = rows.xyz[known[0], joint]
    for track in found.values():
        track.first, track.stop = max(track.first, 0), min(track.stop, take.frames)
        track.rest = np.nan_to_num(track.rest)
    return [found[person] for person in take.persons if person in found]


def _whole_take(document: GltfDocument, animation: _Item, parts: _Parts, take: PoseStream) -> None:
    """Let the animation last as long as the take, by keeping its root where it is until the last frame."""
    ends = _seconds(np.unique([0, take.frames - 1]), take.rate_hz)
    view, begin = document.reserve(ends.nbytes)
    parts.arrays.append((begin, ends))
    times = document.accessor(view, 0, len(ends), "SCALAR", min=[float(ends[0])], max=[float(ends[-1])])
    view, _ = document.reserve(12 * len(ends))  # zeros
    _animate(document, animation, 0, "translation", times, document.accessor(view, 0, len(ends), "VEC3"))


def _animate(document: GltfDocument, animation: _Item, node: int, path: str, times: int, values: int) -> None:
    """Animate a property of a node: linearly between the keyframes, but scales in steps."""
    steps = "STEP" if path == "scale" else "LINEAR"
    animation["samplers"].append({"input": times, "output": values, "interpolation": steps})
    target = {"node": node, "path": path}
    animation["channels"].append({"sampler": len(animation["samplers"]) - 1, "target": target})


def _shapes(document: GltfDocument, parts: _Parts) -> dict[str, _Item]:
    """Describe the three meshes that all people share: {"joint", "detail", "bone"} -> a primitive without material."""
    meshes = {"joint": sphere_mesh(_JOINT_M), "detail": sphere_mesh(_DETAIL_M), "bone": cylinder_mesh(_BONE_M)}
    out: dict[str, _Item] = {}
    for name, arrays in meshes.items():
        found = []
        for values in arrays:
            index, begin = document.mesh_accessor(values)
            parts.arrays.append((begin, values))
            found.append(index)
        out[name] = {"attributes": {"POSITION": found[0], "NORMAL": found[1]}, "indices": found[2]}
    return out


def _add_person(
    document: GltfDocument, animation: _Item, parts: _Parts, shapes: dict[str, _Item], track: _Track, take: PoseStream
) -> int:
    """Add the nodes and channels of a person, note where its keyframes go, and return the index of its node."""
    kind, person, keys = take.skeleton, track.person, track.keys
    material = document.add(
        "materials", name=f"person {person}",
        pbrMetallicRoughness={"baseColorFactor": _linear(person), "metallicFactor": 0.0, "roughnessFactor": 0.7},
    )  # fmt: skip
    mesh = {
        name: document.add("meshes", name=f"person {person} {name}", primitives=[{**shape, "material": material}])
        for name, shape in shapes.items()
    }
    ends = [float(end) for end in _seconds(np.array([track.first, track.stop - 1]), take.rate_hz)]
    times = document.accessor(parts.times_view, 4 * track.first, keys, "SCALAR", min=ends[:1], max=ends[1:])
    outputs = {}
    for name, form, component, count in (
        ("move", "VEC3", FLOAT, len(kind)),
        ("show", "VEC3", FLOAT, len(kind)),
        ("turn", "VEC4", SHORT, len(kind.bones)),
        ("stretch", "VEC3", FLOAT, len(kind.bones)),
    ):
        size, more = keys * element_bytes(form, component), {"normalized": True} if component == SHORT else {}
        if count:
            view, track.begins[name] = document.reserve(count * size)
            outputs[name] = [document.accessor(view, at * size, keys, form, component, **more) for at in range(count)]
    joints = []
    for at, joint in enumerate(kind.joints):
        shape = mesh["detail" if set(joint.split("_")) & _DETAILS else "joint"]
        place = track.rest[at].astype(np.float32).tolist()
        joints.append(document.add("nodes", name=f"P{person}_{joint}", mesh=shape, translation=place))
        _animate(document, animation, joints[-1], "translation", times, outputs["move"][at])
        _animate(document, animation, joints[-1], "scale", times, outputs["show"][at])
    for at, (one, other) in enumerate(kind.bones.tolist()):
        bone = document.add("nodes", name=f"P{person}_{kind.joints[one]}_to_{kind.joints[other]}", mesh=mesh["bone"])
        document.item("nodes", joints[one]).setdefault("children", []).append(bone)
        _animate(document, animation, bone, "rotation", times, outputs["turn"][at])
        _animate(document, animation, bone, "scale", times, outputs["stretch"][at])
    return document.add("nodes", name=f"person {person}", children=joints)


def _linear(person: int) -> list[float]:
    """Return the person's colour as the format wants it: linear red, green, blue and opacity, 0 to 1."""
    return [*(round(value, 6) for value in linear_rgb(np.array(colour(person))).tolist()), 1.0]
