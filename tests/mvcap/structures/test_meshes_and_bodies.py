"""Skinned bodies and files of meshes: what is written is what other programs read."""

import numpy as np
import pytest

from mvcap.body_models import capsules
from mvcap.errors import SessionError
from mvcap.structures.mesh_file import save_mesh
from mvcap.structures.skinned_body import LinearPoints, carrier


def read_ply(path):
    """Vertices (V, 3), colours (V, 3) and triangles (F, 3) of a PLY file, by its header."""
    data = path.read_bytes()
    header, _, rest = data.partition(b"end_header\n")
    counts = [int(line.split()[2]) for line in header.decode().splitlines() if line.startswith("element")]
    points = np.frombuffer(rest, [("xyz", "<f4", 3), ("rgb", "u1", 3)], counts[0])
    faces = np.frombuffer(rest[points.nbytes :], [("count", "u1"), ("corner", "<i4", 3)], counts[1])
    assert len(rest) == points.nbytes + faces.nbytes and (faces["count"] == 3).all()
    return points["xyz"], points["rgb"], faces["corner"]


def test_a_mesh_is_written_as_ply(tmp_path):
    body = capsules.load()
    path = save_mesh(tmp_path / "one.ply", body.vertices.mean, body.faces, (1, 2, 3))
    xyz, rgb, faces = read_ply(path)
    np.testing.assert_allclose(xyz, body.vertices.mean, atol=1e-6)
    np.testing.assert_array_equal(faces, body.faces)
    assert (rgb == (1, 2, 3)).all()
    with pytest.raises(SessionError, match="cannot be written"):
        save_mesh(path / "below.ply", body.vertices.mean, body.faces, (1, 2, 3))


def test_open3d_reads_the_mesh(tmp_path):
    open3d = pytest.importorskip("open3d", reason="the reader is of the package open3d (extra cloud)")
    body = capsules.load()
    mesh = open3d.io.read_triangle_mesh(str(save_mesh(tmp_path / "one.ply", body.vertices.mean, body.faces, (9, 8, 7))))
    assert len(mesh.vertices) == len(body.vertices.mean) and len(mesh.triangles) == len(body.faces)
    np.testing.assert_allclose(np.asarray(mesh.vertex_colors)[0] * 255, (9, 8, 7), atol=0.6)


def test_joints_move_with_the_bones_that_carry_them():
    assert [carrier(name) for name in ("left_knee", "right_small_toe", "nose", "neck", "left_hip", "mouth_left")] == [
        "left_thigh", "right_foot", "neck", "spine", "pelvis", "neck",
    ]  # fmt: skip


def test_a_body_at_rest_is_its_rest_moved():
    body = capsules.load()
    turns = np.tile(np.eye(3), (len(body.parents), 1, 1))
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    turns[0] = quarter
    root = np.array([1.0, 2, 3])
    found = body.skin(turns, root, body.vertices.mean, body.heads.mean)
    np.testing.assert_allclose(found, (body.vertices.mean - body.heads.mean[0]) @ quarter.T + root, atol=1e-12)


def test_points_are_linear_in_the_shape():
    points = LinearPoints(np.ones((2, 3)), np.arange(12.0).reshape(2, 2, 3))
    np.testing.assert_allclose(
        points.at(np.array([1.0, -2])), 1 + np.arange(6.0).reshape(2, 3) - 2 * np.arange(6, 12.0).reshape(2, 3)
    )
