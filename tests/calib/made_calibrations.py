"""Calibrations as the solver would have found them, good, thin and broken: true projections with noise."""

from dataclasses import replace

import numpy as np
from ring_rigs import look_at, make_rig

from calib import Camera, Rig
from calib.calibration import Accuracy, Calibration, Finding, LensFit, ModelTrial, Pair
from calib.geometry import pose, rotation_from_vector, transform
from calib.observations import Observations, Refusal
from calib.targets import Target, free_points, wand

NOISE_PX = 0.12
NAN = float("nan")


def board(columns=6, rows=4, square_m=0.12):
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    return Target("charuco 7x5, 120 mm", square_m * np.stack([x, y, 0 * x], -1).reshape(-1, 3))


def accuracy_of(rig, places=(7, 7, 5), error_m=2e-4):
    """A grid of places whose error grows from the middle outwards, and halves and held-out errors to match."""
    random = np.random.default_rng(5)
    axes = [np.linspace(-1, 1, places[0]), np.linspace(-1, 1, places[1]), np.linspace(0.2, 2.0, places[2])]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    off = np.linalg.norm(grid - (0, 0, 1), axis=-1)
    predicted = error_m * (0.6 + 0.7 * off**2)
    shared = np.isfinite(rig.project(grid)).all(-1).sum(0)
    held_out = np.abs(random.normal(0, 2.2 * error_m, 400))
    return Accuracy(
        grid,
        shared,
        predicted,
        predicted * random.lognormal(0.1, 0.2, len(grid)),
        NOISE_PX,
        2.2 * error_m,
        random.uniform(-1, 1, (400, 3)),
        held_out,
    )


NOWHERE, NOTHING = np.empty((0, 3)), np.empty(0)
UNKNOWN = Accuracy(NOWHERE, NOTHING.astype(np.intp), NOTHING, NOTHING, NAN, NAN, NOWHERE, NOTHING)


def poses_of(moments, random):
    """Poses (T, 4, 4) of a board that is carried through the middle and turned all about."""
    facing = rotation_from_vector(random.normal(0, 0.45, (moments, 3)))
    upright = look_at((0, -4, 1.2), (0, 0, 1.2))[:3, :3].T  # x right, y down, z away
    around = rotation_from_vector(
        np.stack([0 * facing[:, 0, 0], 0 * facing[:, 0, 0], random.uniform(0, 2 * np.pi, moments)], -1)
    )
    return pose(around @ upright @ facing, random.uniform((-0.9, -0.9, 0.5), (0.9, 0.9, 1.7), (moments, 3)))


def calibration_of(rig, moments=60, target=None, accuracy=None, seed=1, **more):
    """A calibration of a rig as the solver would have found it: true projections plus noise for residuals."""
    random = np.random.default_rng(seed)
    target = target or board()
    shape = (len(rig), moments, len(target))
    bodies = poses_of(moments, random)
    if target.free:
        points = random.uniform((-1, -1, 0), (1, 1, 1.8), (moments, len(target), 3))
    else:
        points = transform(bodies[:, None], target.points)
    clean = rig.project(points)
    inside = ((clean > 0) & (clean < np.array([camera.size for camera in rig])[:, None, None])).all(-1)
    if not target.free:  # only the board's face can be read
        away = points.mean(1) - rig.positions[:, None]
        inside &= ((bodies[None, :, :3, 2] * away).sum(-1) > 0.2)[..., None]
    residual = random.normal(0, NOISE_PX, (*shape, 2))
    sigma = np.where(inside, NOISE_PX, np.nan)
    time_s = np.broadcast_to(np.arange(moments) / 5, shape[:2])
    names = tuple(f"{moment / 5:.2f} s" for moment in range(moments))
    seen = Observations(target, rig.names, tuple(c.size for c in rig), clean + residual, sigma, time_s, names)
    used = seen.seen & (random.uniform(size=shape) > 0.01)
    columns, covariance = covariance_of(rig)
    values = {
        "rig": rig,
        "observations": seen,
        "used": used,
        "residual": np.where(seen.seen[..., None], residual, np.nan),
        "world_from_body": np.full_like(bodies, np.nan) if target.free else bodies,
        "body_from_piece": np.eye(4)[None].repeat(len(target.pieces), 0),
        "points": target.points,
        "free_points": points if target.free else None,
        "offset_s": np.zeros(len(rig)),
        "noise_px": np.full(len(rig), NOISE_PX),
        "columns": columns,
        "covariance": covariance,
        "lenses": tuple(lens_fit(camera.lens, moments) for camera in rig),
        "pairs": pairs_of(rig, used),
        "unconnected": (),
        "accuracy": accuracy_of(rig) if accuracy is None else accuracy,
        "findings": (Finding("note", "the world", "its origin is the first camera", "align the rig"),),
        "verdict": "good",
        "reason": "what was predicted and what was measured agree",
        "next_action": "use it",
    }
    return Calibration(**{**values, **more})


