"""Packages of extras: the module where it is there, one line with the way to it where it is not."""

import json

import pytest

from mvcap.errors import InputError
from mvcap.structures.optional_package import optional_package


def test_the_module_is_returned():
    assert optional_package("json", "JSON", "extra", "reading") is json


def test_a_missing_one_is_one_line_with_the_way_to_it():
    with pytest.raises(InputError, match=r'^reading needs That \(.*\): pip install "mvcap\[those\]"$'):
        optional_package("mvcap_has_no_such_package", "That", "those", "reading")
