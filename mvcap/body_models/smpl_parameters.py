"""Files of SMPL parameters: npz with the names and meanings of the arguments of the package smplx, a file a person.

betas (S,), and per frame global_orient (N, 3) and body_pose (N, 69), or (N, 63) of SMPL-H and SMPL-X, as rotation
vectors, rad, and transl (N, 3) m, all float32; frame (N,) and rate_hz. Vertices that a model of smplx makes of them are
in the session's world, z up: the turn from the model's y up is in global_orient. Hands are flat, faces at rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from calib.arrays import Floats, Ints
from calib.bounded_arrays import bounded_arrays, check_array
from calib.bounded_files import reason_of
from mvcap.body_models.smpl import Y_UP_TO_Z_UP
from mvcap.errors import InputError
from mvcap.structures.npz import NpzStream, written_whole
from mvcap.structures.skinned_body import SkinnedBody

_SMPL_JOINTS, _BODY_JOINTS = 24, 22
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class SmplParameters:
    """The body of one person in N frames."""

    betas: Floats
    """(S,) coefficients of the shape."""
    global_orient: Floats
    """(N, 3) rad, rotation vector of the first joint."""
    body_pose: Floats
    """(N, 3 (J - 1)) rad, rotation vectors of the other joints relative to their parents; J is 24, or 22."""
    transl: Floats
    """(N, 3) m, added to the vertices."""
    frame: Ints
    """(N,) ascending."""
    rate_hz: float

    def poses(self, body: SkinnedBody) -> tuple[Floats, Floats]:
        """Return turns (N, B, 3, 3) and root (N, 3) m, as ``SkinnedBody.skin`` takes them, of a file's body.

        Raises InputError if the body has other joints or fewer coefficients of the shape.
        """
        from scipy.spatial.transform import Rotation

        joints = 1 + self.body_pose.shape[1] // 3
        if body.name != "smpl" or joints != _joints_of(body) or len(self.betas) > len(body.vertices.basis):
            raise InputError(f"these parameters are of {joints} joints and {len(self.betas)} betas, not of this body")
        vectors = np.concatenate([self.global_orient, self.body_pose], 1).reshape(-1, 3)
        local = Rotation.from_rotvec(vectors).as_matrix().reshape(-1, joints, 3, 3)
        turns = np.tile(np.eye(3), (len(local), len(body.parents), 1, 1))
        turns[:, 0] = local[:, 0] @ Y_UP_TO_Z_UP.T
        turns[:, 1:joints] = Y_UP_TO_Z_UP @ local[:, 1:] @ Y_UP_TO_Z_UP.T
        return turns, np.asarray(self.transl + self.rest(body)[1][0] @ Y_UP_TO_Z_UP)

    def rest(self, body: SkinnedBody) -> tuple[Floats, Floats]:
        """Return vertices (V, 3) and heads of bones (B, 3) m of the shape at rest."""
        shape = np.zeros(len(body.vertices.basis))
        shape[: len(self.betas)] = self.betas
        return body.vertices.at(shape), body.heads.at(shape)


def _joints_of(body: SkinnedBody) -> int:
    """Joints whose rotations are in a file: all of SMPL, those without the hands of SMPL-H and SMPL-X."""
    return _SMPL_JOINTS if len(body.parents) == _SMPL_JOINTS else _BODY_JOINTS


@dataclass
class _Person:
    betas: Floats
    head: Floats
    frames: Ints
    stream: BinaryIO
    path: Path


class SmplFiles:
    """Files ``person_NNN.npz`` of a folder, written while poses come; memory does not grow with the frames."""

    def __init__(
        self, folder: Path, body: SkinnedBody, people: Mapping[int, tuple[Floats, Ints]], rate_hz: float
    ) -> None:
        """people: betas (S,) and frames (N,) of each. Raises InputError for a body that is not SMPL's."""
        if body.name != "smpl":
            raise InputError(f"parameters of SMPL are those of --body smpl --smpl FILE, not of the body {body.name}")
        self._joints, self._rate_hz = _joints_of(body), rate_hz
        self._stack = ExitStack()
        self._people: dict[int, _Person] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for person, (betas, frames) in people.items():
            path = folder / f"person_{person:03d}.npz"
            stream = self._stack.enter_context(path.with_suffix(".rows").open("w+b"))
            self._people[person] = _Person(betas, body.heads.at(betas)[0], frames, stream, path)

    def write(self, person: int, turns: Floats, root: Floats) -> None:
        """Write the next frames of a person: turns (T, B, 3, 3) of bones relative to parents, root (T, 3) m."""
        from scipy.spatial.transform import Rotation

        one = self._people[person]
        local = Y_UP_TO_Z_UP.T @ turns[:, : self._joints] @ Y_UP_TO_Z_UP
        local[:, 0] = turns[:, 0] @ Y_UP_TO_Z_UP
        vectors = Rotation.from_matrix(local.reshape(-1, 3, 3)).as_rotvec().reshape(len(root), -1)
        transl = root - one.head @ Y_UP_TO_Z_UP
        one.stream.write(np.concatenate([vectors, transl], 1).astype("<f4").tobytes())

    def __enter__(self) -> SmplFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            for one in self._people.values():
                if kind is None:
                    self._finish(one)
                one.path.with_suffix(".rows").unlink()

    def _finish(self, one: _Person) -> None:
        wide, count = 3 * self._joints + 3, len(one.frames)
        one.stream.flush()
        rows = np.memmap(one.path.with_suffix(".rows"), "<f4", "r", shape=(count, wide))
        columns = {"global_orient": slice(3), "body_pose": slice(3, wide - 3), "transl": slice(wide - 3, wide)}
        with written_whole(one.path) as temporary, NpzStream(temporary) as stream:
            for name, values in (("betas", one.betas.astype("<f4")), ("frame", one.frames.astype("<i8")),
                                 ("rate_hz", np.array(self._rate_hz))):  # fmt: skip
                stream.begin(name, values.shape, values.dtype)
                stream.extend(values)
            for name, chosen in columns.items():
                stream.begin(name, rows[:, chosen].shape, rows.dtype)
                for begin in range(0, count, _ROWS_AT_ONCE):
                    stream.extend(rows[begin : begin + _ROWS_AT_ONCE, chosen])


