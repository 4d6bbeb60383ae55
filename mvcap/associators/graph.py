"""Association across views and time by a learned graph network (MMG) on the evidence of geometry.

The graph of rows and tracked people is the same as that of the associator ``geometry``, and so is its partition. In
ambiguous frames, a network trained on many such frames gives the log-odds of each pair instead of the evidence of that
pair alone: it also uses the evidence elsewhere in the graph, fragments and copies of a body in one view, and rows that
are false positives. After S. Wu et al., "Graph-Based 3D Multi-Person Pose Estimation Using Multi-View Images", ICCV
2021, whose nodes are image features; here they are residuals in units of noise, so that the weights work in any room.
"""

from __future__ import annotations

import numpy as np

from calib import Rig
from mvcap.association.association_graph import AffinityModel
from mvcap.association.learned_affinity import LearnedAffinity, LearnedAffinityConfig
from mvcap.associators.geometry import Geometry
from mvcap.structures.contracts import State
from mvcap.structures.detections import Detections2D
from mvcap.weights import networks
from mvcap.weights.networks import Network

_COUNTS = ("asked", "declined")


class GraphAssociator(Geometry):
    """Associator ``graph``: as ``geometry``, with learned networks for ambiguous frames."""

    Config = LearnedAffinityConfig

    def __init__(self, config: LearnedAffinityConfig) -> None:
        super().__init__(config)
        self.affinity_config = config
        self._affinity_models: list[LearnedAffinity] = []
        self._networks: tuple[Network, Network | None] | None = None

    def identity(self, rig: Rig) -> str:
        """Identities of the networks used for takes of this rig."""
        return " ".join(network.identity for network in _networks(rig, self.affinity_config.centres) if network)

    def associate(self, rows: Detections2D, rig: Rig, rate_hz: float, memory: State) -> tuple[Detections2D, State]:
        """Return the rows with their person numbers, and the state of the tracked bodies at the last frame.

        The state also counts the frames in which the networks were queried, ``asked``, and those of them that the
        networks left to geometry, ``declined``.
        """
        self._affinity_models, self._networks = [], _networks(rig, self.affinity_config.centres)
        rows, state = super().associate(rows, rig, rate_hz, {k: v for k, v in memory.items() if k not in _COUNTS})
        totals = (
            sum(model.asked for model in self._affinity_models),
            sum(model.declined for model in self._affinity_models),
        )
        counts = {name: np.asarray(int(memory.get(name, 0)) + more) for name, more in zip(_COUNTS, totals, strict=True)}
        return rows, {**state, **counts}

    def _affinity_model(self, rows: Detections2D, rig: Rig) -> AffinityModel | None:
        self._affinity_models.append(
            LearnedAffinity(
                rows, rig, self.affinity_config, self._networks or _networks(rig, self.affinity_config.centres)
            )
        )
        return self._affinity_models[-1]


def _networks(rig: Rig, centres: bool) -> tuple[Network, Network | None]:
    return networks.load_network("mmg", rig), networks.load_network("crg", rig) if centres else None
