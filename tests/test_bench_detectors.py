"""The bench of the estimators of people: its decoders, what counts as found, its percentages, and what is left out."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from synthetic_take import ring_rig

from mvcap import assets
from mvcap.errors import AssetError
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import SKELETONS

sys.path.append(str(Path(__file__).parents[1] / "tools"))
detectors, finders, pictures, runs, section = (
    importlib.import_module(f"benches.{name}")
    for name in ("detectors", "person_finders", "people_pictures", "estimator_runs", "section")
)
COCO = SKELETONS["coco17"]


def truth(*boxes):
    box = np.array(boxes, float)
    return finders.Truth(box, (box[:, :2] + box[:, 2:]) / 2, (box[:, 2:] - box[:, :2]).max(1))


def nanodet_outputs():
    sides = [finders.NANODET_PX // stride for stride in (8, 16, 32)]
    return [np.zeros((1, side**2, width), np.float32) for width in (80, 44) for side in sides]


def test_nanodet_boxes_reach_from_the_centre_of_their_cell():
    outputs = nanodet_outputs()
    outputs[1][0, 3 * 26 + 5, 0] = 0.9  # stride 16, row 3, column 5
    outputs[2][0, 0, 1] = 0.9  # no person
    outputs[4][0, 3 * 26 + 5].reshape(4, 11)[np.arange(4), [2, 1, 3, 4]] = 50.0
    box, score = finders.nanodet_boxes(outputs, 0.35)
    np.testing.assert_allclose(box, [[88 - 32, 56 - 16, 88 + 48, 56 + 64]], atol=1e-6)
    assert score.tolist() == pytest.approx([0.9])
    assert len(finders.nanodet_boxes(nanodet_outputs(), 0.35)[0]) == 0


def test_copies_go_and_the_best_stays():
    box = np.array([[0, 0, 10, 20], [1, 0, 11, 20], [30, 0, 40, 20]], float)
    assert finders.distinct(box, np.array([0.5, 0.8, 0.4])).tolist() == [1, 2]
    assert len(finders.distinct(box[:0], np.zeros(0))) == 0


def test_padded_square_holds_the_image_in_proportion():
    square, stretch = finders.padded(np.full((100, 200, 3), 9, np.uint8), 50, 114)
    assert (square[:25] == 9).all() and (square[25:] == 114).all() and stretch.tolist() == [4, 4, 4, 4]


def test_boxes_and_hips_find_who_is_there_and_nobody_else():
    people = truth([0, 0, 40, 100], [200, 0, 240, 100])
    boxes = finders.Found(np.array([[0, 0, 44, 100], [80, 0, 120, 100], [35, 0, 75, 100]], float))
    assert finders.covers(boxes, people).tolist() == [[True, False], [False, False], [False, False]]
    assert finders.is_nobody(boxes, people).tolist() == [False, True, True]
    hips = np.array([[25, 50], [220, 60], [120, 50]], float)
    found = finders.Found(np.zeros((3, 4)), hips, np.array([55.0, 210.0, 50.0]))  # the second is far too large
    assert finders.covers(found, people).tolist() == [[True, False], [False, False], [False, False]]
    assert finders.is_nobody(found, people).tolist() == [False, False, True]
    none = finders.Truth(np.zeros((0, 4)), np.zeros((0, 2)), np.zeros(0))
    assert finders.is_nobody(boxes, none).all() and finders.covers(boxes, none).shape == (3, 0)


def test_networks_and_data_that_are_not_there_are_said_to_be_left_out(tmp_path, monkeypatch):
    def missing(name):
        raise AssetError(f"{name}: cannot be fetched")

    monkeypatch.setattr(assets, "path", missing)
    monkeypatch.setattr(importlib.import_module("mvcap.estimation.converted_networks"), "converted_network", missing)
    told, options = section.Section("a", "b"), section.Options(quick=False, work=tmp_path, data=tmp_path)
    assert finders.finders(options, told) == {}
    assert detectors.data(told, options) == ([], None)
    assert len(told.facts) == 13 and all("left out" in fact and "\n" not in fact for fact in told.facts)


def labelled():
    xy = np.stack([np.linspace(10, 60, 14), np.linspace(0, 200, 14)], -1)
    return pictures.Labelled(np.zeros((210, 80, 3), np.uint8), xy)


def test_correct_joints_are_those_of_the_nearest_person():
    one = labelled()
    torso = np.linalg.norm(one.xy[9] - one.xy[2])
    near = one.xy[:12] + (np.arange(12)[:, None] < 3) * np.array([15.0, 0.0])  # 0.075 of the box
    lost = near.copy()
    lost[11] = np.nan
    rows = [detectors.correct([one], [np.stack([near + 500, xy])]) for xy in (near, lost)]
    assert [row["recall %"] for row in rows] == [100, 100] and rows[0]["people a picture"] == 2
    assert rows[0]["PCK 0.1 box"] == 100 and rows[1]["PCK 0.1 box"] == pytest.approx(100 * 11 / 12)
    assert rows[0]["PCK 0.05 box"] == pytest.approx(75) and 0.2 * torso > 15 and rows[0]["PCK 0.2 torso"] == 100
    none = detectors.correct([one], [np.zeros((0, 12, 2))])
    assert none["recall %"] == none["PCK 0.1 box"] == none["people a picture"] == 0


def standing(frames):
    """A person near the middle of the rig, who drifts."""
    rng = np.random.default_rng(1)
    body = rng.uniform((-0.3, -0.3, 0.1), (0.3, 0.3, 1.7), (17, 3))
    xyz = body + 0.001 * np.arange(frames)[:, None, None]
    ones, zero = np.ones((frames, 17)), np.zeros((frames, 17))
    at = np.arange(frames)
    return Poses3D(COCO, at, 0 * at + 1, 0 * at + 1, xyz, ones, zero, 4 * ones, np.zeros((frames, 17, 6)), zero)


def test_shares_are_those_of_the_noise_and_strangers_do_not_count():
    rng, rig, poses = np.random.default_rng(2), ring_rig(4), standing(150)
    exact = rig.project(poses.xyz.astype(float))
    rows = []
    for view in range(4):
        for frame in range(150):
            xy = np.stack([exact[view, frame] + rng.normal(0, 3, (17, 2)), exact[view, frame] + 4000])
            rows.append(Detections2D.build(COCO, frame, view, list(xy), list(np.ones((2, 17))), 1.0))
    held = Detections2D.concatenate(rows, COCO)
    held = held.with_columns(noise_px=np.full(held.noise_px.shape, 3, np.float32))
    row = runs.shares(held, poses, rig)
    assert row["joints"] == 4 * 150 * 17
    assert row["68 %"] == pytest.approx(0.683, abs=0.01) and row["95 %"] == pytest.approx(0.95, abs=0.01)
    assert row["both within 5 points"] == "17 of 17"
    few = poses.with_columns(views=np.full((150, 17), 2, np.uint8))
    assert runs.shares(held, few, rig) == {"joints": 0}


def test_people_in_a_view_have_the_box_of_what_it_shows():
    rig, poses = ring_rig(4), standing(2)
    xy = rig[1].project(poses.xyz[1].astype(float))
    width, height = rig[1].lens.size
    there = pictures.people_in_view(poses, rig[1], 1, np.zeros((height, width, 3), np.uint8))
    np.testing.assert_allclose(there.box[0], [*xy.min(0), *xy.max(0)])
    assert there.extent[0] == pytest.approx(np.ptp(xy, axis=0).max())
    cut = int(np.median(xy[:, 0]))  # the picture ends in the middle of the body
    part = pictures.people_in_view(poses, rig[1], 1, np.zeros((height, cut, 3), np.uint8), least=1)
    assert part.box[0, 2] <= cut and part.extent[0] == there.extent[0]
    assert len(pictures.people_in_view(poses, rig[1], 7, np.zeros((height, width, 3), np.uint8)).box) == 0


def test_rates_count_moments_and_processor_time_pictures():
    held = {
        "estimate": {"s": 5.0, "CPU s": 8.0, "peak MB": 300.0},
        "report": {"s": 5.0, "CPU s": 5.0, "peak MB": 400.0},
    }
    row = runs.chain_row("one", held, frames=100, views=4)
    assert row["estimate frames/s"] == 20 and row["chain frames/s"] == 10
    assert row["CPU ms a picture"] == 20 and (row["estimate MB"], row["chain MB"]) == (300, 400)
