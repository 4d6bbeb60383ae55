"""The baselines and measures of tools/bench: right where it is easy, and each step what its description says."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from generated_people import circle, make_session
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import mvcap
from mvcap import plugins, stages
from mvcap.structures.skeleton import skeleton

sys.path.append(str(Path(__file__).parents[1] / "tools"))

BASELINES = {
    name: f"benches.baselines.{name}:{kind}"
    for name, kind in {
        "epipolar_hungarian": "EpipolarHungarian",
        "svt_matching": "SvtMatching",
        "pairwise": "Pairwise",
    }.items()
}


def bench(name):
    return importlib.import_module(f"benches.{name}")


@pytest.fixture(scope="module")
def take(tmp_path_factory):
    """Rows that tell who they are, of four people in five views, and the rig."""
    folder = tmp_path_factory.mktemp("take")
    session = make_session(folder, circle(4, 5, 6), carry=True, noise_px=1.0, missing=0.1)
    mvcap.estimate(session)
    place = stages.detections(session, "estimate")
    return place.kind.concatenate(list(place.chunks()), skeleton(place.skeleton_name)), session.rig


def associated(name, rows, rig):
    associator, settings = plugins.load_plugin("associator", {"associator": BASELINES[name]})
    assert settings["associator"] == BASELINES[name] and associator.follows is False
    return associator.associate(rows, rig, 60.0, {})[0]


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_tell_who_is_who_where_it_is_easy(name, take):
    rows, rig = take
    out = associated(name, rows, rig)
    assert np.array_equal(out.xy, rows.xy, equal_nan=True)
    assert bench("measures").pair_f1(out.frame, out.view, out.person, rows.carried) > 0.99
    for frame in np.unique(out.frame):
        held = np.stack([out.view, out.person], axis=-1)[(out.frame == frame) & (out.person >= 0)]
        assert len(np.unique(held, axis=0)) == len(held), "one row of a view and person"


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_take_what_is_empty_or_of_one_view_or_without_joints(name, take):
    rows, rig = take
    assert len(associated(name, rows[:0], rig)) == 0
    assert (associated(name, rows[rows.view == 1], rig).person == -1).all()
    blank = rows.with_columns(
        xy=np.full_like(rows.xy, np.nan), score=0 * rows.score, noise_px=np.full_like(rows.noise_px, np.nan)
    )
    assert (associated(name, blank, rig).person == -1).all()


def test_epipolar_distance_is_that_of_points_from_lines(take):
    rig = take[1]
    one = bench("baselines.one_frame")
    point = np.array([0.3, -0.2, 1.1])
    exact = np.einsum("cij,j->ci", rig.P, [*point, 1.0])
    xy = (exact[:, :2] / exact[:, 2:])[:, None]
    view = np.arange(len(rig))
    distance = one.epipolar_distance(xy, view, rig, 1)
    assert np.isinf(np.diag(distance)).all() and distance[~np.eye(len(rig), dtype=bool)].max() < 1e-6
    line = one.fundamental(rig)[1, 0] @ [*xy[0, 0], 1.0]
    moved = xy.copy()
    moved[1, 0] += 7.0 * line[:2] / np.linalg.norm(line[:2])
    assert one.epipolar_distance(moved, view, rig, 1)[0, 1] == pytest.approx(7.0, rel=0.3)
    assert np.isinf(one.epipolar_distance(xy, view, rig, 2)).all()


@given(arrays.arrays(float, (4, 5), elements=st.floats(-3, 3)))
def test_nearest_values_that_sum_to_one_at_most(values):
    nearest = bench("baselines.svt_matching").at_most_one(values)
    assert (nearest >= 0).all() and (nearest.sum(-1) <= 1 + 1e-9).all()
    rng = np.random.default_rng(0)
    for _ in range(20):
        other = rng.dirichlet(np.ones(6), 4)[:, :5]
        gap, other_gap = (((values - at) ** 2).sum(-1) for at in (nearest, other))
        assert (gap <= other_gap + 1e-9).all()


def test_low_rank_matches_close_a_triangle_that_one_pair_misses():
    svt = bench("baselines.svt_matching")
    view = np.repeat([0, 1, 2], 2)
    affinity = (np.tile([0, 1], 3)[:, None] == np.tile([0, 1], 3)[None]) * 0.9 * (view[:, None] != view[None])
    affinity[0, 4] = affinity[4, 0] = 0.0  # of one person, and not seen to be
    match = svt.matches(affinity, view, svt.SvtMatchingConfig())
    assert match[0, 4] > 0.5 and match[0, 3] < 0.5
    assert sorted(map(sorted, svt.rounded(match, view))) == [[0, 2, 4], [1, 3, 5]]


def test_measures_count_switches_false_people_and_ellipsoids():
    measures = bench("measures")
    true = circle(2, 4, 50)[0]
    rng = np.random.default_rng(3)
    off = rng.normal(0, 0.01, true.xyz.shape)
    cov = np.broadcast_to([1e-4, 0, 0, 1e-4, 0, 1e-4], (*true.score.shape, 6))
    person = np.where(true.frame < 25, true.person, 3 - true.person)
    row = measures.against_truth(true.xyz + off, true.frame, person, true, cov=cov)
    assert row["id switches"] == 2 and row["covered"] == 1 and row["false a frame"] == 0
    assert row["MPJPE mm"] == pytest.approx(16.0, rel=0.05)  # the mean of a chi distribution of three
    assert row["68 %"] == pytest.approx(0.68, abs=0.03) and row["95 %"] == pytest.approx(0.95, abs=0.02)
    lost = measures.against_truth(true.xyz[:60] + 2, true.frame[:60], true.person[:60], true)
    assert lost["MPJPE mm"] is None and lost["covered"] == 0 and lost["false a frame"] == 60 / 50


def test_environment_of_others_that_cannot_be_made_is_one_line(monkeypatch, tmp_path):
    peers, section = bench("peers"), bench("section").Section("a", "b")
    (tmp_path / "peers").write_text("in the way")
    monkeypatch.setenv("MVCAP_CACHE", str(tmp_path))
    assert peers.ready(section) is None
    assert len(section.facts) == 1 and "pose2sim" in section.facts[0] and "\n" not in section.facts[0]


def test_split_and_turned_rows_are_still_known(take):
    rows, _ = take
    left = np.isin(np.arange(26), rows.skeleton.limbs[:4])
    half = [rows.xy.copy(), rows.xy[:, rows.skeleton.mirror].copy()]
    half[0][:, left], half[1][:, ~left] = np.nan, np.nan
    parts = [
        rows.with_columns(
            xy=xy,
            score=np.where(np.isnan(xy[..., 0]), 0, 1),
            noise_px=np.where(np.isnan(xy[..., 0]), np.nan, 1),
            carried=np.full(len(rows), -1),
        )
        for xy in half
    ]
    both = type(rows).concatenate(parts, rows.skeleton)
    found = bench("measures").whose(both, rows)
    seen = (both.score > 0).any(-1)
    assert np.array_equal(found[seen], np.tile(rows.carried, 2)[seen]) and (found[~seen] == -1).all()
