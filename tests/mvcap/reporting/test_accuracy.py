"""Accuracy from covariances against what the user wants; who is seen by one view or none, where and by which view."""

import numpy as np
import pytest
from reported_take import FRAMES, seen_people, summary_of_poses, uneven_rig
from synthetic_take import COCO, RATE_HZ, truth

from mvcap.reporting.accuracy import AccuracyCounts, worst_sigma_mm
from mvcap.structures.poses import Poses3D, Provenance, full_covariance, packed_covariance
from mvcap.triangulation.reprojection_residuals import Histogram

RIG = uneven_rig(3)
ALONE = slice(8, 20)  # frames in which one view sees person 1


def covariances(shape, sigma_mm, seed=0):
    """Random covariances (..., 6) m^2 whose worst axis has a standard deviation of sigma_mm (...)."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(*shape, 3, 3)))[0]
    axes = np.sort(rng.uniform(0.1, 0.9, (*shape, 3)), -1)
    axes[..., 2] = 1
    variance = (axes * np.asarray(sigma_mm)[..., None] / 1000) ** 2
    return packed_covariance(np.einsum("...ij,...j,...kj->...ik", turn, variance, turn))


def take(sigma_mm=10.0, alone_mm=None, view=2, frames=FRAMES):
    """Poses and associated detections of two people; person 1 is seen by one view in the frames ALONE."""
    poses = truth(frames, 2)
    rows = seen_people(RIG, frames)
    alone = (poses.person == 1) & (poses.frame >= ALONE.start) & (poses.frame < ALONE.stop)
    if alone_mm is None:
        alone &= False
    sigma = np.where(alone[:, None], alone_mm or 0, sigma_mm) * np.ones(poses.score.shape)
    poses = poses.with_columns(
        views=np.where(alone[:, None], 1, 3) * np.ones(poses.score.shape),
        provenance=np.where(alone[:, None], Provenance.ONE_VIEW, Provenance.MEASURED) * np.ones(poses.score.shape),
        cov=covariances(sigma.shape, sigma),
    )
    person = np.array([1, 2])[np.arange(len(rows)) * 0]
    nearest = RIG.project(poses.xyz.astype(float))
    person = np.array(
        [
            min(
                (1, 2),
                key=lambda one: np.nansum(np.abs(nearest[v, (poses.frame == f) & (poses.person == one)][0] - xy)),
            )
            for f, v, xy in zip(rows.frame.tolist(), rows.view.tolist(), rows.xy, strict=True)
        ]
    )
    rows = rows.with_columns(person=person)
    only = view(rows.frame) if callable(view) else view
    hidden = (person == 1) & np.isin(rows.frame, poses.frame[alone]) & (rows.view != only)
    return poses, rows[~hidden]


def test_the_worst_axis_is_the_largest_eigenvalue():
    rng = np.random.default_rng(1)
    cov = covariances((500,), rng.uniform(1, 400, 500))
    wanted = 1000 * np.sqrt(np.linalg.eigvalsh(full_covariance(cov))[:, -1])
    np.testing.assert_allclose(worst_sigma_mm(cov), wanted, rtol=1e-6)
    round_ones = packed_covariance(np.eye(3) * 4e-4)
    assert worst_sigma_mm(round_ones) == pytest.approx(20)
    assert np.isnan(worst_sigma_mm(np.full((2, 6), np.nan))).all() and worst_sigma_mm(np.zeros(6)) == 0


def test_quantiles_of_a_histogram_are_those_of_the_values():
    histogram, values = Histogram(2), np.random.default_rng(0).lognormal(2, 1, 20_000)
    histogram.add(np.zeros(len(values), int), values)
    for share in (0.05, 0.5, 0.9, 1.0):
        assert histogram.quantile(share) == pytest.approx(np.quantile(values, share), rel=0.02)
    assert np.isnan(histogram.quantiles(0.9)[1]) and histogram.part(slice(1, 2)).count.tolist() == [0]


@pytest.mark.parametrize(
    ("sigma_mm", "wanted_mm", "level"),
    [(10, 50, "trust"), (70, 50, "do not trust"), (70, 100, "trust"), (10, 5, "do not trust")],
)
def test_the_verdict_follows_from_the_covariance_at_what_the_user_wants(sigma_mm, wanted_mm, level):
    summary = summary_of_poses(*take(sigma_mm), RIG, wanted_mm=wanted_mm)
    assert summary["verdict"]["level"] == level
    assert summary["accuracy"]["share_within"] == (1.0 if sigma_mm < wanted_mm else 0.0)
    assert summary["accuracy"]["p95_mm"] == pytest.approx(sigma_mm, rel=0.02)
    named = [reason for reason in summary["verdict"]["reasons"] if "report.wanted_mm" in reason]
    assert len(named) == (level != "trust") and all(f"above {wanted_mm} mm" in reason for reason in named)


def test_a_part_that_is_less_accurate_limits_and_is_placed():
    poses, rows = take(10)
    worse = (poses.person == 2) & (poses.frame >= 6) & (poses.frame < 18)
    poses = poses.with_columns(cov=np.where(worse[:, None, None], 49 * poses.cov, poses.cov))
    summary = summary_of_poses(poses, rows, RIG)
    assert summary["accuracy"]["share_within"] == 0.75 and summary["verdict"]["level"] == "limits"
    assert summary["accuracy"]["places"] == [{"person": 2, "from_s": 0.24, "to_s": 0.72}]
    assert "person 2 from 0.2 s to 0.7 s" in summary["verdict"]["reasons"][0]


def test_one_view_is_called_one_view_with_share_time_and_view():
    summary = summary_of_poses(*take(10, 300), RIG)
    found = summary["one_view"]
    assert found["share_rows"] == 0.25 == found["share_joints"] and found["share_rows_no_view"] == 0
    (place,) = found["places"]
    assert place == {"person": 1, "from_s": 8 / RATE_HZ, "to_s": 20 / RATE_HZ, "view": "cam3", "views": {"cam3": 1.0}}
    assert summary["people"][0]["share_one_view"] == 0.5 and summary["people"][1]["share_one_view"] == 0
    verdict = summary["verdict"]
    assert verdict["level"] == "limits" and "one view only in 25%" in verdict["reasons"][0]
    assert "person 1 from 0.3 s to 0.8 s by cam3 only" in verdict["reasons"][0]
    assert verdict["where_not"][0] == "person 1 from 0.3 s to 0.8 s by cam3 only"
    assert not any("two views" in line for line in verdict["where_not"])
    source = summary["accuracy"]["by_source"]["one_view"]
    assert source["share_joints"] == 0.25 and source["median_mm"] == pytest.approx(300, rel=0.02)


def test_views_that_take_turns_are_all_named_with_their_shares():
    summary = summary_of_poses(*take(10, 300, view=lambda frame: frame // 2 % 3), RIG)
    (place,) = summary["one_view"]["places"]
    assert place["views"] == {name: pytest.approx(1 / 3, abs=1e-3) for name in RIG.names}
    said = "one view at a time: cam1 (33%), cam2 (33%), cam3 (33%)"
    assert said in summary["verdict"]["reasons"][0] and said in summary["verdict"]["where_not"][0]
    assert "cam1 only" not in summary["verdict"]["reasons"][0]


def test_joints_of_one_view_that_are_left_missing_count_as_well():
    poses, rows = take(10, 300)
    alone = poses.provenance == Provenance.ONE_VIEW
    poses = poses.with_columns(
        xyz=np.where(alone[..., None], np.nan, poses.xyz), score=np.where(alone, 0, poses.score),
        views=np.where(alone, 0, poses.views), provenance=np.where(alone, Provenance.LONE, poses.provenance),
    )  # fmt: skip
    summary = summary_of_poses(poses, rows, RIG)
    assert summary["one_view"]["share_rows"] == 0.25 and summary["one_view"]["share_uncertain_of_these"] == 1
    assert summary["accuracy"]["share_reported"] == 0.75 and summary["accuracy"]["share_within"] == 1
    assert summary["verdict"]["level"] == "limits" and "by cam3 only" in summary["verdict"]["reasons"][0]


def test_one_view_that_is_accurate_enough_may_be_trusted():
    summary = summary_of_poses(*take(10, 30), RIG)
    assert summary["one_view"]["share_rows"] == 0.25 and summary["verdict"]["level"] == "trust"
    assert "by cam3 only" in summary["verdict"]["where_not"][0]


def test_frames_that_no_view_sees_are_told_from_those_of_one():
    poses, rows = take(10, 300)
    rows = rows[~((rows.person == 1) & (rows.frame >= 8) & (rows.frame < 20))]
    found = summary_of_poses(poses, rows, RIG)
    assert found["one_view"]["share_rows"] == 0 and found["one_view"]["share_rows_no_view"] == 0.25
    assert found["one_view"]["places"][0]["view"] is None and "by no view" in found["verdict"]["where_not"][0]


def test_a_take_without_people_has_no_figures():
    summary = AccuracyCounts(FRAMES, RATE_HZ).summary(RIG.names)
    assert summary["accuracy"]["share_within"] is None and summary["one_view"]["places"] == []
    empty = summary_of_poses(Poses3D.empty(COCO), seen_people(RIG)[:0], RIG)
    assert empty["verdict"]["level"] == "do not trust" and empty["agreement"] is None
