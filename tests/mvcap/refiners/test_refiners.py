"""Refiners on people whose truth is known: what gets better, what stays, and what every joint says of itself."""

import numpy as np
import pytest
from refined_walk import CIRCLE, NOISE_PX, RATE_HZ, case, nothing, unseen, walk
from synthetic_take import COCO, body, recordings, ring_rig

from mvcap.errors import ConfigError
from mvcap.plugins import TABLE, load_plugin
from mvcap.refinement import acceleration, block_banded
from mvcap.refinement.observations import Observations2D
from mvcap.refiners.bones import Bones, BonesConfig
from mvcap.structures.anthropometry import limb_lengths
from mvcap.structures.contracts import Evidence
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D, Provenance, full_covariance

FILTERS = ("butterworth", "one_euro", "hampel")


def refined(poses, evidence, **settings):
    return Bones(BonesConfig(**settings)).refine(poses, evidence)


def off_mm(poses, xyz):
    return 1000 * np.linalg.norm(poses.xyz - xyz[poses.frame], axis=-1)


def points(xyz, sigma_m=0.01, of=COCO):
    """Poses that come from nowhere: positions and covariances alone."""
    shape = xyz.shape[:2]
    known = np.isfinite(xyz).all(-1)
    cov = np.where(known[..., None], sigma_m**2 * np.array([1, 0, 0, 1, 0, 1.0]), np.nan)
    ones = np.ones(len(xyz))
    where = np.where(known, Provenance.MEASURED, Provenance.MISSING)
    return Poses3D(of, np.arange(len(xyz)), ones, ones, xyz, 1.0 * known, np.zeros(shape), 2 * known, cov, where)


def blind(poses, rate_hz=RATE_HZ):
    """Evidence without detections."""
    length = limb_lengths(poses.skeleton, poses.xyz)
    lengths = np.nanmedian(length, axis=0) if len(length) else length.sum(0)
    return Evidence(ring_rig(3), Detections2D.empty(poses.skeleton), rate_hz, lengths)


# --- bones: what gets better -----------------------------------------------------------------------------------------


def test_steady_motion_passes_unchanged():
    frames = np.arange(60)[:, None, None]
    xyz = body(0.2, CIRCLE) + frames / RATE_HZ * np.array([1.2, 0.3, 0.0])
    poses, evidence = case(xyz, noise_px=0.0)
    assert off_mm(refined(poses, evidence), xyz).max() < 0.5


def test_noise_falls_and_limbs_keep_their_length():
    xyz = walk()
    poses, evidence = case(xyz)
    better = refined(poses, evidence)
    assert np.nanmean(off_mm(better, xyz)) < 0.5 * np.nanmean(off_mm(poses, xyz))
    length = limb_lengths(COCO, better.xyz)
    assert (length.std(0) / length.mean(0)).max() < 0.01
    assert len(better) == len(poses) and (better.provenance == Provenance.MEASURED).all()


def test_outliers_and_views_that_are_missing_do_not_pull():
    xyz = walk()
    poses, evidence = case(xyz, outliers=0.15, missing=0.15)
    better = refined(poses, evidence)
    error = off_mm(better, xyz)
    assert np.isfinite(error).mean() > 0.995
    assert np.nanmean(error) < 6 and np.nanpercentile(error, 99) < 25


def test_a_quick_kick_is_not_flattened_and_a_still_body_is_still():
    xyz = np.repeat(body(0.0, CIRCLE)[None], 150, axis=0)
    raised = 0.7 * np.sin(np.pi * np.clip((np.arange(150) - 70) / 12, 0, 1)) ** 2  # up and down within a quarter second
    for part, share in (("knee", 0.4), ("ankle", 1.0)):
        xyz[:, COCO.index(f"left_{part}"), 2] += share * raised
    poses, evidence = case(xyz, seed=3)
    unknown = np.where(np.isin(COCO.limbs, [COCO.index("left_knee")]).any(-1), np.nan, evidence.limb_length_m)
    better = refined(poses, Evidence(evidence.rig, evidence.rows, RATE_HZ, unknown))
    ankle = better.xyz[:, COCO.index("left_ankle"), 2] - xyz[0, COCO.index("left_ankle"), 2]
    assert ankle.max() == pytest.approx(0.7, rel=0.05)
    still = off_mm(better, xyz)[:50]
    assert still.mean() < 0.45 * off_mm(poses, xyz)[:50].mean()
    trembling = np.linalg.norm(np.diff(better.xyz[:50], axis=0), axis=-1).mean()
    assert trembling < 0.15 * np.linalg.norm(np.diff(poses.xyz[:50], axis=0), axis=-1).mean()


