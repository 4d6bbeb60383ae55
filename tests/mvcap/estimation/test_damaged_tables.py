"""Detection tables of others, damaged or of other types: right rows or one line, never rows of another view."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from mvcap.errors import InputError
from mvcap.estimation.detection_files import open_table
from mvcap.estimation.parquet_table import whole_numbers
from mvcap.estimators.table import DetectionTable
from mvcap.structures.contracts import View
from mvcap.structures.detection_table import write_detections_npz, write_detections_parquet
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import skeleton

COCO = skeleton("coco17")
NAMES = ("l", "r")
FRAMES = 10
ROWS = 4 * FRAMES


def rows(frames=FRAMES):
    rng = np.random.default_rng(0)
    parts = [
        Detections2D.build(COCO, f, v, rng.uniform(9, 400, (2, 17, 2)), rng.uniform(0.2, 1, (2, 17)), 0.5)
        for f in range(frames)
        for v in range(2)
    ]
    return Detections2D.concatenate(parts, COCO)


def arrays(**change):
    return {**rows().arrays(), "skeleton": "coco17", "view_names": list(NAMES), **change}


def read_all(path):
    estimator = DetectionTable(DetectionTable.Config(str(path)))
    views = tuple(View(index, name, (640, 480), 25.0, FRAMES) for index, name in enumerate(NAMES))
    estimator.prepare(views)
    return [estimator.estimate(None, frame, view, {}).rows for view in views for frame in range(FRAMES)]


def refused(path, words="."):
    with pytest.raises(InputError, match=words) as caught:
        read_all(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("shift", [1, -1])
def test_a_view_number_without_a_name_does_not_become_another_view(tmp_path, shift):
    np.savez(tmp_path / "a.npz", **arrays(view=rows().view + shift))
    refused(tmp_path / "a.npz", "view")


def test_a_view_that_the_file_has_not_has_no_rows(tmp_path):
    write_detections_npz(tmp_path / "a.npz", [rows()], NAMES, COCO)
    held = open_table(tmp_path / "a.npz")
    assert held.rows(0, "nowhere") == {} and held.sample("nowhere", 3) == {} and held.rows(99, "l")["frame"].size == 0


FRAME = np.repeat(np.arange(FRAMES), 4)


@pytest.mark.parametrize(
    "change",
    [{"frame": np.array(3)}, {"frame": np.where(FRAME == 3, np.nan, FRAME)}, {"frame": FRAME.astype(str)},
     {"frame": FRAME + 0.5}, {"frame": FRAME - 1}, {"frame": FRAME * 1e300}, {"frame": FRAME.astype(complex)},
     {"view": rows().view.astype(str)}, {"view_names": np.array("l")}, {"view_names": ["l", "l"]},
     {"view_names": [1, 2]}, {"view_names": np.zeros((2, 0), str)}, {"xy": rows().xy.astype(str)},
     {"score": rows().score.astype(complex)}, {"skeleton": "none"}, {"skeleton": "{"}, {"person": FRAME.astype(str)}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_columns_of_other_types_are_named(tmp_path, change):
    np.savez(tmp_path / "a.npz", **arrays(**change))
    refused(tmp_path / "a.npz", next(iter(change)))


def test_frames_and_views_may_be_whole_floats(tmp_path):
    np.savez(tmp_path / "a.npz", **arrays(frame=FRAME.astype(float), view=rows().view.astype(np.float32)))
    assert sum(map(len, read_all(tmp_path / "a.npz"))) == 4 * FRAMES


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_impossible_values_are_missing_and_noise_is_estimated(tmp_path, ending):
    whole = rows()
    xy, noise, box, score = (np.array(whole.arrays()[name], float) for name in ("xy", "noise_px", "box", "score"))
    xy[0, 0], xy[0, 1], xy[0, 2], noise[0, 3:6], score[0, 6] = 0, np.inf, 1e30, [-1, np.nan, np.inf], 7
    box[0], box[1] = [np.nan, 0, 1, 1e30], [9, 9, 3, 3]
    if ending == "npz":
        ids = {"carried": np.where(FRAME == 0, np.nan, 5), "person": FRAME * 1e12}
        np.savez(tmp_path / "a.npz", **arrays(xy=xy, noise_px=noise, box=box, score=score, **ids))
    else:
        write_detections_parquet(tmp_path / "a.parquet", [whole], NAMES, COCO)
        table = parquet.read_table(tmp_path / "a.parquet").to_pydict()
        for joint, name in enumerate(COCO.joints):
            for key, values in (("x", xy[..., 0]), ("y", xy[..., 1]), ("score", score), ("noise_px", noise)):
                table[f"{name}_{key}"] = values[:, joint].tolist()
        for at, key in enumerate(("box_left", "box_top", "box_right", "box_bottom")):
            table[key] = box[:, at].tolist()
        table["carried"], table["person"] = [None] * (4 * FRAMES), [2**40] * (4 * FRAMES)
        parquet.write_table(pa.table(table), tmp_path / "a.parquet")
    first = read_all(tmp_path / f"a.{ending}")[0]
    assert np.isnan(first.xy[0, :3]).all() and (first.score[0, :3] == 0).all() and first.score[0, 6] == 1
    assert (first.noise_px[0, 3:] > 0).all() and np.isfinite(first.noise_px[0, 3:]).all()
    assert (first.box[:, 2:] > first.box[:, :2]).all() and first.carried.tolist() == [-1, -1]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ending", ["npz", "parquet", "zip"])
def test_flipped_bytes_are_refused_or_are_only_other_numbers(tmp_path, ending, seed):
    path = tmp_path / f"a.{ending}"
    if ending == "zip":
        with path.open("wb") as stream:
            np.savez_compressed(stream, **arrays())
    else:
        write = write_detections_npz if ending == "npz" else write_detections_parquet
        write(path, [rows()], NAMES, COCO)
    whole, rng = path.read_bytes(), np.random.default_rng(seed)
    places = [97, *rng.integers(0, len(whole), 12), *rng.integers(len(whole) - 3000, len(whole), 8)]
    for at in places:
        data = bytearray(whole)
        data[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(data))
        try:
            assert len(read_all(path)) == 2 * FRAMES
        except InputError as fault:
            assert "\n" not in str(fault)


@pytest.mark.parametrize(
    "column",
    [pa.array(["a"] * ROWS), pa.array([None] * ROWS, pa.int32()), pa.array(FRAME + 0.5), pa.array([[1]] * ROWS),
     pa.array([2**40] * ROWS), pa.array([-1] * ROWS)],
)  # fmt: skip
@pytest.mark.parametrize("name", ["frame", "nose_x"])
def test_parquet_columns_of_other_types(tmp_path, column, name):
    path = tmp_path / "a.parquet"
    write_detections_parquet(path, [rows()], NAMES, COCO)
    whole = parquet.read_table(path)
    parquet.write_table(whole.set_column(whole.schema.get_field_index(name), name, column), path)
    if name == "frame" or pa.types.is_string(column.type) or pa.types.is_list(column.type):
        refused(path)
    else:
        assert len(read_all(path)) == 2 * FRAMES  # a number is a place, or a joint that is missing


def test_whole_numbers_are_counted_from_zero():
    assert whole_numbers(np.array([0.0, 3.0])).tolist() == [0, 3] and whole_numbers(np.zeros(0)).size == 0
    for wrong in ([-1], [0.5], [np.nan], [2.0**31], ["a"]):
        with pytest.raises(ValueError, match="holds"):
            whole_numbers(np.array(wrong))
