"""Tables of parallel columns, of a kind made for the test: shapes are checked, rows are picked together."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcap.structures.skeleton import skeleton
from mvcap.structures.table import Table, column, optional_column

COCO, MVOR = skeleton("coco17"), skeleton("mvor10")


@dataclass(frozen=True, eq=False)
class Marks(Table):
    """Each row a number, a size of three and a mark of every joint; beside them, a name that is no column."""

    number: Any = column(dtype=np.int16)
    size: Any = column(3)
    mark: Any = column("J", 2, dtype=np.float64)
    name: str = "plain"


def marks(rows=5, seed=0, kind=COCO, name="mine"):
    rng = np.random.default_rng(seed)
    return Marks(
        kind, rng.integers(0, 99, rows), rng.normal(size=(rows, 3)), rng.normal(size=(rows, len(kind), 2)), name
    )


def same(one, other):
    assert type(one) is type(other) and one.skeleton == other.skeleton
    for name in one.columns():
        a, b = getattr(one, name), getattr(other, name)
        assert a.dtype == b.dtype and np.array_equal(a, b), name


def test_columns_are_those_declared_in_order_with_their_types():
    assert Marks.columns() == ("number", "size", "mark")
    table = marks()
    assert [table.arrays()[name].dtype for name in table.columns()] == [np.int16, np.float32, np.float64]
    assert len(table) == 5 and table.mark.shape == (5, 17, 2) and table.size.flags.c_contiguous


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"number": np.zeros((5, 1))}, "number"),
        ({"number": np.zeros(4)}, "size"),
        ({"number": 3}, "number"),
        ({"size": np.zeros((5, 2))}, "size"),
        ({"mark": np.zeros((5, 16, 2))}, "mark"),
        ({"mark": np.zeros((5, 17))}, "mark"),
    ],
)
def test_a_column_of_another_shape_is_named_with_both_shapes(change, named):
    with pytest.raises(ValueError, match=rf"Marks\.{named} .*coco17"):
        marks().with_columns(**change)


def test_columns_are_copies_that_cannot_be_written():
    size = np.zeros((5, 3), np.float32)
    table = marks().with_columns(size=size)
    size[:] = 7
    assert (table.size == 0).all()
    for name in table.columns():
        with pytest.raises(ValueError, match="read-only"):
            getattr(table, name)[0] = 1
    with pytest.raises(AttributeError):
        table.number = np.zeros(5)


picks = st.one_of(
    st.slices(5),
    st.lists(st.integers(-5, 4), max_size=8),
    st.lists(st.booleans(), min_size=5, max_size=5).map(np.array),
)


@settings(max_examples=40)
@given(picks)
def test_rows_are_picked_from_every_column_together(rows):
    table = marks()
    wanted = np.arange(5)[
        rows if isinstance(rows, slice) else np.asarray(rows, int if isinstance(rows, list) else bool)
    ]
    picked = table[rows if not isinstance(rows, list) or rows else np.zeros(0, int)]
    assert len(picked) == len(wanted) and picked.name == "mine"
    for name in table.columns():
        np.testing.assert_array_equal(getattr(picked, name), getattr(table, name)[wanted])


@settings(max_examples=40)
@given(st.lists(st.integers(0, 4), max_size=5))
def test_joining_is_the_inverse_of_cutting(lengths):
    parts = [marks(length, seed) for seed, length in enumerate(lengths)]
    whole = Marks.concatenate(parts, COCO)
    assert len(whole) == sum(lengths)
    start = 0
    for part in parts:
        same(whole[start : start + len(part)], part)
        start += len(part)


def test_no_rows_of_any_skeleton():
    for kind in (COCO, MVOR):
        empty = Marks.empty(kind)
        assert len(empty) == 0 and empty.mark.shape == (0, len(kind), 2)
        same(Marks.concatenate([], kind), empty)
        same(empty[np.zeros(0, bool)], empty)


def test_arrays_by_name_make_the_same_table():
    table = marks()
    same(Marks.from_arrays(COCO, {**table.arrays(), "more": np.zeros(9)}), table)
    with pytest.raises(KeyError, match="mark"):
        Marks.from_arrays(COCO, {name: value for name, value in table.arrays().items() if name != "mark"})


def test_what_is_no_column_stays_when_rows_and_columns_change():
    table = marks()
    assert table[:2].name == table.with_columns(number=np.arange(5)).name == "mine"
    np.testing.assert_array_equal(table.with_columns(number=np.arange(5)).number, np.arange(5))
    np.testing.assert_array_equal(table.with_columns(number=np.arange(5)).mark, table.mark)


def test_another_skeleton_needs_another_number_of_joints():
    same(marks(kind=MVOR), Marks.from_arrays(MVOR, marks(kind=MVOR).arrays()))
    with pytest.raises(ValueError, match="mvor10"):
        Marks.from_arrays(MVOR, marks().arrays())


@dataclass(frozen=True, eq=False)
class Depths(Table):
    """A number and, in some rows, a depth of every joint."""

    number: Any = column(dtype=np.int16)
    depth: Any = optional_column("J", dtype=np.float16)


def test_an_optional_column_is_none_where_no_row_has_a_value():
    given = Depths(MVOR, np.arange(3), np.full((3, 10), np.nan))
    assert given.depth is None and given.arrays().keys() == {"number"} and given[[0, 2]].depth is None
    assert Depths(MVOR, np.arange(3)).depth is None and Depths.empty(MVOR).depth is None
    assert Depths.columns() == ("number",) and Depths.optional_columns() == ("depth",)
    filled = given.filled("depth")
    assert filled.shape == (3, 10) and filled.dtype == np.float16 and np.isnan(filled).all()


def test_an_optional_column_is_picked_joined_and_restored_with_the_rest():
    depth = np.array([[1.5] * 10, [np.nan] * 10], np.float16)
    some, none = Depths(MVOR, np.arange(2), depth), Depths(MVOR, np.arange(3))
    assert some[[1]].depth is None and np.array_equal(some[[0]].depth, depth[:1])
    joined = Depths.concatenate([none, some], MVOR)
    assert joined.depth.dtype == np.float16 and np.array_equal(joined.depth[3:], depth, equal_nan=True)
    assert np.isnan(joined.depth[:3]).all() and Depths.concatenate([none, none], MVOR).depth is None
    assert np.array_equal(Depths.from_arrays(MVOR, joined.arrays()).depth, joined.depth, equal_nan=True)
    assert Depths.from_arrays(MVOR, {"number": np.arange(2)}).depth is None
    assert some.with_columns(depth=None).depth is None and np.array_equal(none.number, joined.number[:3])
    with pytest.raises(ValueError, match=r"Depths\.depth has shape"):
        Depths(MVOR, np.arange(2), np.ones((2, 9)))
