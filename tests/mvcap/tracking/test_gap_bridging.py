"""Re-identification across gaps: evidence of motion and limbs against closed forms, and ambiguous matches."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from synthetic_take import COCO, RATE_HZ
from tracked_walkers import MIDDLE, SMALL, TALL, line, linked, numbered_anew, walkers, within

from mvcap.tracking.gap_bridging import Chains, best_sum, is_unambiguous, return_evidence, visited_area
from mvcap.tracking.limb_reid import MOMENTS, limb_sums, same_person_nats
from mvcap.tracking.motion_model import predict_states
from mvcap.tracking.tracklets import TrackConfig, Tracklets

CONFIG = TrackConfig()
AREA = 40.0
FRAMES = 200  # that every chain was seen in: limbs are known well
STILL = np.diag([0.02**2] * 3 + [0.1**2] * 3)
LIMBS = {
    scale: limb_sums(walkers(FRAMES, (line((0, 0), (0, 0)), scale), seed=seed)).sum(0)
    for seed, scale in enumerate((SMALL, MIDDLE, MIDDLE + 0.002, TALL))
}
NONE = np.zeros((len(COCO.limbs), MOMENTS))


def chains(*people):
    """Chains of one segment each: (first frame, start, last frame, end, limbs), ends being place and velocity (6,)."""
    tracklets = Tracklets(COCO, CONFIG, RATE_HZ)
    rows = walkers(1, *[(line((0, 0), (0, 0)), MIDDLE)] * len(people))
    if people:
        idents = np.arange(len(people))
        tracklets.add(rows, idents, np.zeros((len(people), 6)), np.tile(STILL, (len(people), 1, 1)), idents < 0)
    held = tracklets.all
    for at, (first, start, last, end, limbs) in enumerate(people):
        held["first"][at] = held["begun"][at] = first
        held["last"][at], held["frames"][at], held["limbs"][at] = last, FRAMES, limbs
        held["start_mean"][at], held["end_mean"][at] = start, end
        held["start_cov"][at] = held["end_cov"][at] = STILL
        held["group"][at] = held["group_first"][at] = at
    return Chains(tracklets, [[at] for at in range(len(people))])


def state(x=0.0, y=0.0, vx=0.0, vy=0.0):
    return np.array([x, y, 0.9, vx, vy, 0.0])


def went(frame, at, limbs):
    return 0, state(), frame, at, limbs


def came(frame, at, limbs):
    return frame, at, frame + FRAMES, at, limbs


def evidence(gone, comes, follows=False, **settings):
    return return_evidence(gone, comes, TrackConfig(**settings), AREA, follows)


def frames(seconds):
    return round(seconds * RATE_HZ)


# --- motion ----------------------------------------------------------------------------------------------------------


def motion_nats(end, start, gap_s):
    """Log ratio of the density of both predictions in the middle of the gap and of a uniform position on the floor."""
    back = np.array([1.0, 1, 1, -1, -1, -1])
    speeds = gap_s / 2, CONFIG.speed_mps, CONFIG.acceleration_mps2
    before, cov = predict_states(end[None], STILL[None], *speeds)
    after, more = predict_states((start * back)[None], STILL[None], *speeds)
    density = multivariate_normal(cov=(cov + more)[0, :2, :2]).logpdf((before - after)[0, :2])
    return density + np.log(AREA)


@pytest.mark.parametrize("gap_s", [0.4, 1.0, 2.6])
@pytest.mark.parametrize("miss", [0.0, 0.5])
def test_motion_is_a_ratio_of_densities(gap_s, miss):
    end, start = state(0, 0, 1.0, 0.2), state(gap_s * 0.8 + miss, 0.1, 0.9, 0.0)
    found = evidence(chains(went(100, end, NONE)), chains(came(100 + frames(gap_s), start, NONE)))
    expected = motion_nats(end, start, frames(gap_s) / RATE_HZ) + 2.0  # somebody known is likelier than a newcomer
    assert found.by_motion[0, 0] == (expected > 0 and found.motion_sigma[0, 0] <= CONFIG.gate_sigma)
    assert found.nats[0, 0] == (pytest.approx(expected, abs=0.02) if found.by_motion[0, 0] else -np.inf)
    assert found.absent_s[0, 0] == pytest.approx(gap_s)


def test_motion_is_the_same_backwards_in_time():
    end, start = state(0, 0, 1.0, 0.2), state(1.2, 0.3, 0.7, -0.2)
    back = np.array([1.0, 1, 1, -1, -1, -1])
    there = evidence(chains(went(100, end, NONE)), chains(came(130, start, NONE)))
    again = evidence(chains(went(100, start * back, NONE)), chains(came(130, end * back, NONE)))
    assert there.nats[0, 0] == pytest.approx(again.nats[0, 0])
    assert there.motion_sigma[0, 0] == pytest.approx(again.motion_sigma[0, 0])


def test_who_goes_on_as_before_is_the_same_and_who_is_elsewhere_is_not():
    gone = chains(went(100, state(0, 0, 1, 0), NONE))
    on = evidence(gone, chains(came(150, state(1.7, 0, 0.8, 0), NONE)))
    beside = evidence(gone, chains(came(150, state(-4, 4, 0, 0), NONE)))
    assert on.by_motion[0, 0] and on.nats[0, 0] > 1 and on.motion_sigma[0, 0] < 1
    assert not beside.by_motion[0, 0] and beside.nats[0, 0] == -np.inf and beside.motion_sigma[0, 0] > 2


def test_evidence_of_motion_falls_with_the_gap_and_ends_at_the_longest():
    gone = chains(went(100, state(), NONE))
    nats = [evidence(gone, chains(came(100 + frames(gap), state(), NONE))).nats[0, 0] for gap in (0.3, 1.0, 2.9)]
    assert (np.diff(nats) < 0).all() and np.isfinite(nats).all()
    long = evidence(gone, chains(came(100 + frames(3.1), state(), NONE)))
    assert np.isnan(long.motion_sigma[0, 0]) and long.nats[0, 0] == -np.inf
    assert np.isfinite(evidence(gone, chains(came(178, state(), NONE)), join_s=5.0).motion_sigma[0, 0])


# --- limbs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gap_s", [5, 60, 600])
def test_after_a_long_gap_limbs_alone_give_evidence(gap_s):
    gone = chains(*(went(100, state(), LIMBS[scale]) for scale in (SMALL, MIDDLE, TALL)))
    comes = chains(came(100 + frames(gap_s), state(2, 1), LIMBS[MIDDLE + 0.002]))
    found = evidence(gone, comes)
    np.testing.assert_allclose(found.limb_nats, same_person_nats(gone.profile, comes.profile))
    assert np.isneginf(found.nats[[0, 2], 0]).all() and found.nats[1, 0] == pytest.approx(found.limb_nats[1, 0] + 2.0)
    assert not found.by_motion.any()


def test_limbs_of_another_overrule_the_place_of_the_one_who_vanished():
    gone = chains(went(100, state(), LIMBS[SMALL]))
    same, other = (evidence(gone, chains(came(120, state(), LIMBS[scale]))) for scale in (SMALL, TALL))
    assert same.nats[0, 0] > 5 and other.nats[0, 0] == -np.inf and other.limb_nats[0, 0] < -20


def test_no_return_before_leaving_or_above_the_top_speed():
    gone = chains(went(100, state(), LIMBS[MIDDLE]))
    assert evidence(gone, chains(came(100, state(), LIMBS[MIDDLE]))).nats[0, 0] == -np.inf
    assert evidence(gone, chains(came(40, state(), LIMBS[MIDDLE]))).nats[0, 0] == -np.inf
    far = state(12.0 * 4 + 1.5)
    assert evidence(gone, chains(came(100 + frames(4), far, LIMBS[MIDDLE]))).nats[0, 0] == -np.inf
    assert evidence(gone, chains(came(100 + frames(5), far, LIMBS[MIDDLE]))).nats[0, 0] > 0


def test_the_number_of_an_associator_that_follows_counts():
    gone = chains(went(100, state(), NONE), went(100, state(), NONE))
    comes = chains(came(100 + frames(5), state(), NONE), came(100 + frames(5), state(), NONE))
    tracked, untracked = (evidence(gone, comes, follows) for follows in (True, False))
    assert (np.diag(tracked.nats) > 5).all() and np.isneginf(tracked.nats[[0, 1], [1, 0]]).all()
    assert np.isneginf(untracked.nats).all()


# --- who could be several --------------------------------------------------------------------------------------------


def unambiguous(gone, comes, one=0, other=0):
    return is_unambiguous(evidence(gone, comes), gone, comes, one, other)


def test_one_of_two_who_are_alike_could_be_either():
    away = frames(10)
    twins = chains(went(100, state(), LIMBS[MIDDLE]), went(110, state(), LIMBS[MIDDLE + 0.002]))
    comes = chains(came(100 + away, state(), LIMBS[MIDDLE]))
    assert not unambiguous(twins, comes, 0) and not unambiguous(twins, comes, 1)
    others = chains(went(100, state(), LIMBS[MIDDLE]), went(110, state(), LIMBS[TALL]))
    assert unambiguous(others, comes, 0)
    assert unambiguous(chains(went(100, state(), LIMBS[MIDDLE])), comes)


def test_two_who_return_are_unambiguous_where_each_has_the_limbs_of_another():
    away = frames(10)
    gone = chains(went(100, state(), LIMBS[SMALL]), went(110, state(), LIMBS[TALL]))
    comes = chains(came(100 + away, state(), LIMBS[TALL]), came(130 + away, state(), LIMBS[SMALL]))
    assert unambiguous(gone, comes, 0, 1) and unambiguous(gone, comes, 1, 0)


def test_a_rival_seen_for_a_moment_is_none():
    comes = chains(came(400, state(), LIMBS[MIDDLE]))
    gone = chains(went(100, state(), LIMBS[MIDDLE]), went(110, state(), LIMBS[MIDDLE + 0.002]))
    gone.frames[1] = 3
    assert unambiguous(gone, comes, 0)


def test_a_match_by_motion_is_unambiguous():
    gone = chains(went(100, state(), LIMBS[MIDDLE]), went(100, state(4, 0), LIMBS[MIDDLE + 0.002]))
    assert unambiguous(gone, chains(came(115, state(), LIMBS[MIDDLE])))


# --- parts -----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.integers(0, 5))
@settings(derandomize=True, max_examples=40)
def test_the_best_sum_is_that_of_the_best_assignment(seed, rows, columns):
    nats = np.maximum(np.random.default_rng(seed).normal(0, 3, (rows, columns)), 0)
    wide = nats if rows <= columns else nats.T
    every = [sum(wide[row, column] for row, column in enumerate(order))
             for order in permutations(range(wide.shape[1]), wide.shape[0])]  # fmt: skip
    assert best_sum(nats) == pytest.approx(max(every))


def test_the_area_is_what_places_span_and_a_small_room_at_least():
    grid = np.stack(np.meshgrid(np.linspace(0, 10, 60), np.linspace(-4, 4, 60), [0.9]), -1).reshape(-1, 3)
    assert visited_area(grid) == pytest.approx((0.96 * 10 + 2) * (0.96 * 8 + 2), rel=0.02)
    stray = np.concatenate([grid, [[900.0, 0, 0]]])
    assert visited_area(stray) == pytest.approx(visited_area(grid), rel=0.02)
    assert visited_area(grid[:1]) == visited_area(grid[:0]) == 25.0


def test_chains_of_several_segments_are_their_ends_and_sums():
    rows = numbered_anew(walkers(120, (within(line((0, 0), (0.5, 0)), (0, 1.6), (2.2, 4)), MIDDLE)))
    linker, _ = linked(rows)
    assert linker.tracklets.pieces == [[0, 1]]
    (whole,), held = [Chains(linker.tracklets, [[0, 1]])], linker.tracklets.all
    assert (whole.first[0], whole.last[0], whole.frames[0]) == (held["first"][0], held["last"][1], 85)
    np.testing.assert_array_equal(whole.start[0][0], held["start_mean"][0])
    np.testing.assert_array_equal(whole.end[0][0], held["end_mean"][1])
    np.testing.assert_allclose(whole.limbs[0], held["limbs"].sum(0))
    empty = Chains(linker.tracklets, [])
    assert evidence(empty, whole).nats.shape == (0, 1) and evidence(whole, empty).nats.shape == (1, 0)


def test_figures_and_words_hold_what_is_known():
    gone = chains(went(100, state(), LIMBS[MIDDLE]))
    near, late = (evidence(gone, chains(came(frame, state(), LIMBS[MIDDLE]))) for frame in (125, 400))
    assert set(near.figures(0, 0)) == {"absent_s", "nats", "motion_sigma", "limb_share", "limb_sigma"}
    assert near.figures(0, 0)["absent_s"] == 1.0 and near.figures(0, 0)["limb_share"] == 0
    assert "motion_sigma" not in late.figures(0, 0) and late.figures(0, 0)["absent_s"] == 12.0
    assert "1.00 s" in near.words(0, 0) and "12.00 s" in late.words(0, 0)
    before = evidence(gone, chains(came(50, state(), LIMBS[MIDDLE])))
    assert "nats" not in before.figures(0, 0)
