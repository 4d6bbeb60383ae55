"""Lifter temporal: a graph of joints weighted by their confidence, then convolutions over time.

After "Monocular 3D Multi-Person Pose Estimation by Integrating Top-Down and Bottom-Up Networks" (see
``mvcap.nn.temporal_lift``). Trained by ``mvcap train lift_temporal``. It needs a third of the time of dynamic_graph.
"""

from __future__ import annotations

from dataclasses import dataclass

from mvcap.lifting.network_lifter import NetworkLifter


@dataclass(frozen=True)
class TemporalConfig:
    """Settings of the lifter ``temporal``: none."""


class TemporalLifter(NetworkLifter):
    """Lifter ``temporal``: a graph of joints weighted by their confidence, then convolutions over time."""

    Config = TemporalConfig
    network = "lift_temporal"

    def __init__(self, config: TemporalConfig) -> None:
        self.config = config
