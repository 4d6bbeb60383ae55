"""Bodies fitted to joints: derivatives, what comes back from noisy joints, limits of hinges, and motion over time."""

import numpy as np
import posed_bodies
import pytest

from mvcap.body_fitting import take_meshes
from mvcap.body_fitting.motion_fit import MotionCost, fit_motion
from mvcap.body_fitting.pose_fit import Measured, first_pose, fit_poses, pose_residuals, trunk_known
from mvcap.body_fitting.pose_prior import pose_prior, posed_groups
from mvcap.body_fitting.posed_joints import Pose, all_turns, rotations, scaled_shapes
from mvcap.body_fitting.shape_fit import fit_people, offset_basis
from mvcap.body_fitting.take_meshes import fitted_bodies, posed_runs
from mvcap.body_models import capsules
from mvcap.errors import InputError
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import SKELETONS, Skeleton

NOISE_M = 0.01
HALPE = SKELETONS["halpe26"]


@pytest.fixture(scope="module")
def body():
    return capsules.load()


@pytest.fixture(scope="module")
def walk(body):
    """Joints (T, 26, 3) m of a body of a shape, its poses, and the shape."""
    model = posed_bodies.joint_model(body, HALPE.joints)
    shape = np.random.default_rng(3).normal(0, 0.8, len(model.heads_basis))
    pose = posed_bodies.random_poses(body, 40)
    return model.place(pose, shape, np.zeros((26, 3)))[0], pose, shape


def numeric(function, count, step=1e-6):
    """Derivative (..., P) of a function of P numbers at zero."""
    return np.stack([(function(step * one) - function(-step * one)) / (2 * step) for one in np.eye(count)], -1)


def test_derivatives_are_those_of_differences(body):
    model = posed_bodies.joint_model(body)
    rng = np.random.default_rng(0)
    shape, offset = rng.normal(size=len(model.heads_basis)), rng.normal(0, 0.02, (len(body.joint_names), 3))
    pose = posed_bodies.random_poses(body, 3)
    joints, turn, at = model.place(pose, shape, offset)
    steps = 6 + 3 * len(model.groups)
    by_pose = numeric(lambda step: model.place(pose.moved(np.tile(step, (3, 1))), shape, offset)[0], steps)
    np.testing.assert_allclose(model.by_pose(pose, joints, turn, at), by_pose, atol=1e-7)
    by_shape = numeric(lambda step: model.place(pose, shape + step, offset)[0], len(shape))
    np.testing.assert_allclose(model.by_shape(turn), by_shape, atol=1e-7)
    measured = Measured.of(joints + 0.01, np.full(joints.shape[:2], 1e-4))
    prior = pose_prior(body, model.groups)
    bent = Pose(pose.rotation, pose.root, pose.turn * 2.5)  # some hinges are beyond their limits
    assert (prior.residuals(bent.turn)[0].reshape(3, -1, 4)[..., 3] != 0).any()

    def residuals(step):
        return pose_residuals(model, prior, measured, bent.moved(np.tile(step, (3, 1))), shape, offset)[0]

    slope = pose_residuals(model, prior, measured, bent, shape, offset)[1]
    np.testing.assert_allclose(slope, numeric(residuals, steps), atol=1e-4)


def test_noisy_joints_give_the_body_back(body, walk):
    joints, pose, shape = walk
    rng = np.random.default_rng(0)
    noisy = joints + rng.normal(0, NOISE_M, joints.shape)
    measured = Measured.of(noisy, np.full(noisy.shape[:2], NOISE_M**2))
    fitted = fit_people(body, HALPE.joints, {1: measured})
    found = fitted.poses(1, measured, 1e3 * np.arange(40))
    back = fitted.joints(1, found) - joints
    assert np.sqrt((back**2).sum(-1).mean()) < 0.75 * np.sqrt(3) * NOISE_M
    big = scaled_shapes(body)
    groups = posed_groups(body)
    surface = [[big.skin(turns, root, big.vertices.at(form), big.heads.at(form))
                for turns, root in zip(all_turns(big, groups, one), one.root, strict=True)]
               for one, form in ((found, fitted.shapes[1]), (pose, shape))]  # fmt: skip
    assert np.linalg.norm(np.subtract(*surface), axis=-1).mean() < 0.025


