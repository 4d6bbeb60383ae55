"""The graph that the matching network sees: the same whatever the room, the order, the units of the picture."""

from copy import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calib import Camera, Lens, Rig
from calib.geometry import pose
from mvcap.association.graph_features import EDGE_NAMES, NODE_NAMES, SLOTS, RowFeatures
from mvcap.datasets.people import TakeConfig, make_take
from mvcap.training.association_frames import collect_questions

TAKE = make_take(3, TakeConfig(people=(3, 3), cameras=(4, 4), frames=4, rate_hz=(25.0, 25.0)))


def graphs(take):
    return [
        one.seen.graph(one.rays, one.bodies, one.evidence, one.people, one.group, one.skeleton) for one in asked(take)
    ]


def asked(take):
    return collect_questions(take, 1, 0.0)


def turned(take, angle=0.0, shift=(0.0, 0.0, 0.0)):
    """The same take in a world turned about gravity and shifted."""
    cos, sin = np.cos(angle), np.sin(angle)
    R = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
    old_from_new = pose(R.T, -R.T @ np.array(shift))
    cameras = [Camera(one.lens, one.cam_from_world @ old_from_new) for one in take.rig]
    xyz = take.truth.xyz.astype(np.float64) @ R.T + np.array(shift)
    return replace(take, rig=Rig(tuple(cameras)), truth=take.truth.with_columns(xyz=xyz.astype(np.float32)))


def finer(take, times):
    """The same take in pictures of so many times as many pixels each way."""
    cameras = []
    for one in take.rig:
        lens, K = one.lens, one.lens.K.copy()
        # The centre of the top-left pixel is (0, 0): a pixel's place scales about (-0.5, -0.5).
        K[:2] *= times
        K[:2, 2] += 0.5 * (times - 1)
        size = tuple(int(side * times) for side in lens.size)
        cameras.append(Camera(Lens(lens.name, size, K, lens.distortion, lens.model), one.cam_from_world))
    rows = take.rows
    rows = rows.with_columns(
        xy=(rows.xy + 0.5) * times - 0.5, box=(rows.box + 0.5) * times - 0.5, noise_px=rows.noise_px * times
    )
    return replace(take, rig=Rig(tuple(cameras)), rows=rows)


def alike(ours, theirs, tolerance=2e-3):
    assert len(ours) == len(theirs) > 2
    for a, b in zip(ours, theirs, strict=True):
        assert a.rows == b.rows
        for name in ("node", "edge", "prior"):
            np.testing.assert_allclose(
                getattr(a, name), getattr(b, name), atol=tolerance * (10 if name == "prior" else 1)
            )


@settings(max_examples=5, deadline=None)
@given(st.floats(-3, 3), st.floats(-50, 50), st.floats(-50, 50), st.floats(-2, 2))
def test_a_turn_about_gravity_and_a_shift_of_the_room_change_nothing(angle, x, y, z):
    alike(graphs(TAKE), graphs(turned(TAKE, angle, (x, y, z))), 5e-3)


@pytest.mark.parametrize("times", [2, 3])
def test_finer_pictures_change_nothing(times):
    alike(graphs(TAKE), graphs(finer(TAKE, times)), 5e-3)


def test_everything_is_finite_and_of_moderate_size():
    for graph in graphs(TAKE):
        assert graph.node.shape[1] == len(NODE_NAMES) and graph.edge.shape[2] == len(EDGE_NAMES)
        for values in (graph.node, graph.edge, graph.prior / 8):
            assert np.isfinite(values).all() and np.abs(values).max() < 8


def test_edges_are_the_same_both_ways():
    for graph in graphs(TAKE):
        np.testing.assert_array_equal(graph.edge, graph.edge.swapaxes(0, 1))
        np.testing.assert_array_equal(graph.prior, graph.prior.T)


def test_the_order_of_the_rows_only_orders_the_nodes():
    for one in asked(TAKE)[:4]:
        whole = one.seen.graph(one.rays, one.bodies, one.evidence, one.people, one.group, one.skeleton)
        order = np.random.default_rng(0).permutation(whole.rows)
        mixed_rows = copy(one.seen)
        mixed_rows.seen = RowFeatures(*(values[order] for values in vars(one.seen.seen).values()))
        mixed = mixed_rows.graph(
            one.rays[order], one.bodies, one.evidence[order], one.people, one.group[order], one.skeleton
        )
        place = np.concatenate([order, np.arange(whole.rows, len(whole.node))])
        np.testing.assert_allclose(mixed.node, whole.node[place], atol=1e-5)
        np.testing.assert_allclose(mixed.edge, whole.edge[np.ix_(place, place)], atol=1e-5)


def test_what_fits_is_evidence_for_and_what_does_not_is_against():
    at = EDGE_NAMES.index("evidence")
    same, other = [], []
    for one, graph in zip(asked(TAKE), graphs(TAKE), strict=True):
        who = one.row_is
        first, second = np.triu_indices(len(who), 1)
        across = one.rays.view[first] != one.rays.view[second]
        pair = (who[first] == who[second]) & (who[first] >= 0)
        same += graph.edge[first, second, at][across & pair].tolist()
        other += graph.edge[first, second, at][across & ~pair].tolist()
    assert np.median(same) > 0.5 and np.median(other) < 0


def test_joints_of_every_skeleton_have_a_slot():
    from mvcap.association.graph_features import _slots
    from mvcap.structures.skeleton import SKELETONS

    for kind in SKELETONS.values():
        slots = _slots(kind.body_part.joints)
        assert set(slots.tolist()) <= set(range(len(SLOTS)))
