"""Array aliases: each names one kind of number, and what is said to return one returns that kind."""

from typing import get_args, get_origin, get_type_hints

import numpy as np
import pytest

from calib import arrays, geometry

NUMBERS = {
    "Floats": np.float64, "Singles": np.float32, "Ints": np.int64, "Bools": np.bool_, "Image": np.uint8,
}  # fmt: skip
K = [[900, 0, 640], [0, 900, 360], [0, 0, 1]]
VECTOR, POINT = [1, 2, 3], [0, 0, 4]
CALLS = {
    "invert": (np.eye(4),),
    "normalise": ([640, 360], K),
    "pixels": ([0, 0], K),
    "pose": (np.eye(3), VECTOR),
    "project": (POINT, K, np.eye(4)),
    "rotation_from_vector": (VECTOR,),
    "transform": (np.eye(4), POINT),
    "triangulate": (np.zeros((2, 2)), None, np.stack([np.eye(4)] * 2)),
    "vector_from_rotation": (np.eye(3),),
}


def number_of(alias):
    """The NumPy type of an alias."""
    return get_args(get_args(alias)[1])[0]


def test_every_alias_is_an_array_of_one_kind_of_number():
    aliases = {name: value for name, value in vars(arrays).items() if get_origin(value) is np.ndarray}
    del aliases["NDArray"]
    assert {name: number_of(alias) for name, alias in aliases.items()} == NUMBERS


@pytest.mark.parametrize("name", CALLS)
def test_geometry_returns_the_alias_that_it_declares_whatever_it_is_given(name):
    function = getattr(geometry, name)
    declared = get_type_hints(function)["return"]
    assert declared == arrays.Floats
    for given in (np.int64, np.float32, np.float64):
        parts = [None if part is None else np.asarray(part, given) for part in CALLS[name]]
        assert function(*parts).dtype == number_of(declared)
