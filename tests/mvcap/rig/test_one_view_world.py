"""The world of a take of one view: z is up and z = 0 the floor, by the people if the camera does not say it."""

import numpy as np
from one_view_take import FRAMES, camera, session_of

import mvcap
from calib.geometry import pose, rotation_from_vector
from mvcap import stages
from mvcap.rig.one_view_world import WORLD, level_one_view
from mvcap.structures.session import GIVEN_RIG, Session

TILTED = pose(rotation_from_vector([1.1, 0.3, 0.2]), [0.3, -0.2, 0.7])


def feet(folder):
    """Heights m of the ankles above z = 0: lowest of each frame."""
    poses = mvcap.load_poses(folder / "poses.npz")
    ankles = [poses.skeleton.index(f"{side}_ankle") for side in ("left", "right")]
    return poses.xyz[:, ankles, 2].min(1)


def test_a_level_calibration_stays(tmp_path):
    session = session_of(tmp_path)
    mvcap.reconstruct(session)
    manifest = stages.poses(session, "refine").manifest
    assert manifest[WORLD]["up"] == "rig" and not (session.folder / GIVEN_RIG).exists()
    np.testing.assert_allclose(Session.open(session.folder).rig.P, camera().P)


def test_a_tilted_one_is_levelled_by_people_once_and_the_given_one_is_kept(tmp_path):
    given = camera().moved(TILTED)
    session = session_of(tmp_path, given)
    summary = mvcap.reconstruct(session)
    again = Session.open(session.folder)
    assert summary["one_camera"]["world"]["up"] == "people" and summary["world"]["turned_nats"] < 0
    assert any(line.startswith("gravity and floor follow from people") for line in summary["verdict"]["reasons"])
    up = again.rig.cam_from_world[0, :3, :3] @ [0, 0, 1]
    true = camera().cam_from_world[0, :3, :3] @ [0, 0, 1]
    assert np.degrees(np.arccos(up @ true)) < 6
    assert abs(np.quantile(feet(session.folder), 0.1) - 0.1) < 0.12
    np.testing.assert_allclose(again.given_rig.P, given.P, atol=1e-6)
    before = again.rig_identity
    assert level_one_view(again).rig_identity == before
    mvcap.reconstruct(again)
    assert Session.open(session.folder).rig_identity == before
    made = Session.create(given, session.folder, frames=FRAMES, rate_hz=session.rate_hz)
    assert made.rig_identity == before


def test_nobody_leaves_the_world_as_it_is_and_says_so(tmp_path):
    session = session_of(tmp_path, camera().moved(TILTED), notes=["the lens is not known: x"])
    session.override({"track": {"min_seconds": 99.0}})
    summary = mvcap.reconstruct(session)
    assert not summary["people"] and summary["one_camera"]["world"]["up"] == "unknown"
    assert summary["verdict"]["level"] == "do not trust"
