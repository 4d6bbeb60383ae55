"""Detections at common times: interpolated in a person, never across two of them."""

import numpy as np

from mvcap.association.common_times import at_common_times
from mvcap.structures.detections import Detections2D
from mvcap.structures.row_source import RowsInMemory

RATE_HZ = 30.0


def moving(people=1, frames=20, views=2, speed=6.0):
    """People (frames, views, people, 17, 2) px who move to the right, 400 px apart."""
    rng = np.random.default_rng(0)
    shape = rng.uniform(0, 1, (17, 2)) * (60, 180) + 300
    start = np.arange(people)[:, None] * (400, 0)
    xy = shape + start[None, None, :, None] + (np.arange(frames) * speed)[:, None, None, None, None] * (1, 0)
    return np.broadcast_to(xy, (frames, views, people, 17, 2)).copy()


def table(xy):
    noise = np.full(xy.shape[:-1], 2.0)
    return Detections2D.from_dense(xy, None, "coco17", noise_px=noise)


def source(xy):
    return RowsInMemory(table(xy), len(xy), 50)


def test_joints_are_interpolated_at_whole_and_broken_delays():
    xy = moving()
    late = np.tile([0.0, 3.25], (20, 1))
    rows = at_common_times(source(xy), 5, 10, late[5:10], RATE_HZ)
    assert set(rows.frame.tolist()) == set(range(5, 10))
    for row in range(len(rows)):
        frame, view = int(rows.frame[row]), int(rows.view[row])
        true = xy[0, 0, 0] + 6.0 * (frame + (0, 3.25)[view]) * np.array([1, 0])
        assert np.allclose(rows.xy[row], true, atol=1e-3)
    assert np.allclose(rows.noise_px, 2.0)


def test_rows_do_not_depend_on_the_chunks():
    xy, late = moving(people=2), np.tile([-1.4, 2.3], (20, 1)) + np.linspace(0, 0.3, 20)[:, None]
    whole = at_common_times(source(xy), 0, 20, late, RATE_HZ)
    parts = [at_common_times(source(xy), at, at + 4, late[at : at + 4], RATE_HZ) for at in range(0, 20, 4)]
    joined = Detections2D.concatenate(parts, whole.skeleton)
    assert np.array_equal(whole.xy, joined.xy) and np.array_equal(whole.frame, joined.frame)


def test_people_who_are_close_are_not_mixed():
    xy = moving(people=2)
    xy[:, :, 1] = xy[:, :, 0] + (4, 0)
    rows = at_common_times(source(xy), 5, 6, np.tile([0.0, 0.5], (1, 1)), RATE_HZ).of(view=1)
    assert np.isin(rows.xy[:, 0, 0], table(xy).of(view=1).xy[:, 0, 0]).all() and (rows.noise_px > 2.0).all()


def test_a_joint_that_jumps_stays_with_more_noise():
    xy = moving()
    xy[6, 1, 0, 9] += (0, 300)
    rows = at_common_times(source(xy), 5, 6, np.tile([0.0, 0.4], (1, 1)), RATE_HZ).of(view=1)
    assert np.allclose(rows.xy[0, 9], xy[5, 1, 0, 9], atol=1e-3)
    assert rows.noise_px[0, 9] > 2.0 and np.allclose(rows.noise_px[0, 8], 2.0)


def test_frames_beyond_the_footage_have_no_rows():
    rows = at_common_times(source(moving()), 15, 20, np.tile([0.0, 10.0], (5, 1)), RATE_HZ)
    assert set(rows.view.tolist()) == {0}


def test_only_every_second_frame_may_have_rows():
    xy = moving()
    found = table(xy)
    found = found[found.frame % 2 == 0]
    rows = at_common_times(RowsInMemory(found, 20, 50), 5, 11, np.tile([0.0, 3.0], (6, 1)), RATE_HZ, 2)
    assert set(rows.frame.tolist()) == {6, 8, 10}
    assert np.allclose(rows.of(view=1, frame=6).xy[0], xy[9, 1, 0], atol=1e-3)
