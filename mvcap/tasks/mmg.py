"""Training task of MMG: which rows and bodies of a frame are one person, on frames that are ambiguous for geometry.

The frames come from runs of the associator on synthetic takes: where it would query the network, its graph is recorded
with the truth. So predictions of tracked bodies and errors of groups are as in use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mvcap.association.graph_features import EDGE_NAMES, NODE_NAMES
from mvcap.structures.synthetic_take import SyntheticTake
from mvcap.training.association_frames import FrameQuestion, collect_questions
from mvcap.training.task import NetworkAxes, Sample

if TYPE_CHECKING:
    import torch

_MOST_GRAPHS = 8  # most graphs of a take
_MOST_NODES = 90
_RARE = 0.0005
_TOGETHER = EDGE_NAMES.index("together")


class MatchingTask:
    """Task ``mmg``: which detections of a frame are one person, across views."""

    name = "mmg"
    sizes = NetworkAxes(
        inputs={
            "node": {0: "frames", 1: "nodes"},
            "edge": {0: "frames", 1: "nodes", 2: "nodes"},
            "prior": {0: "frames", 1: "nodes", 2: "nodes"},
            "there": {0: "frames", 1: "nodes"},
        },
        outputs={"odds": {0: "frames", 1: "nodes", 2: "nodes"}},
    )
    batch_size = 16
    defaults: Mapping[str, object] = {"steps": 4500, "takes": 1800, "held_out_takes": 60, "rate": 5e-3, "threads": 1}
    tuning: Mapping[str, object] = {"steps": 600, "takes": 150, "rate": 5e-4}
    better: Mapping[str, str] = {"f1": "higher"}
    about = "MMG, the matching graph: which rows of the views and which tracked people are one person."
    limitations: Sequence[str] = (
        "Frames with features outside the range of its training data are left to geometry; the report counts them.",
        "Crowds of more than ten people and more than sixteen cameras were not in the training data.",
        "On average over synthetic takes it is better than geometry; in some takes with bad calibrations it is worse.",
    )

    def samples(self, take: SyntheticTake, seed: int) -> list[Sample]:
        """Graphs of some of the frames that are ambiguous for geometry, with the true person of each node."""
        found = [one for one in collect_questions(take, seed) if 1 < len(one.row_is) + len(one.body_is) <= _MOST_NODES]
        picked = np.random.default_rng(seed).permutation(len(found))[:_MOST_GRAPHS]
        return [_sample(found[at]) for at in picked]

    def limits(self, samples: Iterable[Sample]) -> dict[str, NDArray[np.float64]]:
        """Range of each feature, without the outermost 0.1 %."""
        all_samples = list(samples)
        out = {}
        for name in ("node", "edge"):
            values = np.concatenate([one[name] for one in all_samples]).astype(np.float64)
            out[f"{name}_low"], out[f"{name}_high"] = np.quantile(values, (_RARE, 1 - _RARE), axis=0)
        return out

    def network(self) -> torch.nn.Module:
        """Return a network with initial weights."""
        from mvcap.nn.mmg import MatchingGraph

        return MatchingGraph(len(NODE_NAMES), len(EDGE_NAMES))

    def batch(self, samples: Sequence[Sample]) -> dict[str, NDArray[Any]]:
        """Samples as one batch, padded to the largest frame."""
        most, count = max(len(one["node"]) for one in samples), len(samples)
        out: dict[str, NDArray[Any]] = {
            "node": np.zeros((count, most, len(NODE_NAMES)), np.float32),
            "edge": np.zeros((count, most, most, len(EDGE_NAMES)), np.float32),
            "there": np.zeros((count, most), np.bool_),
        }
        for name in ("prior", "same", "weight"):
            out[name] = np.zeros((count, most, most), np.float32)
        for at, one in enumerate(samples):
            nodes, rows, who = len(one["node"]), int(one["rows"]), one["who"]
            first, second = np.triu_indices(nodes, 1)
            out["node"][at, :nodes], out["there"][at, :nodes] = one["node"], True
            for name in ("edge", "prior"):
                out[name][at, first, second] = out[name][at, second, first] = one[name]
            asked = ~np.eye(nodes, dtype=np.bool_)
            asked[rows:, rows:] = False
            # Pairs of two false positives have no label: they may be the same object that looks like a person.
            asked &= (who[:, None] >= 0) | (who[None] >= 0)
            out["same"][at, :nodes, :nodes] = (who[:, None] == who[None]) & (who >= 0)[:, None]
            out["weight"][at, :nodes, :nodes] = asked / nodes
        return out

    def loss(self, network: torch.nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Binary cross-entropy of the pairs, each frame divided by its number of nodes."""
        return _entropy(network(*(batch[name] for name in self.sizes.inputs)), batch)

    def metrics(self, network: torch.nn.Module, samples: Iterable[Sample]) -> dict[str, float]:
        """Loss, and F1 of the pairs predicted as one person, together with that of geometry's own groups."""
        import torch

        all_samples, loss, count = list(samples), 0.0, 0
        hits = np.zeros((2, 3))
        with torch.no_grad():
            for start in range(0, len(all_samples), self.batch_size):
                arrays = self.batch(all_samples[start : start + self.batch_size])
                device = next(network.parameters()).device
                batch = {name: torch.from_numpy(value).to(device) for name, value in arrays.items()}
                odds = network(*(batch[name] for name in self.sizes.inputs))
                loss, count = loss + float(_entropy(odds, batch)) * len(odds), count + len(odds)
                asked, same = arrays["weight"] > 0, arrays["same"] > 0
                for way, predicted in enumerate((odds.cpu().numpy() > 0, arrays["edge"][..., _TOGETHER] > 0)):
                    hits[way] += (predicted & same & asked).sum(), (predicted & asked).sum(), (same & asked).sum()
        f1 = 2 * hits[:, 0] / np.maximum(hits[:, 1] + hits[:, 2], 1)
        return {"loss": loss / max(count, 1), "f1": float(f1[0]), "f1_geometry": float(f1[1])}


def _entropy(odds: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    from torch.nn.functional import binary_cross_entropy_with_logits

    total = binary_cross_entropy_with_logits(odds, batch["same"], weight=batch["weight"], reduction="sum")
    return total / len(odds)


def _sample(one: FrameQuestion) -> Sample:
    graph = one.seen.graph(one.rays, one.bodies, one.evidence, one.people, one.group, one.skeleton)
    first, second = np.triu_indices(len(graph.node), 1)
    return {
        "node": graph.node.astype(np.float16),
        "edge": graph.edge[first, second].astype(np.float16),
        "prior": graph.prior[first, second].astype(np.float16),
        "who": np.concatenate([one.row_is, one.body_is]),
        "rows": np.array(graph.rows),
    }
