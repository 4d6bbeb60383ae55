"""Association of one frame: persons found, unassigned rows, and evidence of rows for their own body."""

from dataclasses import replace

import numpy as np
import pytest
from frame_of_people import KIND, seen_by, standing
from generated_people import disturbed, ring_rig
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcap.association.association_graph import (
    Affinities,
    GeometryConfig,
    associate_frame,
    evidence_for_groups,
    initial_calibration_variance,
)
from mvcap.association.ray_affinity import BodyRays, body_evidence, body_total
from mvcap.association.tracked_bodies import TrackedBodies, estimate_bodies, unknown_bodies

CONFIG, CAMERAS = GeometryConfig(), 5
seeds = st.integers(0, 2**32 - 1)


def no_people(rig, calibration=0.0):
    return TrackedBodies.empty(len(KIND), np.full(len(rig), calibration))


def associate(rows, rig, people=None, config=CONFIG):
    people = no_people(rig) if people is None else people
    return associate_frame(BodyRays.of(rows, rig), people, rig, KIND, config)


def alike(number, true):
    """Whether rows are grouped as the truth says, whatever the groups' numbers."""
    pairs = {(int(a), int(b)) for a, b in zip(number, true, strict=True)}
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) and min(number) >= 0


# --- one frame -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cameras", [2, 3, 5])
@pytest.mark.parametrize("people", [1, 3])
def test_people_are_found_in_one_frame(cameras, people):
    rig = ring_rig(cameras)
    rows, true = seen_by(rig, standing(people))
    order = np.random.default_rng(1).permutation(len(rows))
    number, made, after = associate(rows[order], rig)
    assert alike(number, true[order]) and len(made.row) == 0
    assert sorted(after.ident.tolist()) == list(range(people)) == sorted(set(number.tolist()))
    at = [int(true[order][np.flatnonzero(number == one)[0]]) for one in after.ident]
    assert np.linalg.norm(after.xyz - standing(people)[at], axis=-1).max() < (0.12 if cameras == 2 else 0.04)


def test_a_single_view_finds_no_person():
    rig = ring_rig(CAMERAS)
    number, _, after = associate(seen_by(rig, standing(2), views=[3])[0], rig)
    assert (number == -1).all() and len(after) == 0 and after.next_ident == 0


def test_who_is_tracked_keeps_the_number_and_is_waited_for():
    rig, xyz = ring_rig(CAMERAS), standing(2)
    rows, true = seen_by(rig, xyz)
    first, _, people = associate(rows, rig)
    mine = true == 1
    again, _, later = associate(rows[np.flatnonzero(mine)], rig, people.predicted(0.04, KIND.torso))
    assert set(again.tolist()) == set(first[mine].tolist()) and len(later) == 2
    _, _, gone = associate(rows[:0], rig, later.predicted(0.5, KIND.torso))
    assert len(gone) == 2
    _, _, gone = associate(rows[:0], rig, gone.predicted(1.5, KIND.torso))
    assert len(gone) == 0 and gone.next_ident == 2
    back, _, _ = associate(rows, rig, gone.predicted(1.6, KIND.torso))
    assert alike(back, true) and min(back) == 2, "numbers are not given again"


def test_rows_without_joints_are_unassigned():
    rig = ring_rig(CAMERAS)
    rows, true = seen_by(rig, standing(2))
    blind = rows.with_columns(
        xy=np.where((true == 1)[:, None, None], np.nan, rows.xy), score=np.where((true == 1)[:, None], 0, rows.score),
        noise_px=np.where((true == 1)[:, None], np.nan, rows.noise_px),
    )  # fmt: skip
    number, _, _ = associate(blind, rig)
    assert (number[true == 1] == -1).all() and set(number[true == 0].tolist()) == {0}


@pytest.mark.parametrize("size", [0.2, 2.5])
def test_a_body_of_no_human_size_is_unassigned(size):
    rig = ring_rig(CAMERAS)
    xyz = standing(1)
    middle = xyz.mean(1, keepdims=True)
    number, _, _ = associate(seen_by(rig, middle + size * (xyz - middle), noise_px=0.5, stated_px=0.5)[0], rig)
    assert (number == -1).all()
    assert (associate(seen_by(rig, xyz, noise_px=0.5, stated_px=0.5)[0], rig)[0] == 0).all()


def test_a_new_body_at_the_position_of_a_tracked_one_is_unassigned():
    """A second set of rows of a tracked person, shifted by 5 cm, is no second person."""
    rig, xyz = ring_rig(CAMERAS), standing(1)
    _, _, people = associate(seen_by(rig, xyz)[0], rig)
    both, true = seen_by(rig, np.concatenate([xyz, xyz + 0.05]), noise_px=1.0)
    number, _, after = associate(both, rig, people.predicted(0.04, KIND.torso))
    assert len(after) == 1 and (number[true == 0] == 0).mean() > 0.5 and set(number.tolist()) <= {0, -1}


def test_evidence_needed_is_a_setting():
    rig = ring_rig(CAMERAS)
    rows, _ = seen_by(rig, standing(1), views=[0, 1])
    assert (associate(rows, rig)[0] == 0).all()
    assert (associate(rows, rig, config=replace(CONFIG, start_nats=1000.0))[0] == -1).all()
    assert (associate(rows, rig, config=replace(CONFIG, miss_nats=100.0))[0] == -1).all(), "three views do not see them"


