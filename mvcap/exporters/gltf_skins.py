"""Animated bodies as glTF 2.0 (.glb): a skinned mesh a person, whose bones turn; metres, seconds, y up.

A body is written once and its bones' rotations and the place of the first bone a frame, so files are small. In frames
in which a person has no body, it has scale 0. Shapes that depend on the pose (SMPL's) are not in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats, Ints
from mvcap.drawing.colours import colour, linear_rgb
from mvcap.errors import InputError
from mvcap.exporters.gltf_file import LARGEST_BYTES, UNSIGNED_SHORT, GltfDocument
from mvcap.rendering.clothing import vertex_normals
from mvcap.structures.skinned_body import SkinnedBody

_Z_UP_TO_Y_UP = [-(0.5**0.5), 0.0, 0.0, 0.5**0.5]
_VERTEX_DATA = 34962
_MOST_VERTICES = 1 << 16
_INFLUENCES = 4


@dataclass(frozen=True, eq=False)
class SkinnedPerson:
    """A person of the file."""

    rest: Floats
    """(V, 3) m vertices at rest."""
    heads: Floats
    """(B, 3) m of the bones at rest."""
    frames: Ints
    """(T,) frames, ascending, in which the person has a body."""


@dataclass
class _Keys:
    """Where a person's keyframes begin in the buffer."""

    rotation: dict[int, int] = field(default_factory=dict)
    root: int = 0
    written: int = 0


