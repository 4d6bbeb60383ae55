"""Smoothing of a lifted person: no bias towards the camera, limbs of one length, feet that stand, filled gaps."""

import numpy as np
import pytest
from one_view_take import HIPS, KnownConfig, KnownDepth, KnownLifter, absent, camera, take
from walking_take import COCO

from mvcap.errors import ConfigError
from mvcap.refinement.one_view import OneViewConfig, smoothed
from mvcap.structures.anthropometry import limb_lengths
from mvcap.structures.lifted_person import LiftedPerson
from mvcap.structures.view_track import LiftedBody, RootDistances
from mvcap.triangulation.lifted_people import track_of

RATE_HZ = 25.0
UP = camera()[0].cam_from_world[:3, :3] @ [0, 0, 1.0]


def lifted(frames=60, gone=None, noise=1.0, noise_px=2.0):
    """One walker as lifted, and the true joints (T, J, 3) m in the camera's frame."""
    truth, rows, rig = take(frames=frames, noise_px=noise_px)
    rows = rows[::2]
    if gone is not None:
        rows = rows[~gone(rows.frame)]
    frame, track = track_of(rows, rig[0].lens, RATE_HZ)
    config = KnownConfig(noise=noise)
    body = KnownLifter(config).lift(track)
    true = truth.dense(frames)[:, 0].astype(float) @ rig[0].cam_from_world[:3, :3].T + rig[0].cam_from_world[:3, 3]
    return LiftedPerson(frame, track, body, KnownDepth(config).place(track, body)), true


def limbs_of(true):
    return np.median(limb_lengths(COCO, true), axis=0)


def test_it_is_closer_to_the_truth_in_every_way_and_does_not_come_nearer():
    person, true = lifted()
    made = smoothed(person, RATE_HZ, limbs_of(true), UP)
    assert made.frame.tolist() == list(range(60))
    off, before = made.xyz - true, person.xyz - true
    assert np.linalg.norm(off, axis=-1).mean() < 0.65 * np.linalg.norm(before, axis=-1).mean()
    depth = np.linalg.norm(made.xyz, axis=-1) - np.linalg.norm(true, axis=-1)
    assert abs(depth.mean()) < 0.03
    spread = np.std(limb_lengths(COCO, made.xyz), axis=0), np.std(limb_lengths(COCO, person.xyz), axis=0)
    assert np.mean(spread[0]) < 0.6 * np.mean(spread[1])


def test_the_covariance_is_that_of_the_errors():
    inside = []
    person, true = lifted()
    made = smoothed(person, RATE_HZ, limbs_of(true), UP)
    shared = person.scale_covariance(made.xyz, made.xyz[:, HIPS].mean(1))
    off = (made.xyz - true)[..., None, :]
    own = made.covariance - shared
    inside = (off @ np.linalg.inv(own) @ off.swapaxes(-1, -2))[..., 0, 0]
    # Errors that are independent from frame to frame, which a lifter's are not, are taken as lasting: it is cautious.
    assert np.mean(inside < 3.51) > 0.68 and np.mean(inside < 7.81) > 0.95
    assert (np.linalg.eigvalsh(made.covariance) > 0).all()


def standing(frames=50):
    """A person whose feet do not move, as lifted: the root sways in depth as if the person did."""
    person, true = lifted(frames, noise=0.0, noise_px=0.5)
    still = np.repeat(true[:1], frames, axis=0)
    root = still[:, HIPS].mean(1)
    sway = 0.2 * np.sin(np.arange(frames) / 8)
    wrong = root * (1 + sway / np.linalg.norm(root, axis=-1))[:, None]
    xy = camera()[0].lens.distort(still[..., :2] / still[..., 2:])
    track = type(person.track)(
        COCO, person.track.lens, person.track.time_s, xy, person.track.score, person.track.noise_px
    )
    body = LiftedBody(still - root[:, None], person.body.covariance, 0.06)
    flat = np.full(frames, 0.1)
    return LiftedPerson(person.frame, track, body, RootDistances(wrong, flat, flat / 10, 0.06)), true


def test_feet_that_stand_do_not_slide_where_gravity_is_known():
    person, true = standing()
    feet = [COCO.index("left_ankle"), COCO.index("right_ankle")]
    slides = {}
    for name, up in (("known", UP), ("unknown", None)):
        made = smoothed(person, RATE_HZ, limbs_of(true), up)
        slides[name] = np.ptp(np.linalg.norm(made.xyz[:, feet], axis=-1), axis=0).min()
    assert slides["known"] < 0.5 * slides["unknown"]


def test_a_short_gap_is_filled_with_more_uncertainty_and_a_long_one_is_not():
    person, true = lifted(gone=lambda frame: (frame >= 20) & (frame < 25))
    made = smoothed(person, RATE_HZ, limbs_of(true), UP)
    assert made.frame.tolist() == list(range(60))
    size = np.linalg.eigvalsh(made.covariance)[..., -1]
    assert np.nanmax(size[20:25]) > np.nanmedian(size)
    person, true = lifted(gone=lambda frame: (frame >= 10) & (frame < 40))
    made = smoothed(person, RATE_HZ, limbs_of(true), UP)
    assert set(range(10)) <= set(made.frame.tolist()) and 25 not in made.frame


def test_what_is_not_known_stays_unknown():
    person, true = lifted(frames=12)
    joints = person.body.joints.copy()
    joints[:, 5] = np.nan
    part = LiftedPerson(person.frame, person.track, LiftedBody(joints, person.body.covariance, 0.06), person.root)
    made = smoothed(part, RATE_HZ, limbs_of(true), UP)
    assert np.isnan(made.xyz[:, 5]).all() and np.isfinite(np.delete(made.xyz, 5, axis=1)).all()
    nothing = LiftedBody(np.full_like(joints, np.nan), person.body.covariance, 0.06)
    none = smoothed(LiftedPerson(person.frame, person.track, nothing, person.root), RATE_HZ, limbs_of(true), UP)
    assert len(none.frame) == 0 and none.xyz.shape == (0, 17, 3)
    one = lifted(frames=1)[0]
    assert len(smoothed(one, RATE_HZ, limbs_of(true), UP).frame) == 1
    assert len(absent(take(frames=1)[1], [True, False])) == 2


@pytest.mark.parametrize(
    "heights", [{"1": 0.2}, {1: 3.0}, {"a": 1.7}, {1: "tall"}, {1: float("nan")}, [1.7], {1: True}]
)
def test_statures_that_cannot_be(heights):
    with pytest.raises(ConfigError, match=r"one_view\.heights_m"):
        OneViewConfig(heights)


def test_statures_are_by_number():
    assert OneViewConfig({1: 1.8, "02": 1.6}).heights_m == {"1": 1.8, "2": 1.6}
