"""`mvcap sync` against truth: generated people and generated sound whose offsets are known, and unrelated ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from benches.section import Options, Row, Section, say

MEASURED = (
    "people: generated takes of 10 s by 4 cameras at 30 Hz, late by 0, 7, -13.4 and 21.7 frames, clocks off by up to "
    "50 ppm, joints with errors that last for half a second, cameras turned by 0.06 degrees; unrelated: each view of "
    "another take, so that every answer is wrong; sound: 35 s, echo of -10 dB, noise, up to 50 ppm; wrong: by "
    "more than a frame, or an answer to unrelated ones; sigma: rms of error over the stated standard deviation"
)
_KINDS = ("walk", "run", "jump", "two")
_RATE_HZ, _FRAMES = 30.0, 300


def offsets(options: Options) -> Section:
    """People by kind of motion, then sound."""
    section = Section("offsets of unsynchronised views", MEASURED)
    takes = 1 if options.quick else 13
    for kind in _KINDS:
        say(f"offsets, people: {kind}")
        section.add("people", _people(kind, takes))
        section.add("people", _unrelated(kind, takes))
    say("offsets, sound")
    section.add("sound", _sound(2 if options.quick else 50))
    section.add("sound", _strange_sound(2 if options.quick else 50))
    return section


def _people(kind: str, takes: int) -> Row:
    from unsynchronised_take import LATE, unsynchronised

    worst, ratios, refused = [], [], 0
    for seed in range(takes):
        rows, rig, _ = unsynchronised(kind, 1000 + seed, _FRAMES)
        found = _found(rows, rig)
        if found.refused:
            refused += 1
            continue
        away = np.abs((found.late_s - found.late_s[0]) * _RATE_HZ - np.array(LATE))[1:]
        covariance = found.covariance[:4, :4]
        sigma = np.sqrt(np.diag(covariance) + covariance[0, 0] - 2 * covariance[0])[1:] * _RATE_HZ
        worst.append(float(away.max()))
        ratios += (away / sigma).tolist()
    wrong = sum(one > 1 for one in worst)
    return _row(kind, takes, refused, wrong, max(worst, default=np.nan), ratios)


def _unrelated(kind: str, takes: int) -> Row:
    from unsynchronised_take import unsynchronised

    refused = 0
    for seed in range(takes):
        made = [unsynchronised(kind, 5000 + 10 * seed + view, _FRAMES) for view in range(4)]
        parts = [rows.of(view=view) for view, (rows, _, _) in enumerate(made)]
        joined = type(parts[0]).concatenate(parts, parts[0].skeleton)
        found = _found(joined[np.argsort(joined.frame, kind="stable")], made[0][1])
        refused += int(not np.isfinite(found.late_s).any())
    return _row(f"{kind}, unrelated", takes, refused, takes - refused, np.nan, [])


def _found(rows: Any, rig: Any) -> Any:
    from mvcap.structures.row_source import RowsInMemory
    from mvcap.structures.sync_evidence import UnsynchronisedTake
    from mvcap.synchronisers.motion import MotionSynchroniser

    names, seconds = tuple(camera.name for camera in rig), _FRAMES / _RATE_HZ
    source = RowsInMemory(rows, _FRAMES, _FRAMES)
    take = UnsynchronisedTake(names, (None,) * 4, np.zeros(4), seconds, _RATE_HZ, _FRAMES, rig, source)
    return MotionSynchroniser().find(take)


def _sound(pairs: int) -> Row:
    from generated_sound import RATE_HZ, heard, sound

    from mvcap.synchronisation.sound_offset import audio_offset

    rng = np.random.default_rng(0)
    worst, ratios, refused = [], [], 0
    for seed in range(pairs):
        whole, begin_s, drift = sound(50, seed), rng.uniform(0.5, 8), rng.uniform(-5e-5, 5e-5)
        found = audio_offset(heard(whole, 4.0, 35, seed=seed), heard(whole, begin_s, 35, drift, seed + 500), RATE_HZ)
        if found.reason:
            refused += 1
            continue
        away = abs(found.offset_s - (4.0 - begin_s + found.middle_s) * (1 + drift) + found.middle_s)
        worst.append(1e3 * away)
        ratios.append(away / found.offset_sigma_s)
    return _row("sound, error in ms", pairs, refused, sum(one > 1 for one in worst), max(worst, default=np.nan), ratios)


def _strange_sound(pairs: int) -> Row:
    from generated_sound import RATE_HZ, sound

    from mvcap.synchronisation.sound_offset import audio_offset

    made = [audio_offset(sound(35, 2000 + seed), sound(35, 3000 + seed), RATE_HZ) for seed in range(pairs)]
    refused = sum(bool(one.reason) for one in made)
    return _row("sound, unrelated", pairs, refused, pairs - refused, np.nan, [])


def _row(what: str, takes: int, refused: int, wrong: int, worst: float, ratios: list[float]) -> Row:
    sigma = float(np.sqrt(np.mean(np.square(ratios)))) if ratios else np.nan
    return {"what": what, "takes": takes, "refused": refused, "wrong": wrong, "largest error": worst, "sigma": sigma}