@pytest.mark.skipif(recordings() is None, reason="needs the recordings (MVCAP_DATA)")
def test_real_motion_gets_better_quick_or_slow():
    """HumanEva's own 3D of a jog and of a boxer, seen with 2 px of noise: better than a filter at 6 Hz."""
    path = recordings() / "motion/humaneva/data_3d_humaneva15.npz"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    clips = np.load(path, allow_pickle=True)["positions_3d"].item()["Train/S1"]
    order = [13, 12, 11, 8, 9, 10, 7, 6, 5, 2, 3, 4]  # of its joints, as shelf14 names them; the head is left out
    for clip in ("Jog 1 chunk1", "Box 1 chunk7"):
        xyz = np.full((len(clips[clip]), 14, 3), np.nan)
        xyz[:, :12] = np.asarray(clips[clip], float)[:, order]
        xyz[..., :2] -= np.nanmean(xyz[..., :2], axis=(0, 1))
        shelf = load_skeleton("shelf14")
        poses, evidence = case(xyz, cameras=4, of=shelf)
        evidence = Evidence(evidence.rig, evidence.rows, 60.0, evidence.limb_length_m)
        filtered, _ = load_plugin("refiner", {"refiner": "butterworth"})
        ours, theirs = refined(poses, evidence), filtered.refine(poses, evidence)
        assert np.nanmean(off_mm(ours, xyz)) < 0.6 * np.nanmean(off_mm(poses, xyz))
        assert np.nanmean(off_mm(ours, xyz)) < np.nanmean(off_mm(theirs, xyz))


def load_skeleton(name):
    from mvcap.structures.skeleton import skeleton

    return skeleton(name)


def test_covariances_hold_the_truth():
    inside = []
    for seed in range(3):
        xyz = walk()
        poses, evidence = case(xyz, seed=seed, missing=0.05)
        better = refined(poses, evidence)
        off = (better.xyz - xyz[better.frame]).reshape(-1, 3)
        cov = full_covariance(better.cov.astype(float)).reshape(-1, 3, 3)
        inside.append(np.einsum("ni,nij,nj->n", off, np.linalg.inv(cov), off))
    square = np.concatenate(inside)
    assert 0.6 < (square < 3.506).mean() < 0.82
    assert 0.9 < (square < 7.815).mean() < 0.99


def test_noise_that_is_stated_wrongly_is_put_right():
    xyz = walk(80)
    right, wrong = case(xyz, stated=NOISE_PX), case(xyz, stated=2 * NOISE_PX)
    assert Observations2D.of(*wrong).noise_scale() == pytest.approx(0.5, abs=0.05)
    assert np.nanmean(off_mm(refined(*wrong), xyz)) < 1.1 * np.nanmean(off_mm(refined(*right), xyz))


# --- bones: what is filled, and what it says of itself ---------------------------------------------------------------


def test_one_view_continues_a_person():
    xyz = walk()
    poses, evidence = case(xyz, unseen=unseen(slice(60, 85), views=slice(1, None)))
    better = refined(poses[(poses.frame < 60) | (poses.frame >= 85)], evidence)
    alone = better[(better.frame >= 60) & (better.frame < 85)]
    assert len(alone) == 25
    assert (alone.provenance == Provenance.ONE_VIEW).mean() > 0.9
    assert (alone.views[alone.provenance == Provenance.ONE_VIEW] == 1).all()
    assert np.nanmean(off_mm(alone, xyz)) < 60
    limb = limb_lengths(COCO, alone.xyz)
    assert np.nanmax(abs(limb / evidence.limb_length_m - 1)) < 0.05
    own = np.linalg.norm(evidence.rig.project(alone.xyz)[0] - evidence.rig.project(xyz[60:85])[0], axis=-1)
    assert np.nanmean(own) < 3 * NOISE_PX


