"""Two rigs against each other: known differences come out, an alignment hides nothing but itself."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ring_rigs import make_mixed_rig, make_rig

from calib import Camera, Lens, Rig, RigMismatchError
from calib.compare import compare, shared_middle
from calib.geometry import invert, pose, rotation_from_vector
from calib.report.rig_summary import facts, picture


def changed(rig, index, *, K=0.0, cam=None, size=None, distortion=0.0):
    """The rig with one camera another: K and distortion are added."""
    cameras = list(rig)
    old = cameras[index]
    lens = old.lens
    other = Lens(lens.name, size or lens.size, np.add(lens.K, K), np.add(lens.distortion, distortion), lens.model)
    cameras[index] = Camera(other, old.cam_from_world if cam is None else cam)
    return Rig(tuple(cameras))


def moved(rig, seed, factor=1.0):
    """The rig in another world."""
    rng = np.random.default_rng(seed)
    world = pose(rotation_from_vector(rng.normal(size=3)), rng.uniform(-5, 5, 3))
    scaled = rig.scaled_world(factor)
    return Rig(tuple(Camera(one.lens, one.cam_from_world @ world) for one in scaled))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), factor=st.floats(0.2, 5), count=st.integers(2, 6))
def test_another_world_is_no_difference(seed, factor, count):
    rig = make_rig(count)
    found = compare(rig, moved(rig, seed, factor), scale=True)
    assert found.scale == pytest.approx(1 / factor) and found.scaled
    assert max(one.position_mm for one in found.cameras) < 1e-5
    assert max(one.rotation_deg for one in found.cameras) < 1e-5
    assert max(abs(one.percent) for one in found.baselines) < 1e-7 and len(found.baselines) == count * (count - 1) // 2
    rigid = compare(rig, moved(rig, seed))
    assert rigid.scale == pytest.approx(1) and max(one.position_mm for one in rigid.cameras) < 1e-5
    if count > 2:
        assert len(found.places) > 200 and found.volume_rms_mm < 1e-4 and rigid.volume_rms_mm < 1e-4


def test_a_scale_is_said_even_where_it_is_not_fitted():
    rig = make_rig()
    found = compare(rig, rig.scaled_world(1.01))
    assert found.scale == pytest.approx(1 / 1.01)
    assert [one.percent for one in found.baselines] == pytest.approx([1.0] * 6)
    assert 0.005 < found.volume_rms_mm / 1000 < 0.03


def test_a_turned_and_shifted_camera_is_named():
    """Of eight cameras one moved: the others take a little of it, the alignment being of all."""
    rig = make_rig(8)
    turned = pose(rotation_from_vector([0, np.radians(0.5), 0]), (0.01, 0, 0)) @ rig[3].cam_from_world
    found = compare(rig, changed(rig, 3, cam=turned))
    worst = max(found.cameras, key=lambda one: one.rotation_deg)
    assert worst.name == "cam_4" and worst.rotation_deg == pytest.approx(0.5, rel=0.3)
    assert all(one.rotation_deg < 0.15 for one in found.cameras if one is not worst)
    assert all(one.focal_percent == 0 and one.lens_px < 1e-6 for one in found.cameras)


def test_lenses_are_told_apart_from_places():
    rig = make_rig()
    found = compare(rig, changed(rig, 1, K=[[9.01, 0, 2], [0, 9.06, -3], [0, 0, 0]]))
    one = found.cameras[1]
    assert one.focal_percent == pytest.approx(1.0, abs=1e-3) and one.principal_px == pytest.approx((2, -3))
    assert 3 < one.lens_px < 9 and one.position_mm < 1e-6
    bent = compare(rig, changed(rig, 1, distortion=[0.01, 0, 0, 0, 0])).cameras[1]
    assert bent.focal_percent == 0 and 0.2 < bent.lens_px < 3
    mixed = make_mixed_rig()
    assert max(one.lens_px for one in compare(mixed, mixed).cameras) < 1e-6


def test_the_volume_says_what_the_difference_means():
    """By hand: pixels of the one rig, triangulated by the other."""
    rig = make_rig(4, distortion=[])
    other = changed(rig, 0, K=np.diag([9, 9, 0]))
    found = compare(rig, other)
    point = found.places[100]
    xy = rig.project(point[None])
    inside = (xy >= 0).all(-1) & (xy <= (1279, 719)).all(-1)
    rays, centres = other.rays(np.where(inside[..., None], xy, np.nan))[1][:, 0], other.positions
    keep = np.isfinite(rays).all(1)
    there = other.triangulate(np.where(inside[..., None], xy, np.nan))[0]
    assert keep.sum() >= 2 and centres.shape == (4, 3)
    assert found.points_mm[100] == pytest.approx(1000 * np.linalg.norm(there - point))
    assert np.linalg.norm(shared_middle(rig) - (0, 0, 1)) < 0.3


def test_names_decide_never_places():
    rig = make_rig(4, names=["a", "b", "c", "d"])
    found = compare(rig, rig.select(["d", "b", "a"]))
    assert [one.name for one in found.cameras] == ["a", "b", "d"] and found.only_a == ("c",) and found.only_b == ()
    assert max(one.position_mm for one in found.cameras) < 1e-6
    upper = make_rig(4, names=["A", "B", "x", "D"])
    found = compare(rig, upper)
    assert [one.name for one in found.cameras] == ["a", "b", "d"] and found.only_b == ("x",)
    assert compare(rig, make_rig(4, names=["A", "a", "b", "d"])).only_b == ("A",)
    with pytest.raises(RigMismatchError, match="fewer than two"):
        compare(rig, make_rig(2, names=["a", "x"]))


def test_other_picture_sizes_are_scaled_or_refused():
    rig = make_rig()
    half = Rig(tuple(Camera(one.lens.scaled(0.5), one.cam_from_world) for one in rig))
    found = compare(rig, half)
    assert len(found.notes) == 4 and max(abs(one.focal_percent) for one in found.cameras) < 1e-9
    with pytest.raises(RigMismatchError, match="swapped"):
        compare(rig, changed(rig, 2, size=(720, 1280)))


def test_cameras_that_share_nothing():
    """Back to back: there is a comparison, and no point to triangulate."""
    out = [pose(rotation_from_vector([0, angle, 0]), (0, 0, -3)) for angle in (0, np.pi)]
    rig = Rig(tuple(Camera(Lens(f"c{index}", (640, 480), [[600, 0, 320], [0, 600, 240], [0, 0, 1]], []), cam)
                    for index, cam in enumerate(out)))  # fmt: skip
    found = compare(rig, rig)
    assert found.cameras[0].position_mm < 1e-9
    assert not np.isfinite(found.points_mm).any() and np.isnan(found.volume_rms_mm)


def test_facts_are_true():
    rig = make_rig(5, distortion=[])
    known = facts(rig)
    for camera, one in zip(rig, known.cameras, strict=True):
        width, height = camera.size
        K = camera.lens.K
        left, right = (np.arctan2(edge - K[0, 2], K[0, 0]) for edge in (-0.5, width - 0.5))
        up, down = (np.arctan2(edge - K[1, 2], K[1, 1]) for edge in (-0.5, height - 0.5))
        assert one.fov_deg == pytest.approx(np.degrees([right - left, down - up]))
        assert one.position_m == pytest.approx(camera.position) and abs(one.roll_deg) < 1e-6
        toward = (np.array([0, 0, 1]) - camera.position) / np.linalg.norm(np.array([0, 0, 1]) - camera.position)
        assert one.forward == pytest.approx(toward)
        assert np.tan(np.radians(one.heading_deg)) == pytest.approx(toward[1] / toward[0])
        assert np.sin(np.radians(one.tilt_deg)) == pytest.approx(toward[2]) and one.bent_px < 1e-9
    assert known.distances_m[0, 2] == pytest.approx(np.linalg.norm(rig.positions[0] - rig.positions[2]))
    clockwise = rotation_from_vector([0, 0, np.radians(-20)])  # the camera turns right about its axis: its picture left
    rolled = changed(rig, 0, cam=pose(clockwise, (0, 0, 0)) @ rig[0].cam_from_world)
    assert facts(rolled).cameras[0].roll_deg == pytest.approx(20)
    right = invert(rolled[0].cam_from_world)[:3, 0]
    assert right[2] < 0


def test_fields_of_view_of_bent_lenses():
    camera = facts(make_rig(1, "fisheye", size=(1600, 1200))).cameras[0]
    K, bent = make_rig(1, "fisheye")[0].lens.K, make_rig(1, "fisheye")[0].lens.distortion
    edges = np.array([[[-0.5, K[1, 2]]], [[1599.5, K[1, 2]]]])
    flat = cv2.fisheye.undistortPoints(edges, np.array(K), np.array(bent)).reshape(2, 2)
    assert camera.fov_deg[0] == pytest.approx(np.degrees(np.abs(np.arctan(flat[:, 0])).sum()), abs=1e-3)
    assert camera.bent_px > 5


@pytest.mark.parametrize("rig", [make_rig(1), make_rig(12), make_mixed_rig()])
def test_a_picture_is_drawn(rig):
    drawn = cv2.imdecode(np.frombuffer(picture(rig), np.uint8), cv2.IMREAD_COLOR)
    assert drawn.shape[0] > 300 and drawn.shape[1] > 800 and drawn.std() > 5


@pytest.mark.parametrize("distortion", [[0.028, -1.55, -0.004, 0.0016, 0.0], [-0.45, 0, 0, 0], [0.0, 0, 0, 0]])
def test_a_rig_equals_itself_and_a_lens_that_folds_back_is_named(distortion):
    rig = make_rig(3, distortion=distortion, size=(1280, 900))
    found = compare(rig, rig)
    assert len(found.points_mm) and not found.points_mm.any() and found.volume_rms_mm == 0.0
    assert found.scale == 1.0 and np.array_equal(found.a_from_b, np.eye(4))
    for one in found.cameras:
        assert (one.focal_percent, one.lens_px, one.rotation_deg, one.position_mm) == (0.0, 0.0, 0.0, 0.0)
    assert all(baseline.percent == 0 for baseline in found.baselines)
    folds = any(distortion)
    assert len(found.notes) == 6 * folds and all("cam_" in note and "folds back" in note for note in found.notes)


def test_a_lens_that_folds_back_outside_its_image_is_not_named():
    rig = make_rig(2, distortion=[-0.1, 0, 0, 0])
    assert compare(rig, rig).notes == ()
