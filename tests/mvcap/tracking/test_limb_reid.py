"""Re-identification by limb lengths: sums, profiles, and evidence that is a calibrated log likelihood ratio."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_take import COCO, RATE_HZ
from tracked_walkers import figure, line, table, walkers

from mvcap.structures.anthropometry import limb_lengths
from mvcap.structures.skeleton import skeleton
from mvcap.tracking.limb_reid import MOMENTS, LimbProfile, limb_distance, limb_scatter, limb_sums, same_person_nats

LIMBS = len(COCO.limbs)
KINDS = 5  # upper arm, forearm, thigh, shank, hips
STATURE, BUILD = 0.06, 0.03  # of the logarithm of adults' limbs (ANSUR II), together and each
UNKNOWN = LimbProfile(COCO, np.zeros((1, LIMBS, MOMENTS)), RATE_HZ)


def measured(log_length, frames=250.0, spread=0.03):
    """Profiles of bodies whose limbs (N, B') were measured in so many frames with that scatter."""
    log_length = np.atleast_2d(log_length)
    count = np.full_like(log_length, frames)
    return LimbProfile(
        COCO, np.stack([count, count, count * log_length, count * (log_length**2 + spread**2)], -1), RATE_HZ
    )


def both_sides(by_kind):
    """Limbs (N, B') of bodies whose kinds of limbs are (N, L), left and right alike."""
    kinds = measured(np.zeros(LIMBS)).mean.shape[1]
    own = np.stack([measured(np.eye(LIMBS)[limb]).mean[0] > 0 for limb in range(LIMBS)])
    assert own.shape == (LIMBS, kinds) and (own.sum(1) == 1).all()
    return by_kind @ own.T.astype(float)


def test_sums_of_a_body_are_those_of_its_limbs():
    xyz = np.stack([figure(0.1 * step, (0, 0)) for step in range(6)])
    rows = table(np.arange(6), np.ones(6), xyz, noise_m=0.01)
    sums = limb_sums(rows)
    length = limb_lengths(COCO, rows.xyz)
    weight = 1 / (2 * 0.01**2 / length**2 + 0.03**2)  # two ends, and the pose's own error
    np.testing.assert_array_equal(sums[..., 0], 1)
    np.testing.assert_allclose(sums[..., 1], weight, rtol=1e-5)
    np.testing.assert_allclose(sums[..., 2], weight * np.log(length), rtol=1e-5)
    np.testing.assert_allclose(sums[..., 3], weight * np.log(length) ** 2, rtol=1e-5)


def test_what_is_no_measurement_of_a_limb_counts_nothing():
    xyz = np.stack([figure(0.0, (0, 0))] * 4)
    wrist, knee = COCO.index("left_wrist"), COCO.index("right_knee")
    xyz[0, wrist] = np.nan
    xyz[1, wrist] += 5.0  # an arm of 5 m
    xyz[2, knee] = xyz[2, COCO.index("right_hip")]  # no thigh
    xyz[3, knee] = np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sums = limb_sums(table(np.arange(4), np.ones(4), xyz))
    assert np.isfinite(sums).all()
    for row, joint in ((0, wrist), (1, wrist), (2, knee), (3, knee)):
        touched = (COCO.limbs == joint).any(1)
        assert not sums[row, touched & (row != 2)].any()
        assert (sums[row, ~touched, 0] == 1).all()
    thigh = [{COCO.index("right_hip"), knee} == set(pair) for pair in COCO.limbs.tolist()].index(True)
    assert not sums[2, thigh].any()


def test_a_joint_known_badly_weighs_little():
    fine, rough = (limb_sums(table([0], [1], figure(0, (0, 0))[None], noise_m=noise)) for noise in (0.001, 0.1))
    assert (rough[..., 1] < 0.05 * fine[..., 1]).all()
    wrong = table([0], [1], figure(0, (0, 0))[None]).with_columns(cov=np.full((1, len(COCO), 6), np.inf))
    assert (limb_sums(wrong)[..., 1] < 1e-6).all()


def test_scatter_is_the_standard_deviation_over_time():
    rng = np.random.default_rng(0)
    logs = np.log(0.4) + rng.normal(0, 0.05, (400, LIMBS))
    one = np.ones_like(logs)
    sums = np.stack([one, one, logs, logs**2], -1).sum(0)
    np.testing.assert_allclose(limb_scatter(sums), logs.std(0), rtol=1e-6)
    assert np.isnan(limb_scatter(np.zeros((LIMBS, MOMENTS)))).all()
    assert np.isnan(limb_scatter(np.stack([one, one, logs, logs**2], -1)[0])).all()  # of one moment nothing is known


def test_a_profile_has_the_lengths_of_the_limbs_whatever_side():
    by_kind = np.log(np.array([[0.3, 0.25, 0.42, 0.4, 0.26]]))
    profile = measured(both_sides(by_kind))
    np.testing.assert_allclose(profile.mean, by_kind)
    right_only = both_sides(by_kind)
    sums = np.stack([np.full(LIMBS, 50.0), np.full(LIMBS, 50.0), 50 * right_only[0], 50 * right_only[0] ** 2], -1)
    left = [COCO.joints[a].startswith("left") and COCO.joints[b].startswith("left") for a, b in COCO.limbs.tolist()]
    sums[np.array(left)] = 0
    np.testing.assert_allclose(LimbProfile(COCO, sums[None], RATE_HZ).mean, by_kind)


def test_a_length_is_known_better_the_longer_it_is_seen_but_for_its_bias():
    variance = [measured(np.zeros(LIMBS), frames).variance.max() for frames in (1, 10, 100, 1e9)]
    assert (np.diff(variance) < 0).all()
    assert np.sqrt(variance[-1]) == pytest.approx(0.02, rel=1e-3)
    often = LimbProfile(COCO, np.ones((1, LIMBS, MOMENTS)), 1e6).variance  # one frame of a million a second
    assert (often > measured(np.zeros(LIMBS), 1).variance).all()
    np.testing.assert_array_equal(UNKNOWN.variance, 1e4)
    np.testing.assert_array_equal(UNKNOWN.mean, 0)


def test_sums_add_up_over_spells():
    rows = walkers(60, (line((0, 0), (0.5, 0)), 1.05))
    sums = limb_sums(rows)
    whole = LimbProfile(COCO, sums.sum(0)[None], RATE_HZ)
    parts = LimbProfile(COCO, (sums[:20].sum(0) + sums[20:].sum(0))[None], RATE_HZ)
    np.testing.assert_allclose(whole.mean, parts.mean)
    length = np.log(limb_lengths(COCO, figure(0, (0, 0), 1.05)))
    np.testing.assert_allclose(np.sort(whole.mean[0]), np.unique(length.round(5)), atol=0.01)


@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.integers(0, 4))
@settings(derandomize=True, max_examples=25)
def test_evidence_does_not_depend_on_who_came_first(seed, ones, others):
    rng = np.random.default_rng(seed)
    a = measured(rng.normal(-1, 0.1, (ones, LIMBS)) if ones else np.zeros((0, LIMBS)), 30)
    b = measured(rng.normal(-1, 0.1, (others, LIMBS)) if others else np.zeros((0, LIMBS)), 300)
    there, back = same_person_nats(a, b), same_person_nats(b, a)
    assert there.shape == (ones, others)
    np.testing.assert_allclose(there, back.T, atol=1e-9)


