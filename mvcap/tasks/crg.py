"""Training task of CRG: whether a group of rows is a person, and where the centre of that person is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mvcap.association.association_graph import evidence_for_groups
from mvcap.association.centre_proposals import GRID, PAIR_NAMES, SPOT_NAMES, VIEW_NAMES
from mvcap.association.ray_affinity import body_total, ray_distances
from mvcap.structures.skeleton import skeleton
from mvcap.structures.synthetic_take import SyntheticTake
from mvcap.training.association_frames import FrameQuestion, collect_questions
from mvcap.training.task import NetworkAxes, Sample

if TYPE_CHECKING:
    import torch

_FRAMES, _MOST_GROUPS = 6, 24  # most frames and groups of a take
_HEAT_M = 0.2  # standard deviation of the target heat about the centre: the published width
_NEAR_M = 0.5
_PEOPLE, _WRONG = 4, 3  # most people, and wrong pairs, of a frame
_TRACKED_SHARE = 0.3  # share of tracked people that are used as negatives: already tracked


class CentreTask:
    """Task ``crg``: which proposed centres are people."""

    name = "crg"
    sizes = NetworkAxes(
        inputs={
            "view": {0: "groups", 2: "views"},
            "pair": {0: "groups", 1: "views", 2: "views"},
            "spot": {0: "groups"},
            "there": {0: "groups", 1: "views"},
        },
        outputs={"odds": {0: "groups"}, "spread": {0: "groups"}},
    )
    batch_size = 64
    defaults: Mapping[str, object] = {"steps": 2000, "takes": 500, "held_out_takes": 40, "rate": 4e-3, "threads": 1}
    tuning: Mapping[str, object] = {"steps": 500, "takes": 150, "rate": 5e-4}
    better: Mapping[str, str] = {"right": "higher"}
    about = "CRG, the centre graph: whether rows of some views are a person, and where the centre of that person is."
    limitations: Sequence[str] = (
        "It is used for new people only; tracked people are kept as long as views see them.",
        "Off by default: it misses people seen by two views only, as in rigs of two or three cameras.",
        "Its centres are hardly more accurate than the robust centre that they start from.",
    )

    def samples(self, take: SyntheticTake, seed: int) -> list[Sample]:
        """Groups of rows of some frames of a take: of one person each, and of different people as negatives."""
        rng = np.random.default_rng(seed)
        frames = [one for one in collect_questions(take, seed) if one.grouped]
        found = [sample for at in rng.permutation(len(frames))[:_FRAMES] for sample in _samples(frames[at], rng)]
        return [found[at] for at in rng.permutation(len(found))[:_MOST_GROUPS]]

    def network(self) -> torch.nn.Module:
        """Return a network with initial weights."""
        from mvcap.nn.crg import CentreGraph

        return CentreGraph(len(VIEW_NAMES), len(PAIR_NAMES), len(SPOT_NAMES))

    def batch(self, samples: Sequence[Sample]) -> dict[str, NDArray[Any]]:
        """Samples as one batch, padded to the largest rig."""
        count, most = len(samples), max(len(one["there"]) for one in samples)
        out: dict[str, NDArray[Any]] = {
            "view": np.zeros((count, len(GRID), most, len(VIEW_NAMES)), np.float32),
            "pair": np.zeros((count, most, most, len(PAIR_NAMES)), np.float32),
            "there": np.zeros((count, most), np.bool_),
        }
        for at, one in enumerate(samples):
            views = len(one["there"])
            out["view"][at, :, :views], out["there"][at, :views] = one["view"], one["there"]
            out["pair"][at, :views, :views] = one["pair"]
        for name in ("spot", "off_m", "person"):
            out[name] = np.stack([one[name] for one in samples]).astype(np.float32)
        return out

    def loss(self, network: torch.nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Cross-entropy of every query's heat, and the negative log likelihood of the queries' weighted mean centre."""
        odds, spread = network(*(batch[name] for name in self.sizes.inputs))
        return _loss(odds, spread, batch)

    def metrics(self, network: torch.nn.Module, samples: Iterable[Sample]) -> dict[str, float]:
        """Loss, accuracy of the best query's decision whether a group is a person, and median error of centres."""
        import torch

        all_samples, loss, right, errors, start = list(samples), 0.0, 0, [], []
        with torch.no_grad():
            for first in range(0, len(all_samples), self.batch_size):
                device = next(network.parameters()).device
                arrays = self.batch(all_samples[first : first + self.batch_size])
                batch = {name: torch.from_numpy(value).to(device) for name, value in arrays.items()}
                odds, spread = network(*(batch[name] for name in self.sizes.inputs))
                loss += float(_loss(odds, spread, batch)) * len(odds)
                predicted = odds.amax(1).cpu().numpy() > 0
                right += int((predicted == (arrays["person"] > 0.5)).sum())
                middle, _ = _centre_error(odds, spread, batch)
                far = (middle**2).sum(-1).sqrt().cpu().numpy()
                real = arrays["person"] > 0.5
                errors += far[real].tolist()
                start += np.linalg.norm(arrays["off_m"][real, len(GRID) // 2], axis=-1).tolist()
        count = max(len(all_samples), 1)
        return {
            "loss": loss / count,
            "right": right / count,
            "centre_mm": 1000 * float(np.median(errors or [0.0])),
            "start_mm": 1000 * float(np.median(start or [0.0])),
        }


def _centre_error(
    odds: torch.Tensor, spread: torch.Tensor, batch: Mapping[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Error (B, 3) m of the queries' weighted mean centre, and the logarithm (B,) of its standard deviation."""
    weight = odds.softmax(1)
    return (weight[..., None] * batch["off_m"]).sum(1), (weight * spread).sum(1)


def _loss(odds: torch.Tensor, spread: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    from torch.nn.functional import binary_cross_entropy_with_logits

    person = batch["person"]
    heat = person[:, None] * (-0.5 * (batch["off_m"] ** 2).sum(-1) / _HEAT_M**2).exp()
    score = binary_cross_entropy_with_logits(odds, heat)
    middle, log_sigma = _centre_error(odds, spread, batch)
    square = ((middle**2).sum(-1) * (-2 * log_sigma).exp()).clamp_max(50.0)
    fit = (person * (0.5 * square + 3 * log_sigma)).sum() / person.sum().clamp_min(1)
    return score + 0.02 * fit


def _samples(one: FrameQuestion, rng: np.random.Generator) -> list[Sample]:
    """Samples of groups as proposed for new tracks: of an untracked person, of a tracked one, or of several people."""
    known = _tracked_people(one)
    groups = []
    for person in rng.permutation(np.unique(one.row_is[one.row_is >= 0]))[:_PEOPLE]:
        mine = rng.permutation(np.flatnonzero(one.row_is == person))
        mine = mine[: rng.integers(2, len(mine) + 1)] if len(mine) > 1 else mine
        if len(np.unique(one.rays.view[mine])) > 1:
            groups.append((mine, int(person), person in known and rng.random() < _TRACKED_SHARE))
    groups += [(pair, -1, False) for pair in _confusable_pairs(one)]
    return [sample for group in groups if (sample := _sample(one, *group)) is not None]


def _tracked_people(one: FrameQuestion) -> set[int]:
    """True persons of the tracked bodies that have rows."""
    return {int(who) for at, who in enumerate(one.body_is[: len(one.people)]) if (one.group == at).any()}


def _confusable_pairs(one: FrameQuestion) -> list[NDArray[np.int64]]:
    """The pairs of rows of different people, or with a false positive, that are most similar to one person."""
    first, second = np.triu_indices(len(one.row_is), 1)
    same = (one.row_is[first] == one.row_is[second]) & (one.row_is[first] >= 0)
    # Two false positives may be the same object that looks like a person: no valid label.
    has_person = (one.row_is[first] >= 0) | (one.row_is[second] >= 0)
    asked = (one.rays.view[first] != one.rays.view[second]) & ~same & has_person
    first, second = first[asked], second[asked]
    if not len(first):
        return []
    likely = body_total(ray_distances(one.rays, first, second).evidence())
    return [np.array([first[at], second[at]]) for at in np.argsort(-likely, kind="stable")[:_WRONG]]


def _sample(one: FrameQuestion, rows: NDArray[np.int64], person: int, again: bool) -> Sample | None:
    """Queries around the body from rows (N,) of the true ``person``, -1 = no person.

    ``again``: the person is already tracked, so the body is not a new person; else tracks of this person are removed.
    """
    people = one.people if again else one.people.without(np.flatnonzero(one.body_is[: len(one.people)] == person))
    group = np.full(len(one.row_is), -1, np.int64)
    group[rows] = len(people)
    bodies, evidence = evidence_for_groups(one.rays, group, people.as_prior(1))
    asked = one.seen.queries(one.rays, bodies, evidence, group, len(people), people, one.skeleton)
    at = np.flatnonzero(one.truth_is == person)
    if asked is None or (person >= 0 and not len(at)):
        return None
    offset, real = np.zeros((len(GRID), 3)), False
    if person >= 0:
        offset = asked.xyz - one.truth[at[0], skeleton("halpe26").torso].mean(0)
        real = not again and float(np.linalg.norm(offset[len(GRID) // 2])) < _NEAR_M
    arrays = {name: getattr(asked, name).astype(np.float16) for name in ("view", "pair", "spot")}
    return {**arrays, "there": asked.there, "off_m": offset.astype(np.float32), "person": np.array(real, np.float32)}
