"""Takes of generated people whose truth is known: they walk in circles, cross in the middle of the ring, or meet, hug,
leave and come back. Bodies are HALPE-26, each person's limbs of constant length, bodies of different stature.

Each take is a function that returns its truth, the rig that sees it and its rate; ``make_session`` makes a session of
it whose estimator is the oracle. Units are metres, z up, seconds.
"""

import numpy as np

from calib import Camera, Lens, Rig, save_rig
from calib.geometry import pose, rotation_from_vector
from mvcap.structures.pose_file import save_poses
from mvcap.structures.poses import Poses3D
from mvcap.structures.session import Session
from mvcap.structures.skeleton import skeleton

HALPE = skeleton("halpe26")
SIZE = (1920, 1080)
RADIUS_M = 4.5
LENSES = {"plain": (1100.0, -0.05), "strong": (800.0, -0.25)}  # focal length px, k1
# How far every camera of a calibration is turned, degrees, and moved, m: standard deviations.
CALIBRATIONS = {"good": (0.0, 0.0), "fair": (0.15, 0.005), "bad": (0.5, 0.02)}
NOISE = {"noise_px": 2.0, "outliers": 0.02, "outlier_px": 60.0, "missing": 0.05}
HARD = {"noise_px": 2.0, "outliers": 0.15, "outlier_px": 60.0, "missing": 0.15}
HIDING = {"noise_px": 2.0, "outliers": 0.02, "outlier_px": 60.0, "occlusion": True}

_UP = np.array([0, 0, 1.0])
_HUG_M = 0.3
_APART_M = 0.46
_TRIALS = 300  # sets of ways of which the one is taken where people need least to give way
_EDGE_M = 3.3  # who leaves the volume is gone beyond this distance from its middle


# --- takes -----------------------------------------------------------------------------------------------------------


def circle(people=4, cameras=5, frames=300, rate_hz=60.0, lens="plain"):
    """Truth, rig and rate of up to four people who each walk a closed path of their own about the middle."""
    time_s = np.arange(frames) / rate_hz
    who = np.arange(people)
    mean, way = np.array([0.7, 1.2, 1.7, 2.2])[who], np.array([1, -1, 1, -1])[who]
    turn = way * time_s[:, None] * 0.9 / mean + 1.7 * who
    reach = mean + 0.06 * np.sin(0.23 * time_s[:, None] + who)
    place = reach[..., None] * np.stack([np.cos(turn), np.sin(turn)], -1)
    return _poses(place, rate_hz), ring_rig(cameras, lens), rate_hz


def crossing(people=5, cameras=8, frames=300, rate_hz=60.0, lens="plain", seed=0):
    """Truth, rig and rate of people who walk through the middle again and again, each on a long ellipse of their own.

    The ellipses lie in different directions and are walked at different times; people whose ways would touch give way
    as little as they must, so the closest pass each other at half a metre.
    """
    time_s = np.arange(frames)[:, None] / rate_hz
    rng, best, closest = np.random.default_rng(seed), np.zeros(0), -1.0
    for _ in range(_TRIALS):
        place = _ellipses(time_s, people, rng)
        nearest = _distance(place[:: max(round(rate_hz / 10), 1)]).min()
        if nearest > closest:
            best, closest = place, nearest
    return _poses(_kept_apart(best, _APART_M, rate_hz), rate_hz), ring_rig(cameras, lens), rate_hz


