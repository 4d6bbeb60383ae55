from dataclasses import replace

import numpy as np
import pytest
from recorded_take import dataset_of_walkers, same_truth

from mvcap.datasets.formats.human36m import HUMAN36M17, Human36mArrays
from mvcap.datasets.ground_truth import as_skeleton, in_memory
from mvcap.datasets.object_arrays import read_mapping
from mvcap.errors import InputError


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("human36m")
    truth = dataset_of_walkers(folder)
    Human36mArrays().write(truth, folder / "human36m")
    return truth, folder / "human36m"


def test_it_is_read_back(written):
    truth, folder = written
    back = Human36mArrays().read(folder)
    assert back.rate_hz == truth.rate_hz and back.views == truth.views
    same_truth(as_skeleton(truth, HUMAN36M17), back, ("xyz", "xy"), atol=1e-3)


def test_videopose3d_reads_it(written):
    """The way that VideoPose3D goes: np.load(...)['positions_3d'].item(), metadata, a list of cameras."""
    truth, folder = written
    three = np.load(folder / "data_3d_walk.npz", allow_pickle=True)["positions_3d"].item()
    two = np.load(folder / "data_2d_walk_gt.npz", allow_pickle=True)
    metadata, positions = two["metadata"].item(), two["positions_2d"].item()
    left, right = metadata["keypoints_symmetry"]
    assert [HUMAN36M17.joints[j].replace("left", "right") for j in left] == [HUMAN36M17.joints[j] for j in right]
    assert set(three) == set(positions) == {"S1", "S2"} and set(three["S1"]) == {"train 1", "val 1", "test 1"}
    assert three["S1"]["train 1"].shape == (6, 17, 3) and three["S2"]["train 1"].shape == (5, 17, 3)
    assert [one.shape for one in positions["S2"]["train 1"]] == [(5, 17, 2)] * 3
    first = next(as_skeleton(truth, HUMAN36M17).frames())
    np.testing.assert_allclose(three["S1"]["train 1"][0], first.xyz[0], atol=1e-6, equal_nan=True)
    assert np.isnan(three["S1"]["train 1"][:, [7, 10]]).all()  # spine and top of the head are not invented


def test_a_gap_begins_another_action(written, tmp_path):
    truth, _ = written
    frames = [one for one in truth.of_split("train") if one.frame != 4]
    Human36mArrays().write(replace(truth, frames=in_memory(frames)), tmp_path)
    three = np.load(tmp_path / "data_3d_walk.npz", allow_pickle=True)["positions_3d"].item()
    assert [len(one) for one in three["S1"].values()] == [2, 3]
    same_truth(
        as_skeleton(replace(truth, frames=in_memory(frames)), HUMAN36M17), Human36mArrays().read(tmp_path), ("xyz",)
    )


class Hostile:
    def __reduce__(self):
        return (print, ("run",))


def test_a_program_in_a_file_is_refused_and_not_run(written, tmp_path, capsys):
    np.savez(tmp_path / "bad.npz", positions_3d=np.array({"S1": Hostile()}, object))
    with pytest.raises(InputError, match="is not an array"):
        read_mapping(tmp_path / "bad.npz", "positions_3d")
    assert "run" not in capsys.readouterr().out
    (tmp_path / "cut.npz").write_bytes((tmp_path / "bad.npz").read_bytes()[:50])
    with pytest.raises(InputError, match=r"cut\.npz: cannot be read as positions_3d"):
        read_mapping(tmp_path / "cut.npz", "positions_3d")


def test_damaged_folders_are_one_line(written, tmp_path):
    with pytest.raises(InputError, match=r"cameras of Human3\.6M's layout"):
        Human36mArrays().read(tmp_path)
    _, folder = written
    (tmp_path / "cameras.json").write_text((folder / "cameras.json").read_text().replace('"S1"', '"T1"'))
    for path in folder.glob("*.npz"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="'T1' names no subject"):
        Human36mArrays().read(tmp_path)
