"""The picture of the evidence of synchronisation."""

import cv2
import numpy as np

from mvcap.reporting.sync_picture import draw_evidence
from mvcap.structures.sync_evidence import PairCurve, SyncEvidence


def test_a_picture_shows_the_curve_of_each_pair(tmp_path):
    delay = np.linspace(-1, 1, 101)
    curve = PairCurve(0, 1, delay, np.exp(-(delay**2) * 30), "nats a joint", 0.0, 0.5, 3.0)
    one = SyncEvidence(np.zeros(2), np.zeros(2), np.eye(4), {}, (curve,))
    draw_evidence(tmp_path / "one.png", ("a", "b"), {"motion": one}, np.zeros(2))
    draw_evidence(tmp_path / "none.png", ("a", "b"), {}, np.zeros(2))
    seen, empty = (cv2.imread(str(tmp_path / name)) for name in ("one.png", "none.png"))
    assert (seen != 255).sum() > (empty != 255).sum() + 1000
