"""A generated take: which person each row is, by the joints that it holds."""

import numpy as np
import pytest
from detected_take import CLEAR, detected_take
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from synthetic_take import COCO, ring_rig, truth

from mvcap.structures.detections import Detections2D
from mvcap.structures.synthetic_take import SyntheticTake


def take_of(whose):
    """A take whose rows' joints are of these persons (M, 17)."""
    whose = np.asarray(whose, np.int32).reshape(-1, 17)
    rig, score = ring_rig(2), np.where(whose == -1, 0, 1)
    rows = Detections2D.build(COCO, 0, 0, np.ones((len(whose), 17, 2)), score, 0.5)
    return SyntheticTake(truth(1), rig, rig, 25.0, rows, whose)


@settings(max_examples=40)
@given(arrays(np.int32, st.tuples(st.integers(0, 6), st.just(17)), elements=st.sampled_from([-1, -1, 1, 2, 3, 7])))
def test_a_row_is_the_person_of_most_of_its_joints(whose):
    found = take_of(whose).person
    assert found.shape == (len(whose),)
    for one, joints in zip(found, whose, strict=True):
        people = joints[joints > 0].tolist()
        if not people:
            assert one == -1
        else:
            assert people.count(one) == max(map(people.count, people))


@pytest.mark.parametrize(
    ("joints", "person"),
    [([-1] * 17, -1), ([4] + [-1] * 16, 4), ([2] * 8 + [5] * 9, 5), ([5] * 9 + [2] * 8, 5), ([3] * 17, 3)],
)
def test_rows_of_one_person_of_two_and_of_none(joints, person):
    assert take_of([joints]).person.tolist() == [person]
    assert take_of([joints, [-1] * 17]).person.tolist() == [person, -1]


def test_no_rows_have_no_persons():
    found = take_of([]).person
    assert found.shape == (0,) and found.dtype == np.int64


def test_rows_of_an_estimator_without_errors_lie_on_their_person():
    take = detected_take(people=3, cameras=3, frames=2, model=CLEAR)
    for view in range(3):
        for frame in range(2):
            mine = (take.rows.view == view) & (take.rows.frame == frame)
            assert set(take.person[mine].tolist()) <= {1, 2, 3}
            for row in np.flatnonzero(mine):
                person = take.truth[(take.truth.frame == frame) & (take.truth.person == take.person[row])]
                seen = take.seen_by[take.seen_by.names[view]].project(person.xyz[0].astype(float))
                there = take.rows.score[row] > 0
                assert np.abs(seen[there] - take.rows.xy[row, there]).max() < 0.01
