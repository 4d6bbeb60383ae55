"""A small task that is learned in a second, and tasks that go wrong in one way each."""

from types import MappingProxyType

import numpy as np
import torch
from torch import nn

from mvcap.nn.edge_conv import EdgeConv
from mvcap.training import loop
from mvcap.training.task import NetworkAxes


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.enter, self.conv, self.leave = nn.Linear(2, 8), EdgeConv(8, 1), nn.Linear(8, 1)
        self.register_buffer("unit", torch.ones(1))

    def forward(self, node, edge, there):
        x = torch.relu(self.enter(node * self.unit))
        x = self.conv(x, x[..., None, :, :], edge, there[..., :, None] & there[..., None, :])
        return self.leave(x)[..., 0]


class Toy:
    """How far each point's farthest neighbour is."""

    name = "toy"
    sizes = NetworkAxes(
        inputs={"node": {0: "b", 1: "n"}, "edge": {0: "b", 1: "n", 2: "n"}, "there": {0: "b", 1: "n"}},
        outputs={"far": {0: "b", 1: "n"}},
    )
    batch_size = 8
    defaults = MappingProxyType({"rate": 1e-2})
    better = MappingProxyType({"error": "lower"})
    limitations = ("a toy",)
    unit = 1.0

    def samples(self, take, seed):
        rng = np.random.default_rng(seed)
        out = []
        for count in rng.integers(2, 6, 20):
            node = rng.uniform(-1, 1, (count, 2)).astype(np.float32)
            edge = np.linalg.norm(node[:, None] - node, axis=-1)[..., None].astype(np.float32)
            out.append({"node": node, "edge": edge, "far": self.unit * edge.max((1, 2))})
        return out

    def network(self):
        return Net()

    def batch(self, samples):
        size, count = max(len(one["node"]) for one in samples), len(samples)
        out = {
            "node": np.zeros((count, size, 2), np.float32), "edge": np.zeros((count, size, size, 1), np.float32),
            "there": np.zeros((count, size), bool), "far": np.zeros((count, size), np.float32),
        }  # fmt: skip
        for at, one in enumerate(samples):
            n = len(one["node"])
            out["node"][at, :n], out["edge"][at, :n, :n] = one["node"], one["edge"]
            out["there"][at, :n], out["far"][at, :n] = True, one["far"]
        return out

    def loss(self, network, batch):
        off = network(batch["node"], batch["edge"], batch["there"]) - batch["far"]
        noise = 1 + 0.1 * torch.rand(())  # what is drawn in a step has to be drawn again after an interruption
        return noise * (off[batch["there"]] ** 2).mean()

    def metrics(self, network, samples):
        batch = loop.tensors(self.batch(list(samples)), "cpu")
        off = (network(batch["node"], batch["edge"], batch["there"]) - batch["far"])[batch["there"]]
        return {"loss": (off**2).mean(), "error": off.abs().mean()}

    def limits(self, samples):
        return {"edge": [0, max(one["edge"].max() for one in samples)]}


class Longer(Toy):
    unit = 2.0


class Unlike(Toy):
    """A forward that ONNX cannot follow."""

    def network(self):
        class Frozen(Net):
            def forward(self, node, edge, there):
                return super().forward(node, edge, there) + float(node[0, 0, 0]) * torch.rand(()).item()

        return Frozen()


class Diverging(Toy):
    def loss(self, network, batch):
        return super().loss(network, batch) * torch.inf


class Silent(Toy):
    def samples(self, take, seed):
        return []