def hugs(people=10, cameras=8, seconds=36.0, rate_hz=30.0, lens="plain", seed=0):
    """Truth, rig and rate of people who walk about, meet in pairs and hug for 1 to 2 s, and leave for 3 to 10 s.

    Pairs stand _HUG_M apart, face to face, arms round each other. Who is away has no rows; they come back as the same
    person of the truth, where they left or elsewhere.
    """
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    plans = _plans(people, seconds, rng)
    place = np.stack([_walked(plan, time_s, seconds, rng) for plan in plans], axis=1)
    least = np.full((len(time_s), people, people), _APART_M)
    hug, face = np.zeros((len(time_s), people)), np.full((len(time_s), people), np.nan)
    for one, plan in enumerate(plans):
        for times, _, other, towards in plan:
            if other is None:
                continue
            _, start, stop, _ = times
            near = (time_s > start - 1.5) & (time_s < stop + 1.5)
            least[near, one, other] = 0.85 * _HUG_M
            hug[(time_s > start) & (time_s < stop), one] = 1.0
            face[(time_s > start - 0.6) & (time_s < stop + 0.1), one] = towards
    gone = np.linalg.norm(place, axis=-1) > _EDGE_M
    least[gone[:, :, None] | gone[:, None]] = 0.0
    firm = np.minimum(1, 2 * _smooth(hug, 0.5, rate_hz))
    place = _kept_apart(place, least, rate_hz, firm)
    return _poses(place, rate_hz, hug, face, ~gone), ring_rig(cameras, lens), rate_hz


def ring_rig(count, lens="plain"):
    """Cameras on a ring of 4.5 m, 2.2 to 2.6 m up, 1920x1080, which look at the middle, 1 m up."""
    focal, k1 = LENSES[lens]
    K = np.array([[focal, 0, SIZE[0] / 2], [0, focal, SIZE[1] / 2], [0, 0, 1]])
    cameras = []
    for index in range(count):
        angle = 2 * np.pi * index / count
        position = np.array([RADIUS_M * np.cos(angle), RADIUS_M * np.sin(angle), 2.2 + 0.2 * (index % 3)])
        z = _UP - position
        z /= np.linalg.norm(z)
        x = np.cross(z, _UP)
        x /= np.linalg.norm(x)
        R = np.stack([x, np.cross(z, x), z])
        glass = Lens(f"cam{index + 1:02d}", SIZE, K, np.array([k1, 0, 0, 0, 0]))
        cameras.append(Camera(glass, pose(R, -R @ position)))
    return Rig(tuple(cameras))


def disturbed(rig, calibration, seed=5):
    """The rig as a calibration of this quality (``CALIBRATIONS``) would have it: every camera turned and moved."""
    rng, (turned_deg, moved_m) = np.random.default_rng(seed), CALIBRATIONS[calibration]
    cameras = []
    for camera in rig:
        R = rotation_from_vector(rng.normal(0, 1, 3) * np.deg2rad(turned_deg)) @ camera.cam_from_world[:3, :3]
        position = camera.position + rng.normal(0, 1, 3) * moved_m
        cameras.append(Camera(camera.lens, pose(R, -R @ position)))
    return Rig(tuple(cameras))


def make_session(folder, take, calibration="good", carry=False, **errors):
    """Make a session of a take, what the estimators see being wrong by ``errors`` (keys of the oracle; else NOISE).

    The rig that saw the people is the take's, whatever the session's ``calibration``. ``carry``: the rows tell the true
    person (column ``carried``); they are the same otherwise.
    """
    truth, rig, rate_hz = take
    folder.mkdir(parents=True, exist_ok=True)
    save_poses(folder / "truth.npz", truth)
    save_rig(rig, folder / "seen_by.yaml")
    frames = int(truth.frame.max()) + 1
    session = Session.create(disturbed(rig, calibration), folder / "session", frames=frames, rate_hz=rate_hz)
    oracle = {"poses": str(folder / "truth.npz"), "rig": str(folder / "seen_by.yaml"), "carry": carry}
    session.override({"estimator": "oracle", "estimators": {"oracle": {**oracle, **(errors or NOISE)}}})
    return session


# --- ways ------------------------------------------------------------------------------------------------------------


def _ellipses(time_s, people, rng):
    """Ways (T, P, 2) through the middle, in directions all round and at times that nobody agreed upon."""
    far, wide = (1.3, 0.25) if people <= 6 else (1.8, 0.35)
    direction = 2 * np.pi * (rng.permutation(people) + rng.uniform(-0.3, 0.3, people)) / people
    phase = time_s * rng.uniform(0.85, 1.1, people) + rng.uniform(0, 2 * np.pi, people)
    along, across = far * np.cos(phase), wide * np.sin(phase)
    cos, sin = np.cos(direction), np.sin(direction)
    return np.stack([along * cos - across * sin, along * sin + across * cos], -1)


