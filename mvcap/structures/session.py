"""A session: one take in one folder, with its synchronised views, its rig, its settings and the results of the stages.

session.yaml     the views, the paths of their footage, and its identity
rig.yaml         the cameras, in the order of the views, fitted to the images
timeline.npz     the footage frame of each view at each frame of the session
sync.json        by how much each view is late, if ``mvcap sync`` found that
rig_given.yaml   the camera before its world was levelled by the people in it, if there is one view only
config.yaml      the settings that differ from the defaults
artefacts/NAME   the result of each stage, in chunks of frames
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from calib import Rig, RigFileError, load_rig, save_rig
from calib.arrays import Image
from calib.bounded_arrays import bounded_arrays, check_array
from calib.bounded_files import bounded_bytes, reason_of
from mvcap import config
from mvcap.errors import ConfigError, InputError, SessionError, StaleError
from mvcap.structures.artefact import Artefact
from mvcap.structures.footage import Footage
from mvcap.structures.image_folders import images_in, split_by_camera
from mvcap.structures.npz import remedy, write_npz, write_text
from mvcap.structures.own_files import refuse_links, remove_leftovers
from mvcap.structures.row_checks import check_rate
from mvcap.structures.session_file import check_names, read_session_file
from mvcap.structures.table import Table
from mvcap.structures.timeline import ARRAYS, Timeline, check_length, part_of
from mvcap.structures.view_offsets import ViewOffsets, read_view_offsets

T = TypeVar("T", bound=Table)
GIVEN_RIG = "rig_given.yaml"
"""File of the calibration as it was given, in a session of one view whose world was levelled by the people in it."""


@dataclass(frozen=True)
class ViewSource:
    """One view of a session: its footage, and its name, which is also that of its camera."""

    name: str
    path: str
    """Video file or image folder; empty for a view with detections only."""
    size: tuple[int, int]
    """Width and height, px."""
    identity: str
    camera: str = ""
    """The camera's name in the names of its images, if its folder holds those of several; else empty."""


