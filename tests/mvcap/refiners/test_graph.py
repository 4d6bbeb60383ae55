"""The refiner ``graph``: what it moves and what it leaves, what it tells the network, and what happens without one."""

import warnings

import numpy as np
import pytest
from refined_walk import case, nothing, unseen, walk
from synthetic_take import COCO

from calib import Camera, Rig
from calib.geometry import rotation_from_vector
from mvcap.errors import AssetError
from mvcap.plugins import load_plugin
from mvcap.refiners.bones import Bones, BonesConfig, rows_from, solve_window
from mvcap.refiners.graph import GraphRefiner, GraphRefinerConfig
from mvcap.refiners.graph_features import BODY, arrays_between, move_joints, window_features
from mvcap.structures.contracts import Evidence
from mvcap.weights import networks

USUAL = BonesConfig(usual=1.0)
HIDDEN = [COCO.index(f"left_{joint}") for joint in ("elbow", "wrist")]


class Told:
    """A network that answers the same for every joint, and keeps what it was asked."""

    def __init__(self, offset=(0.0, 0.0, 0.0), wide=1.0, person=9.0, limits=None):
        self.offset, self.wide, self.person, self.limits, self.asked = offset, wide, person, limits or {}, []

    def __call__(self, *arrays):
        self.asked.append(arrays)
        shape = arrays[0].shape[:3]
        return (np.broadcast_to(self.offset, (*shape, 3)), np.broadcast_to(self.wide * np.eye(3), (*shape, 3, 3)),
                np.full(shape[0], self.person))  # fmt: skip


@pytest.fixture
def hidden():
    """A walk of which one view alone sees an arm for half a second, and none sees it for a moment."""
    gone = unseen(slice(60, 85), HIDDEN, slice(1, None)) | unseen(slice(100, 104), HIDDEN)
    return case(walk(), unseen=gone)


def refined(monkeypatch, network, poses, evidence, **settings):
    monkeypatch.setattr(networks, "load_network", lambda name, rig: network)
    return GraphRefiner(GraphRefinerConfig(**settings)).refine(poses, evidence)


def test_the_solution_of_bones_is_what_bones_gives(hidden):
    poses, evidence = hidden
    one, two = Bones(USUAL).refine(poses, evidence), rows_from(poses, solve_window(poses, evidence, USUAL))
    assert all(np.array_equal(one.arrays()[name], two.arrays()[name], equal_nan=True) for name in one.arrays())


def test_only_what_fewer_than_two_views_saw_moves(monkeypatch, hidden):
    poses, evidence = hidden
    before = Bones(USUAL).refine(poses, evidence)
    after = refined(monkeypatch, Told((0.0, 0.0, 2.0), 0.1), poses, evidence)
    shift = np.linalg.norm(after.xyz - before.xyz, axis=-1)
    few = np.zeros(shift.shape, bool)
    few[np.ix_(np.r_[60:85, 100:104], HIDDEN)] = True
    assert np.nanmax(shift[~few]) == 0 and np.nanmedian(shift[few]) > 0.005
    assert np.array_equal(after.cov[~few], before.cov[~few], equal_nan=True)
    up = (after.xyz - before.xyz)[few]
    assert (up[:, 2] > 0).mean() > 0.9


def test_an_answer_of_nothing_leaves_places_nearly_as_they_are(monkeypatch, hidden):
    poses, evidence = hidden
    before, after = Bones(USUAL).refine(poses, evidence), refined(monkeypatch, Told(), poses, evidence)
    assert np.nanmax(np.abs(before.xyz - after.xyz)) < 0.1


def test_what_the_network_is_sure_of_is_kept_and_what_it_doubts_is_not(monkeypatch, hidden):
    poses, evidence = hidden
    sure, unsure = (refined(monkeypatch, Told(wide=wide), poses, evidence) for wide in (0.05, 3.0))
    arm = (slice(62, 83), HIDDEN[1])
    assert np.isfinite(sure.xyz[arm]).all() and np.isnan(unsure.xyz[arm]).all()


def test_bones_stays_where_there_is_no_network(monkeypatch, hidden):
    poses, evidence = hidden
    before = Bones(USUAL).refine(poses, evidence)

    def missing(name, rig):
        raise AssetError("prg.onnx: there is no such network")

    monkeypatch.setattr(networks, "load_network", missing)
    with pytest.warns(UserWarning, match="no such network"):
        after = GraphRefiner(GraphRefinerConfig()).refine(poses, evidence)
    assert all(np.array_equal(before.arrays()[name], after.arrays()[name], equal_nan=True) for name in before.arrays())


