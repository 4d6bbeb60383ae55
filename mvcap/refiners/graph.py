"""The refiner ``bones``, followed by a learned graph network that corrects the joints ``bones`` knows poorly.

A joint that two views measure stays where it is. For the others (seen by one view, or by none) the network ``prg``
gives a normal distribution. It is trained on human motion, and its input includes from where, how accurately and how
long ago each joint was seen. The distribution enters ``bones`` as a prior for a few more steps, which makes it agree
with limb lengths and reprojection. Input features: ``mvcap.refiners.graph_features``; network: ``mvcap.nn.prg``.

Without weights, for data unlike the network's training data, and where the network finds that the detections are not of
a single person, the result of ``bones`` is returned unchanged, with a warning.
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
from mvcap.refiners.graph_features import WindowFeatures, arrays_between, has_torso, move_joints, window_features
from mvcap.structures.contracts import Evidence
from mvcap.structures.poses import Poses3D
from mvcap.weights import networks

_WINDOW_S, _MARGIN_S = 4.0, 0.75  # length of one network input, and its context on both sides
_OUTSIDE_SHARE = 0.1  # largest share of features outside the limits of the training data
_LASTS_S = 2.0  # correlation time of the network's errors
_SHIFT = 0.3  # share of the squared shift of a joint from the network's estimate that is added to its variance
_INPUTS = ("node", "view", "sees", "there", "build", "step", "at", "near", "late")


@dataclass(frozen=True)
class GraphRefinerConfig(BonesConfig):
    """Settings of the refiner ``graph``: those of ``bones``, its first step, and its own."""

    usual: float = 1.0
    """As of ``bones``. The network was trained on poses that started with this value."""
    person: float = 0.2
    """Score (0 to 1) that this is one person, below which the network's answer is not used."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.person < 1:
            raise ConfigError("graph: person must be 0 or more and below 1")


class GraphRefiner:
    """Refiner ``graph``: ``bones``, then a learned graph for the joints that fewer than two views see."""

    Config = GraphRefinerConfig

    def __init__(self, config: GraphRefinerConfig) -> None:
        self.config = config

    def identity(self, rig: Rig) -> str:
        """Identity of the network used for takes of this rig; ``none`` without weights."""
        try:
            return networks.load_network("prg", rig).identity
        except AssetError:
            return "none"

    def refine(self, poses: Poses3D, evidence: Evidence) -> Poses3D:
        """Refine one person's rows; fill joints and frames in gaps as far as their covariance allows."""
        if not np.isfinite(poses.xyz).any():
            return poses
        solution = solve_window(poses, evidence, self.config)
        if not has_torso(poses.skeleton):
            return rows_from(poses, solution)
        try:
            network = networks.load_network("prg", evidence.rig)
        except AssetError as fault:
            warnings.warn(f"refiner graph: no network, poses are those of the refiner bones: {fault}", stacklevel=2)
            return rows_from(poses, solution)
        return rows_from(poses, self.completed(solution, evidence, network))

    def completed(self, solution: Solution, evidence: Evidence, network: networks.Network) -> Solution:
        """Return the solution with poorly known joints replaced by the network's estimate."""
        posture = window_features(solution, evidence)
        offset, factor, accepted = self._predict(posture, network)
        if not accepted.all():
            where, share = solution.problem.observations.first, (~accepted).mean()
            warnings.warn(
                f"refiner graph: in the window from frame {where} on, {share:.0%} of a person's poses are unlike the "
                "network's training data, or not of a single person; these stay as the refiner bones returns them",
                stacklevel=3,
            )
        x, cov = move_joints(posture, solution, offset, factor)
        views = _views(solution, posture)
        every = np.searchsorted(posture.frame, np.arange(len(x)), side="right") - 1
        frame, joint = np.nonzero((views < 2) & (posture.joint >= 0) & accepted[every, None])
        if not len(frame):
            return solution
        own = posture.joint[joint]
        targets, spread, information = solution.x.copy(), solution.cov.copy(), np.zeros(solution.cov.shape)
        targets[frame, own], spread[frame, own] = x[frame, joint], cov[frame, joint]
        # The network's errors are correlated over time, so each frame gets a share of the information.
        information[frame, own] = np.linalg.inv(cov[frame, joint]) / (1 + _LASTS_S * solution.problem.rate_hz)
        updated = solve_from(solution, targets, information)
        shift = updated[frame, own] - targets[frame, own]
        spread[frame, own] += _SHIFT * shift[:, :, None] * shift[:, None]
        out, learned = solution.x.copy(), np.zeros(solution.x.shape[:2], np.bool_)
        out[frame, own], learned[frame, own] = updated[frame, own], True
        return replace(solution, x=out, cov=spread, learned=learned)

    def _predict(self, posture: WindowFeatures, network: networks.Network) -> tuple[Floats, Floats, Bools]:
        """Offsets (T, J, 3), factors (T, J, 3, 3), and the moments (T,) at which the network's output is used."""
        moments, joints = posture.views.shape
        offset, factor = np.zeros((moments, joints, 3)), np.tile(np.eye(3), (moments, joints, 1, 1))
        accepted = np.zeros(moments, np.bool_)
        window, margin = max(round(_WINDOW_S * posture.rate_hz), 1), round(_MARGIN_S * posture.rate_hz)
        for start in range(0, moments, window):
            stop = min(start + window, moments)
            first, last = max(start - margin, 0), min(stop + margin, moments)
            arrays = arrays_between(posture.arrays, first, last)
            if not _within_limits(arrays, network):
                continue
            o, f, person = network(*(arrays[name][None] for name in _INPUTS))
            keep = slice(start - first, stop - first)
            offset[start:stop], factor[start:stop] = o[0, keep], f[0, keep]
            accepted[start:stop] = 1 / (1 + np.exp(-person[0])) >= self.config.person
        return offset, factor, accepted


def _views(solution: Solution, posture: WindowFeatures) -> NDArray[np.int64]:
    """Number of views (T', J) that agree with each joint of the vocabulary at all frames; a given point counts as 2."""
    problem = solution.problem
    used = (problem.observations.residuals(solution.x, problem.noise_scale) <= problem.config.outlier_sigma).sum(0)
    views = problem.observations.with_skipped(np.where(problem.observations.given, 2, used))
    return np.asarray(views[:, np.maximum(posture.joint, 0)])


def _within_limits(arrays: dict[str, NDArray[np.generic]], network: networks.Network) -> bool:
    """Whether features lie within the limits of the network's training data."""
    limits = network.limits
    for name, mask in (("node", arrays["there"]), ("view", arrays["sees"])):
        if f"{name}_low" in limits:
            low, high = limits[f"{name}_low"], limits[f"{name}_high"]
            present = np.asarray(arrays[name], np.float64)[np.asarray(mask, np.bool_)]
            if len(present) and ((present < low) | (present > high)).mean() > _OUTSIDE_SHARE:
                return False
    return True
