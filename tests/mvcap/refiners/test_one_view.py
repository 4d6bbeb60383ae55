"""People seen by one view: their positions and covariances; and joints on which two views agree."""

import numpy as np
import pytest
from refined_walk import CIRCLE, RATE_HZ, case, detections, triangulated, unseen
from synthetic_take import COCO, body, ring_rig

from mvcap.refiners.bones import Bones, BonesConfig
from mvcap.structures.anthropometry import limb_lengths
from mvcap.structures.contracts import Evidence
from mvcap.structures.poses import Provenance, full_covariance

ELBOW, SHOULDER, WRIST = (COCO.index(f"left_{part}") for part in ("elbow", "shoulder", "wrist"))


def walk_out(seconds=4.0):
    """A walk along a straight line away from the middle, at 1.2 m/s."""
    frames = np.arange(round(seconds * RATE_HZ))
    xyz = np.stack([body(frame / RATE_HZ, CIRCLE) for frame in frames])
    xyz -= xyz.mean(1, keepdims=True) * [1, 1, 0]
    xyz[..., 0] += (1.2 * frames / RATE_HZ)[:, None]
    return xyz


@pytest.fixture(scope="module")
def leaving():
    """Solutions of a walk of which one view sees the last 2.5 s, with everything kept, and the truth."""
    xyz = walk_out()
    alone = unseen(slice(75, 200), views=slice(1, None), total=200)
    poses, evidence = case(xyz, unseen=alone)
    made = Bones(BonesConfig(fill_m=10.0)).refine(poses, evidence)
    return made, xyz, poses, evidence


def test_who_walks_out_is_not_drawn_back_to_the_camera(leaving):
    made, xyz, _, _ = leaving
    off = np.linalg.norm(made.xyz[75:].mean(1) - xyz[75:].mean(1), axis=-1)
    assert np.median(off) < 0.5
    along = made.xyz[80::20].mean(1)[:, 0]
    assert (np.diff(along) > -0.1).all(), "the path does not turn back"


def test_limbs_of_one_view_keep_their_length(leaving):
    made, _, _, evidence = leaving
    length = limb_lengths(COCO, made.xyz[75:])
    assert np.nanquantile(np.abs(length / evidence.limb_length_m - 1), 0.95) < 0.25


def test_the_covariance_of_one_view_holds_the_truth_and_grows(leaving):
    made, xyz, _, _ = leaving
    cov = full_covariance(made.cov.astype(float))
    values, axes = np.linalg.eigh(cov)
    worst = np.abs(np.einsum("tja,tja->tj", made.xyz - xyz[made.frame], axes[..., 2]))
    sigma = np.sqrt(values[..., 2])
    assert (worst[75:] < 2 * sigma[75:]).mean() > 0.9
    assert np.median(sigma[76:79]) < 0.06 < 0.12 < np.median(sigma[110:120])
    assert np.median(sigma[190:]) > 0.25


def test_by_default_one_view_is_left_out_when_its_depth_is_lost(leaving):
    _, _, poses, evidence = leaving
    made = Bones(BonesConfig()).refine(poses, evidence)
    late = made.frame >= 125
    assert np.isnan(made.xyz[late]).all(), "a second after the last two views"
    soon = (made.frame >= 75) & (made.frame < 80)
    assert (made.provenance[soon] == Provenance.ONE_VIEW).mean() > 0.8


def test_where_two_views_agree_other_joints_do_not_overrule_them():
    """The wrist is missing and the elbow moves fast between moments at which it stands: smoothness is wrong there."""
    xyz = np.repeat(body(0.0, CIRCLE)[None], 60, axis=0)
    swing = np.exp(-(((np.arange(60) - 30) / 2.0) ** 2))[:, None] * [0.0, 0.25, 0.1]
    xyz[:, [ELBOW, WRIST]] += swing[:, None]
    gone = unseen(slice(24, 37), joints=WRIST, total=60) | unseen(slice(25, 29), joints=ELBOW, total=60)
    gone[2:, 29:32, ELBOW] = True
    rig = ring_rig(5)
    rows = detections(xyz, rig, unseen=gone)
    raw = triangulated(rows, rig)
    lengths = np.nanmedian(limb_lengths(COCO, raw.xyz), axis=0)
    made = Bones(BonesConfig()).refine(raw, Evidence(rig, rows, 12.0, lengths))
    for frame in (29, 30, 31):
        off = np.linalg.norm(made.xyz[frame, ELBOW] - xyz[frame, ELBOW])
        sigma = np.sqrt(np.linalg.eigvalsh(full_covariance(made.cov[frame, ELBOW].astype(float)))[-1])
        assert made.provenance[frame, ELBOW] == Provenance.MEASURED
        assert off < max(3 * sigma, 0.03) and off < 0.08


def test_what_no_limb_reaches_is_rejected_and_says_so():
    xyz = np.repeat(body(0.0, CIRCLE)[None], 60, axis=0)
    seen = xyz.copy()
    seen[20:40, WRIST] += [0.9, 0.9, 0.6]  # all views detect the wrist of somebody else
    poses, evidence = case(seen)
    lengths = limb_lengths(COCO, xyz[:1])[0]
    evidence = Evidence(evidence.rig, evidence.rows, RATE_HZ, lengths)
    made = Bones(BonesConfig()).refine(poses, evidence)
    far = np.linalg.norm(made.xyz[:, WRIST] - made.xyz[:, ELBOW], axis=-1) > 1.0
    claimed = made.provenance[:, WRIST] == Provenance.MEASURED
    assert not (far & claimed)[24:36].any()


def test_a_joint_of_a_hopeless_detection_is_not_measured():
    """One view sees the elbow; the other one's detection is so uncertain that anything agrees with it."""
    xyz = np.repeat(body(0.0, CIRCLE)[None], 40, axis=0)
    rig = ring_rig(3)
    gone = np.zeros((3, 40, len(COCO)), bool)
    gone[2, 15:25, ELBOW] = True
    rows = detections(xyz, rig, unseen=gone)
    vague = (rows.view == 1) & (rows.frame >= 15) & (rows.frame < 25)
    noise, xy, score = rows.noise_px.copy(), rows.xy.copy(), rows.score.copy()
    noise[vague, ELBOW], score[vague, ELBOW] = 300.0, 0.01
    xy[vague, ELBOW] += 200.0
    rows = rows.with_columns(noise_px=noise, xy=xy, score=score)
    raw = triangulated(rows, rig)
    made = Bones(BonesConfig()).refine(raw, Evidence(rig, rows, RATE_HZ, limb_lengths(COCO, xyz[:1])[0]))
    assert (made.provenance[17:23, ELBOW] != Provenance.MEASURED).all()
