"""Joints in gaps: what they follow from, and how long they are kept."""

import numpy as np

from mvcap.refinement.acceptance import accepted_joints, gap_provenance, joints_between, nearest_values
from mvcap.structures.poses import Provenance

RATE_HZ = 25.0


def test_a_gap_has_frames_on_both_sides_or_on_one():
    seen = np.ones((30, 2), bool)
    seen[10:14, 0] = False
    seen[26:, 1] = False
    stiffness = np.full((30, 2), RATE_HZ**4 / 3.0**2)
    found = gap_provenance(seen, stiffness, fill_m=10.0)
    assert (found[10:14, 0] == Provenance.INTERPOLATED).all()
    assert (found[26:, 1] == Provenance.PREDICTED).all()


def test_far_from_any_observation_a_joint_follows_from_the_body():
    seen = np.zeros((200, 1), bool)
    seen[:10] = True
    found = gap_provenance(seen, np.full((200, 1), RATE_HZ**4 / 3.0**2), fill_m=0.12)
    assert found[12, 0] == Provenance.PREDICTED and found[-1, 0] == Provenance.PRIOR


def test_a_person_whom_no_view_sees_is_not_continued_for_long():
    seen = np.zeros((100, 5), bool)
    seen[:20] = True
    kept = accepted_joints(np.ones((100, 5), bool), seen, np.zeros((100, 5), bool), 0.12, RATE_HZ)
    assert kept[:20].all() and kept[20:22].all() and not kept[60:].any()


def test_one_view_is_not_followed_at_a_low_rate():
    seen = np.ones((20, 3), bool)
    assert accepted_joints(seen, seen, seen, 0.12, 25.0).all()
    assert not accepted_joints(seen, seen, seen, 0.12, 2.0).any()


def test_the_nearest_value_is_that_of_the_nearest_frame():
    seen = np.array([True, False, False, False, True])[:, None]
    values = np.array([1.0, 0, 0, 0, 2.0])[:, None]
    assert nearest_values(values, seen)[:, 0].tolist() == [1, 1, 1, 2, 2]
    assert not nearest_values(values, np.zeros((5, 1), bool)).any()


def test_joints_between_looked_at_frames_are_kept_while_time_adds_little():
    looked = np.array([True, False, False, True, False, False])
    kept = looked[:, None] & np.array([[True, True, False]])
    sigma = np.array([[0.3, 0.01, 0.01]] * 6)
    sigma[1:3] += np.array([[0.02, 0.2, 0.0]])
    found = joints_between(kept, sigma, looked, 0.12)
    assert found[1:3].tolist() == [[True, False, False]] * 2  # uncertain, too far, missing on both sides
    assert not found[[0, 3, 4, 5]].any()  # only what lies between two
