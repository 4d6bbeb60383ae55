"""Training task of the integration of two readings: which of a top-down and a bottom-up one to follow at each joint.

Takes of several people give both readings of everybody in some views and moments, by error models, with the truth; the
network learns factors on the covariances that they state, by the likelihood of the truth under the combination.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Floats
from mvcap.integration.reading_mix import BODY, FEATURE_NAMES, mix_features, readable, weighted_mean
from mvcap.structures.ray_frames import turns_to_rays
from mvcap.structures.synthetic_take import SyntheticTake
from mvcap.training.lifted_readings import LiftedTake
from mvcap.training.reading_models import ReadingPair, random_errors, reading_pair
from mvcap.training.task import NetworkAxes, Sample

if TYPE_CHECKING:
    import torch

_MOMENTS, _VIEWS = 5, 2  # most moments and views of a take
_LIFTED = 0.6  # share of takes whose top-down reading is that of the lifter, not of an error model
_MOST_BODIES = 40  # most samples of a take
_HIDDEN = 3.0  # weight of joints that another person hides
_RANGE_SAMPLES = 2000  # samples from which the range of the features is computed
_METRES, _FAR_M, _CLIP = 4.0, 0.5, 25.0  # the L1 term over 0.1 m, where it is clipped; the likelihood's clip
_INSIDE = (("68", 3.5058823), ("95", 7.8147279))  # chi-square of three degrees of freedom


class IntegrateTask:
    """Task ``integrate``: two readings of one person in one view as one."""

    name = "integrate"
    batch_size = 64
    defaults: Mapping[str, Any] = {
        "takes": 240, "steps": 2400, "held_out_takes": 40, "threads": 1,
        "take": {"people": [2, 6], "cameras": [2, 2], "frames": 24, "rate_hz": [8.0, 15.0]},
    }  # fmt: skip
    better: Mapping[str, str] = {"mixed_mm_hidden": "lower", "mixed_mm_all": "lower"}
    about = (
        "Combination of a top-down and a bottom-up reading of one person in one view, joint by joint: factors on the "
        "standard deviations that they state, across and along the ray"
    )
    limitations = (
        "The top-down reading is the lifter temporal as shipped when this was trained, in 60 % of the takes, else an "
        "error model that follows simulated 2D detections; with another lifter, covariances may be off.",
        "The bottom-up reading is an error model: pose maps with noise of 30 to 60 mm, or joints directly in metres.",
        "Errors of the two that come from one cause, such as an unusual pose, are modelled by a correlation of 0 to "
        "0.5 in depth only.",
        "The readings are those of one moment: errors that last are not smaller after smoothing in time.",
    )
    sizes = NetworkAxes(
        inputs={"joint": {0: "bodies"}, "there": {0: "bodies"}},
        outputs={"factors": {0: "bodies"}},
    )

    def samples(self, take: SyntheticTake, seed: int) -> list[Sample]:
        """Bodies of a few views and moments of a take: all whom someone hides, and some of the others."""
        rng = np.random.default_rng(seed)
        errors = random_errors(rng)
        frames = rng.permutation(np.unique(take.truth.frame))[:_MOMENTS].tolist()
        views = rng.permutation(len(take.seen_by))[:_VIEWS].tolist()
        out: list[Sample] = []
        lifted = rng.random() < _LIFTED
        for view in views:
            lifter = LiftedTake(take, view) if lifted else None
            for frame in frames:
                pair = reading_pair(take, view, frame, errors, rng)
                if pair is not None:
                    out += _bodies(pair if lifter is None else lifter.pair(pair, frame), rng)
        return [out[at] for at in rng.permutation(len(out))[:_MOST_BODIES]]

    def limits(self, samples: Sequence[Sample]) -> dict[str, Floats]:
        """Range of each feature, without the outermost 0.1 %, with a margin of a tenth."""
        some = samples[:_RANGE_SAMPLES]
        values = np.concatenate([np.asarray(one["joint"], np.float64)[np.asarray(one["there"]) > 0] for one in some])
        low, high = np.quantile(values, (0.0005, 0.9995), axis=0)
        margin = 0.1 * (high - low) + 1e-3
        return {"joint_low": low - margin, "joint_high": high + margin}

    def network(self) -> torch.nn.Module:
        """Return a network with initial weights: the inverse-covariance mean."""
        from mvcap.nn.reading_mix import ReadingMix

        return ReadingMix(len(BODY), len(FEATURE_NAMES))

    def batch(self, samples: Sequence[Sample]) -> dict[str, NDArray[Any]]:
        """Bodies as one batch."""
        return {name: np.stack([one[name] for one in samples]).astype(np.float32) for name in samples[0]}

    def loss(self, network: torch.nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Negative log likelihood of the truth, large errors as their logarithm, and the distance."""
        import torch

        joint, cov, _ = _combined(network, batch)
        error = batch["truth"] - joint
        square = (error * torch.linalg.solve(cov, error[..., None])[..., 0]).sum(-1)
        far = _CLIP * (1 + (square.clamp(min=_CLIP) / _CLIP).log())
        likely = 0.5 * torch.where(square > _CLIP, far, square) + 0.5 * torch.logdet(cov)
        metres = error.norm(dim=-1).clamp(max=_FAR_M)
        weight = batch["there"] * (1 + (_HIDDEN - 1) * batch["hidden"])
        mean: torch.Tensor = ((likely + _METRES * 10 * metres) * weight).sum() / weight.sum().clamp(min=1)
        return mean

    def metrics(self, network: torch.nn.Module, samples: Iterable[Sample]) -> dict[str, float]:
        """Mean errors, mm, of joints that both read, and shares inside ellipsoids: of all, and of hidden joints.

        Beside the combination: each reading alone, the inverse-covariance mean, and ``oracle``, the nearer of the two
        to the truth, which no method can know.
        """
        import torch

        all_samples, rows, losses = list(samples), [], []
        for start in range(0, len(all_samples), self.batch_size):
            some = all_samples[start : start + self.batch_size]
            batch = {name: torch.from_numpy(value) for name, value in self.batch(some).items()}
            with torch.no_grad():
                losses.append((len(some), float(self.loss(network, batch))))
                joint, cov, _ = _combined(network, batch)
            rows.append(_errors(batch, joint.double().numpy(), cov.double().numpy()))
        count = max(sum(number for number, _ in losses), 1)
        return {"loss": sum(number * loss for number, loss in losses) / count, **mix_figures(rows)}


