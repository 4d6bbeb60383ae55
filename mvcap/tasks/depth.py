"""Training task of the root depth ``distance_aware``: how far a person is, from its joints in a single view.

People of synthetic takes are seen by cameras of any height, tilt, distance and field of view (35 to 110 degrees), by a
simulated 2D estimator. The target is the logarithm of the distance of the root over k and over the body's size, so the
network cannot know anybody's stature; how far that is from the distance in metres is measured with the real
distribution of statures (``mvcap.synthesis.bodies``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calib import Camera, Lens, Rig
from calib.arrays import Floats
from calib.geometry import pose, rotation_from_vector
from mvcap.root_depths.distance_aware_features import FEATURES, JOINTS, person_crops
from mvcap.structures.anthropometry import body_scale
from mvcap.structures.poses import Poses3D
from mvcap.structures.synthetic_take import SyntheticTake
from mvcap.structures.view_track import ViewTrack
from mvcap.synthesis.detector_errors import OPENPOSE, OPENPOSE_WEAK, TOPDOWN
from mvcap.synthesis.detector_simulator import simulate_detector
from mvcap.training.task import NetworkAxes, Sample

if TYPE_CHECKING:
    import torch

_VIEWS = 8
_MOMENTS = 5  # of a track that are kept: a take is short, and neighbouring frames are alike
_FIELD_DEG = (35.0, 110.0)
_DISTANCE_M = (1.3, 16.0)
_HEIGHT_M = ((0.4, 2.2), (0.1, 6.0))
_SIZES = ((640, 480), (1280, 720), (1920, 1080), (1080, 1920), (3840, 2160))
_ROLL = 0.12  # rad
_OFF_AXIS = 0.75  # of half the field of view: how far from the middle of the picture a person may be
_LEAST_JOINTS = 4
_MOST_PEOPLE = 1000  # of a take: numbers of people of different takes differ
_KINDS, _KIND_SHARES = (OPENPOSE, OPENPOSE_WEAK, TOPDOWN), (0.5, 0.2, 0.3)
_RANGE_SAMPLES = 4000  # samples from which the range of the features is computed
_CLIP = 25.0  # squared error, in standard deviations, above which the loss grows as its logarithm
_DEVIATIONS_95 = 1.96  # standard deviations of a normal distribution on both sides of its mean


class DepthTask:
    """Task ``depth``: how far a person is from a single camera, for the root depth ``distance_aware``."""

    name = "depth"
    batch_size = 96
    defaults: Mapping[str, Any] = {
        "takes": 1500, "steps": 5000, "held_out_takes": 200, "threads": 1, "rate": 1.5e-3,
        "take": {"people": [1, 4], "cameras": [2, 2], "frames": 20, "rate_hz": [10.0, 30.0]},
    }  # fmt: skip
    better: Mapping[str, str] = {"error_share": "lower"}
    about = (
        "Distance of a person's root over k, the distance that the size of its crop tells, from the joints of one "
        "frame of one view; root depth distance_aware"
    )
    limitations = (
        "One view does not tell the stature: the distance is right for the size that the lifted body has.",
        "Detections are simulated; motion is that of the clips and of synthetic people.",
    )
    sizes = NetworkAxes(inputs={"node": {0: "B"}}, outputs={"log_ratio": {0: "B"}, "log_sigma": {0: "B"}})

    def samples(self, take: SyntheticTake, seed: int) -> list[Sample]:
        """Tracks of every person of a take in random views."""
        rng = np.random.default_rng(seed)
        tracks = [one for _ in range(_VIEWS) for one in seen_tracks(take.truth, take.rate_hz, rng)]
        made: list[Sample] = []
        for person, track, root in tracks:
            if one := _sample(track, root, take.truth[take.truth.person == person], rng):
                made.append({**one, "who": np.array([seed * _MOST_PEOPLE + person], np.int64)})
        return made

    def limits(self, samples: Sequence[Sample]) -> dict[str, Floats]:
        """Range of each feature of detected joints, without the outermost 0.1 %."""
        node = np.concatenate([np.asarray(one["node"]) for one in samples[:_RANGE_SAMPLES]]).astype(np.float64)
        low, high = np.quantile(node[node[..., 3] > 0], (0.0005, 0.9995), axis=0)
        return {"node_low": low, "node_high": high}

    def network(self) -> torch.nn.Module:
        """Return a network with initial weights."""
        from mvcap.nn import root_depth

        return root_depth.RootDepthNet(len(JOINTS), FEATURES)

    def batch(self, samples: Sequence[Sample]) -> dict[str, NDArray[np.generic]]:
        """Frames of all tracks as one batch."""
        return {name: np.concatenate([one[name] for one in samples]) for name in ("node", "log_ratio")}

    def loss(self, network: torch.nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Negative log likelihood of the logarithm of the distance, clipped for outliers, plus its absolute error."""
        import torch

        found, log_sigma = network(batch["node"])
        error = batch["log_ratio"] - found
        square = (error / log_sigma.exp()) ** 2
        far = _CLIP * (1 + (square.clamp(min=_CLIP) / _CLIP).log())
        whole: torch.Tensor = (0.5 * torch.where(square > _CLIP, far, square) + log_sigma + 2 * error.abs()).mean()
        return whole

    def metrics(self, network: torch.nn.Module, samples: Iterable[Sample]) -> dict[str, float]:
        """Errors as shares of the distance, with and without the unknown stature, and the calibration."""
        import torch

        held = list(samples)
        batch = {name: torch.from_numpy(value) for name, value in self.batch(held).items()}
        with torch.no_grad():
            loss = float(self.loss(network, batch))
            found, log_sigma = (one.numpy().astype(np.float64) for one in network(batch["node"]))
        target = batch["log_ratio"].numpy()
        counts = [len(one["log_ratio"]) for one in held]
        size = np.log(np.repeat([float(one["size"][0]) for one in held], counts))
        person = np.repeat([int(one["who"][0]) for one in held], counts)
        track = np.repeat(np.arange(len(held)), counts)
        error = target - found
        off, even = np.abs(error) / np.exp(log_sigma), person // _MOST_PEOPLE % 2 == 0
        factor = deviation_factor(off[even])
        rest = off[~even] if not even.all() else off
        return {
            "loss": loss,
            "constant_share": float(np.abs(target - np.median(target)).mean()),
            "error_share": float(np.abs(error).mean()),
            "error_share_median": float(np.median(np.abs(error))),
            "error_share_real_statures": float(np.abs(error + size - np.median(size)).mean()),
            "person_share": common_spread(error, person, track),
            "deviation_factor": factor,
            "inside_68": float((rest < factor).mean()),
            "inside_95": float((rest < _DEVIATIONS_95 * factor).mean()),
        }


