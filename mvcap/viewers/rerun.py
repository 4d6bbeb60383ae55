"""Viewer rerun: people, meshes, uncertainty, cameras, point clouds in the viewer of Rerun, or as one of its recordings.

Needs the extra ``rerun``. Poses are on the timelines "time" and "frame"; persons are classes whose keypoints are the
joints. What is drawn into the pictures of a camera is distorted as its lens distorts, which a pinhole of Rerun is not.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from calib import Camera
from calib.geometry import invert
from mvcap import stages
from mvcap.cloud import cloud_frames, read_cloud
from mvcap.drawing.colours import colour
from mvcap.errors import InputError
from mvcap.exporters.gltf_skins_reader import AnimatedBodies, session_bodies
from mvcap.progress import Progress, silent
from mvcap.rendering.clothing import vertex_normals
from mvcap.structures.npz import written_whole
from mvcap.structures.optional_package import optional_package
from mvcap.structures.pose_file import load_truth
from mvcap.structures.poses import Poses3D, full_covariance, missing_joints
from mvcap.structures.session import Session
from mvcap.structures.skeleton import Skeleton

_APPLICATION = "mvcap"
_JOINT_M, _CLOUD_M = 0.02, 0.008  # radii
_JOINT_PX = 3.0
_FRUSTUM_M = 0.35
_INSIDE_95 = 7.815  # chi-squared of three


def show(
    session: Session, *, truth: str | Path | None = None, started: Callable[[str], None] = lambda text: None
) -> None:
    """Open Rerun's viewer, which goes on by itself, and send it a session.

    truth: poses to show beside them. started: called with the recording's name once everything is sent. Raises
    SessionError for a session without poses, InputError where Rerun is not installed or its viewer cannot be started.
    """
    rerun, recording = _recording(session)
    stages.poses(session, "refine")
    try:
        recording.spawn()
    except (RuntimeError, OSError) as fault:
        raise InputError(f"the viewer of Rerun cannot be started ({fault})") from fault
    _send(rerun, recording, session, truth, silent)
    recording.flush()
    started(f"{_name(session)}, in the viewer of Rerun")


def write_recording(
    session: Session, file: str | Path, *, truth: str | Path | None = None, progress: Progress = silent
) -> Path:
    """Write a session as a recording of Rerun (.rrd) and return it; memory does not grow with the take.

    truth: poses to write beside them. Raises SessionError for a session without poses or a file that cannot be written,
    InputError where Rerun is not installed.
    """
    rerun, recording = _recording(session)
    path = Path(file)
    with written_whole(path) as temporary:
        temporary.touch()
        recording.save(temporary)
        _send(rerun, recording, session, truth, progress)
        recording.flush()
        recording.disconnect()
    return path


def _name(session: Session) -> str:
    return session.folder.resolve().name


def _recording(session: Session) -> tuple[Any, Any]:
    """The module, and a recording without a place to go to yet."""
    rerun = optional_package("rerun", "Rerun", "rerun", "a recording of Rerun")
    return rerun, rerun.RecordingStream(_APPLICATION, recording_id=_name(session))


def _send(rerun: Any, recording: Any, session: Session, truth: str | Path | None, progress: Progress) -> None:
    """Send everything of a session, chunk by chunk."""
    poses = stages.poses(session, "refine")
    beside = None if truth is None else load_truth(truth, session.frames, session.rate_hz)
    recording.log("world", rerun.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    for camera in session.rig:
        _send_camera(rerun, recording, camera)
    known: set[int] = set()
    clouds = cloud_frames(session)
    meshes = _Meshes(rerun, recording, session_bodies(session))
    for start, stop in poses.ranges():
        rows = poses.between(start, stop)
        known |= set(rows.person.tolist())
        recording.reset_time()
        recording.log("world", _classes(rerun, rows.skeleton, known), static=True)
        for frame in range(start, stop):
            _set_time(recording, session, frame)
            _send_people(rerun, recording, session, rows[rows.frame == frame])
            meshes.send(frame)
            if beside is not None:
                _send_truth(rerun, recording, beside[beside.frame == frame])
            progress("recording", frame + 1, session.frames)
        for frame in (one for one in clouds if start <= one < stop):
            _set_time(recording, session, frame)
            found = read_cloud(session, frame)
            if found is not None:
                points = rerun.Points3D(found.xyz, colors=found.rgb, radii=_CLOUD_M)
                recording.log("world/cloud", points)


class _Meshes:
    """Meshes of the people: triangles and colour once, vertices where they change."""

    def __init__(self, rerun: Any, recording: Any, bodies: AnimatedBodies | None) -> None:
        self._rerun, self._recording, self._bodies = rerun, recording, bodies
        self._shown: dict[int, int] = {}
        for person, one in {} if bodies is None else bodies.people.items():
            look = rerun.Mesh3D.from_fields(
                triangle_indices=one.body.faces.astype(np.uint32), albedo_factor=[*colour(person), 255]
            )
            recording.log(self._place(person), look, static=True)

    @staticmethod
    def _place(person: int) -> str:
        return f"world/meshes/{person}"

    def send(self, frame: int) -> None:
        """Send the vertices of a frame, at the time that is set, and take away who has no body any more."""
        if self._bodies is None:
            return
        found = self._bodies.at(frame)
        for person in self._shown.keys() - found.keys():
            self._recording.log(self._place(person), self._rerun.Mesh3D.from_fields(vertex_positions=[]))
        for person, key in found.items():
            if self._shown.get(person) != key:
                one = self._bodies.people[person]
                vertices = one.vertices(key).astype(np.float32)
                normals = vertex_normals(vertices, one.body.faces).astype(np.float32)
                held = self._rerun.Mesh3D.from_fields(vertex_positions=vertices, vertex_normals=normals)
                self._recording.log(self._place(person), held)
        self._shown = found


def _set_time(recording: Any, session: Session, frame: int) -> None:
    recording.set_time("frame", sequence=frame)
    recording.set_time("time", duration=frame / session.rate_hz)


def _send_camera(rerun: Any, recording: Any, camera: Camera) -> None:
    world = invert(camera.cam_from_world)
    place = f"world/cameras/{camera.name}"
    recording.log(place, rerun.Transform3D(translation=world[:3, 3], mat3x3=world[:3, :3]), static=True)
    pinhole = rerun.Pinhole(
        image_from_camera=np.asarray(camera.lens.K), resolution=list(camera.size), image_plane_distance=_FRUSTUM_M
    )
    recording.log(f"{place}/image", pinhole, static=True)


def _classes(rerun: Any, kind: Skeleton, persons: set[int]) -> Any:
    """Persons as classes of the joints' names and of the bones, in their colours."""
    joints = [rerun.AnnotationInfo(id=at, label=name) for at, name in enumerate(kind.joints)]
    bones = [(int(a), int(b)) for a, b in kind.bones]
    return rerun.AnnotationContext(
        [
            rerun.ClassDescription(
                info=rerun.AnnotationInfo(id=person, label=f"person {person}", color=colour(person)),
                keypoint_annotations=joints,
                keypoint_connections=bones,
            )
            for person in sorted(persons)
        ]
    )


