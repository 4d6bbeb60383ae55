"""Valid files damaged by seed: bytes, words and values that programs, disks and hostile people leave in files."""

import io
import json
import re
import zipfile

import numpy as np

WORDS = (
    *("9" * 400, "-" + "9" * 30, "1e999", "-1e308", "NaN", "nan", ".inf", "-0", "1e-320", "0x7fffffffffffffff", "1:30"),
    *("null", "~", "true", "[]", "{}", "[[[[[[]]]]]]", '"text"', "'", '"', "2001-13-45", "!!int x", "&a [*a]", "*b"),
    *("[" * 3000, "{" * 3000, "<a>" * 300, "- " * 2000, "a." * 2000, "\x00", "\ud800", "\u202e", "\x1b[2J", "%s"),
    *("../../x", "$_$"),
    *("<<: {a: 1}", "---", "...", "\t", ",,,,", "\r", "# ", "|", ">", "?", "!!python/object/apply:os.system [x]"),
)  # fmt: skip
VALUES = (
    None,
    True,
    "x",
    "",
    [],
    {},
    [[]],
    {"a": [1]},
    -1,
    0,
    10**30,
    1.5,
    1e308,
    float("nan"),
    float("inf"),
    "9" * 99,
)
NUMBER = re.compile(rb"-?\d+(\.\d+)?([eE][-+]?\d+)?")


def damaged(data, ending, rng):
    """Another content for a file: its bytes, changed in one of many ways."""
    ways = [_bits, _cut, _without, _twice, _inserted]
    if ending == ".json":
        ways += [_json, _json, _json]
    elif ending == ".npz":
        ways += [_arrays, _arrays, _arrays]
    elif ending not in (".parquet", ".h5", ".pickle", ".bin", ".png", ".jpg"):
        ways += [_number, _number, _line]
    out = ways[rng.integers(len(ways))](data, rng)
    return ways[rng.integers(5)](out, rng) if rng.random() < 0.1 else out


def _at(data, rng):
    return int(rng.integers(len(data) + 1))


def _bits(data, rng):
    out = bytearray(data or b" ")
    for _ in range(int(rng.integers(1, 9))):
        out[rng.integers(len(out))] ^= 1 << int(rng.integers(8))
    return bytes(out)


def _cut(data, rng):
    return data[: _at(data, rng)]


def _without(data, rng):
    at = _at(data, rng)
    return data[:at] + data[at + int(rng.integers(1, 200)) :]


def _twice(data, rng):
    at = _at(data, rng)
    return data[:at] + data[max(0, at - int(rng.integers(1, 400))) :]


def _inserted(data, rng):
    at = _at(data, rng)
    return data[:at] + _word(rng) + data[at:]


def _word(rng):
    return WORDS[rng.integers(len(WORDS))].encode("utf-8", "surrogatepass")


def _number(data, rng):
    found = list(NUMBER.finditer(data))
    if not found:
        return _inserted(data, rng)
    start, stop = found[rng.integers(len(found))].span()
    return data[:start] + _word(rng) + data[stop:]


def _line(data, rng):
    """A line that is there twice, is missing, or has other words after its key."""
    lines = data.split(b"\n")
    at = int(rng.integers(len(lines)))
    key = re.match(rb"[^:=,]*[:=,]", lines[at])
    changes = [[lines[at]] * 2, [], [key[0] + b" " + _word(rng)] if key else [_word(rng)]]
    return b"\n".join([*lines[:at], *changes[rng.integers(3)], *lines[at + 1 :]])


def _json(data, rng):
    """A value of another kind, a key that is missing or there twice."""
    try:
        document = json.loads(data)
    except ValueError:
        return _bits(data, rng)
    places = list(_places(document))
    holder, key = places[rng.integers(len(places))]
    if isinstance(holder, dict) and rng.random() < 0.2:
        text = json.dumps({key: holder[key]})[1:-1]
        return data.replace(text.encode(), f"{text},{text}".encode(), 1) if text.encode() in data else data[:-1]
    if isinstance(holder, dict) and rng.random() < 0.2:
        del holder[key]
    else:
        holder[key] = VALUES[rng.integers(len(VALUES))]
    return json.dumps(document).encode()


def _places(value):
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])


def _arrays(data, rng):
    """An array of another shape or type, with impossible numbers, missing, or with a header of another shape."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as held:
            arrays = dict(held)
    except (ValueError, OSError, zipfile.BadZipFile):
        return _bits(data, rng)
    name = list(arrays)[rng.integers(len(arrays))]
    array = arrays[name]
    change = int(rng.integers(8))
    if change == 0:
        del arrays[name]
    elif change == 1:
        arrays[name] = array[None]
    elif change == 2 and array.ndim:
        arrays[name] = array[: len(array) // 2]
    elif change == 3:
        arrays[name] = array.astype(str)
    elif change == 4 and array.size and array.dtype.kind in "fiu":
        arrays[name] = array.astype(np.float64)
        arrays[name].flat[rng.integers(array.size)] = [np.nan, np.inf, -1e300, -7, 1e10][rng.integers(5)]
    elif change == 5:
        arrays[name] = np.array([None, {}], dtype=object)
    elif change == 6:
        arrays[name] = np.zeros((0, *array.shape[1:]), array.dtype)
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    out = stream.getvalue()
    if change == 7:
        shape = re.search(rb"'shape': \([^)]*\)", out)
        wrong = b"'shape': (9**9,)" if shape is None else shape[0][:10] + b"(" + b"9" * (len(shape[0]) - 12) + b")"
        out = out.replace(shape[0] if shape else b"", wrong, 1)
    return out
