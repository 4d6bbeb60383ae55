"""Footage of a synthetic session in chunks of frames, each renamed into place: what is there is not made again.

A video is coded in segments of a chunk, which are joined at the end without coding them anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calib import Camera, Rig
from calib.boards import Board, board_from
from calib.bounded_arrays import bounded_arrays
from mvcap.datasets.resumed_folder import PIECES
from mvcap.datasets.session_stage import Stage
from mvcap.progress import Progress
from mvcap.rendering.board_path import board_path
from mvcap.rendering.event_camera import EventCamera
from mvcap.rendering.moving_meshes import MovingMesh, carried_board
from mvcap.rendering.pixel_files import write_depth, write_pixels
from mvcap.rendering.view_renderer import Shutter, ViewRenderer
from mvcap.structures.npz import write_npz, write_text
from mvcap.structures.sound_track import join_videos
from mvcap.structures.video_writer import write_video
from mvcap.synthesis.random_rigs import shared_volume

CHUNK_FRAMES = 32
"""Frames of a segment: what an interruption loses at most."""
_BOARD_SAMPLES = 16  # corners are found to a tenth of a pixel, which four rays would not show
Picture = NDArray[np.uint8]


def film(stage: Stage, view: int, folder: Path, progress: Progress) -> None:
    """Write ``videos/NAME.mp4`` of a view, with the sound of ``sound/NAME.wav`` if that is there, and what was asked:
    depth, pixels, events.
    """
    camera, config = stage.rig[view], stage.config
    renderer = ViewRenderer(stage.room, stage.people, camera)
    sound = folder / "sound" / f"{camera.name}.wav"
    told = f"render {camera.name}"

    def pictures(frames: range) -> Iterator[Picture]:
        gain = config.sensor.gain(renderer.empty_light())
        for frame in frames:
            yield _picture(stage, renderer, view, frame, gain, folder)
            progress(told, frame + 1, stage.frames)

    progress(told, 0, stage.frames)
    target, pieces = folder / "videos" / f"{camera.name}.mp4", folder / PIECES
    heard = sound if config.sound else None
    _film_in_segments(target, pieces, stage.frames, pictures, config.rate_hz, config.crf, camera, heard)
    progress(told, stage.frames, stage.frames)
    if config.events_hz > 0:
        _film_events(stage, renderer, view, folder, progress)


def _film_in_segments(
    target: Path, pieces: Path, frames: int, pictures: Callable[[range], Iterator[Picture]], rate_hz: float, crf: int,
    camera: Camera, sound: Path | None = None,
) -> None:  # fmt: skip
    """Write a video segment by segment, leaving out those that are there, and join them."""
    if target.exists():
        return
    place = pieces / target.parent.name / target.stem
    place.mkdir(parents=True, exist_ok=True)
    parts = []
    for first in range(0, frames, CHUNK_FRAMES):
        parts.append(place / f"{first:07d}.mp4")
        if not parts[-1].exists():
            chunk = range(first, min(first + CHUNK_FRAMES, frames))
            write_video(parts[-1], pictures(chunk), rate_hz, camera.size, crf)
    join_videos(target, parts, sound)
    for part in parts:
        part.unlink()


def _picture(stage: Stage, renderer: ViewRenderer, view: int, frame: int, gain: float, folder: Path) -> Picture:
    """A frame of a view; its truth of pixels is written beside it."""
    config, name, time_s = stage.config, renderer.camera.name, stage.time_of(frame, view)
    light = renderer.light(time_s, config.shutter)
    if config.depth or config.pixels:
        truth = renderer.truth(time_s, time_s + 1 / config.rate_hz, config.shutter)
        if config.depth:
            write_depth(folder / "depth" / name / f"{frame:06d}.png", truth.depth)
        if config.pixels:
            write_pixels(folder / "pixels" / name / f"{frame:06d}.npz", truth)
    return config.sensor.picture(light, gain, np.random.default_rng([config.seed, view, frame]))


def _film_events(stage: Stage, renderer: ViewRenderer, view: int, folder: Path, progress: Progress) -> None:
    """Write the events of one view, one file for each frame: those since the frame before. Times are of the view's own
    clock, from its first frame on.
    """
    config, name = stage.config, renderer.camera.name
    camera = EventCamera(seed=config.seed * 1000 + view)
    kept = folder / PIECES / "events" / f"{name}.npz"  # the camera's memory after a chunk
    first = camera.remember(bounded_arrays(kept)) if kept.exists() else 0
    progress(f"events {name}", first, stage.frames)
    steps = max(round(config.events_hz / config.rate_hz), 1)
    gain = config.sensor.gain(renderer.empty_light()) if first < stage.frames else 1.0
    for frame in range(first, stage.frames):
        found = []
        for step in range(1, steps + 1) if frame else (steps,):
            own_s = (frame + step / steps - 1) / config.rate_hz
            time_s = stage.time_of(0, view) + own_s
            light = renderer.light(time_s, Shutter(0.0)) * np.float32(gain)
            found.append(camera.feed(light, own_s, renderer.truth(time_s, time_s, Shutter(0.0))).arrays())
        whole = {key: np.concatenate([one[key] for one in found]) for key in found[0]}
        write_npz(folder / "events" / name / f"{frame:06d}.npz", whole)
        if (frame + 1) % CHUNK_FRAMES == 0 or frame + 1 == stage.frames:
            write_npz(kept, camera.memory(frame + 1))
        progress(f"events {name}", frame + 1, stage.frames)


def film_board(stage: Stage, folder: Path, progress: Progress) -> None:
    """Write videos of a board that is carried through the volume, and what it is, for ``mvcap calibrate``.

    It is filmed before the furniture comes into the room.
    """
    config = stage.config
    board = board_from(config.board)
    moving = _board_in(stage.rig, board, config.seed)
    frames = max(round(config.board_s * config.board_rate_hz), 1)
    write_text(folder / "board" / "board.txt", board.spec + "\n")
    for view, camera in enumerate(stage.rig):
        renderer = ViewRenderer(stage.bare, moving, camera, samples=_BOARD_SAMPLES)

        def pictures(chunk: range, view: int = view, renderer: ViewRenderer = renderer) -> Iterator[Picture]:
            gain = config.sensor.gain(renderer.empty_light())
            for frame in chunk:
                light = renderer.light(frame / config.board_rate_hz, config.shutter)
                yield config.sensor.picture(light, gain, np.random.default_rng([config.seed, view, frame, 1]))
                progress(f"board {renderer.camera.name}", frame + 1, frames)

        target = folder / "board" / f"{camera.name}.mp4"
        _film_in_segments(target, folder / PIECES, frames, pictures, config.board_rate_hz, config.crf, camera)
        progress(f"board {camera.name}", frames, frames)


def _board_in(rig: Rig, board: Board, seed: int) -> MovingMesh:
    centre, radius = shared_volume(rig)
    wide = float(np.clip(1.2 * radius, 1.0, 3.0))
    return carried_board(board, board_path(board, np.array([*centre, 1.15]), np.array([wide, wide, 0.9]), seed))
