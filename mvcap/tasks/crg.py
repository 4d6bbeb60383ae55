"""What CRG learns: whether a group of rows is a person, and where the middle of them is."""

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

_FRAMES, _MOST = 6, 24  # frames and groups of a take
_HEAT_M = 0.2  # how far from the middle a place is half right: the published width
_NEAR_M = 0.5
_PEOPLE, _WRONG = 4, 3  # people, and wrong pairs, of a frame that are looked at
_AGAIN = 0.3  # share of those followed that come up once more


class CentreTask:
    """Task ``crg``."""

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
    about = "CRG, the centre graph: whether rows of some views are a person, and where the middle of them is."
    limitations: Sequence[str] = (
        "It is asked about new people only; who is followed is kept as long as views see them.",
        "Off by default: it misses people whom two views alone see, as in rigs of two or three cameras.",
        "The places of centres are hardly better than the robust centre that they start from.",
    )

    def samples(self, take: SyntheticTake, seed: int) -> list[Sample]:
        """Groups of some frames of a take, and of rows that are no person together."""
        rng = np.random.default_rng(seed)
        frames = [one for one in collect_questions(take, seed) if one.grouped]
        found = [sample for at in rng.permutation(len(frames))[:_FRAMES] for sample in _samples(frames[at], rng)]
        return [found[at] for at in rng.permutation(len(found))[:_MOST]]

    def network(self) -> torch.nn.Module:
        """Fresh weights."""
        from mvcap.nn.crg import CentreGraph

        return CentreGraph(len(VIEW_NAMES), len(PAIR_NAMES), len(SPOT_NAMES))

    def batch(self, samples: Sequence[Sample]) -> dict[str, NDArray[Any]]:
        """Padded to the largest rig."""
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
        """Cross-entropy of every query's heat, and the likelihood of the centre that the queries make together."""
        odds, spread = network(*(batch[name] for name in self.sizes.inputs))
        return _loss(odds, spread, batch)

    def metrics(self, network: torch.nn.Module, samples: Iterable[Sample]) -> dict[str, float]:
        """Loss, how often a group's best query is right about whether it is a person, and how far off centres are."""
        import torch

        held, loss, right, off, start = list(samples), 0.0, 0, [], []
        with torch.no_grad():
            for first in range(0, len(held), self.batch_size):
                device = next(network.parameters()).device
                arrays = self.batch(held[first : first + self.batch_size])
                batch = {name: torch.from_numpy(value).to(device) for name, value in arrays.items()}
                odds, spread = network(*(batch[name] for name in self.sizes.inputs))
                loss += float(_loss(odds, spread, batch)) * len(odds)
                told = odds.amax(1).cpu().numpy() > 0
                right += int((told == (arrays["person"] > 0.5)).sum())
                middle, _ = _middle(odds, spread, batch)
                far = (middle**2).sum(-1).sqrt().cpu().numpy()
                real = arrays["person"] > 0.5
                off += far[real].tolist()
                start += np.linalg.norm(arrays["off_m"][real, len(GRID) // 2], axis=-1).tolist()
        count = max(len(held), 1)
        return {
            "loss": loss / count,
            "right": right / count,
            "centre_mm": 1000 * float(np.median(off or [0.0])),
            "start_mm": 1000 * float(np.median(start or [0.0])),
        }


def _middle(
    odds: torch.Tensor, spread: torch.Tensor, batch: Mapping[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """How far (B, 3) m the centre that the queries make together is from the true one, and its log deviation (B,)."""
    weight = odds.softmax(1)
    return (weight[..., None] * batch["off_m"]).sum(1), (weight * spread).sum(1)


def _loss(odds: torch.Tensor, spread: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    from torch.nn.functional import binary_cross_entropy_with_logits

    person = batch["person"]
    heat = person[:, None] * (-0.5 * (batch["off_m"] ** 2).sum(-1) / _HEAT_M**2).exp()
    score = binary_cross_entropy_with_logits(odds, heat)
    middle, log_sigma = _middle(odds, spread, batch)
    square = ((middle**2).sum(-1) * (-2 * log_sigma).exp()).clamp_max(50.0)
    fit = (person * (0.5 * square + 3 * log_sigma)).sum() / person.sum().clamp_min(1)
    return score + 0.02 * fit


def _samples(one: FrameQuestion, rng: np.random.Generator) -> list[Sample]:
    """Groups as they come up for birth: rows of one person whom nobody follows yet, of one followed, or of several."""
    known = _followed(one)
    groups = []
    for person in rng.permutation(np.unique(one.row_is[one.row_is >= 0]))[:_PEOPLE]:
        mine = rng.permutation(np.flatnonzero(one.row_is == person))
        mine = mine[: rng.integers(2, len(mine) + 1)] if len(mine) > 1 else mine
        if len(np.unique(one.rays.view[mine])) > 1:
            groups.append((mine, int(person), person in known and rng.random() < _AGAIN))
    groups += [(pair, -1, False) for pair in _wrong(one)]
    return [sample for group in groups if (sample := _sample(one, *group)) is not None]


def _followed(one: FrameQuestion) -> set[int]:
    """True people of the followed bodies that have rows."""
    return {int(who) for at, who in enumerate(one.body_is[: len(one.people)]) if (one.group == at).any()}


def _wrong(one: FrameQuestion) -> list[NDArray[np.int64]]:
    """The pairs of rows of different people, or of nobody, that look most like one."""
    first, second = np.triu_indices(len(one.row_is), 1)
    same = (one.row_is[first] == one.row_is[second]) & (one.row_is[first] >= 0)
    # What is nobody in both views may be one thing that looks as people do: nothing to learn from.
    somebody = (one.row_is[first] >= 0) | (one.row_is[second] >= 0)
    asked = (one.rays.view[first] != one.rays.view[second]) & ~same & somebody
    first, second = first[asked], second[asked]
    if not len(first):
        return []
    likely = body_total(ray_distances(one.rays, first, second).evidence())
    return [np.array([first[at], second[at]]) for at in np.argsort(-likely, kind="stable")[:_WRONG]]


def _sample(one: FrameQuestion, rows: NDArray[np.int64], person: int, again: bool) -> Sample | None:
    """Queries round the body that rows (N,) make, of the true ``person`` or of nobody, -1.

    ``again``: the person is followed already, so that the body is nobody new; else whoever is followed as this person
    is forgotten.
    """
    people = one.people if again else one.people.without(np.flatnonzero(one.body_is[: len(one.people)] == person))
    group = np.full(len(one.row_is), -1, np.int64)
    group[rows] = len(people)
    bodies, evidence = evidence_for_groups(one.rays, group, people.as_prior(1))
    asked = one.seen.queries(one.rays, bodies, evidence, group, len(people), people, one.skeleton)
    at = np.flatnonzero(one.truth_is == person)
    if asked is None or (person >= 0 and not len(at)):
        return None
    off, real = np.zeros((len(GRID), 3)), False
    if person >= 0:
        off = asked.xyz - one.truth[at[0], skeleton("halpe26").torso].mean(0)
        real = not again and float(np.linalg.norm(off[len(GRID) // 2])) < _NEAR_M
    arrays = {name: getattr(asked, name).astype(np.float16) for name in ("view", "pair", "spot")}
    return {**arrays, "there": asked.there, "off_m": off.astype(np.float32), "person": np.array(real, np.float32)}
