"""Rows of one person as series, and back."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tracked_walkers import figure, table

from mvcap.refinement.time_series import from_series, runs_of, to_series

seeds = st.integers(0, 2**32 - 1)


def walk(frames, seed=0, missing=0.0):
    """Rows of one person at frames (M,), some joints missing."""
    rng = np.random.default_rng(seed)
    xyz = np.stack([figure(0.04 * frame, (0.02 * frame, 0)) for frame in frames]).reshape(-1, 17, 3)
    xyz[rng.random(xyz.shape[:2]) < missing] = np.nan
    return table(np.asarray(frames), np.ones(len(frames)), xyz)


@given(seeds, st.lists(st.integers(0, 60), min_size=1, max_size=20, unique=True))
@settings(derandomize=True, max_examples=30)
def test_there_and_back_is_the_same(seed, frames):
    rows = walk(frames, seed, 0.3)
    series = to_series(rows)
    assert series.shape == (max(frames) - min(frames) + 1, 17, 3)
    again = from_series(rows, series)
    for name, values in rows.arrays().items():
        np.testing.assert_array_equal(getattr(again, name), values)
    at = np.array(frames) - min(frames)
    np.testing.assert_array_equal(series[at], rows.xyz.astype(float))
    assert np.isnan(np.delete(series, at, axis=0)).all()


def test_what_was_missing_stays_missing_and_what_the_series_lacks_stays_as_it_was():
    rows = walk([3, 4, 7], missing=0.3)
    series = np.full((5, 17, 3), 9.0)
    series[1, 2] = np.nan
    moved = from_series(rows, series)
    there = np.isfinite(rows.xyz).all(-1)
    np.testing.assert_array_equal(np.isfinite(moved.xyz).all(-1), there)
    kept = np.zeros_like(there)
    kept[1, 2] = there[1, 2]
    np.testing.assert_array_equal(moved.xyz[kept], rows.xyz[kept])
    assert (moved.xyz[there & ~kept] == 9).all()
    np.testing.assert_array_equal(moved.score, rows.score)


def test_no_rows_are_an_empty_series():
    rows = walk([0])[:0]
    assert to_series(rows).shape == (0, 17, 3) and len(from_series(rows, np.zeros((0, 17, 3)))) == 0


@given(st.lists(st.booleans(), max_size=20))
@settings(derandomize=True)
def test_runs_are_all_and_only_the_true_ones(known):
    runs = runs_of(np.array(known, bool))
    covered = [at for start, stop in runs for at in range(start, stop)]
    assert covered == [at for at, one in enumerate(known) if one]
    assert all(start < stop for start, stop in runs)
    assert all(first[1] < second[0] for first, second in pairwise(runs)), "runs are as long as can be"
