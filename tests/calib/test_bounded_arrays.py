"""Archives of arrays within limits: stated shapes, compressed zeros, Python objects and cut files."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from calib.bounded_arrays import bounded_arrays


def member(shape, dtype="<f8", data=b"", order=False):
    stream = io.BytesIO()
    header = {"descr": dtype, "fortran_order": order, "shape": shape}
    np.lib.format.write_array_header_2_0(stream, header)
    return stream.getvalue() + data


def archive(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members:
            file.writestr(name, data)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_those_of_numpy(tmp_path, save):
    arrays = {
        "a": np.arange(12.0).reshape(3, 4), "b": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
        "text": np.array(["x", "longer"]), "one": np.array(3), "none": np.zeros((0, 17, 2), np.float32),
    }  # fmt: skip
    save(tmp_path / "x.npz", **arrays)
    read = bounded_arrays(tmp_path / "x.npz")
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype and np.array_equal(read[name], array)
    read["a"][0, 0] = 7  # writable, as those of numpy
    assert bounded_arrays(tmp_path / "x.npz", ("b",)).keys() == {"b"}
    assert bounded_arrays(tmp_path / "x.npz", lambda name: name == "one").keys() == {"one"}


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ([("a.npy", member((10**12,)))], "shape"),
        ([("a.npy", member((10**400, 3)))], "shape"),
        ([("a.npy", member((-1, 3), data=b"x" * 24))], "shape"),
        ([("a.npy", member((3,), data=b"x" * 23))], "shape"),
        ([("a.npy", member((0, 10**30)))], "shape"),
        ([("a.npy", member((10**12,), dtype="|V0"))], "shape"),
        ([("a.npy", member((1,), dtype="|O", data=b"x" * 8))], "objects"),
        ([("a.npy", member((50_000_000,), data=bytes(400_000_000)))], "times larger"),
        ([("a.npy", b"no array")], "magic"),
        ([("a.npy", member((1,), data=b"x" * 8)), ("a.npy", member((1,), data=b"y" * 8))], "twice"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_arrays_are_refused_and_cost_no_memory(tmp_path, members, what):
    path = archive(tmp_path / "x.npz", members)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=what) as caught:
            bounded_arrays(path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)


def test_every_cut_and_every_flipped_byte_is_a_refusal_or_the_arrays(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=np.arange(20.0), b=np.arange(3))
    whole = path.read_bytes()
    outcomes = set()
    for place in range(0, len(whole), 3):
        for damaged in (whole[:place], whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :]):
            path.write_bytes(damaged)
            try:
                outcomes.add(tuple(sorted(bounded_arrays(path))))
            except ValueError as fault:
                assert str(fault) and "\n" not in str(fault)
                outcomes.add("refused")
    assert "refused" in outcomes


def test_a_missing_file_is_an_operating_system_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        bounded_arrays(tmp_path / "none.npz")
