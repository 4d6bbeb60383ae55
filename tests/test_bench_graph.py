"""The bench of the learned graph: its measures count what they say, its variants see what they say, and it runs."""

import hashlib
import importlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from mvcap.association.association_graph import GeometryConfig
from mvcap.associators.geometry import Geometry
from mvcap.datasets.people import TakeConfig, make_take
from mvcap.synthesis.detector_errors import OPENPOSE
from mvcap.weights import networks

sys.path.append(str(Path(__file__).parents[1] / "tools"))
TAKE = {"people": (2, 3), "cameras": (3, 4), "frames": 5}


def bench(name):
    return importlib.import_module(f"benches.{name}")


@pytest.fixture(scope="module")
def take():
    return make_take(5, TakeConfig("held_out", **TAKE))


class Told:
    """Associator that knows the true association, more or less."""

    def __init__(self, take, shift=0):
        self.person, self.shift = take.person, shift

    def associate(self, rows, rig, rate_hz, memory):
        person = self.person[rows.carried]
        later = np.where(person >= 0, self.shift * (rows.frame > 2), 0)
        return rows.with_columns(person=person + later), {"asked": np.array(5), "declined": np.array(2)}


def test_scores_count_pairs_switches_and_fallbacks(take):
    scores = bench("take_scores").scores
    right = scores(Told(take), [take, take])
    assert right.f1 == 1 and right.switches == 0 and right.false_people == 0 and right.frames == 10
    assert (right.asked, right.declined) == (10, 4) and right.row()["found_percent"] == 100
    late = scores(Told(take, shift=10), [take])
    assert late.f1 == 1 and late.switches == len(set(take.truth.person))
    both = bench("take_scores").TakeScores.sum([right, late])
    assert both.frames == 15 and both.switches == late.switches and both.f1 == 1


def test_frames_for_themselves_know_nobody_from_before(take):
    scores = bench("take_scores").scores
    follows, forgets = (scores(Geometry(GeometryConfig()), [take], forget) for forget in (False, True))
    assert follows.switches < forgets.switches and forgets.f1 > 0.5


def test_take_of_some_views_is_the_same_people_and_cameras(take):
    left = bench("graph").of_views(take, [0, 2])
    assert left.rig.names == (take.rig.names[0], take.rig.names[2]) and set(left.rows.view) == {0, 1}
    mine = np.isin(take.rows.view, [0, 2])
    assert np.array_equal(left.rows.xy, take.rows.xy[mine], equal_nan=True)
    assert np.array_equal(left.person, take.person[mine])


def test_doubled_estimator_misses_more_and_is_further_off():
    worse = bench("graph").doubled(OPENPOSE)
    assert worse.noise[0] == 2 * OPENPOSE.noise[0] and worse.person_missed > OPENPOSE.person_missed
    assert worse.noise_factor == OPENPOSE.noise_factor


def graphs(take, noise):
    """Ours, in metres and as published of the fullest frame, and the true person of its nodes."""
    variants, watched = bench("graph_variants"), importlib.import_module("mvcap.training.association_frames")
    rows = take.rows.with_columns(noise_px=noise * take.rows.noise_px)
    one = max(watched.collect_questions(replace(take, rows=rows), 3), key=lambda w: len(w.row_is))
    graph = one.seen.graph(one.rays, one.bodies, one.evidence, one.people, one.group, one.skeleton)
    parts = (graph, one.seen, one.rays, one.bodies, one.skeleton)
    return graph, variants.in_metres(*parts), variants.as_published(*parts), one


@pytest.fixture(scope="module")
def exact():
    """Two people seen without any noise."""
    from generated_people import circle

    from mvcap.metrics.association import project_poses
    from mvcap.structures.synthetic_take import SyntheticTake

    truth, rig, rate = circle(2, 4, 3)
    rows = project_poses(truth, rig)
    rows = rows[np.argsort(rows.frame, kind="stable")]
    whose = np.repeat(rows.person[:, None], rows.xy.shape[1], 1)
    return SyntheticTake(
        truth, rig, rig, rate, rows.with_columns(person=np.full(len(rows), -1)), whose.astype(np.int32)
    )


