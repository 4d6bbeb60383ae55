"""The verb ``cloud``: coloured points on the surface of the people of a session, from masks in its calibrated views."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.bounded_files import bounded_bytes, parse_json
from mvcap import config, plugins, stages
from mvcap.densification.mask_people import check_associated, person_labels, read_mask
from mvcap.errors import ConfigError, InputError, StaleError
from mvcap.progress import Progress, silent
from mvcap.recording.recorded_depth import depth_file, recorded_depths
from mvcap.structures.artefact import Artefact, Origin
from mvcap.structures.cloud_file import FORMATS, load_cloud, save_cloud
from mvcap.structures.contracts import Densifier, MaskedMoment
from mvcap.structures.detections import Detections2D
from mvcap.structures.npz import write_text
from mvcap.structures.point_cloud import PointCloud
from mvcap.structures.poses import Poses3D
from mvcap.structures.row_checks import check_rig
from mvcap.structures.session import Session

_VERSION = 1
_FOLDER = "clouds"
_FACTS = "clouds.json"
_OWN_FILE = re.compile(r"[0-9]{7,}\.(ply|pcd)")
_NOTED_FRAMES = 10  # an interrupted call makes at most so many files again


@dataclass(frozen=True)
class CloudConfig:
    """Settings of ``mvcap cloud``: points on the surface of people, from masks in calibrated views."""

    every: int = 1
    """Make the cloud of every N-th frame only."""
    format: Literal["ply", "pcd"] = "ply"
    """Format of the files: ply or pcd, both binary."""

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ConfigError("config key 'cloud.every' must be 1 or more")


@dataclass(frozen=True)
class CloudFiles:
    """What ``cloud`` wrote."""

    folder: Path
    files: tuple[Path, ...]
    """A file a frame, named by its number; frames without points have none."""
    points: int
    """Points in all files that this call wrote."""
    frames: int
    """Frames that were asked for."""


def cloud(
    session: str | Path | Session,
    *,
    frames: str | tuple[int, int] | None = None,
    every: int | None = None,
    spacing: float | None = None,
    method: str | None = None,
    out: str | Path | None = None,
    format: str | None = None,
    redo: bool = False,
    progress: Progress = silent,
) -> CloudFiles:
    """Write a point cloud of the people in each frame of a session, and return the files.

    The session needs masks (``estimators.people.masks=true``) and the stages up to ``associate``; ids are those of
    ``track`` if that is done. frames: "A:B" or (A, B), B exclusive, default all. every: of these, those whose number it
    divides. spacing: distance of points, m. method: a densifier of ``plugins.TABLE``. out: a folder, default SESSION/
    clouds. format: "ply" or "pcd". An interrupted call resumes; files made from other settings or inputs are refused
    (StaleError) unless ``redo``, which makes them again. One frame at a time is in memory.
    Raises InputError for a session without masks, for a damaged mask and for frames that do not exist.
    """
    session = Session.of(session)
    chosen = session.settings("cloud", CloudConfig)
    densifier, settings = _densifier(session, method, spacing)
    form = format or chosen.format
    if form not in FORMATS:
        raise InputError(f"unknown format {form!r} of a point cloud; there are: {', '.join(FORMATS)}")
    step = chosen.every if every is None else every
    if step < 1:
        raise InputError(f"every must be 1 or more, not {step}")
    start, stop = frame_range(frames, session.frames)
    take = _Take(session)
    folder = session.folder / _FOLDER if out is None else Path(out)
    wanted = range(-(-start // step) * step, stop, step)
    with stages.sole_use(session):
        done = _begun(folder, _origin(session, take, settings), redo)
        todo = [frame for frame in wanted if frame not in done]
        points = 0
        for count, moment in enumerate(take.moments(todo)):
            made = densifier.densify(moment)
            points += len(made)
            frame = todo[count]
            for other in FORMATS:
                if other != form or not len(made):
                    cloud_path(folder, frame, other).unlink(missing_ok=True)
            if len(made):
                save_cloud(cloud_path(folder, frame, form), made)
            done.add(frame)
            if len(done) % _NOTED_FRAMES == 0 or count + 1 == len(todo):
                _note(folder, done)
            progress("cloud", len(wanted) - len(todo) + count + 1, len(wanted))
    paths = [path for frame in wanted for other in FORMATS if (path := cloud_path(folder, frame, other)).exists()]
    return CloudFiles(folder, tuple(paths), points, len(wanted))


def cloud_arrays(moment: MaskedMoment, *, method: str | Densifier = "visual_hull", **settings: Any) -> PointCloud:
    """Return the points of the people of one moment, from images and masks in memory.

    method: a densifier of ``plugins.TABLE`` with its ``settings``, or an object with the protocol ``Densifier``.
    Raises InputError where images or label images do not fit the rig, PluginError or ConfigError for a name or setting
    that does not exist.
    """
    rig = check_rig(moment.rig)
    for what, held, shape in (("images", moment.images, (3,)), ("labels", moment.labels, ())):
        if len(held) != len(rig):
            raise InputError(f"{what} are of {len(held)} views, the rig has {len(rig)} cameras")
        for camera, image in zip(rig, held, strict=True):
            expected = (camera.size[1], camera.size[0], *shape)
            if image is not None and (image.shape != expected or image.dtype != np.uint8):
                raise InputError(f"{what} of camera {camera.name!r} must be {expected} uint8, not {image.shape}")
    if moment.depths and [None if one is None else one.shape for one in moment.depths] != [
        None if one is None else camera.size[::-1] for one, camera in zip(moment.depths, rig, strict=False)
    ]:
        raise InputError("depths must be one image (H, W) for each camera, or None, of the size of its pictures")
    if len(moment.joints) != len(moment.persons) or len(moment.persons) > 254:
        raise InputError("joints are (P, J, 3) for the P people of persons, at most 254")
    plugin: Densifier = plugins.instance("densifier", method, settings)
    return plugin.densify(moment)


def read_cloud(session: str | Path | Session, frame: int) -> PointCloud | None:
    """Return the cloud of a frame that ``cloud`` wrote into a session; None if that frame has none.

    Raises InputError for a damaged file.
    """
    folder = (session.folder if isinstance(session, Session) else Path(session)) / _FOLDER
    found = [path for form in FORMATS if (path := cloud_path(folder, frame, form)).exists()]
    return load_cloud(found[0]) if found else None


def cloud_frames(session: str | Path | Session) -> list[int]:
    """Return the frames, ascending, of which a session has a cloud."""
    folder = (session.folder if isinstance(session, Session) else Path(session)) / _FOLDER
    paths = [path for form in FORMATS for path in folder.glob(f"*.{form}")]
    return sorted({int(path.stem) for path in paths if path.stem.isascii() and path.stem.isdecimal()})


def cloud_frame_at(frames: Sequence[int], frame: int) -> int | None:
    """Return which of the frames that have clouds, ascending, is shown at a frame.

    The last one up to it, for as long as clouds are apart; None if there is none.
    """
    apart = max(np.diff(frames), default=1)
    last = bisect_right(frames, frame) - 1
    return None if last < 0 or frame - frames[last] >= apart else frames[last]


def session_moments(session: str | Path | Session, frames: Iterable[int]) -> Iterator[MaskedMoment]:
    """Yield images, masks and people of frames, ascending, of a session with masks; one at a time is in memory.

    Raises InputError for a session without masks.
    """
    return _Take(Session.of(session)).moments(list(frames))


def cloud_path(folder: Path, frame: int, form: str) -> Path:
    """Return the file of a frame's cloud in a folder of clouds."""
    return folder / f"{frame:07d}.{form}"


