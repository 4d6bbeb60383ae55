"""A session: one take in one folder. Its views on one clock, its rig, its settings, and what the stages made of it.

session.yaml     the views, where their footage is, and its identity
rig.yaml         the cameras, in the order of the views, fitted to the images
timeline.npz     which frame of each view is shown at each tick of the session's clock
config.yaml      the settings that differ from the defaults
artefacts/NAME   what each stage made, in chunks of frames
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

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
    """One view of a session: its name, which is its camera's too, and its footage."""

    name: str
    path: str
    """Video file or image folder; empty for a view of which only detections exist."""
    size: tuple[int, int]
    """w, h in px."""
    identity: str


@dataclass(frozen=True)
class Session:
    """A take on disk. Frames are streamed; nothing holds a take in memory."""

    folder: Path
    views: tuple[ViewSource, ...]
    rate_hz: float
    frames: int
    notes: tuple[str, ...] = ()

    @classmethod
    def open(cls, folder: str | Path) -> Session:
        """Open a session's folder; SessionError where there is none."""
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
            raise SessionError(f"{path} is damaged ({why}); make the session anew with `mvcap init`") from fault

    def save(self, rig: Rig, frame_of: NDArray[np.int64], time_s: NDArray[np.float64]) -> None:
        """Write a new session: frame_of (T, C) footage frame or -1, time_s (T, C) s or NaN. session.yaml comes last."""
        import yaml

        views = [{"name": v.name, "path": v.path, "size": list(v.size), "identity": v.identity} for v in self.views]
        held = {"views": views, "rate_hz": self.rate_hz, "frames": self.frames, "notes": list(self.notes)}
        with self._whole_or_not_at_all():
            self.folder.mkdir(parents=True, exist_ok=True)
            save_rig(rig, self.folder / "rig.yaml")
            write_npz(self.folder / "timeline.npz", {"frame_of": frame_of.astype(np.int32), "time_s": time_s})
            write_text(self.folder / "session.yaml", yaml.safe_dump(held, sort_keys=False))

    @contextmanager
    def _whole_or_not_at_all(self) -> Iterator[None]:
        """Take back what was written where the rest cannot be; SessionError says why."""
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
                f"{self.folder}: the session cannot be written ({why}); free some space or give a folder that you may "
                "write with --session"
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
        """(T, C) frame of each view's footage at each tick; -1 = dropped."""
        return self._timeline["frame_of"]

    @cached_property
    def time_s(self) -> NDArray[np.float64]:
        """(T, C) the container's time of each view at each tick, s; NaN = dropped."""
        return self._timeline["time_s"]

    @cached_property
    def _timeline(self) -> dict[str, NDArray[Any]]:
        path = self.folder / "timeline.npz"
        try:
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in ("frame_of", "time_s")}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as fault:
            raise SessionError(f"{path} cannot be read ({fault}); make the session anew with `mvcap init`") from fault

    @cached_property
    def identity(self) -> str:
        """What the take is: the footage of all views, its timeline and the rig's file."""
        digest = hashlib.sha256()
        for view in self.views:
            digest.update(f"{view.name}:{view.identity};".encode())
        digest.update(self.frame_of.tobytes())
        return digest.hexdigest()

    @cached_property
    def rig_identity(self) -> str:
        """Sha256 of the rig's file."""
        return hashlib.sha256((self.folder / "rig.yaml").read_bytes()).hexdigest()

    @property
    def overrides(self) -> dict[str, Any]:
        """Settings that differ from the defaults."""
        path = self.folder / "config.yaml"
        return config.read(path) if path.exists() else {}

    def override(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Keep changed settings with the session, for every later verb; return the ones that held before."""
        before = self.overrides
        if changes:
            self.keep_overrides(config.merge(before, changes))
        return before

    def keep_overrides(self, whole: Mapping[str, Any]) -> None:
        """Keep these settings, and no others, with the session."""
        import yaml

        write_text(self.folder / "config.yaml", yaml.safe_dump(dict(whole), sort_keys=True))

    def settings(self, section: str, kind: type[config.D]) -> config.D:
        """Return the settings of one verb."""
        values = self.overrides.get(section, {})
        if not isinstance(values, Mapping):
            raise ConfigError(f"config key {section!r} holds keys of its own, not {values!r}")
        return config.build(kind, values, section)

    def artefact(self, name: str, kind: type[T]) -> Artefact[T]:
        """What the stage of that name made, or the place for it."""
        return Artefact(self.folder / "artefacts" / name, kind)

    def has_footage(self) -> bool:
        """Whether there are pictures, or only detections made elsewhere."""
        return all(view.path for view in self.views)

    def images(self, view: int, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Image | None]]:
        """Stream (frame, RGB picture) of a view; the picture is None where the view dropped the frame.

        Raises StaleError where the footage has changed since the session was made.
        """
        stop = self.frames if stop is None else min(stop, self.frames)
        wanted = self.frame_of[start:stop, view]
        shown = wanted[wanted >= 0]
        pictures = self.footage(view).read(int(shown[0]), int(shown[-1]) + 1) if len(shown) else iter(())
        number, picture = next(pictures, (-1, None))
        for frame, want in enumerate(wanted, start):
            while picture is not None and number < want:
                number, picture = next(pictures, (-1, None))
            yield frame, picture if want >= 0 and number == want else None

    def footage(self, view: int) -> Footage:
        """Footage of a view, checked to be the one the session was made of."""
        source = self.views[view]
        path = Path(source.path)
        if not source.path:
            raise InputError(f"view {source.name!r} has no pictures, only detections made elsewhere")
        if not path.exists():
            raise InputError(
                f"{path}: the footage of view {source.name!r} is gone; put it back, or run `mvcap init` anew"
            )
        footage = Footage.probe(path, rate_hz=self.rate_hz)
        if footage.identity() != source.identity:
            raise StaleError(f"{path}: changed since the session was made; run `mvcap init` anew in another folder")
        return footage
