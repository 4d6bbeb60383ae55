"""Constraints from a body's build: gradients against finite differences, and where a constraint is inactive."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_take import COCO, body

from mvcap.refinement.body_constraints import (
    BoneLengths,
    add_bones,
    add_floor,
    add_limits,
    add_usual_places,
    bone_lengths,
    floor_at_zero,
    solve_order,
    usual_places_of,
)
from mvcap.structures.anthropometry import FOLDED_COSINE, HYPEREXTENDED_SINE, limb_lengths, typical_limbs
from mvcap.structures.body_frame import CORNERS
from mvcap.structures.skeleton import SKELETONS, Skeleton, skeleton

RATE_HZ = 50.0
JOINTS = len(COCO)
ALL = np.arange(JOINTS)
seeds = st.integers(0, 2**32 - 1)
EXACT = np.zeros((1, JOINTS))
UP = np.array([0, 0, 1.0])


def poses(frames=3, seed=0, noise_m=0.05):
    xyz = np.stack([body(0.1 * frame, (0, 0, 1.2, 0.3, 0.8)) for frame in range(frames)])
    return xyz + np.random.default_rng(seed).normal(0, noise_m, xyz.shape)


def equations(add, x, joints=ALL):
    """Blocks (T, n, n) and right-hand sides (T, n) that a constraint adds."""
    size = 3 * len(joints)
    blocks, right = np.zeros((len(x), size, size)), np.zeros((len(x), size))
    add(blocks, right, x, joints)
    return blocks, right


def slope_of(cost, x, joints=ALL, step=1e-6):
    """Gradient (T, n) of a cost (T,) of joints (T, J, 3) by central differences."""
    out = np.zeros((len(x), 3 * len(joints)))
    for column in range(out.shape[1]):
        moved = np.zeros_like(x)
        moved[:, joints[column // 3], column % 3] = step
        out[:, column] = (cost(x + moved) - cost(x - moved)) / (2 * step)
    return out


def symmetric_and_positive(blocks):
    np.testing.assert_allclose(blocks, blocks.swapaxes(1, 2), atol=1e-8)
    return (np.linalg.eigvalsh(blocks) > -1e-6 * max(1.0, np.abs(blocks).max())).all()


# --- bones -----------------------------------------------------------------------------------------------------------

BONES = BoneLengths(COCO.limbs, typical_limbs(COCO), 0.01 + 0.002 * np.arange(len(COCO.limbs)))


def bone_cost(x, fixed=EXACT, joints=ALL):
    """Half the squared error of the lengths, over the variance of the length and of ends outside the part."""
    apart = np.linalg.norm(x[:, BONES.ends[:, 1]] - x[:, BONES.ends[:, 0]], axis=-1)
    outside = ~np.isin(BONES.ends, joints)
    variance = BONES.sigma_m**2 + (fixed[:, BONES.ends] * outside).sum(-1)
    return 0.5 * (np.where(outside.all(1), 0, (apart - BONES.length_m) ** 2) / variance).sum(1)


@given(seeds)
@settings(derandomize=True, max_examples=10, deadline=None)
def test_bones_pull_down_the_slope_of_their_cost(seed):
    x = poses(2, seed)
    blocks, right = equations(lambda *to: add_bones(*to[:3], EXACT, to[3], BONES), x)
    np.testing.assert_allclose(right, -slope_of(bone_cost, x), rtol=1e-5, atol=1e-3)
    assert symmetric_and_positive(blocks)
    pull = right.reshape(2, JOINTS, 3)
    np.testing.assert_allclose(pull.sum(1), 0, atol=1e-6)  # the body as a whole stays
    np.testing.assert_allclose(np.cross(x, pull).sum(1), 0, atol=1e-6)  # and does not turn


def test_information_of_bones_is_that_of_their_lengths():
    """Against slopes of the lengths by finite differences (Gauss-Newton)."""
    x = poses(1)
    blocks, _ = equations(lambda *to: add_bones(*to[:3], EXACT, to[3], BONES), x)
    expected = np.zeros_like(blocks[0])
    for (a, b), sigma in zip(BONES.ends, BONES.sigma_m, strict=True):
        slope = slope_of(lambda y, a=a, b=b: np.linalg.norm(y[:, b] - y[:, a], axis=-1), x)[0]
        expected += np.outer(slope, slope) / sigma**2
    np.testing.assert_allclose(blocks[0], expected, rtol=1e-5, atol=1e-3)


def test_an_end_that_is_solved_elsewhere_stays_and_its_uncertainty_loosens_the_bone():
    x, part = poses(2), np.array([COCO.index("left_wrist"), COCO.index("left_ankle")])
    fixed = np.zeros((2, JOINTS))
    fixed[:, [COCO.index("left_elbow"), COCO.index("left_knee")]] = 0.03**2
    blocks, right = equations(lambda *to: add_bones(*to[:3], fixed, to[3], BONES), x, part)
    assert blocks.shape == (2, 6, 6)
    np.testing.assert_allclose(right, -slope_of(lambda y: bone_cost(y, fixed, part), x, part), rtol=1e-5, atol=1e-3)
    tight, _ = equations(lambda *to: add_bones(*to[:3], EXACT, to[3], BONES), x, part)
    assert (np.trace(tight, axis1=1, axis2=2) > 5 * np.trace(blocks, axis1=1, axis2=2)).all()
    assert not blocks[:, :3, 3:].any(), "wrist and ankle share no bone"


def test_bones_of_the_right_length_pull_nothing_and_a_bone_of_no_length_is_survived():
    x = poses(1, noise_m=0)
    exact = BoneLengths(COCO.limbs, limb_lengths(COCO, x)[0], np.full(len(COCO.limbs), 0.01))
    np.testing.assert_allclose(equations(lambda *to: add_bones(*to[:3], EXACT, to[3], exact), x)[1], 0, atol=1e-9)
    x[0, COCO.index("left_wrist")] = x[0, COCO.index("left_elbow")]
    assert np.isfinite(equations(lambda *to: add_bones(*to[:3], EXACT, to[3], exact), x)[1]).all()


# --- how limbs bend --------------------------------------------------------------------------------------------------


def chain(bend, axis_sign=1.0, upper=0.42, lower=0.4):
    """A body whose left leg is bent by so much, radians: backwards, or forwards for an axis of the other sign."""
    x = body(0.0, (0, 0, 1.2, np.pi / 2 / 4.5, 0.8))[None].copy()
    hip, knee, ankle = (COCO.index(f"left_{part}") for part in ("hip", "knee", "ankle"))
    left = x[0, hip] - x[0, COCO.index("right_hip")]
    ahead = np.cross(left / np.linalg.norm(left), [0, 0, 1])
    x[0, knee] = x[0, hip] - np.array([0, 0, upper])
    x[0, ankle] = x[0, knee] + lower * (-axis_sign * np.sin(bend) * ahead - np.cos(bend) * np.array([0, 0, 1]))
    return x, left


def limits(x):
    return equations(lambda *to: add_limits(*to, COCO), x)


def limit_cost(left):
    """Half the sum of squares of what folds too far, and of knees that bend forwards, against the way to the left."""

    def cost(x):
        total = 0.0
        for side in ("left", "right"):
            for parts in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")):
                a, b, c = (x[:, COCO.index(f"{side}_{part}")] for part in parts)
                upper, lower = (one / np.linalg.norm(one, axis=-1, keepdims=True) for one in (b - a, c - b))
                total = total + np.minimum((upper * lower).sum(-1) - FOLDED_COSINE, 0) ** 2
                if parts[0] == "hip":
                    sine = (np.cross(upper, lower) * left).sum(-1)
                    total = total + np.minimum(sine + HYPEREXTENDED_SINE, 0) ** 2
        return 0.5 * total

    return cost


@pytest.mark.parametrize(("bend", "sign"), [(3.0, 1.0), (2.95, 1.0)])
def test_limits_push_down_the_slope_of_their_cost(bend, sign):
    x, left = chain(bend, sign)
    cost = limit_cost(left / np.linalg.norm(left))
    blocks, right = limits(x)
    slope = -slope_of(cost, x)
    assert np.abs(slope).max() > 0.01, "the limit is passed"
    ratio = (right * slope).sum() / (slope**2).sum()
    assert np.sqrt(1 / ratio) == pytest.approx(0.05, rel=0.01)  # deviation of sines and cosines
    np.testing.assert_allclose(right, ratio * slope, atol=0.01 * np.abs(right).max())
    assert symmetric_and_positive(blocks)


@pytest.mark.parametrize("bend", [0.2, 0.6, 1.2])
def test_a_knee_that_bends_forwards_is_pushed_back(bend):
    x, left = chain(bend, -1.0)
    cost = limit_cost(left / np.linalg.norm(left))
    blocks, right = limits(x)
    assert cost(x)[0] > 0 and symmetric_and_positive(blocks)
    small = x + 1e-3 * (right / np.abs(right).max()).reshape(1, JOINTS, 3)
    assert cost(small)[0] < cost(x)[0]
    leg = [COCO.index(f"left_{part}") for part in ("hip", "knee", "ankle")]
    pushed = right.reshape(JOINTS, 3)
    assert not np.delete(pushed, leg, axis=0).any()
    np.testing.assert_allclose(pushed.sum(0), 0, atol=1e-6)


@pytest.mark.parametrize(("bend", "sign"), [(0.0, 1.0), (0.1, -1.0), (1.0, 1.0), (2.6, 1.0)])
def test_human_joint_angles_are_not_limited(bend, sign):
    blocks, right = limits(chain(bend, sign)[0])
    assert not blocks.any() and not right.any()


def test_limits_need_the_whole_limb_in_the_part():
    x, _ = chain(3.0)
    part = np.array([COCO.index("left_knee"), COCO.index("left_ankle")])
    blocks, _ = equations(lambda *to: add_limits(*to, COCO), x, part)
    assert not blocks.any()


# --- the floor -------------------------------------------------------------------------------------------------------


def test_the_floor_pushes_up_what_is_below_it_and_nothing_else():
    x = poses(4)
    x[..., 2] -= 0.1
    blocks, right = equations(add_floor, x)

    def cost(y):
        return 0.5 * (np.minimum(y[..., 2], 0) ** 2).sum(1) / 0.01**2

    assert (x[..., 2] < 0).any()
    np.testing.assert_allclose(right, -slope_of(cost, x), rtol=1e-4, atol=1e-2)
    down = np.zeros((4, JOINTS, 3), bool)
    down[..., 2] = x[..., 2] < 0
    np.testing.assert_allclose(blocks, np.stack([np.diag(one.ravel() / 0.01**2) for one in down.astype(float)]))
    up = poses(2) + UP
    assert not equations(add_floor, up)[0].any()


def test_a_floor_is_where_feet_stand_on_zero():
    standing = np.stack([body(0.02 * frame, (0, 0, 1.2, 0.3, 0.8)) for frame in range(100)])
    standing[..., 2] += 0.05 - standing[..., 2].min(-1).min()
    assert floor_at_zero(COCO, standing)
    assert not floor_at_zero(COCO, standing + 0.3 * UP) and not floor_at_zero(COCO, standing - 0.3 * UP)
    rare = standing.copy()
    rare[::20] -= 0.5 * UP
    assert floor_at_zero(COCO, rare), "a tenth of the frames may be wrong"
    assert not floor_at_zero(COCO, np.full((5, JOINTS, 3), np.nan))
    assert not floor_at_zero(skeleton("mvor10"), np.zeros((5, 10, 3))), "it has no feet"


# --- lengths and order -----------------------------------------------------------------------------------------------


def test_limbs_have_the_lengths_given_and_soft_bones_those_of_the_window():
    x = poses(200, noise_m=0.003)
    given_ = limb_lengths(COCO, poses(1, noise_m=0))[0]
    variance, sigma = np.full(x.shape[:2], 0.003**2), np.full(len(given_), 0.02)
    bones = bone_lengths(COCO, given_, x, variance, sigma, RATE_HZ)
    count = len(given_)
    np.testing.assert_array_equal(bones.ends[:count], COCO.limbs)
    np.testing.assert_allclose(bones.length_m[:count], given_)
    together = np.sqrt(1 + 2 * 0.5 * RATE_HZ)  # a posture of half a second, and its errors with it
    np.testing.assert_allclose(bones.sigma_m[:count], 0.02 * given_ * together)
    assert {frozenset(pair) for pair in bones.ends.tolist()} == {frozenset(pair) for pair in COCO.bones.tolist()}
    true = np.linalg.norm(np.diff(poses(1, noise_m=0)[0][bones.ends[count:]], axis=1)[:, 0], axis=-1)
    np.testing.assert_allclose(bones.length_m[count:], true, atol=0.04)
    some = bones[np.arange(len(bones.ends)) < 3]
    assert len(some.ends) == len(some.length_m) == len(some.sigma_m) == 3


def test_what_was_never_seen_has_no_soft_bone_and_unknown_limbs_are_usual():
    x = poses(5)
    x[:, COCO.index("nose")] = np.nan
    count = len(COCO.limbs)
    bones = bone_lengths(COCO, np.full(count, np.nan), x, np.full(x.shape[:2], 1e-4), np.zeros(count), RATE_HZ)
    assert not (bones.ends == COCO.index("nose")).any()
    np.testing.assert_allclose(bones.length_m[:count], typical_limbs(COCO))
    assert (bones.sigma_m[:count] > 0.2 * bones.length_m[:count]).all()


def test_a_precise_frame_outweighs_vague_ones():
    x = np.repeat(poses(1, noise_m=0), 9, axis=0)
    ear = COCO.index("left_ear")
    x[1:, ear] += 0.2
    variance = np.full(x.shape[:2], 1.0)
    variance[0] = 1e-6
    count = len(COCO.limbs)
    bones = bone_lengths(COCO, np.full(count, 0.3), x, variance, np.zeros(count), RATE_HZ)
    at = [set(pair) == {ear, COCO.index("left_eye")} for pair in bones.ends.tolist()].index(True)
    assert bones.length_m[at] == pytest.approx(np.linalg.norm(x[0, ear] - x[0, COCO.index("left_eye")]))


@pytest.mark.parametrize("name", sorted(SKELETONS))
def test_every_joint_is_solved_once_and_limbs_first(name):
    kind = SKELETONS[name]
    x = np.random.default_rng(0).normal(size=(4, len(kind), 3))
    count = len(kind.limbs)
    bones = bone_lengths(kind, np.full(count, 0.3), x, np.ones(x.shape[:2]), np.zeros(count), RATE_HZ)
    order = solve_order(kind, bones)
    assert sorted(np.concatenate(order).tolist()) == list(range(len(kind)))
    limbs = set(kind.limbs.ravel().tolist())
    core = [bool(limbs & set(part.tolist())) for part in order]
    assert core[0] == bool(limbs) and limbs <= {
        at for part, inner in zip(order, core, strict=True) if inner for at in part
    }
    assert core == sorted(core, reverse=True)


def test_a_skeleton_without_bones_is_one_part():
    kind = Skeleton("points", ("a_one", "b_two"), np.zeros((0, 2), np.int64))
    bones = BoneLengths(np.zeros((0, 2), np.int64), np.zeros(0), np.zeros(0))
    (part,) = solve_order(kind, bones)
    assert part.tolist() == [0, 1]


# --- prior positions of joints ---------------------------------------------------------------------------------------


def prior(x, lost, share=1.0, kind=COCO):
    return usual_places_of(kind, np.full(len(kind.limbs), np.nan), lost, share, RATE_HZ)


def test_lost_joints_are_drawn_to_their_place_in_the_body_and_seen_ones_are_not():
    x = np.repeat(poses(1, noise_m=0), 3, axis=0)
    lost = np.zeros(x.shape[:2], bool)
    wrist = COCO.index("left_wrist")
    lost[1, wrist] = True
    places = prior(x, lost)
    blocks, right = equations(lambda *to: add_usual_places(*to, places), x)
    touched = np.zeros((3, JOINTS), bool)
    touched[1, wrist] = True
    np.testing.assert_array_equal(right.reshape(3, JOINTS, 3).any(-1), touched)
    own = slice(3 * wrist, 3 * wrist + 3)
    precision = blocks[1, own, own]
    np.testing.assert_allclose(precision, precision[0, 0] * np.eye(3))
    goal = x[1, wrist] + right[1, own] / precision[0, 0]
    torso = x[1, [COCO.index(name) for name in CORNERS]]
    assert np.linalg.norm(goal - torso.mean(0)) < 0.6
    left = torso[0] - torso[1]
    assert (goal - torso.mean(0)) @ left / np.linalg.norm(left) > 0.05, "the left wrist is on the left"


def test_the_place_goes_with_the_body_wherever_it_is_and_looks():
    x = np.repeat(poses(1, noise_m=0), 2, axis=0)
    lost = np.zeros(x.shape[:2], bool)
    lost[:, COCO.index("right_ankle")] = True
    own = slice(3 * COCO.index("right_ankle"), 3 * COCO.index("right_ankle") + 3)
    cos, sin = np.cos(1.1), np.sin(1.1)
    R = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    pulls = []
    for moved in (x, x @ R.T + [3, -2, 0]):
        places = prior(moved, lost)
        pulls.append(equations(lambda *to, places=places: add_usual_places(*to, places), moved)[1][0, own])
    np.testing.assert_allclose(pulls[1], pulls[0] @ R.T, rtol=1e-6)


def test_a_share_widens_the_prior_and_none_turns_it_off():
    x = poses(2)
    lost = np.ones(x.shape[:2], bool)
    one, two = prior(x, lost, 1.0), prior(x, lost, 2.0)
    np.testing.assert_allclose(two.sigma_m, 2 * one.sigma_m)
    assert prior(x, lost, 0.0) is None
    headless = Skeleton("part", ("nose", "left_eye"), np.zeros((0, 2), np.int64))
    assert usual_places_of(headless, np.zeros(0), lost[:, :2], 1.0, RATE_HZ) is None
    tall = usual_places_of(COCO, 1.1 * typical_limbs(COCO), lost, 1.0, RATE_HZ)
    np.testing.assert_allclose(tall.place_m, 1.1 * one.place_m)