def test_a_row_without_joints_is_carried_by_its_one_view():
    xyz = walk(60)
    rig, gone = ring_rig(4), np.zeros((4, 60, len(COCO)), bool)
    gone[1:, 30:40] = True
    poses, evidence = case(xyz, cameras=4, unseen=gone)
    blank = poses[:10].with_columns(frame=np.arange(30, 40), **nothing(poses[:10]))
    table = Poses3D.concatenate([poses[~np.isin(poses.frame, blank.frame)], blank], COCO)
    table = table[np.argsort(table.frame)]
    better = refined(table, Evidence(rig, evidence.rows, RATE_HZ, evidence.limb_length_m))
    assert better.frame.tolist() == list(range(60)) and (better.group == 1).all()
    assert (better.provenance[30:40] == Provenance.ONE_VIEW).all()
    assert np.nanmean(off_mm(better[30:40], xyz)) < 40


def test_short_gaps_are_filled_and_long_ones_are_not():
    xyz = walk()
    gone = unseen(slice(40, 46)) | unseen(slice(70, 130), joints=COCO.index("nose")) | unseen(slice(146, 150))
    poses, evidence = case(xyz, unseen=gone)
    better = refined(poses, evidence)
    short = better[(better.frame >= 40) & (better.frame < 46)]
    assert len(short) == 6 and (short.provenance == Provenance.INTERPOLATED).all()
    assert (short.views == 0).all() and (short.group == -1).all() and (short.person == 1).all()
    assert (short.score > 0).all() and short.score.max() < 0.5
    assert np.nanmean(off_mm(short, xyz)) < 15
    sigma = np.sqrt(short.cov[..., [0, 3, 5]].mean(-1))
    assert (sigma.mean(1).argmax() in (2, 3)) and sigma.mean() > np.sqrt(better.cov[:30, :, 0].mean())
    nose = better.provenance[better.frame == 100, COCO.index("nose")][0]
    assert nose in (Provenance.MISSING, Provenance.INTERPOLATED, Provenance.PRIOR)
    tight = refined(poses, evidence, fill_m=0.01)
    assert tight.provenance[tight.frame == 100, COCO.index("nose")] == Provenance.MISSING
    assert not (better.frame >= 150).any()  # nothing beyond the last row


def test_the_end_is_predicted_and_the_body_tells_the_rest():
    xyz = walk()
    gone = unseen(slice(145, 150), joints=COCO.index("left_wrist"))
    gone |= unseen(slice(40, 150), joints=COCO.index("right_ankle"))
    poses, evidence = case(xyz, unseen=gone)
    better = refined(poses, evidence, fill_m=0.6)
    last = better.provenance[better.frame == 147][0]
    assert last[COCO.index("left_wrist")] == Provenance.PREDICTED
    assert last[COCO.index("right_ankle")] in (Provenance.PRIOR, Provenance.MISSING)
    assert last[COCO.index("left_knee")] == Provenance.MEASURED
    target = better.provenance[:, COCO.index("right_ankle")] == Provenance.PRIOR
    assert target.any() and np.isfinite(better.xyz[target, COCO.index("right_ankle")]).all()


def test_a_gap_too_long_stays_a_gap():
    xyz = walk(400)
    poses, evidence = case(xyz, unseen=unseen(slice(100, 300), total=400))
    better = refined(poses, evidence)
    assert not ((better.frame > 150) & (better.frame < 250)).any()


def test_nobody_is_carried_on_for_long_however_still_they_stood():
    xyz = np.repeat(body(0.0, CIRCLE)[None], 300, axis=0)
    poses, evidence = case(xyz, unseen=unseen(slice(50, 60), total=300) | unseen(slice(100, 200), total=300))
    better = refined(poses, evidence)
    assert set(range(50, 60)) <= set(better.frame.tolist())
    assert not ((better.frame >= 100) & (better.frame < 200)).any()
    few = np.setdiff1d(np.arange(len(COCO)), [0, 5, 6, 11])  # of the rest one sight in thirty frames
    gone = unseen(slice(40, 46), total=80) | unseen(np.flatnonzero(np.arange(80) % 30)[:, None], few, total=80)
    sparse = refined(*case(walk(80), unseen=gone))
    count = np.isfinite(sparse.xyz[..., 0]).sum(-1)
    assert (count[(sparse.frame >= 40) & (sparse.frame < 46)] > 0.5 * np.median(count)).all()


