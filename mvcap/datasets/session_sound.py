"""What the cameras of a synthetic session hear, in blocks, so that a long session needs no more memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mvcap.datasets.session_stage import MARGIN_S, Stage
from mvcap.progress import Progress
from mvcap.rendering.room_sound import Floats, SoundSource, Window, clap, heard_at, played, talk
from mvcap.structures.skeleton import skeleton
from mvcap.structures.sound_track import write_wav

_RATE_HZ = 48000
_BLOCK = 10 * _RATE_HZ
_LOUDEST = 0.7
_TALK, _CLAP = 0.1, 4.0
_HALPE = skeleton("halpe26")


def record_sound(stage: Stage, folder: Path, progress: Progress) -> None:
    """Write ``sound/NAME.wav`` of every camera: people talk, one claps. What is there is kept."""
    sources = sound_sources(stage)
    count = round(stage.frames / stage.config.rate_hz * _RATE_HZ)
    for view, camera in enumerate(stage.rig):
        progress("sound", view, len(stage.rig))
        path = folder / "sound" / f"{camera.name}.wav"
        if path.exists():
            continue
        seed = (stage.config.seed, 23, view)
        window = heard_at(camera.position, sources, stage.room.low, stage.room.high, _RATE_HZ, seed)
        first = round(stage.begins_s[view] * _RATE_HZ)
        loudest = max(float(np.abs(block).max()) for block in _blocks(window, first, count))
        gain = _LOUDEST / max(loudest, 1e-9)
        write_wav(path, (gain * block for block in _blocks(window, first, count)), _RATE_HZ)
    progress("sound", len(stage.rig), len(stage.rig))


def _blocks(window: Window, first: int, count: int) -> Iterator[Floats]:
    for begin in range(0, count, _BLOCK):
        yield window(first + begin, first + min(begin + _BLOCK, count))


def sound_sources(stage: Stage) -> list[SoundSource]:
    """Return the hands that clap once, and the mouth of each person."""
    at = clap_time(stage)
    wrists = [_HALPE.joints.index(f"{side}_wrist") for side in ("left", "right")]
    place = stage.people.bodies[0][0].joints(MARGIN_S + at)[wrists].mean(0)
    hands = _CLAP * clap(_RATE_HZ, np.random.default_rng([stage.config.seed, 23]))
    sources = [SoundSource(place, played(hands, round(at * _RATE_HZ)))]
    for person, (body, _) in enumerate(stage.people.bodies):
        place = body.joints(MARGIN_S + 0.5 * stage.seconds)[_HALPE.joints.index("nose")]
        sources.append(SoundSource(place, _quieter(talk(_RATE_HZ, (stage.config.seed, 23, 1, person)))))
    return sources


def _quieter(sound: Window) -> Window:
    return lambda first, stop: _TALK * sound(first, stop)


def clap_time(stage: Stage) -> float:
    """Common time s of the clap, which the picture does not show: where all cameras record."""
    middle = (stage.config.unsynchronised_s + 0.5 * stage.frames / stage.config.rate_hz) * 0.999
    return float(min(middle, 0.9 * stage.seconds))
