"""glTF read back by a reader of the specification: joints, bones and gaps are those of the poses."""

import numpy as np
import pytest
from exported_take import DENSE, FRAMES, TABLE, expected
from glb_reader import Glb, turned
from walking_take import COCO, RATE_HZ, poses, take

from mvcap.drawing.colours import colour
from mvcap.errors import InputError
from mvcap.export import export_take
from mvcap.exporters import gltf, gltf_file
from mvcap.structures.poses import Poses3D


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    (path,) = export_take(take(TABLE, FRAMES), tmp_path_factory.mktemp("out"), ["gltf"])
    assert path.name == "walk.glb"
    return Glb(path)


def seconds(frame):
    return float(np.float32(frame / RATE_HZ))


def test_joints_are_where_the_poses_are_and_hidden_where_they_are_missing(file):
    seen = 0
    for person in (1, 2):
        xyz = expected("y-up", person)
        for frame in range(FRAMES):
            for at, joint in enumerate(COCO.joints):
                scale = file.sampled(f"P{person}_{joint}", "scale", seconds(frame))
                if np.isnan(xyz[frame, at]).any():
                    assert scale.tolist() == [0, 0, 0]
                else:
                    place = file.sampled(f"P{person}_{joint}", "translation", seconds(frame))
                    np.testing.assert_allclose(place, xyz[frame, at], atol=1e-6)
                    assert scale.tolist() == [1, 1, 1]
                    seen += 1
    assert seen == np.isfinite(DENSE).all(-1).sum() > 600


def test_bones_reach_from_joint_to_joint_and_are_hidden_with_either(file):
    top = np.array([0.0, 1.0, 0.0])  # of the cylinder
    for person in (1, 2):
        xyz = expected("y-up", person)
        for one, other in COCO.bones.tolist():
            name = f"P{person}_{COCO.joints[one]}_to_{COCO.joints[other]}"
            assert file.parents[name] == f"P{person}_{COCO.joints[one]}"
            for frame in range(FRAMES):
                scale = file.sampled(name, "scale", seconds(frame))
                if np.isnan(xyz[frame, [one, other]]).any():
                    assert scale.tolist() == [0, 0, 0]
                else:
                    end = xyz[frame, one] + turned(file.sampled(name, "rotation", seconds(frame)), scale * top)
                    np.testing.assert_allclose(end, xyz[frame, other], atol=1e-4)  # quaternions of 16 bits
                    assert scale[0] == scale[2] == 1


def test_between_frames_joints_move_evenly_and_gaps_stay_hidden(file):
    xyz, joint = expected("y-up", 1), COCO.index("left_hip")
    known = np.isfinite(xyz[:, joint]).all(-1)
    both = np.flatnonzero(known[:-1] & known[1:])[0]
    middle = file.sampled("P1_left_hip", "translation", seconds(both) + 0.5 / RATE_HZ)
    np.testing.assert_allclose(middle, xyz[both : both + 2, joint].mean(0), atol=1e-5)
    for frame in np.flatnonzero(~known):
        assert file.sampled("P1_left_hip", "scale", seconds(frame) + 0.9 / RATE_HZ).tolist() == [0, 0, 0]


def test_the_file_says_what_it_is_and_lasts_as_long_as_the_take(file):
    about = file.document["asset"]["extras"]
    assert (about["unit"], about["axes"], about["rate_hz"], about["frames"]) == ("m", "y-up", RATE_HZ, FRAMES)
    assert file.duration_s() == pytest.approx((FRAMES - 1) / RATE_HZ, abs=1e-6)
    assert {file.parents[f"P2_{joint}"] for joint in COCO.joints} == {"person 2"}
    assert file.parents["person 1"] == file.parents["person 2"] == "walk"
    for person in (1, 2):
        mesh = file.document["meshes"][file.nodes[f"P{person}_nose"]["mesh"]]["primitives"][0]
        linear = np.array(file.document["materials"][mesh["material"]]["pbrMetallicRoughness"]["baseColorFactor"])
        encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        np.testing.assert_allclose(255 * encoded[:3], colour(person), atol=0.1)


def test_a_person_has_keyframes_only_while_present_and_is_hidden_before_and_after(tmp_path):
    table = poses(50, missing=0.0, absent=lambda frame, person: person == 2 and not 20 <= frame < 30)
    (path,) = export_take(take(table, 50), tmp_path, ["gltf"])
    found = Glb(path)
    times = found._channels["P2_nose", "scale"][0]
    np.testing.assert_allclose(times * RATE_HZ, np.arange(19, 31), atol=1e-5)
    shown = [found.sampled("P2_nose", "scale", seconds(frame))[0] for frame in range(50)]
    assert np.flatnonzero(shown).tolist() == list(range(20, 30))
    assert found.duration_s() == pytest.approx(49 / RATE_HZ)


@pytest.mark.parametrize("shape", [gltf_file.sphere_mesh(0.5), gltf_file.cylinder_mesh(0.5)])
def test_shapes_face_outwards(shape):
    vertices, normals, triangles = shape
    corners = vertices[triangles.reshape(-1, 3)].astype(float)
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((facing * normals[triangles.reshape(-1, 3)].mean(1)).sum(-1) > 0).all()
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-6)
    np.testing.assert_allclose(np.hypot(vertices[:, 0], vertices[:, 2]).max(), 0.5, atol=1e-2)


def test_the_sphere_is_closed():
    vertices, _, triangles = gltf_file.sphere_mesh(1.0)
    faces = triangles.reshape(-1, 3)
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
    assert len(vertices) - len(edges) // 2 + len(faces) == 2  # Euler


def test_nobody_and_one_frame_make_files(tmp_path):
    for frames in (0, 1, 3):
        (path,) = export_take(take(Poses3D.empty(COCO), frames, name=f"none{frames}"), tmp_path, ["gltf"])
        assert list(Glb(path).nodes) == [f"none{frames}"]
    (path,) = export_take(take(poses(1, missing=0.0), 1), tmp_path, ["gltf"])
    assert Glb(path).sampled("P1_nose", "scale", 0.0).tolist() == [1, 1, 1]


def test_a_take_too_long_for_the_format_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(gltf, "LARGEST_BYTES", 20_000)
    with pytest.raises(InputError, match="glTF cannot hold this take"):
        export_take(take(TABLE, FRAMES), tmp_path, ["gltf"])
    assert list(tmp_path.iterdir()) == []