@pytest.mark.parametrize(
    "network",
    [
        Told((0, 0, 9.0), person=-9.0),
        Told((0, 0, 9.0), limits={"node_low": np.float64(-1e-9), "node_high": np.float64(1e-9)}),
    ],
)
def test_bones_stays_where_the_network_doubts_or_was_not_taught(monkeypatch, hidden, network):
    poses, evidence = hidden
    before = Bones(USUAL).refine(poses, evidence)
    with pytest.warns(UserWarning, match="stay as the refiner bones returns them"):
        after = refined(monkeypatch, network, poses, evidence)
    assert np.array_equal(before.xyz, after.xyz, equal_nan=True)


def test_nothing_in_nothing_out(monkeypatch):
    poses, evidence = case(walk(5))
    for rows in (poses[:0], poses.with_columns(**nothing(poses))):
        assert len(refined(monkeypatch, Told(), rows, evidence)) == len(rows)
    refined(monkeypatch, Told(), poses[:1], evidence)


def test_it_can_be_named():
    refiner, settings = load_plugin("refiner", {"refiner": "graph"})
    assert isinstance(refiner, GraphRefiner) and settings["refiner"] == "graph" and "fill_m" in settings


# --- what the network is told ----------------------------------------------------------------------------------------


def elsewhere(poses, evidence, angle=1.1, shift=(3.0, -2.0, 0.0)):
    """The same in a room that is turned about the vertical and moved, with the views in another order."""
    R, shift = rotation_from_vector(np.array([0, 0, angle])), np.array(shift)
    room = np.eye(4)
    room[:3, :3], room[:3, 3] = R, shift
    order = np.random.default_rng(0).permutation(len(evidence.rig))
    cameras = [Camera(camera.lens, camera.cam_from_world @ np.linalg.inv(room)) for camera in evidence.rig]
    rig = Rig(tuple(cameras[at] for at in order))
    rows = evidence.rows.with_columns(view=np.argsort(order)[evidence.rows.view])
    from mvcap.structures.poses import full_covariance, packed_covariance

    cov = R @ full_covariance(poses.cov.astype(float)) @ R.T
    turned = poses.with_columns(xyz=poses.xyz @ R.T + shift, cov=packed_covariance(cov))
    return turned, Evidence(rig, rows, evidence.rate_hz, evidence.limb_length_m), R, order


def test_neither_the_room_nor_the_order_of_views_matters(hidden):
    poses, evidence = hidden
    there, again, R, order = elsewhere(poses, evidence)
    solution, turned = solve_window(poses, evidence, USUAL), solve_window(there, again, USUAL)
    one, two = window_features(solution, evidence), window_features(turned, again)
    for name, value in one.arrays.items():
        other = two.arrays[name]
        if name in ("view", "sees"):
            value = value[:, :, order]
        assert np.abs(value - other).max() < 0.02, name
    offset, factor = np.ones((*one.views.shape, 3)), np.tile(np.eye(3), (*one.views.shape, 1, 1))
    x, cov = move_joints(one, solution, offset, factor)
    y, spread = move_joints(two, turned, offset, factor)
    assert np.abs(x @ R.T + [3.0, -2.0, 0.0] - y)[:, one.joint >= 0].max() < 0.01
    assert np.abs(R @ cov @ R.T - spread)[:, one.joint >= 0].max() < 1e-3


def test_joints_go_by_name(hidden):
    poses, evidence = hidden
    posture = window_features(solve_window(poses, evidence, USUAL), evidence)
    there = posture.arrays["there"][0] > 0
    assert {BODY.joints[at] for at in np.flatnonzero(there)} == set(COCO.joints)
    assert [COCO.joints[at] for at in posture.joint[there]] == [BODY.joints[at] for at in np.flatnonzero(there)]


def test_a_part_hears_nothing_of_the_rest(hidden):
    poses, evidence = hidden
    posture = window_features(solve_window(poses, evidence, USUAL), evidence)
    part = arrays_between(posture.arrays, 5, 12)
    assert len(part["node"]) == 7 and part["at"].min() >= 0 and part["at"].max() < 7
    assert not part["step"].transpose(0, 2, 1, 3)[part["near"] == 0].any()


def test_moments_far_apart_hear_nothing_of_each_other():
    poses, evidence = case(walk(3))
    evidence = Evidence(evidence.rig, evidence.rows, 0.1, evidence.limb_length_m)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        posture = window_features(solve_window(poses, evidence, USUAL), evidence)
    assert not posture.arrays["near"].any() and all(np.isfinite(value).all() for value in posture.arrays.values())
