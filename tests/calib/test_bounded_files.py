"""Text formats within limits: what bombs cost, what is refused, and what stays as it was."""

import itertools
import json
import os
import pickle
import time
import tracemalloc

import numpy as np
import pytest
import yaml

from calib import bounded_files
from calib.bounded_files import (
    bounded_bytes,
    bounded_text,
    check_pickle,
    compose_yaml,
    parse_json,
    parse_toml,
    parse_xml,
    parse_yaml,
    reason_of,
)

LEVELS = "abcdefghijkl"
ALIASES = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n" for before, name in itertools.pairwise(LEVELS)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join(['*' + before] * 9)}]}}\n" for before, name in itertools.pairwise(LEVELS)
)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_yaml, ALIASES),
        (parse_yaml, MERGES),
        (parse_yaml, "a: &a [*a]"),
        (compose_yaml, ALIASES),
        (compose_yaml, "a: &a [*a]"),
        (parse_yaml, "cameras: " + "[" * 100_000),
        (parse_yaml, "cameras: " + "{a: " * 100_000),
        (parse_yaml, "".join(f"{' ' * depth}a:\n" for depth in range(400))),
        (parse_yaml, "- " * 100_000),
        (compose_yaml, "a: " + "[" * 50_000),
        (parse_json, "[" * 50_000),
        (parse_json, '{"a":' * 50_000),
        (parse_json, "[" * 200 + "]" * 200),
        (parse_toml, "a = " + "[" * 50_000),
        (parse_toml, "a = " + "{b = " * 3000),
        (parse_toml, ".".join("a" * 50_000) + " = 1"),
        (parse_toml, "[" + ".".join("a" * 50_000) + "]"),
        (parse_xml, "<a>" * 50_000 + "</a>" * 50_000),
        (parse_xml, '<!DOCTYPE a [<!ENTITY x "yyyy">]><a>&x;</a>'),
    ],
)
def test_bombs_and_deep_nesting_are_refused_at_once_and_cost_no_memory(parse, text):
    tracemalloc.start()
    begun = time.process_time()
    try:
        with pytest.raises(ValueError, match=r"deep|repeat|contains itself|entities") as caught:
            parse(text)
        assert time.process_time() - begun < 2.0
        assert tracemalloc.get_traced_memory()[1] < 40e6
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        *((parse_yaml, f"a: !!{tag} x") for tag in ("int", "float", "bool", "timestamp", "binary", "set", "omap")),
        *((parse_yaml, f"a: !!{tag} ''") for tag in ("int", "float", "pairs")),
        (parse_yaml, "!!python/object/apply:os.system ['true']"),
        (parse_yaml, "a: 1\na: 2"),
        (parse_yaml, "{a: 1, a: 2}"),
        (parse_yaml, "? [1, 2]\n: 3"),
        (parse_yaml, "a: *unknown"),
        (parse_yaml, "--- 1\n--- 2\n"),
        (parse_yaml, "a: \x00"),
        (parse_yaml, "a: " + "9" * 5000),
        (parse_json, "9" * 5000),
        (parse_json, '{"a": 1, "a": 2}'),
        (parse_json, '["\\ud800"]'),
        (parse_json, '{"\\udfff": 1}'),
        (parse_json, b"\xff\xfe\x00"),
        (parse_json, ""),
        (parse_toml, "a = 1\na = 2"),
        (parse_toml, "a = 12.34.56"),
        (parse_xml, "<a><b></a>"),
        (parse_xml, "\ud800"),
    ],
)
def test_damaged_text_is_refused_in_one_line(parse, text):
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_plain_values_are_those_of_yaml_itself():
    values = {
        "a": [1, 2.5, "x", None, True, -3, "2", "yes"],
        "b": {"c": {"d": "\u00e4\u65e5"}},
        4: [],
        "e": "",
        "f": 1e-7,
    }
    assert parse_yaml(yaml.safe_dump(values)) == values
    assert parse_yaml("a: {<<: {x: 1, y: 2}, y: 3}") == {"a": {"x": 1, "y": 3}}
    shared = [1, 2]
    assert parse_yaml(yaml.safe_dump({"a": shared, "b": shared})) == {"a": shared, "b": shared}  # anchors, as it dumps
    assert parse_yaml("") is None and parse_yaml("x: 0x10") == {"x": 16}


def test_dates_times_and_digits_with_colons_are_text():
    assert parse_yaml("a: 2024-01-31\nb: 12:30:45\nc: 1:30\nd: 2001-13-45\ne: 190:20:30.15") == {
        "a": "2024-01-31", "b": "12:30:45", "c": "1:30", "d": "2001-13-45", "e": "190:20:30.15",
    }  # fmt: skip
    assert parse_toml("a = 1979-05-27\nb = 07:32:00") == {"a": "1979-05-27", "b": "07:32:00"}


def test_numbers_beyond_64_bits_become_floating_point():
    digits = "9" * 400
    assert parse_json(f"[{digits}, -{digits}, {1 << 70}, 3]") == [float("inf"), float("-inf"), float(1 << 70), 3]
    assert parse_yaml(f"a: {digits}\nb: 0x{'f' * 5000}") == {"a": float("inf"), "b": float("inf")}
    assert parse_toml(f"a = {1 << 64}")["a"] == float(1 << 64)
    assert isinstance(parse_json(str((1 << 63) - 1)), int)


def test_files_are_read_up_to_a_size_and_pipes_are_not_opened(tmp_path):
    large = tmp_path / "large.yaml"
    large.write_bytes(b"x" * 2000)
    assert len(bounded_bytes(large, 2000)) == 2000
    with pytest.raises(ValueError, match="larger than"):
        bounded_bytes(large, 1999)
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    with pytest.raises(ValueError, match="not a regular file"):
        bounded_bytes(pipe)
    with pytest.raises(OSError, match="folder") as caught:
        bounded_bytes(tmp_path)
    assert reason_of(caught.value) == "is a folder"
    marked = tmp_path / "marked.txt"
    marked.write_bytes(b"\xef\xbb\xbfa\r\nb\rc")
    assert bounded_text(marked) == "a\nb\nc"


def test_more_values_than_the_limit_are_refused(monkeypatch):
    monkeypatch.setattr(bounded_files, "MOST_NODES", 100)
    assert len(parse_yaml(json.dumps([1] * 98))) == 98
    with pytest.raises(ValueError, match="more than 100 values"):
        parse_yaml(json.dumps([1] * 101))


def test_a_pickle_that_would_fill_the_memory_is_refused_before_it_is_read():
    for protocol in range(6):
        check_pickle(pickle.dumps({"K": np.eye(3), "names": [str(number) for number in range(300)]}, protocol))
    with pytest.raises(ValueError, match="beyond the length"):
        check_pickle(b"]r\xff\xff\xff\x0f.")  # memory number 268 million: 4 GB
    with pytest.raises(ValueError, match="not a pickle"):
        check_pickle(b"no pickle")
