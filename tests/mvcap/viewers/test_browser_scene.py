"""What the page is told: the same poses, projections and curves as in the session, chunk by chunk."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
from synthetic_take import make_session, truth

import mvcap
from mvcap import stages
from mvcap.errors import InputError, SessionError
from mvcap.exporters.gltf_skins_reader import session_bodies
from mvcap.structures.joint_angles import ANGLES, joint_angles
from mvcap.structures.pose_file import save_poses
from mvcap.structures.poses import TakeInfo
from mvcap.viewers import browser_scene
from mvcap.viewers.browser_meshes import PageMeshes
from mvcap.viewers.browser_scene import SERIES, Scene, packed

FRAMES = 30
TYPES = {"f4": np.float32, "i4": np.int32, "u2": np.uint16, "i2": np.int16, "u1": np.uint8}


def unpacked(block):
    """Read a block as the page does."""
    (length,) = struct.unpack_from("<I", block)
    header = json.loads(block[4 : 4 + length])
    out = {}
    for name, about in header.items():
        count = int(np.prod(about["shape"]))
        out[name] = np.frombuffer(block, TYPES[about["dtype"]], count, 4 + length + about["at"]).reshape(about["shape"])
    return out


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    made = make_session(tmp_path_factory.mktemp("take"), FRAMES, people=2, cameras=4)
    mvcap.reconstruct(made)
    return made


@pytest.fixture
def short_chunks(monkeypatch):
    monkeypatch.setattr(browser_scene, "CHUNK_FRAMES", 12)


def test_the_description_names_all_there_is(session):
    about = Scene(session).description()
    assert json.loads(json.dumps(about)) == about, "plain values"
    assert (about["frames"], about["rate_hz"]) == (FRAMES, session.rate_hz)
    assert [view["name"] for view in about["views"]] == list(session.names)
    poses = stages.poses(session, "refine").between(0, FRAMES)
    assert [person["id"] for person in about["persons"]] == np.unique(poses.person).tolist()
    for person in about["persons"]:
        at = poses.frame[poses.person == person["id"]]
        assert (person["first"], person["last"]) == (at.min(), at.max()) and person["colour"].startswith("#")
    assert about["skeletons"]["refine"]["joints"] == list(poses.skeleton.joints)
    low, high = np.array(about["extent_m"])
    xyz = poses.xyz.reshape(-1, 3)
    inside = ((xyz >= low - 1e-6) & (xyz <= high + 1e-6)).all(-1)
    assert inside.mean() > 0.9
    assert set(about["kinds"]) == {"refine", "track"} and about["verdict"]["level"] and about["clouds"] is None
    assert about["meshes"] is None
    every = sorted(code for codes in about["provenance"].values() for code in codes)
    assert len(every) == len(set(every)) and set(np.unique(poses.provenance[poses.score > 0])) <= set(every)


def test_chunks_are_the_poses_of_the_session(session, short_chunks):
    scene = Scene(session)
    for kind in ("refine", "track"):
        parts = [unpacked(scene.chunk(kind, start)) for start in range(0, FRAMES, 12)]
        whole = stages.poses(session, kind).between(0, FRAMES)
        for name, column in (("frame", "frame"), ("person", "person"), ("xyz", "xyz"), ("cov", "cov"),
                             ("error_px", "error_px"), ("views", "views"), ("source", "provenance")):  # fmt: skip
            np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), getattr(whole, column))
        assert [int(part["frame"].min()) // 12 for part in parts] == [0, 1, 2]


def test_projections_are_those_of_the_cameras(session, short_chunks):
    scene = Scene(session)
    poses = stages.poses(session, "refine").between(12, 24)
    xy = unpacked(scene.projected("refine", 12))["xy"]
    for view, camera in enumerate(session.rig):
        np.testing.assert_allclose(xy[view], camera.project(poses.xyz.astype(float)), atol=1e-3)


def test_curves_are_medians_and_angles(session):
    poses = stages.poses(session, "refine").between(0, FRAMES)
    curves = unpacked(Scene(session).series())
    np.testing.assert_array_equal(curves["frame"], poses.frame)
    assert curves["values"].shape == (len(poses), len(SERIES))
    np.testing.assert_allclose(curves["values"][:, -len(ANGLES) :], joint_angles(poses), rtol=1e-5)
    row = 3
    known = np.isfinite(poses.xyz[row]).all(-1) & (poses.error_px[row] > 0)
    assert curves["values"][row, 0] == pytest.approx(np.median(poses.error_px[row, known]), rel=1e-5)
    sigma = 1000 * np.sqrt(poses.cov[row, :, [0, 3, 5]].mean(0))
    assert curves["values"][row, 1] == pytest.approx(np.median(sigma[np.isfinite(sigma)]), rel=1e-4)


def test_ground_truth_is_shown_beside(session, tmp_path):
    file = tmp_path / "truth.npz"
    save_poses(file, truth(FRAMES, 2))
    scene = Scene(session, file)
    assert scene.description()["kinds"]["truth"] == "truth"
    np.testing.assert_allclose(unpacked(scene.chunk("truth", 0))["xyz"], truth(FRAMES, 2).xyz, atol=1e-5)
    save_poses(file, replace(truth(FRAMES + 1, 2), take=TakeInfo(session.rate_hz, FRAMES + 1)))
    with pytest.raises(InputError, match=f"has {FRAMES + 1} frames .*the truth of this take"):
        Scene(session, file)


@pytest.mark.parametrize(
    ("kind", "start"), [("refine", 5), ("refine", -100), ("refine", 1000), ("estimate", 0), ("truth", 0)]
)
def test_what_there_is_not_is_refused(session, kind, start):
    with pytest.raises(InputError, match=r"no chunk begins|no poses"):
        Scene(session).chunk(kind, start)


def test_a_session_without_poses_names_the_verb(tmp_path):
    empty = make_session(tmp_path, 5, people=1)
    with pytest.raises(SessionError, match="mvcap refine"):
        Scene(empty)


def test_a_damaged_report_is_no_hindrance(session):
    file = session.folder / "report.json"
    held = file.read_bytes()
    for broken in (
        b"{",
        b"[1]",
        b'{"identities": 5, "verdict": []}',
        b'{"identities": {"changes": [1, {"frame": "x"}]}}',
    ):
        file.write_bytes(broken)
        about = Scene(session).description()
        assert about["events"] == [] and about["verdict"] is None
    file.write_bytes(b'{"identities": {"changes": [{"frame": 4, "what": "merged", "person": 2}]}}')
    assert Scene(session).description()["events"] == [{"frame": 4, "text": "what merged, person 2"}]
    file.write_bytes(held)


def test_blocks_keep_types_shapes_and_alignment():
    arrays = {"a": np.arange(3, dtype=np.uint8), "b": np.zeros((0, 4), np.float32), "c": np.eye(3, dtype=np.float32)}
    block = packed(arrays)
    for name, found in unpacked(block).items():
        np.testing.assert_array_equal(found, arrays[name])
        assert found.dtype == arrays[name].dtype
    assert len(block) % 4 == 0 and struct.unpack_from("<I", block)[0] % 4 == 0


def test_clouds_are_thinned_person_by_person(session, monkeypatch):
    from mvcap.structures.cloud_file import save_cloud
    from mvcap.structures.point_cloud import PointCloud

    rng = np.random.default_rng(0)
    person = rng.integers(1, 3, 1000)
    cloud = PointCloud(rng.normal(size=(1000, 3)), rng.integers(0, 255, (1000, 3)), person, person * 0, person * 0.0)
    folder = session.folder / "clouds"
    folder.mkdir()
    save_cloud(folder / "0000004.ply", cloud)
    scene = Scene(session)
    assert scene.description()["clouds"] == [4]
    monkeypatch.setattr(browser_scene, "_MOST_POINTS", 300)
    sent = unpacked(scene.cloud(4))
    assert 200 < len(sent["xyz"]) <= 300 and (np.diff(sent["person"]) >= 0).all()
    assert np.bincount(sent["person"])[1:] == pytest.approx(np.bincount(person)[1:] / 4, abs=2)
    with pytest.raises(InputError, match="frame 5 has no point cloud"):
        scene.cloud(5)
    (folder / "0000004.ply").write_bytes(b"ply\nbroken")
    with pytest.raises(InputError, match=r"0000004\.ply"):
        scene.cloud(4)
    (folder / "0000004.ply").unlink()
    folder.rmdir()


def test_meshes_are_shapes_once_and_turns_of_bones(session, short_chunks):
    """Skinned by the formulas of the page from the arrays that it gets, vertices are those of the body."""
    from scipy.spatial.transform import Rotation

    with pytest.raises(InputError, match="no meshes; run `mvcap mesh`"):
        Scene(session).skin()
    mvcap.mesh(session, body="capsules", formats=["glb"], every=2)
    scene = Scene(session)
    persons = [one["id"] for one in scene.description()["persons"]]
    assert scene.description()["meshes"] == {"body": "capsules", "persons": persons, "step": 2}
    skin, shape, motion = (unpacked(block) for block in (scene.skin(), scene.shape(persons[1]), scene.motion(12)))
    assert (skin["shares"].sum(1) == 255).all() and sorted(set(motion["frame"].tolist())) == list(range(12, 24, 2))
    row = int(np.flatnonzero((motion["person"] == persons[1]) & (motion["frame"] == 16))[0])
    turns = np.tile(np.eye(3), (len(skin["parents"]), 1, 1))
    turns[skin["turned"]] = Rotation.from_quat(motion["turns"][row]).as_matrix()
    truth = session_bodies(session).people[persons[1]]
    rest = shape["rest"] * shape["unit"]
    found = truth.body.skin(turns, motion["root"][row].astype(float), rest.astype(float), shape["heads"].astype(float))
    np.testing.assert_allclose(found, truth.vertices(int(np.flatnonzero(truth.frames == 16)[0])), atol=5e-4)
    assert len(scene.motion(12)) < 300 * len(motion["frame"])
    with pytest.raises(InputError, match="person 99 has no mesh"):
        scene.shape(99)
    with pytest.raises(InputError, match="no chunk begins at frame 5"):
        scene.motion(5)


def test_meshes_of_earlier_poses_are_not_shown(session, monkeypatch):
    mvcap.mesh(session, body="capsules", formats=["glb"], every=10, redo=True)
    assert PageMeshes(session).description()["step"] == 10
    facts = session.folder / "meshes" / "meshes.json"
    facts.write_text(facts.read_text().replace('"poses": "', '"poses": "0'))
    assert PageMeshes(session).description() is None and session_bodies(session) is None
