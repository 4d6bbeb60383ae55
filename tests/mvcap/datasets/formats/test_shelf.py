import json
from dataclasses import replace

import numpy as np
import pytest
from recorded_take import dataset_of_walkers, same_truth
from scipy.io import loadmat

from calib import Camera, Rig
from mvcap.datasets.formats.shelf import SHELF14, ShelfActors
from mvcap.datasets.ground_truth import as_skeleton
from mvcap.errors import InputError


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shelf")
    truth = dataset_of_walkers(folder)
    ShelfActors().write(truth, folder / "shelf")
    return truth, folder / "shelf"


def test_it_is_read_back(written):
    truth, folder = written
    back = ShelfActors().read(folder)
    assert back.name == "walk" and back.views == truth.views
    np.testing.assert_allclose(back.rig.P, truth.rig.P, atol=1e-8)
    same_truth(as_skeleton(truth, SHELF14), back, ("xyz", "xy"), atol=1e-6)


def test_loaders_of_the_data_set_read_it(written):
    """The way that VoxelPose goes: nested cells of people and frames, an empty one where nobody is."""
    truth, folder = written
    data = loadmat(folder / "train" / "actorsGT.mat")
    actors = np.array(np.array(data["actor3D"].tolist()).tolist(), object).squeeze()  # people x frames
    assert actors.shape == (2, 11)
    for one in truth.of_split("train"):
        for person in (0, 1):
            pose = actors[person][one.frame]
            assert (len(pose[0]) > 0) == (person + 1 in one.persons)
    first = next(as_skeleton(truth, SHELF14).frames())
    np.testing.assert_allclose(actors[0][0], first.xyz[0], equal_nan=True)
    assert np.isnan(actors[0][0][13]).all() and np.isfinite(actors[0][0][12]).all()  # top and bottom of the head
    calibration = json.loads((folder / "train" / "calibration_walk.json").read_text())
    for view, (name, held) in enumerate(calibration.items()):
        x = np.array(held["R"]) @ (1e3 * first.xyz[0, 2] - np.ravel(held["T"]))
        x = x[:2] / x[2]
        r = x @ x
        k, p = np.ravel(held["k"]), np.ravel(held["p"])
        bent = x * (1 + k @ [r, r**2, r**3]) + [
            2 * p[0] * x[0] * x[1] + p[1] * (r + 2 * x[0] ** 2), 2 * p[1] * x[0] * x[1] + p[0] * (r + 2 * x[1] ** 2)
        ]  # fmt: skip
        pixel = bent * [held["fx"], held["fy"]] + [held["cx"], held["cy"]]
        assert name == truth.views[view]
        np.testing.assert_allclose(pixel, first.xy[0, view, 2], atol=1e-6)
        assert (folder / "train" / f"Camera{view}" / "img_000000.png").exists()


def test_lenses_that_it_cannot_hold_are_refused(tmp_path):
    truth = dataset_of_walkers(tmp_path, frames=3, images=False)
    bent = replace(truth.rig[0].lens, model="fisheye", distortion=np.zeros(4))
    rig = Rig((Camera(bent, truth.rig[0].cam_from_world), *list(truth.rig)[1:]))
    with pytest.raises(InputError, match="camera 'cam1': Shelf's calibration holds pinhole lenses"):
        ShelfActors().write(replace(truth, rig=rig), tmp_path / "shelf")
    assert not (tmp_path / "shelf").exists()


def test_damaged_folders_are_one_line(written, tmp_path):
    with pytest.raises(InputError, match=r"no actorsGT\.mat in it"):
        ShelfActors().read(tmp_path)
    (tmp_path / "actorsGT.mat").write_bytes(b"nothing")
    with pytest.raises(InputError, match="no calibration_"):
        ShelfActors().read(tmp_path)
    (tmp_path / "calibration_a.json").write_text('{"a": {"R": 1}}')
    with pytest.raises(InputError, match="cannot be read as Shelf's calibration"):
        ShelfActors().read(tmp_path)
    _, folder = written
    (tmp_path / "calibration_a.json").write_text((folder / "train" / "calibration_walk.json").read_text())
    with pytest.raises(InputError, match="cannot be read as MATLAB's file of actor3D"):
        ShelfActors().read(tmp_path)
