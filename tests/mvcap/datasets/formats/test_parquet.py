import numpy as np
import pandas as pd
import pytest
from recorded_take import dataset_of_walkers, same_truth

from mvcap.datasets.formats.parquet import ParquetTables
from mvcap.errors import InputError


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parquet")
    truth = dataset_of_walkers(folder)
    ParquetTables().write(truth, folder / "parquet")
    return truth, folder / "parquet"


def test_it_is_read_back(written):
    truth, folder = written
    back = ParquetTables().read(folder)
    assert back.rate_hz == truth.rate_hz and back.views == truth.views
    columns = ("xyz", "xy", "visibility", "sigma_m", "box", "area_px", "pictured")
    same_truth(truth, back, columns, atol=1e-12)


def test_pandas_reads_it(written):
    truth, folder = written
    table = pd.read_parquet(folder / "train.parquet")
    assert len(table) == sum(len(one.persons) * 3 for one in truth.of_split("train"))
    row = table[(table.frame == 2) & (table.view == "cam2") & (table.person == 2)].iloc[0]
    one = list(truth.frames())[1]
    np.testing.assert_array_equal(np.reshape(row.joints_px, (17, 2)), one.xy[1, 1])
    assert row.image == "images/cam2/0000002.png"
    hips = one.xyz[1, [11, 12]].mean(0)
    depth = (truth.rig[1].cam_from_world @ [*hips, 1])[2]
    assert row.root_depth_m == pytest.approx(depth)


def test_damaged_tables_are_one_line(tmp_path):
    with pytest.raises(InputError, match=r"no train\.parquet"):
        ParquetTables().read(tmp_path)
    (tmp_path / "val.parquet").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read as tables"):
        ParquetTables().read(tmp_path)
    pd.DataFrame({"frame": [1]}).to_parquet(tmp_path / "val.parquet")
    with pytest.raises(InputError, match="cannot be read as tables"):
        ParquetTables().read(tmp_path)
