"""Training task of PRG, the graph of one person's joints: positions of joints that ``bones`` estimates badly.

People are triangulated from the views of synthetic takes with correct association, and solved by ``bones``. In addition
to occlusions in the take, limbs are removed from all views but one, or from all, for a while. Some cases are mixtures
of two people, which the network has to recognise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Bools, Floats
from mvcap.refiners.bones import rows_from, solve_window
from mvcap.refiners.graph import GraphRefinerConfig
from mvcap.refiners.graph_features import BODY, STEPS_S, has_torso, window_features
from mvcap.structures.anthropometry import limb_lengths
from mvcap.structures.contracts import Evidence
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton, skeleton
from mvcap.structures.synthetic_take import SyntheticTake
from mvcap.training.task import NetworkAxes, Sample
from mvcap.triangulation.calibration_error import excess_error_px, with_calibration_error
from mvcap.triangulation.robust_triangulation import TriangulateConfig, triangulate_rows

if TYPE_CHECKING:
    import torch


_SKELETONS = ("halpe26", "halpe26", "body25", "coco17", "panoptic19", "humaneva15")
_LENGTH_SIGMA, _LENGTH_SCATTER = 0.015, 0.01  # relative sigma of a limb's estimated length, and its scatter over time
_MEDIAN_NORM = 1.1774  # median norm of a two-dimensional standard normal vector
_LEARNED_SPREAD = 0.3  # standard deviation of the logarithm of the estimated calibration error
_ARM, _LEG = ("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle", "heel", "toe")
_GROUPS: Sequence[tuple[tuple[str, ...], float]] = (
    (("wrist",), 1.0), (("elbow", "wrist"), 1.5), (_ARM, 1.0), (("ankle", "heel", "toe"), 1.0),
    (("knee", "ankle", "heel", "toe"), 1.5), (_LEG, 1.0), ((*_LEG, "pelvis"), 1.5),
    ((*_ARM, "nose", "eye", "ear", "head", "neck", "thorax"), 0.7), (("",), 1.0),
)  # fmt: skip
_BOTH_SIDES = 0.4  # share of removals on both sides of the body
_LASTS_S, _WHOLE_S = (0.15, 4.0), 0.8  # durations, and the longest for the whole body
_NO_VIEW = 0.3  # share of removals in all views
_TWO_PEOPLE = 0.08  # share of mixtures of two people
_MOST_SQUARE = 1e4
_RANGE_SAMPLES = 500  # samples from which the range of the features is computed
_SURE = 0.15  # weight of joints seen by two views or more, relative to those seen by fewer
_METRES, _PERSON = 4.0, 0.2  # weights of the other terms of the loss: L1 over 0.1 body sizes, and person or mixture
_FAR_M = 0.5  # error at which the L1 term is clipped
_CLIP = 25.0  # squared Mahalanobis distance above which the loss grows as its logarithm


Case = tuple[Poses3D, Evidence, Poses3D, bool]
"""Triangulated poses of one person, the evidence for them, the truth in the same skeleton, whether it is one person."""


class PoseTask:
    """Task ``prg``: where the joints are that fewer than two views see."""

    name = "prg"
    batch_size = 12
    features = (3 + 3 + 1 + 6 + 6 + 2 + len(STEPS_S), 9, 2 * len(BODY.limbs))
    """Numbers of features of a joint, of a view and of the body's proportions."""
    defaults: Mapping[str, Any] = {
        "takes": 500, "steps": 1800, "held_out_takes": 50, "threads": 1,
        "take": {"people": [1, 3], "cameras": [2, 6], "frames": 48, "rate_hz": [10.0, 30.0]},
    }  # fmt: skip
    better: Mapping[str, str] = {"graph_mm_0": "lower", "graph_mm_1": "lower"}
    about = (
        "Positions, with covariances, of one person's joints seen by fewer than two views, from the solution of bones "
        "for the rest; refiner graph"
    )
    limitations = (
        "Motion is that of the clips and of synthetic people: other motion, such as gymnastics, is pulled towards "
        "ordinary motion.",
        "Detections are simulated; joints are those of halpe26, others stay as bones estimates them.",
    )
    sizes = NetworkAxes(
        inputs={
            "node": {0: "B", 1: "T"}, "view": {0: "B", 1: "T", 3: "C"}, "sees": {0: "B", 1: "T", 3: "C"},
            "there": {0: "B", 1: "T"}, "build": {0: "B"}, "step": {0: "B", 1: "T"}, "at": {0: "B", 1: "T"},
            "near": {0: "B", 1: "T"}, "late": {0: "B", 1: "T"},
        },
        outputs={"offset": {0: "B", 1: "T"}, "factor": {0: "B", 1: "T"}, "person": {0: "B"}},
    )  # fmt: skip

    def samples(self, take: SyntheticTake, seed: int) -> list[Sample]:
        """Windows of every person of a take."""
        return [window_of(*case) for case in person_cases(take, seed)]

    def limits(self, samples: Sequence[Sample]) -> dict[str, Floats]:
        """Range of each feature of joints and views, without the outermost 0.1 %, with a margin of a tenth."""
        out = {}
        for name, mask in (("node", "there"), ("view", "sees")):
            values = np.concatenate(
                [np.asarray(one[name])[np.asarray(one[mask]) > 0] for one in samples[:_RANGE_SAMPLES]]
            )
            low, high = np.quantile(values.astype(np.float64), (0.0005, 0.9995), axis=0)
            out[f"{name}_low"], out[f"{name}_high"] = low - 0.1 * (high - low) - 1e-3, high + 0.1 * (high - low) + 1e-3
        return out

    def network(self) -> torch.nn.Module:
        """Return a network with initial weights."""
        from mvcap.nn import prg

        return prg.PoseGraph(len(BODY), self.features, len(STEPS_S))

    def batch(self, samples: Sequence[Sample]) -> dict[str, NDArray[np.generic]]:
        """Windows as one batch, views and frames zero-padded."""
        frames = max(len(one["node"]) for one in samples)
        views = max(one["sees"].shape[2] for one in samples)
        return {name: np.stack([_pad(name, one[name], frames, views) for one in samples]) for name in samples[0]}

    def loss(self, network: torch.nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Clipped negative log likelihood, plus the distance and the classification as one person."""
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits

        offset, factor, person = network(*(batch[name] for name in self.sizes.inputs))
        error = batch["offset"] - offset
        z = torch.linalg.solve_triangular(factor, error[..., None], upper=False)[..., 0]
        square = (z**2).sum(-1)
        far = _CLIP * (1 + (square.clamp(min=_CLIP) / _CLIP).log())
        likely = 0.5 * torch.where(square > _CLIP, far, square) + factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        metres = (batch["unit"] @ error[..., None])[..., 0].norm(dim=-1).clamp(max=_FAR_M)
        weight = batch["known"] * torch.where(batch["views"] < 2, 1.0, _SURE) * batch["genuine"][:, None, None]
        both = ((likely + _METRES * 10 * metres) * weight).sum() / weight.sum().clamp(min=1)
        whole: torch.Tensor = both + _PERSON * binary_cross_entropy_with_logits(person, batch["genuine"])
        return whole

    def metrics(self, network: torch.nn.Module, samples: Iterable[Sample]) -> dict[str, float]:
        """Mean errors in mm by the number of views, before and after, and the calibration of covariances."""
        import torch

        tally, losses = _Tally(), []
        for some in _batches_by_size(list(samples), self.batch_size):
            batch = {name: torch.from_numpy(value) for name, value in self.batch(some).items()}
            with torch.no_grad():
                losses.append((len(some), float(self.loss(network, batch))))
                offset, factor, person = network(*(batch[name] for name in self.sizes.inputs))
            tally.add(batch, offset.numpy(), factor.numpy(), person.numpy())
        count = sum(number for number, _ in losses)
        return {"loss": sum(number * loss for number, loss in losses) / max(count, 1), **tally.figures()}


def person_cases(take: SyntheticTake, seed: int) -> list[Case]:
    """Every person of a take, with limbs removed for a while."""
    rng = np.random.default_rng(seed)
    kind = take.rows.skeleton
    if kind.joints == take.truth.skeleton.joints:  # an estimator with all joints can stand for one with fewer
        kind = skeleton(_SKELETONS[rng.integers(len(_SKELETONS))])
    truth = truth_in_skeleton(take.truth, kind)
    rows = rows_in_skeleton(take.rows, kind).with_columns(person=take.person)
    calibration_px = _calibration_px(take, rows, rng)
    rows = with_calibration_error(rows, calibration_px)
    out: list[Case] = []
    for person in np.unique(rows.person[rows.person >= 0]).tolist():
        mine, xyz = rows[rows.person == person], truth[truth.person == person]
        if not len(xyz):
            continue
        genuine = rng.random() >= _TWO_PEOPLE
        if not genuine:
            mine = _mix_people(rows, person, rng)
        mine = drop_limbs(mine, len(take.rig), take.rate_hz, rng)
        out += _case_of_person(mine, xyz, take, calibration_px, genuine, rng)
    return out


class _Tally:
    """Statistics of errors and of coverage by the covariance, by the number of views."""

    def __init__(self) -> None:
        self.rows: list[Floats] = []
        self.persons: list[Floats] = []

    def add(self, batch: Mapping[str, torch.Tensor], offset: Floats, factor: Floats, person: Floats) -> None:
        """Add a batch."""
        arrays = {name: value.numpy() for name, value in batch.items()}
        genuine = arrays["genuine"] > 0
        known = (arrays["known"] > 0) & genuine[:, None, None]
        error = arrays["offset"] - offset
        square = (np.linalg.solve(factor, error[..., None])[..., 0] ** 2).sum(-1)
        after = np.linalg.norm((arrays["unit"] @ error[..., None])[..., 0], axis=-1)
        parts = [
            arrays["views"],
            1000 * arrays["start_m"],
            1000 * after,
            arrays["start_square"],
            square,
            arrays["kept"],
        ]
        self.rows.append(np.stack(parts, -1)[known])
        self.persons.append(np.stack([genuine, person > 0], -1))

    def figures(self) -> dict[str, float]:
        """Metrics over all batches."""
        out: dict[str, float] = {}
        rows = np.concatenate(self.rows) if self.rows else np.zeros((0, 6))
        for name, which in (("0", rows[:, 0] == 0), ("1", rows[:, 0] == 1), ("2", rows[:, 0] >= 2)):
            for more, some in (("", which), ("_kept", which & (rows[:, 5] > 0))):
                if some.any():
                    one = rows[some]
                    out[f"start_mm_{name}{more}"], out[f"graph_mm_{name}{more}"] = one[:, 1].mean(), one[:, 2].mean()
            if which.any():
                for share, limit in ((68, 3.506), (95, 7.815)):
                    out[f"start_inside_{share}_{name}"] = float((rows[which, 3] < limit).mean())
                    out[f"graph_inside_{share}_{name}"] = float((rows[which, 4] < limit).mean())
        if self.persons:
            both = np.concatenate(self.persons)
            out["person_right"] = float((both[:, 0] == both[:, 1]).mean())
        return {name: float(value) for name, value in out.items()}


def _pad(name: str, value: NDArray[np.generic], frames: int, views: int) -> NDArray[np.generic]:
    """An array of a window, zero-padded to so many frames and views."""
    if name in ("build", "genuine"):
        return value
    room = [(0, frames - len(value)), *[(0, 0)] * (value.ndim - 1)]
    if name in ("view", "sees"):
        room[2] = (0, views - value.shape[2])
    return np.pad(value, room)


def _batches_by_size(samples: list[Sample], size: int) -> list[list[Sample]]:
    order = sorted(samples, key=lambda one: one["sees"].shape[2])
    return [order[start : start + size] for start in range(0, len(order), size)]


def truth_in_skeleton(truth: Poses3D, kind: Skeleton) -> Poses3D:
    """True poses in another skeleton; covariance, error and views are 0."""
    xyz = truth.skeleton.apply(kind, truth.xyz)
    there = np.isfinite(xyz).all(-1)
    shape = there.shape
    nothing = np.zeros(shape)
    return Poses3D(
        kind, truth.frame, truth.person, truth.group, np.where(there[..., None], xyz, np.nan), there, nothing, nothing,
        np.zeros((*shape, 6)), there,
    )  # fmt: skip


def rows_in_skeleton(rows: Detections2D, kind: Skeleton) -> Detections2D:
    """Rows in another skeleton."""
    columns = np.concatenate([rows.xy, rows.noise_px[..., None], rows.score[..., None]], axis=-1)
    values = np.asarray(rows.skeleton.apply(kind, columns), np.float64)
    known = np.isfinite(values).all(-1) & (values[..., 3] > 0)
    values = np.where(known[..., None], values, np.nan)
    return Detections2D(
        kind, rows.frame, rows.view, rows.person, rows.carried, rows.box, values[..., :2],
        np.nan_to_num(np.clip(values[..., 3], 0, 1)), values[..., 2],
    )  # fmt: skip


def _mix_people(rows: Detections2D, person: int, rng: np.random.Generator) -> Detections2D:
    """Rows mixed with those of another person: in some views, or in some joints."""
    others = np.unique(rows.person[(rows.person >= 0) & (rows.person != person)])
    if not len(others):
        return rows[rows.person == person]
    other = int(rng.choice(others))
    if rng.random() < 0.5:
        theirs = rng.random(int(rows.view.max()) + 1) < 0.5
        return rows[rows.person == np.where(theirs[rows.view], other, person)]
    upper = np.array([any(part in (*_ARM, "nose", "eye", "ear", "head", "neck") for part in joint.split("_"))
                      for joint in rows.skeleton.joints])  # fmt: skip
    parts = [_drop_joints(rows[rows.person == who], drop) for who, drop in ((person, upper), (other, ~upper))]
    both = Detections2D.concatenate(parts, rows.skeleton).with_columns(
        person=np.concatenate([parts[0].person, np.full(len(parts[1]), person)])
    )
    return both[np.argsort(both.frame, kind="stable")]


def _drop_joints(rows: Detections2D, drop: Bools) -> Detections2D:
    """Rows without the joints in ``drop``, (J,) or (M, J); rows without any joint are left out."""
    gone = np.broadcast_to(drop, rows.score.shape)
    rows = rows.with_columns(
        xy=np.where(gone[..., None], np.nan, rows.xy),
        noise_px=np.where(gone, np.nan, rows.noise_px),
        score=np.where(gone, 0, rows.score),
    )
    return rows[np.asarray((rows.score > 0).any(-1))]


def drop_limbs(rows: Detections2D, views: int, rate_hz: float, rng: np.random.Generator) -> Detections2D:
    """Rows of one person with limbs removed for a while from all views but one, or from all."""
    if not len(rows):
        return rows
    first, last = int(rows.frame.min()), int(rows.frame.max())
    weight = np.array([weight for _, weight in _GROUPS])
    drop = np.zeros(rows.score.shape, np.bool_)
    for _ in range(rng.integers(1, 5)):
        group = _GROUPS[rng.choice(len(_GROUPS), p=weight / weight.sum())][0]
        side = "" if rng.random() < _BOTH_SIDES else ("left", "right")[rng.integers(2)]
        joints = np.array([(not side or side in joint or not joint.startswith(("left", "right")))
                           and any(part in joint for part in group) for joint in rows.skeleton.joints])  # fmt: skip
        longest = _WHOLE_S if group == ("",) and not side else _LASTS_S[1]
        lasts = np.minimum(np.exp(rng.uniform(*np.log(_LASTS_S))), longest) * rate_hz
        start = rng.uniform(first - lasts / 2, last - lasts / 2)
        left = -1 if rng.random() < _NO_VIEW and group != ("",) else int(rng.integers(views))
        drop |= ((rows.frame >= start) & (rows.frame <= start + lasts) & (rows.view != left))[:, None] & joints
    return _drop_joints(rows, drop)


def _case_of_person(
    rows: Detections2D,
    truth: Poses3D,
    take: SyntheticTake,
    calibration_px: Floats,
    genuine: bool,
    rng: np.random.Generator,
) -> list[Case]:
    """One person's rows as a case; empty where no joint is seen by two views."""
    poses = triangulate_rows(rows, take.rig, TriangulateConfig())
    if not np.isfinite(poses.xyz).any() or not has_torso(poses.skeleton):
        return []
    length, sigma = _limb_prior(truth, take.rate_hz, rng)
    evidence = Evidence(take.rig, rows, take.rate_hz, length, sigma, calibration_px)
    return [(poses, evidence, truth, genuine)]


def _calibration_px(take: SyntheticTake, rows: Detections2D, rng: np.random.Generator) -> Floats:
    """Simulated estimate of the calibration errors (C,) px of the views, beyond the noise."""
    xyz = take.truth.xyz.astype(np.float64)
    displacement = np.linalg.norm(take.seen_by.project(xyz) - take.rig.project(xyz), axis=-1)
    displacement = np.where(np.isfinite(displacement), displacement, np.nan).reshape(len(take.rig), -1)
    known = np.isfinite(displacement).any(-1)
    error_px = np.zeros(len(displacement))
    learned = np.exp(_LEARNED_SPREAD * rng.standard_normal(int(known.sum())))
    error_px[known] = np.nanmedian(displacement[known], axis=-1) / _MEDIAN_NORM * learned
    return excess_error_px(error_px, rows)


def window_of(poses: Poses3D, evidence: Evidence, truth: Poses3D, genuine: bool = True) -> Sample:
    """Sample of all frames of one person, from triangulated ``poses`` and the ``truth`` in the same skeleton."""
    solution = solve_window(poses, evidence, GraphRefinerConfig())
    posture = window_features(solution, evidence)
    observations = solution.problem.observations
    xyz = np.full(solution.x.shape, np.nan)
    inside = (truth.frame >= observations.first) & (truth.frame < observations.first + len(xyz))
    xyz[truth.frame[inside] - observations.first] = truth.xyz[inside]
    have = np.maximum(posture.joint, 0)
    offset = xyz[posture.frame][:, have] - posture.x
    known = np.isfinite(offset).all(-1) & (posture.joint >= 0)
    offset = np.einsum("tab,tjb->tja", posture.body_from_world, np.where(known[..., None], offset, 0))
    target = np.linalg.solve(posture.unit, offset[..., None])[..., 0]
    kept = np.zeros(xyz.shape[:2], np.bool_)
    table = rows_from(poses, solution)
    kept[table.frame - observations.first] = table.score > 0
    own = xyz[posture.frame][:, have] - solution.x[posture.frame][:, have]
    own = np.where(known[..., None], own, 0)
    cov = solution.cov[posture.frame][:, have]
    more = {
        "offset": target,
        "unit": posture.unit,
        "known": known,
        "genuine": np.array(genuine),
        "kept": kept[posture.frame][:, have],
        "start_m": np.linalg.norm(own, axis=-1),
        "start_square": np.minimum((own * np.linalg.solve(cov, own[..., None])[..., 0]).sum(-1), _MOST_SQUARE),
    }
    return {
        **posture.arrays,
        "views": posture.views,
        **{name: value.astype(np.float32) for name, value in more.items()},
    }


def _limb_prior(truth: Poses3D, rate_hz: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Lengths (B',) m of a person's limbs and their relative scatter (B',), as estimated from a long take."""
    length = limb_lengths(truth.skeleton, truth.xyz).mean(0)
    length *= 1 + _LENGTH_SIGMA * rng.standard_normal(len(length))
    vary = _LENGTH_SCATTER * np.abs(rng.standard_normal(len(length)))
    return length, np.hypot(_LENGTH_SIGMA / np.sqrt(1 + rate_hz), vary)
