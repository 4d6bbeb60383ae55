"""Lifter dynamic_graph: a graph network of joints over time.

After "Learning Dynamical Human-Joint Affinity" (see ``mvcap.nn.dynamic_graph``), but the affinity between joints of the
network that ships is one learned matrix for all clips: no advantage of the clip's own affinity could be shown
(``tools/bench seeds``). Trained by ``mvcap train lift``.
"""

from __future__ import annotations

from dataclasses import dataclass

from mvcap.lifting.network_lifter import NetworkLifter


@dataclass(frozen=True)
class DynamicGraphConfig:
    """Settings of the lifter ``dynamic_graph``: none."""


class DynamicGraphLifter(NetworkLifter):
    """Lifter ``dynamic_graph``: a graph network of joints over time."""

    Config = DynamicGraphConfig
    network = "lift"

    def __init__(self, config: DynamicGraphConfig) -> None:
        self.config = config
