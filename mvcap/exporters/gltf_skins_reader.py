"""Animated bodies read back from the file that ``gltf_skins`` writes; what is not looked at stays on the disk."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats, Ints
from calib.bounded_files import bounded_bytes, parse_json, reason_of
from mvcap import stages
from mvcap.errors import SessionError
from mvcap.structures.session import Session
from mvcap.structures.skinned_body import LinearPoints, SkinnedBody

MESHES, FACTS, ANIMATION = "meshes", "meshes.json", "people.glb"
"""The folder of a session's meshes, the figures of the fit in it, and the animation."""
_KINDS: dict[int, np.dtype[Any]] = {5126: np.dtype("<f4"), 5123: np.dtype("<u2")}
_WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_MOST_JSON = 64 << 20


@dataclass(frozen=True, eq=False)
class AnimatedBody:
    """One person of the file."""

    body: SkinnedBody
    """Of one shape; its joints and groups are not in the file."""
    frames: Ints
    """(T,) ascending, in which the person has a body."""
    root: NDArray[np.float32]
    """(T, 3) m, the head of the first bone."""
    turned: tuple[int, ...]
    """(A,) bones that turn."""
    quaternions: tuple[NDArray[np.float32], ...]
    """A times (T, 4): x, y, z, w of each of these relative to its parent."""

    def keys(self, first: int, stop: int) -> slice:
        """Return which of the frames are from one number to another, which is exclusive."""
        begin, end = np.searchsorted(self.frames, [first, stop])
        return slice(int(begin), int(end))

    def vertices(self, key: int) -> Floats:
        """Return the vertices (V, 3) m in the frame ``frames[key]``."""
        from scipy.spatial.transform import Rotation

        body = self.body
        turns = np.tile(np.eye(3), (len(body.parents), 1, 1))
        turns[list(self.turned)] = Rotation.from_quat(np.stack([one[key] for one in self.quaternions])).as_matrix()
        return body.skin(turns, self.root[key].astype(np.float64), body.vertices.mean, body.heads.mean)


