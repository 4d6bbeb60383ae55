"""A session that may only be read: its poses go to a folder of one's own, and nowhere else."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from synthetic_take import make_session

import mvcap
from mvcap.cli import main
from mvcap.errors import PluginError, SessionError
from mvcap.structures.pose_file import load_poses

pytestmark = pytest.mark.skipif(not hasattr(os, "seteuid"), reason="folders are made read-only in another way here")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A reconstructed take of ten frames, without report."""
    session = make_session(tmp_path_factory.mktemp("take"), 10, people=2, cameras=3)
    for verb in (mvcap.estimate, mvcap.associate, mvcap.triangulate, mvcap.track, mvcap.refine):
        verb(session)
    warm_up = str(session.folder.parent / "warm_up")  # imports what another user may not read
    main.main(["export", str(session.folder), "--format", "all", "--folder", warm_up])
    return session.folder


@pytest.fixture
def read_only(finished):
    """The take in a folder in which nobody may write, and an empty folder in which everybody may."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        session = shutil.copytree(finished, Path(folder) / "s.mvcap")
        out = Path(folder) / "out"
        out.mkdir()
        out.chmod(0o777)
        with permissions_bind(session):
            yield session, out


@contextmanager
def permissions_bind(session):
    """Nothing of the session can be written meanwhile, by a user who may not write everywhere."""
    for path in [session, *session.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    me = os.geteuid()
    try:
        if me == 0:
            os.seteuid(65534)
        yield
    finally:
        os.seteuid(me)
        for path in [session, *session.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)


def contents(folder):
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_folder_of_ones_own_takes_all_files_of_a_read_only_session(read_only, capsys):
    session, out = read_only
    before = contents(session)
    main.main(["export", str(session), "--format", "c3d", "--folder", str(out)])
    assert [path.name for path in out.iterdir()] == [
        "s.mvcap.c3d"
    ] and capsys.readouterr().out == f"{out / 's.mvcap.c3d'}\n"
    files = mvcap.export(session, ["all"], folder=out / "all")
    assert {path.suffix for path in files} == {".npz", ".trc", ".c3d", ".bvh", ".glb", ".csv", ".parquet", ".json"}
    assert {path.parent for path in files} == {out / "all"}
    assert contents(session) == before and not (session / "poses.npz").exists()


def test_poses_npz_goes_to_the_folder_where_it_is_asked_for(read_only):
    session, out = read_only
    assert mvcap.export(session, ["npz"], folder=out) == [out / "poses.npz"]
    poses = load_poses(out / "poses.npz")
    assert len(poses) == 20 and np.isfinite(poses.xyz).any() and poses.raw is not None


def test_without_a_folder_a_read_only_session_is_one_line(read_only):
    session, _ = read_only
    before = contents(session)
    with pytest.raises(SessionError, match="cannot be written: Permission denied"):
        mvcap.export(session, ["csv"])
    assert contents(session) == before


def test_an_unknown_format_writes_no_poses_npz_either(finished, tmp_path):
    session = shutil.copytree(finished, tmp_path / "s.mvcap")
    with pytest.raises(PluginError, match="csv"):
        mvcap.export(session, ["cvs"])
    assert not (session / "poses.npz").exists()
    assert {path.name for path in mvcap.export(session, ["npz"])} == {"poses.npz"} and not (
        session / "exports"
    ).exists()
