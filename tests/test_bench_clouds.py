"""The bench of point clouds: what it compares with, and how it spoils a mask."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from capsule_people import capsule_body, circle_rig, rendered, signed_distance

sys.path.append(str(Path(__file__).parents[1] / "tools"))


@pytest.fixture
def bench(monkeypatch):
    module = importlib.import_module("benches.clouds")
    monkeypatch.setattr(module, "SIZE", (320, 240))
    monkeypatch.setattr(module, "SPACING_M", 0.03)
    return module


def test_carved_voxels_are_inside_all_masks_and_around_the_body(bench):
    body = capsule_body()
    moment = rendered([body], circle_rig(8, (320, 240)))
    voxels = bench.carved_voxels(moment, body.joints)
    assert len(voxels) > 1000
    for camera, label in zip(moment.rig, moment.labels, strict=True):
        x, y = np.rint(camera.project(voxels)).astype(int).T
        assert label[y, x].all()
    away = np.abs(signed_distance(body, voxels))
    assert np.median(away) < 0.03


def test_rows_hold_what_was_measured(bench):
    row = bench.hull_row(8, (0.3,))
    assert row["views"] == "8" and 0.5 < row["F"] <= 1 and row["ms"] > 0
    assert abs(row["F"] - row["carved F"]) < 0.15
    spoilt = bench.bad_mask_row("mask beside the person", (0.3,))
    assert spoilt["F with it"] > spoilt["F all good"] - 0.1
    plain = bench.texture_row("plane_sweep", 4, (0.3,), False)
    assert plain["F"] == bench.texture_row("visual_hull", 4, (0.3,), False)["F"]
