"""Motion that contradicts a return counts against the limbs that suggest it.

``return_evidence`` leaves the motion term out where it is against the pair, so that limbs which hardly tell anything
overrule it: 4 m/s on average over 1.2 s, from a standing start to a standing end, seen for 9 frames.
"""

from synthetic_take import RATE_HZ
from tracked_walkers import line, numbered_anew, tracked, walkers, within

STILL = (0.0, 0.0)


def test_motion_that_denies_counts_against_limbs_that_hardly_tell():
    away_s = 1.2
    rows = numbered_anew(
        walkers(
            round((4 + away_s) * RATE_HZ) + 9,
            (within(line((0, 0), STILL), (0, 4)), 1.0),
            (line((0, 3), STILL), 0.88),
            (within(line((5.0, 0), STILL), (4 + away_s, 99)), 1.0),
        )
    )
    found = tracked(rows)
    print(found.record)
    assert found.persons_of(rows)[1] != found.persons_of(rows)[3]
