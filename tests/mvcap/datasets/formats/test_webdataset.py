import io

import numpy as np
import pytest
from recorded_take import dataset_of_walkers, same_truth

from mvcap.datasets.formats import webdataset
from mvcap.datasets.formats.webdataset import WebDatasetShards
from mvcap.errors import InputError


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("webdataset")
    truth = dataset_of_walkers(folder)
    WebDatasetShards().write(truth, folder / "webdataset")
    return truth, folder / "webdataset"


def test_it_is_read_back(written):
    truth, folder = written
    back = WebDatasetShards().read(folder)
    np.testing.assert_array_equal(back.rig.P, truth.rig.P)
    columns = ("xyz", "xy", "visibility", "sigma_m", "box", "area_px", "ignored", "pictured")
    same_truth(truth, back, columns, atol=1e-3)


def test_the_library_streams_it(written):
    import cv2
    import webdataset as library

    truth, folder = written
    shards = [str(path) for path in sorted(folder.glob("train-*.tar"))]
    samples = list(library.WebDataset(shards, shardshuffle=False).decode())
    assert len(samples) == 6 * 3
    for sample in samples[:4]:
        held = sample["json"]
        name = truth.views[held["view"]]
        assert sample["__key__"] == f"{name}_{held['frame']:07d}"
    with io.BytesIO(next(iter(library.WebDataset(shards, shardshuffle=False)))["mask.png"]) as data:
        mask = cv2.imdecode(np.frombuffer(data.getvalue(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert set(np.unique(mask)) <= {0, 1, 2, 3} and mask.any()


def test_the_same_dataset_gives_the_same_bytes(written, tmp_path):
    truth, folder = written
    WebDatasetShards().write(truth, tmp_path)
    for path in folder.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_shards_are_cut(written, tmp_path, monkeypatch):
    truth, _ = written
    monkeypatch.setattr(webdataset, "_IMAGES_OF_SHARD", 7)
    WebDatasetShards().write(truth, tmp_path)
    assert len(list(tmp_path.glob("train-*.tar"))) == 3
    same_truth(truth, WebDatasetShards().read(tmp_path), atol=1e-3)


def test_damaged_shards_are_one_line(written, tmp_path):
    with pytest.raises(InputError, match=r"dataset\.json: cannot be read as a dataset of shards"):
        WebDatasetShards().read(tmp_path)
    _, folder = written
    (tmp_path / "dataset.json").write_text((folder / "dataset.json").read_text())
    with pytest.raises(InputError, match=r"train-000000\.tar: cannot be read as a shard"):
        WebDatasetShards().read(tmp_path)
    (tmp_path / "train-000000.tar").write_bytes(b"no tar" * 200)
    with pytest.raises(InputError, match="cannot be read as a shard"):
        WebDatasetShards().read(tmp_path)
