"""The bench of optical flow: who is put in front of whom, and how errors are counted."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from synthetic_take import COCO

from mvcap.estimation.flow_fusion import reduced_gray
from mvcap.structures.detections import Detections2D

sys.path.append(str(Path(__file__).parents[1] / "tools"))
SIZE = (80, 120)


def bench():
    return importlib.import_module("benches.flow_fusion")


def two_people(frame):
    """Rows of two people, ids 3 and 5, the label image of their bodies, and the picture."""
    xy = np.stack([np.stack([left + 2.0 * (np.arange(17) % 5), 20 + 3.0 * np.arange(17)], -1) for left in (10, 90)])
    rows = Detections2D.build(COCO, frame, 0, xy, np.full((2, 17), 0.9), 1.0, [3, 5])
    masks, picture = np.zeros(SIZE, np.uint8), np.full((*SIZE, 3), 50, np.uint8)
    for at, left in enumerate((8, 88)):
        masks[18:70, left : left + 14] = at + 1
        picture[18:70, left : left + 14] = 100 * (at + 1)
    return rows, masks, picture


def test_one_person_walks_across_the_other():
    takes = [two_people(frame) for frame in range(8)]
    rows, masks, pictures = ([one[part] for one in takes] for part in range(3))
    module = bench()
    assert module._two_people(rows) == (3, 5)
    made = list(module._with_occluder(pictures, rows, masks, 3, 5))
    for picture, over in made:
        assert (picture[over] == 200).all() and np.array_equal(picture[~over], pictures[0][~over])
    share = [(over & (masks[0] == 1)).sum() for _, over in made]
    assert max(share) > 0.6 * (masks[0] == 1).sum() and min(share) < 0.3 * (masks[0] == 1).sum()
    over = [one[1] for one in made]
    exact = module._measures(rows, rows, rows, over, masks, 3)
    assert exact[:, 0].max() == 0 and len(exact) == 8 * 17 and exact[:, 1].max() > 0.6
    gone = module._measures([one[:0] for one in rows], rows, rows, over, masks, 3)
    assert np.isnan(gone[:, 0]).all()


def test_rows_are_fused_for_every_image():
    takes = [two_people(frame) for frame in range(6)]
    rows, grays = [one[0] for one in takes], [reduced_gray(one[2]) for one in takes]
    module = bench()
    assert module.fused(grays, rows, False, False) is rows
    for sides in ((True, False), (True, True)):
        made = module.fused(grays, rows, *sides)
        assert [one.frame[0] for one in made] == list(range(6))
        assert all(np.abs(one.xy - rows[0].xy).max() < 1 for one in made)


def test_parts_are_counted_by_the_share_that_is_covered():
    found = np.array([[1.0, 0, 0, 0.9, 1], [3, 0, 0, 0.9, 1], [np.nan, 0.3, 1, 0.9, 1], [8, 0.3, 1, 0.9, 1]])
    rows = {row["part"]: row for row in bench()._rows("x", found)}
    assert rows["nobody in front"]["median px"] == 2 and rows["nobody in front"]["in 68 %"] == 50
    assert rows["body covered 25% to 50%"]["missing %"] == 50 and rows["covered joints"]["joints"] == 2
    assert "body covered 0% to 5%" not in rows and rows["nobody in front"]["mean px"] == pytest.approx(2)
