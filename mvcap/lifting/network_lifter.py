"""A lifter that is a network with a card: what lifters with shipped weights have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.lifting.windowed_network import lift_track
from mvcap.structures.view_track import LiftedBody, ViewTrack
from mvcap.weights import networks


class NetworkLifter:
    """A lifter whose network is ``<network>.onnx`` among the weights, trained by ``mvcap train <network>``."""

    network: str

    def identity(self, rig: Rig) -> str:
        """Identity of the network used for takes of this rig."""
        return networks.load_network(self.network, rig).identity

    def lift(self, track: ViewTrack) -> LiftedBody:
        """Return the joints of every frame; NaN where the track does not tell them. AssetError without weights."""
        network = networks.load_network(self.network)

        def answer(node: NDArray[np.float32], frame: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any]]:
            joints, factor = network(node, frame)
            return joints, factor

        return lift_track(track, answer, float(network.card["metrics"]["deviation_factor"]))
