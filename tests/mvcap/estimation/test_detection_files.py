"""Tables of detections on the disk: any frame and view of them, in both layouts, and broken ones named in one line."""

import zipfile

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from mvcap.errors import InputError
from mvcap.estimation.detection_files import NpzTable, ParquetTable, open_table
from mvcap.structures.detection_table import joint_columns, write_detections_npz, write_detections_parquet
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import SKELETONS

COCO = SKELETONS["coco17"]
NAMES = ("right", "left", "top")
ENDINGS = pytest.mark.parametrize("ending", ["npz", "parquet"])
COLUMNS = ("frame", "person", "carried", "box", "xy", "score", "noise_px")


def rows(frames=12, most=3, seed=0):
    """Rows of three views with missing joints; some frames of some views are empty."""
    rng, parts = np.random.default_rng(seed), []
    for frame in range(frames):
        for view in range(len(NAMES)):
            count = int(rng.integers(0, most + 1))
            score = rng.random((count, 17)) * (rng.random((count, 17)) > 0.2)
            made = Detections2D.build(COCO, frame, view, rng.uniform(0, 400, (count, 17, 2)), score, 0.5,
                                      carried=rng.integers(0, 9, count))  # fmt: skip
            parts.append(made.with_columns(person=rng.integers(-1, 3, count)))
    return Detections2D.concatenate(parts, COCO)


def write(path, table, names=NAMES):
    (write_detections_npz if path.suffix == ".npz" else write_detections_parquet)(path, [table], names, COCO)
    return path


def columns(table, names=NAMES):
    """The table as arrays for ``np.savez``."""
    return {**table.arrays(), "skeleton": np.array("coco17"), "view_names": np.array(names)}


def refused(path, *words, call=None):
    with pytest.raises(InputError) as caught:
        (call or open_table)(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    for word in words:
        assert word in str(caught.value), str(caught.value)


@ENDINGS
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31), shuffle=st.booleans(), most=st.integers(0, 3))
def test_every_frame_of_every_view_comes_back_bit_for_bit(tmp_path, ending, seed, shuffle, most):
    table = rows(6, most, seed)
    path = write(tmp_path / f"a.{ending}", table)
    if shuffle:  # a file made elsewhere may be in any order
        table = table[np.random.default_rng(seed).permutation(len(table))]
        if ending == "npz":
            np.savez(path, **columns(table))
        else:
            whole = parquet.read_table(path)
            order = np.random.default_rng(seed).permutation(whole.num_rows)
            parquet.write_table(whole.take(pa.array(order)), path, row_group_size=4)
    held = open_table(path)
    assert held.skeleton == COCO and held.last_frame == table.frame.max(initial=-1)
    assert set(held.view_names) <= set(NAMES)
    for frame in range(-1, 8):
        for view, name in enumerate(NAMES):
            wanted = table[(table.frame == frame) & (table.view == view)]
            found = held.rows(frame, name) if name in held.view_names else {}
            assert len(found.get("frame", [])) == len(wanted)
            for column in COLUMNS if found else ():
                assert found[column].tobytes() == getattr(wanted, column).tobytes(), column


def test_arrays_of_an_npz_stay_on_the_disk_until_they_are_asked_for(tmp_path):
    path = write(tmp_path / "a.npz", table := rows())
    held = open_table(path)
    with path.open("r+b") as stream:  # the last bytes of xy, on the disk
        at = path.read_bytes().rindex(table.xy.tobytes()[-200:])
        stream.seek(at)
        stream.write(b"\0" * 200)
    assert not held.rows(int(table.frame[-1]), NAMES[table.view[-1]])["xy"][-1, -1].any()


def test_compressed_arrays_and_those_by_columns_are_read_too(tmp_path):
    table = rows()
    held = columns(table)
    np.savez_compressed(tmp_path / "a.npz", **held)
    by_columns = {name: np.asfortranarray(value) if value.ndim > 1 else value for name, value in held.items()}
    np.savez(tmp_path / "b.npz", **by_columns)
    plain = open_table(write(tmp_path / "c.npz", table))
    others = [open_table(tmp_path / name) for name in ("a.npz", "b.npz")]
    for other in others:
        for name in NAMES:
            for column, value in plain.rows(3, name).items():
                np.testing.assert_array_equal(other.rows(3, name)[column], value)


