"""The verb mesh: files whole or not at all, in place of earlier ones only when asked, and rows in memory alike."""

import json

import made_up_smpl
import numpy as np
import pytest
from glb_reader import Glb
from synthetic_take import PEOPLE, make_session, run

import mvcap
from mvcap.errors import InputError, PluginError, SessionError, StaleError
from mvcap.mesh import body_of_name

FRAMES = 12


@pytest.fixture(scope="module")
def take(tmp_path_factory):
    session = make_session(tmp_path_factory.mktemp("take"), FRAMES)
    mvcap.reconstruct(session)
    return session


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_person_and_frame_has_a_mesh(take, tmp_path):
    seen = []
    made = mvcap.mesh(take, body="capsules", out=tmp_path / "out", progress=lambda *step: seen.append(step))
    assert made.body == "capsules" and len(made.persons) == PEOPLE and made.meshes == FRAMES * PEOPLE
    assert made.left_out == 0 and made.distance_mm < 40
    files = sorted(path.relative_to(made.folder).as_posix() for path in made.folder.rglob("*.ply"))
    assert files == sorted(f"person_{who:03d}/{frame:07d}.ply" for who in made.persons for frame in range(FRAMES))
    assert {"person 1", "P1_mesh"} <= set(Glb(made.folder / "people.glb").nodes)
    facts = json.loads((made.folder / "meshes.json").read_text())
    assert facts["distance_mm"] == made.distance_mm and len(facts["persons"]) == PEOPLE
    assert seen[-1] == ("mesh", FRAMES * PEOPLE, FRAMES * PEOPLE)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_equal_calls_give_equal_files_and_redo_replaces(take, tmp_path):
    options = {"body": "capsules", "out": tmp_path / "out", "frames": "0:6", "every": 3}
    mvcap.mesh(take, **options)
    before = contents(tmp_path)
    assert len([name for name in before if name.endswith(".ply")]) == 2 * PEOPLE
    with pytest.raises(StaleError, match="--redo"):
        mvcap.mesh(take, **options)
    mvcap.mesh(take, **options, redo=True)
    assert contents(tmp_path) == before
    mvcap.mesh(take, body="capsules", out=tmp_path / "out", formats=["glb"], redo=True)
    assert sorted(contents(tmp_path / "out")) == ["meshes.json", "people.glb"]


def test_an_interrupted_call_leaves_nothing(take, tmp_path):
    def stop(*step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mvcap.mesh(take, body="capsules", out=tmp_path / "out", progress=stop)
    assert not list(tmp_path.iterdir())


def test_folders_of_others_are_left_alone(take, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(InputError, match="not made by mvcap mesh"):
        mvcap.mesh(take, body="capsules", out=tmp_path, redo=True)
    assert (tmp_path / "note.txt").read_text() == "mine"


def test_a_users_own_smpl_is_read(take, tmp_path):
    file = made_up_smpl.save(tmp_path / "body.npz")
    made = mvcap.mesh(take, smpl=file, out=tmp_path / "out", frames=(0, 2))
    assert made.body == "smpl" and made.meshes == 2 * PEOPLE
    assert len(contents(tmp_path / "out")) == 3 * PEOPLE + 2
    body = body_of_name(smpl=file)
    for person in made.persons:
        found = mvcap.load_smpl_parameters(tmp_path / "out" / "smpl" / f"person_{person:03d}.npz")
        assert found.frame.tolist() == [0, 1] and found.rate_hz == take.rate_hz
        rest, heads = found.rest(body)
        for frame, turns, root in zip(found.frame, *found.poses(body), strict=True):
            drawn = (made.folder / f"person_{person:03d}" / f"{frame:07d}.ply").read_bytes()
            points = np.frombuffer(drawn.partition(b"end_header\n")[2][: 15 * len(rest)], ("<f4,<f4,<f4,u1,u1,u1"))
            read = np.stack([points[f"f{axis}"] for axis in range(3)], -1)
            np.testing.assert_allclose(body.skin(turns, root, rest, heads), read, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "fault", "words"),
    [
        ({"formats": ["obj"]}, InputError, "unknown format obj"),
        ({"formats": []}, InputError, "ply, glb"),
        ({"formats": ["smpl"]}, InputError, "--smpl FILE, not of the body capsules"),
        ({"every": 0}, InputError, "1 or more"),
        ({"frames": "50:60"}, InputError, "none of the session"),
        ({"body": "capsule"}, PluginError, "did you mean 'capsules'"),
        ({"body": "smpl"}, InputError, "--smpl FILE"),
        ({"body": "json:dumps"}, InputError, "not a SkinnedBody"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(take, tmp_path, options, fault, words):
    with pytest.raises(fault, match=words) as found:
        mvcap.mesh(take, **{"body": "capsules", "out": tmp_path / "out", **options})
    assert "\n" not in str(found.value) and not list(tmp_path.iterdir())


def test_a_session_without_poses_is_refused(tmp_path):
    session = make_session(tmp_path, FRAMES)
    with pytest.raises(SessionError, match="run `mvcap refine"):
        mvcap.mesh(session, body="capsules", out=tmp_path / "out")


def test_rows_in_memory_give_the_same_bodies(take):
    poses = mvcap.load_poses(take.folder / "poses.npz")
    found = {(person, frame): vertices for person, frame, vertices in mvcap.mesh_rows(poses, body="capsules")}
    assert len(found) == FRAMES * PEOPLE
    nose = poses.skeleton.index("nose")
    for row in range(len(poses)):
        surface = found[int(poses.person[row]), int(poses.frame[row])]
        assert len(surface) == len(body_of_name("capsules").vertices.mean)
        assert np.linalg.norm(surface - poses.xyz[row, nose], axis=-1).min() < 0.12


def test_the_command_line_says_what_it_wrote(take, tmp_path):
    common = ("mesh", take.folder, "--body", "capsules", "--frames", "0:2")
    said = run(*common, "--out", tmp_path / "a", "--format", "ply").stdout
    assert f"{2 * PEOPLE} meshes (capsules) of {PEOPLE} people" in said and "mm (median)" in said
    assert json.loads(run(*common, "--out", tmp_path / "b", "--json").stdout)["meshes"] == 2 * PEOPLE
    refused = run(*common, "--out", tmp_path / "b")
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1 and "--redo" in refused.stderr
