"""An estimator that finds people without a single joint."""

from dataclasses import dataclass

import numpy as np
import synthetic_take as synthetic

from mvcap.structures.contracts import Estimate
from mvcap.structures.detections import Detections2D


@dataclass(frozen=True)
class BlindConfig:
    rows: int = 2


class Blind:
    """An estimator that says that people are there, and of none of them where."""

    Config = BlindConfig
    skeleton = synthetic.COCO
    needs_images = False

    def __init__(self, config):
        self.config = config

    def prepare(self, views):
        return "blind"

    def estimate(self, image, frame, view, state):
        xy = np.full((self.config.rows, len(self.skeleton), 2), np.nan)
        return Estimate(Detections2D.build(self.skeleton, frame, view.index, xy, np.ones(xy.shape[:2]), 1.0), state)