def _plans(people, seconds, rng):
    """What each person has to do, in order: (times s, places then, whom to hug or None, direction to face)."""
    plans = [[] for _ in range(people)]
    pairs = rng.permutation(people)[: people // 2 * 2].reshape(-1, 2)
    for number, (one, other) in enumerate(pairs.tolist()):
        start = 3.0 + (seconds - 8) * number / max(len(pairs) - 1, 1)
        _meet(plans, one, other, start, 1.3 + 0.7 * rng.random(), 2 * np.pi * number / len(pairs), rng)
    for one in range(people):
        starts = [*(times[0] - 2.0 for times, *_ in plans[one]), seconds]
        stops = [0.0, *(times[-1] + 2.0 for times, *_ in plans[one])]
        begin, end = max(zip(stops, starts, strict=True), key=lambda gap: gap[1] - gap[0])
        away = min(3.0 + 7.0 * one / people, end - begin - 7.0)
        if one % 2 == 0 and away >= 3.0:
            start = begin + 3.0 + rng.random() * (end - begin - away - 7.0)
            out = rng.uniform(0, 2 * np.pi)
            back = out + (rng.uniform(-2, 2) if one % 4 else 0)
            radius = [_EDGE_M - 0.4, *[_EDGE_M + 0.6] * 5, _EDGE_M - 0.4]
            outside = [_polar(r, angle) for r, angle in zip(radius, np.linspace(out, back, 7), strict=True)]
            plans[one].append((start + np.linspace(0, away + 1.0, 7), outside, None, None))
        plans[one].sort(key=lambda event: event[0][0])
    return plans


def _meet(plans, one, other, start, lasts, at, rng):
    """Two people hug at a place of their own, each a little to the side so that heads pass."""
    middle, towards = _polar(0.4 + 1.2 * rng.random(), at), rng.uniform(0, 2 * np.pi)
    half = 0.5 * _HUG_M * _polar(1.0, towards) + 0.04 * _polar(1.0, towards + np.pi / 2)
    times = start + np.array([-0.7, 0.0, lasts, lasts + 0.7])
    for person, whom, side, turn in ((one, other, -1, 0.0), (other, one, 1, np.pi)):
        plans[person].append((times, [middle + side * far * half for far in (5, 1, 1, 5)], whom, towards + turn))


def _walked(plan, time_s, seconds, rng):
    """Places (T, 2) of a person who does what is planned and walks about in between, at no more than 1.4 m/s."""
    from scipy.interpolate import PchipInterpolator

    knots = [(-3.0, _polar(rng.uniform(0.5, 2.0), rng.uniform(0, 2 * np.pi)))]
    for times, places, *_ in [*plan, ([seconds + 3.0], [], None, None)]:
        while times[0] - knots[-1][0] > 3.0:
            knots.append(_next(knots[-1], (times[0], places[0] if places else None), rng))
        knots += zip(times, places, strict=bool(places))
    when, where = np.array([knot[0] for knot in knots]), np.array([knot[1] for knot in knots])
    return PchipInterpolator(when, where, axis=0)(time_s)


def _next(last, goal, rng):
    """Next knot of a way: somewhere in the room from where the goal can still be reached in time."""
    when, room = last[0] + rng.uniform(1.5, 2.2), goal[0] - last[0]
    for _ in range(50):
        place = _polar(2.2 * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi))
        near = np.linalg.norm(place - last[1]) < 1.1 * (when - last[0])
        if near and (goal[1] is None or np.linalg.norm(goal[1] - place) < 1.1 * (goal[0] - when)):
            return when, place
    return when, last[1] if goal[1] is None else last[1] + (goal[1] - last[1]) * (when - last[0]) / room


