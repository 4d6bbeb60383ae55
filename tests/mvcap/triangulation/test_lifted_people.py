"""Detections of one person become a track, and what lifter and root depth say of it becomes poses in the world."""

import numpy as np
import pytest
from one_view_take import KnownConfig, KnownDepth, KnownLifter, absent, take

from mvcap.errors import PluginError
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Provenance
from mvcap.triangulation.lifted_people import lift_person, lifted_rows, track_of

PLAIN = KnownConfig(noise=0.0)


def numbered(rows):
    """Rows of the two walkers, who come in turns."""
    return rows.with_columns(person=np.arange(len(rows)) % 2)


def test_poses_are_in_the_world_and_fall_on_their_pixels():
    truth, rows, rig = take(frames=8, noise_px=1e-6)
    made = lifted_rows(numbered(rows), rig, 25.0, KnownLifter(PLAIN), KnownDepth(PLAIN))
    assert len(made) == 16 and (np.diff(made.frame) >= 0).all() and (made.provenance == Provenance.MONOCULAR).all()
    np.testing.assert_allclose(made.error_px, 0, atol=0.01)
    for at in range(len(made)):
        same = truth.of(frame=int(made.frame[at])).xyz
        assert np.abs(same - made.xyz[at]).max(axis=(1, 2)).min() < 1e-4
    assert (made.views == 1).all() and (made.group == made.person).all()


def test_joints_that_no_pixel_shows_are_inferred_and_empty_frames_have_no_row():
    _, rows, rig = take(frames=8)
    rows = numbered(rows)
    hidden = np.where(np.arange(17) < 5, np.nan, 1.0)
    xy = rows.xy * hidden[:, None]
    gone = np.isnan(xy).any(-1)
    part = rows.with_columns(xy=xy, score=np.where(gone, 0, rows.score), noise_px=np.where(gone, np.nan, rows.noise_px))
    part = absent(part, (part.frame == 3) & (part.person == 1))
    made = lifted_rows(part, rig, 25.0, KnownLifter(PLAIN), KnownDepth(PLAIN))
    assert (made.provenance[:, :5] == Provenance.PRIOR).all() and (made.views[:, :5] == 0).all()
    assert (made.score[:, :5] > 0).all() and (made.score[:, :5] < made.score[:, 5:].min()).all()
    assert np.isnan(made.error_px[:, :5]).all() and len(made.of(frame=3)) == 1


def test_two_parts_of_a_body_are_one_track():
    _, rows, rig = take(frames=5)
    one = numbered(rows)[::2]
    upper = np.broadcast_to(np.arange(17) < 11, one.score.shape)
    parts = []
    for kept in (upper, ~upper):
        xy, noise = np.where(kept[..., None], one.xy, np.nan), np.where(kept, one.noise_px, np.nan)
        parts.append(one.with_columns(xy=xy, noise_px=noise, score=np.where(kept, one.score, 0)))
    both = Detections2D.concatenate(parts, one.skeleton)
    frame, track = track_of(both, rig[0].lens, 25.0)
    whole = track_of(one, rig[0].lens, 25.0)
    assert frame.tolist() == list(range(5)) and track.metric is None
    np.testing.assert_array_equal(track.xy, whole[1].xy)
    np.testing.assert_allclose(track.time_s, np.arange(5) / 25)


def test_what_the_estimator_says_of_depth_is_turned_to_the_axes_of_the_camera():
    _, rows, rig = take(frames=4, noise_px=1e-6)
    one = numbered(rows)[::2]
    ahead = np.zeros((len(one), 17, 3))
    ahead[..., 2] = 1.0  # one metre behind the hips, along the ray through them
    track = track_of(one.with_columns(metric=ahead), rig[0].lens, 25.0)[1]
    hips = np.nanmean(track.xy[:, [11, 12]], axis=1)
    ray = np.concatenate([rig[0].lens.undistort(hips), np.ones((len(hips), 1))], -1)
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    np.testing.assert_allclose(track.metric, np.broadcast_to(ray[:, None], track.metric.shape), atol=2e-3)


def test_a_plugin_that_returns_something_else():
    _, rows, rig = take(frames=4)
    one = numbered(rows)[::2]

    class Wrong:
        def lift(self, track):
            return track.xy

        place = None

    class Short(KnownDepth):
        def place(self, track, body):
            return super().place(track, body).root

    with pytest.raises(PluginError, match="lifter Wrong did not return"):
        lift_person(one, rig[0].lens, 25.0, Wrong(), KnownDepth(PLAIN))
    with pytest.raises(PluginError, match="root depth Short did not return"):
        lift_person(one, rig[0].lens, 25.0, KnownLifter(PLAIN), Short(PLAIN))
