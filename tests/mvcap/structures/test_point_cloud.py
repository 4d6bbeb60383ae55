"""Clouds of points, and their files: what goes in comes out, and damaged files give one line."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mvcap.errors import InputError, SessionError
from mvcap.structures import cloud_file
from mvcap.structures.cloud_file import load_cloud, save_cloud
from mvcap.structures.point_cloud import PointCloud

COLUMNS = ("xyz", "rgb", "person", "views", "error", "normals")


def some_cloud(count=7, normals=True, seed=0):
    rng = np.random.default_rng(seed)
    away = rng.normal(size=(count, 3))
    away /= np.linalg.norm(away, axis=-1, keepdims=True)
    rgb, person, views = (rng.integers(0, 255, shape) for shape in ((count, 3), count, count))
    return PointCloud(rng.normal(size=(count, 3)), rgb, person, views, rng.random(count), away if normals else None)


def same(one, two):
    for name in COLUMNS:
        a, b = getattr(one, name), getattr(two, name)
        assert (a is None) == (b is None), name
        if a is not None:
            np.testing.assert_array_equal(a, b, err_msg=name)
            assert a.dtype == b.dtype


@pytest.mark.parametrize("form", cloud_file.FORMATS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_what_is_written_is_read(tmp_path_factory, form, data):
    count = data.draw(st.integers(0, 40))
    floats = st.floats(-1e6, 1e6, width=32)
    xyz = data.draw(arrays(np.float32, (count, 3), elements=floats))
    rgb = data.draw(arrays(np.uint8, (count, 3)))
    person = data.draw(arrays(np.int32, count, elements=st.integers(0, 2**31 - 1)))
    views = data.draw(arrays(np.uint8, count))
    error = data.draw(arrays(np.float32, count, elements=st.floats(0, 1, width=32) | st.just(np.nan)))
    normals = data.draw(st.none() | arrays(np.float32, (count, 3), elements=st.floats(-1, 1, width=32)))
    cloud = PointCloud(xyz, rgb, person, views, error, normals)
    path = tmp_path_factory.mktemp("cloud") / f"one.{form}"
    same(load_cloud(save_cloud(path, cloud)), cloud)


def test_columns_are_checked_and_cannot_be_changed():
    with pytest.raises(ValueError, match=r"rgb has shape \(2, 3\); expected \(1, 3\)"):
        PointCloud(np.zeros((1, 3)), np.zeros((2, 3)), np.zeros(1), np.zeros(1), np.zeros(1))
    with pytest.raises(ValueError, match="not finite"):
        PointCloud.from_points([[0, np.nan, 0]])
    with pytest.raises(ValueError, match="read-only"):
        some_cloud().xyz[0] = 0


def test_clouds_are_joined_and_picked():
    one, two = some_cloud(3), some_cloud(4, seed=1)
    both = PointCloud.concatenate([one, two])
    assert len(both) == 7 and both.normals is not None
    same(both[3:], two)
    same(both[np.arange(7) < 3], one)
    assert PointCloud.concatenate([one, some_cloud(2, normals=False)]).normals is None
    assert len(PointCloud.concatenate([])) == 0
    person = int(both.person[0])
    assert (both.of(person).person == person).all() and person in both.persons


def test_a_ply_of_another_program(tmp_path):
    header = (
        "ply\r\nformat binary_little_endian 1.0\r\ncomment made elsewhere\r\nelement vertex 2\r\nproperty double x\r\n"
        "property double y\r\nproperty double z\r\nproperty uint8 intensity\r\nelement face 1\r\n"
        "property list uchar int vertex_indices\r\nend_header\r\n"
    )
    rows = struct.pack("<dddBdddB", 1, 2, 3, 9, float("nan"), 0, 0, 9)
    (tmp_path / "a.ply").write_bytes(header.encode() + rows + b"\3\0\0\0\0\0\0\0\0\0\0\0\0")
    cloud = load_cloud(tmp_path / "a.ply")
    assert cloud.xyz.tolist() == [[1, 2, 3]] and cloud.rgb.tolist() == [[128] * 3] and np.isnan(cloud.error).all()


def test_a_pcd_with_packed_float_colours(tmp_path):
    colour = struct.unpack("<f", struct.pack("<I", 0x0A141E))[0]
    header = "VERSION .7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\nWIDTH 1\nHEIGHT 1\n"
    header += "POINTS 1\nDATA binary\n"
    (tmp_path / "a.pcd").write_bytes(header.encode() + struct.pack("<ffff", 1, 2, 3, colour))
    assert load_cloud(tmp_path / "a.pcd").rgb.tolist() == [[10, 20, 30]]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"element vertex 7", b"element vertex 900000000000", "cut off"),
        (b"element vertex 7", b"element vertex -1", "no number"),
        (b"binary_little_endian", b"ascii", "not binary_little_endian"),
        (b"property float x", b"property float q", "no coordinates"),
        (b"property float y", b"property float x", "twice"),
        (b"property float x", b"property half x", "unknown"),
        (b"property uchar red", b"property list uchar int red", "lists"),
        (b"end_header", b"no_header_", "no end"),
        (b"ply\n", b"plx\n", "does not begin"),
    ],
)
def test_a_damaged_ply_gives_one_line(tmp_path, old, new, words):
    path = save_cloud(tmp_path / "a.ply", some_cloud())
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(InputError, match=words) as caught:
        load_cloud(path)
    assert "\n" not in str(caught.value) and "a.ply" in str(caught.value)


@pytest.mark.parametrize("form", cloud_file.FORMATS)
def test_files_damaged_by_chance_give_a_cloud_or_one_line(tmp_path, form):
    whole = save_cloud(tmp_path / f"a.{form}", some_cloud()).read_bytes()
    rng, path = np.random.default_rng(0), tmp_path / f"b.{form}"
    for _ in range(300):
        data = bytearray(whole[: rng.integers(0, len(whole) + 1)] if rng.random() < 0.3 else whole)
        for _ in range(rng.integers(0, 6)):
            if data:
                data[rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(data)
        try:
            assert np.isfinite(load_cloud(path).xyz).all()
        except InputError as fault:
            assert "\n" not in str(fault)


def test_files_that_are_missing_too_large_or_of_another_kind(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"cannot be read .*check the path"):
        load_cloud(tmp_path / "none.ply")
    with pytest.raises(InputError, match=r"\.ply or \.pcd"):
        save_cloud(tmp_path / "a.xyz", some_cloud())
    path = save_cloud(tmp_path / "a.ply", some_cloud())
    monkeypatch.setattr(cloud_file, "_MOST_BYTES", 100)
    with pytest.raises(InputError, match="larger than"):
        load_cloud(path)


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = save_cloud(tmp_path / "a.ply", some_cloud())
    before = path.read_bytes()

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(path), "write_bytes", full)
    with pytest.raises(SessionError, match="No space left"):
        save_cloud(path, some_cloud(20))
    assert path.read_bytes() == before and [one.name for one in tmp_path.iterdir()] == ["a.ply"]
