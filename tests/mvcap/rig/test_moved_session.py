"""The state of an associator in another world, and what a stranger's half-moved session may do: nothing."""

import numpy as np
import pytest
from synthetic_take import ring_rig

from calib.geometry import pose, rotation_from_vector, transform
from mvcap.errors import SessionError
from mvcap.rig.moved_session import finish_move, move_state
from mvcap.structures.session import Session

THERE = pose(rotation_from_vector([0.3, 0.8, -2]), [1.0, -2, 0.5])


def test_tracked_people_move_and_the_rest_stays():
    rng = np.random.default_rng(0)
    root = rng.normal(0, 0.1, (2, 17, 3, 3))
    state = {"xyz": rng.normal(0, 1, (2, 17, 3)), "cov": root @ root.transpose(0, 1, 3, 2),
             "velocity": rng.normal(0, 1, (2, 3)), "ident": np.arange(2), "time_s": np.array(1.5)}  # fmt: skip
    moved = move_state(state, THERE, 2.0)
    np.testing.assert_allclose(moved["xyz"], transform(THERE, 2 * state["xyz"]))
    np.testing.assert_allclose(moved["velocity"], 2 * state["velocity"] @ THERE[:3, :3].T)
    np.testing.assert_allclose(np.linalg.eigvalsh(moved["cov"]), 4 * np.linalg.eigvalsh(state["cov"]), atol=1e-12)
    assert moved["ident"] is state["ident"] and moved["time_s"] == 1.5
    assert move_state({"asked": np.array(3)}, THERE, 2.0) == {"asked": 3}


@pytest.fixture
def session(tmp_path):
    return Session.create(ring_rig(3), tmp_path / "s", frames=5, rate_hz=25)


def test_only_files_of_a_move_are_put_into_place(session):
    staged = session.folder / ".level"
    (staged / "artefacts" / "associate").mkdir(parents=True)
    (staged / "config.yaml").write_text("estimator: evil:Class")
    (staged / "artefacts" / "associate" / "note.txt").write_text("hello")
    (staged / "ready").write_text("{}")
    before = {path.name: path.read_bytes() for path in session.folder.iterdir() if path.is_file()}
    finish_move(session)
    assert {path.name: path.read_bytes() for path in session.folder.iterdir()} == before


def test_links_among_them_are_refused(session, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "rig.yaml").write_text("mine")
    (session.folder / ".level").mkdir()
    (session.folder / ".level" / "artefacts").symlink_to(tmp_path / "thesis")
    with pytest.raises(SessionError, match="links"):
        finish_move(session)
    assert (tmp_path / "thesis" / "rig.yaml").read_text() == "mine"
