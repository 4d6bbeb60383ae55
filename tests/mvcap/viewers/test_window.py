"""Viewer window: what it shows is that of the session, and where there is no display or no Open3D one line says so."""

import importlib.util
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from synthetic_take import command, make_session

import mvcap
from mvcap import stages, viewers
from mvcap.drawing.colours import colour
from mvcap.errors import InputError, SessionError
from mvcap.exporters.gltf_skins_reader import session_bodies
from mvcap.structures.cloud_file import save_cloud
from mvcap.structures.point_cloud import PointCloud
from mvcap.structures.pose_file import save_poses
from mvcap.viewers.window import ShownTake, show

FRAMES = 24
needs_window = pytest.mark.skipif(
    importlib.util.find_spec("open3d") is None or not viewers.has_display(), reason="needs Open3D and a display"
)


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    made = make_session(tmp_path_factory.mktemp("take"), FRAMES, people=2, cameras=3)
    mvcap.reconstruct(made)
    clouds = made.folder / "clouds"
    clouds.mkdir()
    for frame in (4, 8):
        points = np.full((frame, 3), 0.5)
        save_cloud(clouds / f"{frame:07d}.ply", PointCloud.from_points(points, person=1, rgb=np.full((frame, 3), 9)))
    return made


def test_bones_are_those_of_the_poses_in_the_colours_of_the_persons(session):
    rows = stages.poses(session, "refine").between(7, 8)
    lines, tints = ShownTake(session).people(7)
    ends = rows.xyz[:, rows.skeleton.bones].reshape(-1, 2, 3)
    np.testing.assert_allclose(lines, ends[np.isfinite(ends).all((-1, -2))])
    assert {tuple(one) for one in tints.tolist()} == {colour(person) for person in rows.person.tolist()}


def test_the_truth_is_white_and_of_the_same_take(session, tmp_path):
    rows = stages.poses(session, "refine").between(0, FRAMES)
    save_poses(tmp_path / "truth.npz", rows)
    lines, tints = ShownTake(session, tmp_path / "truth.npz").people(3)
    half = len(lines) // 2
    np.testing.assert_allclose(lines[:half], lines[half:])
    assert (tints[half:] == 240).all() and not (tints[:half] == 240).all(-1).any()


def test_a_cloud_stays_until_the_next_one(session):
    moments = ShownTake(session)
    assert [moments.cloud_frame(frame) for frame in (0, 3, 4, 7, 8, 11, 12, 23)] == [None, None, 4, 4, 8, 8, None, None]
    points, tints = moments.cloud(8)
    assert points.shape == (8, 3) and (tints == 9).all()


def test_meshes_are_those_of_the_frame(session):
    assert ShownTake(session).meshes(5) == {}
    mvcap.mesh(session, body="capsules", formats=["glb"], every=2)
    bodies, shown = session_bodies(session), ShownTake(session).meshes(5)
    assert list(shown) == list(bodies.people)
    for person, (vertices, faces) in shown.items():
        one = bodies.people[person]
        np.testing.assert_array_equal(vertices, one.vertices(2))
        assert one.frames[2] == 4 and faces.max() < len(vertices)


def test_cameras_stand_where_they_are_and_the_floor_lies_below_the_people(session):
    moments = ShownTake(session)
    lines = moments.cameras()
    assert lines.shape == (3 * 8, 2, 3)
    np.testing.assert_allclose(lines[::8, 0], session.rig.positions)
    toward = lines[::8, 1] - lines[::8, 0]
    assert (np.einsum("ni,ni->n", toward, np.array([0, 0, 1]) - lines[::8, 0]) > 0).all()
    floor = moments.floor()
    assert (floor[..., 2] == 0).all() and (floor[..., :2].min((0, 1)) <= moments.box[0, :2]).all()


def test_what_lacks_is_one_line(session, tmp_path, monkeypatch):
    empty = make_session(tmp_path / "empty", 5, people=1)
    with pytest.raises(SessionError, match="run `mvcap refine"):
        show(empty)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(viewers.sys, "platform", "linux")
    assert not viewers.has_display()
    with pytest.raises(InputError, match=r"no display here for a window; `mvcap view .*` makes a page"):
        show(session)
    with pytest.raises(InputError, match="viewer 'window' has no option 'port'"):
        mvcap.view(session, "window", port=80)
    monkeypatch.setenv("DISPLAY", ":0")
    assert viewers.has_display()
    monkeypatch.setitem(sys.modules, "open3d", None)
    with pytest.raises(InputError, match=r'the window needs Open3D .*pip install "mvcap\[cloud\]"'):
        show(session)


@needs_window
def test_a_window_opens_and_ctrl_c_closes_it(session):
    process = subprocess.Popen(
        command("view", session.folder, "--window"), stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    try:
        lines = iter(process.stdout.readline, "")
        assert any("mvcap" in line and "Ctrl-C" in line for line in lines)
        threading.Event().wait(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()