def deviation_factor(off: Floats) -> float:
    """Return the factor on standard deviations with which as nearly as both can be 68 and 95 % of errors are inside.

    off (N,): absolute errors over the stated standard deviations. 1 without any.
    """
    if not len(off):
        return 1.0
    factors = np.exp(np.linspace(-1.5, 1.5, 301))
    ordered = np.sort(off)
    inside = [np.searchsorted(ordered, factors * limit) / len(off) for limit in (1.0, _DEVIATIONS_95)]
    return float(factors[np.argmin(np.abs(inside[0] - 0.6827) + np.abs(inside[1] - 0.95))])


def common_spread(error: Floats, person: NDArray[np.integer], track: NDArray[np.integer]) -> float:
    """Standard deviation of the part of errors (N,) that all tracks of a person share, whatever the view.

    It is the root of the mean product of the errors of two tracks of one person, 0 where that is negative.
    """
    mean, total, pairs = error - error.mean(), 0.0, 0
    for one in np.unique(person):
        mine = person == one
        tracks = [float(mean[mine & (track == each)].mean()) for each in np.unique(track[mine])]
        count = len(tracks)
        total += sum(tracks) ** 2 - sum(value**2 for value in tracks)
        pairs += count * (count - 1)
    return float(np.sqrt(max(total / pairs, 0.0))) if pairs else 0.0


