"""Bodies fitted to joints: derivatives, what comes back from noisy joints, limits of hinges, and missing limbs."""

import numpy as np
import posed_bodies
import pytest

from mvcap.body_fitting.pose_fit import Measured, first_pose, fit_poses, pose_residuals, trunk_known
from mvcap.body_fitting.pose_prior import pose_prior, posed_groups
from mvcap.body_fitting.posed_joints import Pose, all_turns, rotations, scaled_shapes
from mvcap.body_fitting.shape_fit import fit_people, offset_basis
from mvcap.body_fitting.take_meshes import bridged, fitted_bodies, posed_runs
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
    found = fitted.poses(1, measured)
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


def test_missing_limbs_keep_their_rotation_between_frames():
    turn = np.arange(10.0)[:, None, None] * np.ones((10, 2, 3))
    turn[4:7, 1] = 99
    known = np.ones((10, 2), bool)
    known[4:7, 1] = False
    np.testing.assert_allclose(bridged(turn, known, np.arange(10), None), np.arange(10.0)[:, None, None] + 0 * turn)
    known[:4, 1] = known[7:, 1] = False
    held = bridged(turn, known, np.arange(10), np.full((2, 3), -1.0))
    np.testing.assert_allclose(held[:, 1], -1)
    np.testing.assert_allclose(held[:, 0, 0], np.arange(10.0))


def test_a_take_in_chunks_is_the_take_as_a_whole(body, walk):
    joints = walk[0].copy()
    joints[10:14, HALPE.index("left_wrist")] = np.nan
    joints[20, HALPE.joints.index("nose") :] = np.nan
    whole = Poses3D.from_dense(joints[:, None], HALPE)

    def chunks():
        return [whole[(whole.frame >= first) & (whole.frame < first + 7)] for first in range(0, 40, 7)]

    bodies = fitted_bodies(body, HALPE, chunks)
    assert bodies.frames[1].tolist() == [frame for frame in range(40) if frame != 20]
    once, parts = (list(posed_runs(bodies, one)) for one in (lambda: [whole], chunks))
    np.testing.assert_array_equal(np.concatenate([run.frames for run in parts]), once[0].frames)
    np.testing.assert_allclose(np.concatenate([run.root for run in parts]), once[0].root, atol=1e-4)
    assert np.median(once[0].distance) < 0.01


def test_a_chosen_frame_is_the_only_one(body, walk):
    poses = Poses3D.from_dense(walk[0][:, None], HALPE)
    bodies = fitted_bodies(body, HALPE, lambda: [poses], lambda frame: frame == 5)
    [run] = posed_runs(bodies, lambda: [poses])
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
