"""Animated bodies as glTF: posed by the specification, the file's vertices are those of the body."""

import numpy as np
import posed_bodies
import pytest
from glb_reader import Glb
from scipy.spatial.transform import Rotation

from mvcap.body_fitting.posed_joints import all_turns, scaled_shapes
from mvcap.body_models import capsules
from mvcap.errors import InputError, SessionError
from mvcap.exporters.gltf_skins import SkinFile, SkinnedPerson, shown_keys
from mvcap.exporters.gltf_skins_reader import AnimatedBodies
from mvcap.structures.skinned_body import LinearPoints

FRAMES = np.array([3, 4, 5, 9, 10])
Z_UP_TO_Y_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The file of a person who is there twice, with the vertices (T, V, 3) m that it should show."""
    body = scaled_shapes(capsules.load())
    shape = np.linspace(-1, 1, len(body.heads.basis))
    rest, heads = body.vertices.at(shape), body.heads.at(shape)
    pose = posed_bodies.random_poses(capsules.load(), len(FRAMES))
    turns = all_turns(body, posed_bodies.joint_model(capsules.load()).groups, pose)
    path = tmp_path_factory.mktemp("glb") / "people.glb"
    with SkinFile(path, body, {7: SkinnedPerson(rest, heads, FRAMES)}, 25.0, "take") as file:
        file.write(7, turns[:2], pose.root[:2])
        file.write(7, turns[2:], pose.root[2:])
    vertices = [body.skin(turn, root, rest, heads) for turn, root in zip(turns, pose.root, strict=True)]
    return Glb(path), np.stack(vertices) @ Z_UP_TO_Y_UP.T


def shown(glb, key):
    """Vertices (V, 3) m at a keyframe, by the formulas of the specification."""
    document = glb.document
    channels = {}
    for channel in document["animations"][0]["channels"]:
        sampler = document["animations"][0]["samplers"][channel["sampler"]]
        channels[channel["target"]["node"], channel["target"]["path"]] = glb.values(sampler["output"])
    world = {}

    def walk(index, outer):
        node, here = document["nodes"][index], np.eye(4)
        turn = (
            channels[index, "rotation"][key] if (index, "rotation") in channels else node.get("rotation", [0, 0, 0, 1])
        )
        moved = (index, "translation") in channels
        here[:3, :3] = Rotation.from_quat(turn).as_matrix()
        here[:3, 3] = channels[index, "translation"][key] if moved else node.get("translation", [0, 0, 0])
        world[index] = outer @ here
        for child in node.get("children", []):
            walk(child, world[index])

    [skin] = document["skins"]
    walk(skin["skeleton"], np.eye(4))
    inverse = glb.values(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
    joint = np.stack([world[node] for node in skin["joints"]]) @ inverse
    [primitive] = document["meshes"][0]["primitives"]
    rest = glb.values(primitive["attributes"]["POSITION"]).astype(float)
    bone, weight = (glb.values(primitive["attributes"][name]) for name in ("JOINTS_0", "WEIGHTS_0"))
    blended = np.einsum("vk,vkab->vab", weight, joint[bone])
    return np.einsum("vab,vb->va", blended[:, :3, :3], rest) + blended[:, :3, 3]


def test_the_animation_shows_the_body(made):
    glb, vertices = made
    for key in range(len(FRAMES)):
        np.testing.assert_allclose(shown(glb, key), vertices[key], atol=2e-5)


def test_times_and_presence(made):
    glb, _ = made
    animation = glb.document["animations"][0]
    found = {}
    for channel in animation["channels"]:
        sampler = animation["samplers"][channel["sampler"]]
        found[channel["target"]["path"]] = glb.values(sampler["input"]), glb.values(sampler["output"]), sampler
    np.testing.assert_allclose(found["rotation"][0], FRAMES / 25, atol=1e-6)
    times, scale, sampler = found["scale"]
    np.testing.assert_allclose(times, np.array([0, 3, 6, 9, 11]) / 25, atol=1e-6)
    assert scale[:, 0].tolist() == [0, 1, 0, 1, 0] and sampler["interpolation"] == "STEP"


def test_presence_follows_the_step_of_frames():
    assert [values.tolist() for values in shown_keys(np.array([0, 5, 10]))] == [[0, 15], [1, 0]]
    assert [values.tolist() for values in shown_keys(np.array([4]))] == [[0, 4, 5], [0, 1, 0]]


def test_normals_point_outwards(made):
    glb, _ = made
    [primitive] = glb.document["meshes"][0]["primitives"]
    rest, normals = (glb.values(primitive["attributes"][name]).astype(float) for name in ("POSITION", "NORMAL"))
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-5)
    faces = capsules.load().faces
    across = np.cross(rest[faces[:, 1]] - rest[faces[:, 0]], rest[faces[:, 2]] - rest[faces[:, 0]])
    assert ((across[:, None] * normals[faces]).sum(-1) > 0).mean() > 0.99


def test_too_many_vertices_are_refused_before_anything_is_written(tmp_path):
    from dataclasses import replace

    body = capsules.load()
    many = 70_000
    large = replace(body, bone_of=np.zeros((many, 1), int), weight=np.ones((many, 1)),
                    vertices=LinearPoints(np.zeros((many, 3)), np.zeros((1, many, 3))))  # fmt: skip
    with pytest.raises(InputError, match="65535"):
        SkinFile(tmp_path / "a.glb", large, {}, 25.0, "take")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def two_people(tmp_path):
    """A file of two people, every third frame, and the vertices (T, V, 3) m of the second one."""
    body = capsules.load()
    pose = posed_bodies.random_poses(body, 4)
    turns = all_turns(body, posed_bodies.joint_model(body).groups, pose)
    small = LinearPoints(0.8 * body.vertices.mean, body.vertices.basis).mean, 0.8 * body.heads.mean
    frames = np.array([0, 3, 6, 12])
    people = {2: SkinnedPerson(body.vertices.mean, body.heads.mean, frames[:2]), 5: SkinnedPerson(*small, frames)}
    with SkinFile(tmp_path / "people.glb", body, people, 29.97, "take") as file:
        file.write(2, turns[:2], pose.root[:2])
        file.write(5, turns, pose.root)
    vertices = [body.skin(turn, root, *small) for turn, root in zip(turns, pose.root, strict=True)]
    return tmp_path / "people.glb", np.stack(vertices)


def test_what_is_read_back_is_the_body_that_was_written(two_people):
    path, vertices = two_people
    bodies = AnimatedBodies(path)
    assert bodies.name == "capsules" and bodies.step == 3 and list(bodies.people) == [2, 5]
    one = bodies.people[5]
    assert one.frames.tolist() == [0, 3, 6, 12] and one.body.parents == capsules.load().parents
    np.testing.assert_allclose([one.vertices(key) for key in range(4)], vertices, atol=2e-6)
    assert [bodies.at(frame) for frame in (0, 5, 6, 9, 14)] == [{2: 0, 5: 0}, {2: 1, 5: 1}, {5: 2}, {}, {5: 3}]
    assert one.keys(3, 12) == slice(1, 3)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:400],
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: data.replace(b'"POSITION"', b'"POSITIVE"'),
        lambda data: data.replace(b'"persons":[2,5]', b'"persons":[2,{}'),
        lambda data: data.replace(b'"byteOffset":0', b'"byteOffset":9'),
    ],
)
def test_a_damaged_file_is_one_line(two_people, damage):
    path = two_people[0]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(SessionError, match=r"people.glb: damaged.*mesh --redo") as fault:
        AnimatedBodies(path)
    assert "\n" not in str(fault.value)