def _densifier(session: Session, method: str | None, spacing: float | None) -> tuple[Densifier, dict[str, Any]]:
    overrides: Mapping[str, Any] = session.overrides
    if method is not None:
        overrides = config.merge(overrides, {"densifier": method})
    if spacing is not None:
        name = overrides.get("densifier", plugins.DEFAULT["densifier"])
        overrides = config.merge(overrides, {"densifiers": {name: {"spacing_m": float(spacing)}}})
    return plugins.load_plugin("densifier", overrides)


def frame_range(frames: str | tuple[int, int] | None, count: int) -> tuple[int, int]:
    """Return first frame and end of A:B, either of which may be left out; InputError if there is no such frame."""
    if frames is None:
        return 0, count
    parts = [str(part) for part in frames] if isinstance(frames, tuple) else frames.split(":")
    if len(parts) != 2 or not all(re.fullmatch("[0-9]{0,9}", part) for part in parts):
        raise InputError(f"frames {frames!r} are not A:B, as in 0:100 (the end is exclusive)")
    start, stop = int(parts[0] or 0), min(int(parts[1] or count), count)
    if start >= stop:
        raise InputError(f"frames {frames!r} are none of the session, which has frames 0 to {count - 1}")
    return start, stop


class _Take:
    """Masks, images, people and joints of a session, frame by frame."""

    def __init__(self, session: Session) -> None:
        self.session = session
        if session.offsets is not None:
            raise InputError(
                f"{session.folder}: its views were synchronised by `mvcap sync`, and clouds need images of the same "
                "moment; use footage of synchronised cameras"
            )
        self.found = stages.detections(session, "estimate")
        self.linked = stages.detections(session, "associate")
        check_associated(self.found, self.linked)
        self.poses = _newest_poses(session)
        self.masks = session.folder / "masks"
        held = (self.found.manifest or {}).get("settings") or {}
        if held.get("masks") is False or not any(self.masks.glob("*/*.png")):
            name = str(held.get("estimator", plugins.DEFAULT["estimator"]))
            if "masks" not in held:
                raise InputError(
                    f"{session.folder} has no masks of people, and estimator {name!r} makes none; the estimators "
                    "people and blazepose do, of footage"
                )
            raise InputError(
                f"{session.folder} has no masks of people; make them with `mvcap estimate {session.folder} --redo "
                f"--set estimators.{name}.masks=true`, then run `mvcap reconstruct {session.folder}`"
            )

    def moments(self, frames: list[int]) -> Iterator[MaskedMoment]:
        """Yield the frames in order; images of every view are decoded once, one frame at a time."""
        rig, views = self.session.rig, range(len(self.session.views))
        if not frames:
            return
        streams = [self._images(view, frames) for view in views]
        depths = [self._depths(view, frames) for view in views]
        chunk, rows, linked, poses = range(0), None, None, None
        for frame in frames:
            if frame not in chunk or rows is None or linked is None:
                chunk = range(frame, min(frame + stages.CHUNK_FRAMES, self.session.frames))
                rows, linked = (one.between(chunk.start, chunk.stop) for one in (self.found, self.linked))
                poses = self.poses.between(chunk.start, chunk.stop) if self.poses else None
            images = tuple(next(stream) for stream in streams)
            moment = self._moment(
                rig,
                frame,
                images,
                rows.of(frame=frame),
                linked.of(frame=frame),
                poses.of(frame=frame) if poses else None,
            )
            found = tuple(None if stream is None else next(stream) for stream in depths)
            yield replace(moment, depths=found) if any(stream is not None for stream in depths) else moment

    def _images(self, view: int, frames: list[int]) -> Iterator[NDArray[np.uint8] | None]:
        if not self.session.has_footage():
            while True:
                yield None
        steps = {b - a for a, b in pairwise(frames)} or {1}
        step = min(steps)
        wanted = set(frames)
        every = step if all(frame % step == 0 for frame in frames) else 1
        for frame, image in self.session.images(view, frames[0], frames[-1] + 1, every):
            if frame in wanted:
                yield image

    def _depths(self, view: int, frames: list[int]) -> Iterator[NDArray[np.float32] | None] | None:
        """Depth images of a view that was recorded by a depth camera, None for others."""
        source = self.session.views[view]
        path = depth_file(Path(source.path)) if source.path and self.session.has_footage() else None
        if path is None:
            return None
        at = self.session.shown_of[frames, view]
        times_s = np.where(at >= 0, self.session.footage(view).time_s[at], np.nan)
        return recorded_depths(path, Path(source.path), times_s.tolist(), source.size)

    def _moment(
        self,
        rig: Rig,
        frame: int,
        images: tuple[NDArray[np.uint8] | None, ...],
        rows: Detections2D,
        linked: Detections2D,
        poses: Poses3D | None,
    ) -> MaskedMoment:
        """The people of one frame; those who are tracked if there are poses."""
        groups = np.unique(linked.person[linked.person >= 0])
        persons, joints = groups, np.full((len(groups), 0, 3), np.nan)
        if poses is not None:
            kept = poses.group >= 0
            _, first = np.unique(poses.group[kept], return_index=True)
            groups, persons, joints = poses.group[kept][first], poses.person[kept][first], poses.xyz[kept][first]
        labels: list[NDArray[np.uint8] | None] = []
        for view, source in enumerate(self.session.views):
            mask = read_mask(self.masks / source.name / f"{frame:07d}.png", source.size)
            mine = rows.of(view=view), linked.of(view=view)
            labels.append(None if mask is None else person_labels(mask, *mine, groups))
        return MaskedMoment(rig, images, tuple(labels), persons[:254].astype(np.int32), joints[:254])


