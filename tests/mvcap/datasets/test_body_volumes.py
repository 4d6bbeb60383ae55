import numpy as np
import pytest
from recorded_take import bent_rig
from synthetic_take import body

from calib import Camera, Lens
from calib.geometry import pose
from mvcap.datasets.body_volumes import RayGrid, body_boxes, body_volumes, joint_visibility
from mvcap.datasets.ground_truth import JointVisibility
from mvcap.structures.skeleton import skeleton

COCO = skeleton("coco17")
FRONT = pose([[0, 1, 0], [0, 0, -1], [-1, 0, 0]], [0, 0.9, 0])
"""A camera that looks along -x at a height of 0.9 m, right is +y, with its place at the world's origin."""


def camera(size=(400, 400), focal=300.0, distortion=(), away=4.0):
    K = np.array([[focal, 0, (size[0] - 1) / 2], [0, focal, (size[1] - 1) / 2], [0, 0, 1]])
    moved = FRONT.copy()
    moved[2, 3] = away
    return Camera(Lens("front", size, K, np.array(distortion)), moved)


def standing(x=0.0, y=0.0, facing=1):
    """A person who stands upright at x, y, facing along x (1) or -x (-1)."""
    points = body(0.0, (0.0, 0.0, 0.0, 0.0, 1.0))
    middle = points.mean(0) * [1, 1, 0]
    flat = (points - middle)[:, [1, 0, 2]] * [1, -1, 1]  # walks along y in the take: turned to walk along x
    return (flat * [facing, facing, 1] + [x, y, 0])[None]


def named(states):
    return dict(zip(COCO.joints, map(JointVisibility, states.tolist()), strict=True))


def test_a_face_is_seen_from_the_front_and_hidden_from_behind():
    front, _ = joint_visibility(camera(), COCO, standing(facing=1))
    back, _ = joint_visibility(camera(), COCO, standing(facing=-1))
    assert named(front[0])["nose"] == JointVisibility.VISIBLE
    assert named(back[0])["nose"] == JointVisibility.SELF_OCCLUDED
    for states in (front, back):
        seen = named(states[0])
        assert seen["left_shoulder"] == seen["right_hip"] == seen["left_ear"] == JointVisibility.VISIBLE


def test_the_far_arm_is_hidden_by_the_own_body_from_the_side():
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    states, _ = joint_visibility(camera(), COCO, standing() @ turn.T)
    seen = named(states[0])
    sides = {side: [seen[f"{side}_{part}"] for part in ("shoulder", "hip", "ear")] for side in ("left", "right")}
    near = "left" if sides["left"][0] == JointVisibility.VISIBLE else "right"
    far = "right" if near == "left" else "left"
    assert sides[near] == [JointVisibility.VISIBLE] * 3
    assert sides[far] == [JointVisibility.SELF_OCCLUDED] * 3


def test_a_person_behind_another_is_hidden_by_them_whatever_the_order_of_rows():
    near, behind = standing(0.5), standing(-0.5)
    for order in ((near, behind), (behind, near)):
        states, _ = joint_visibility(camera(), COCO, np.concatenate(order))
        first = 0 if order[0] is near else 1
        trunk = [COCO.index(name) for name in ("left_hip", "right_hip", "left_shoulder", "right_shoulder")]
        assert (states[first, trunk] == JointVisibility.VISIBLE).all()
        assert (states[1 - first, trunk] == JointVisibility.OCCLUDED).all()


def test_outside_the_picture_and_behind_the_camera_is_out_of_view_and_missing_is_unknown():
    xyz = np.concatenate([standing(0, 6.0), standing(9.0), standing()])
    xyz[2, 0] = np.nan
    states, xy = joint_visibility(camera(), COCO, xyz)
    assert (states[0] == JointVisibility.OUT_OF_VIEW).all() and np.isfinite(xy[0]).all()
    assert (states[1] == JointVisibility.OUT_OF_VIEW).all() and np.isnan(xy[1]).all()
    assert states[2, 0] == JointVisibility.UNKNOWN and states[2, 5] == JointVisibility.VISIBLE


def test_entry_is_where_points_on_the_surface_are():
    """Points on a capsule that face the camera are at the distance at which their ray enters it."""
    bodies = body_volumes(camera(), COCO, standing())
    rng = np.random.default_rng(0)
    for capsule in range(len(bodies.ends)):
        a, b, radius = bodies.start[0, capsule], bodies.stop[0, capsule], bodies.radius[0, capsule]
        on_axis = a + rng.random((50, 1)) * (b - a)
        across = rng.normal(size=(50, 3))
        across -= (across @ (b - a))[:, None] * (b - a) / max((b - a) @ (b - a), 1e-12)
        points = on_axis + radius * across / np.linalg.norm(across, axis=-1, keepdims=True)
        towards = ((points - on_axis) * points).sum(-1) < -1e-3
        far = np.linalg.norm(points, axis=-1)
        entry = bodies.entry(0, capsule, points / far[:, None])
        np.testing.assert_allclose(entry[towards], far[towards], atol=1e-6)
        assert towards.any() and (entry <= far + 1e-6).all()


@pytest.mark.parametrize("step", [1, 4])
def test_masks_and_boxes_enclose_each_other_with_a_lens_that_distorts(step):
    one = bent_rig(1)[0]
    grid = RayGrid(one, max(one.size) // step)
    xyz = np.concatenate([body(0.0, (0.0, 0.0, 0.7, 0.0, 1.2))[None], body(0.0, (0.0, 0.0, 1.8, 2.0, -0.5))[None]])
    bodies = body_volumes(one, COCO, xyz)
    depth, part = grid.depth(bodies)
    boxes = body_boxes(one, bodies)
    for person in range(2):
        rows, columns = np.nonzero(np.isfinite(depth[person]))
        edges = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) * grid.step - 0.5
        assert np.abs(edges - boxes[person]).max() < 1.5 * grid.step + 2
        assert (part[person][rows, columns] >= 0).all()
    labels = grid.labels(depth)
    assert labels.shape == one.size[::-1] and set(np.unique(labels)) == {0, 1, 2}
    states, xy = joint_visibility(one, COCO, xyz)
    for person in range(2):
        seen = states[person] == JointVisibility.VISIBLE
        at = np.rint(xy[person, seen]).astype(int)
        assert (labels[at[:, 1], at[:, 0]] == person + 1).mean() > 0.85


def test_a_body_beside_the_camera_fills_no_picture_and_one_around_it_does_not_fail():
    one = camera()
    xyz = np.concatenate([standing(4.0, 1.0), standing(3.9, 0.0)])
    grid = RayGrid(one, 100)
    depth, _ = grid.depth(body_volumes(one, COCO, xyz))
    assert depth.shape == (2, 100, 100) and (depth > 0).all()
