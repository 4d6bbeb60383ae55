import numpy as np
import pytest
from recorded_take import bent_rig
from synthetic_take import truth

from mvcap.config import build
from mvcap.datasets.quality_gates import (
    JOINT_GATES,
    GateConfig,
    QualityGates,
    bodies_of_take,
    residual_m,
)
from mvcap.errors import ConfigError
from mvcap.structures.poses import Provenance
from mvcap.structures.row_source import RowsInMemory

FRAMES = 10


@pytest.fixture
def poses():
    found = truth(FRAMES, people=2)
    shape = found.xyz.shape[:2]
    cov = np.zeros((*shape, 6))
    cov[..., [0, 3, 5]] = 1e-4  # 10 mm
    provenance = np.full(shape, Provenance.MEASURED)
    return found.with_columns(cov=cov, views=np.full(shape, 3), error_px=np.full(shape, 1.0), provenance=provenance)


def gated(poses, **settings):
    bodies = bodies_of_take(RowsInMemory(poses, FRAMES, FRAMES))
    gates = QualityGates(build(GateConfig, settings), bent_rig(), bodies)
    keep, people = gates.passed(poses)
    return keep, people, gates.counts


def test_good_poses_pass_whole(poses):
    keep, people, counts = gated(poses)
    assert keep.all() and people.all()
    rows = counts.table()
    assert [(row["person"], row["what"], row["total"], row["kept"]) for row in rows] == [
        (1, "joints", 170, 170), (2, "joints", 170, 170), (1, "frames", 10, 10), (2, "frames", 10, 10),
    ]  # fmt: skip


@pytest.mark.parametrize("gate", JOINT_GATES)
def test_each_gate_drops_the_joint_that_fails_it_and_no_other(poses, gate):
    wrist, row = 9, 4
    columns = {name: getattr(poses, name).copy() for name in ("xyz", "score", "error_px", "views", "cov", "provenance")}
    if gate == "missing":
        columns["xyz"][row, wrist], columns["score"][row, wrist] = np.nan, 0
    if gate == "not measured":
        columns["provenance"][row, wrist] = Provenance.INTERPOLATED
    if gate == "views":
        columns["views"][row, wrist] = 1
    if gate == "residual":
        columns["error_px"][row, wrist] = 20
    if gate == "covariance":
        columns["cov"][row, wrist, [0, 3, 5]] = 0.05**2
    if gate == "limb":
        elbow = columns["xyz"][row, 7]
        columns["xyz"][row, wrist] = elbow + 1.3 * (columns["xyz"][row, wrist] - elbow)
    keep, people, counts = gated(poses.with_columns(**columns))
    assert np.argwhere(~keep).tolist() == [[row, wrist]] and people.all()
    person = int(poses.person[row])
    assert counts.joints[person][gate] == 1 and sum(counts.joints[3 - person][name] for name in JOINT_GATES) == 0


def test_gates_have_settings(poses):
    shape = poses.xyz.shape[:2]
    spread = poses.with_columns(error_px=np.full(shape, 20.0))
    assert not gated(spread)[0].any()
    assert gated(spread, residual_mm=1000)[0].all()
    inferred = poses.with_columns(provenance=np.full(shape, Provenance.PRIOR))
    assert not gated(inferred)[0].any() and gated(inferred, measured_only=False)[0].all()
    assert not gated(poses, min_views=4)[0].any() and not gated(poses, sigma_mm=9)[0].any()
    with pytest.raises(ConfigError, match="sigma_mm"):
        gated(poses, sigma_mm=-1)
    with pytest.raises(ConfigError, match="unknown config key 'sigma'"):
        gated(poses, sigma=1)


def test_a_person_with_too_few_joints_has_no_truth_in_that_frame(poses):
    views = poses.views.copy()
    views[3, 5:] = 1
    keep, people, counts = gated(poses.with_columns(views=views))
    assert np.flatnonzero(~people).tolist() == [3] and not keep[3].any() and keep[[2, 4]].all()
    person = int(poses.person[3])
    assert counts.people[person]["joints"] == 1 and counts.joints[person]["joints"] == 5
    assert gated(poses.with_columns(views=views), min_joints=0.1)[1].all()


def test_residuals_are_lengths_at_the_distance_of_the_joint(poses):
    """One pixel is depth / focal length, as a joint moved by that in a view shows."""
    rig = bent_rig()
    length = residual_m(poses, rig)
    expected = []
    for camera in rig:
        xyz = poses.xyz[0, 0].astype(float)
        right = camera.cam_from_world[0, :3]
        moved = np.linalg.norm(camera.project(xyz + 1e-3 * right) - camera.project(xyz))
        expected.append(1e-3 / moved)
    assert length[0, 0] == pytest.approx(np.mean(expected), rel=0.05)
