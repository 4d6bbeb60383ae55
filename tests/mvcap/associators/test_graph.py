"""The learned associator with the shipped weights: seldom wrong, bounded, and honest when it is lost."""

from dataclasses import replace

import numpy as np
import pytest
from generated_people import HIDING, crossing, make_session

import mvcap
from mvcap import stages
from mvcap.association.association_graph import GeometryConfig
from mvcap.association.centre_proposals import GRID, PAIR_NAMES, SPOT_NAMES, VIEW_NAMES
from mvcap.association.learned_affinity import LearnedAffinityConfig
from mvcap.associators.geometry import Geometry
from mvcap.associators.graph import GraphAssociator
from mvcap.datasets.people import TakeConfig, make_take
from mvcap.metrics.association import row_pairs
from mvcap.tasks.crg import CentreTask
from mvcap.tasks.mmg import MatchingTask
from mvcap.training.association_frames import collect_questions
from mvcap.weights import networks

TAKES = [
    make_take(seed, TakeConfig(split="held_out", people=(4, 6), cameras=(3, 6), frames=12, rate_hz=(25.0, 25.0)))
    for seed in (501, 502, 503, 504)
]


def f1(associator):
    whole = np.zeros(3)
    for take in TAKES:
        rows = take.rows.with_columns(carried=np.arange(len(take.rows)))
        found, _ = associator.associate(rows, take.rig, take.rate_hz, {})
        counted = row_pairs(found, take.person[found.carried])
        whole += counted.true, counted.predicted, counted.right
    return 2 * whole[2] / (whole[0] + whole[1])


def test_it_is_better_than_geometry_on_crowded_takes():
    ours, geometry = f1(GraphAssociator(LearnedAffinityConfig())), f1(Geometry(GeometryConfig()))
    assert ours > 0.9 and ours > geometry


def test_crossing_people_keep_their_numbers(tmp_path):
    session = make_session(tmp_path, crossing(3, 5, frames=60), carry=True, **HIDING)
    session.override({"associator": "graph"})
    mvcap.estimate(session)
    rows = mvcap.associate(session).read(0)
    for who in np.unique(rows.carried):
        numbers = rows.person[rows.carried == who]
        assert len(np.unique(numbers[numbers >= 0])) == 1


def test_chunks_do_not_matter():
    take = TAKES[0]
    whole, state = GraphAssociator(LearnedAffinityConfig()).associate(take.rows, take.rig, take.rate_hz, {})
    memory, numbers = {}, []
    for start in (0, 4, 8):
        mine = (take.rows.frame >= start) & (take.rows.frame < start + 4)
        part, memory = GraphAssociator(LearnedAffinityConfig()).associate(
            take.rows[mine], take.rig, take.rate_hz, memory
        )
        numbers.append(part.person)
    np.testing.assert_array_equal(np.concatenate(numbers), whole.person)
    assert int(memory["asked"]) > 0 and set(state) == set(memory)


def test_a_frame_unlike_all_training_is_left_to_geometry():
    take = TAKES[1]
    config = LearnedAffinityConfig(strange_share=-1.0)
    found, state = GraphAssociator(config).associate(take.rows, take.rig, take.rate_hz, {})
    by_geometry, _ = Geometry(GeometryConfig()).associate(take.rows, take.rig, take.rate_hz, {})
    assert int(state["declined"]) == int(state["asked"]) > 0
    np.testing.assert_array_equal(found.person, by_geometry.person)


def test_crowds_beyond_the_budget_are_left_to_geometry():
    take = TAKES[2]
    _, state = GraphAssociator(LearnedAffinityConfig(most_nodes=3)).associate(take.rows, take.rig, take.rate_hz, {})
    assert int(state["declined"]) == int(state["asked"]) > 0


def test_frames_left_to_geometry_are_told_in_the_report(tmp_path):
    session = make_session(tmp_path, crossing(3, 4, frames=20), **HIDING)
    session.override({"associator": "graph", "associators": {"graph": {"most_nodes": 3}}})
    mvcap.reconstruct(session)
    text = (
        (session.folder / "report.json").read_text()
        if (session.folder / "report.json").exists()
        else str(mvcap.report(session))
    )
    assert "frames, which differ from its training data" in text


def test_other_weights_make_the_result_stale(tmp_path, monkeypatch):
    session = make_session(tmp_path, crossing(2, 3, frames=6), **HIDING)
    session.override({"associator": "graph"})
    mvcap.estimate(session)
    mvcap.associate(session)
    monkeypatch.setattr(GraphAssociator, "identity", lambda self, rig: "others")
    with pytest.raises(mvcap.MvcapError, match="associate"):
        mvcap.associate(session)
    assert stages.detections(session, "associate").complete


def test_rows_without_joints_and_one_view_are_harmless():
    take = TAKES[3]
    rows = take.rows.with_columns(
        xy=np.full_like(take.rows.xy, np.nan), score=np.zeros_like(take.rows.score),
        noise_px=np.full_like(take.rows.noise_px, np.nan),
    )  # fmt: skip
    found, _ = GraphAssociator(LearnedAffinityConfig()).associate(rows, take.rig, take.rate_hz, {})
    assert (found.person == -1).all()
    alone = take.rows[take.rows.view == 0]
    found, _ = GraphAssociator(LearnedAffinityConfig()).associate(alone, take.rig, take.rate_hz, {})
    assert (found.person == -1).all()


def test_lessons_make_samples_that_fit_their_networks():
    pytest.importorskip("torch")
    take = replace(TAKES[0])
    for task in (MatchingTask(), CentreTask()):
        samples = task.samples(take, 1)
        again = task.samples(take, 1)
        assert samples and all((samples[0][name] == again[0][name]).all() for name in samples[0])
        batch = task.batch(samples)
        assert all(np.isfinite(values).all() for values in batch.values())
        assert set(task.sizes.inputs) <= set(batch)


def test_what_shipped_networks_take_is_what_is_made():
    matching, centres = networks.load_network("mmg"), networks.load_network("crg")
    assert matching.inputs == tuple(MatchingTask.sizes.inputs) and centres.inputs == tuple(CentreTask.sizes.inputs)
    assert {"node_low", "node_high", "edge_low", "edge_high"} <= set(matching.limits)


def test_queries_stand_round_the_middle_and_see_no_room():
    asked = [
        one.seen.queries(one.rays, one.bodies, one.evidence, one.group, group, one.people, one.skeleton)
        for one in collect_questions(TAKES[0], 1)
        for group in range(len(one.bodies.xyz))
        if one.grouped and len(np.unique(one.rays.view[one.group == group])) > 1
    ]
    assert asked
    for queries in filter(None, asked):
        assert queries.view.shape == (len(GRID), len(TAKES[0].rig), len(VIEW_NAMES))
        assert queries.pair.shape[2] == len(PAIR_NAMES) and queries.spot.shape[1] == len(SPOT_NAMES)
        assert all(np.isfinite(values).all() for values in (queries.view, queries.pair, queries.spot))
        np.testing.assert_allclose(queries.xyz.mean(0), queries.xyz[len(GRID) // 2], atol=1e-9)
