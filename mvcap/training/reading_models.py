"""Error models of two readings of people in one view: a top-down lifter and a bottom-up method, on generated takes.

The top-down reading follows the simulated 2D detections along their rays, so what they mistake it mistakes: a limb of
another person, a hidden joint somewhere else. Its depth has the errors of a lifter, which grow along limbs, and at
times the mirrored depth of a limb. The bottom-up reading has the right person, as it is grouped in the picture: it is
read by ``pose_map_readout`` from occlusion-robust pose maps with noise, in true depth order, or is a direct estimate of
metric joints. No network is run: sizes of errors are our choice, near those published for such methods, and vary from
take to take. Both readings state covariances, which do not know of mistakes and are wrong by a factor of each take.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calib import Camera
from calib.arrays import Bools, Floats, Ints
from calib.geometry import transform
from mvcap.datasets.body_volumes import joint_visibility
from mvcap.datasets.ground_truth import JointVisibility
from mvcap.datasets.pose_maps import MapsConfig, pose_maps
from mvcap.estimation.pose_map_readout import (
    MAPS_SKELETON,
    NECK_JOINT,
    ROOT_JOINT,
    ReadOutConfig,
    map_cells,
    read_pose_maps,
)
from mvcap.integration.body_readings import BodyReadings, covered_by_others
from mvcap.structures.ray_frames import turns_to_rays
from mvcap.structures.skeleton import Skeleton, skeleton
from mvcap.structures.synthetic_take import SyntheticTake

BODY: Skeleton = skeleton("halpe26")
_PELVIS = BODY.index("pelvis")
_PARENT = {
    "neck": "pelvis", "hip": "pelvis", "knee": "hip", "ankle": "knee", "heel": "ankle", "toe": "ankle",
    "shoulder": "neck", "elbow": "shoulder", "wrist": "elbow", "nose": "neck", "eye": "neck", "ear": "neck",
    "top": "neck",
}  # fmt: skip
_STEP_M = {"neck": 0.03, "hip": 0.015, "knee": 0.04, "ankle": 0.045, "heel": 0.02, "toe": 0.02, "shoulder": 0.02,
           "elbow": 0.045, "wrist": 0.05, "nose": 0.03, "eye": 0.03, "ear": 0.025, "top": 0.03}  # fmt: skip
"""Standard deviation of a joint's depth beyond what it inherits from its parent, m."""
_INHERITED = 0.8
_UNSEEN = 1.6  # factor on the errors of joints that are not detected or hidden
_SNAP, _SNAP_M = 0.3, 0.45  # share of joints hidden by others that are taken from them, if so near in the picture
_FLIP = 0.04  # share of forearms and shanks whose depth is mirrored at their parent
_FARTHEST_M = 0.4  # a lifter does not follow a 2D error farther than this, about
_ROOT_SHARE = 0.06  # standard deviation of a root's distance, as a share of it
_CELLS, _PATCH = 160, 4  # cells of the maps along the longer side of the picture; cells that share their noise
_CONFIDENCE, _CONFIDENCE_HIDDEN, _CONFIDENCE_SPREAD = 1.5, 1.8, 0.8
"""Confidence of joints of the heatmaps, logit: of visible ones, its decrease for hidden ones, its deviation; as of
``DetectorModel``."""
_MISSED = 0.35  # share of hidden joints that the heatmaps lack
_PLACE = (1.0, 1.1, 1.2, 1.4)
"""Factor on the noise of the maps at the joint itself, one and two joints nearer to the trunk, at the trunk: a trained
network knows a limb less well there. Whole poses read at the trunk only have 9.8 points 3DPCK less than with limbs read
again in the source of the maps (Mehta et al. 2018), as factors of about this size give for errors of 75 mm an axis."""


@dataclass(frozen=True)
class ReadingErrors:
    """How large the errors of one take's methods are."""

    depth: float
    """Factor on the lifter's errors in depth."""
    stated: tuple[float, float]
    """Factors on the standard deviations that both methods state."""
    map_noise_m: float
    """Standard deviation of the pose maps along each axis."""
    direct: bool
    """Whether the bottom-up reading is a direct estimate of metric joints instead of pose maps."""
    direct_noise: float
    """Factor on its errors, relative to those of the lifter's depth."""
    common: float
    """Correlation of errors of depth of both, where the second is a direct estimate."""