def _kept_apart(place, least, rate_hz, firm=0.0):
    """Ways (T, P, 2) bent smoothly until nobody is closer than ``least`` (..., P, P) m; ``firm`` (T, P) ones stay."""
    give = 1.0 - 0.97 * np.broadcast_to(firm, place.shape[:2])
    out = _smooth(place, 0.15, rate_hz)
    for _ in range(400):
        apart, distance = out[:, :, None] - out[:, None], _distance(out)
        lacking = np.maximum(least - distance, 0)
        if lacking.max() < 0.03:
            break
        side = np.stack([-apart[..., 1], apart[..., 0]], -1)  # who meets head-on steps aside, to the right
        push = ((apart + 0.5 * side) * (lacking / distance)[..., None]).sum(2)
        out = out + _smooth(give[..., None] * push, 0.5, rate_hz)
    return out


def _distance(place):
    """Distances (T, P, P) m between people, infinite to oneself."""
    return np.linalg.norm(place[:, :, None] - place[:, None], axis=-1) + np.diag(np.full(place.shape[1], np.inf))


def _smooth(values, sigma_s, rate_hz):
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(values, sigma_s * rate_hz, axis=0, mode="nearest")


def _polar(radius, angle):
    return radius * np.array([np.cos(angle), np.sin(angle)])


# --- bodies ----------------------------------------------------------------------------------------------------------


def _poses(place, rate_hz, hug=None, face=None, there=None):
    """Poses3D of ways (T, P, 2) with, each (T, P), hugs 0..1, directions to face or NaN, and who is there."""
    frames, people = place.shape[:2]
    hug = np.zeros((frames, people)) if hug is None else _smooth(hug, 0.2, rate_hz)
    xyz = np.stack([_walker(place[:, p], rate_hz, p, hug[:, p], None if face is None else face[:, p])
                    for p in range(people)], axis=1).reshape(-1, len(HALPE), 3)  # fmt: skip
    rows = np.flatnonzero(np.ones(frames * people, bool) if there is None else there.ravel())
    frame, person = np.divmod(rows, people)
    seen = np.ones((len(rows), len(HALPE)))
    cov = np.zeros((*seen.shape, 6))
    return Poses3D(HALPE, frame, person + 1, person + 1, xyz[rows], seen, 0 * seen, seen, cov, seen)


def _heading(place, rate_hz, face):
    """Direction (T,) rad that a walker looks in: the way's, or where they are to face when they stand."""
    velocity = np.gradient(_smooth(place, 0.1, rate_hz), 1 / rate_hz, axis=0)
    speed = np.linalg.norm(velocity, axis=-1)
    told = np.isfinite(face) if face is not None else np.zeros(len(place), bool)
    way = np.arctan2(velocity[:, 1], velocity[:, 0])
    way = np.where(told, face, way) if face is not None else way
    sure = np.flatnonzero((speed > 0.15) | told)
    sure = sure if len(sure) else np.arange(1)
    held = np.interp(np.arange(len(place)), sure, np.unwrap(way[sure]))
    return _smooth(held, 0.2, rate_hz), speed


def _walker(place, rate_hz, person, hug, face):
    """Joints (T, J, 3) of a walking body: chains of segments of constant length, turned by smooth angles."""
    rng = np.random.default_rng(100 + person)
    stature = (1.0, 1.07, 0.93, 1.03, 0.88, 1.1, 0.97, 1.05, 0.91, 1.0)[person % 10]
    length = stature * rng.normal(1.0, 0.02, 12)
    heading, speed = _heading(place, rate_hz, face)
    stride = np.minimum(_smooth(speed, 0.2, rate_hz) / 1.2, 1.3)
    step = 2 * np.pi * np.cumsum(0.45 * stride + 0.35 * np.sqrt(stride)) / rate_hz + 1.3 * person
    frame = _Frame(heading)
    twist = 0.10 * stride * np.sin(step)
    hips, chest = _Frame(heading + twist), _Frame(heading - 0.6 * twist)
    legs = {side: _leg(frame, side, s, step, stride, length) for side, s in (("left", 1), ("right", -1))}
    lowest = np.stack([one["ankle"][:, 2] for one in legs.values()], -1)  # below the hip, negative
    height = 0.08 * stature + _smooth(np.log(np.exp(-40 * lowest).sum(-1) / 2) / 40, 0.08, rate_hz)
    pelvis = np.concatenate([place, height[:, None]], axis=1)
    lean = 0.03 + 0.04 * stride
    neck = pelvis + chest.way(np.sin(lean), 0.02 * np.sin(step), np.cos(lean), 0.52 * length[0])
    out = {"pelvis": pelvis, "neck": neck} | _head(neck, frame, length)
    for side, s in (("left", 1), ("right", -1)):
        out[f"{side}_hip"] = pelvis + hips.way(0, s, 0, 0.115 * length[3])
        out[f"{side}_shoulder"] = neck + chest.way(0, s, -0.15, 0.185 * length[4])
        for name, offset in legs[side].items():
            out[f"{side}_{name}"] = out[f"{side}_hip"] + offset
        for name, offset in _arm(chest, side, s, step, stride, hug, length).items():
            out[f"{side}_{name}"] = out[f"{side}_shoulder"] + offset
    return np.stack([out[name] for name in HALPE.joints], axis=1)


