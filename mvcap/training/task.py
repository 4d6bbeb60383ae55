"""The contract of what a network is taught, so that one loop (``mvcap.train``) teaches all of them."""

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
    """Names of a network's inputs and outputs and of their axes that have no fixed length, as ONNX wants them."""

    inputs: Mapping[str, Mapping[int, str]]
    """Input -> its axes of any length -> what they count."""
    outputs: Mapping[str, Mapping[int, str]]


class Task(Protocol):
    """What one network learns from takes."""

    name: str
    sizes: NetworkAxes
    batch_size: int

    def samples(self, take: SyntheticTake, seed: int) -> list[Sample]:
        """Features and targets of a take. The seed is for what is drawn here (dropped views, disturbed starts)."""
        ...

    def network(self) -> torch.nn.Module:
        """Return fresh weights; ``forward`` takes the arrays of ``sizes.inputs``, batched, in order."""
        ...

    def batch(self, samples: Sequence[Sample]) -> dict[str, NDArray[Any]]:
        """Samples as one batch (B, ...), padded where their sizes differ, masks telling what is there."""
        ...

    def loss(self, network: torch.nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What is to become small, a number."""
        ...

    def metrics(self, network: torch.nn.Module, samples: Iterable[Sample]) -> dict[str, float]:
        """Figures on held-out samples; ``loss`` is among them and decides which of two networks is better."""
        ...
