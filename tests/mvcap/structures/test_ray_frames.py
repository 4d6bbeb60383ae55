"""The camera turned to a ray: a rotation without roll, which is none for the optical axis itself."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mvcap.structures.ray_frames import turns_to_rays


@given(ray=st.tuples(*[st.floats(-1, 1)] * 2, st.floats(0.05, 1)), length=st.floats(0.1, 50))
def test_the_axis_is_turned_into_the_ray_the_shortest_way(ray, length):
    turn = turns_to_rays(length * np.array(ray))
    unit = np.array(ray) / np.linalg.norm(ray)
    np.testing.assert_allclose(turn @ (0, 0, 1), unit, atol=1e-9)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(turn) > 0
    across = np.cross((0, 0, 1), unit)  # the axis of the shortest turn stays where it is
    np.testing.assert_allclose(turn @ across, across, atol=1e-9)


def test_nothing_turns_for_the_optical_axis_and_nan_stays():
    turns = turns_to_rays(np.array([[0, 0, 2.0], [np.nan, 0, 1.0]]))
    np.testing.assert_allclose(turns[0], np.eye(3), atol=1e-12)
    assert np.isnan(turns[1]).any()
