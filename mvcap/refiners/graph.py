"""``bones``, and then a learned graph of joints that puts those which ``bones`` knows badly where a body has them.

A joint that two views measure stays where it is. Of the others (one view sees them, or none) the network
``prg`` gives a normal distribution: it has seen how people move, and it knows from where, how well and how long ago
each joint was seen. This is told to ``bones`` for a few steps more, which makes limbs and pictures agree with it. What
the network is told: ``mvcap.refiners.graph_features``; what it is: ``mvcap.nn.prg``.

Where there are no weights, where what is seen is unlike all that the network was taught on, and where it doubts that it
looks at one person, everything stays as ``bones`` left it, and a warning says so.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.arrays import Bools, Floats
from mvcap.errors import AssetError, ConfigError
from mvcap.refiners.bones import BonesConfig, Solution, rows_from, solve_from, solve_window
from mvcap.refiners.graph_features import WindowFeatures, has_torso, move_joints, part_of, window_features
from mvcap.structures.contracts import Evidence
from mvcap.structures.poses import Poses3D
from mvcap.weights import networks

_PIECE_S, _MARGIN_S = 4.0, 0.75  # the network looks at so much at a time, and so much on both sides
_STRANGE = 0.1  # share of the features outside their limits with which a piece is like nothing that was taught
_LASTS_S = 2.0  # for how long the network errs in the same way
_SHIFT = 0.3  # of the square of how far pictures and limbs move a joint from where the network put it: added to its own
_INPUTS = ("node", "view", "sees", "there", "build", "step", "at", "near", "late")


@dataclass(frozen=True)
class GraphRefinerConfig(BonesConfig):
    """Settings of the refiner ``graph``: those of ``bones``, which it begins with, and its own."""

    usual: float = 1.0
    """As of ``bones``. The network was taught on people so begun with."""
    person: float = 0.2
    """Belief (0 to 1) that this is one person, below which the network's answer is not used."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.person < 1:
            raise ConfigError("graph: person is 0 or more and below 1")


class GraphRefiner:
    """Refiner ``graph``."""

    Config = GraphRefinerConfig

    def __init__(self, config: GraphRefinerConfig) -> None:
        self.config = config

    def identity(self, rig: Rig) -> str:
        """Which network a rig's takes are refined with; none where there are no weights."""
        try:
            return networks.load_network("prg", rig).identity
        except AssetError:
            return "none"

    def refine(self, poses: Poses3D, evidence: Evidence) -> Poses3D:
        """Move one person's rows; fill joints and frames in gaps as far as their covariance allows."""
        if not np.isfinite(poses.xyz).any():
            return poses
        solution = solve_window(poses, evidence, self.config)
        if not has_torso(poses.skeleton):
            return rows_from(poses, solution)
        try:
            network = networks.load_network("prg", evidence.rig)
        except AssetError as fault:
            warnings.warn(f"refiner graph: without its network people stay as bones left them: {fault}", stacklevel=2)
            return rows_from(poses, solution)
        return rows_from(poses, self.completed(solution, evidence, network))

    def completed(self, solution: Solution, evidence: Evidence, network: networks.Network) -> Solution:
        """Return a solution whose badly known joints are where the network puts them."""
        posture = window_features(solution, evidence)
        offset, factor, believed = self._answer(posture, network)
        if not believed.all():
            where, share = solution.problem.observations.first, (~believed).mean()
            warnings.warn(
                f"refiner graph: in the window from frame {where} on, {share:.0%} of a person's moments are unlike "
                "what its network knows, or of no one person; there joints stay as bones left them",
                stacklevel=3,
            )
        x, cov = move_joints(posture, solution, offset, factor)
        views = _views(solution, posture)
        every = np.searchsorted(posture.frame, np.arange(len(x)), side="right") - 1
        frame, joint = np.nonzero((views < 2) & (posture.joint >= 0) & believed[every, None])
        if not len(frame):
            return solution
        own = posture.joint[joint]
        told, spread, information = solution.x.copy(), solution.cov.copy(), np.zeros(solution.cov.shape)
        told[frame, own], spread[frame, own] = x[frame, joint], cov[frame, joint]
        # What the network says of one moment it says of the next ones too: their errors are one error.
        information[frame, own] = np.linalg.inv(cov[frame, joint]) / (1 + _LASTS_S * solution.problem.rate_hz)
        again = solve_from(solution, told, information)
        shift = again[frame, own] - told[frame, own]
        spread[frame, own] += _SHIFT * shift[:, :, None] * shift[:, None]
        out = solution.x.copy()
        out[frame, own] = again[frame, own]
        return replace(solution, x=out, cov=spread)

    def _answer(self, posture: WindowFeatures, network: networks.Network) -> tuple[Floats, Floats, Bools]:
        """Offsets (T, J, 3), factors (T, J, 3, 3) and at which moments (T,) the network may speak."""
        moments, joints = posture.views.shape
        offset, factor = np.zeros((moments, joints, 3)), np.tile(np.eye(3), (moments, joints, 1, 1))
        believed = np.zeros(moments, np.bool_)
        piece, margin = max(round(_PIECE_S * posture.rate_hz), 1), round(_MARGIN_S * posture.rate_hz)
        for start in range(0, moments, piece):
            stop = min(start + piece, moments)
            first, last = max(start - margin, 0), min(stop + margin, moments)
            arrays = part_of(posture.arrays, first, last)
            if not _known(arrays, network):
                continue
            o, f, person = network(*(arrays[name][None] for name in _INPUTS))
            keep = slice(start - first, stop - first)
            offset[start:stop], factor[start:stop] = o[0, keep], f[0, keep]
            believed[start:stop] = 1 / (1 + np.exp(-person[0])) >= self.config.person
        return offset, factor, believed


def _views(solution: Solution, posture: WindowFeatures) -> NDArray[np.int64]:
    """How many views (T', J) agree with each joint of the vocabulary at all frames; a point alone counts as two."""
    problem = solution.problem
    used = (problem.observations.residuals(solution.x, problem.noise_scale) <= problem.config.outlier_sigma).sum(0)
    return np.asarray(np.where(problem.observations.given, 2, used)[:, np.maximum(posture.joint, 0)])


def _known(arrays: dict[str, NDArray[np.generic]], network: networks.Network) -> bool:
    """Whether features lie within the limits of what the network was taught on."""
    limits = network.limits
    for name, there in (("node", arrays["there"]), ("view", arrays["sees"])):
        if f"{name}_low" in limits:
            low, high = limits[f"{name}_low"], limits[f"{name}_high"]
            held = np.asarray(arrays[name], np.float64)[np.asarray(there, np.bool_)]
            if len(held) and ((held < low) | (held > high)).mean() > _STRANGE:
                return False
    return True
