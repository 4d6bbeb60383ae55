"""A new refiner as a plug-in. In a session: mvcap reconstruct take.mvcap --set refiner=my_module:MovingMean"""

from dataclasses import dataclass

import numpy as np
import two_walkers

import mvcap


@dataclass(frozen=True)
class MovingMeanConfig:
    """Settings of the refiner: how many frames are averaged, an odd number."""

    frames: int = 3


class MovingMean:
    """Refiner: each joint is the mean over some frames around it; gaps stay gaps."""

    Config = MovingMeanConfig

    def __init__(self, config):
        self.config = config

    def refine(self, poses, evidence):
        """Refine one person's rows, in order of frames; evidence: rig, detections, limb lengths."""
        near = np.abs(poses.frame[:, None] - poses.frame) <= self.config.frames // 2
        there = near[..., None] & (poses.score > 0)
        mean = np.einsum("tsj,sjx->tjx", there, np.nan_to_num(poses.xyz)) / np.maximum(there.sum(1), 1)[..., None]
        return poses.with_columns(xyz=np.where((poses.score > 0)[..., None], mean, np.nan))


if __name__ == "__main__":
    rig = mvcap.Rig.from_opencv(*two_walkers.cameras(), size=two_walkers.SIZE)
    found = mvcap.Detections2D.from_dense(*two_walkers.detections(two_walkers.truth()), "coco17")
    truth = mvcap.Poses3D.from_dense(two_walkers.truth(), "coco17")
    poses = mvcap.reconstruct_rows(found, rig, rate_hz=25, overrides={"refiner": "5_new_refiner:MovingMean"})
    print("MPJPE mm:", *(f"{mvcap.score(p, truth)['mpjpe_mm']:.1f}" for p in (poses.raw, poses)))
