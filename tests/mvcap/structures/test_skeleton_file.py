"""Skeletons from a user's file: names, sides and body joints as said, kept in every file, or refused in one line."""

import numpy as np
import pytest

import mvcap
from mvcap.errors import InputError
from mvcap.structures.detection_table import write_detections_npz, write_detections_parquet
from mvcap.structures.detections import Detections2D
from mvcap.structures.joint_names import known_joint, side_pairs
from mvcap.structures.pose_file import load_poses, save_poses
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import SKELETONS, skeleton
from mvcap.structures.skeleton_file import load_skeleton, skeleton_of_names

LEGS = "joints: [lhip, rhip, LKnee, RKnee, prop_L, prop_R, tip]\n"


def written(tmp_path, text):
    path = tmp_path / "legs.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "joint"),
    [("LShoulder", "left_shoulder"), ("shoulder_r", "right_shoulder"), ("Left Elbow", "left_elbow"),
     ("rkne", "right_knee"), ("hip.L", "left_hip"), ("wristRight", "right_wrist"), ("MidHip", "pelvis"),
     ("left_ear", "left_ear"), ("ear", None), ("ankle1", None), ("hand_l", None), ("tail", None), ("", None)],
)  # fmt: skip
def test_names_of_other_programs_are_recognised(name, joint):
    assert known_joint(name) == joint


@pytest.mark.parametrize("kind", SKELETONS.values(), ids=lambda kind: kind.name)
def test_names_of_our_skeletons_mean_themselves_and_their_pairs_are_mirror_pairs(kind):
    assert [known_joint(joint) for joint in kind.joints] == list(kind.joints)
    for left, right in side_pairs(kind.joints):
        assert kind.mirror[kind.index(left)] == kind.index(right)


def test_a_list_of_names_is_enough(tmp_path):
    kind = mvcap.load_skeleton(written(tmp_path, LEGS))
    assert kind.name == "legs" and kind.joints[:4] == ("left_hip", "right_hip", "left_knee", "right_knee")
    assert kind.mirror.tolist() == [1, 0, 3, 2, 5, 4, 6]
    assert {frozenset(pair) for pair in kind.limbs.tolist()} == {frozenset(p) for p in ((0, 1), (0, 2), (1, 3))}
    assert kind.index("LKnee") == kind.index("left_knee") == 2 and kind.index("tip") == 6
    assert (kind.sigma > 0).all() and kind.torso.tolist() == [0, 1]


def test_what_the_file_says_counts(tmp_path):
    text = (
        "name: studio\njoints: [a, b, c, d]\nbody: {a: left_hip, b: right_hip}\nlimbs: [[a, c]]\nparents: {d: c}\n"
        "pairs: [[d, c]]\nroot: b\n"
    )
    kind = load_skeleton(written(tmp_path, text))
    assert kind.name == "studio" and kind.joints == ("left_hip", "right_hip", "c", "d") and kind.root == "right_hip"
    assert kind.bones.tolist() == [[0, 2], [2, 3]] and kind.mirror.tolist() == [1, 0, 3, 2]


def test_only_the_listed_joints_are_of_the_body(tmp_path):
    text = "joints: [lhip, rhip, left_knee, r_toe_marker]\nbody: [lhip, rhip]\n"
    kind = load_skeleton(written(tmp_path, text))
    assert kind.joints[:2] == ("left_hip", "right_hip") and not {"left_knee", "r_toe_marker"} & set(kind.joints)
    assert kind.index("left_knee") == 2 and kind.body.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "joints"), ("[]", "joints"), ("joints: 3", "list of names"), ("joints: []", "list of names"),
     ("joints: [a, a]", "twice"), ("joints: [[a]]", "list of names"), ("joints: [a, b]", "left_hip"),
     ("joint: [a]", "unknown key joint"), (LEGS + "limbs: [[tip, nose]]", "nose"), (LEGS + "limbs: [[tip]]", "pair"),
     (LEGS + "limbs: {tip: lhip}", "pairs of joints"), (LEGS + "parents: [tip]", "parents"),
     (LEGS + "pairs: [[tip, lhip], [tip, rhip]]", "two of the pairs"), (LEGS + "body: {lhip: hip}", "no known joint"),
     (LEGS + "body: {hip: left_hip}", "none of the joints"), (LEGS + "body: [tip]", "not known"),
     (LEGS + "body: 3", "body"), (LEGS + "root: nose", "root"), (LEGS + "joints: [a]", "twice"),
     ("joints: [lhip, l_hip, rhip]\nbody: {lhip: left_hip, l_hip: left_hip, rhip: right_hip}", "left_hip"),
     ("joints: &a [*a]", "YAML"), ("[" * 9000, "nested"), ("joints: !!python/name:os.system", "YAML")],
)  # fmt: skip
def test_a_wrong_skeleton_file_is_named_in_one_line(tmp_path, text, words):
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=words) as caught:
        load_skeleton(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 900


def test_a_skeleton_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml"):
        load_skeleton(tmp_path / "none.yaml")


def test_it_comes_back_from_poses_and_detections(tmp_path):
    from mvcap.estimation.detection_files import open_table

    kind = load_skeleton(written(tmp_path, LEGS + "limbs: [[tip, lhip]]\n"))
    again = skeleton(kind.stored_name)
    assert again == kind and again.bones.tolist() == kind.bones.tolist()
    xyz = np.random.default_rng(0).uniform(-1, 1, (3, 1, 7, 3))
    read = load_poses(save_poses(tmp_path / "poses.npz", Poses3D.from_dense(xyz, kind)))
    assert read.skeleton == kind and len(read) == 3
    rows = Detections2D.build(kind, 0, 0, np.full((2, 7, 2), 5.0), np.ones((2, 7)), 0.3)
    for write, name in ((write_detections_npz, "a.npz"), (write_detections_parquet, "a.parquet")):
        write(tmp_path / name, [rows], ("left",), kind)
        assert open_table(tmp_path / name).skeleton == kind


@pytest.mark.parametrize(
    "change", [('"joints": ', '"joint": '), ("[[6, 0]]", "[[6, 70]]"), ('"tip"', '"prop_L"'), ('"tip"', "[" * 5000)]
)
def test_a_damaged_stored_skeleton_is_refused(tmp_path, change):
    text = load_skeleton(written(tmp_path, LEGS + "limbs: [[tip, lhip]]\n")).stored_name
    assert change[0] in text
    with pytest.raises(InputError, match="stored skeleton is damaged"):
        skeleton(text.replace(*change))


def test_unknown_names_are_not_repeated_at_length():
    with pytest.raises(InputError) as caught:
        skeleton("x" * 5000)
    assert len(str(caught.value)) < 500


def test_names_without_hips_are_no_person():
    with pytest.raises(ValueError, match="right_hip"):
        skeleton_of_names("a", ["lhip", "tip"], {"lhip": "left_hip"})
