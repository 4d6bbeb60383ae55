"""Lost frames are counted by numbers, by intervals, and over the absence of a source; jitter is no loss."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcap.recording.lost_frames import Gap, LostFrames


def counted(times, numbers=None, exact=True):
    lost = LostFrames(exact)
    for place, at in enumerate(times):
        lost.add(float(at), None if numbers is None else int(numbers[place]))
    return lost


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(5, 200), st.integers(0, 40), st.booleans())
def test_what_is_missing_is_counted(seed, rate_hz, missing, numbered):
    rng = np.random.default_rng(seed)
    gone = 20 + rng.choice(400, missing, replace=False)
    kept = np.setdiff1d(np.arange(440), gone)
    times = kept / rate_hz + rng.normal(0, 0.02, len(kept)) / rate_hz
    found = counted(times, kept if numbered else None)
    assert found.lost == len(np.setdiff1d(gone, np.arange(kept[-1], 440)))
    assert sum(gap.lost for gap in found.gaps) == found.lost and found.delivered == len(kept)
    assert abs(found.rate_hz / rate_hz - 1) < 0.02


def test_times_of_arrival_may_jitter_by_more():
    times = np.arange(200) / 30 + np.where(np.arange(200) % 50 == 49, 0.03, 0.0)
    assert counted(times).lost > 0 and counted(times, exact=False).lost == 0


def test_a_source_that_was_away_is_one_gap_and_rates_leave_it_out():
    lost = counted(np.arange(100) / 25)
    lost.interrupted(8.0)
    for at in np.arange(100) / 25 + 8:
        lost.add(float(at))
    [gap] = lost.gaps
    assert gap.why == "source" and gap.lost == round((8.0 - 99 / 25) * 25) - 1 == lost.lost
    assert abs(lost.rate_hz - 25) < 0.01 and lost.mean_rate_hz < 25


def test_rates_are_unknown_at_first():
    lost = counted([1.0])
    assert lost.rate_hz is None and lost.mean_rate_hz is None and LostFrames().last_s is None
    lost.note_gap(Gap(1.0, 1.0, 1, "queue"))
    assert lost.lost == 1