def load_smpl_parameters(path: str | Path) -> SmplParameters:
    """Read a file that ``mvcap mesh`` wrote; InputError of one line for one that is missing, damaged or another's."""
    names = ("betas", "global_orient", "body_pose", "transl", "frame", "rate_hz")
    try:
        arrays = bounded_arrays(Path(path), names)
        if missing := [name for name in names if name not in arrays]:
            raise ValueError(f"it has no {', '.join(missing)}")
        count = len(arrays["frame"]) if arrays["frame"].ndim else 0
        joints = _SMPL_JOINTS if arrays["body_pose"].shape[-1:] == (3 * _SMPL_JOINTS - 3,) else _BODY_JOINTS
        shapes = arrays["betas"].shape[-1] if arrays["betas"].ndim else 0
        for name, shape in (("betas", (shapes,)), ("global_orient", (count, 3)), ("transl", (count, 3)),
                            ("body_pose", (count, 3 * joints - 3)), ("frame", (count,)), ("rate_hz", ())):  # fmt: skip
            check_array(name, arrays[name], shape, "iu" if name == "frame" else "fiu")
            if not np.isfinite(np.asarray(arrays[name], np.float64)).all():
                raise ValueError(f"{name} has values that are not finite")
    except OSError as fault:
        raise InputError(f"{path}: cannot be read ({reason_of(fault)}); check the path") from fault
    except ValueError as fault:
        raise InputError(f"{path}: not a file of SMPL parameters ({reason_of(fault)})") from fault
    betas, orient, pose, transl = (np.asarray(arrays[name], np.float64) for name in names[:4])
    frame = np.asarray(arrays["frame"], np.int64)
    return SmplParameters(betas, orient, pose, transl, frame, float(arrays["rate_hz"]))
