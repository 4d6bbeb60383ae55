"""Maps of the error by place: cells on the places' own lattice, RMS in each, and none where nothing is known."""

import struct
import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_calibrations import CASES, NAN, NOWHERE, UNKNOWN

from calib.report.maps import _cells, measured_by_place, slices, volume_map


@cache
def good():
    return CASES["good"]()


def png_size(data):
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


def lattice(*counts, step=0.25):
    axes = [step * np.arange(count) for count in counts]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)


# --- cells -----------------------------------------------------------------------------------------------------------


@given(st.integers(2, 6), st.integers(2, 6), st.integers(1, 4), st.floats(0.05, 2.0))
@settings(max_examples=12, derandomize=True)
def test_places_of_a_lattice_are_each_in_the_middle_of_a_cell(across, deep, high, step):
    places = lattice(across, deep, high, step=step)
    cells = _cells(places)
    assert [len(edges) - 1 for edges in cells.edges] == [across, deep, high]
    for axis, edges in enumerate(cells.edges):
        middle = (edges[:-1] + edges[1:]) / 2
        np.testing.assert_allclose(middle[cells.at[:, axis]], places[:, axis], atol=1e-5)


def test_a_level_without_places_is_an_empty_cell_and_not_a_wide_one():
    places = lattice(4, 3, 2)
    cells = _cells(places[places[:, 0] != 0.25])
    table = cells.map(np.ones(len(cells.at)), (0, 1))
    assert table.shape == (3, 4) and np.isnan(table[:, 1]).all() and np.isfinite(table[:, [0, 2, 3]]).all()


def test_scattered_places_are_counted_in_about_as_many_cells_an_axis_as_the_cube_root():
    places = np.random.default_rng(0).uniform(-1, 1, (1000, 3))
    cells = _cells(places)
    assert [len(edges) for edges in cells.edges] == [11, 11, 11]
    for axis, edges in enumerate(cells.edges):
        at = cells.at[:, axis]
        assert (edges[at] <= places[:, axis]).all() and (places[:, axis] <= edges[at + 1]).all()


def test_a_cell_has_the_rms_of_its_known_values():
    places = lattice(2, 2, 3)
    values = np.where(places[:, 2] == 0, 3.0, np.where(places[:, 2] == 0.25, 4.0, NAN))
    cells = _cells(places)
    np.testing.assert_allclose(cells.map(values, (0, 1)), np.sqrt((9 + 16) / 2))
    side = cells.map(values, (0, 2))  # rows are heights
    np.testing.assert_allclose(side, [[3, 3], [4, 4], [NAN, NAN]])
    np.testing.assert_allclose(cells.map(values, (0, 1), cells.at[:, 2] == 1), 4.0)


def test_up_to_three_heights_are_cut_low_to_high():
    assert _cells(lattice(3, 3, 1)).levels() == [0]
    assert _cells(lattice(3, 3, 2)).levels() == [0, 1]
    cells = _cells(lattice(3, 3, 11))
    assert cells.levels() == [1, 5, 9]
    assert cells.height(5) == pytest.approx(5 * 0.25)


# --- pictures --------------------------------------------------------------------------------------------------------


def test_the_map_of_the_volume_is_a_picture_as_wide_as_the_page():
    assert png_size(volume_map(good())) == (round(9.6 * 110), round(5.6 * 110))


def test_the_map_of_one_camera_without_any_error_has_room_for_its_labels():
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib's, where panels do not fit their figure
        assert png_size(volume_map(CASES["alone"]())) == (1056, 616)


def test_slices_need_places_and_grow_by_a_row_where_the_error_is_known():
    """Of one height, which is quicker to draw than three."""
    accuracy = good().accuracy
    level = accuracy.places[:, 2] == accuracy.places[0, 2]
    known = replace(
        accuracy,
        places=accuracy.places[level],
        shared_by=accuracy.shared_by[level],
        predicted_m=accuracy.predicted_m[level],
    )
    counts = replace(known, predicted_m=np.full(level.sum(), NAN))
    whole, shared_only = (png_size(slices(replace(good(), accuracy=one))) for one in (known, counts))
    assert slices(replace(good(), accuracy=UNKNOWN)) is None
    assert whole[0] == shared_only[0] == 1056 and whole[1] > 1.6 * shared_only[1]


def test_two_kinds_of_error_are_compared_and_one_alone_is_not():
    accuracy = good().accuracy
    unknown = np.full(len(accuracy.places), NAN)
    one = replace(accuracy, halves_m=unknown, held_out_places=NOWHERE, held_out_errors_m=np.empty(0))
    level = accuracy.places[:, 2] == accuracy.places[0, 2]
    fields = ("places", "shared_by", "predicted_m", "halves_m")
    few = {name: getattr(accuracy, name)[level] for name in fields}
    two = replace(accuracy, **few, held_out_places=NOWHERE, held_out_errors_m=np.empty(0))
    assert measured_by_place(replace(good(), accuracy=one)) is None
    assert measured_by_place(replace(good(), accuracy=UNKNOWN)) is None
    assert png_size(measured_by_place(replace(good(), accuracy=two)))[0] == 1056
