"""Viewer rerun: its recording holds every frame of the session, and where Rerun lacks one line says so."""

import importlib.util
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from synthetic_take import make_session

import mvcap
from mvcap import stages
from mvcap.errors import InputError, SessionError
from mvcap.structures.cloud_file import save_cloud
from mvcap.structures.point_cloud import PointCloud
from mvcap.structures.pose_file import save_poses
from mvcap.viewers import rerun

FRAMES = 12
needs_rerun = pytest.mark.skipif(importlib.util.find_spec("rerun") is None, reason="needs the extra rerun")


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    made = make_session(tmp_path_factory.mktemp("take"), FRAMES, people=2, cameras=3)
    mvcap.reconstruct(made)
    (made.folder / "clouds").mkdir()
    save_cloud(made.folder / "clouds" / "0000004.ply", PointCloud.from_points(np.zeros((5, 3)), person=1))
    return made


def rows_of(file):
    """Rows that Rerun's own reader finds in a file, by place."""
    words = [sys.executable, "-m", "rerun", "rrd", "print", str(file)]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    found = Counter()
    for rows, place in re.findall(r" with (\d+) rows? .*? - (/\S+) - data columns", text):
        found[place] += int(rows)
    return found


@needs_rerun
def test_a_recording_holds_people_cameras_clouds_and_truth(session, tmp_path):
    save_poses(tmp_path / "truth.npz", stages.poses(session, "refine").between(0, FRAMES))
    mvcap.mesh(session, body="capsules", formats=["glb"], every=3)
    steps = []
    file = mvcap.export_recording(
        session, tmp_path / "take.rrd", truth=tmp_path / "truth.npz", progress=lambda *step: steps.append(step)
    )
    rows = rows_of(file)
    for place in ("people", "people/uncertainty", "truth", *(f"cameras/{name}/image/people" for name in session.names)):
        assert rows[f"/world/{place}"] == FRAMES, place
    assert rows["/world/cloud"] == 1
    assert rows["/world/meshes/1"] == rows["/world/meshes/2"] == 1 + FRAMES // 3  # what does not change, and each pose
    assert steps[-1] == ("recording", FRAMES, FRAMES)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["take.rrd", "truth.npz"]


def test_what_lacks_is_one_line_and_nothing_is_written(session, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"give a name that ends in \.rrd"):
        mvcap.export_recording(session, tmp_path / "take.html")
    monkeypatch.setitem(sys.modules, "rerun", None)
    for use in (lambda: rerun.show(session), lambda: mvcap.export_recording(session, tmp_path / "take.rrd")):
        with pytest.raises(InputError, match=r'needs Rerun .*pip install "mvcap\[rerun\]"'):
            use()
    assert not list(tmp_path.iterdir())


@needs_rerun
def test_a_session_without_poses_names_the_verb(tmp_path):
    empty = make_session(tmp_path / "empty", 5, people=1)
    for use in (lambda: rerun.show(empty), lambda: rerun.write_recording(empty, tmp_path / "take.rrd")):
        with pytest.raises(SessionError, match="run `mvcap refine"):
            use()
    assert not (tmp_path / "take.rrd").exists()
