"""Uncertainty and joint angles of a take: the numbers of the report, and what its plots draw."""

import warnings
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from walking_take import COCO, RATE_HZ, chunked, poses

from mvcap.reporting import plots
from mvcap.reporting.motion_figures import motion_figures
from mvcap.reporting.series import SeriesCollector
from mvcap.structures.joint_angles import ANGLES, joint_angles
from mvcap.structures.poses import sigma_m
from mvcap.structures.skeleton import skeleton

FRAMES = 50
TABLE = poses(FRAMES, absent=lambda frame, person: person == 2 and 20 <= frame < 30)


def collected(table=TABLE, samples=2000, step=7):
    series = SeriesCollector(table.skeleton, FRAMES, RATE_HZ, samples)
    for chunk in chunked(table, FRAMES, step):
        series.add(chunk)
    return series


def test_series_are_those_of_the_sampled_frames():
    series = collected(samples=25)
    assert series.stride == 2
    for person, one in series.people.items():
        assert one.sigma_mm.shape == (25, 2) and one.angles_deg.shape == (25, len(ANGLES))
        for sample in range(25):
            row = TABLE.of(person=person, frame=2 * sample)
            if len(row):
                sigma = 1000 * sigma_m(row)[0]
                expected = np.percentile(sigma[np.isfinite(sigma)], (50, 95))
                np.testing.assert_allclose(one.sigma_mm[sample], expected, rtol=1e-5)
                np.testing.assert_array_equal(one.angles_deg[sample], joint_angles(row)[0])
            else:
                assert person == 2 and 10 <= sample < 15
                assert np.isnan(one.sigma_mm[sample]).all() and np.isnan(one.angles_deg[sample]).all()


def test_numbers_are_the_percentiles_over_time():
    whole = motion_figures(collected())
    assert sorted(whole) == [1, 2]
    angles = joint_angles(TABLE.of(person=1))[:, ANGLES.index("left_elbow")]
    low, middle, high = np.nanpercentile(angles, (5, 50, 95))
    found = whole[1]["joint_angles_deg"]["left_elbow"]
    assert found == {"p5": pytest.approx(low, rel=1e-3), "median": pytest.approx(middle, rel=1e-3),
                     "p95": pytest.approx(high, rel=1e-3)}  # fmt: skip
    # poses() has the same covariance for every joint: variances of 1, 4 and 9 times 6 mm squared
    assert whole[1]["sigma_mm"] == pytest.approx({"median": 6 * np.sqrt(14 / 3), "p95": 6 * np.sqrt(14 / 3)}, rel=1e-3)


def test_what_is_unknown_is_none_and_what_the_skeleton_lacks_is_left_out():
    bare = TABLE.with_columns(cov=np.full_like(TABLE.cov, np.nan)).to_skeleton(skeleton("mvor10"))
    found = motion_figures(collected(bare))[1]
    assert found["sigma_mm"] == {"median": None, "p95": None}
    assert list(found["joint_angles_deg"]) == ["left_elbow", "right_elbow"]
    assert motion_figures(SeriesCollector(COCO, FRAMES, RATE_HZ)) == {}


@pytest.mark.parametrize("table", [TABLE, TABLE.to_skeleton("mvor10"), TABLE[:0]])
def test_plots_are_drawn_without_a_warning(table):
    series = collected(table)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for draw in (plots.uncertainty_plot, plots.joint_angle_plot):
            ElementTree.fromstring(draw(series))
            assert draw(series, "png").startswith(b"\x89PNG") and draw(series) == draw(series)


def test_the_plots_show_the_series(monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, "_bytes", lambda figure, kind: drawn.append(figure) or b"")
    series = collected()
    plots.joint_angle_plot(series)
    plots.uncertainty_plot(series)
    angles, sigma = drawn
    assert [axes.get_title(loc="left") for axes in angles.axes] == [
        "person 1: knee", "elbow", "hip", "person 2: knee", "elbow", "hip"
    ]  # fmt: skip
    left, right = angles.axes[3].lines
    np.testing.assert_array_equal(left.get_ydata(), series.people[2].angles_deg[:, ANGLES.index("left_knee")])
    np.testing.assert_array_equal(right.get_ydata(), series.people[2].angles_deg[:, ANGLES.index("right_knee")])
    assert len(sigma.axes) == 2 and "13 mm" in sigma.axes[0].get_title(loc="left")


def test_many_people_make_no_endless_plot():
    series = collected()
    series._people |= {10 + number: replace(series._people[1]) for number in range(20)}
    made = plots.joint_angle_plot(series, "png")
    height = int.from_bytes(made[20:24], "big")
    assert height < 12 * 1.7 * 130 + 200
