"""Takes of a board or of people by cameras of which some move: the truth is known, all from seeds."""

import numpy as np
from ring_rigs import look_at

from calib import Camera, Lens, Rig
from calib.geometry import pose, rotation_from_vector, vector_from_rotation
from calib.observations import Observations
from calib.targets import Target, free_points

SIZE = (1920, 1080)
MOMENTS = 120
PIXELS = 0.2


def arc(count=4):
    """Cameras on an arc of 150 degrees, 4 m from the middle."""
    cameras = []
    for index, angle in enumerate(np.deg2rad(np.linspace(-75, 75, count))):
        K = [[1100.0 + 5 * index, 0, 960], [0, 1102.0 + 5 * index, 540], [0, 0, 1]]
        place = look_at((4 * np.cos(angle), 4 * np.sin(angle), 1.8 + 0.2 * (index % 3)))
        cameras.append(Camera(Lens(f"cam{index + 1}", SIZE, K, [-0.08, 0.02, 0, 0, 0]), place))
    return Rig(tuple(cameras))


def calibrated(rig, rng):
    """The rig as a real calibration has it: 0.02 degrees, 0.5 mm, 0.1 % of the lens off."""
    cameras = []
    for camera in rig:
        R = rotation_from_vector(rng.normal(0, np.deg2rad(0.02), 3)) @ camera.cam_from_world[:3, :3]
        place = camera.position + rng.normal(0, 0.0005, 3)
        K = np.array(camera.lens.K)
        K[[0, 1], [0, 1]] *= 1 + rng.normal(0, 0.001, 2)
        K[:2, 2] += rng.normal(0, 0.5, 2)
        bent = camera.lens.distortion + rng.normal(0, 0.002) * np.array([1, 0, 0, 0, 0])
        cameras.append(Camera(Lens(camera.name, SIZE, K, bent), pose(R, -R @ place)))
    return Rig(tuple(cameras))


def bumped(rig, index, degrees, shift_m=0.002, zoom=1.0, seed=3):
    """The rig with one camera turned about an axis across its view, shifted, and zoomed."""
    rng = np.random.default_rng(seed)
    axis = np.append(rng.normal(size=2), 0.3)
    camera = rig[index]
    turn = rotation_from_vector(np.deg2rad(degrees) * axis / np.linalg.norm(axis))
    R = turn @ camera.cam_from_world[:3, :3]
    place = camera.position + shift_m * rng.normal(size=3) / 1.7
    K = np.array(camera.lens.K)
    K[[0, 1], [0, 1]] *= zoom
    new = Camera(Lens(camera.name, SIZE, K, camera.lens.distortion), pose(R, -R @ place))
    return Rig(tuple(new if row == index else old for row, old in enumerate(rig)))


def wander(rng, moments, width, pace=15):
    """Smooth random ways (T, width), one about every `pace` moments."""
    from scipy.interpolate import CubicSpline

    knots = moments // pace + 4
    return CubicSpline(np.arange(knots), rng.normal(size=(knots, width)))(np.linspace(0, knots - 1, moments))


def board_places(rng, moments):
    """A board of 20 points and where they are, (T, 20, 3): it is waved in the middle, its front to the cameras."""
    grid = np.stack(np.meshgrid(np.arange(5) * 0.12, np.arange(4) * 0.12), -1).reshape(-1, 2)
    target = Target("board", np.c_[grid, np.zeros(len(grid))])
    facing = np.array([[0, 0, -1.0], [1, 0, 0], [0, -1, 0]])
    R = rotation_from_vector(0.4 * wander(rng, moments, 3)) @ facing
    middle = wander(rng, moments, 3) * (0.5, 0.5, 0.3) + (0, 0, 1.1)
    return target, np.einsum("tij,nj->tni", R, target.points - target.points.mean(0)) + middle[:, None]


def body_places(rng, moments, people=2, joints=15):
    """Joints (T, N, 3) of people who walk about."""
    ways = [wander(rng, moments, 2, 30) for _ in range(people)]
    shape = rng.normal((0, 0, 1.0), (0.2, 0.2, 0.45), (people, joints, 3))
    shake = 0.1 * wander(rng, moments, people * joints * 3, 10).reshape(moments, people, joints, 3)
    places = np.stack(ways, 1)[:, :, None] * 0.7 @ np.eye(2, 3) + shape + shake
    return free_points(people * joints), places.reshape(moments, -1, 3)


def filmed(rigs, since, target, places, noise, rng):
    """Observations by rigs that hold since moments; noise (C, T, N, 2) px has a standard deviation of `noise`."""
    stops = [*since[1:], len(places)]
    xy = np.concatenate([rig.project(places[a:b]) for rig, a, b in zip(rigs, since, stops, strict=True)], 1)
    inside = ((xy > 0) & (xy < np.array(SIZE) - 1)).all(-1)
    spread = rng.normal(0, noise, xy.shape) if np.isscalar(noise) else noise
    sigma = np.full(inside.shape, np.std(spread))
    times = np.tile(np.arange(len(places)) / 10, (len(rigs[0]), 1))
    names = tuple(f"{moment / 10:.1f} s" for moment in range(len(places)))
    xy = np.where(inside[..., None], xy + spread, np.nan)
    return Observations(target, rigs[0].names, (SIZE,) * len(rigs[0]), xy, sigma, times, names)


def board_take(seed, *, cameras=4, moments=MOMENTS, **bump):
    """A calibration, a take of a board in which one camera may be bumped, the rigs that hold, and since when."""
    rng = np.random.default_rng(seed)
    true = arc(cameras)
    at = int(rng.integers(moments // 4, 3 * moments // 4)) if bump.pop("middle", True) else 0
    rigs, since = ([true, bumped(true, **bump)], [0, at]) if bump else ([true], [0])
    rigs, since = (rigs[1:], [0]) if bump and at == 0 else (rigs, since)
    target, places = board_places(rng, moments)
    return calibrated(true, rng), filmed(rigs, since, target, places, PIXELS, rng), rigs, at


def off(rig, truth, name):
    """The small motion (6,) in the camera's frame between where it is said to be and where it is."""
    motion = truth[name].cam_from_world @ np.linalg.inv(rig[name].cam_from_world)
    return np.append(vector_from_rotation(motion[:3, :3]), motion[:3, 3])


def people_take(seed, degrees):
    rng = np.random.default_rng(seed)
    true = arc(5)
    target, places = body_places(rng, 250)
    white = rng.normal(size=(5, 250, len(target), 2))
    noise = np.empty_like(white)
    noise[:, 0] = white[:, 0]
    for moment in range(1, 250):  # correlated over some ten frames
        noise[:, moment] = 0.9 * noise[:, moment - 1] + np.sqrt(1 - 0.81) * white[:, moment]
    noise = 3 * noise
    wild = rng.random(noise.shape[:3]) < 0.02
    noise = np.where(wild[..., None], 60 * rng.normal(size=noise.shape), noise)
    at = int(rng.integers(80, 170)) if degrees else 0
    rigs, since = ([true, bumped(true, 3, degrees)], [0, at]) if degrees else ([true], [0])
    seen = filmed(rigs, since, target, places, noise, rng)
    sigma = np.where(np.isfinite(seen.sigma), 3.0, np.nan)
    return (
        calibrated(true, rng),
        Observations(target, seen.views, seen.sizes, seen.xy, sigma, seen.time_s, seen.moments),
        at,
    )
