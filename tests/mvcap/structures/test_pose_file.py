"""Poses as one file: everything comes back, and whatever is damaged is one line."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from walking_take import poses

from mvcap.errors import InputError, SessionError
from mvcap.structures.pose_file import load_poses, save_poses
from mvcap.structures.poses import Poses3D, TakeInfo
from mvcap.structures.skeleton import SKELETONS

TABLE = poses(6, missing=0.2)


def same(one, other):
    assert one.skeleton == other.skeleton
    for name in one.columns():
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name


def refused(path, *words):
    with pytest.raises(InputError) as caught:
        load_poses(path)
    assert "\n" not in str(caught.value)
    for word in (path.name, *words):
        assert word in str(caught.value), str(caught.value)


def test_poses_alone_come_back_bit_for_bit(tmp_path):
    path = save_poses(tmp_path / "poses.npz", TABLE)
    read = load_poses(str(path))
    same(read, TABLE)
    assert read.raw is None and read.rate_hz is None and read.take.frames == 6
    assert [file.name for file in tmp_path.iterdir()] == ["poses.npz"]


def test_what_belongs_to_the_take_comes_back_too(tmp_path):
    raw = TABLE.with_columns(xyz=TABLE.xyz + 1)
    take = TakeInfo(29.97, 40, raw, {"settings": {"track": {"join_s": 2}}, "views": ["left"]})
    read = load_poses(save_poses(tmp_path / "poses.npz", replace(TABLE, take=take)))
    same(read, TABLE)
    same(read.raw, raw)
    assert read.rate_hz == 29.97 and read.take.frames == 40
    assert read.take.about["settings"] == {"track": {"join_s": 2}} and read.take.about["views"] == ["left"]
    assert read.take.about["unit"] == "m" and read.take.about["joints"] == list(TABLE.skeleton.joints)
    again = load_poses(save_poses(tmp_path / "again.npz", read))
    same(again.raw, raw)
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "poses.npz").read_bytes()


@pytest.mark.parametrize("kind", SKELETONS.values(), ids=SKELETONS)
def test_empty_tables_of_any_skeleton_come_back(tmp_path, kind):
    read = load_poses(save_poses(tmp_path / "poses.npz", Poses3D.empty(kind)))
    assert len(read) == 0 and read.skeleton == kind and read.take.frames == 0


def test_any_program_reads_the_file(tmp_path):
    save_poses(tmp_path / "poses.npz", replace(TABLE, take=TakeInfo(25.0, 6)))
    with np.load(tmp_path / "poses.npz", allow_pickle=False) as held:
        assert str(held["skeleton"]) == "coco17" and json.loads(str(held["about"]))["rate_hz"] == 25
        np.testing.assert_array_equal(held["xyz"], TABLE.xyz)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 0.9999))
def test_a_file_that_is_cut_short_is_one_line(tmp_path, share):
    path = save_poses(tmp_path / "poses.npz", TABLE)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path)


@pytest.mark.parametrize("name", Poses3D.columns())
def test_a_column_that_is_missing_or_of_another_shape_is_named(tmp_path, name):
    path, held = tmp_path / "poses.npz", {"skeleton": np.array("coco17"), **TABLE.arrays()}
    np.savez(path, **{key: value for key, value in held.items() if key != name})
    refused(path, name)
    np.savez(path, **{**held, name: held[name][:, None]})
    refused(path)


@pytest.mark.parametrize(
    "change",
    [
        {"skeleton": np.array("coco19")},
        {"about": np.array("{")},
        {"about": np.array("[1]")},
        {"about": np.array("{}")},
        {"about": np.array('{"skeleton": "coco17", "frames": "many"}')},
        {"score": np.zeros_like(TABLE.score)},  # joints that are there and have no score
        {"xyz": np.array([None] * len(TABLE), dtype=object)},
        {"raw_xyz": TABLE.xyz},  # of the unrefined poses one column only
    ],
)
def test_what_holds_something_else_is_refused(tmp_path, change):
    np.savez(tmp_path / "poses.npz", **{"skeleton": np.array("coco17"), **TABLE.arrays(), **change})
    with pytest.raises(InputError) as caught:
        load_poses(tmp_path / "poses.npz")
    assert "\n" not in str(caught.value)


def test_what_is_no_archive(tmp_path):
    for data in (b"", b"PK", b"nothing that is known", bytes(range(256))):
        (tmp_path / "poses.npz").write_bytes(data)
        refused(tmp_path / "poses.npz")
    np.save(tmp_path / "array.npy", np.zeros(3))
    for path in (tmp_path / "none.npz", tmp_path, tmp_path / "array.npy"):
        refused(path)


def test_a_path_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SessionError, match="cannot be written"):
        save_poses(tmp_path / "file" / "poses.npz", TABLE)


def test_a_damaged_compressed_file_is_named(tmp_path):
    path = tmp_path / "poses.npz"
    np.savez_compressed(path, skeleton="coco17", **poses(5).arrays())
    whole = path.read_bytes()
    for at in range(500, len(whole), 37):
        data = bytearray(whole)
        data[at] ^= 0xFF
        path.write_bytes(bytes(data))
        try:
            load_poses(path)
        except InputError as fault:
            assert str(path) in str(fault) and "\n" not in str(fault)


@pytest.mark.parametrize(
    "held",
    [{"a": np.zeros(3)}, {}, {"about": np.array("{}")}, {"about": np.array("[" * 5000)}, {"skeleton": np.array(3)}],
)
def test_a_foreign_file_is_named(tmp_path, held):
    path = tmp_path / "poses.npz"
    np.savez(path, **held)
    with pytest.raises(InputError, match=r"poses\.npz") as caught:
        load_poses(path)
    assert "None" not in str(caught.value)