class AnimatedBodies:
    """The bodies of a file by person; ``step`` frames apart."""

    def __init__(self, path: str | Path) -> None:
        """Raises SessionError of one line for a file that is damaged or not of ``gltf_skins``."""
        try:
            self._document, self._buffer = _parts(Path(path))
            extras = self._document["asset"]["extras"]
            self.name, self._rate_hz = str(extras["body"]), float(extras["rate_hz"])
            self._channels = self._read_channels()
            self.people: Mapping[int, AnimatedBody] = {
                int(person): self._person(at) for at, person in enumerate(extras["persons"])
            }
        except OSError as fault:
            raise SessionError(f"{path}: cannot be read ({reason_of(fault)})") from fault
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error, RecursionError) as fault:
            raise SessionError(
                f"{path}: damaged, or not of this version ({reason_of(fault)}); run `mvcap mesh --redo`"
            ) from fault
        apart = [np.diff(one.frames) for one in self.people.values()]
        self.step = int(np.concatenate(apart).min(initial=1 << 30)) if apart else 1
        self.step = 1 if self.step == 1 << 30 else self.step

    def at(self, frame: int) -> dict[int, int]:
        """Return the keys, by person, of the bodies shown at a frame: the last ones, for as long as they are apart."""
        found = {}
        for person, one in self.people.items():
            keys = one.keys(frame - self.step + 1, frame + 1)
            if keys.stop > keys.start:
                found[person] = keys.stop - 1
        return found

    def _read_channels(self) -> dict[tuple[int, str], tuple[NDArray[Any], NDArray[Any]]]:
        [animation] = self._document["animations"]
        out = {}
        for channel in animation["channels"]:
            sampler = animation["samplers"][channel["sampler"]]
            times, values = self._values(sampler["input"]), self._values(sampler["output"])
            if len(times) != len(values):
                raise ValueError("an animation's times are not those of its values")
            out[channel["target"]["node"], channel["target"]["path"]] = times, values
        return out

    def _values(self, index: int) -> NDArray[Any]:
        """The values (N, W), or (N,), of an accessor, mapped."""
        accessor = self._document["accessors"][index]
        view, kind = self._document["bufferViews"][accessor["bufferView"]], _KINDS[accessor["componentType"]]
        width, count = _WIDTHS[accessor["type"]], int(accessor["count"])
        begin = int(view["byteOffset"]) + int(accessor["byteOffset"])
        end = begin + count * width * kind.itemsize
        if not 0 <= begin <= end <= len(self._buffer):
            raise ValueError("an array is beyond the end of the file")
        found: NDArray[Any] = self._buffer[begin:end].view(kind)
        return found if width == 1 else found.reshape(count, width)

    def _person(self, at: int) -> AnimatedBody:
        document = self._document
        skin, [primitive] = document["skins"][at], document["meshes"][at]["primitives"]
        nodes = [int(one) for one in skin["joints"]]
        place = {node: bone for bone, node in enumerate(nodes)}
        parents = [-1] * len(nodes)
        for bone, node in enumerate(nodes):
            for child in document["nodes"][node].get("children", ()):
                parents[place[child]] = bone
        if parents[0] != -1 or not all(0 <= parent < bone for bone, parent in enumerate(parents) if bone):
            raise ValueError("bones do not come after their parents")
        rest = self._values(primitive["attributes"]["POSITION"]).astype(np.float64)
        faces = self._values(primitive["indices"]).astype(np.int64).reshape(-1, 3)
        bone_of = self._values(primitive["attributes"]["JOINTS_0"]).astype(np.int64)
        weight = self._values(primitive["attributes"]["WEIGHTS_0"]).astype(np.float64)
        if faces.max(initial=0) >= len(rest) or bone_of.max(initial=0) >= len(nodes) or len(bone_of) != len(rest):
            raise ValueError("triangles or weights name vertices or bones that are not there")
        heads = -self._values(skin["inverseBindMatrices"])[:, 12:15].astype(np.float64)
        names = tuple(str(document["nodes"][node]["name"]).partition("_")[2] for node in nodes)
        body = SkinnedBody(
            self.name, _fixed(rest), faces, _fixed(heads), tuple(parents), names, tuple(("", 0.0) for _ in nodes),
            bone_of, weight, (), _fixed(np.zeros((0, 3))),
        )  # fmt: skip
        times, root = self._channels[nodes[0], "translation"]
        turned = tuple(bone for bone, node in enumerate(nodes) if (node, "rotation") in self._channels)
        turns = tuple(self._channels[nodes[bone], "rotation"][1] for bone in turned)
        if any(len(one) != len(root) for one in turns):
            raise ValueError("bones are not animated in the same frames")
        return AnimatedBody(body, np.round(times * self._rate_hz).astype(np.int64), root, turned, turns)


def _fixed(points: Floats) -> LinearPoints:
    return LinearPoints(points, np.zeros((0, *points.shape)))


def _parts(path: Path) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """The document of a file, and its buffer, mapped."""
    whole = np.memmap(path, np.uint8, "r")
    _, _, _, length, _ = struct.unpack("<4sIIII", bytes(whole[:20]))
    if length > _MOST_JSON:
        raise ValueError("its description is too long")
    document = json.loads(bytes(whole[20 : 20 + length]))
    return document, whole[28 + length :]


@lru_cache(maxsize=2)
def _opened(path: Path, changed_ns: int) -> AnimatedBodies:
    return AnimatedBodies(path)


def session_bodies(session: Session) -> AnimatedBodies | None:
    """Return the bodies that ``mvcap mesh`` fitted to a session's present poses; None if there are none.

    Those of earlier poses are not returned. Raises SessionError for a file that is damaged.
    """
    folder = session.folder / MESHES
    try:
        facts = parse_json(bounded_bytes(folder / FACTS, _MOST_JSON))
        changed = (folder / ANIMATION).stat().st_mtime_ns
    except (OSError, ValueError):
        return None
    current = stages.poses(session, "refine").fingerprint
    if not isinstance(facts, dict) or facts.get("poses") != current:
        return None
    return _opened(folder / ANIMATION, changed)
