import numpy as np
import pytest
from recorded_take import bent_rig
from scipy.io import loadmat

from mvcap.datasets.mat_files import read_mat, write_mat
from mvcap.datasets.object_arrays import read_mapping, write_mappings
from mvcap.datasets.plain_cameras import array_of, numbers, plain_rig, read_document, rig_of, text_of
from mvcap.errors import InputError


def test_cameras_survive_json(tmp_path):
    rig = bent_rig()
    (tmp_path / "rig.json").write_text(text_of(plain_rig(rig)))
    back = rig_of(read_document(tmp_path / "rig.json", "cameras"), tmp_path)
    np.testing.assert_array_equal(back.P, rig.P)
    assert [list(one.lens.distortion) for one in back] == [list(one.lens.distortion) for one in rig]
    with pytest.raises(InputError, match="its cameras cannot be read"):
        rig_of([{"name": "a"}], tmp_path)


def test_numbers_have_no_nan():
    values = np.array([[1.23456789, np.nan], [np.inf, -2]])
    assert numbers(values, 3) == [[1.235, None], [None, -2.0]]
    assert numbers(np.float64(2.0)) == 2.0 and numbers(np.nan) is None
    np.testing.assert_array_equal(array_of(numbers(values, 3)), [[1.235, np.nan], [np.nan, -2]])


def test_mat_files_hold_cells_and_are_the_same_each_time(tmp_path):
    cell = np.empty((2, 1), object)
    cell[0, 0], cell[1, 0] = {"a": np.eye(2)}, {"a": np.zeros((1, 0))}
    for name in ("one.mat", "two.mat"):
        write_mat(tmp_path / name, {"held": cell})
    assert (tmp_path / "one.mat").read_bytes() == (tmp_path / "two.mat").read_bytes()
    np.testing.assert_array_equal(loadmat(tmp_path / "one.mat")["held"][0, 0]["a"][0, 0], np.eye(2))
    assert read_mat(tmp_path / "one.mat", "held").shape == (2, 1)
    with pytest.raises(InputError, match=r"one\.mat: cannot be read as MATLAB's file of other"):
        read_mat(tmp_path / "one.mat", "other")


def test_mappings_survive_their_file_and_are_the_same_each_time(tmp_path):
    held = {"S1": {"train 1": np.arange(6.0).reshape(2, 3)}}
    for name in ("one.npz", "two.npz"):
        write_mappings(tmp_path / name, {"positions_3d": held})
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    np.testing.assert_array_equal(
        read_mapping(tmp_path / "one.npz", "positions_3d")["S1"]["train 1"], held["S1"]["train 1"]
    )
