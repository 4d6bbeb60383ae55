"""Error models of two readings: what they share with the truth, what they state, and who is mistaken where."""

from dataclasses import replace

import numpy as np
import pytest
from detected_take import CLEAR, detected_take

from mvcap.training.reading_models import (
    BODY,
    ReadingErrors,
    map_noise,
    noise_read_at,
    place_factors,
    random_errors,
    reading_pair,
)

NONE = ReadingErrors(1e-6, (1.0, 1.0), 1e-6, False, 1.0, 0.0)
USUAL = ReadingErrors(1.0, (1.0, 1.0), 0.045, False, 1.0, 0.3)


@pytest.fixture(scope="module")
def take():
    return detected_take(people=4, cameras=3, frames=5, model=replace(CLEAR, score_spread=0.0, score_row=0.0))


def pairs(take, errors, seed=0):
    rng = np.random.default_rng(seed)
    found = [reading_pair(take, view, frame, errors, rng) for view in range(2) for frame in range(5)]
    return [one for one in found if one is not None]


def errors_of(found, part, hidden):
    """Distances, m, from the truth of joints that are hidden by others, or seen, and their squared Mahalanobis ones."""
    far, square = [], []
    for one in found:
        readings = getattr(one, part)
        which = readings.known & (one.hidden == hidden)
        error = (readings.joints - one.truth)[which]
        far.append(np.linalg.norm(error, axis=-1))
        square.append((error * np.linalg.solve(readings.covariance[which], error[..., None])[..., 0]).sum(-1))
    return np.concatenate(far), np.concatenate(square)


def test_readings_without_errors_are_the_truth_or_another_persons_joint(take):
    found = pairs(take, NONE)
    assert len(found) == 10 and sum(one.hidden.sum() for one in found) > 20
    far, _ = errors_of(found, "second", False)
    assert np.median(far) < 1e-5  # read from maps without noise
    far, _ = errors_of(found, "first", False)
    assert np.median(far) < 0.03  # flips and 12 mm across the ray remain


def test_hidden_joints_err_more_and_the_first_reading_does_not_know(take):
    found = pairs(take, USUAL)
    seen, seen_square = errors_of(found, "first", False)
    hidden, hidden_square = errors_of(found, "first", True)
    assert hidden.mean() > 1.2 * seen.mean() and 0.02 < np.median(seen) < 0.09
    assert 0.55 < (seen_square < 3.506).mean() < 0.95 and (hidden_square < 7.815).mean() < (seen_square < 7.815).mean()
    right, _ = errors_of(found, "second", True)
    assert right.mean() < hidden.mean()


def test_a_direct_estimate_has_all_joints_and_shares_errors_of_depth(take):
    found = pairs(take, replace(USUAL, direct=True, common=0.5, depth=1.0, direct_noise=1.0))
    assert all(one.second.known.all() for one in found)
    errors = [np.stack([(read.joints - one.truth)[..., 2] for read in (one.first, one.second)], -1) for one in found]
    depth = np.concatenate([each[~one.hidden & (one.score > 0)] for each, one in zip(errors, found, strict=True)])
    moved = depth[np.abs(depth).min(1) > 1e-6]
    assert 0.25 < np.corrcoef(moved.T)[0, 1] < 0.7


def test_the_chance_that_the_other_is_nearer_follows_from_distances(take):
    found = pairs(take, USUAL)
    on = np.concatenate([one.nearer[one.hidden & (one.covered > 0.6)] for one in found])
    assert on.mean() > 0.6 and all(one.nearer.min() >= 0 and one.nearer.max() <= 1 for one in found)


def test_noise_of_maps_is_the_same_in_patches():
    noise = map_noise((2, 3, 33, 42), 0.05, np.random.default_rng(0))
    assert noise.shape == (2, 3, 33, 42) and 0.04 < noise.std() < 0.06
    same = (np.diff(noise, axis=-1) == 0).mean()
    assert 0.7 < same < 0.8  # three of four cells continue a patch
    cells = np.full((1, 2, 2), 5.0)
    np.testing.assert_array_equal(noise_read_at(noise, cells, np.array([[0, -1]]))[0], noise[:, :, 5, 5])


def test_places_nearer_to_the_trunk_are_noisier():
    from mvcap.estimation.pose_map_readout import MAPS_SKELETON, NECK_JOINT

    wrist, elbow, shoulder = (MAPS_SKELETON.index(f"left_{part}") for part in ("wrist", "elbow", "shoulder"))
    read = np.full((4, 19), -1)
    read[:, wrist] = [wrist, elbow, shoulder, NECK_JOINT]
    factors = place_factors(read)[:, wrist]
    assert factors[0] == 1 and (np.diff(factors) > 0).all()
    assert (place_factors(np.full((1, 19), NECK_JOINT))[0, [shoulder, NECK_JOINT]] == 1).all()


def test_nobody_detected_gives_nothing_and_methods_differ(take):
    empty = replace(take, rows=take.rows[:0], whose=take.whose[:0])
    assert reading_pair(empty, 0, 0, USUAL, np.random.default_rng(0)) is None
    drawn = [random_errors(np.random.default_rng(seed)) for seed in range(40)]
    assert 5 < sum(one.direct for one in drawn) < 30
    assert all(0.03 <= one.map_noise_m <= 0.06 and 0 <= one.common <= 0.5 for one in drawn) and len(BODY) == 26