def test_limbs_that_vary_are_let_vary():
    xyz, elbow, wrist = walk(), COCO.index("left_elbow"), COCO.index("left_wrist")
    longer = 1 + 0.2 * np.sin(np.arange(150) / 12)[:, None]
    xyz[:, wrist] = xyz[:, elbow] + longer * (xyz[:, wrist] - xyz[:, elbow])
    poses, evidence = case(xyz)
    target = Evidence(evidence.rig, evidence.rows, RATE_HZ, evidence.limb_length_m, np.full(len(COCO.limbs), 0.14))
    stiff, free = (np.nanmean(off_mm(refined(poses, one), xyz)[:, [elbow, wrist]]) for one in (evidence, target))
    assert free < 0.7 * stiff


def test_errors_of_a_calibration_do_not_average_out():
    xyz = walk(100)
    poses, evidence = case(
        xyz, unseen=unseen(slice(40, 45), total=100) | unseen(slice(60, 70), 3, slice(1, 5), total=100)
    )
    spread = []
    for calibration_px in (0.0, 1e-6, 10.0):
        target = Evidence(*(evidence.rig, evidence.rows, RATE_HZ, evidence.limb_length_m), np.zeros(()),
                        np.full(5, calibration_px))  # fmt: skip
        better = refined(poses, target)
        spread.append(np.sqrt(better.cov[..., [0, 3, 5]].astype(float).mean(-1)))
    assert np.allclose(spread[0], spread[1], equal_nan=True)
    added = np.sqrt(spread[2] ** 2 - spread[0] ** 2)
    rig_alone = np.sqrt(poses.cov[..., [0, 3, 5]].astype(float).mean(-1)) * 10 / NOISE_PX
    assert np.nanmedian(added) == pytest.approx(np.nanmedian(rig_alone), rel=0.15)
    assert np.nanmin(added) > 0.5 * np.nanmedian(rig_alone)


def test_knees_do_not_bend_forward():
    xyz = np.repeat(body(0.0, (0, 0, 1.2, np.pi / 2 / 4.5, 0.8))[None], 30, axis=0)
    hip, knee, ankle = (COCO.index(f"left_{part}") for part in ("hip", "knee", "ankle"))
    left = xyz[0, COCO.index("left_hip")] - xyz[0, COCO.index("right_hip")]
    ahead = np.cross(left / np.linalg.norm(left), [0, 0, 1])
    xyz[:, knee] = xyz[:, hip] - np.array([0, 0, 0.42])
    for bend, stays in ((-0.6, True), (0.6, False)):
        xyz[:, ankle] = xyz[:, knee] + 0.4 * (np.sin(bend) * ahead - np.cos(bend) * np.array([0, 0, 1]))
        poses = points(xyz, 0.03)
        thigh, shank = (np.diff(refined(poses, blind(poses)).xyz[:, pair], axis=1)[:, 0] for pair in
                        ([hip, knee], [knee, ankle]))  # fmt: skip
        axis = np.cross(thigh, shank) @ left / np.linalg.norm(left) / (0.42 * 0.4)
        assert (np.degrees(np.arcsin(axis)) > -15).all()
        assert not stays or np.degrees(np.arcsin(axis)).mean() == pytest.approx(np.degrees(0.6), abs=3)


@pytest.mark.parametrize(("down", "held"), [(0.03, True), (0.5, False)])
def test_the_floor_holds_where_feet_show_that_there_is_one(down, held):
    xyz = walk(60)
    ankle = COCO.index("left_ankle")
    xyz[..., 2] -= xyz[..., 2].min() - 0.02
    xyz[20:40, ankle, 2] = -down
    if not held:
        xyz[..., 2] -= 0.4  # the world's zero is not the floor
    poses = points(xyz, 0.02)
    moved = refined(poses, blind(poses), limb_sigma=0.5).xyz[25:35, ankle, 2] - xyz[25:35, ankle, 2]
    assert (moved.mean() > 0.008) == held


