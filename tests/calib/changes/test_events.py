"""Changes during a take: rigs at each moment, fits that find the motion and the date, corrections that are bounded."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moved_cameras import arc, board_places, bumped, filmed

from calib.changes.events import (
    ChangeTake,
    Event,
    apply_change,
    apply_corrections,
    change_steps,
    find_changes,
    gain_of,
    in_volume,
    rigs_over_time,
    whole_cost,
)
from calib.changes.evidence import CAMERA, CHANGE, sightings
from calib.changes.search import Trust
from calib.changes.steps import Step, fit_changes
from calib.geometry import vector_from_rotation
from calib.targets import Target

MOMENTS, AT = 40, 17
TURNED = np.array([0.004, -0.006, 0.002, 0.001, 0.002, -0.001, 0.0])
NOWHERE = np.zeros(CHANGE)
LOOSE = Trust().precision(np.zeros(3), 30.0, 5.0)
TIGHT = Trust().precision(np.zeros(3))


def event(since, until=None, *, camera=1, motion=TURNED):
    return Event(camera, since, since if until is None else until, motion, since, since)


@cache
def moved_take():
    """A take of a board in which the second of three cameras is knocked; the given rig is the true one before."""
    rng = np.random.default_rng(5)
    rig = arc(3)
    target, places = board_places(rng, MOMENTS)
    after = replace(rig, cameras=(rig[0], apply_change(rig[1], TURNED), rig[2]))
    seen = filmed([rig, after], [0, AT], target, places, 0.2, rng)
    return ChangeTake(rig, sightings([rig], [0], seen))


# --- what a change is ------------------------------------------------------------------------------------------------


def test_a_step_happens_at_once():
    np.testing.assert_array_equal(event(3).share(np.arange(6)), [0, 0, 0, 1, 1, 1])


@given(st.integers(0, 20), st.integers(1, 20))
@settings(max_examples=12, derandomize=True)
def test_a_drift_happens_evenly_between_its_ends(since, length):
    share = event(since, since + length).share(np.arange(60))
    assert share[:since].max(initial=0) == 0 and (share[since + length :] == 1).all()
    inside = share[since : since + length]
    np.testing.assert_allclose(inside, (np.arange(length) + 0.5) / length)
    assert inside.mean() == pytest.approx(0.5)


@given(st.lists(st.floats(-0.3, 0.3), min_size=CAMERA, max_size=CAMERA))
@settings(max_examples=12, derandomize=True)
def test_the_numbers_of_a_change_are_read_back_from_the_changed_camera(numbers):
    camera = arc(1)[0]
    there = apply_change(camera, np.array(numbers))
    motion = there.cam_from_world @ np.linalg.inv(camera.cam_from_world)
    np.testing.assert_allclose(vector_from_rotation(motion[:3, :3]), numbers[:3], atol=1e-9)
    np.testing.assert_allclose(motion[:3, 3], numbers[3:6], atol=1e-9)
    K, before = there.lens.K, camera.lens.K
    np.testing.assert_allclose(np.log(K[0, 0] / before[0, 0]), numbers[6], atol=1e-12)
    np.testing.assert_allclose(np.log(K[1, 1] / before[1, 1]), numbers[6] + numbers[9], atol=1e-12)
    np.testing.assert_allclose(K[:2, 2] - before[:2, 2], numbers[7:9], atol=1e-9)
    np.testing.assert_array_equal(there.lens.distortion, camera.lens.distortion)


def test_no_change_changes_nothing_and_seven_numbers_are_enough():
    camera = arc(1)[0]
    np.testing.assert_array_equal(apply_change(camera, NOWHERE).cam_from_world, camera.cam_from_world)
    whole = apply_change(camera, np.concatenate([TURNED, np.zeros(5)]))
    np.testing.assert_array_equal(apply_change(camera, TURNED).cam_from_world, whole.cam_from_world)


# --- rigs over time --------------------------------------------------------------------------------------------------


def test_without_a_change_there_is_one_rig():
    rig = arc(3)
    rigs, since = rigs_over_time(rig, (), 30)
    assert since == [0] and np.array_equal(rigs[0].cam_from_world, rig.cam_from_world)


def test_a_step_makes_two_rigs_that_differ_in_one_camera():
    rig = arc(3)
    rigs, since = rigs_over_time(rig, [event(12)], 30)
    assert since == [0, 12]
    np.testing.assert_array_equal(rigs[0].cam_from_world, rig.cam_from_world)
    np.testing.assert_allclose(rigs[1][1].cam_from_world, apply_change(rig[1], TURNED).cam_from_world)
    np.testing.assert_array_equal(rigs[1].cam_from_world[[0, 2]], rig.cam_from_world[[0, 2]])


def test_changes_of_one_camera_add_up_and_those_of_others_are_their_own():
    rig = arc(3)
    rigs, since = rigs_over_time(rig, [event(5), event(20, motion=2 * TURNED), event(10, camera=0)], 30)
    assert since == [0, 5, 10, 20]
    np.testing.assert_allclose(rigs[-1][1].cam_from_world, apply_change(rig[1], 3 * TURNED).cam_from_world)
    np.testing.assert_allclose(rigs[-1][0].cam_from_world, apply_change(rig[0], TURNED).cam_from_world)
    np.testing.assert_array_equal(rigs[1][0].cam_from_world, rig[0].cam_from_world)


@pytest.mark.parametrize(("since", "until"), [(4, 14), (0, 25), (10, 400)])
def test_a_drift_makes_many_rigs_that_come_nearer_to_its_end(since, until):
    rig, moments = arc(2), 420
    rigs, starts = rigs_over_time(rig, [event(since, until)], moments)
    assert starts[0] == 0 and starts == sorted(set(starts)) and len(starts) <= 53
    end = apply_change(rig[1], TURNED)
    off = [np.linalg.norm(one[1].cam_from_world - end.cam_from_world) for one in rigs]
    assert (np.diff(off) < 1e-12).all() and off[-1] < 1e-12


def test_a_change_after_the_take_is_none_in_it():
    rigs, since = rigs_over_time(arc(2), [event(30)], 30)
    assert since == [0] and len(rigs) == 1


# --- sizes -----------------------------------------------------------------------------------------------------------


def test_the_displacement_in_the_volume_is_the_root_of_a_quadratic_form():
    spread = np.diag([16.0, 16, 1, 1, 1, 0.1, 1])
    assert in_volume(np.array([0.001, 0, 0, 0, 0, 0, 0]), spread) == pytest.approx(0.004)
    assert in_volume(np.array([0.003, 0, 0, 0.016, 0, 0, 0]), spread) == pytest.approx(np.hypot(0.012, 0.016))
    assert in_volume(-3 * TURNED, spread) == pytest.approx(3 * in_volume(TURNED, spread))
    assert in_volume(np.array([0.001, 0]), spread) == pytest.approx(0.004)  # the first numbers alone
    assert in_volume(NOWHERE, spread) == 0


def test_a_correction_is_bounded_but_keeps_its_direction():
    found = moved_take().evidence((event(AT, motion=NOWHERE),))
    fit = fit_changes(found, LOOSE, change_steps((event(AT, motion=NOWHERE),), found))
    (small,) = apply_corrections((event(AT),), replace(fit, changes=TURNED[None]))
    np.testing.assert_allclose(small.motion, 2 * TURNED)
    (bounded,) = apply_corrections((event(AT, motion=NOWHERE),), replace(fit, changes=100 * TURNED[None]))
    assert np.linalg.norm(bounded.motion[:3]) == pytest.approx(0.2)
    np.testing.assert_allclose(bounded.motion / np.linalg.norm(bounded.motion), TURNED / np.linalg.norm(TURNED))


# --- in a take -------------------------------------------------------------------------------------------------------


def test_steps_of_changes_are_their_shares_in_the_blocks():
    found = moved_take().evidence((event(AT),), blocks=8)
    steps = change_steps((event(AT), event(0, 40, camera=0)), found)
    assert [step.camera for step in steps] == [1, 0] and all(isinstance(step, Step) for step in steps)
    first = found.first[:-1]
    np.testing.assert_array_equal(steps[0].share, first >= AT)
    np.testing.assert_allclose(steps[1].share, (first + found.first[1:]) / 2 / 40)


def test_the_motion_of_a_change_is_found_from_nothing_but_its_date():
    take = moved_take()
    (found,), evidence, fit = take.refined((event(AT, motion=NOWHERE),), LOOSE)
    off = found.motion - TURNED
    assert off @ np.linalg.solve(fit.spread(0), off) < 24.3  # of seven numbers, one in a thousand is larger
    assert in_volume(off, evidence.spread[1]) < 0.001 < 0.1 * in_volume(TURNED, evidence.spread[1])
    assert gain_of(fit, (found,), 0) > 1000
    assert gain_of(fit, (replace(found, motion=NOWHERE),), 0) == 0


def test_a_change_where_it_was_leaves_the_cost_of_noise_and_elsewhere_more():
    take = moved_take()
    cost = {}
    for at in (AT - 8, AT, AT + 8):
        events = (event(at),)
        found = take.evidence(events)
        cost[at] = whole_cost(found, take.fit(found, events, LOOSE))
    none = take.evidence(())
    cost[None] = whole_cost(none, take.fit(none, (), LOOSE))
    assert cost[AT] < 0.5 * min(cost[AT - 8], cost[AT + 8], cost[None])


@pytest.mark.parametrize("guess", [AT - 6, AT + 3])
def test_a_change_is_dated_by_the_moments_around_a_guess(guess):
    take = moved_take()
    events = (event(guess),)
    fit = take.fit(take.evidence(events), events, TIGHT)
    dated = take.dated(events, 0, fit, 1.0)
    assert dated.since == dated.until == AT
    assert dated.earliest <= AT <= dated.latest and dated.latest - dated.earliest <= 3


def test_a_change_that_nobody_named_is_found_with_its_camera_and_date():
    (found,) = find_changes(moved_take(), LOOSE, TIGHT, 1e-3)
    assert found.camera == 1 and found.since == AT == found.until
    off = found.motion - TURNED
    assert in_volume(off, moved_take().evidence((found,)).spread[1]) < 0.0015


def test_a_rig_with_its_errors_removed_fits_better():
    take = moved_take()
    wrong = ChangeTake(bumped(take.rig, 0, 0.1), take.all)
    found = wrong.evidence((event(AT),))
    fit = wrong.fit(found, (event(AT),), TIGHT / 100)
    assert wrong.put_right(fit).evidence((event(AT),)).cost < 0.5 * found.cost


def test_a_large_error_of_one_camera_is_corrected_in_it_alone_until_the_rest_is_linear():
    take = moved_take()
    wrong = ChangeTake(bumped(take.rig, 0, 2.0, 0.0), take.all)
    settled, events, found = wrong.settled((event(AT),), TIGHT)
    truth = take.evidence((event(AT),))
    cost = [whole_cost(one, there.sparse(one, events, TIGHT)) for there, one in ((settled, found), (take, truth))]
    assert cost[0] == pytest.approx(cost[1], rel=0.05)
    turned = settled.rig.cam_from_world @ np.linalg.inv(take.rig.cam_from_world)
    angle = np.rad2deg(np.linalg.norm(vector_from_rotation(turned[:, :3, :3]), axis=-1))
    assert angle[0] < 0.6 and angle[1:].max() < 0.05


def test_a_rig_that_is_good_is_left_as_it_is():
    take = moved_take()
    settled, events, _ = take.settled((event(AT),), TIGHT)
    assert settled is take and events[0].motion is TURNED


def test_a_long_take_is_thinned_and_its_changes_keep_their_dates():
    rng = np.random.default_rng(5)
    rig = arc(2)
    target, places = board_places(rng, 604)
    rim = [0, 4, 15, 19]
    seen = filmed([rig], [0], Target("rim", target.points[rim]), places[:, rim], 0.2, rng)
    take = ChangeTake(rig, sightings([rig], [0], seen))
    assert len(take.index) == 302 and len(take.some.observations.moments) == 302
    found = take.evidence((event(301),), blocks=4)
    assert found.first[0] == 0 and found.first[-1] == 604 and 302 in found.first