def test_joint_definitions_are_learnt_from_several_people(body):
    """Hips that a detector places 25 mm outwards and shoulders 20 mm down come back as offsets."""
    model = posed_bodies.joint_model(body, HALPE.joints)
    offset = np.zeros((26, 3))
    for side, sign in (("left", 1), ("right", -1)):
        offset[HALPE.index(f"{side}_hip")] = 0.025 * sign, 0, 0
        offset[HALPE.index(f"{side}_shoulder")] = 0, 0, -0.02
    rng = np.random.default_rng(1)
    samples = {}
    for person in range(4):
        shape = rng.normal(0, 0.7, len(model.heads_basis))
        joints = model.place(posed_bodies.random_poses(body, 16, person), shape, offset)[0]
        samples[person] = Measured.of(joints + rng.normal(0, 0.003, joints.shape), np.full(joints.shape[:2], 1e-5))
    fitted = fit_people(body, HALPE.joints, samples)
    with_offsets = np.linalg.norm(fitted.offset - offset, axis=-1)
    assert with_offsets.mean() < 0.008 and with_offsets.max() < 0.02
    assert fitted.offset[HALPE.index("left_hip"), 0] > 0.012
    assert fitted.offset[HALPE.index("left_shoulder"), 2] < -0.008


def test_offsets_are_mirrored(body):
    basis = offset_basis(HALPE.joints)
    offset = basis @ np.random.default_rng(0).normal(size=basis.shape[-1])
    np.testing.assert_allclose(offset[HALPE.mirror], offset * (-1, 1, 1), atol=1e-12)
    assert np.abs(offset).min(1)[HALPE.index("nose")] == 0


def test_hinges_resist_beyond_their_limits_without_a_step(body):
    groups = posed_groups(body)
    prior = pose_prior(body, groups)
    knee = groups.index("left_shank")
    angles = np.linspace(-0.6, 3.2, 400)
    turn = np.zeros((400, len(groups), 3))
    turn[:, knee] = angles[:, None] * prior.axes[knee, 0]
    over = prior.residuals(turn)[0].reshape(400, -1, 4)[:, knee, 3]
    inside = (angles + prior.bend[knee] > -0.1) & (angles + prior.bend[knee] < 2.6)
    assert (over[inside] == 0).all() and over[0] < -3 and over[-1] > 3
    assert np.abs(np.diff(over)).max() < 0.11
    shank = capsules.load().joints.mean[[body.joint_names.index(f"left_{one}") for one in ("knee", "ankle")]]
    assert (rotations(1.0 * prior.axes[knee, 0]) @ (shank[1] - shank[0]))[1] > 0.3  # a bent knee: heel behind


@pytest.mark.parametrize("lift", [0.0, 2.4])
def test_arms_are_found_from_the_closed_form_start(body, walk, lift):
    """Arms raised over the head, and a body that faces any way: joints are met from the start in closed form."""
    model = posed_bodies.joint_model(body, HALPE.joints)
    groups = model.groups
    turn = np.zeros((8, len(groups), 3))
    turn[:, groups.index("left_arm")] = 0, -0.9 * lift / 2.4 * 1.5, 0
    turn[:, groups.index("right_arm")] = 0, 0.9 * lift / 2.4 * 1.5, 0
    facing = np.stack([np.zeros(8), np.zeros(8), np.linspace(-3, 3, 8)], -1)
    pose = Pose(rotations(facing), np.ones((8, 3)), turn)
    shape, offset = np.zeros(len(model.heads_basis)), np.zeros((26, 3))
    joints = model.place(pose, shape, offset)[0]
    measured = Measured.of(joints, np.full(joints.shape[:2], 1e-4))
    start = model.place(first_pose(model, measured, shape, offset), shape, offset)[0]
    assert np.linalg.norm(start - joints, axis=-1).max() < 0.06
    found = model.place(fit_poses(model, pose_prior(body, groups), measured, shape, offset), shape, offset)[0]
    assert np.linalg.norm(found - joints, axis=-1).max() < 0.01