def _bodies(pair: ReadingPair, rng: np.random.Generator) -> list[Sample]:
    arrays = sample_arrays(pair)
    wanted = pair.hidden.any(1) | (rng.random(len(pair.truth)) < 0.35)
    known = (pair.first.known | pair.second.known).any(1) & wanted
    return [{name: value[at] for name, value in arrays.items()} for at in np.flatnonzero(known)]


def sample_arrays(pair: ReadingPair) -> dict[str, NDArray[Any]]:
    """Return the arrays (N, ...) of the N bodies of a pair of readings, along the rays of their roots.

    ``joint`` (J, F), ``there`` (J,), ``known`` (J, 2), ``first``, ``second``, ``truth`` (J, 3), ``first_cov``,
    ``second_cov`` (J, 3, 3), ``hidden`` (J,).
    """
    frames = turns_to_rays(pair.rays).swapaxes(-1, -2)
    known = np.stack([pair.first.known, pair.second.known], -1)
    out: dict[str, NDArray[Any]] = {
        "joint": mix_features(pair.first, pair.second, frames, pair.covered, pair.nearer),
        "there": np.asarray(known.any(-1)), "known": known, "hidden": pair.hidden,
        "truth": (frames[:, None] @ pair.truth[..., None])[..., 0],
    }  # fmt: skip
    for name, one in (("first", pair.first), ("second", pair.second)):
        out[name], out[f"{name}_cov"] = readable(one, frames)
    return {name: value.astype(np.float16 if name == "joint" else np.float32) for name, value in out.items()}


def _combined(network: torch.nn.Module, batch: Mapping[str, torch.Tensor]) -> tuple[Any, Any, Any]:
    import torch

    factors = network(batch["joint"], batch["there"])
    return weighted_mean(torch, batch["first"], batch["first_cov"], batch["second"], batch["second_cov"],
                         batch["known"], factors)  # fmt: skip


def _errors(batch: Mapping[str, torch.Tensor], joint: Floats, cov: Floats) -> Floats:
    """Rows (N, 10) of joints that both read: hidden; mm of first, second, mean, oracle, mixed; squared distances."""
    one = {name: value.double().numpy() for name, value in batch.items()}
    mean, mean_cov, _ = weighted_mean(np, one["first"], one["first_cov"], one["second"], one["second_cov"],
                                      one["known"], np.zeros((*one["there"].shape, 6)))  # fmt: skip
    parts, squares = [], []
    for place, spread in ((one["first"], one["first_cov"]), (one["second"], one["second_cov"]), (mean, mean_cov),
                          (joint, cov)):  # fmt: skip
        error = one["truth"] - place
        parts.append(1000 * np.linalg.norm(error, axis=-1))
        squares.append((error * np.linalg.solve(spread, error[..., None])[..., 0]).sum(-1))
    parts.insert(3, np.minimum(parts[0], parts[1]))
    both = one["known"].min(-1) > 0
    return np.asarray(np.stack([one["hidden"], *parts, *squares], -1)[both])


def mix_figures(rows: Sequence[Floats]) -> dict[str, float]:
    """Return means of errors, mm, and shares inside the 68 and 95 % ellipsoids, of all joints and of hidden ones."""
    whole = np.concatenate(list(rows)) if rows else np.zeros((0, 10))
    out: dict[str, float] = {}
    for part, which in (("all", np.ones(len(whole), bool)), ("hidden", whole[:, 0] > 0)):
        some = whole[which]
        if not len(some):
            continue
        for at, name in enumerate(("first", "second", "mean", "oracle", "mixed")):
            out[f"{name}_mm_{part}"] = float(some[:, 1 + at].mean())
        for at, name in enumerate(("first", "second", "mean", "mixed")):
            for share, limit in _INSIDE:
                out[f"{name}_inside_{share}_{part}"] = float((some[:, 6 + at] < limit).mean())
        out[f"joints_{part}"] = float(len(some))
    return out
