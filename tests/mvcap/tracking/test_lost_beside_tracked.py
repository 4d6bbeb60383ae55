"""A tracklet that is lost takes no rows from a tracked person beside it.

The gate of a lost tracklet grows, so its distance in standard deviations falls below that of the tracklet whose body it
is: they take turns, frame by frame.
"""

import numpy as np
import pytest
from tracked_walkers import line, numbered_anew, tracked, walkers, within

STILL = (0.0, 0.0)


@pytest.mark.parametrize("apart", [0.3, 0.5])
@pytest.mark.parametrize("noise_m", [0.008, 0.02])
def test_who_stays_beside_one_who_vanished_keeps_the_number(apart, noise_m):
    """Two stand beside each other, one vanishes after 3 s."""
    rows = numbered_anew(
        walkers(150, (line((0, 0), STILL), 1.0), (within(line((apart, 0), STILL), (0, 3)), 1.0), noise_m=noise_m)
    )
    found = tracked(rows)
    mine = rows.person == 1
    assert set(found.ident[mine].tolist()) == {found.ident[mine][0]}, "first pass"
    assert found.persons_of(rows) == {1: {1}, 2: {2}} or found.persons_of(rows) == {1: {2}, 2: {1}}


def meet_and_part(scales, frames=300):
    def half(side):
        return lambda time_s: np.array([side * max(0.15, abs(time_s - 6) - 3), 0.02 * side])

    return walkers(frames, (half(-1), scales[0]), (half(1), scales[1]))


def test_who_goes_on_after_an_encounter_that_the_other_did_not_come_out_of():
    """Two meet, are unseen for half a second, one is gone, and the other's body goes on on the path of the one gone."""
    rows = meet_and_part((0.93, 1.07))
    after = rows.frame >= 150
    xyz = rows.xyz.copy()
    xyz[after, :, 0] *= -1
    rows = rows.with_columns(xyz=xyz)[(rows.frame < 143) | (rows.frame >= 157)]
    rows = rows[(rows.frame < 150) | (rows.person == 1)]
    found = tracked(rows)
    given = found.persons_of(rows)
    assert len(given[1]) == len(given[2]) == 1 and given[1] != given[2]