def test_a_file_may_lack_what_is_not_needed(tmp_path):
    table = rows()
    least = {
        name: value for name, value in columns(table).items() if name not in ("person", "carried", "box", "noise_px")
    }
    np.savez(tmp_path / "a.npz", **least)
    assert set(open_table(tmp_path / "a.npz").rows(0, "left")) == {"frame", "view", "xy", "score"}
    path = write(tmp_path / "a.parquet", table)
    whole = parquet.read_table(path)
    noise = [joint_columns(joint)[3] for joint in COCO.joints]
    drop = ["person", "carried", "box_left", *noise]
    parquet.write_table(whole.drop_columns(drop).replace_schema_metadata(None), path)
    held = open_table(path)
    assert held.skeleton == COCO and set(held.rows(0, "left")) == {"frame", "view", "xy", "score"}


@pytest.mark.parametrize("name", ["frame", "view", "xy", "score", "skeleton", "view_names"])
def test_what_an_npz_needs_is_named(tmp_path, name):
    np.savez(tmp_path / "a.npz", **{key: value for key, value in columns(rows()).items() if key != name})
    refused(tmp_path / "a.npz", name)


@pytest.mark.parametrize("name", ["frame", "view", "nose_x", "left_ear_y", "right_hip_score"])
def test_what_a_parquet_file_needs_is_named(tmp_path, name):
    path = write(tmp_path / "a.parquet", rows())
    parquet.write_table(parquet.read_table(path).drop_columns([name]), path)
    refused(path, name)


def test_joints_of_no_skeleton_are_named(tmp_path):
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"frame": [0], "view": ["a"], "tail_x": [1.0]}), path)
    refused(path, "tail", "coco17")
    np.savez(tmp_path / "a.npz", **{**columns(rows()), "skeleton": "coco19"})
    with pytest.raises(InputError, match=r"coco19.*coco17"):
        open_table(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["xy", "score", "box", "noise_px", "person", "carried", "view"])
def test_a_column_of_another_shape_is_named(tmp_path, name):
    held = columns(rows())
    np.savez(tmp_path / "a.npz", **{**held, name: held[name][:-1]})
    refused(tmp_path / "a.npz", name)
    np.savez(tmp_path / "a.npz", **{**held, name: held[name][..., None]})
    refused(tmp_path / "a.npz", name)


def test_python_objects_are_not_loaded(tmp_path):
    table = rows()
    for write_npz in (np.savez, np.savez_compressed):
        write_npz(tmp_path / "a.npz", **{**columns(table), "frame": np.array([None] * len(table), dtype=object)})
        refused(tmp_path / "a.npz")


@ENDINGS
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 0.99, 0.9999])
def test_a_file_that_is_cut_short_is_named(tmp_path, ending, share):
    path = write(tmp_path / f"a.{ending}", rows())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path)


def test_what_is_no_table(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"nothing that is known")
    refused(tmp_path / "a.npz")
    for path in (tmp_path / "none.npz", tmp_path):
        refused(path)
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("frame.npy", b"no array")
    refused(tmp_path / "b.npz")


@ENDINGS
def test_a_table_without_rows(tmp_path, ending):
    held = open_table(write(tmp_path / f"a.{ending}", Detections2D.empty(COCO)))
    assert held.last_frame == -1 and held.skeleton == COCO
    assert all(len(held.rows(0, name).get("frame", [])) == 0 for name in held.view_names)


def test_layouts_are_recognised_by_content(tmp_path):
    for ending, kind in (("npz", NpzTable), ("parquet", ParquetTable)):
        path = write(tmp_path / f"a.{ending}", rows(2))
        assert isinstance(open_table(path.rename(tmp_path / "detections.bin")), kind)


def test_many_row_groups_are_read_in_any_order_of_asking(tmp_path):
    path = write(tmp_path / "a.parquet", table := rows(30))
    parquet.write_table(parquet.read_table(path), path, row_group_size=5)  # more groups than are held
    held = open_table(path)
    assert parquet.ParquetFile(path).num_row_groups > 8
    for frame in np.random.default_rng(0).permutation(30):
        for view, name in enumerate(NAMES):
            wanted = table[(table.frame == frame) & (table.view == view)]
            found = held.rows(int(frame), name)
            assert found.get("xy", np.zeros(0, np.float32)).tobytes() == wanted.xy.tobytes()
    assert held.rows(3, "nowhere") == {}
