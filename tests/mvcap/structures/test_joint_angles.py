"""Joint angles against bodies that are posed at known angles."""

from __future__ import annotations

import numpy as np
import pytest

from mvcap.structures.joint_angles import ANGLES, joint_angles
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import skeleton


def bent(knee_deg: float, elbow_deg: float, hip_deg: float, kind: str = "coco17", turn_deg: float = 0.0) -> Poses3D:
    """One row of a body, bent in the sagittal plane by these angles on both sides and turned about the vertical."""
    bones = skeleton(kind)
    xyz = np.full((1, len(bones), 3), np.nan)

    def towards(start: np.ndarray, angle_deg: float, length: float) -> np.ndarray:
        """Straight down is 0 degrees, forwards (x) 90."""
        angle = np.deg2rad(angle_deg)
        return start + length * np.array([np.sin(angle), 0.0, -np.cos(angle)])

    for side, y in (("left", 0.2), ("right", -0.2)):
        shoulder = np.array([0.0, y, 1.4])
        hip = towards(shoulder, 0, 0.5)
        knee = towards(hip, hip_deg, 0.42)
        elbow = towards(shoulder, 30, 0.3)
        places = {"shoulder": shoulder, "hip": hip, "knee": knee, "elbow": elbow}
        places["ankle"] = towards(knee, hip_deg - knee_deg, 0.4)
        places["wrist"] = towards(elbow, 30 + elbow_deg, 0.25)
        for name, place in places.items():
            xyz[0, bones.index(f"{side}_{name}")] = place
    c, s = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
    return Poses3D.from_dense(xyz[:, None] @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1.0]]), bones)


def replaced(poses: Poses3D, joint: str, place: np.ndarray) -> Poses3D:
    """The row with one joint in another place."""
    xyz = poses.xyz[:, None].copy()
    xyz[0, 0, poses.skeleton.index(joint)] = place
    return Poses3D.from_dense(xyz, poses.skeleton)


def at(poses: Poses3D, joint: str) -> np.ndarray:
    return poses.xyz[0, poses.skeleton.index(joint)]


def of(poses: Poses3D, name: str) -> float:
    return float(joint_angles(poses)[0, ANGLES.index(name)])


@pytest.mark.parametrize("turn_deg", [0.0, 57.0, 180.0])
@pytest.mark.parametrize(("knee_deg", "elbow_deg", "hip_deg"), [(0, 0, 0), (90, 120, 45), (140, 15, 100)])
def test_known_angles(knee_deg, elbow_deg, hip_deg, turn_deg):
    found = joint_angles(bent(knee_deg, elbow_deg, hip_deg, "halpe26", turn_deg))
    assert ANGLES == ("left_knee", "right_knee", "left_elbow", "right_elbow", "left_hip", "right_hip")
    expected = [knee_deg, knee_deg, elbow_deg, elbow_deg, hip_deg, hip_deg]
    np.testing.assert_allclose(found, [expected], atol=1e-3)  # float32 positions


def test_sides_are_not_mixed_up():
    poses = bent(0, 0, 0)
    poses = replaced(poses, "right_ankle", at(poses, "right_knee") + np.array([0.4, 0, 0]))
    assert of(poses, "right_knee") == pytest.approx(90, abs=1e-3)
    assert of(poses, "left_knee") == pytest.approx(0, abs=1e-3)


def test_a_missing_joint_makes_only_its_angles_unknown():
    poses = replaced(bent(30, 40, 50), "left_knee", np.full(3, np.nan))
    known = dict(zip(ANGLES, np.isfinite(joint_angles(poses)[0]), strict=True))
    assert [name for name, one in known.items() if not one] == ["left_knee", "left_hip"]


def test_joints_in_one_place_and_skeletons_without_them_have_no_angle():
    poses = bent(30, 40, 50)
    poses = replaced(poses, "left_ankle", at(poses, "left_knee"))
    assert np.isnan(of(poses, "left_knee")) and of(poses, "right_knee") == pytest.approx(30, abs=1e-3)
    few = joint_angles(poses.to_skeleton("mvor10"))  # no knees, no ankles
    assert np.isfinite(few[0]).tolist() == [False, False, True, True, False, False]
    assert joint_angles(Poses3D.empty(skeleton("coco17"))).shape == (0, 6)
