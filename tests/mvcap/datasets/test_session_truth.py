"""Truth of a session: what hides a joint, and files that are written in chunks."""

import numpy as np
import pytest
from ray_casters import needs_rays
from small_sessions import RIG

from mvcap.datasets import session_truth
from mvcap.datasets.ground_truth import JointVisibility
from mvcap.datasets.session_stage import SessionConfig, staged
from mvcap.progress import silent
from mvcap.structures.pose_file import load_poses, save_poses

pytestmark = needs_rays
CONFIG = SessionConfig(people=2, seconds=0.7, rate_hz=10.0, seed=2, body="capsules")


def box(low, high):
    corners = np.array([np.where([n & 4, n & 2, n & 1], high, low) for n in range(8)])
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    return corners, np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def test_a_joint_is_hidden_by_what_is_before_it():
    from mvcap.rendering.ray_casting import RayScene

    camera = RIG[0]
    away = camera.cam_from_world[2, :3]
    middle = camera.position + 3.0 * away
    joints = np.stack([middle, middle + 1.0 * away, middle + np.array([0, 0, 50.0]), middle + 0.4 * away])[None]
    body = box(middle - 0.1, middle + 0.1)
    person = np.ones(12, np.uint8)
    thing = box(camera.position + 1.5 * away - 0.05, camera.position + 1.5 * away + 0.05)
    seen = session_truth.seen_joints(camera, joints, RayScene(body), person)
    visible, own, hidden, out = (
        JointVisibility[one] for one in ("VISIBLE", "SELF_OCCLUDED", "OCCLUDED", "OUT_OF_VIEW")
    )
    assert seen.tolist() == [[visible, own, out, own]]
    seen = session_truth.seen_joints(camera, joints, RayScene(body, thing), person)
    assert seen.tolist() == [[hidden, hidden, out, hidden]]
    other = session_truth.seen_joints(camera, np.concatenate([joints + 5 * away, joints]), RayScene(body), 2 * person)
    assert other[0, 0] == hidden and other[1, 0] == visible


def test_truth_in_chunks_is_the_truth(tmp_path, monkeypatch):
    monkeypatch.setattr(session_truth, "TRUTH_FRAMES", 3)
    stage = staged(RIG, CONFIG, silent)
    session_truth.write_truth(stage, tmp_path, silent)
    held = load_poses(tmp_path / "truth.npz")
    wanted = np.stack([stage.people.joints(stage.time_of(frame)) for frame in range(7)])
    assert held.dense(7) == pytest.approx(wanted, abs=1e-6) and held.rate_hz == 10.0
    save_poses(tmp_path / "other.npz", held)
    with np.load(tmp_path / "other.npz") as one, np.load(tmp_path / "truth.npz") as other:
        assert set(one.files) == set(other.files)
        assert all(
            np.array_equal(one[name], other[name], equal_nan=name not in ("about", "skeleton")) for name in one.files
        )
    with np.load(tmp_path / "visibility.npz") as both:
        seen = both["visibility"]
    assert seen.shape == (7, 2, 2, 26) and (seen > 0).all()
    assert (seen == JointVisibility.VISIBLE).mean() > 0.3 and (seen == JointVisibility.SELF_OCCLUDED).any()