def test_a_trunk_needs_joints_in_two_directions(body, walk):
    joints = walk[0][:4].copy()
    model = posed_bodies.joint_model(body, HALPE.joints)
    trunk = [HALPE.index(f"{side}_{part}") for part in ("hip", "shoulder") for side in ("left", "right")]
    trunk += [HALPE.index("neck"), HALPE.index("pelvis")]
    joints[1, trunk] = np.nan
    joints[2, [at for at in trunk if at not in (HALPE.index("neck"), HALPE.index("pelvis"))]] = np.nan
    joints[3, trunk[1]] = np.nan
    known = trunk_known(model, Measured.of(joints, np.full(joints.shape[:2], np.nan)))
    assert known.tolist() == [True, False, False, True]


@pytest.fixture(scope="module")
def motion(body):
    """Joints (T, 26, 3) m and poses of a body that moves smoothly, 60 frames at 25 a second."""
    from scipy.interpolate import CubicSpline

    model = posed_bodies.joint_model(body, HALPE.joints)
    keys = posed_bodies.random_poses(body, 5, 1)
    at = np.arange(60) / 25
    turn = CubicSpline(0.6 * np.arange(5), keys.turn)(at)
    pose = Pose(rotations(at[:, None] * (0.05, 0, 0.5)), at[:, None] * (0.6, 0.2, 0) + np.eye(3)[2], turn)
    return model.place(pose, np.zeros(len(model.heads_basis)), np.zeros((26, 3)))[0], pose


def fit_in_time(body, joints, seconds, before=None):
    model = posed_bodies.joint_model(body, HALPE.joints)
    form = np.zeros(len(model.heads_basis)), np.zeros((26, 3))
    measured = Measured.of(joints, np.full(joints.shape[:2], NOISE_M**2))
    return model, fit_motion(model, pose_prior(body, model.groups), measured, form, seconds, before)


def surfaces(body, model, pose):
    turns = all_turns(body, model.groups, pose)
    return np.stack([body.skin(*one, body.vertices.mean, body.heads.mean)
                     for one in zip(turns, pose.root, strict=True)])  # fmt: skip


def test_frames_around_tell_what_a_frame_does_not(body, motion):
    """Feet whose ankles and toes come and go, one of them far off at times, move as they do in truth."""
    joints, pose = motion
    rng = np.random.default_rng(0)
    noisy = joints + rng.normal(0, NOISE_M, joints.shape)
    foot = [HALPE.index(f"right_{part}") for part in ("ankle", "heel", "big_toe", "small_toe")]
    for first, joint in enumerate(foot):
        noisy[10 + first :: 4, joint] = np.nan
    noisy[20::9, foot[2]] += 0.2
    model, found = fit_in_time(body, noisy, np.arange(60) / 25)
    apart = fit_in_time(body, noisy, 1e4 * np.arange(60))[1]
    mine = np.array([body.groups[bone][0] == "right_foot" for bone in body.bone_of[:, 0]])
    truth, coupled, single = (surfaces(body, model, one)[:, mine] for one in (pose, found, apart))
    most = [np.linalg.norm(np.diff(one, axis=0), axis=-1).max() for one in (truth, coupled, single)]
    assert most[1] < most[0] + 0.05 < most[2]
    error, before = (np.linalg.norm(one - truth, axis=-1).mean() for one in (coupled, single))
    assert error < 0.02 and error < 0.7 * before


def test_a_limb_that_is_not_seen_turns_from_where_it_was_to_where_it_is(body, motion):
    joints = motion[0]
    lost = joints.copy()
    lost[30:36, [HALPE.index(f"left_{part}") for part in ("elbow", "wrist")]] = np.nan
    model, found = fit_in_time(body, lost, np.arange(60) / 25)
    arm = found.turn[29:37, model.groups.index("left_arm")]
    np.testing.assert_allclose(arm, np.linspace(arm[0], arm[-1], 8), atol=0.03)
    assert np.linalg.norm(np.diff(arm, axis=0), axis=-1).max() < 0.3