def _send_people(rerun: Any, recording: Any, session: Session, rows: Poses3D) -> None:
    """Joints, the ellipsoids that hold 95 % and, per camera, where its lens shows them."""
    from scipy.spatial.transform import Rotation

    row, joint = np.nonzero(~missing_joints(rows.xyz))
    xyz, person = rows.xyz[row, joint], rows.person[row]
    known = {"class_ids": person, "keypoint_ids": joint, "show_labels": False}
    recording.log("world/people", rerun.Points3D(xyz, radii=_JOINT_M, **known))
    variances, axes = np.linalg.eigh(full_covariance(rows.cov[row, joint].astype(np.float64)))
    axes *= np.sign(np.linalg.det(axes))[:, None, None]  # rotations, not mirrors
    held = rerun.Ellipsoids3D(
        centers=xyz, half_sizes=np.sqrt(_INSIDE_95 * np.maximum(variances, 0)), class_ids=person, show_labels=False,
        quaternions=Rotation.from_matrix(axes).as_quat() if len(axes) else np.zeros((0, 4)),
    )  # fmt: skip
    recording.log("world/people/uncertainty", held)
    for camera in session.rig:
        xy = camera.project(xyz.astype(np.float64))
        seen = np.isfinite(xy).all(-1) & (xy >= 0).all(-1) & (xy < camera.size).all(-1)
        inside = {"class_ids": person[seen], "keypoint_ids": joint[seen], "show_labels": False}
        points = rerun.Points2D(xy[seen], radii=rerun.Radius.ui_points(_JOINT_PX), **inside)
        recording.log(f"world/cameras/{camera.name}/image/people", points)


def _send_truth(rerun: Any, recording: Any, rows: Poses3D) -> None:
    bones = rows.xyz[:, rows.skeleton.bones].reshape(-1, 2, 3)
    bones = bones[np.isfinite(bones).all((-1, -2))]
    recording.log("world/truth", rerun.LineStrips3D(bones, colors=(240, 240, 240), radii=_JOINT_M / 3))