# --- bones: whatever comes in ----------------------------------------------------------------------------------------


def test_points_alone_are_refined_too():
    xyz = walk(60)
    noisy = xyz + np.random.default_rng(0).normal(0, 0.01, xyz.shape)
    poses = points(noisy)
    better = refined(poses, blind(poses))
    assert np.nanmean(off_mm(better, xyz)) < 0.6 * np.nanmean(off_mm(poses, xyz))
    assert (better.views == 2).all() and (better.provenance == Provenance.MEASURED).all()


def test_two_rows_of_a_view_are_two_parts_of_the_person():
    xyz = walk(40)
    poses, evidence = case(xyz)
    rows, upper = evidence.rows, np.arange(len(COCO)) < 11
    parts = []
    for mine in (upper, ~upper):
        part = {"xy": np.where(mine[:, None], rows.xy, np.nan), "score": np.where(mine, rows.score, 0)}
        parts.append(rows.with_columns(**part, noise_px=np.where(mine, rows.noise_px, np.nan)))
    split = Evidence(evidence.rig, Detections2D.concatenate(parts, COCO), RATE_HZ, evidence.limb_length_m)
    assert np.allclose(refined(poses, split).xyz, refined(poses, evidence).xyz, atol=1e-5)


def test_degenerate_rows_come_back():
    xyz = walk(30)
    poses, evidence = case(xyz)
    blank = poses.with_columns(**nothing(poses))
    assert len(refined(poses[:0], evidence)) == 0
    assert len(refined(poses[:1], evidence)) >= 1
    assert len(refined(poses[:2], evidence)) >= 2
    assert not np.isfinite(refined(blank, evidence).xyz).any()
    only = np.arange(len(COCO)) == 3
    one = poses.with_columns(
        xyz=np.where(only[:, None], poses.xyz, np.nan),
        score=np.where(only, poses.score, 0),
        cov=np.where(only[:, None], poses.cov, np.nan),
    )
    unknown = Evidence(evidence.rig, evidence.rows, RATE_HZ, np.full(len(COCO.limbs), np.nan))
    few = unknown.rows.with_columns(
        xy=np.where(only[:, None], unknown.rows.xy, np.nan),
        score=np.where(only, unknown.rows.score, 0),
        noise_px=np.where(only, unknown.rows.noise_px, np.nan),
    )
    lonely = refined(one, Evidence(evidence.rig, few, RATE_HZ, unknown.limb_length_m))
    assert np.isfinite(lonely.xyz[:, 3]).all() and not np.isfinite(lonely.xyz[:, 10]).any()
    twice = poses[np.repeat(np.arange(len(poses)), 2)]
    assert len(refined(twice, evidence)) == len(poses)
    apart = Poses3D.concatenate([poses[:10], poses[10:].with_columns(frame=poses.frame[10:] + 1000)], COCO)
    assert refined(apart, evidence).frame.max() == 1029


def test_garbage_neither_stops_nor_spreads():
    xyz = walk(60)
    poses, evidence = case(xyz)
    rng = np.random.default_rng(0)
    for rate_hz in (5.0, 1000.0):
        rows = evidence.rows
        xy = np.where(rng.random(rows.score.shape)[..., None] < 0.2, rng.normal(0, 1e5, rows.xy.shape), rows.xy)
        rows = rows.with_columns(xy=xy, noise_px=np.where(rng.random(xy.shape[:2]) < 0.1, 1e-6, rows.noise_px))
        wild = np.where(rng.random(poses.score.shape)[..., None] < 0.1, 1e6, poses.xyz)
        only = Evidence(evidence.rig, rows, rate_hz, evidence.limb_length_m * rng.uniform(0.1, 5, len(COCO.limbs)))
        better = refined(poses.with_columns(xyz=wild), only)
        assert len(better) == len(poses)
        assert (np.isfinite(better.xyz).all(-1) == (better.provenance > 0)).all()
    tied = poses.with_columns(xyz=np.zeros(poses.xyz.shape))
    assert len(refined(tied, evidence)) == len(poses)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rate_hz", [0.01, 0.05, 1.0, 7.0, 1000.0])
