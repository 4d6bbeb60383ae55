"""What the viewer's page is told of a session: a description, and arrays in chunks of frames as little-endian bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib import Camera
from calib.arrays import Floats
from calib.bounded_files import bounded_bytes, parse_json
from mvcap import stages
from mvcap.cloud import cloud_frames, read_cloud
from mvcap.drawing.colours import hexadecimal
from mvcap.errors import InputError, StaleError
from mvcap.structures.joint_angles import ANGLES, joint_angles
from mvcap.structures.pose_file import load_truth
from mvcap.structures.poses import Poses3D, Provenance, missing_joints, sigma_m
from mvcap.structures.session import Session
from mvcap.structures.skeleton import Skeleton
from mvcap.viewers.browser_meshes import PageMeshes

CHUNK_FRAMES = 100
"""Frames of a chunk: what the page loads at once, and keeps or drops at once."""
POSES = {"refine": "refined", "track": "raw", "truth": "truth"}
"""Kinds of poses that the page can show, and their names there."""
SERIES = ("error_px", "sigma_mm", *ANGLES)
"""Columns of ``Scene.series``: medians over the joints of a person, then angles in degrees."""
_MOST_POINTS = 30_000  # of one moment
_PROVENANCE = {
    "measured": (Provenance.MEASURED,),
    "one view": (Provenance.ONE_VIEW, Provenance.MONOCULAR),
    "interpolated": (Provenance.INTERPOLATED,),
    "predicted": (Provenance.PREDICTED, Provenance.PRIOR, Provenance.REJECTED),
}


class Scene:
    """A session as the page shows it. Nothing of the session is changed, and one chunk at a time is in memory.

    truth: file of poses (``poses.npz``) to show beside those of the session, in its world and frames.
    """

    def __init__(self, session: Session, truth: str | Path | None = None) -> None:
        self.session = session
        self._stages = {"refine": stages.poses(session, "refine"), "track": stages.poses(session, "track")}
        self._truth = None if truth is None else load_truth(truth, session.frames, session.rate_hz)
        self._read = lru_cache(maxsize=4)(self._rows)
        self._meshes = PageMeshes(session)
        self.made = self._origins()

    def description(self) -> dict[str, Any]:
        """Return names, cameras, skeletons, persons, chunks and events, as JSON values, of the session as it is now."""
        session = self.session
        self._stages = {name: stages.poses(session, name) for name in self._stages}
        self._read.cache_clear()
        self._meshes = PageMeshes(session)
        self.made = self._origins()
        kinds = {"refine": self._stages["refine"].skeleton, "track": self._stages["track"].skeleton}
        if self._truth is not None:
            kinds["truth"] = self._truth.skeleton
        spans = self._person_spans()
        low, high = self._extent()
        report = self._report()
        return {
            "name": session.folder.resolve().name,
            "frames": session.frames,
            "rate_hz": session.rate_hz,
            "chunk_frames": CHUNK_FRAMES,
            "views": [_camera(camera) for camera in session.rig],
            "skeletons": {name: _skeleton(kind) for name, kind in kinds.items()},
            "kinds": {name: POSES[name] for name in kinds},
            "persons": [
                {"id": person, "colour": hexadecimal(person), "first": first, "last": last}
                for person, (first, last) in spans.items()
            ],
            "provenance": {name: [int(one) for one in codes] for name, codes in _PROVENANCE.items()},
            "series": list(SERIES),
            "events": self._events(report),
            "extent_m": [low.tolist(), high.tolist()],
            "clouds": self.cloud_frames(),
            "meshes": self._meshes.description(),
            "verdict": self._verdict(report),
        }

    def chunk(self, kind: str, start: int) -> bytes:
        """Return the poses of a chunk: frame, person (M,), xyz (M, J, 3) m, cov (M, J, 6) m^2, error_px, views, source.

        kind: a key of ``POSES``. Raises InputError for a kind or a first frame that does not exist, SessionError for a
        chunk that cannot be read.
        """
        self.check_unchanged()
        rows = self._read(kind, start)
        return packed(
            {
                "frame": rows.frame.astype(np.int32),
                "person": rows.person.astype(np.int32),
                "xyz": rows.xyz.astype(np.float32),
                "cov": rows.cov.astype(np.float32),
                "error_px": rows.error_px.astype(np.float32),
                "views": rows.views.astype(np.uint8),
                "source": rows.provenance.astype(np.uint8),
            }
        )

    def projected(self, kind: str, start: int) -> bytes:
        """Return where a chunk's joints are in the pictures, ``xy`` (C, M, J, 2) px; NaN where a view sees none."""
        self.check_unchanged()
        rows = self._read(kind, start)
        xy = [camera.project(rows.xyz.astype(np.float64)) for camera in self.session.rig]
        return packed({"xy": np.stack(xy).astype(np.float32)})

    def cloud_frames(self) -> list[int] | None:
        """Return the frames that have point clouds, ascending; None if there are none."""
        return [frame for frame in cloud_frames(self.session) if frame < self.session.frames] or None

    def cloud(self, frame: int) -> bytes:
        """Return the point cloud of a frame: xyz (N, 3) m, rgb (N, 3), person (N,); InputError where there is none.

        Of more points than a page can show at once, every second, third ... of each person.
        """
        found = read_cloud(self.session, frame)
        if found is None:
            raise InputError(f"frame {frame} has no point cloud")
        order = np.argsort(found.person, kind="stable")[:: max(1, -(-len(found.xyz) // _MOST_POINTS))]
        return packed({"xyz": found.xyz[order], "rgb": found.rgb[order], "person": found.person[order]})

    def skin(self) -> bytes:
        """Return what the meshes of all people have in common, as ``PageMeshes.skin``; InputError where none are."""
        return packed(self._meshes.skin())

    def shape(self, person: int) -> bytes:
        """Return the mesh of a person at rest, as ``PageMeshes.shape``; InputError where there is none."""
        return packed(self._meshes.shape(person))

    def motion(self, start: int) -> bytes:
        """Return how the meshes of a chunk are posed, as ``PageMeshes.motion``; InputError where none are."""
        self.check_unchanged()
        self._check_start(start)
        return packed(self._meshes.motion(start, start + CHUNK_FRAMES))

    def series(self) -> bytes:
        """Return curves over the take, ``SERIES`` (M, K) of the refined poses, with frame and person (M,)."""
        self.check_unchanged()
        frame, person, columns = [], [], []
        for rows in self._stages["refine"].chunks():
            frame.append(rows.frame)
            person.append(rows.person)
            columns.append(_curves(rows))
        empty = np.zeros((0, len(SERIES)))
        return packed(
            {
                "frame": np.concatenate([*frame, np.zeros(0)]).astype(np.int32),
                "person": np.concatenate([*person, np.zeros(0)]).astype(np.int32),
                "values": np.concatenate([*columns, empty]).astype(np.float32),
            }
        )

    def _origins(self) -> tuple[str, ...]:
        held = [stage.manifest for stage in self._stages.values()]
        return tuple(f"{one['fingerprint']} {one.get('seconds')}" if one and one["complete"] else "" for one in held)

    def check_unchanged(self) -> None:
        """Raise StaleError where the session was reconstructed again since it was last described."""
        if self._origins() != self.made:
            raise StaleError("the session was reconstructed again meanwhile: reload the page when that is done")

    def _check_start(self, start: int) -> None:
        if start % CHUNK_FRAMES or not 0 <= start < self.session.frames:
            raise InputError(f"no chunk begins at frame {start}")

    def _rows(self, kind: str, start: int) -> Poses3D:
        self._check_start(start)
        if kind == "truth" and self._truth is not None:
            return self._truth[(self._truth.frame >= start) & (self._truth.frame < start + CHUNK_FRAMES)]
        if kind not in self._stages:
            raise InputError(f"no poses {kind!r} here")
        return self._stages[kind].between(start, min(start + CHUNK_FRAMES, self.session.frames))

    def _person_spans(self) -> dict[int, tuple[int, int]]:
        """First and last frame of each person."""
        spans: dict[int, tuple[int, int]] = {}
        for rows in self._stages["refine"].chunks():
            for person in np.unique(rows.person).tolist():
                at = rows.frame[rows.person == person]
                first, last = spans.get(person, (int(at.min()), int(at.max())))
                spans[person] = min(first, int(at.min())), max(last, int(at.max()))
        return dict(sorted(spans.items()))

    def _extent(self) -> tuple[Floats, Floats]:
        """Lower and upper corner (3,) m of the people, from chunks over the whole take; of the cameras without them."""
        starts = range(0, self.session.frames, CHUNK_FRAMES)
        some = [starts[at] for at in np.unique(np.linspace(0, len(starts) - 1, 8).astype(int))]
        points = [self._read("refine", start).xyz.reshape(-1, 3) for start in some]
        xyz = np.concatenate(points).astype(np.float64)
        xyz = xyz[np.isfinite(xyz).all(-1)]
        if not len(xyz):
            xyz = self.session.rig.positions
        return np.quantile(xyz, 0.01, axis=0), np.quantile(xyz, 0.99, axis=0)

    def _report(self) -> Mapping[str, Any]:
        try:
            held: Any = parse_json(bounded_bytes(self.session.folder / "report.json"))
        except (OSError, ValueError):
            return {}
        return held if isinstance(held, dict) else {}

    @staticmethod
    def _verdict(report: Mapping[str, Any]) -> dict[str, Any] | None:
        held = report.get("verdict")
        if not isinstance(held, dict):
            return None
        return {"level": held.get("level"), "reasons": [str(one) for one in held.get("reasons", [])]}

    @staticmethod
    def _events(report: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Changes of identity that tracking made, as frame and words."""
        held = report.get("identities")
        changes = held.get("changes", []) if isinstance(held, dict) else []
        found = []
        for change in changes if isinstance(changes, list) else []:
            if isinstance(change, dict) and isinstance(change.get("frame"), int):
                words = ", ".join(f"{key} {value}" for key, value in change.items() if key != "frame")
                found.append({"frame": change["frame"], "text": words})
        return found


def packed(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return arrays as one block: length of the header (u4), header in JSON, each array at a multiple of 8 bytes."""
    whole = {name: np.ascontiguousarray(array, array.dtype.newbyteorder("<")) for name, array in arrays.items()}
    place, header = 0, {}
    for name, array in whole.items():
        header[name] = {"dtype": array.dtype.str.lstrip("<|"), "shape": list(array.shape), "at": place}
        place += -(-array.nbytes // 8) * 8
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 4) % 8)
    parts = [np.uint32(len(text)).astype("<u4").tobytes(), text]
    for array in whole.values():
        held = array.tobytes()
        parts.append(held + bytes(-len(held) % 8))
    return b"".join(parts)


def _curves(rows: Poses3D) -> NDArray[np.float64]:
    """``SERIES`` (M, K) of poses, NaN where unknown."""
    error = np.where(~missing_joints(rows.xyz) & (rows.error_px > 0), rows.error_px, np.nan)
    columns = [_median(error), _median(1000 * sigma_m(rows))]
    return np.concatenate([np.stack(columns, -1), joint_angles(rows)], -1)


def _median(values: NDArray[Any]) -> NDArray[np.float64]:
    out = np.full(len(values), np.nan)
    some = np.isfinite(values).any(-1)
    out[some] = np.nanmedian(values[some], axis=-1)
    return out


def _camera(camera: Camera) -> dict[str, Any]:
    """A view as the page draws its frustum; what is seen through it is computed by ``Scene.projected``."""
    return {
        "name": camera.name,
        "size": list(camera.size),
        "K": np.asarray(camera.lens.K).tolist(),
        "cam_from_world": np.asarray(camera.cam_from_world).tolist(),
    }


def _skeleton(kind: Skeleton) -> dict[str, Any]:
    return {"name": kind.name, "joints": list(kind.joints), "bones": kind.bones.tolist()}
