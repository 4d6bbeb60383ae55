"""What each joint rests on, counted in one place, and what refinement did to joints that views agree upon."""

import numpy as np
from walking_take import poses

from mvcap.reporting.joint_sources import JointCounts, JointSource, joint_sources, overruled_measurements
from mvcap.structures.poses import Provenance

RAW = poses(40, missing=0)


def test_sources_follow_from_provenance_and_views():
    kinds = [(p, v) for p in Provenance for v in (0, 1, 2)]
    table = RAW[:1].with_columns(
        provenance=np.resize([int(p) for p, _ in kinds], (1, 17)), views=np.resize([v for _, v in kinds], (1, 17))
    )
    found = dict(zip(kinds, joint_sources(table)[0].tolist(), strict=False))
    assert found[Provenance.MEASURED, 2] == JointSource.VIEWS and found[Provenance.MEASURED, 1] == JointSource.ONE_VIEW
    assert found[Provenance.ONE_VIEW, 1] == JointSource.ONE_VIEW == found[Provenance.ONE_VIEW, 2]
    assert all(found[p, v] == JointSource.NO_VIEW for p, v in found if p in (3, 4, 5))
    gone = table.with_columns(score=np.zeros((1, 17)), xyz=np.full((1, 17, 3), np.nan))
    assert (joint_sources(gone) == JointSource.MISSING).all()


def counts(refined, raw=RAW):
    found = JointCounts()
    for frames in (RAW.frame < 13, RAW.frame >= 13):
        found.add(refined[frames], raw[frames] if len(raw) else raw)
    return found.summary()


def test_joints_of_each_kind_are_counted():
    provenance = RAW.provenance.copy()
    provenance[:10], provenance[10:15] = Provenance.ONE_VIEW, Provenance.REJECTED
    found = counts(RAW.with_columns(provenance=provenance))
    assert (found["views"], found["one_view"], found["no_view"], found["missing"]) == (65 * 17, 170, 85, 0)
    assert found["measured"] == 80 * 17 and found["rejected"] == 15 * 17 and found["moved"] == 0
    assert found["by_provenance"] == {"measured": 65 * 17, "one_view": 170, "rejected": 85}


def test_joints_that_are_moved_further_than_their_covariance_allows_are_counted():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.003, RAW.xyz.shape)
    assert counts(RAW.with_columns(xyz=RAW.xyz + noise))["moved"] < 0.01 * RAW.score.size
    far = RAW.xyz.copy()
    far[20:30, 5] += 0.4
    found = counts(RAW.with_columns(xyz=far))
    assert found["moved"] == 10
    assert overruled_measurements({"joints": found}) == []
    far[:, 5] += 0.4
    (reason,) = overruled_measurements({"joints": counts(RAW.with_columns(xyz=far))})
    assert "5.9%" in reason.reason and "80 moved" in reason.reason


def test_people_that_refinement_left_out_and_poses_alone_are_no_fault():
    assert counts(RAW, RAW[:0])["measured"] == 0 and overruled_measurements({"joints": counts(RAW, RAW[:0])}) == []
    assert overruled_measurements({}) == []
