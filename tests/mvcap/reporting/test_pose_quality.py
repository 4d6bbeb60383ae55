"""The numbers of a summary against numpy on the whole take, and the verdict on takes spoilt on purpose."""

import json

import numpy as np
import pytest
from walking_take import COCO, RATE_HZ, chunked, detections, poses, rig

from mvcap.reporting.pose_quality import LimbLengths, PoseQuality, refined_bone_spread, summarise
from mvcap.reporting.verdict import human_scale
from mvcap.structures.anthropometry import limb_lengths
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import skeleton
from mvcap.triangulation.reprojection_residuals import Histogram, ViewResiduals, residuals

FRAMES = 200
RIG = rig()
TABLE = poses(FRAMES, absent=lambda frame, person: person == 2 and frame < 50)


def summary(table, seen=None, step=64, cameras=RIG, **more):
    quality, views = PoseQuality(COCO, FRAMES), ViewResiduals(cameras, COCO)
    for chunk in chunked(table, FRAMES, step):
        quality.add(chunk)
        frames = (chunk.frame.min(), chunk.frame.max()) if len(chunk) else (0, -1)
        if seen is not None:
            views.add(seen[(seen.frame >= frames[0]) & (seen.frame <= frames[1])], chunk)
    return summarise(quality, RATE_HZ, cameras.names, views if seen is not None else None, **more)


def test_medians_of_a_histogram_are_within_a_percent():
    rng = np.random.default_rng(0)
    histogram = Histogram(3)
    values = rng.lognormal(1.0, 0.8, 30_001)
    histogram.add(rng.integers(0, 2, len(values)) * 0, values)
    histogram.add(np.array([1, 1]), np.array([np.nan, 4.0]))
    np.testing.assert_allclose(histogram.medians()[:2], [np.median(values), 4.0], rtol=0.006)
    assert np.isnan(histogram.medians()[2]) and histogram.count.tolist() == [30_001, 1, 0]


def test_bone_spread_is_that_of_all_lengths_at_once_outliers_included():
    wild = TABLE.xyz.copy()
    wild[7, COCO.index("left_knee")] += 2.0
    table = TABLE.with_columns(xyz=np.where(np.isnan(TABLE.xyz), np.nan, wild))
    mine = table[table.person == 1]
    lengths = limb_lengths(mine.skeleton, mine.xyz)
    whole = np.median(np.nanstd(lengths, 0) / np.nanmean(lengths, 0))
    assert summary(table)["people"][0]["bone_spread"] == pytest.approx(whole, rel=1e-3)
    empty = LimbLengths(9)
    empty.add(np.full((4, 9), np.nan))
    assert np.isnan(refined_bone_spread(empty))


def test_people_are_counted_whatever_the_chunks_are():
    seen = detections(TABLE, RIG)
    one, many = summary(TABLE, seen, step=FRAMES), summary(TABLE, seen, step=9)
    assert one == many
    json.dumps(one, allow_nan=False)
    first, second = one["people"]
    assert (first["id"], first["frames"], second["frames"]) == (1, FRAMES, FRAMES - 50)
    assert (second["first_s"], second["last_s"]) == (2.0, pytest.approx(7.96))
    mine = TABLE[TABLE.person == 1]
    assert first["median_reprojection_px"] == pytest.approx(float(np.nanmedian(mine.error_px)), rel=0.01)
    assert first["views_used"] == np.median(mine.views[mine.score > 0])
    assert first["share_joints_missing"] == pytest.approx(float((mine.score == 0).mean()), rel=1e-3)
    assert first["share_two_views"] == pytest.approx(float((mine.views[mine.score > 0] == 2).mean()), rel=1e-3)
    assert one["people_at_once"] == 2 and one["frames_with_people"] == FRAMES
    assert {"frames", "views", "seconds_per_frame", "people", "warnings"} <= set(one)


def test_raw_spread_stands_beside_the_refined_one():
    raw = PoseQuality(COCO, FRAMES)
    raw.add(poses(FRAMES, noise_m=0.03))
    people = summary(TABLE, raw=raw)["people"]
    assert people[0]["bone_spread_raw"] > 3 * people[0]["bone_spread"] > 0


def test_residuals_are_linked_by_group_and_measured_in_noise():
    found = detections(TABLE, RIG, noise_px=2.0)
    linked = residuals(found, TABLE, RIG)
    assert len(linked.frame) == 4 * len(TABLE)
    assert set(linked.person.tolist()) == {1, 2}
    assert np.nanmedian(linked.normalised) == pytest.approx(np.sqrt(2 * np.log(2)), rel=0.02)
    per_view = summary(TABLE, found)["per_view"]
    assert [view["name"] for view in per_view] == list(RIG.names)
    assert all(view["median_residual_px"] == pytest.approx(2.355, rel=0.03) for view in per_view)
    assert per_view[1]["share_matched"] == 1.0 and 0.6 < per_view[0]["share_matched"] < 0.7
    nothing = residuals(found, Poses3D.empty(COCO), RIG)
    assert nothing.error_px.shape == (0, 17)