class SkinFile:
    """A file that is written while poses come: person by person, frames ascending within each."""

    def __init__(
        self, path: Path, body: SkinnedBody, people: Mapping[int, SkinnedPerson], rate_hz: float, name: str
    ) -> None:
        """Begin the file; InputError if the body has too many vertices or the take is too long for the format."""
        if len(body.bone_of) > _MOST_VERTICES - 1:
            raise InputError(f"a body of {len(body.bone_of)} vertices is more than 65535, too many for glb; write ply")
        about = {"unit": "m", "axes": "y-up", "rate_hz": rate_hz, "body": body.name, "persons": list(people)}
        self._body, self._people, self._rate_hz = body, people, rate_hz
        self._document, self._arrays = GltfDocument(about), list[tuple[int, NDArray[Any]]]()
        self._animated = [bone for bone, (group, _) in enumerate(body.groups) if group]
        self._keys: dict[int, _Keys] = {}
        self._scene = self._document.add("scenes", name=name, nodes=[])
        self._animation = self._document.item(
            "animations", self._document.add("animations", name=name, channels=[], samplers=[])
        )
        for person, one in people.items():
            self._keys[person] = _Keys()
            self._add(person, one)
        if self._document.file_bytes > LARGEST_BYTES:
            raise InputError("glTF cannot hold this take, as its files end at 4.3 GB; write fewer frames, or ply")
        self._stream: BinaryIO = path.open("wb")
        self._begin = self._document.begin(self._stream)
        for begin, values in self._arrays:
            self._put(begin, values)

    def __enter__(self) -> SkinFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def write(self, person: int, turns: Floats, root: Floats) -> None:
        """Write the next frames of a person: turns (T, B, 3, 3) of bones relative to parents, root (T, 3) m, z up."""
        from scipy.spatial.transform import Rotation

        keys = self._keys[person]
        for bone, begin in keys.rotation.items():
            turn = Rotation.from_matrix(turns[:, bone]).as_quat().astype("<f4")
            self._put(begin + 16 * keys.written, turn)
        self._put(keys.root + 12 * keys.written, root.astype("<f4"))
        keys.written += len(root)

    def _put(self, at: int, values: NDArray[Any]) -> None:
        self._stream.seek(self._begin + at)
        self._stream.write(np.ascontiguousarray(values).tobytes())

    def _add(self, person: int, one: SkinnedPerson) -> None:
        """Add a person's mesh, skin, bones and channels."""
        document, body, parents = self._document, self._body, self._body.parents
        bones = []
        for bone, parent in enumerate(parents):
            step = one.heads[bone] - one.heads[parent] if parent >= 0 else one.heads[0]
            bones.append(document.add("nodes", name=f"P{person}_{body.bone_names[bone]}", translation=step.tolist()))
            if parent >= 0:
                document.item("nodes", bones[parent]).setdefault("children", []).append(bones[bone])
        place = document.add("nodes", name=f"person {person}", rotation=_Z_UP_TO_Y_UP, children=[bones[0]])
        inverse = np.tile(np.eye(4, dtype="<f4"), (len(bones), 1, 1))
        inverse[:, 3, :3] = -one.heads  # column by column
        skin = document.add("skins", joints=bones, skeleton=place, inverseBindMatrices=self._array(inverse, "MAT4"))
        mesh = document.add("meshes", name=f"P{person}_surface", primitives=[self._surface(person, one)])
        surface = document.add("nodes", name=f"P{person}_mesh", mesh=mesh, skin=skin)
        document.item("scenes", self._scene)["nodes"] += [place, surface]
        self._animate(person, one, bones, place)

    def _surface(self, person: int, one: SkinnedPerson) -> dict[str, Any]:
        """Primitive of a person's skin, whose vertices move with their four strongest bones."""
        document, body = self._document, self._body
        order = np.argsort(-body.weight, 1, kind="stable")[:, :_INFLUENCES]
        bone, weight = np.zeros((len(order), _INFLUENCES), "<u2"), np.zeros((len(order), _INFLUENCES), "<f4")
        bone[:, : order.shape[1]] = np.take_along_axis(body.bone_of, order, 1)
        weight[:, : order.shape[1]] = np.take_along_axis(body.weight, order, 1)
        weight /= weight.sum(1, keepdims=True)
        bone[weight == 0] = 0
        attributes = {}
        for name, values in (("POSITION", one.rest), ("NORMAL", _normals(one.rest, body.faces))):
            single = values.astype("<f4")
            attributes[name], begin = document.mesh_accessor(single)
            self._arrays.append((begin, single))
        attributes["JOINTS_0"] = self._array(bone, "VEC4", target=_VERTEX_DATA)
        attributes["WEIGHTS_0"] = self._array(weight, "VEC4", target=_VERTEX_DATA)
        triangles = body.faces.ravel().astype("<u2")
        indices, begin = document.mesh_accessor(triangles)
        self._arrays.append((begin, triangles))
        base = [*(round(value, 6) for value in linear_rgb(np.array(colour(person))).tolist()), 1.0]
        look = {"baseColorFactor": base, "metallicFactor": 0.0, "roughnessFactor": 0.8}
        material = document.add("materials", name=f"person {person}", pbrMetallicRoughness=look)
        return {"attributes": attributes, "indices": indices, "material": material}

    def _animate(self, person: int, one: SkinnedPerson, bones: list[int], place: int) -> None:
        keys, count = self._keys[person], len(one.frames)
        times = self._times(one.frames)
        for bone in self._animated:
            view, keys.rotation[bone] = self._document.reserve(16 * count)
            self._channel(bones[bone], "rotation", times, self._document.accessor(view, 0, count, "VEC4"))
        view, keys.root = self._document.reserve(12 * count)
        self._channel(bones[0], "translation", times, self._document.accessor(view, 0, count, "VEC3"))
        frames, shown = shown_keys(one.frames)
        scale = np.repeat(shown[:, None], 3, 1).astype("<f4")
        self._channel(place, "scale", self._times(frames), self._array(scale, "VEC3"), "STEP")

    def _channel(self, node: int, path: str, times: int, values: int, how: str = "LINEAR") -> None:
        self._animation["samplers"].append({"input": times, "output": values, "interpolation": how})
        target = {"node": node, "path": path}
        self._animation["channels"].append({"sampler": len(self._animation["samplers"]) - 1, "target": target})

    def _times(self, frames: Ints) -> int:
        seconds = (frames / self._rate_hz).astype("<f4")
        return self._array(seconds, "SCALAR", min=[float(seconds[0])], max=[float(seconds[-1])])

    def _array(self, values: NDArray[Any], form: str, target: int | None = None, **more: Any) -> int:
        view, begin = self._document.reserve(values.nbytes, **({} if target is None else {"target": target}))
        self._arrays.append((begin, values))
        kind = {"componentType": UNSIGNED_SHORT} if values.dtype.kind == "u" else {}
        component = kind.get("componentType")
        if component is not None:
            return self._document.accessor(view, 0, len(values), form, component, **more)
        return self._document.accessor(view, 0, len(values), form, **more)


def shown_keys(frames: Ints) -> tuple[Ints, Ints]:
    """Return the frames in which a person appears (1) or disappears (0), ascending, and which of both it is."""
    apart = np.diff(frames)
    step = int(apart.min()) if len(apart) else 1
    begins = frames[np.concatenate([[True], apart > step])]
    ends = frames[np.concatenate([apart > step, [True]])] + step
    at = np.concatenate([begins, ends])
    shown = np.concatenate([np.ones(len(begins), np.int64), np.zeros(len(ends), np.int64)])
    order = np.argsort(at, kind="stable")
    at, shown = at[order], shown[order]
    return (at, shown) if at[0] == 0 else (np.concatenate([[0], at]), np.concatenate([[0], shown]))


def _normals(vertices: Floats, faces: Ints) -> Floats:
    """Unit normals (V, 3), as the format demands them, of vertices without triangles too."""
    normals = vertex_normals(vertices, faces)
    return np.where(normals.any(-1, keepdims=True), normals, [0.0, 0.0, 1.0])
