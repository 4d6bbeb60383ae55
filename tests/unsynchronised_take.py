"""People who walk, run, jump, or walk in twos before cameras whose clocks differ: 2D joints with a detector's errors.

Errors last for half a second, joints are missed and are outliers, and the calibration is off by a little: what makes
wrong peaks attractive.
"""

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter
from synthetic_take import ring_rig

from calib import Camera, Rig
from calib.geometry import pose, rotation_from_vector
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import skeleton

COCO = skeleton("coco17")
LATE = (0.0, 7.0, -13.4, 21.7)
"""Frames by which views are late."""
DRIFT = (0.0, 5e-5, -5e-5, 0.0)
_SPEED = {"walk": 1.3, "run": 3.4, "jump": 0.25, "two": 1.2}
_CYCLE_HZ = {"walk": 0.95, "run": 1.4, "jump": 0.6, "two": 0.9}


def people_at(kind, time_s, rng_seed=0):
    """Return joints (T, P, 17, 3) m at times (T,) s of one take of a kind."""
    rng = np.random.default_rng([rng_seed, 5])
    count = 2 if kind == "two" else 1
    return np.stack([_person(kind, time_s, rng) for _ in range(count)], 1)


def _person(kind, time_s, rng):
    """Joints (T, 17, 3) m of a person who goes round a rounded rectangle at a steady pace."""
    speed, cycle = _SPEED[kind] * rng.uniform(0.9, 1.1), _CYCLE_HZ[kind] * rng.uniform(0.9, 1.1)
    side, turn0, start = rng.uniform(1.4, 2.2), rng.uniform(0, 2 * np.pi), rng.uniform(0, 10)
    # To and fro on a line with rounded ends: the straight is the plain walk.
    far = speed * time_s + start
    length, radius = 2 * side, 0.5
    lap = 2 * length + 2 * np.pi * radius
    s = far % lap
    x, y, heading = np.zeros_like(s), np.zeros_like(s), np.zeros_like(s)
    parts = [s < length, (s >= length) & (s < length + np.pi * radius)]
    parts += [(s >= length + np.pi * radius) & (s < 2 * length + np.pi * radius), s >= 2 * length + np.pi * radius]
    arc = (s - length) / radius
    back = s - length - np.pi * radius
    arc2 = (s - 2 * length - np.pi * radius) / radius
    x = np.select(parts, [s - side, side + radius * np.sin(arc), side - back, -side - radius * np.sin(arc2)])
    y = np.select(parts, [0 * s - radius, -radius * np.cos(arc), 0 * s + radius, radius * np.cos(arc2)])
    heading = np.select(parts, [0 * s, arc, 0 * s + np.pi, np.pi + arc2]) + turn0
    place = np.stack([x * np.cos(turn0) - y * np.sin(turn0), x * np.sin(turn0) + y * np.cos(turn0)], -1)
    phase = 2 * np.pi * cycle * time_s + rng.uniform(0, 6)
    lift = np.zeros_like(s) if kind in ("walk", "two") else np.abs(np.sin(phase)) * (0.08 if kind == "run" else 0.0)
    if kind == "jump":
        lift = np.maximum(np.sin(phase), 0) ** 1.5 * 0.4
    swing = {"walk": 0.45, "two": 0.45, "run": 0.8, "jump": 0.15}[kind]
    along = np.stack([np.cos(heading), np.sin(heading), 0 * s], -1)
    left = np.stack([-along[:, 1], along[:, 0], 0 * s], -1)
    up = np.array([0, 0, 1.0]) + 0 * along
    middle = np.concatenate([place, (0.92 + 0.02 * np.cos(2 * phase) + lift)[:, None]], -1)
    joints = {"nose": middle + 0.70 * up + 0.1 * along}
    for name, height, ahead, aside in (("eye", 0.74, 0.08, 0.03), ("ear", 0.72, 0.0, 0.08)):
        for side_name, sign in (("left", 1), ("right", -1)):
            joints[f"{side_name}_{name}"] = middle + height * up + ahead * along + sign * aside * left
    for side_name, sign in (("left", 1), ("right", -1)):
        turn = (swing * np.sin(phase) * sign)[:, None]
        knee = np.maximum(0, 1.3 * swing * np.cos(phase) * sign)[:, None]
        raised = (1.6 * lift)[:, None] if kind == "jump" else 0.0
        hip, shoulder = middle + 0.13 * sign * left, middle + 0.5 * up + 0.18 * sign * left
        joints[f"{side_name}_hip"], joints[f"{side_name}_shoulder"] = hip, shoulder
        knees = hip + 0.42 * (along * np.sin(turn) - up * np.cos(turn))
        joints[f"{side_name}_knee"] = knees
        joints[f"{side_name}_ankle"] = knees + 0.40 * (along * np.sin(turn - knee) - up * np.cos(turn - knee))
        elbow = shoulder + 0.29 * (-along * np.sin(turn - raised) - up * np.cos(turn - raised))
        joints[f"{side_name}_elbow"] = elbow
        joints[f"{side_name}_wrist"] = elbow + 0.25 * (along * np.sin(0.4 - turn) - up * np.cos(0.4 - turn))
    return np.stack([joints[name] for name in COCO.joints], 1)