def test_any_rate_will_do(rate_hz):
    """Frames that are seconds apart say nothing of each other: what was measured stays about where it was."""
    xyz = np.random.default_rng(0).permutation(walk(30))
    poses, evidence = case(xyz, outliers=0.05, missing=0.2)
    for rows in (poses, poses[:1], poses[::7], poses.with_columns(**nothing(poses))):
        seen = evidence.rows[np.isin(evidence.rows.frame, rows.frame)]
        better = refined(rows, Evidence(evidence.rig, seen, rate_hz, evidence.limb_length_m))
        known = np.isin(better.frame, rows.frame)
        if rate_hz <= 1:
            assert known.all()
            moved = np.linalg.norm(better.xyz - rows.xyz, axis=-1)
            assert not np.isfinite(moved).any() or np.nanmedian(moved) < 0.01
            assert not (better.provenance == Provenance.ONE_VIEW).any()


def test_unknown_limbs_follow_from_the_others():
    xyz = walk(60)
    poses, evidence = case(xyz)
    unknown = Evidence(evidence.rig, evidence.rows, RATE_HZ, np.full(len(COCO.limbs), np.nan))
    assert np.nanmean(off_mm(refined(poses, unknown), xyz)) < 0.6 * np.nanmean(off_mm(poses, xyz))


@pytest.mark.parametrize("key", [{"limb_sigma": 0}, {"outlier_sigma": -1}, {"fill_m": -0.1}, {"steps": 0}])
def test_settings_that_cannot_be(key):
    with pytest.raises(ConfigError, match="bones"):
        BonesConfig(**key)


# --- what bones is made of -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("frames", "size"), [(7, 3), (8, 6), (2, 3), (1, 3)])
def test_bands_are_what_they_stand_for(frames, size):
    rng = np.random.default_rng(0)
    stiffness, blocks = rng.uniform(0.5, 2, (frames, size)), rng.normal(size=(frames, size, size))
    blocks = blocks @ blocks.swapaxes(1, 2) + np.eye(size)
    dense = 1e-2 * np.eye(frames * size)
    for frame in range(frames):
        dense[frame * size : (frame + 1) * size, frame * size : (frame + 1) * size] += blocks[frame]
    for frame in range(1, frames - 1):
        for axis in range(size):
            second = np.zeros(frames * size)
            second[[(frame + step) * size + axis for step in (-1, 0, 1)]] = 1, -2, 1
            dense += stiffness[frame, axis] * np.outer(second, second)
    smooth = block_banded.smoothness_band(stiffness)
    right = rng.normal(size=(frames, size))
    assert np.allclose(
        dense @ block_banded.solve_banded(block_banded.add_blocks(smooth, blocks), right.copy()).ravel(), right.ravel()
    )
    inverse = np.linalg.inv(dense).reshape(frames, size, frames, size)
    ours = block_banded.diagonal_of_inverse(block_banded.add_blocks(smooth, blocks), size)
    assert np.allclose(ours, inverse[np.arange(frames), :, np.arange(frames)])


def test_strength_of_motion_is_told_from_it():
    rng = np.random.default_rng(0)
    time_s = np.arange(300) / RATE_HZ
    place = np.zeros((300, len(COCO), 3))
    place[150:, 5, 0] = 0.2 * np.sin(2 * np.pi * 2.5 * time_s[150:])
    noisy = place + rng.normal(0, 0.004, place.shape)
    noisy[40:44, 7] = np.nan
    strength = acceleration.accelerations(COCO, noisy, np.full(noisy.shape[:2], 0.004**2), RATE_HZ)
    assert np.median(strength[:120]) < 0.5
    assert strength[190:280, 5].min() > 8 * np.median(strength[:120, 5])
    assert not acceleration.impossible_points(noisy, np.full(noisy.shape[:2], 0.004**2), RATE_HZ).any()
    noisy[60, 2, 1] += 0.4
    assert np.argwhere(acceleration.impossible_points(noisy, np.full(noisy.shape[:2], 0.004**2), RATE_HZ)).tolist() == [
        [60, 2]
    ]


