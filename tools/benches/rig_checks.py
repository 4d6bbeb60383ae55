"""`rig check` with people as target: cameras turned by known angles, and untouched takes with late views and jumps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benches.section import Options, Row, Section, clock, say

MEASURED = (
    "generated takes of 1 to 3 people by 3 to 8 cameras at 12.5 to 30 Hz, 360 frames, detector errors of random kinds, "
    "calibrated within 0.03 degrees, associated with that rig; in 6 of 10 a view is late or early by up to a frame, "
    "in half somebody jumps, bodies are 0.65 to 1.15 times as large and lengths of the rig 0.9 to 1.1 times too long. "
    "named: the camera that turned and no other; angle: median error; in volume: displacement where people are; late: "
    "views late by 0.3 frames or more that are named, and views on time that are called late"
)
TURNS_DEG = (0.3, 0.5, 1.0, 2.0, 5.0)
_RATES_HZ, _FRAMES = (12.5, 15.0, 25.0, 30.0), 360


@dataclass(frozen=True)
class CheckedTake:
    """A take with a rig to check: associated rows, the camera that turned and since when, lags (C,), frames."""

    rig: Any
    rows: Any
    rate_hz: float
    view: int
    since: int
    late: Any


def rig_checks(options: Options) -> Section:
    """Turned cameras, then untouched takes."""
    section = Section("rig check: people as target", MEASURED)
    for degrees in TURNS_DEG:
        say(f"rig check, turns of {degrees:g} degrees")
        section.add("takes", check_takes(range(2 if options.quick else 60), degrees))
    say("rig check, untouched takes")
    section.add("takes", check_takes(range(1000, 1003 if options.quick else 1100), 0.0))
    return section


def check_takes(seeds: range, degrees: float) -> Row:
    """Figures of the checks of some takes, in which a camera turns before the take, in every third within it."""
    from calib.check import check
    from mvcap.calibration.people_observations import match_lost_views
    from mvcap.triangulation.joint_observations import joint_observations

    found, named, angles, moves, right, wrong, lagged = 0, 0, [], [], 0, 0, 0
    with clock() as timed:
        for seed in seeds:
            take = make_checked(seed, degrees)
            rows = match_lost_views(take.rows, take.rig)
            seen = joint_observations(rows[rows.person >= 0], take.rig, take.rate_hz, _FRAMES)
            out = check(take.rig, seen, alike=np.arange(len(seen.target)) % len(rows.skeleton))
            name = take.rig.names[take.view]
            mine = [change for change in out.changes if change.camera == name]
            found += bool(out.changes) or out.verdict == "wrong"
            named += out.moved == (name,)
            angles += [abs(change.rotation_deg - degrees) for change in mine[:1]]
            moves += [1000 * change.in_volume_m for change in mine[:1]]
            late = {view for view, lag in zip(take.rig.names, take.late, strict=True) if abs(lag) >= 0.3}
            lagged += len(late)
            right += len(late & {view.camera for view in out.late})
            wrong += len(
                {view.camera for view in out.late}
                - {v for v, lag in zip(take.rig.names, take.late, strict=True) if lag}
            )
    row: Row = {"turn deg": degrees, "takes": len(seeds), "found": found, "named": named if degrees else None}
    row |= {
        "angle deg": float(np.median(angles)) if angles else None,
        "in volume mm": float(np.median(moves)) if moves else None,
    }
    return row | {"late named": f"{right}/{lagged}", "late wrongly": wrong, "s a take": timed.wall_s / len(seeds)}


def make_checked(seed: int, degrees: float) -> CheckedTake:
    """The take of a seed, in which a camera is turned by so many degrees."""
    from calib import Rig
    from mvcap.associate import associate_rows
    from mvcap.structures.detections import Detections2D
    from mvcap.synthesis.detector_errors import OPENPOSE, OPENPOSE_WEAK, TOPDOWN
    from mvcap.synthesis.detector_simulator import simulate_detector
    from mvcap.synthesis.random_rigs import disturb_rig, random_rig

    rng = np.random.default_rng([seed, 13])
    rate_hz, people = float(rng.choice(_RATES_HZ)), int(rng.choice([1, 2, 3], p=[0.5, 0.3, 0.2]))
    rig = random_rig(rng, int(rng.choice([3, 4, 5, 6, 8], p=[0.15, 0.35, 0.25, 0.15, 0.1])))
    truth = _people(rng, rig, people, rate_hz)
    view, since = int(rng.integers(len(rig))), int(rng.uniform(0.3, 0.7) * _FRAMES) if degrees and seed % 3 == 2 else 0
    late = np.zeros(len(rig))
    if rng.random() < 0.6:
        late[int(rng.integers(len(rig)))] = rng.choice([-1, 1]) * rng.uniform(0.2, 1.0)
    model = (OPENPOSE, OPENPOSE_WEAK, TOPDOWN)[int(rng.choice(3, p=(0.5, 0.2, 0.3)))].randomised(rng)
    turned = Rig(tuple(_turned(one, degrees, rng) if row == view else one for row, one in enumerate(rig)))
    parts, noise = [], int(rng.integers(1 << 30))
    for lag in np.unique(late):
        for actual, low, high in ((rig, 0, since), (turned, since, _FRAMES)):
            if low < high:
                rows, _ = simulate_detector(model, _delayed(truth, lag), actual, np.random.default_rng(noise), rate_hz)
                parts.append(
                    rows[np.isin(rows.view, np.flatnonzero(late == lag)) & (rows.frame >= low) & (rows.frame < high)]
                )
    known = disturb_rig(rng, rig, 0.03, 0.001).scaled_world(rng.uniform(0.9, 1.1))
    rows = associate_rows(Detections2D.concatenate(parts, parts[0].skeleton), known, rate_hz=rate_hz)
    return CheckedTake(known, rows, rate_hz, view, since, late)


def _people(rng: Any, rig: Any, people: int, rate_hz: float) -> Any:
    """People in the middle of what the rig sees, of many sizes, half of them jumping now and then."""
    from mvcap.synthesis.random_rigs import shared_volume
    from mvcap.synthesis.scenes import random_scene

    truth = random_scene(rng, people, _FRAMES / rate_hz, rate_hz)
    truth = truth[truth.frame < _FRAMES]
    xyz = truth.xyz.astype(np.float64)
    xyz[..., :2] += shared_volume(rig)[0] - np.median(xyz[..., :2].reshape(-1, 2), 0)
    xyz *= rng.choice([1.0, rng.uniform(0.65, 1.15)])
    for person in np.unique(truth.person) if rng.random() < 0.5 else ():
        for begin in rng.uniform(0, _FRAMES / rate_hz, int(rng.integers(1, 4))):
            time_s, air_s = truth.frame / rate_hz - begin, rng.uniform(0.4, 0.7)
            up = np.where((time_s > 0) & (time_s < air_s), 4.9 * time_s * (air_s - time_s), 0)
            xyz[truth.person == person, :, 2] += up[truth.person == person, None]
    return truth.with_columns(xyz=xyz)


def _delayed(truth: Any, frames: float) -> Any:
    """The people as they were so many frames earlier."""
    out = truth.xyz.astype(np.float64)
    for person in np.unique(truth.person) if frames else ():
        mine = np.flatnonzero(truth.person == person)
        mine = mine[np.argsort(truth.frame[mine])]
        at, flat = truth.frame[mine].astype(np.float64), truth.xyz[mine].astype(np.float64).reshape(len(mine), -1)
        moved = np.stack([np.interp(at - frames, at, column) for column in flat.T], 1)
        out[mine] = moved.reshape(len(mine), -1, 3)
    return truth.with_columns(xyz=out)


def _turned(camera: Any, degrees: float, rng: Any) -> Any:
    from calib import Camera
    from calib.geometry import pose, rotation_from_vector

    axis = rng.normal(size=3) * (1, 1, 0.5)
    R = rotation_from_vector(np.deg2rad(degrees) * axis / np.linalg.norm(axis)) @ camera.cam_from_world[:3, :3]
    return Camera(camera.lens, pose(R, -R @ camera.position))
