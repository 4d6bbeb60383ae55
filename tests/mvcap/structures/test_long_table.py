"""The tidy table of joints: types, order and emptiness, the same however the poses are cut."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from walking_take import COCO, poses, take

from mvcap.structures import long_table
from mvcap.structures.pose_stream import PoseStream
from mvcap.structures.poses import Poses3D

FRAMES = 12
TABLE = poses(FRAMES, missing=0.2)


def whole(stream):
    return pa.Table.from_batches(list(long_table.batches(stream)), long_table.schema())


def stream(table, frames=FRAMES, rate_hz=25.0, axes="z-up"):
    return PoseStream(COCO, lambda: iter([table]), frames, rate_hz, (1, 2), "walk", axes)


def test_columns_have_the_names_and_types_of_the_schema():
    schema = long_table.schema()
    assert tuple(schema.names) == long_table.COLUMNS
    for batch in long_table.batches(take(TABLE, FRAMES)):
        assert batch.schema.equals(schema)
    kinds = dict(zip(schema.names, schema.types, strict=True))
    assert kinds["frame"] == kinds["person"] == pa.int32() and kinds["views"] == pa.uint8()
    assert kinds["time_s"] == pa.float64() and kinds["joint"] == pa.string() and kinds["x_m"] == pa.float32()


def test_a_row_is_a_joint_of_a_person_at_a_frame_in_the_order_of_the_poses():
    held = whole(take(TABLE, FRAMES)).to_pydict()
    keys = list(zip(held["frame"], held["person"], held["joint"], strict=True))
    assert keys == [
        (f, p, j) for f, p in zip(TABLE.frame.tolist(), TABLE.person.tolist(), strict=True) for j in COCO.joints
    ]
    assert held["time_s"] == [frame / 25 for frame in held["frame"]]
    for at, key in enumerate(("x_m", "y_m", "z_m")):
        found = np.array([np.nan if value is None else value for value in held[key]], np.float32)
        np.testing.assert_array_equal(found, TABLE.xyz[..., at].ravel())


def test_what_is_unknown_is_empty_and_not_a_number():
    held = whole(take(TABLE, FRAMES))
    missing = np.isnan(TABLE.xyz).any(-1).ravel()
    for name in ("x_m", "y_m", "z_m", "error_px", "sigma_m"):
        np.testing.assert_array_equal(held[name].is_null().to_numpy(), missing)
    for name in ("frame", "person", "score", "views", "joint", "time_s"):
        assert held[name].null_count == 0
    assert (held["score"].to_numpy()[missing] == 0).all() and (held["views"].to_numpy()[missing] == 0).all()


def test_an_error_or_a_covariance_that_is_not_known_is_empty_where_the_joint_is_there():
    blank = TABLE.with_columns(error_px=np.full_like(TABLE.error_px, np.nan), cov=np.full_like(TABLE.cov, np.nan))
    held = whole(stream(blank))
    assert held["error_px"].null_count == held["sigma_m"].null_count == held.num_rows
    assert held["x_m"].null_count < held.num_rows


@settings(max_examples=40)
@given(st.integers(1, FRAMES), st.sampled_from(("z-up", "y-up")))
def test_how_the_poses_are_cut_does_not_show(step, axes):
    one, other = whole(take(TABLE, FRAMES, step, axes)), whole(stream(TABLE, axes=axes))
    assert one.equals(other)


def test_large_chunks_are_handed_on_in_batches():
    many = Poses3D.concatenate([TABLE] * 400, COCO).with_columns(
        frame=np.repeat(np.arange(400 * FRAMES), 2)[: 400 * len(TABLE)]
    )
    sizes = [batch.num_rows for batch in long_table.batches(stream(many, 400 * FRAMES))]
    assert sum(sizes) == 17 * len(many) and len(sizes) > 1 and max(sizes) <= 17 * 4096


def test_no_people_are_a_table_without_rows():
    assert whole(stream(Poses3D.empty(COCO))).num_rows == 0
    assert list(long_table.batches(PoseStream(COCO, lambda: iter([]), 3, 25.0, (), "walk"))) == []


@pytest.mark.parametrize("rate_hz", [25.0, 29.97, 1 / 3])
def test_notes_are_words_that_lead_back_to_the_numbers(rate_hz):
    notes = long_table.unit_notes(stream(TABLE, rate_hz=rate_hz, axes="y-up"))
    assert all(isinstance(value, str) for value in notes.values())
    assert float(notes["rate_hz"]) == rate_hz and int(notes["frames"]) == FRAMES
    assert (notes["unit"], notes["axes"], notes["skeleton"], notes["take"]) == ("m", "y-up", "coco17", "walk")
