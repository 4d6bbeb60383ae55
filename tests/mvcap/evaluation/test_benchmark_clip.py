"""What readers of benchmarks share: what can be asked of them, tables of truth, and truth as an estimator's input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_take import ring_rig, save_rig, truth

from mvcap.errors import InputError
from mvcap.estimators.oracle import Oracle, OracleConfig
from mvcap.evaluation.benchmark_clip import (
    Options,
    choose_clips,
    one_line_reason,
    pcp_rules,
    projected_truth,
    same_skeleton,
    truth_table,
)
from mvcap.structures.contracts import View
from mvcap.structures.pose_file import load_poses
from mvcap.structures.poses import Provenance
from mvcap.structures.skeleton import skeleton

COCO = skeleton("coco17")


@pytest.mark.parametrize(
    ("asked", "option"),
    [({"noise_px": 0.0}, "--noise"), ({"detections": "labels"}, "--detections"), ({"clips": ()}, "--clips")],
)
def test_what_a_benchmark_has_no_choice_of_is_refused_by_its_option(asked, option):
    options = Options(**asked)
    with pytest.raises(InputError, match=rf"shelf.*{option}"):
        options.only("shelf")
    options.only("shelf", *asked)
    Options(views=("a",)).only("shelf")  # every benchmark has views


@settings(max_examples=40)
@given(st.sets(st.sampled_from("abcdef"), min_size=1), st.lists(st.sampled_from("abcdefg"), max_size=4))
def test_clips_are_chosen_in_the_benchmarks_order(tmp_path_factory, names, wanted):
    names = sorted(names)
    lost = [name for name in wanted if name not in names]
    if lost:
        with pytest.raises(InputError, match=", ".join(lost)):
            choose_clips(names, tuple(wanted), tmp_path_factory.getbasetemp())
    else:
        chosen = choose_clips(names, tuple(wanted) or None, tmp_path_factory.getbasetemp())
        assert chosen == [name for name in names if name in (wanted or names)]


def test_truth_is_known_or_missing_joint_by_joint():
    xyz = np.random.default_rng(0).normal(size=(3, 17, 3))
    xyz[1, 4, 2] = np.nan
    xyz[2] = np.nan
    table = truth_table(COCO, [0, 0, 5], [2, 1, 2], xyz)
    assert table.frame.tolist() == [0, 0, 5] and table.person.tolist() == table.group.tolist() == [2, 1, 2]
    known = np.isfinite(xyz).all(-1)
    np.testing.assert_array_equal(table.score, known)
    np.testing.assert_array_equal(table.provenance == Provenance.MEASURED, known)
    np.testing.assert_allclose(table.xyz[known], xyz[known], rtol=1e-6)
    assert np.isnan(table.xyz[~known]).all() and np.isnan(table.cov).all() and (table.views == 0).all()
    empty = truth_table(COCO, [], [], np.zeros(0))
    assert len(empty) == 0 and empty.xyz.shape == (0, 17, 3)


def test_projected_truth_is_what_the_cameras_see(tmp_path):
    poses, rig = truth(3, people=2), ring_rig(2)
    save_rig(rig, tmp_path / "rig.yaml")  # a session's folder has its rig
    settings = projected_truth(poses, 0.0)(tmp_path)
    assert settings["estimator"] == "oracle"
    assert load_poses(tmp_path / "truth.npz").xyz.tobytes() == poses.xyz.tobytes()
    oracle = Oracle(OracleConfig(**settings["estimators"]["oracle"]))
    for at, camera in enumerate(rig):
        rows = oracle.estimate(None, 2, View(at, camera.name, camera.size, 25.0, 3), {}).rows
        seen = camera.project(poses.xyz[poses.frame == 2].astype(float))
        far = np.linalg.norm(np.nan_to_num(rows.xy[:, None] - seen[None]), axis=-1).max(-1).min(1)
        assert len(rows) == 2 and far.max() < 1e-3 and (rows.carried == -1).all()


def test_pcp_is_read_by_both_programs_rules():
    rules, poses = pcp_rules("voxelpose-campus"), truth(1, people=1)
    four, voxel = rules["4da"](poses), rules["voxelpose"](poses)
    assert four.skeleton.name == voxel.skeleton.name == "shelf15"
    assert not np.allclose(four.xyz[:, 12:14], voxel.xyz[:, 12:14]) and set(rules) == {"4da", "voxelpose"}
    assert same_skeleton(poses) is poses


def test_reasons_are_one_line():
    assert one_line_reason(FileNotFoundError(2, "No such file", "a.json")) == "No such file"
    assert one_line_reason(ValueError("one\n  two")) == "one two"