# --- filters ---------------------------------------------------------------------------------------------------------


def filtered(name, poses, rate_hz=RATE_HZ, **settings):
    refiner, _ = load_plugin("refiner", {"refiner": name, "refiners": {name: settings}})
    return refiner.refine(poses, blind(poses, rate_hz))


def swinging(hz, frames=300, amplitude=0.1):
    xyz = np.zeros((frames, len(COCO), 3)) + np.arange(len(COCO))[:, None] * 0.1
    xyz[..., 0] += amplitude * np.sin(2 * np.pi * hz * np.arange(frames) / RATE_HZ)[:, None]
    return xyz


def test_every_refiner_has_a_name():
    assert set(FILTERS) | {"bones", "graph"} == set(TABLE["refiner"])


@pytest.mark.parametrize("name", FILTERS)
def test_filters_move_positions_and_nothing_else(name):
    xyz = walk(80) + np.random.default_rng(1).normal(0, 0.01, (80, len(COCO), 3))
    xyz[30:40, 4] = np.nan
    poses = points(xyz)
    poses = poses[np.setdiff1d(np.arange(80), np.arange(50, 55))]
    out = filtered(name, poses)
    assert len(out) == len(poses)
    for column, values in poses.arrays().items():
        if column != "xyz":
            assert np.array_equal(getattr(out, column), values, equal_nan=values.dtype.kind == "f"), column
    assert np.array_equal(np.isnan(out.xyz), np.isnan(poses.xyz))
    for few in (poses[:0], poses[:1], poses[:3]):
        assert len(filtered(name, few)) == len(few)


@pytest.mark.parametrize("name", ["butterworth", "hampel"])
def test_filters_let_steady_motion_pass(name):
    xyz = body(0.0, CIRCLE) + np.arange(60)[:, None, None] / RATE_HZ * np.array([1.0, 0.5, 0.0])
    assert np.abs(filtered(name, points(xyz)).xyz - xyz).max() < 1e-3


def test_butterworth_has_its_cutoff_and_no_lag():
    middle = slice(100, 200)
    for hz, low, high in ((1.0, 0.995, 1.005), (6.0, 0.68, 0.74), (15.0, 0.0, 0.03)):
        xyz = swinging(hz)
        out = filtered("butterworth", points(xyz)).xyz[middle, 0, 0]
        wave = xyz[middle, 0, 0]
        assert low <= (out @ wave) / (wave @ wave) <= high
    with pytest.raises(ConfigError, match="frames a second"):
        filtered("butterworth", points(swinging(1.0)), rate_hz=10.0)
    with pytest.raises(ConfigError, match="order"):
        filtered("butterworth", points(swinging(1.0)), order=3)


def test_one_euro_knows_only_the_past():
    rng = np.random.default_rng(2)
    xyz = swinging(0.0) + rng.normal(0, 0.01, (300, len(COCO), 3))
    out = filtered("one_euro", points(xyz)).xyz
    assert out[100:].std(0).mean() < 0.6 * xyz[100:].std(0).mean()
    later = xyz.copy()
    later[200:] += 1.0
    assert np.array_equal(filtered("one_euro", points(later)).xyz[:200], out[:200])
    later[200:260] = np.nan
    again = filtered("one_euro", points(later)).xyz
    assert np.allclose(again[260], later[260], atol=1e-6)  # anew after a long gap
    quick = swinging(2.0, amplitude=0.3)
    lag = np.abs(filtered("one_euro", points(quick)).xyz - quick)[50:, 0, 0].max()
    assert lag < 0.1


def test_hampel_moves_outliers_only():
    xyz = swinging(1.0)
    xyz[100, 3] += [0.0, 0.3, 0.0]
    out = filtered("hampel", points(xyz)).xyz
    moved = np.abs(out - xyz.astype(np.float32)).max(-1) > 0
    assert np.argwhere(moved).tolist() == [[100, 3]]
    assert np.abs(out[100, 3] - swinging(1.0)[100, 3]).max() < 0.01