class _Frame:
    """Forward, left and up of a body part with a heading (T,)."""

    def __init__(self, heading):
        flat = 0 * heading
        self.forward = np.stack([np.cos(heading), np.sin(heading), flat], -1)
        self.left = np.stack([-np.sin(heading), np.cos(heading), flat], -1)

    def way(self, forward, left, up, length):
        """Vectors (T, 3) in this direction, of this length."""
        parts = [np.broadcast_to(np.asarray(part, float), len(self.forward))[:, None] for part in (forward, left, up)]
        vector = parts[0] * self.forward + parts[1] * self.left + parts[2] * _UP
        return length * vector / np.linalg.norm(vector, axis=-1, keepdims=True)


def _leg(frame, side, s, step, stride, length):
    """Offsets (T, 3) of a leg's joints from its hip."""
    thigh = 0.42 * stride * s * np.sin(step) + 0.05
    bend = 0.12 + 0.45 * stride * (1 + s * np.cos(step))  # the knee bends while the leg swings forward
    shin, toe = thigh - bend, 0.25 * stride * s * np.sin(step)
    knee = frame.way(np.sin(thigh), 0.04 * s, -np.cos(thigh), 0.43 * length[5])
    ankle = knee + frame.way(np.sin(shin), 0.02 * s, -np.cos(shin), 0.41 * length[6])
    cos, sin = np.cos(toe), np.sin(toe)

    def foot(along, out, down):
        reach = np.sqrt(along**2 + out**2 + down**2) * length[7]
        return ankle + frame.way(along * cos - down * sin, out * s, along * sin + down * cos, reach)

    return {"knee": knee, "ankle": ankle, "heel": foot(-0.05, 0.0, -0.06), "big_toe": foot(0.19, -0.02, -0.06),
            "small_toe": foot(0.16, 0.06, -0.06)}  # fmt: skip


def _arm(frame, side, s, step, stride, hug, length):
    """Offsets (T, 3) of an arm's joints from its shoulder; in a hug they reach forward and close."""
    swing = -0.45 * stride * s * np.sin(step)
    fold = swing + 0.35 + 0.2 * stride
    walk, held = 1 - hug, hug

    def blended(angle, out, hugging, reach):
        parts = [walk * np.sin(angle) + held * hugging[0], walk * out * s + held * hugging[1] * s,
                 -walk * np.cos(angle) + held * hugging[2]]  # fmt: skip
        return frame.way(*parts, reach)

    elbow = blended(swing, 0.12, (0.75, 0.35, -0.3), 0.29 * length[8])
    return {"elbow": elbow, "wrist": elbow + blended(fold, 0.05, (0.8, -0.6, 0.15), 0.25 * length[9])}


def _head(neck, frame, length):
    """Joints of a head that looks where the body goes."""
    parts = {
        "head_top": (0.02, 0, 0.29),
        "nose": (0.12, 0, 0.16),
        "left_eye": (0.095, 0.032, 0.19),
        "right_eye": (0.095, -0.032, 0.19),
        "left_ear": (0.01, 0.075, 0.17),
        "right_ear": (0.01, -0.075, 0.17),
    }
    return {name: neck + frame.way(*at, np.linalg.norm(at) * length[10]) for name, at in parts.items()}  # fmt: skip
