"""Spans of time in bins."""

import numpy as np

from mvcap.reporting.figures import share, tidy
from mvcap.reporting.time_spans import BINS, bin_count, frame_bins, longest_spans


def test_spans_are_the_longest_in_order_of_time():
    marked = np.zeros(100, bool)
    for begin, end in ((5, 8), (20, 60), (70, 71), (80, 100)):
        marked[begin:end] = True
    assert longest_spans(marked, 10.0, 0.2, 2) == [(2.0, 6.0), (8.0, 10.0)]
    assert longest_spans(marked, 10.0, 0.2, 9)[0] == (0.5, 0.8)
    assert longest_spans(np.zeros(0, bool), 0.0, 0.0, 3) == []


def test_every_frame_has_a_bin():
    for frames in (1, 7, BINS, 100_000):
        bins = frame_bins(np.arange(frames), frames)
        assert bins.min() == 0 and bins.max() == bin_count(frames) - 1 and (np.diff(bins) >= 0).all()


def test_figures_are_rounded_and_unknown_ones_absent():
    assert tidy(0.123456) == 0.1235 and tidy(float("nan")) is None and share(1, 3) == 0.3333 and share(0, 0) is None