def test_a_person_tracked_twice_by_single_views_becomes_one():
    """Two tracked bodies, each seen by a single view and of unknown depth, are one person."""
    rig, xyz = ring_rig(CAMERAS), standing(1)
    rows, _ = seen_by(rig, xyz, noise_px=0.5, views=[0, 2])
    rays = BodyRays.of(rows, rig)
    along = rays.direction[:, :, :, None] * rays.direction[:, :, None, :]
    cov = 0.02**2 * np.eye(3) + 0.5 * along
    shift = 0.7 * rays.direction
    people = no_people(rig)
    people = replace(
        people, ident=np.array([0, 1]), next_ident=2, xyz=xyz + shift * np.array([1, -1])[:, None, None],
        cov=cov, velocity=np.zeros((2, 3)), seen_s=np.zeros(2), time_s=0.04,
    )  # fmt: skip
    assert people.lost(KIND.torso).all()
    number, _, after = associate(rows, rig, people)
    assert number.tolist() == [0, 0] and after.ident.tolist() == [0], "the older number, not a third one"
    assert np.linalg.norm(after.xyz[0] - xyz[0], axis=-1).max() < 0.05


@given(seeds)
@settings(derandomize=True, max_examples=8, deadline=None)
def test_the_order_of_rows_does_not_change_the_groups(seed):
    rig = ring_rig(4)
    rows, _ = seen_by(rig, standing(3), noise_px=6.0, seed=seed % 100)
    order = np.random.default_rng(seed).permutation(len(rows))
    one, other = associate(rows, rig)[0], associate(rows[order], rig)[0]
    pairs = {(int(a), int(b)) for a, b in zip(one[order], other, strict=True)}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def test_the_error_of_a_calibration_grows_with_frames():
    rig, xyz = ring_rig(CAMERAS), standing(2)
    people = no_people(rig, 1e-5)
    for frame in range(5):
        rows, _ = seen_by(rig, xyz, noise_px=0.5, seed=frame, stated_px=0.5)
        _, _, people = associate(rows, rig, people.predicted(0.04 * frame, KIND.torso))
    assert (people.calibration < 1e-5).all() and people.frames == 5


# --- evidence of rows for their own bodies ---------------------------------------------------------------------------


def test_evidence_for_the_own_body_is_for_that_of_the_other_rows():
    rig = ring_rig(CAMERAS)
    rows, group = seen_by(rig, standing(2), noise_px=0.5)
    rays = BodyRays.of(rows, rig)
    bodies, evidence = evidence_for_groups(rays, group, unknown_bodies(2, len(KIND)))
    for row in (0, 3, 7):
        rest = np.where(np.arange(len(group)) == row, -1, group)
        others = estimate_bodies(rays, rest, unknown_bodies(2, len(KIND)))
        apart = body_evidence(rays, others.xyz, others.cov, others.known)
        np.testing.assert_allclose(evidence[row, group[row]], apart[row, group[row]], atol=0.1)
        other = 1 - group[row]
        whole = body_evidence(rays, bodies.xyz, bodies.cov, bodies.known)
        np.testing.assert_array_equal(evidence[row, other], whole[row, other])
    total = body_total(evidence)
    assert (total[np.arange(len(group)), group] > 3).all() and (total[np.arange(len(group)), 1 - group] < 0).all()


def test_a_row_that_is_of_another_body_is_seen_not_to_fit():
    rig = ring_rig(CAMERAS)
    rows, group = seen_by(rig, standing(2))
    wrong = group.copy()
    wrong[:2] = wrong[:2][::-1]
    _, evidence = evidence_for_groups(BodyRays.of(rows, rig), wrong, unknown_bodies(2, len(KIND)))
    total = body_total(evidence)
    assert (total[:2].argmax(1) == group[:2]).all() and (total[[0, 1], wrong[:2]] < 0).all()


# --- the first guess of a calibration --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quality", "low", "high"), [("good", 0, 0.003), ("fair", 0.0015, 0.009), ("bad", 0.003, 0.033)]
)
def test_the_first_guess_is_of_the_size_of_the_error(quality, low, high):
    rig = ring_rig(CAMERAS)
    frames = [
        BodyRays.of(seen_by(rig, standing(3), 0.5, seed, stated_px=0.5)[0], disturbed(rig, quality))
        for seed in range(2)
    ]
    angle = np.sqrt(initial_calibration_variance(frames, CAMERAS))
    assert angle.shape == (CAMERAS,) and (angle == angle[0]).all() and low <= angle[0] <= high


def test_of_nothing_the_first_guess_is_a_perfect_calibration():
    assert initial_calibration_variance([], 3).tolist() == [0, 0, 0]
    rig = ring_rig(3)
    alone = BodyRays.of(seen_by(rig, standing(2), views=[1])[0], rig)
    assert initial_calibration_variance([alone], 3).tolist() == [0, 0, 0]


# --- affinities ------------------------------------------------------------------------------------------------------


def affinities(bodies, rows=None):
    bodies = np.asarray(bodies, float)
    return Affinities(np.full((len(bodies),) * 2, -5.0) if rows is None else np.asarray(rows, float), bodies)


def test_a_frame_is_decided_where_every_row_certainly_has_one_body_or_none():
    assert affinities([[5, -5], [-5, 5]]).decided
    assert affinities([[5, -5], [-5, -5]]).decided, "the second certainly is unassigned"
    assert not affinities([[5, -5], [-5, 1]]).decided
    assert not affinities([[5, 5]]).decided, "it fits two"
    assert not affinities([[-5, -5], [-5, -5]], [[0, 3], [3, 0]]).decided, "two rows of a new person"
    assert affinities(np.zeros((0, 0))).decided, "a frame without rows"
    assert affinities(np.zeros((1, 0))).decided and not affinities(np.zeros((2, 0)), [[0, 1], [1, 0]]).decided
