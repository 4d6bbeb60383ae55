"""Truth of a synthetic session in chunks of frames: positions of joints, and what hides them from each camera."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calib import Camera
from calib.bounded_arrays import bounded_arrays
from mvcap.datasets.ground_truth import JointVisibility
from mvcap.datasets.resumed_folder import PIECES
from mvcap.datasets.session_stage import Stage
from mvcap.progress import Progress
from mvcap.rendering.ray_casting import RayScene
from mvcap.structures.npz import NpzStream, write_npz, written_whole
from mvcap.structures.pose_file import save_pose_blocks
from mvcap.structures.poses import Poses3D, TakeInfo

TRUTH_FRAMES = 256
"""Frames of a chunk."""
_DEEP_M = 0.16  # of a joint below its own surface at most, or as deep as a body is thick
_SKELETON = "halpe26"


def write_truth(stage: Stage, folder: Path, progress: Progress) -> None:
    """Write ``truth.npz``, poses at the common times of the frames, and ``visibility.npz``.

    visibility.npz: ``visibility`` (T, P, C, J) ``JointVisibility`` at each view's own times, frames T, people P in the
    order of their ids, views C, joints J. What is there is kept.
    """
    parts = []
    for first in range(0, stage.frames, TRUTH_FRAMES):
        frames = range(first, min(first + TRUTH_FRAMES, stage.frames))
        parts.append(folder / PIECES / "truth" / f"{first:07d}.npz")
        if not parts[-1].exists():
            write_npz(parts[-1], _chunk(stage, frames, progress))
    progress("truth", stage.frames, stage.frames)
    about = {"source": "mvcap generate", "seed": stage.config.seed}

    def blocks() -> Iterator[Poses3D]:
        for number, part in enumerate(parts):
            rows = Poses3D.from_dense(bounded_arrays(part)["xyz"], _SKELETON)
            yield rows.with_columns(frame=rows.frame + number * TRUTH_FRAMES)

    if not (folder / "truth.npz").exists():
        save_pose_blocks(folder / "truth.npz", blocks, TakeInfo(stage.config.rate_hz, stage.frames, None, about))
    if not (folder / "visibility.npz").exists():
        with written_whole(folder / "visibility.npz") as whole, NpzStream(whole) as stream:
            shape = bounded_arrays(parts[0])["visibility"].shape[1:]
            stream.begin("visibility", (stage.frames, *shape), np.dtype(np.uint8))
            for part in parts:
                stream.extend(bounded_arrays(part)["visibility"])


def _chunk(stage: Stage, frames: range, progress: Progress) -> dict[str, NDArray[np.generic]]:
    """Positions (n, P, J, 3) m at common times, and visibility (n, P, C, J), of some frames."""
    xyz, seen = [], []
    for frame in frames:
        progress("truth", frame, stage.frames)
        xyz.append(stage.people.joints(stage.time_of(frame)))
        seen.append(np.stack([_visibility(stage, frame, view) for view in range(len(stage.rig))], 1))
    return {"xyz": np.stack(xyz), "visibility": np.stack(seen)}


def _visibility(stage: Stage, frame: int, view: int) -> NDArray[np.uint8]:
    """``JointVisibility`` (P, J) in a view at its own time of a frame."""
    time_s = stage.time_of(frame, view)
    vertices, joints = stage.people.vertices(time_s), stage.people.joints(time_s)
    scene = RayScene((vertices, stage.people.faces), (stage.room.vertices, stage.room.faces))
    return seen_joints(stage.rig[view], joints, scene, stage.people.person)


def seen_joints(
    camera: Camera, joints: NDArray[np.float64], scene: RayScene, person: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Return the ``JointVisibility`` (P, J) of joints (P, J, 3) m of people 1.. in order.

    scene: the people's surface, its triangles (F,) being of ``person``, and the room; a joint lies within its body, so
    its own surface hides it only where it is nearer by more than bodies are thick; other people and things hide it
    where they are before that.
    """
    people, count = joints.shape[:2]
    way = joints.reshape(-1, 3) - camera.position
    far = np.linalg.norm(way, axis=-1)
    hits = scene.first_hits(camera.position, way / far[:, None])
    mine = (hits.mesh == 0) & (person[hits.face] == np.repeat(np.arange(1, people + 1), count))
    out = np.full(len(far), JointVisibility.VISIBLE, np.uint8)
    out[mine & (hits.distance < far - _DEEP_M)] = JointVisibility.SELF_OCCLUDED
    out[~mine & (hits.distance < far)] = JointVisibility.OCCLUDED
    xy = camera.project(joints.reshape(-1, 3))
    with np.errstate(invalid="ignore"):
        inside = ((xy >= -0.5) & (xy < np.array(camera.size) - 0.5)).all(-1)
    out[~inside] = JointVisibility.OUT_OF_VIEW
    return out.reshape(people, count)