def varied_pace(seed):
    """A function from times (T,) s to times of people who hurry, dawdle and stop."""
    grid = np.arange(-60, 400, 0.02)
    rate = gaussian_filter1d(np.random.default_rng([seed, 77]).normal(size=len(grid)), 1.2 / 0.02)
    passed = np.cumsum(np.clip(1 + 0.6 * rate / rate.std(), 0, None)) * 0.02
    return lambda time_s: np.interp(time_s, grid, passed)


def unsynchronised(
    kind, seed=0, frames=300, rate_hz=30.0, late=LATE, drift=DRIFT, noise_px=3.0, calibration=True, defined_m=0.012,
    pace=None,
):  # fmt: skip
    """Return rows, the calibrated rig and true joints (T, P, 17, 3) m at the common frames of a take.

    defined_m: by how much the views' definitions of joints differ, which no synchronisation mends. pace: the time (T,)
    s at which people are at times (T,) s; default the same.
    """
    rng = np.random.default_rng([seed, 11])
    true_rig = ring_rig(len(late))
    rows = []
    for view, camera in enumerate(true_rig):
        own = np.arange(frames, dtype=float)
        # Own frame u shows the common frame t = (u - late - drift * ...) with u = t + late + drift * (t - middle).
        t = (own - late[view] + drift[view] * frames / 2) / (1 + drift[view])
        xyz = people_at(kind, (pace or np.asarray)(t / rate_hz), seed)
        definition = rng.normal(0, defined_m, xyz.shape[2:])
        rows.append(_detected(camera.project(xyz + definition), view, noise_px, rate_hz, rng))
    rig = Rig(tuple(_disturbed(camera, rng) for camera in true_rig)) if calibration else true_rig
    found = Detections2D.concatenate(rows, COCO)
    truth = people_at(kind, (pace or np.asarray)(np.arange(frames) / rate_hz), seed)
    return found[np.argsort(found.frame, kind="stable")], rig, truth


def _detected(xy, view, noise_px, rate_hz, rng):
    frames, people, joints, _ = xy.shape
    keep = np.exp(-1 / (0.5 * rate_hz))
    lasting = lfilter([np.sqrt(1 - keep**2)], [1, -keep], rng.normal(size=(frames + 60, people, joints, 2)), axis=0)[
        60:
    ]
    quick = rng.normal(size=xy.shape)
    seen = xy + noise_px * (np.sqrt(0.6) * lasting + np.sqrt(0.4) * quick)
    outlier = rng.random(seen.shape[:-1]) < 0.02
    seen = np.where(outlier[..., None], seen + rng.normal(0, 40, seen.shape), seen)
    inside = ((seen > 0) & (seen < (1920, 1080))).all(-1)
    score = np.where(inside & (rng.random(inside.shape) > 0.04), 0.9, 0.0)
    score[rng.random(score.shape[:2]) < 0.02] = 0
    order = rng.permuted(np.tile(np.arange(people), (frames, 1)), axis=1)
    seen = np.take_along_axis(seen, order[..., None, None], 1)
    score = np.take_along_axis(score, order[..., None], 1)
    one = Detections2D.from_dense(
        seen[:, None], score[:, None], COCO, noise_px=np.full((frames, 1, people, joints), noise_px)
    )
    return one.with_columns(view=np.full(len(one), view))


def _disturbed(camera, rng):
    turned = np.array(camera.cam_from_world)
    small = rotation_from_vector(rng.normal(0, np.deg2rad(0.06), 3))
    moved = pose(small @ turned[:3, :3], small @ turned[:3, 3] + rng.normal(0, 0.004, 3))
    return Camera(camera.lens, moved)