@dataclass(frozen=True)
class Session:
    """A take on disk. Frames are streamed; a whole take is never in memory."""

    folder: Path
    views: tuple[ViewSource, ...]
    rate_hz: float
    frames: int
    notes: tuple[str, ...] = ()

    @classmethod
    def open(cls, folder: str | Path) -> Session:
        """Open a session folder; SessionError if it is not one, is damaged, contains links or has bad names of views.

        Temporary files of killed runs are removed from it.
        """
        folder = Path(folder)
        held = read_session_file(folder / "session.yaml")
        views = tuple(ViewSource(**view) for view in held.views)
        refuse_links(folder, [view.path for view in views])
        remove_leftovers(folder)
        return cls(folder, views, held.rate_hz, held.frames, held.notes)

    @classmethod
    def of(cls, session: str | Path | Session) -> Session:
        """Return a session as it is, or open the folder of one."""
        return session if isinstance(session, cls) else cls.open(cast("str | Path", session))

    @classmethod
    def create(
        cls,
        rig: str | Path | Rig,
        folder: str | Path,
        *,
        frames: int,
        rate_hz: float,
        rig_unit: str | None = None,
        size: tuple[int, int] | None = None,
        start: float | str | None = None,
        stop: float | str | None = None,
    ) -> Session:
        """Make a session without footage, for detections that come from files: one view for every camera of the rig.

        rig: a calibration file or a Rig; rig_unit, size: unit, and picture size (w, h) px, of a file that names none; a
        size that differs from that in the file is refused. frames: length of the take; start, stop: the part of it that
        is wanted, as ``init`` takes it. The same session is returned if it exists. Raises InputError for less than one
        frame, SessionError if the folder is in use.
        """
        if frames < 1:
            raise InputError(f"a session needs at least one frame, not {frames}")
        rate_hz = check_rate(rate_hz)
        check_length(frames, "a session without footage")
        loaded = rig if isinstance(rig, Rig) else load_rig(Path(rig), unit=rig_unit, size=size)
        if size is not None and (other := next((one for one in loaded if one.size != tuple(size)), None)):
            raise InputError(
                f"{loaded.source or 'the rig'}: camera {other.name!r} has pictures of {other.size[0]}x{other.size[1]}, "
                f"not the size given, {size[0]}x{size[1]}; leave the size out"
            )
        first, last = part_of(start, stop, rate_hz, frames)
        whole = (first, last) == (0, frames)
        identity = f"none:{frames}" if whole else f"none:{frames}:{first}:{last}"
        views = tuple(ViewSource(camera.name, "", camera.size, identity) for camera in loaded)
        frame_of = np.tile(np.arange(first, last)[:, None], (1, len(views)))
        notes = () if whole else (f"frames {first} to {last - 1} of {frames}; frame {first} is frame 0 of the session",)
        count = np.full(len(views), frames)
        timeline = Timeline(rate_hz, frame_of, frame_of / rate_hz, frame_of, count, first)
        return cls(Path(folder), views, rate_hz, last - first, notes).keep(loaded, timeline)

    def keep(self, rig: Rig, timeline: Timeline) -> Session:
        """Write the session and return it, or return the existing one if its footage and rig are the same.

        SessionError if the folder holds a different session: it is never overwritten.
        """
        check_names(self.names, self.folder)
        if not (self.folder / "session.yaml").exists():
            if self.folder.exists() and not self.folder.is_dir():
                raise SessionError(f"{self.folder} is a file; choose a new folder for the session")
            self.save(rig, timeline)
            return self
        there = Session.open(self.folder)
        same = there.views == self.views and _same_rig(there.given_rig, rig)
        if same and not math.isclose(there.rate_hz, self.rate_hz, rel_tol=1e-5):
            raise SessionError(
                f"{self.folder} holds a session of this footage at {there.rate_hz:.6g} Hz, not {self.rate_hz:.6g} Hz; "
                "give another --session, or delete it first"
            )
        if same and not np.array_equal(there.frame_of, timeline.frame_of):
            raise SessionError(
                f"{self.folder} holds a session of this footage with other frames ({there.frames}, here {self.frames}; "
                "another --from, --to or --trim); give another --session, or delete it first"
            )
        if not same:
            raise SessionError(
                f"{self.folder} holds a session of other footage or another rig; choose another folder, or delete it "
                "first"
            )
        return there

    def save(self, rig: Rig, timeline: Timeline) -> None:
        """Write a new session; session.yaml is last."""
        import yaml

        views = [
            {"name": v.name, "path": v.path, "size": list(v.size), "identity": v.identity}
            | ({"camera": v.camera} if v.camera else {})
            for v in self.views
        ]
        held = {"views": views, "rate_hz": self.rate_hz, "frames": self.frames, "notes": list(self.notes)}
        with self._atomic():
            self.folder.mkdir(parents=True, exist_ok=True)
            save_rig(rig, self.folder / "rig.yaml")
            write_npz(self.folder / "timeline.npz", timeline.arrays())
            write_text(self.folder / "session.yaml", yaml.safe_dump(held, sort_keys=False))

    @contextmanager
    def _atomic(self) -> Iterator[None]:
        """Remove the written files if a later one cannot be written; SessionError gives the reason."""
        new = not self.folder.exists()
        try:
            yield
        except (OSError, RigFileError, SessionError) as fault:
            with suppress(OSError):
                for name in ("rig.yaml", "timeline.npz"):
                    (self.folder / name).unlink(missing_ok=True)
                if new:
                    self.folder.rmdir()
            if isinstance(fault, SessionError):
                raise
            why = (fault.strerror if isinstance(fault, OSError) else None) or fault
            todo = remedy(fault, "give a writable folder with --session")
            raise SessionError(f"{self.folder}: the session cannot be written ({why}); {todo}") from fault

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the views, in order."""
        return tuple(view.name for view in self.views)

    @cached_property
    def rig(self) -> Rig:
        """The cameras, in the order of the views."""
        rig = load_rig(self.folder / "rig.yaml")
        if rig.names != self.names:
            raise SessionError(
                f"{self.folder / 'rig.yaml'}: its cameras ({', '.join(rig.names)}) are not the views of the session "
                f"({', '.join(self.names)}); make a new session with `mvcap init`"
            )
        return rig

    @property
    def given_rig(self) -> Rig:
        """The cameras in the world in which they were given, where that of one view was levelled by its people."""
        path = self.folder / GIVEN_RIG
        return load_rig(path) if path.exists() else self.rig

    @cached_property
    def frame_of(self) -> NDArray[np.int32]:
        """(T, C) footage frame of each view at each frame of the session; -1 = dropped."""
        return self._timeline["frame_of"]

    @cached_property
    def time_s(self) -> NDArray[np.float64]:
        """(T, C) timestamp of the footage of each view at each frame of the session, s; NaN = dropped."""
        return self._timeline["time_s"]

    @property
    def number_of(self) -> NDArray[np.int64]:
        """(T, C) number of each view's image as files of its detections count, from its first image; -1 = dropped."""
        return self._timeline.get("number_of", self.frame_of)

    @property
    def number_count(self) -> NDArray[np.int64]:
        """(C,) how many numbers each view's footage has, from its first image to its last."""
        return self._timeline.get("number_count", np.full(len(self.views), self.frames))

    @property
    def first(self) -> int:
        """Frame of the whole take that is frame 0 of the session."""
        return int(self._timeline.get("first", 0))

    @cached_property
    def _timeline(self) -> dict[str, NDArray[Any]]:
        path = self.folder / "timeline.npz"
        shape = (self.frames, len(self.views))
        try:
            found = bounded_arrays(path, ARRAYS)
            if (held := len(np.atleast_1d(found["frame_of"]))) != self.frames:
                raise SessionError(
                    f"{self.folder}: session.yaml has {self.frames} frames, timeline.npz {held}: the file was changed; "
                    "put the right number back"
                )
            for name, kind in (("frame_of", "i"), ("time_s", "f"), ("number_of", "i")):
                if name != "number_of" or name in found:
                    check_array(name, found[name], shape, kind)
            return found
        except KeyError as fault:
            raise SessionError(f"{path} has no {fault}; make a new session with `mvcap init`") from fault
        except (OSError, ValueError) as fault:
            raise SessionError(
                f"{path} cannot be read ({reason_of(fault)}); make a new session with `mvcap init`"
            ) from fault

    @cached_property
    def identity(self) -> str:
        """Identity of the take: sha256 of the identities of all views' footage and of the timeline."""
        digest = hashlib.sha256()
        for view in self.views:
            digest.update(f"{view.name}:{view.identity};".encode())
        digest.update(self.frame_of.tobytes())
        return digest.hexdigest()

    @cached_property
    def offsets(self) -> ViewOffsets | None:
        """By how much each view is late, as ``mvcap sync`` found it; None: all views count as synchronous."""
        return read_view_offsets(self.folder, self.names, self.identity)

    @cached_property
    def shown_of(self) -> NDArray[np.int32]:
        """(T, C) footage frame of each view nearest to each common time: ``frame_of``, or moved by ``offsets``."""
        if self.offsets is None:
            return self.frame_of
        own = self.offsets.nearest(self.frames, self.rate_hz)
        return np.where(own >= 0, np.take_along_axis(self.frame_of, np.maximum(own, 0), 0), -1).astype(np.int32)

    @cached_property
    def rig_identity(self) -> str:
        """Sha256 of the rig file."""
        path = self.folder / "rig.yaml"
        try:
            return hashlib.sha256(bounded_bytes(path)).hexdigest()
        except (OSError, ValueError) as fault:
            raise SessionError(f"{path} cannot be read ({reason_of(fault)}); make it readable") from fault

    @property
    def overrides(self) -> dict[str, Any]:
        """Settings that differ from the defaults.

        PluginError if they name a plug-in that is not of mvcap and that nobody allowed in this process.
        """
        return self.overridden({})

    def overridden(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the session's settings with changes, which are not saved; PluginError as of ``overrides``.

        The plug-ins that the changes name are allowed from now on, as the user of this process names them.
        """
        config.allow_plugins(*config.foreign_plugins(changes))
        return config.allowed_overrides(config.merge(self._stored_overrides(), changes), self._config_file)

    @property
    def _config_file(self) -> Path:
        return self.folder / "config.yaml"

    def _stored_overrides(self) -> dict[str, Any]:
        return config.read(self._config_file) if self._config_file.exists() else {}

    def override(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Save changed settings in the session, for all later verbs; return the previous settings."""
        before = self._stored_overrides()
        if changes:
            self.keep_overrides(self.overridden(changes))
        return before

    def keep_overrides(self, whole: Mapping[str, Any]) -> None:
        """Save these settings in the session, replacing all previous ones."""
        import yaml

        write_text(self.folder / "config.yaml", yaml.safe_dump(dict(whole), sort_keys=True))

    def settings(self, section: str, kind: type[config.D]) -> config.D:
        """Return the settings of one verb; ConfigError if they are not valid."""
        values = self.overrides.get(section, {})
        if not isinstance(values, Mapping):
            raise ConfigError(f"config key {section!r} must be a section of keys, not {values!r}")
        return config.build(kind, values, section)

    def artefact(self, name: str, kind: type[T]) -> Artefact[T]:
        """Return the artefact of the stage of that name, which may not exist yet."""
        return Artefact(self.folder / "artefacts" / name, kind)

    def has_footage(self) -> bool:
        """Return whether the session has images, or only detections from files."""
        return all(view.path for view in self.views)

    def images(
        self, view: int, start: int = 0, stop: int | None = None, every: int = 1, recorded: bool = False
    ) -> Iterator[tuple[int, Image | None]]:
        """Stream (frame, RGB image) of a view; the image is None if the view dropped the frame.

        every: leave out the frames whose number it does not divide. recorded: frames of the view's own clock, as the
        detections of ``estimate`` are, not those nearest to the common times. Raises StaleError if the footage has
        changed since the session was made.
        """
        stop = self.frames if stop is None else min(stop, self.frames)
        frames = range(-(-start // every) * every, stop, every)
        wanted = (self.frame_of if recorded else self.shown_of)[frames.start : stop : every, view]
        shown = wanted[wanted >= 0]
        numbers = None if every == 1 else frozenset(shown.tolist())
        images = self.footage(view).read(int(shown[0]), int(shown[-1]) + 1, numbers) if len(shown) else iter(())
        number, image = next(images, (-1, None))
        for frame, want in zip(frames, wanted, strict=True):
            while image is not None and number < want:
                number, image = next(images, (-1, None))
            yield frame, image if want >= 0 and number == want else None

    def footage(self, view: int) -> Footage:
        """Return the footage of a view; StaleError if it is not the footage that the session was made of."""
        source = self.views[view]
        path = Path(source.path)
        if not source.path:
            raise InputError(f"view {source.name!r} has no images, only detections from files")
        if not path.exists():
            raise InputError(
                f"{path}: the footage of view {source.name!r} is missing; restore it, or run `mvcap init` again"
            )
        files = None
        if source.camera:
            cameras = [view.camera for view in self.views if view.path == source.path]
            files = split_by_camera(images_in(path), cameras).get(source.camera, [])
        footage = _video(path, _stamp(path)) if path.is_file() else Footage.probe(path, self.rate_hz, files)
        if footage.identity() != source.identity:
            raise StaleError(f"{path}: changed since the session was made; run `mvcap init` with another folder")
        return footage


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=64)
def _video(path: Path, stamp: tuple[int, int]) -> Footage:
    """Return the facts of a video, once a process: the last part of it is decoded for them."""
    return Footage.probe(path)


def _same_rig(a: Rig, b: Rig) -> bool:
    close = a.names == b.names and np.allclose(a.P, b.P, rtol=1e-12)
    return close and all(np.array_equal(x.lens.distortion, y.lens.distortion) for x, y in zip(a, b, strict=True))
