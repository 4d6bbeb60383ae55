"""What the viewer's page is told of meshes: each shape once, and the rotations of bones in chunks of frames."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.errors import InputError
from mvcap.exporters.gltf_skins_reader import AnimatedBodies, session_bodies
from mvcap.structures.session import Session

_UNIT = 32767  # what 1 is as a short integer


class PageMeshes:
    """Bodies of a session's present poses, as arrays for the page; rotations and shapes are rounded to 16 bits."""

    def __init__(self, session: Session) -> None:
        """Raises SessionError for a file of meshes that is damaged."""
        self._bodies: AnimatedBodies | None = session_bodies(session)

    def description(self) -> dict[str, Any] | None:
        """Return the body's name, the people and how many frames the meshes are apart; None without meshes."""
        if self._bodies is None:
            return None
        return {"body": self._bodies.name, "persons": list(self._bodies.people), "step": self._bodies.step}

    def skin(self) -> dict[str, NDArray[Any]]:
        """Return what all people have in common: triangles, bones' parents, bones that turn, weights of vertices.

        faces (F, 3), parents (B,), turned (A,), bones (V, 4) that move each vertex, and their shares (V, 4) of 255.
        """
        one = next(iter(self._made().people.values()))
        share = np.round(255 * one.body.weight).astype(np.int64)
        rows = np.arange(len(share))
        share[rows, share.argmax(1)] += 255 - share.sum(1)
        return {
            "faces": one.body.faces.astype(np.uint16), "parents": np.array(one.body.parents, np.int32),
            "turned": np.array(one.turned, np.int32), "bones": one.body.bone_of.astype(np.uint16),
            "shares": share.astype(np.uint8),
        }  # fmt: skip

    def shape(self, person: int) -> dict[str, NDArray[Any]]:
        """Return a person at rest: vertices (V, 3) in ``unit`` (1,) m, and heads of bones (B, 3) m."""
        if person not in self._made().people:
            raise InputError(f"person {person} has no mesh")
        body = self._made().people[person].body
        unit = max(float(np.abs(body.vertices.mean).max()), 1e-6) / _UNIT
        return {
            "rest": np.round(body.vertices.mean / unit).astype(np.int16), "unit": np.array([unit], np.float32),
            "heads": body.heads.mean.astype(np.float32),
        }  # fmt: skip

    def motion(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Return frame, person (M,), turns (M, A, 4) as quaternions x, y, z, w, and root (M, 3) m, of some frames."""
        people = self._made().people
        parts: dict[str, list[NDArray[Any]]] = {"frame": [], "person": [], "turns": [], "root": []}
        for person, one in people.items():
            keys = one.keys(start, stop)
            turns = np.stack([each[keys] for each in one.quaternions], 1)
            parts["frame"].append(one.frames[keys].astype(np.int32))
            parts["person"].append(np.full(len(turns), person, np.int32))
            parts["turns"].append(np.round(_UNIT * np.clip(turns, -1, 1)).astype(np.int16))
            parts["root"].append(np.asarray(one.root[keys]))
        return {name: np.concatenate(values) for name, values in parts.items()}

    def _made(self) -> AnimatedBodies:
        if self._bodies is None:
            raise InputError("the session has no meshes; run `mvcap mesh`")
        return self._bodies