def test_the_gradient_of_motion_is_that_of_differences(body, motion):
    joints, pose = motion
    model = posed_bodies.joint_model(body, HALPE.joints)
    form = np.zeros(len(model.heads_basis)), np.zeros((26, 3))
    measured = Measured.of(joints[:4] + 0.01, np.full((4, 26), 1e-4))
    earlier = Pose(pose.rotation[:1], pose.root[:1] + 0.1, 0.9 * pose.turn[:1]), -0.1
    for before in (None, earlier):
        motion_cost = MotionCost(model, pose_prior(body, model.groups), measured, form, np.arange(4) / 25, before)
        slope = motion_cost.at(pose[:4])[1]

        ways = np.random.default_rng(1).normal(size=(5, *slope.shape))

        def cost(step, at=motion_cost, ways=ways):
            return at.at(pose[:4].moved(np.tensordot(step, ways, 1)))[0]

        np.testing.assert_allclose(2 * (ways * slope).sum((1, 2)), numeric(cost, 5), rtol=1e-3)


def test_a_window_continues_the_pose_before_it(body, motion):
    joints = motion[0]
    whole = fit_in_time(body, joints, np.arange(60) / 25)[1]
    later = fit_in_time(body, joints[30:], np.arange(30, 60) / 25, (whole[29:30], 29 / 25))[1]
    np.testing.assert_allclose(later.turn, whole.turn[30:], atol=0.03)
    np.testing.assert_allclose(later.root, whole.root[30:], atol=2e-3)


def test_a_take_in_chunks_is_the_take_as_a_whole(body, motion, monkeypatch):
    monkeypatch.setattr(take_meshes, "_KEPT", 20)
    monkeypatch.setattr(take_meshes, "_AHEAD", 8)
    joints = motion[0].copy()
    joints[10:14, HALPE.index("left_wrist")] = np.nan
    joints[20, HALPE.joints.index("nose") :] = np.nan
    whole = Poses3D.from_dense(joints[:, None], HALPE)

    def chunks():
        return [whole[(whole.frame >= first) & (whole.frame < first + 7)] for first in range(0, 60, 7)]

    bodies = fitted_bodies(body, HALPE, chunks)
    assert bodies.frames[1].tolist() == [frame for frame in range(60) if frame != 20]
    once, parts = (list(posed_runs(bodies, one, 25.0)) for one in (lambda: [whole], chunks))
    assert [len(run.frames) for run in parts] == [20, 20, 19]
    for one, other in zip(once, parts, strict=True):
        np.testing.assert_array_equal(one.frames, other.frames)
        np.testing.assert_array_equal(one.turns, other.turns)
    monkeypatch.setattr(take_meshes, "_KEPT", 100)
    [long] = posed_runs(bodies, chunks, 25.0)
    np.testing.assert_allclose(np.concatenate([run.root for run in parts]), long.root, atol=5e-3)
    assert np.median(long.distance) < 0.01


def test_a_chosen_frame_is_the_only_one(body, walk):
    poses = Poses3D.from_dense(walk[0][:, None], HALPE)
    bodies = fitted_bodies(body, HALPE, lambda: [poses], lambda frame: frame == 5)
    [run] = posed_runs(bodies, lambda: [poses], 25.0)
    assert run.frames.tolist() == [5] and bodies.left_out == 0


def test_poses_without_trunks_are_refused(body, walk):
    joints = walk[0].copy()
    joints[:, [HALPE.index("left_hip"), HALPE.index("right_hip"), HALPE.index("pelvis")]] = np.nan
    joints[:, HALPE.index("right_shoulder")] = np.nan
    lost = Poses3D.from_dense(joints[:, None], HALPE)
    with pytest.raises(InputError, match="hips and shoulders"):
        fitted_bodies(body, HALPE, lambda: [lost])
    hands = Skeleton("hands", ("left_wrist", "right_wrist"), np.zeros((0, 2), np.int64))
    with pytest.raises(InputError, match="has no left_hip"):
        fitted_bodies(body, hands, lambda: [])