def seen_tracks(
    truth: Poses3D, rate_hz: float, rng: np.random.Generator, field_deg: tuple[float, float] = _FIELD_DEG
) -> list[tuple[int, ViewTrack, Floats]]:
    """Return what a random camera of a simulated 2D estimator sees of the people of a scene.

    Of each person who is seen: the id, the track, and the true middle of the hips (T, 3) m in the camera's frame.
    """
    if not len(truth):
        return []
    camera = _random_view(truth, rng, field_deg)
    model = _KINDS[int(rng.choice(len(_KINDS), p=_KIND_SHARES))].randomised(rng)
    rig = Rig((camera,))
    rows, whose = simulate_detector(model, truth, rig, rng, rate_hz)
    person = SyntheticTake(truth, rig, rig, rate_hz, rows, whose).person
    hips = [truth.skeleton.index(f"{side}_hip") for side in ("left", "right")]
    root = (
        truth.xyz[:, hips].astype(np.float64).mean(1) @ camera.cam_from_world[:3, :3].T + camera.cam_from_world[:3, 3]
    )
    out = []
    for one in np.unique(person[person > 0]).tolist():
        mine = np.flatnonzero(person == one)
        most = {int(rows.frame[at]): at for at in mine[np.argsort((rows.score[mine] > 0).sum(-1), kind="stable")]}
        there = np.flatnonzero(truth.person == one)
        frames = [(frame, at) for frame in truth.frame[there] if (at := most.get(int(frame))) is not None]
        if not frames:
            continue
        seen = rows[[at for _, at in frames]]
        held = {int(truth.frame[at]): at for at in there}
        place = root[[held[int(frame)] for frame, _ in frames]]
        track = ViewTrack(
            rows.skeleton, camera.lens, seen.frame / rate_hz, seen.xy.astype(np.float64),
            seen.score.astype(np.float64), seen.noise_px.astype(np.float64),
        )  # fmt: skip
        out.append((one, track, place))
    return out


def _sample(track: ViewTrack, root: Floats, truth: Poses3D, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Some frames of a track, half of them mirrored; empty where too few joints are seen."""
    crops = person_crops(track)
    distance = np.linalg.norm(root, axis=-1)
    usable = np.flatnonzero((crops.node[..., 3].sum(-1) >= _LEAST_JOINTS) & (root[:, 2] > 0))
    if not len(usable):
        return {}
    some = np.unique(usable[np.linspace(0, len(usable) - 1, min(_MOMENTS, len(usable))).round().astype(int)])
    size = float(np.median(body_scale(truth.skeleton, truth.xyz)))
    node = np.where(rng.random((len(some), 1, 1)) < 0.5, crops.mirrored()[some], crops.node[some])
    ratio = np.log(distance[some] / (crops.k_m[some] * size))
    return {
        "node": node.astype(np.float32),
        "log_ratio": ratio.astype(np.float32),
        "size": np.array([size], np.float32),
    }


def _random_view(truth: Poses3D, rng: np.random.Generator, field_deg: tuple[float, float]) -> Camera:
    """Return a camera that has a person of the scene in its picture, anywhere in it."""
    size = _SIZES[int(rng.integers(len(_SIZES)))]
    field = np.deg2rad(rng.uniform(*field_deg))
    focal = max(size) / 2 / np.tan(field / 2)
    K = np.array([[focal, 0, (size[0] - 1) / 2], [0, focal, (size[1] - 1) / 2], [0, 0, 1]])
    goal = np.median(truth.xyz[rng.integers(len(truth))].astype(np.float64), axis=0)
    way = float(np.exp(rng.uniform(*np.log(_DISTANCE_M))))
    height = rng.uniform(*_HEIGHT_M[int(rng.random() < 0.4)]) - goal[2]
    flat = np.sqrt(max(way**2 - height**2, (0.3 * way) ** 2))
    angle = rng.uniform(0, 2 * np.pi)
    place = goal + np.array([flat * np.cos(angle), flat * np.sin(angle), height])
    ahead = (goal - place) / np.linalg.norm(goal - place)
    right = np.cross(ahead, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    half = np.arctan(np.array(size) / 2 / focal)
    off = rng.uniform(-1, 1, 2) * _OFF_AXIS * half
    turn = rotation_from_vector(np.array([0.0, 0.0, rng.normal(0, _ROLL)]))
    turn = turn @ rotation_from_vector(np.array([off[1], off[0], 0.0]))
    R = turn @ np.stack([right, np.cross(ahead, right), ahead])
    return Camera(Lens("view", size, K, np.zeros(0)), pose(R, -R @ place))
