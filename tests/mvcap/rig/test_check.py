"""A rig against a session's people, and a new world for it: by points, by people, and by nothing that would harm."""

import numpy as np
import pytest
from generated_people import circle, make_session

from calib import Camera, Rig, load_rig, save_rig
from calib.geometry import pose, rotation_from_vector
from mvcap.associate import associate
from mvcap.calibration.people_observations import people_observations
from mvcap.errors import InputError
from mvcap.estimate import estimate
from mvcap.rig.align import align
from mvcap.rig.check import check
from mvcap.structures.feet_and_heads import feet_and_bodies
from mvcap.structures.skeleton import skeleton
from mvcap.triangulation.joint_observations import joint_observations

FRAMES, BUMP = 150, 100
OLD_FROM_NEW = pose(rotation_from_vector([0.3, -0.5, 1.1]), [0.7, -2.0, 0.4])


def turned(rig, index, degrees):
    camera = rig[index]
    R = rotation_from_vector(np.deg2rad(degrees) * np.array([0.6, 0.8, 0])) @ camera.cam_from_world[:3, :3]
    moved = Camera(camera.lens, pose(R, -R @ camera.position))
    return Rig(tuple(moved if place == index else other for place, other in enumerate(rig)))


@pytest.fixture(scope="module")
def bumped(tmp_path_factory):
    """A session whose third camera is turned by a degree at frame BUMP."""
    folder = tmp_path_factory.mktemp("bumped")
    truth, rig, rate_hz = circle(people=2, cameras=4, frames=FRAMES, rate_hz=30.0)
    session = make_session(folder / "a", (truth, rig, rate_hz))
    after = estimate(make_session(folder / "b", (truth, turned(rig, 2, 1.0), rate_hz)))
    seen = estimate(session)
    for start, _ in seen.ranges():
        if start >= BUMP:
            seen.write(start, after.read(start), after.state(start))
    associate(session)
    return session


def test_people_of_a_session_tell_who_was_bumped(bumped, tmp_path):
    found = check(bumped.rig, bumped, repair_to=tmp_path / "new.yaml")
    assert found.check.moved == ("cam03",)
    assert abs(found.check.changes[0].since - BUMP) <= 10
    new, true = load_rig(tmp_path / "new.yaml"), turned(bumped.rig, 2, 1.0)
    off = new["cam03"].cam_from_world[:3, :3] @ true["cam03"].cam_from_world[:3, :3].T
    assert np.rad2deg(np.arccos((np.trace(off) - 1) / 2)) < 0.1
    with pytest.raises(InputError, match="exists already"):
        check(bumped.rig, bumped, repair_to=tmp_path / "new.yaml")


def test_joints_of_people_become_free_points(bumped):
    seen, kind = people_observations(bumped, bumped.rig)
    assert seen.xy.shape == (4, FRAMES, 2 * len(kind), 2) and seen.target.free
    few, _ = people_observations(bumped, bumped.rig, most=50)
    assert few.xy.shape[1] == 50 and few.moments[1] == f"{3 / 30:.2f} s"
    from mvcap import stages

    rows = stages.detections(bumped, "associate").between(0, 10)
    with pytest.raises(InputError, match="no person"):
        joint_observations(rows[rows.person < -1], bumped.rig, 30.0)


def test_people_make_the_world_of_a_rig(bumped, tmp_path):
    save_rig(bumped.rig.moved(OLD_FROM_NEW), tmp_path / "lost.yaml")
    found = align(tmp_path / "lost.yaml", tmp_path / "out.yaml", people=bumped)
    tilt = np.rad2deg(np.arccos((found.new_from_old @ OLD_FROM_NEW)[2, 2]))
    assert tilt < 1.5
    heights = load_rig(tmp_path / "out.yaml").positions[:, 2]
    np.testing.assert_allclose(heights, bumped.rig.positions[:, 2], atol=0.06)


def test_points_make_the_world_of_a_rig(bumped, tmp_path):
    marks = {"a": (0, 0, 0), "b": (1.2, 0, 0), "c": (0, 1.5, 0), "d": (0.5, 0.5, 1)}
    lines = ["name,x_mm,y_mm,z_mm", *(f"{name},{1000 * x},{1000 * y},{1000 * z}" for name, (x, y, z) in marks.items())]
    (tmp_path / "points.csv").write_text("\n".join(lines), encoding="utf-8")
    xy = bumped.rig.project(list(marks.values()))
    pixels = [f"{view},{name},{u},{v}" for view, of in zip(bumped.rig.names, xy, strict=True)
              for name, (u, v) in zip(marks, of, strict=True)]  # fmt: skip
    (tmp_path / "pixels.csv").write_text("\n".join(["view,name,u,v", *pixels]), encoding="utf-8")
    lost = bumped.rig.moved(OLD_FROM_NEW)
    ways = {"points": tmp_path / "points.csv", "pixels": tmp_path / "pixels.csv"}
    found = align(lost, tmp_path / "out.yaml", **ways)
    assert found.rms_m < 1e-6
    np.testing.assert_allclose(load_rig(tmp_path / "out.yaml").positions, bumped.rig.positions, atol=1e-6)
    with pytest.raises(InputError, match="exists already"):
        align(lost, tmp_path / "out.yaml", **ways)
    with pytest.raises(InputError, match="no pixels of the points in the views"):
        align(lost, tmp_path / "other.yaml", points=tmp_path / "points.csv")


def test_one_way_to_the_world_is_asked_for(bumped, tmp_path):
    for ways in ({}, {"points": "a", "people": bumped}):
        with pytest.raises(InputError, match="give one of"):
            align(bumped.rig, tmp_path / "out.yaml", **ways)
    with pytest.raises(InputError, match="give their folder"):
        align(bumped.rig, tmp_path / "out.yaml", board="chessboard:9x6:30mm")
    with pytest.raises(InputError, match="no feet"):
        feet_and_bodies(skeleton("mvor10"), np.zeros((2, 10, 3)))
