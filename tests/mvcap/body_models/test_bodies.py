"""Body models: surfaces are closed, SMPL's layout is read as its paper says, and nothing in a file is executed."""

import pickle

import made_up_smpl
import numpy as np
import pytest

from mvcap.body_models import anny, capsules, smpl
from mvcap.body_models.smpl_parameters import SmplFiles, load_smpl_parameters
from mvcap.errors import InputError
from mvcap.structures.skinned_body import GROUPS, carrier


def volume_m3(vertices, faces):
    return np.linalg.det(vertices[faces]).sum() / 6


def open_edges(faces):
    """Edges that are not of two triangles, one in each direction."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    held = {tuple(edge) for edge in edges.tolist()}
    return [edge for edge in held if edge[::-1] not in held] + [None] * (len(edges) - len(held))


def check(body):
    """What holds of every body: weights sum to 1, parents come first, both sides are mirror images."""
    np.testing.assert_allclose(body.weight.sum(1), 1, atol=1e-9)
    assert all(parent < bone for bone, parent in enumerate(body.parents)) and body.parents[0] == -1
    assert set(body.group_bones) == set(GROUPS)
    at = dict(zip(body.joint_names, body.joints.mean, strict=True))
    for name, place in at.items():
        if name.startswith("left_"):
            np.testing.assert_allclose(place * (-1, 1, 1), at[name.replace("left", "right")], atol=0.004)
            assert place[0] > 0
    assert at["neck"][2] > at["pelvis"][2] > at["left_knee"][2] > at["left_ankle"][2]


def test_capsules_are_a_closed_body_of_a_persons_size():
    body = capsules.load()
    check(body)
    assert open_edges(body.faces) == []
    assert 0.05 < volume_m3(body.vertices.mean, body.faces) < 0.1
    assert 1.6 < np.ptp(body.vertices.mean[:, 2]) < 1.8


def test_a_coefficient_of_capsules_stretches_its_limb_and_carries_what_is_beyond():
    body = capsules.load()
    thigh = next(row for row in range(len(body.joints.basis))
                 if np.abs(body.joints.basis[row, body.joint_names.index("left_knee")]).max() > 0.03
                 and np.abs(body.joints.basis[row, body.joint_names.index("left_hip")]).max() == 0)  # fmt: skip
    longer = body.joints.at(np.eye(len(body.joints.basis))[thigh]) - body.joints.mean
    for name, moved in zip(body.joint_names, longer, strict=True):
        beyond = carrier(name).rpartition("_")[2] in ("thigh", "shank", "foot")
        np.testing.assert_allclose(moved, (0, 0, -0.042) if beyond else 0, atol=1e-9, err_msg=name)


def test_a_capsule_points_outwards():
    points, faces = capsules.capsule(np.zeros(3), 0.1, np.array([0, 0, 1.0]), 0.05)
    assert open_edges(faces) == [] and volume_m3(points, faces) > 0.01
    np.testing.assert_allclose([points[:, 2].min(), points[:, 2].max()], [-0.1, 1.05])


def test_smpl_is_posed_as_its_paper_says(tmp_path):
    body = smpl.load(made_up_smpl.save(tmp_path / "body.npz"))
    check(body)
    from scipy.spatial.transform import Rotation

    turns = Rotation.from_rotvec(np.random.default_rng(1).normal(0, 0.4, (24, 3))).as_matrix()
    turn = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # y up to z up
    root = np.array([0.3, 1.0, -0.2])
    found = body.skin(turn @ turns @ turn.T, turn @ root, body.vertices.mean, body.heads.mean)
    np.testing.assert_allclose(found @ turn, made_up_smpl.posed(made_up_smpl.arrays(), turns, root), atol=1e-12)


def test_shapes_of_smpl_move_joints_with_the_surface(tmp_path):
    body = smpl.load(made_up_smpl.save(tmp_path / "body.npz", posedirs=None))
    assert body.pose_basis is None
    tall = body.heads.at(np.array([2.0, 0, 0]))
    np.testing.assert_allclose(tall, body.heads.mean * (1, 1, 1.1), atol=1e-9)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"weights": None}, "no weights"),
        ({"v_template": np.zeros((5, 2))}, "v_template"),
        ({"shapedirs": np.zeros((7, 3, 2))}, "shapedirs"),
        ({"f": np.array([[0, 1, 999]])}, "f names vertices"),
        ({"weights": np.zeros((144, 24))}, "weights"),
        ({"J_regressor": np.full((24, 144), np.nan)}, "not finite"),
        ({"kintree_table": np.stack([np.arange(24), np.arange(24)])}, "kintree_table"),
        ({"kintree_table": np.zeros((2, 5), int)}, "5 joints"),
        ({"posedirs": np.zeros((144, 3, 9))}, "posedirs"),
        ({"v_template": np.array([{"a": 1}], object)}, "Python objects"),
    ],
)
def test_other_files_than_smpls_are_refused_in_a_line(tmp_path, changed, words):
    path = made_up_smpl.save(tmp_path / "body.npz", **changed)
    with pytest.raises(InputError, match=words) as fault:
        smpl.load(path)
    assert "\n" not in str(fault.value) and str(path) in str(fault.value)


class Bomb:
    def __reduce__(self):
        return open, ("exploded", "w")


def test_pickles_are_not_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "basic.pkl").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError, match=r"not read; convert it once.*numpy\.savez"):
        smpl.load(tmp_path / "basic.pkl")
    assert not (tmp_path / "exploded").exists()


def test_files_are_for_smpl(tmp_path):
    with pytest.raises(InputError, match="--smpl FILE"):
        smpl.load()
    with pytest.raises(InputError, match="check the path"):
        smpl.load(tmp_path / "none.npz")
    for other in (capsules, anny):
        with pytest.raises(InputError, match="reads no file"):
            other.load(tmp_path / "body.npz")


def test_principal_shapes_have_a_deviation_of_one():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(3, 8, 3))
    share = rng.normal(size=(400, 3))
    points = np.tensordot(share, true, 1) + 2.0
    first, second = anny.principal_shapes([points, points[:, :2]], 3)
    spread = points.reshape(400, -1).std(0, ddof=1)
    np.testing.assert_allclose(np.sqrt((first.basis.reshape(3, -1) ** 2).sum(0)), spread, rtol=1e-6)
    np.testing.assert_allclose(second.basis, first.basis[:, :2], atol=1e-9)


def test_anny_is_a_linear_body_of_adults():
    pytest.importorskip("anny", reason="the body needs the package anny (extra generate)")
    body = anny.load()
    check(body)
    assert open_edges(body.faces) == []
    assert 0.05 < volume_m3(body.vertices.mean, body.faces) < 0.08
    heights = [np.ptp(body.vertices.at(share * np.eye(10)[0])[:, 2]) for share in (-1, 0, 1)]
    assert 1.6 < heights[1] < 1.8 and 0.08 < abs(heights[2] - heights[0]) / 2 < 0.15


@pytest.fixture
def parameters(tmp_path):
    """A body, its shape, poses (5), and the file of their parameters, written in two parts."""
    from scipy.spatial.transform import Rotation

    body = smpl.load(made_up_smpl.save(tmp_path / "body.npz"))
    rng = np.random.default_rng(2)
    turns, root = Rotation.from_rotvec(rng.normal(0, 0.5, (120, 3))).as_matrix(), rng.normal(size=(5, 3))
    turns, betas = turns.reshape(5, 24, 3, 3), np.array([1.0, -0.5, 2.0])
    with SmplFiles(tmp_path / "out", body, {2: (betas, np.arange(10, 20, 2))}, 25.0) as files:
        files.write(2, turns[:3], root[:3])
        files.write(2, turns[3:], root[3:])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["person_002.npz"]
    return body, betas, turns, root, tmp_path / "out" / "person_002.npz"


def test_parameters_of_smpl_mean_what_its_paper_says(parameters):
    """Vertices by the paper's formulas from the arrays of the file, in the file's axes, are those of the world."""
    from scipy.spatial.transform import Rotation

    body, betas, turns, root, path = parameters
    held, arrays = made_up_smpl.arrays(), np.load(path)
    assert set(arrays) == {"betas", "global_orient", "body_pose", "transl", "frame", "rate_hz"}
    assert arrays["body_pose"].shape == (5, 69) and arrays["frame"].tolist() == [10, 12, 14, 16, 18]
    shaped = {**held, "v_template": held["v_template"] + held["shapedirs"] @ arrays["betas"]}
    first = held["J_regressor"][0] @ shaped["v_template"]
    for at in range(5):
        vectors = np.concatenate([arrays["global_orient"][at], arrays["body_pose"][at]]).reshape(24, 3)
        local = Rotation.from_rotvec(vectors).as_matrix()
        truth = made_up_smpl.posed(shaped, local, first + arrays["transl"][at])
        found = body.skin(turns[at], root[at], body.vertices.at(betas), body.heads.at(betas))
        np.testing.assert_allclose(found, truth, atol=1e-5)


def test_parameters_of_smpl_are_read_back(parameters):
    body, betas, turns, root, path = parameters
    found = load_smpl_parameters(path)
    for one, other in zip(found.poses(body), (turns, root), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    np.testing.assert_allclose(found.rest(body)[1], body.heads.at(betas), atol=1e-6)
    assert found.rate_hz == 25 and found.frame.tolist() == [10, 12, 14, 16, 18]
    with pytest.raises(InputError, match="not of this body"):
        found.poses(capsules.load())


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"betas": None}, "no betas"), ({"transl": np.zeros((4, 3))}, "transl"), ({"rate_hz": np.nan}, "not finite")],
)
def test_other_files_than_parameters_are_refused_in_a_line(parameters, changed, words):
    path = parameters[-1]
    held = {**np.load(path), **changed}
    np.savez(path, **{name: values for name, values in held.items() if values is not None})
    with pytest.raises(InputError, match=words) as fault:
        load_smpl_parameters(path)
    assert "\n" not in str(fault.value) and str(path) in str(fault.value)


def test_an_interrupted_file_of_parameters_leaves_nothing(tmp_path):
    body = smpl.load(made_up_smpl.save(tmp_path / "body.npz"))
    people = {1: (np.zeros(3), np.arange(2))}
    with pytest.raises(KeyboardInterrupt), SmplFiles(tmp_path / "out", body, people, 25.0):
        raise KeyboardInterrupt
    assert not list((tmp_path / "out").iterdir())
    with pytest.raises(InputError, match="not of the body capsules"):
        SmplFiles(tmp_path / "out", capsules.load(), people, 25.0)