@dataclass(frozen=True, eq=False)
class ReadingPair:
    """P people of one view and moment as two methods read them, with the truth; joints are those of ``halpe26``."""

    first: BodyReadings
    """Top-down."""
    second: BodyReadings
    """Bottom-up."""
    rays: Floats
    """(P, 3) unit vectors towards the roots."""
    covered: Floats
    """(P, J) how much a detected joint lies on another person, 0..1."""
    nearer: Floats
    """(P, J) chance that this other is nearer, by noisy distances of the roots."""
    truth: Floats
    """(P, J, 3) m along the camera's axes about the root."""
    hidden: Bools
    """(P, J) whether another person hides the joint."""
    xy: Floats
    """(P, J, 2) px, true joints in the picture."""
    detected: Floats
    """(P, J, 2) px as detected, NaN where missing."""
    score: Floats
    """(P, J) of the detections, 0 where missing."""
    root: Floats
    """(P, 3) m, true roots in the camera's frame."""
    person: Ints
    """(P,) true persons."""


def random_errors(rng: np.random.Generator) -> ReadingErrors:
    """Return methods of about usual quality."""
    stated = np.exp(rng.normal(0, 0.25, 2))
    return ReadingErrors(
        float(np.exp(rng.normal(0, 0.3))), (float(stated[0]), float(stated[1])), float(rng.uniform(0.03, 0.06)),
        bool(rng.random() < 0.4), float(np.exp(rng.normal(0.1, 0.25))), float(rng.uniform(0, 0.5)),
    )  # fmt: skip


def reading_pair(
    take: SyntheticTake, view: int, frame: int, errors: ReadingErrors, rng: np.random.Generator
) -> ReadingPair | None:
    """Return both readings of the people whom a view detects in a frame; None if it detects none."""
    mine = take.truth[take.truth.frame == frame]
    rows = np.flatnonzero((take.rows.frame == frame) & (take.rows.view == view))
    camera = take.seen_by[view]
    places = transform(camera.cam_from_world, mine.xyz.astype(np.float64))
    detected = _detected(take, rows, mine.person)
    there = (detected[0] > 0).any(-1) & (places[:, _PELVIS, 2] > 0.5) & np.isfinite(places).all((-1, -2))
    if not there.any():
        return None
    states, xy = joint_visibility(camera, BODY, mine.xyz.astype(np.float64))
    score, seen_xy = (part[there] for part in detected)
    places, states, xy = places[there], states[there], xy[there]
    hidden = states == JointVisibility.OCCLUDED
    truth = places - places[:, _PELVIS, None]
    unseen = hidden | (score == 0)
    depth_error = _limb_errors(rng, unseen) * errors.depth
    first = _top_down(camera, places, seen_xy, score, hidden, depth_error, errors, rng)
    if errors.direct:
        second = _direct(places, score, unseen, depth_error, errors, rng)
    else:
        second = _from_maps(camera, places, states, xy, errors, rng)
    covered, whom = covered_by_others(BODY, seen_xy)
    distance = places[:, _PELVIS, 2] * (1 + _ROOT_SHARE * rng.standard_normal(len(places)))
    gap = np.where(whom >= 0, (distance[:, None] - distance[whom]) / (1.4 * _ROOT_SHARE * distance[:, None]), 0.0)
    rays = places[:, _PELVIS] / np.linalg.norm(places[:, _PELVIS], axis=-1, keepdims=True)
    return ReadingPair(first, second, rays, covered, 1 / (1 + np.exp(-1.7 * gap)), truth, hidden, xy, seen_xy,
                       score, places[:, _PELVIS], mine.person[there].astype(np.int64))  # fmt: skip