def test_residuals_read_another_skeleton():
    halpe = skeleton("halpe26")
    xyz = COCO.apply(halpe, TABLE.xyz)
    score = np.isfinite(xyz).all(-1).astype(float)
    xyz[score == 0] = np.nan
    shape = score.shape
    wide = Poses3D(
        halpe,
        TABLE.frame,
        TABLE.person,
        TABLE.group,
        xyz,
        score,
        np.ones(shape),
        np.full(shape, 4),
        np.zeros((*shape, 6)),
        score > 0,
    )
    linked = residuals(detections(TABLE, RIG), wide, RIG)
    assert np.isnan(linked.error_px[:, halpe.index("left_heel")]).all()
    assert np.nanmedian(linked.normalised[:, halpe.index("nose")]) < 2
    assert np.isfinite(linked.normalised[:, halpe.index("pelvis")]).any()


def test_a_good_take_is_trusted():
    judged = summary(TABLE, detections(TABLE, RIG))["verdict"]
    assert judged["level"] == "trust" and len(judged["reasons"]) == 1 and judged["where_not"] == []


@pytest.mark.parametrize(
    ("factor", "hint"), [(1000, "--rig-unit mm"), (100, "--rig-unit cm"), (10, "--rig-unit"), (0.001, "--rig-unit m")]
)
def test_a_wrong_unit_is_named_with_the_way_out(factor, hint):
    table = TABLE.with_columns(xyz=TABLE.xyz * np.float32(factor))
    result = summary(table)
    assert human_scale(result) == pytest.approx(factor, rel=0.1)
    assert result["verdict"]["level"] == "do not trust"
    (reason,) = [line for line in result["verdict"]["reasons"] if "about" in line]
    size = f"{factor:g} times too big" if factor > 1 else f"{1 / factor:g} times too small"
    assert hint in reason and size in reason


def test_another_wrong_scale_is_no_unit():
    result = summary(TABLE.with_columns(xyz=TABLE.xyz * np.float32(3)))
    assert result["verdict"]["level"] == "do not trust" and "squares" in result["verdict"]["reasons"][0]


def test_a_moved_camera_is_named():
    judged = summary(TABLE, detections(TABLE, RIG, offset_px={2: 9.0}))["verdict"]
    assert judged["level"] == "limits"
    assert any("view cam03 has" in reason and "times the reprojection error" in reason for reason in judged["reasons"])
    assert "results that depend mainly on view cam03" in judged["where_not"]
    assert not any("cam01" in reason for reason in judged["reasons"])


@pytest.mark.parametrize(("offset_px", "level"), [(7.0, "limits"), (20.0, "do not trust")])
def test_views_that_all_disagree_point_at_calibration_or_sync(offset_px, level):
    judged = summary(TABLE, detections(TABLE, RIG, offset_px=dict.fromkeys(range(4), offset_px)))["verdict"]
    assert judged["level"] == level and "calibration" in judged["reasons"][0] and "synchron" in judged["reasons"][0]


def test_a_spell_with_two_views_is_said_where():
    views = np.where(TABLE.score > 0, 4, 0)
    spell = (TABLE.person == 1) & (TABLE.frame >= 100) & (TABLE.frame < 150)
    views[spell] = np.minimum(views[spell], 2)
    result = summary(TABLE.with_columns(views=views))
    assert result["people"][0]["two_views_only"] == [{"from_s": 4.0, "to_s": 6.0}]
    assert result["verdict"]["level"] == "trust"
    assert result["verdict"]["where_not"] == ["person 1 from 4.0 s to 6.0 s: seen by two views only"]
    everywhere = summary(TABLE.with_columns(views=np.minimum(views, 2)))["verdict"]
    assert everywhere["level"] == "limits" and "two views only" in everywhere["reasons"][0]


def test_loose_bones_and_broken_ids_and_nobody():
    assert summary(poses(FRAMES, noise_m=0.04))["verdict"]["level"] == "limits"
    assert summary(poses(FRAMES, noise_m=0.15))["verdict"]["level"] == "do not trust"
    ids = TABLE.person + 2 * (TABLE.frame // 20)
    assert "tracks are fragmented" in summary(TABLE.with_columns(person=ids))["verdict"]["reasons"][0]
    nobody = summary(Poses3D.empty(COCO))
    assert (
        nobody["verdict"]["level"] == "do not trust"
        and "no people were reconstructed" in nobody["verdict"]["reasons"][0]
    )
    json.dumps(nobody, allow_nan=False)


def test_two_cameras_are_no_limit_by_themselves_but_what_they_cannot_show_is_said():
    pair = RIG.select(RIG.names[:2])
    judged = summary(TABLE, detections(TABLE, pair), cameras=pair)["verdict"]
    assert judged["level"] == "trust" and any("rest on two views" in place for place in judged["where_not"])


def test_single_moments_are_no_fragmented_tracks():
    moments = TABLE[TABLE.frame % 20 == 0]
    alone = moments.with_columns(person=np.arange(1, len(moments) + 1))
    assert not any("tracks are fragmented" in reason for reason in summary(alone)["verdict"]["reasons"])