def test_variants_see_metres_and_epipolar_distances_and_no_noise(exact):
    edges = importlib.import_module("mvcap.association.graph_features").EDGE_NAMES
    ours, metres, published, one = graphs(exact, 1.0)
    count = ours.rows
    across = one.rays.view[:, None] != one.rays.view[None]
    same = across & (one.row_is[:, None] == one.row_is[None])
    far = edges.index("far")
    assert metres.edge[:count, :count, far][same].max() < 0.01 < metres.edge[:count, :count, far][across & ~same].min()
    assert published.edge[:count, :count, -1][same].min() > 0.99
    assert published.edge[:count, :count, -1][across & ~same].min() < 0.9
    for graph in (metres, published):
        assert np.isfinite(graph.node).all() and np.isfinite(graph.edge).all() and not graph.prior.any()
        assert np.allclose(graph.edge, graph.edge.swapaxes(0, 1))
    noisier = graphs(exact, 3.0)
    assert not np.allclose(noisier[0].edge[:count, :count], ours.edge[:count, :count])
    for quiet, loud in zip((metres, published), noisier[1:3], strict=True):
        assert np.allclose(quiet.edge[:count, :count], loud.edge[:count, :count])
        assert np.allclose(quiet.node[:count], loud.node[:count])


def test_sum_grows_with_neighbours_and_maximum_does_not():
    torch = pytest.importorskip("torch")
    networks_, conv = bench("graph_networks"), importlib.import_module("mvcap.nn.edge_conv")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        summed = networks_.SumConv(8, 0)
        largest = conv.EdgeConv(8, 0)
        largest.load_state_dict(summed.state_dict())
        x = torch.randn(1, 1, 8).expand(1, 6, 8)
    few, many = torch.ones(1, 2, 2, dtype=torch.bool), torch.ones(1, 6, 6, dtype=torch.bool)
    with torch.inference_mode():
        for layer, grows in ((summed, True), (largest, False)):
            small, large = layer(x[:, :2], x[:, None, :2], None, few), layer(x, x[:, None], None, many)
            assert torch.allclose(small[0, 0], large[0, 0], atol=1e-5) is not grows


def test_ablation_runs_and_keeps_what_it_made(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    ablation, section = bench("graph_ablation"), bench("section")
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    how = ablation.Budget(2, 2, 3, 1, 1, {**TAKE, "frames": 4})
    options = section.Options(quick=True, work=tmp_path, data=tmp_path)
    first = ablation.ablation(options, how)
    table, gaps = first.tables.values()
    assert len(table) == 1 + 2 * len(ablation.VARIANTS) and len(gaps) == len(ablation.VARIANTS)
    assert all(0 <= value <= 1 for row in table for name, value in row.items() if name != "who")
    made = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    again = ablation.ablation(options, how)
    assert made and made == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    assert again.tables == first.tables


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Networks that were taught nothing, as the package's."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from mvcap.tasks.crg import CentreTask
    from mvcap.tasks.mmg import MatchingTask
    from mvcap.training.onnx_export import export_onnx

    monkeypatch.setattr(networks, "SHIPPED", tmp_path)
    some = make_take(2, TakeConfig("train", (4, 4), (4, 4), frames=6))
    for task in (MatchingTask(), CentreTask()):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = task.network().eval()
        path = tmp_path / f"{task.name}.onnx"
        export_onnx(task, network, task.samples(some, 0), path)
        card = {"name": task.name, "command": "", "seed": 0, "version": "0", "data": [], "metrics": {},
                "limitations": [], "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}  # fmt: skip
        networks.card_path(path).write_text(yaml.safe_dump(card))


def test_ladder_has_a_row_for_each_part_and_a_plot(weights, take, tmp_path):
    graph, section = bench("graph"), bench("section").Section("a", "b")
    rows = graph.compared(section, "table", "", [take], graph.LADDER)
    assert [row["who"] for row in rows] == list(graph.LADDER) and section.tables["table"] == rows
    assert all(0 <= row["F1"] <= 1 for row in rows)
    assert [row["asked %"] is None for row in rows] == ["MMG" not in row["who"] for row in rows]
    assert [row["id switches"] is None for row in rows] == ["itself" in row["who"] for row in rows]
    lines = [{**row, "who": who, "people": 4, "cameras": count} for who in graph.BOTH for count, row in
             zip((2, 3), rows[3:], strict=True)]  # fmt: skip
    bench("cameras_plot").draw(lines, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_recordings_that_are_not_there_are_said_to_be_left_out(tmp_path):
    section = bench("section")
    told = section.Section("a", "b")
    bench("recorded").recordings(told, section.Options(quick=True, work=tmp_path, data=tmp_path))
    assert not told.tables and sum("left out" in fact for fact in told.facts) == 3