def _newest_poses(session: Session) -> Artefact[Poses3D] | None:
    """The poses of the last finished stage of those that know people's ids, or who is where."""
    for stage in ("refine", "track", "triangulate"):
        found = session.artefact(stage, Poses3D)
        if found.complete:
            return stages.poses(session, stage)
    return None


def _origin(session: Session, take: _Take, settings: Mapping[str, Any]) -> str:
    """Identity of what the clouds are made from."""
    poses = take.poses.fingerprint if take.poses else ""
    inputs = {"rig": session.rig_identity, "associate": take.linked.fingerprint, "poses": poses}
    return Origin("cloud", _VERSION, settings, inputs).fingerprint


def _begun(folder: Path, origin: str, redo: bool) -> set[int]:
    """Begin or continue a folder of clouds; return the frames that are done."""
    facts: Any = {}
    try:
        facts = parse_json(bounded_bytes(folder / _FACTS, 64 << 20))
    except FileNotFoundError:
        pass
    except (OSError, ValueError):
        facts = {"origin": ""}
    facts = facts if isinstance(facts, dict) else {"origin": ""}
    frames = facts.get("frames")
    if facts.get("origin") == origin and isinstance(frames, list) and not redo:
        return {frame for frame in frames if type(frame) is int}
    if facts and not redo:
        raise StaleError(
            f"{folder} holds clouds made with other settings or from other inputs; give --redo to replace them"
        )
    for path in [path for form in FORMATS for path in folder.glob(f"*.{form}")] if facts else []:
        if _OWN_FILE.fullmatch(path.name):
            path.unlink()
    write_text(folder / _FACTS, json.dumps({"origin": origin, "frames": []}))
    return set()


def _note(folder: Path, done: set[int]) -> None:
    facts = parse_json(bounded_bytes(folder / _FACTS, 64 << 20))
    write_text(folder / _FACTS, json.dumps({**facts, "frames": sorted(done)}))