def covariance_of(rig):
    columns, at, deviations = {}, 0, []
    for camera in rig:
        count = 10 + camera.lens.distortion.size
        columns[camera.name] = slice(at, at + count)
        deviations += [1e-4] * 3 + [4e-4] * 3 + [0.4, 0.4, 0.6, 0.6] + [1e-3] * (count - 10)
        at += count
    return columns, np.diag(np.square(deviations))


def lens_fit(lens, moments):
    free = ("f", "cx", "cy", "k1", "k2")
    trials = (ModelTrial("pinhole", ("f",), 0.61, False), ModelTrial("pinhole", free, 0.131, True))
    count = 4 + lens.distortion.size
    return LensFit(lens, np.diag(np.full(count, 0.25)), free, 0.11, np.ones(moments, bool), trials)


def pairs_of(rig, used):
    out = []
    for a in range(len(rig)):
        for b in range(a + 1, len(rig)):
            count = int((used[a].any(-1) & used[b].any(-1)).sum())
            if count:
                out.append(Pair(rig.names[a], rig.names[b], count, 0.02, 8e-4, b == a + 1, 0.011, 4e-4))
    return tuple(out)


def thin():
    """A camera without a place, one refused lens, no halves, hundreds of refused images."""
    whole = calibration_of(make_rig(4), moments=9)
    lost = whole.observations.views[3]
    used = np.array(whole.used)
    used[3] = False
    refused = (
        *(Refusal(lost, f"{t / 5:.2f} s", "no board was found") for t in range(300)),
        *(Refusal("cam_1", f"IMG_{t:04}.jpg", f"a false board: {100 + t}.5 px of error") for t in range(7)),
        Refusal("cam_2", "<b>1.20 s</b>", "blurred"),
    )
    finding = Finding("refuse", lost, "it shares no moment with another camera", f"film the board in {lost} and cam_1")
    tilt = Finding("limit", "cam_1", "the board was never tilted", "tilt it by 30 to 45 degrees")
    fit = replace(whole.lenses[0], findings=(tilt,))
    return replace(
        whole,
        rig=whole.rig.select(whole.rig.names[:3]),
        observations=replace(whole.observations, refused=refused),
        used=used,
        residual=np.where(used[..., None], whole.residual, np.nan),
        columns={name: at for name, at in whole.columns.items() if name != lost},
        lenses=(fit, whole.lenses[1], None, whole.lenses[3]),
        pairs=tuple(pair for pair in whole.pairs if lost not in (pair.a, pair.b)),
        unconnected=(lost,),
        accuracy=replace(whole.accuracy, halves_m=np.full(len(whole.accuracy.places), NAN), held_out_m=NAN),
        findings=(finding, *whole.findings),
        verdict="usable with limits",
        reason=f"{lost} is not connected",
        next_action=finding.todo,
    )


def alone():
    """One camera, no pose that means anything, no accuracy."""
    lens = make_rig(1)[0].lens
    rig = Rig((Camera(lens, look_at((0, -3, 1.2))),))
    return calibration_of(rig, moments=20, accuracy=UNKNOWN, verdict="usable with limits", reason="one camera only")


def broken():
    """Nothing that counts."""
    whole = calibration_of(make_rig(2), moments=3, accuracy=UNKNOWN)
    return replace(
        whole,
        used=np.zeros_like(whole.used),
        residual=np.full_like(whole.residual, NAN),
        world_from_body=np.full_like(whole.world_from_body, NAN),
        noise_px=np.full(2, NAN),
        columns={},
        covariance=np.empty((0, 0)),
        lenses=(None, None),
        pairs=(),
        verdict="do not use",
        reason="nothing agrees",
        next_action="say the board's size",
    )


def people():
    target = free_points(17)
    cameras = make_rig(3)
    return calibration_of(cameras, moments=25, target=target, accuracy=UNKNOWN, offset_s=np.array([0.0, 0.021, -0.004]))


def pieces():
    """Two boards at a right angle whose points were found bent."""
    one = board(4, 3).points
    target = Target("two boards", np.concatenate([one, one]), np.repeat([0, 1], len(one)), ("front", "side"))
    placed = np.stack([np.eye(4), pose(rotation_from_vector((0, np.pi / 2, 0)), (0.4, 0, 0))])
    bent = target.points + 1e-3 * np.sin(np.arange(len(target)))[:, None] * (0.3, 0.1, 1)
    return calibration_of(make_rig(2), moments=12, target=target, accuracy=UNKNOWN, body_from_piece=placed, points=bent)


def with_a_wand():
    return calibration_of(make_rig(2, "fisheye"), moments=15, target=wand([0, 0.2, 0.5]), accuracy=UNKNOWN)


CASES = {
    "good": lambda: calibration_of(make_rig(4)), "thin": thin, "alone": alone, "broken": broken, "people": people,
    "pieces": pieces, "wand": with_a_wand,
}  # fmt: skip
