"""A reader of .glb files by the glTF 2.0 specification, which refuses what the specification forbids."""

import json
import struct

import numpy as np

KINDS = {5126: np.dtype("<f4"), 5122: np.dtype("<i2"), 5123: np.dtype("<u2")}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Glb:
    """A file: its document, its nodes by name, and the values of its accessors."""

    def __init__(self, path):
        data = path.read_bytes()
        magic, version, length = struct.unpack_from("<4sII", data)
        assert (magic, version, length) == (b"glTF", 2, len(data))
        chunks, at = [], 12
        while at < len(data):
            size, kind = struct.unpack_from("<I4s", data, at)
            assert size % 4 == 0 and at + 8 + size <= len(data)
            chunks.append((kind, data[at + 8 : at + 8 + size]))
            at += 8 + size
        assert [kind for kind, _ in chunks] == [b"JSON", b"BIN\0"][: len(chunks)]
        self.document = json.loads(chunks[0][1].decode("utf-8"))
        self.buffer = chunks[1][1] if len(chunks) > 1 else b""
        assert self.document["asset"]["version"] == "2.0"
        for buffer in self.document.get("buffers", []):
            assert len(self.buffer) - 3 <= buffer["byteLength"] <= len(self.buffer)
        names = [node["name"] for node in self.document["nodes"]]
        assert len(set(names)) == len(names)
        self.nodes = dict(zip(names, self.document["nodes"], strict=True))
        self.parents = {names[child]: name for name, node in self.nodes.items() for child in node.get("children", ())}
        roots = [names[at] for at in self.document["scenes"][self.document["scene"]]["nodes"]]
        assert sorted([*self.parents, *roots]) == sorted(names)  # one tree, every node of it once
        self._channels = self._read_channels(names)

    def values(self, index):
        """The values (N, W) of an accessor; (N,) of one that has no width."""
        accessor = self.document["accessors"][index]
        view = self.document["bufferViews"][accessor["bufferView"]]
        kind, width, count = KINDS[accessor["componentType"]], WIDTHS[accessor["type"]], accessor["count"]
        begin = view["byteOffset"] + accessor["byteOffset"]
        size = kind.itemsize * width * count
        assert count >= 1 and view["byteOffset"] % 4 == 0 and begin % kind.itemsize == 0
        assert accessor["byteOffset"] + size <= view["byteLength"]
        assert view["byteOffset"] + view["byteLength"] <= self.document["buffers"][0]["byteLength"]
        found = np.frombuffer(self.buffer[begin : begin + size], kind).reshape(count, width)
        if "min" in accessor:
            assert accessor["min"] == found.min(0).tolist() and accessor["max"] == found.max(0).tolist()
        if accessor.get("normalized"):
            found = np.maximum(found / 32767, -1)
        return found[:, 0] if width == 1 else found

    def _read_channels(self, names):
        """{(node, property): (times (K,), values (K, W), interpolation)}"""
        out = {}
        for animation in self.document.get("animations", []):
            for channel in animation["channels"]:
                sampler = animation["samplers"][channel["sampler"]]
                assert "min" in self.document["accessors"][sampler["input"]]
                times, values = self.values(sampler["input"]), self.values(sampler["output"])
                assert len(times) == len(values) and (np.diff(times) > 0).all() and times[0] >= 0
                key = names[channel["target"]["node"]], channel["target"]["path"]
                assert key not in out
                out[key] = times, values, sampler["interpolation"]
                if key[1] == "rotation":
                    np.testing.assert_allclose(np.linalg.norm(values, axis=-1), 1, atol=1e-4)
        return out

    def sampled(self, name, path, time_s):
        """A property of a node at a time, clamped to the first and the last keyframe."""
        if (name, path) not in self._channels:
            return np.array(self.nodes[name].get(path, {"translation": [0, 0, 0], "scale": [1, 1, 1]}.get(path)))
        times, values, how = self._channels[name, path]
        after = int(np.searchsorted(times, time_s, side="right"))
        if after == 0 or after == len(times) or how == "STEP":
            return values[max(after - 1, 0)]
        share = (time_s - times[after - 1]) / (times[after] - times[after - 1])
        return (1 - share) * values[after - 1] + share * values[after]

    def duration_s(self):
        return max(times[-1] for times, _, _ in self._channels.values())


def turned(quaternion, vector):
    """A vector turned by a quaternion x y z w."""
    axis, w = quaternion[:3], quaternion[3]
    return vector + 2 * np.cross(axis, np.cross(axis, vector) + w * vector)
