"""Times of pictures: gaps, jitter, rates that change, and views against each other; regular clocks are left alone."""

import numpy as np
import pytest

from mvcap.footage_checks.findings import KINDS, SEVERITIES, FootageFinding, by_severity, listed_times
from mvcap.footage_checks.frame_times import check_times, compare_times, rate_segments


def regular(rate_hz, frames=600, start_s=0.0):
    return start_s + np.arange(frames) / rate_hz


@pytest.mark.parametrize("rate_hz", [12.5, 25, 30, 60000 / 1001, 120, 240])
@pytest.mark.parametrize("jitter", [0, 0.02])
def test_regular_times_are_fine(rate_hz, jitter):
    time_s = regular(rate_hz) + np.random.default_rng(0).normal(0, jitter / rate_hz, 600)
    assert check_times("a", time_s) == []
    assert check_times("a", np.round(time_s, 3)) == []  # Matroska keeps milliseconds
    assert check_times("a", time_s[:1]) == [] and check_times("a", time_s[:2]) == []


def test_gaps_are_counted_and_long_ones_matter_more():
    time_s = regular(25)
    [one] = check_times("a", np.delete(time_s, [100, 300]))
    assert (one.kind, one.severity) == ("gap", "note")
    assert one.figures["missing"] == 2 and one.figures["gaps"] == 2 and one.figures["longest_s"] == pytest.approx(0.08)
    assert one.start_s == pytest.approx(time_s[99]) and "3.96 s, 11.96 s" in one.meaning
    [long] = check_times("a", np.delete(time_s, np.arange(200, 225)))
    assert long.severity == "warning" and long.figures["missing"] == 25
    many = np.delete(time_s, np.arange(0, 600, 10)[1:])
    [often] = check_times("a", many)
    assert often.severity == "warning" and often.figures["share"] == pytest.approx(59 / 600)


def test_jitter_is_a_note():
    time_s = regular(30) + np.random.default_rng(1).normal(0, 0.006, 600)
    assert {(one.kind, one.severity) for one in check_times("a", np.sort(time_s))} == {("jitter", "note")}


def test_a_rate_that_changes_is_found_where_it_does():
    time_s = np.r_[regular(30, 300), regular(15, 150, 10.0), regular(30, 300, 20.0)]
    assert [round(one.rate_hz, 3) for one in rate_segments(time_s)] == [30, 15, 30]
    [change] = check_times("a", time_s)
    assert (change.kind, change.severity) == ("rate change", "warning") and change.figures["changes"] == 2
    assert change.start_s == pytest.approx(10.0, abs=0.5) and "30 then 15 then 30 Hz" in change.meaning
    assert len(rate_segments(np.delete(regular(30), [50, 51, 52, 300, 400]))) == 1
    assert len(rate_segments(regular(30, 20))) == 1 and rate_segments(np.zeros(0)) == []


def test_views_of_other_rates_and_drifting_clocks():
    views = {"a": regular(30, 3000), "b": regular(30, 3000), "c": regular(30000 / 1001, 2997)}
    [drift] = compare_times(views, shared_clock=False)
    assert (drift.kind, drift.severity, drift.views) == ("drift", "note", ("c",))
    assert drift.figures["frames"] == pytest.approx(3, abs=0.1)
    views["c"] = regular(25, 2500)
    [other] = compare_times(views, shared_clock=False)
    assert (other.kind, other.severity, other.views) == ("rate difference", "error", ("c",))
    assert compare_times({"a": views["a"], "b": np.round(views["b"], 3)}, shared_clock=False) == []
    assert compare_times({"a": views["a"]}, shared_clock=False) == []


def test_views_of_other_lengths_unless_their_clock_is_shared():
    views = {"a": regular(25, 500), "b": regular(25, 500), "c": regular(25, 400)}
    [length] = compare_times(views, shared_clock=False)
    assert (length.kind, length.views) == ("length", ("c",)) and length.figures["spread_frames"] == pytest.approx(100)
    assert "--trim" in length.advice and compare_times(views, shared_clock=True) == []


def test_findings_come_by_weight_then_kind():
    made = [FootageFinding(kind, weight, ("a",), "what", "do") for kind in KINDS[::-1] for weight in SEVERITIES[::-1]]
    ordered = [(one.severity, one.kind) for one in by_severity(made)]
    assert ordered == [(weight, kind) for weight in SEVERITIES for kind in KINDS]
    assert FootageFinding("gap", "note", ("a",), "", "", figures={"x": float("nan")}).as_dict()["figures"] == {
        "x": None
    }
    assert listed_times([0.5, 1, 2, 3, 4, 5, 6]) == "0.50 s, 1.00 s, 2.00 s, 3.00 s, 4.00 s and 2 more"
