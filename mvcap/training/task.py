"""The contract of a training task, so that one loop (``mvcap.train``) trains all networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from mvcap.structures.synthetic_take import SyntheticTake

if TYPE_CHECKING:
    import torch

Sample = Mapping[str, NDArray[Any]]
"""One frame, or one person's window, as arrays of its own sizes: features, masks, targets."""


@dataclass(frozen=True)
class NetworkAxes:
    """Names of a network's inputs and outputs and of their dynamic axes, as ONNX needs them."""

    inputs: Mapping[str, Mapping[int, str]]
    """Input -> its dynamic axes -> what they count."""
    outputs: Mapping[str, Mapping[int, str]]


class Task(Protocol):
    """A training task: samples, network, loss and metrics."""

    name: str
    sizes: NetworkAxes
    batch_size: int

    def samples(self, take: SyntheticTake, seed: int) -> list[Sample]:
        """Features and targets of a take. The seed is for random choices here (dropped views, disturbed starts)."""
        ...

    def network(self) -> torch.nn.Module:
        """Return an untrained network; ``forward`` takes the arrays of ``sizes.inputs``, batched, in order."""
        ...

    def batch(self, samples: Sequence[Sample]) -> dict[str, NDArray[Any]]:
        """Samples as one batch (B, ...), padded where their sizes differ, with masks of valid entries."""
        ...

    def loss(self, network: torch.nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The scalar loss."""
        ...

    def metrics(self, network: torch.nn.Module, samples: Iterable[Sample]) -> dict[str, float]:
        """Metrics on held-out samples; ``loss`` is among them and decides which of two networks is better."""
        ...
