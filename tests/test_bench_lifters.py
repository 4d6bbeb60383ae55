"""The bench of lifters: its measures count what they say, its variants are of one size, and tables are made."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from generated_people import circle

from calib.geometry import rotation_from_vector
from mvcap.structures.view_track import LiftedBody

sys.path.append(str(Path(__file__).parents[1] / "tools"))


def bench(name):
    return importlib.import_module(f"benches.{name}")


@pytest.fixture(scope="module")
def seen():
    truth, rig, rate_hz = circle(1, 2, 20, rate_hz=25.0)
    return bench("seeds_recordings").seen_through(rig[0], truth.skeleton, truth.xyz.astype(float), rate_hz, False, 0)


def test_aligned_distances_do_not_see_a_similarity():
    rng = np.random.default_rng(0)
    true = rng.normal(0, 0.4, (15, 3))
    turn = rotation_from_vector(np.array([0.3, -0.7, 0.2]))
    aligned_mm = bench("seeds_recordings").aligned_mm
    assert aligned_mm(true, 0.7 * true @ turn.T + 1).max() < 1e-6
    assert aligned_mm(true, true * (-1, 1, 1)).mean() > 50  # a mirror image is no similarity
    moved = true + rng.normal(0, 0.01, true.shape)
    assert 5 < aligned_mm(true, moved).mean() < 1000 * np.linalg.norm(moved - true, axis=-1).mean() + 1


def test_figures_are_those_of_known_errors(seen):
    measure = bench("seeds_recordings").against
    covariance = np.broadcast_to(0.05**2 * np.eye(3), (*seen.truth.shape, 3))
    exact = measure(LiftedBody(seen.truth, covariance, 0.0), seen)
    assert np.abs(exact).max() < 1e-6
    larger = measure(LiftedBody(1.1 * seen.truth, covariance, 0.1), seen)
    assert larger[:, 0].mean() > 30 and larger[:, 1].max() < 1e-6 and larger[:, 2].max() < 1e-6
    assert (larger[:, 3] < 1).all()  # the spread of the size covers it


def test_errors_of_estimators_are_larger_and_some_joints_are_missing(seen):
    truth, rig, rate_hz = circle(1, 2, 200, rate_hz=25.0)
    make = bench("seeds_recordings").seen_through
    plain, erring = (
        make(rig[0], truth.skeleton, truth.xyz.astype(float), rate_hz, how, 1).track for how in (False, True)
    )
    assert plain.known.all() and 0.85 < erring.known.mean() < 0.99
    assert (np.isnan(erring.noise_px) == ~erring.known).all() and ((erring.score > 0) == erring.known).all()


def test_variants_have_about_the_same_number_of_parameters():
    pytest.importorskip("torch")
    for name in ("seeds_affinity", "seeds_confidence"):
        made = bench(name)
        counts = [sum(one.numel() for one in made.network(kind, width).parameters())
                  for kind, (_, width) in made.ROWS.items()]  # fmt: skip
        assert max(counts) < 1.1 * min(counts), counts


def test_a_claim_is_judged_by_the_spread_of_seeds():
    verdict = bench("seeds_training").verdict
    low, high = {"mm": 50.0, "mm ±": 1.0}, {"mm": 60.0, "mm ±": 1.0}
    assert "holds here" in verdict(low, high, "mm", "claim") and "fails here" in verdict(high, low, "mm", "claim")
    assert "is not decided" in verdict(low, {"mm": 51.0, "mm ±": 1.0}, "mm", "claim")


def test_a_table_of_affinities_is_made(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from mvcap import assets

    if any(state != "ok" for asset, state in assets.status() if asset.name.startswith("motions")):
        pytest.skip("the motions for training are not in the cache")
    made, section = bench("seeds_confidence"), bench("section")
    monkeypatch.setattr(made, "QUICK", replace(made.QUICK, takes=2, held_out=2, steps=2, seeds=2, batch=4))
    told = section.Section("seeds", "")
    made.confidence(section.Options(True, tmp_path, tmp_path), told)
    [rows] = told.tables.values()
    assert len(rows) == 3 and all(row["mm"] > 0 and row["mm ±"] >= 0 for row in rows)
    assert len(told.facts) == 3
