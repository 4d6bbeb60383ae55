"""Detections as files: both layouts as they are described, the same however the rows are cut, whole or not at all."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from mvcap.errors import SessionError
from mvcap.structures.detection_table import BOX, joint_columns, write_detections_npz, write_detections_parquet
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import skeleton

COCO = skeleton("coco17")
NAMES = ("right", "left, the other")
WRITERS = pytest.mark.parametrize(
    ("write", "ending"), [(write_detections_npz, "npz"), (write_detections_parquet, "parquet")]
)


def rows(count=20, seed=0, kind=COCO):
    """Rows in the order of frames, with missing joints."""
    rng = np.random.default_rng(seed)
    score = rng.random((count, len(kind))) * (rng.random((count, len(kind))) > 0.2)
    made = Detections2D.build(kind, 0, 0, rng.uniform(0, 400, (count, len(kind), 2)), score, 0.5)
    return made.with_columns(
        frame=np.sort(rng.integers(0, 9, count)), view=rng.integers(0, 2, count), person=rng.integers(-1, 3, count),
        carried=rng.integers(-1, 9, count),
    )  # fmt: skip


def cut(table, edges):
    places = [0, *sorted(edge % (len(table) + 1) for edge in edges), len(table)]
    return [table[start:stop] for start, stop in pairwise(places)]


def test_an_npz_holds_the_columns_under_their_names(tmp_path):
    write_detections_npz(tmp_path / "a.npz", [rows()], NAMES, COCO)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as held:
        assert str(held["skeleton"]) == "coco17" and held["view_names"].tolist() == list(NAMES)
        assert set(held.files) == {*Detections2D.columns(), "skeleton", "view_names"}
        for name, column in rows().arrays().items():
            assert held[name].dtype == column.dtype and held[name].tobytes() == column.tobytes()


def test_a_parquet_file_holds_a_column_for_each_number(tmp_path):
    write_detections_parquet(tmp_path / "a.parquet", [rows()], NAMES, COCO)
    held, table = parquet.read_table(tmp_path / "a.parquet"), rows()
    assert held.schema.metadata[b"skeleton"] == b"coco17"
    assert held.column_names == ["frame", "view", "person", "carried", *BOX,
                                 *(name for joint in COCO.joints for name in joint_columns(joint))]  # fmt: skip
    assert held["view"].to_pylist() == [NAMES[view] for view in table.view]
    for name in ("frame", "person", "carried"):
        np.testing.assert_array_equal(held[name].to_numpy(), getattr(table, name))
    np.testing.assert_array_equal(np.stack([held[name].to_numpy() for name in BOX], axis=1), table.box)
    for at, joint in enumerate(COCO.joints):
        x, y, score, noise = (held[name].to_numpy() for name in joint_columns(joint))
        np.testing.assert_array_equal(np.stack([x, y], axis=1), table.xy[:, at])
        np.testing.assert_array_equal(score, table.score[:, at])
        np.testing.assert_array_equal(noise, table.noise_px[:, at])


def test_columns_of_a_joint_bear_its_name():
    assert joint_columns("left_knee") == ("left_knee_x", "left_knee_y", "left_knee_score", "left_knee_noise_px")


@WRITERS
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edges=st.lists(st.integers(0, 20), max_size=6))
def test_the_file_does_not_show_how_the_rows_came(tmp_path, write, ending, edges):
    write(tmp_path / f"whole.{ending}", [rows()], NAMES, COCO)
    write(tmp_path / f"parts.{ending}", iter(cut(rows(), edges)), NAMES, COCO)
    whole, parts = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("whole", "parts"))
    assert whole == parts and len(list(tmp_path.iterdir())) == 2


@WRITERS
@pytest.mark.parametrize("tables", [[], [Detections2D.empty(COCO)]])
def test_no_rows_make_a_file_too(tmp_path, write, ending, tables):
    path = tmp_path / f"a.{ending}"
    write(path, tables, NAMES, COCO)
    if ending == "npz":
        with np.load(path) as held:
            assert held["xy"].shape == (0, 17, 2) and held["frame"].shape == (0,)
    else:
        held = parquet.read_table(path)
        assert held.num_rows == 0 and len(held.column_names) == 8 + 4 * 17


@WRITERS
def test_large_takes_are_written_in_groups_of_moderate_size(tmp_path, write, ending):
    table = rows(9000, kind=skeleton("mvor10"))
    write(tmp_path / f"a.{ending}", cut(table, range(0, 9000, 700)), NAMES, skeleton("mvor10"))
    if ending == "parquet":
        file = parquet.ParquetFile(tmp_path / "a.parquet")
        sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        assert sum(sizes) == 9000 and len(sizes) > 1 and max(sizes) < 9000
        np.testing.assert_array_equal(file.read()["head_x"].to_numpy(), table.xy[:, 0, 0])
    else:
        with np.load(tmp_path / "a.npz") as held:
            assert held["xy"].tobytes() == table.xy.tobytes()


@WRITERS
@pytest.mark.parametrize(
    "tables",
    [
        [rows()[10:], rows()[:10]],  # backwards
        [rows(kind=skeleton("mvor10"))],  # of another skeleton
        [rows().with_columns(view=np.full(20, 2))],  # of a view without a name
        [rows().with_columns(view=np.full(20, -1))],
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(tmp_path, write, ending, tables):
    with pytest.raises(ValueError):
        write(tmp_path / f"a.{ending}", tables, NAMES, COCO)
    assert list(tmp_path.iterdir()) == []


@WRITERS
def test_a_fault_on_the_way_keeps_the_old_file(tmp_path, write, ending):
    def broken():
        yield rows()[:10]
        raise RuntimeError("the camera fell over")

    path = tmp_path / f"a.{ending}"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="fell over"):
        write(path, broken(), NAMES, COCO)
    assert path.read_bytes() == b"old" and [file.name for file in tmp_path.iterdir()] == [path.name]


@WRITERS
def test_a_place_that_cannot_be_written_is_one_line(tmp_path, write, ending):
    (tmp_path / "file").write_text("")
    with pytest.raises(SessionError, match="cannot be written") as caught:
        write(tmp_path / "file" / f"a.{ending}", [rows()], NAMES, COCO)
    assert "\n" not in str(caught.value)


def test_metric_joints_are_kept_in_npz_where_a_row_has_them(tmp_path):
    table = rows()
    metric = np.random.default_rng(3).normal(0, 0.5, (len(table), len(COCO), 3)).astype(np.float16)
    metric[:7] = np.nan
    table = table.with_columns(metric=metric)
    for name, tables in (("whole", [table]), ("cut", cut(table, (3, 7, 12)))):
        write_detections_npz(tmp_path / f"{name}.npz", tables, NAMES, COCO)
        with np.load(tmp_path / f"{name}.npz") as held:
            assert held["metric"].tobytes() == metric.tobytes()
    assert (tmp_path / "whole.npz").read_bytes() == (tmp_path / "cut.npz").read_bytes()
    write_detections_npz(tmp_path / "without.npz", [table.with_columns(metric=None)], NAMES, COCO)
    with np.load(tmp_path / "without.npz") as held:
        assert "metric" not in held.files