def test_evidence_is_positive_for_the_same_limbs_negative_for_others_and_zero_for_unknown_ones():
    rng = np.random.default_rng(1)
    people = rng.normal(0, STATURE, (30, 1)) + rng.normal(0, BUILD, (30, KINDS)) - 1
    first = measured(both_sides(people + rng.normal(0, 0.02, people.shape)))
    again = measured(both_sides(people + rng.normal(0, 0.02, people.shape)))
    nats = same_person_nats(first, again)
    same = np.diag(nats)
    assert (same > 0).mean() > 0.9 and same.mean() > 2
    others = nats[~np.eye(30, dtype=bool)]
    assert (others < 0).mean() > 0.7 and others.mean() < -5
    assert np.abs(same_person_nats(first, UNKNOWN)).max() < 0.01
    assert np.abs(same_person_nats(UNKNOWN, UNKNOWN)).max() < 0.01


@pytest.mark.parametrize("frames", [5, 40, 1000])
def test_evidence_is_calibrated(frames):
    """Of pairs with evidence of n nats, drawn half from one person and half from two, the share 1 / (1 + e^-n) is one.

    Bodies are drawn from the population, measurements from the stated variance.
    """
    rng, count = np.random.default_rng(2), 40000
    still = measured(np.zeros(LIMBS), frames)
    noise = np.sqrt(2 * still.variance[0])
    off = noise * rng.normal(size=(count, KINDS))
    two = rng.random(count) < 0.5
    off[two] += np.sqrt(2) * (STATURE * rng.normal(size=(two.sum(), 1)) + BUILD * rng.normal(size=(two.sum(), KINDS)))
    nats = same_person_nats(measured(both_sides(off), frames), still)[:, 0]
    checked = 0
    for low in np.arange(-4.0, 4.0):
        there = (nats >= low) & (nats < low + 1)
        if there.sum() < 400:
            continue
        expected = (1 / (1 + np.exp(-nats[there]))).mean()
        assert (~two[there]).mean() == pytest.approx(expected, abs=4 * np.sqrt(expected / there.sum()) + 0.01), low
        checked += 1
    assert checked >= 3


def test_walkers_of_different_stature_are_distinguished():
    still = line((0, 0), (0, 0))
    profiles = [
        LimbProfile(COCO, limb_sums(walkers(200, (still, scale), seed=seed)).sum(0)[None], RATE_HZ)
        for seed, scale in enumerate((1.0, 1.0, 1.12))
    ]
    assert same_person_nats(profiles[0], profiles[1])[0, 0] > 3
    assert same_person_nats(profiles[0], profiles[2])[0, 0] < -8


def test_distance_is_the_share_by_which_limbs_differ():
    a, b = measured(np.full(LIMBS, -1.0)), measured(np.full(LIMBS, -1.0) + np.log(1.08))
    share, sigma = limb_distance(a, b)
    assert share[0, 0] == pytest.approx(np.log(1.08))
    assert sigma[0, 0] == pytest.approx(np.sqrt((np.log(1.08) ** 2 / (a.variance + b.variance)[0]).mean()))
    assert limb_distance(a, a)[0][0, 0] == 0 == limb_distance(a, UNKNOWN)[1][0, 0]


def test_a_skeleton_without_limbs_gives_no_evidence():
    part = skeleton("mvor10")
    kinds = LimbProfile(part, np.zeros((2, len(part.limbs), MOMENTS)), RATE_HZ)
    assert np.abs(same_person_nats(kinds, kinds)).max() < 0.01
