"""Points whose errors last and are not normal: positions with little weight for outliers, covariances from clusters."""

import numpy as np
from moved_cameras import arc, body_places, bumped, filmed, people_take

from calib.changes.events import Event
from calib.changes.free_points import FreeTake, free_dimensions, guesses
from calib.changes.free_search import held_out_chance, search_free
from calib.changes.search import Trust
from calib.changes.soft_points import soft_points, soft_scale


def quick_take(degrees, seed=1, shift_m=0.0):
    """A rig of four, and 60 moments of a person of whom the third camera was turned before the take."""
    rng = np.random.default_rng(seed)
    rig = arc(4)
    target, places = body_places(rng, 60, people=1)
    return rig, filmed([bumped(rig, 2, degrees, shift_m)], [0], target, places, 3.0, rng)


def free_take(rig, seen):
    return FreeTake(rig, seen, np.arange(len(seen.target)), Trust().precision(np.zeros(len(rig))))


def test_outliers_have_little_weight_and_the_scale_of_the_noise_is_found():
    rng = np.random.default_rng(2)
    rig = arc(4)
    points = rng.normal((0, 0, 1), 0.4, (400, 3))
    xy = rig.project(points) + rng.normal(0, 2.0, (4, 400, 2))
    wild = rng.random((4, 400)) < 0.05
    xy[wild] += 80
    found = soft_points(rig, xy, np.ones((4, 400)))
    assert 1.4 < soft_scale(found.size2) < 2.4
    assert np.median(np.linalg.norm(found.xyz - points, axis=-1)) < 0.012
    assert np.median(found.weight[wild]) < 0.02 * np.median(found.weight[~wild])
    alone = soft_points(rig, xy, np.where(np.arange(4)[:, None] == 0, 1.0, np.nan) * np.ones((4, 400)))
    assert np.isnan(alone.xyz).all() and not alone.cost.any()


def test_the_camera_that_turned_is_guessed_first_from_the_points_of_the_others():
    rig, seen = quick_take(5.0)
    take = free_take(rig, seen)
    best = guesses(take, take.refine((), ()).soft)[0]
    assert best.event.camera == 2 and best.event.since == 0
    assert abs(np.rad2deg(np.linalg.norm(best.event.motion[:3])) - 5) < 0.3


def test_a_turn_is_a_turn_and_fits_held_out_moments_while_no_change_does_not():
    rig, seen = quick_take(1.0)
    take = free_take(rig, seen)
    base = take.refine((), ())
    found = search_free(take, 1e-3, 0.002)
    (change,) = found.changes
    assert change.event.camera == 2 and change.model == "turned" and change.held_out < 0.01
    assert not change.event.motion[~free_dimensions("turned")].any()
    other = take.refine((Event(0, 0, 0, np.zeros(7), 0, 0),), ("turned",))
    true = take.refine((Event(2, 0, 0, np.zeros(7), 0, 0),), ("turned",))
    assert held_out_chance(take, base, true) < held_out_chance(take, base, other)
    assert 0 < take.clustered(true).share[0] <= 1


def test_lasting_errors_widen_the_covariance():
    white = quick_take(0.0)
    rig, seen, _ = people_take(11, 0)
    assert free_take(rig, seen).excess > 2 * free_take(*white).excess
