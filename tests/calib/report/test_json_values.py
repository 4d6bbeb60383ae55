"""Values of any kind as JSON has them: nothing that its readers do not take."""

import json
from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from calib.report.json_values import json_values


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers(-5, 5) | st.sampled_from(["", "a", "inf"]),
        lambda inner: (
            st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
        ),
        max_leaves=8,
    )
)
@settings(derandomize=True, max_examples=40)
def test_json_values_are_all_that_json_has(value):
    found = json_values(value)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert json_values(found) == found, "once is enough"


def test_arrays_become_lists_and_what_is_not_finite_nothing():
    assert json_values(np.array([[1.0, np.nan], [np.inf, 2.0]])) == [[1.0, None], [None, 2.0]]
    assert json_values({"a": (1, np.array([2.5]))}) == {"a": [1, [2.5]]}
    assert json_values({1: np.float32(0.5), "b": np.bool_(True), "c": np.int64(3)}) == {"1": 0.5, "b": True, "c": 3}
    assert json_values(np.float64("nan")) is None and json_values(np.array(2)) == 2


def test_a_dataclass_is_a_table_of_its_fields():
    @dataclass
    class Pair:
        name: str
        where: np.ndarray

    assert json_values([Pair("a", np.array([1.0, np.inf]))]) == [{"name": "a", "where": [1.0, None]}]
