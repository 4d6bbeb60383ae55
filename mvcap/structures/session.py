"""A session: one take in one folder, with its synchronised views, its rig, its settings and the results of the stages.

session.yaml     the views, the paths of their footage, and its identity
rig.yaml         the cameras, in the order of the views, fitted to the images
timeline.npz     the footage frame of each view at each frame of the session
config.yaml      the settings that differ from the defaults
artefacts/NAME   the result of each stage, in chunks of frames
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from calib import Rig, RigFileError, load_rig, save_rig
from calib.arrays import Image
from mvcap import config
from mvcap.errors import ConfigError, InputError, SessionError, StaleError
from mvcap.structures.artefact import Artefact
from mvcap.structures.footage import Footage
from mvcap.structures.npz import write_npz, write_text
from mvcap.structures.table import Table

T = TypeVar("T", bound=Table)


@dataclass(frozen=True)
class ViewSource:
    """One view of a session: its footage, and its name, which is also that of its camera."""

    name: str
    path: str
    """Video file or image folder; empty for a view with detections only."""
    size: tuple[int, int]
    """Width and height, px."""
    identity: str


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
        """Open a session folder; SessionError if it is not one or is damaged."""
        import yaml

        folder = Path(folder)
        path = folder / "session.yaml"
        try:
            held = yaml.safe_load(path.read_text(encoding="utf-8"))
            views = tuple(ViewSource(v["name"], v["path"], tuple(v["size"]), v["identity"]) for v in held["views"])
            return cls(folder, views, float(held["rate_hz"]), int(held["frames"]), tuple(held["notes"]))
        except FileNotFoundError as fault:
            raise SessionError(f"{folder} is not a session (no session.yaml); make one with `mvcap init`") from fault
        except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as fault:
            why = " ".join(str(fault).split())
            raise SessionError(f"{path} is damaged ({why}); make a new session with `mvcap init`") from fault

    @classmethod
    def of(cls, session: str | Path | Session) -> Session:
        """Return a session as it is, or open the folder of one."""
        return session if isinstance(session, cls) else cls.open(cast("str | Path", session))

    @classmethod
    def create(
        cls, rig: str | Path | Rig, folder: str | Path, *, frames: int, rate_hz: float, rig_unit: str | None = None
    ) -> Session:
        """Make a session without footage, for detections that come from files: one view for every camera of the rig.

        rig: a calibration file or a Rig; rig_unit: unit of a file that names none. The same session is returned if it
        exists. Raises InputError for less than two cameras or one frame, SessionError if the folder is in use.
        """
        if frames < 1 or not rate_hz > 0:
            raise InputError(
                f"a session needs at least one frame and a rate above 0; got {frames} frames at {rate_hz} Hz"
            )
        loaded = rig if isinstance(rig, Rig) else load_rig(Path(rig), unit=rig_unit)
        if len(loaded) < 2:
            raise InputError(f"{loaded.source or 'the rig'}: one camera only; 3D needs two or more")
        views = tuple(ViewSource(camera.name, "", camera.size, f"none:{frames}") for camera in loaded)
        frame_of = np.tile(np.arange(frames)[:, None], (1, len(views)))
        return cls(Path(folder), views, rate_hz, frames).keep(loaded, frame_of, frame_of / rate_hz)

    def keep(self, rig: Rig, frame_of: NDArray[np.int64], time_s: NDArray[np.float64]) -> Session:
        """Write the session and return it, or return the existing one if its footage and rig are the same.

        SessionError if the folder holds a different session: it is never overwritten.
        """
        if not (self.folder / "session.yaml").exists():
            if self.folder.exists() and not self.folder.is_dir():
                raise SessionError(f"{self.folder} is a file; choose a new folder for the session")
            self.save(rig, frame_of, time_s)
            return self
        there = Session.open(self.folder)
        same = there.views == self.views and np.array_equal(there.frame_of, frame_of) and _same_rig(there.rig, rig)
        if not same:
            raise SessionError(
                f"{self.folder} holds a session of other footage or another rig; choose another folder, or delete it "
                "first"
            )
        return there

    def save(self, rig: Rig, frame_of: NDArray[np.int64], time_s: NDArray[np.float64]) -> None:
        """Write a new session: frame_of (T, C) footage frame or -1, time_s (T, C) s or NaN; session.yaml is last."""
        import yaml

        views = [{"name": v.name, "path": v.path, "size": list(v.size), "identity": v.identity} for v in self.views]
        held = {"views": views, "rate_hz": self.rate_hz, "frames": self.frames, "notes": list(self.notes)}
        with self._atomic():
            self.folder.mkdir(parents=True, exist_ok=True)
            save_rig(rig, self.folder / "rig.yaml")
            write_npz(self.folder / "timeline.npz", {"frame_of": frame_of.astype(np.int32), "time_s": time_s})
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
            raise SessionError(
                f"{self.folder}: the session cannot be written ({why}); free some space or give a writable folder with "
                "--session"
            ) from fault

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the views, in order."""
        return tuple(view.name for view in self.views)

    @cached_property
    def rig(self) -> Rig:
        """The cameras, in the order of the views."""
        return load_rig(self.folder / "rig.yaml")

    @cached_property
    def frame_of(self) -> NDArray[np.int32]:
        """(T, C) footage frame of each view at each frame of the session; -1 = dropped."""
        return self._timeline["frame_of"]

    @cached_property
    def time_s(self) -> NDArray[np.float64]:
        """(T, C) timestamp of the footage of each view at each frame of the session, s; NaN = dropped."""
        return self._timeline["time_s"]

    @cached_property
    def _timeline(self) -> dict[str, NDArray[Any]]:
        path = self.folder / "timeline.npz"
        try:
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in ("frame_of", "time_s")}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as fault:
            raise SessionError(f"{path} cannot be read ({fault}); make a new session with `mvcap init`") from fault

    @cached_property
    def identity(self) -> str:
        """Identity of the take: sha256 of the identities of all views' footage and of the timeline."""
        digest = hashlib.sha256()
        for view in self.views:
            digest.update(f"{view.name}:{view.identity};".encode())
        digest.update(self.frame_of.tobytes())
        return digest.hexdigest()

    @cached_property
    def rig_identity(self) -> str:
        """Sha256 of the rig file."""
        return hashlib.sha256((self.folder / "rig.yaml").read_bytes()).hexdigest()

    @property
    def overrides(self) -> dict[str, Any]:
        """Settings that differ from the defaults."""
        path = self.folder / "config.yaml"
        return config.read(path) if path.exists() else {}

    def override(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Save changed settings in the session, for all later verbs; return the previous settings."""
        before = self.overrides
        if changes:
            self.keep_overrides(config.merge(before, changes))
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

    def images(self, view: int, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Image | None]]:
        """Stream (frame, RGB image) of a view; the image is None if the view dropped the frame.

        Raises StaleError if the footage has changed since the session was made.
        """
        stop = self.frames if stop is None else min(stop, self.frames)
        wanted = self.frame_of[start:stop, view]
        shown = wanted[wanted >= 0]
        images = self.footage(view).read(int(shown[0]), int(shown[-1]) + 1) if len(shown) else iter(())
        number, image = next(images, (-1, None))
        for frame, want in enumerate(wanted, start):
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
        footage = Footage.probe(path, rate_hz=self.rate_hz)
        if footage.identity() != source.identity:
            raise StaleError(f"{path}: changed since the session was made; run `mvcap init` with another folder")
        return footage


def _same_rig(a: Rig, b: Rig) -> bool:
    close = a.names == b.names and np.allclose(a.P, b.P, rtol=1e-12)
    return close and all(np.array_equal(x.lens.distortion, y.lens.distortion) for x, y in zip(a, b, strict=True))