def map_noise(shape: tuple[int, ...], sigma_m: float, rng: np.random.Generator) -> Floats:
    """Return noise of maps (J, 3, h, w) m that is the same in patches of 4 x 4 cells: reading twice does not help."""
    joints, axes, rows, columns = shape
    coarse = rng.normal(0, sigma_m, (joints, axes, -(-rows // _PATCH) + 1, -(-columns // _PATCH) + 1))
    y, x = (np.arange(n) + rng.integers(_PATCH) for n in (rows, columns))
    return np.asarray(coarse[:, :, y[:, None] // _PATCH, x[None] // _PATCH])


def _detected(take: SyntheticTake, rows: Ints, people: NDArray[np.integer]) -> tuple[Floats, Floats]:
    """Score (P, J) and pixels (P, J, 2) of each person's best row, in joints of ``BODY`` by name; 0 and NaN without."""
    kind = take.rows.skeleton
    at = np.array([kind.joints.index(name) if name in kind.joints else -1 for name in BODY.joints])
    score, xy = np.zeros((len(people), len(BODY))), np.full((len(people), len(BODY), 2), np.nan)
    owner = take.whose[rows]
    for person, number in enumerate(people.tolist()):
        count = (owner == number).sum(1)
        if not count.max(initial=0):
            continue
        row = rows[int(count.argmax())]
        got = (at >= 0) & (take.rows.score[row][at] > 0)
        score[person] = np.where(got, take.rows.score[row][at], 0.0)
        xy[person] = np.where(got[:, None], take.rows.xy[row][at], np.nan)
    return score, xy


def _part(joint: str) -> str:
    return joint.rpartition("_")[2]


def _chain() -> list[tuple[int, int, float]]:
    """Joint, parent and own deviation, m, from the root outwards."""
    out, done = [], {_PELVIS}
    while len(done) < len(BODY):
        for at, name in enumerate(BODY.joints):
            if at in done:
                continue
            parent = _PARENT[_part(name)]
            side = name.split("_")[0]
            up = parent if parent in BODY.joints else f"{side}_{parent}"
            if BODY.index(up) in done:
                out.append((at, BODY.index(up), _STEP_M[_part(name)]))
                done.add(at)
    return out


_CHAIN = _chain()


def _limb_errors(rng: np.random.Generator, unseen: Bools) -> Floats:
    """Errors (P, J) m that grow along limbs, larger for unseen joints."""
    out = np.zeros(unseen.shape)
    for joint, parent, step in _CHAIN:
        own = step * np.where(unseen[:, joint], _UNSEEN, 1.0) * rng.standard_normal(len(unseen))
        out[:, joint] = _INHERITED * out[:, parent] + own
    return out


def _limb_sigma() -> Floats:
    """Standard deviations (J,) m of ``_limb_errors`` of seen joints; for the root, which has none, 1 mm."""
    out = np.full(len(BODY), 1e-6)
    for joint, parent, step in _CHAIN:
        out[joint] = _INHERITED**2 * out[parent] + step**2
    return np.asarray(np.sqrt(out))


def _top_down(
    camera: Camera, places: Floats, xy: Floats, score: Floats, hidden: Bools, depth_error: Floats,
    errors: ReadingErrors, rng: np.random.Generator,
) -> BodyReadings:  # fmt: skip
    """A lifter's reading: detections along their rays, with errors of depth."""
    relative = places - places[:, _PELVIS, None]
    depth = relative[..., 2] + depth_error
    for joint, parent, _ in _CHAIN:
        if _part(BODY.joints[joint]) in ("wrist", "ankle"):
            flip = rng.random(len(places)) < _FLIP
            depth[flip, joint] = 2 * depth[flip, parent] - depth[flip, joint]
    depth[:, _PELVIS] = 0
    along = np.maximum(depth + places[:, _PELVIS, None, 2], 0.3)
    sigma = np.broadcast_to(_limb_sigma(), score.shape)
    ideal = places[..., :2] / places[..., 2:]
    flat = np.where(np.isfinite(xy), camera.lens.undistort(np.nan_to_num(xy)), ideal)
    flat = _snapped(flat, places, hidden, rng)
    away = (flat - ideal) * along[..., None]
    missing = (score == 0)[..., None]
    away = np.where(missing, 0.8 * _UNSEEN * sigma[..., None] * rng.standard_normal(away.shape), away)
    far = np.linalg.norm(away, axis=-1, keepdims=True)
    away = away * _FARTHEST_M * np.tanh(far / _FARTHEST_M) / np.maximum(far, 1e-9)
    away += 0.012 * rng.standard_normal(away.shape)
    joints = np.concatenate([ideal * along[..., None] + away, along[..., None]], -1) - places[:, _PELVIS, None]
    pixel = places[:, _PELVIS, 2, None] * 0.01 * (1 + 2 * (1 - score)) / 4
    across = np.where(score == 0, 0.8 * _UNSEEN * sigma, np.hypot(0.015, pixel)) * errors.stated[0]
    deep = sigma * errors.depth * (1 + 0.6 * (1 - score)) * errors.stated[0]
    return BodyReadings(BODY, joints, _along_rays(places, across, deep), np.where(score == 0, 0.03, score))


def _snapped(flat: Floats, places: Floats, hidden: Bools, rng: np.random.Generator) -> Floats:
    """Joints in the picture (P, J, 2), some hidden ones at the same joint of the nearest other person."""
    if len(flat) < 2:
        return flat
    apart = np.linalg.norm(flat[:, None] - flat[None], axis=-1) + np.where(np.eye(len(flat)), np.inf, 0)[..., None]
    other = apart.argmin(1)
    near = np.take_along_axis(apart, other[:, None], 1)[:, 0] * places[:, _PELVIS, None, 2] < _SNAP_M
    snap = hidden & near & (rng.random(hidden.shape) < _SNAP)
    return np.where(snap[..., None], flat[other, np.arange(flat.shape[1])], flat)


def _along_rays(places: Floats, across: Floats, along: Floats) -> Floats:
    """Covariances (P, J, 3, 3) m^2 in the camera's frame from deviations across and along the joints' rays."""
    turn = turns_to_rays(places)
    variance = np.stack([across, across, along], -1) ** 2
    return np.asarray(turn @ (variance[..., None] * turn.swapaxes(-1, -2)))


def _direct(
    places: Floats, score: Floats, unseen: Bools, depth_error: Floats, errors: ReadingErrors, rng: np.random.Generator
) -> BodyReadings:
    """Metric joints estimated from the picture itself: the right person, errors along all axes."""
    own = np.stack([_limb_errors(rng, unseen) for _ in range(3)], -1) * errors.direct_noise * errors.depth
    own[..., 2] = errors.common * depth_error + np.sqrt(1 - errors.common**2) * own[..., 2]
    sigma = np.broadcast_to(_limb_sigma(), score.shape) * errors.direct_noise * errors.depth * errors.stated[1]
    sure = np.clip(score + rng.normal(0, 0.15, score.shape), 0.02, 1)
    wide = sigma * (1 + 0.6 * (1 - sure))
    return BodyReadings(BODY, places - places[:, _PELVIS, None] + own, _along_rays(places, wide, wide), sure)


def _from_maps(
    camera: Camera, places: Floats, states: NDArray[np.uint8], xy: Floats, errors: ReadingErrors,
    rng: np.random.Generator,
) -> BodyReadings:  # fmt: skip
    """Read from occlusion-robust pose maps with noise, at joints of the right person."""
    at = np.array([BODY.index(name) for name in MAPS_SKELETON.joints])
    stride = max(round(max(camera.size) / _CELLS), 1)
    places, states, xy = places[:, at], states[:, at], xy[:, at]
    maps, weight = pose_maps(xy, places, states, camera.size, MapsConfig(stride))
    maps = np.where(weight[:, None] > 0, maps, np.nan)
    cells = map_cells(xy, stride) + rng.normal(0, 0.4, xy.shape)
    score = _confidence(states, rng)
    read = read_pose_maps(maps, cells, score, ReadOutConfig())
    sigma = errors.map_noise_m * place_factors(read.read_at)
    joints = read.joints + sigma[..., None] * noise_read_at(map_noise(maps.shape, 1.0, rng), cells, read.read_at)
    known = np.isfinite(joints).all(-1)
    stated = np.where(known, sigma * errors.stated[1], np.nan)
    sure = np.where(known, np.take_along_axis(score, np.maximum(read.read_at, 0), 1), 0.0)
    part = BodyReadings(MAPS_SKELETON, joints, stated[..., None, None] ** 2 * np.eye(3), sure)
    return part.as_skeleton(BODY)


def _confidence(states: NDArray[np.uint8], rng: np.random.Generator) -> Floats:
    """Confidence (P, J) of joints in the heatmaps, 0..1; 0 where they are missed or out of view."""
    hidden = np.isin(states, (JointVisibility.OCCLUDED, JointVisibility.SELF_OCCLUDED))
    logit = _CONFIDENCE - _CONFIDENCE_HIDDEN * hidden + _CONFIDENCE_SPREAD * rng.standard_normal(states.shape)
    missed = hidden & (rng.random(states.shape) < _MISSED)
    missed |= np.isin(states, (JointVisibility.UNKNOWN, JointVisibility.OUT_OF_VIEW))
    return np.where(missed, 0.0, 1 / (1 + np.exp(-logit)))


def place_factors(read_at: Ints) -> Floats:
    """Factor (P, J) on the noise of the maps by where each joint was read, joint indices (P, J); 1 where nowhere."""
    joint = np.broadcast_to(np.arange(len(MAPS_SKELETON)), read_at.shape)
    depth = np.array([_steps(name) for name in MAPS_SKELETON.joints])
    steps = np.where(np.isin(read_at, (NECK_JOINT, ROOT_JOINT)), 3, depth[joint] - depth[np.maximum(read_at, 0)])
    trunk = (joint == read_at) | (read_at < 0) | (depth[joint] == 0)
    return np.asarray(np.array(_PLACE)[np.where(trunk, 0, np.clip(steps, 0, 3))])


def _steps(joint: str) -> int:
    """Joints between a joint and the trunk."""
    return {"elbow": 1, "knee": 1, "wrist": 2, "ankle": 2}.get(_part(joint), 0)


def noise_read_at(noise: Floats, cells: Floats, read_at: Ints) -> Floats:
    """Return the noise (P, J, 3) of each joint's map at the cell where it was read."""
    at = np.take_along_axis(cells, np.maximum(read_at, 0)[..., None], 1)
    column, row = (np.clip(np.rint(np.nan_to_num(at[..., k])).astype(int), 0, noise.shape[3 - k] - 1) for k in (0, 1))
    return np.asarray(noise[np.arange(noise.shape[0]), :, row, column])
