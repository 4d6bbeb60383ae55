"""Read settings from YAML into frozen dataclasses; an unknown key or a wrong type is an error that lists valid ones.

Overrides are plain nested mappings, as in YAML. Defaults are defined only in the dataclasses.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from mvcap.errors import ConfigError

Overrides = Mapping[str, Any]
D = TypeVar("D")


def build(kind: type[D], values: Any, where: str = "") -> D:
    """Make a config dataclass from overrides; ConfigError names the key, what is wrong and a probable correction."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"config {where or 'file'}: expected keys and values, found {_shown(values)}")
    hints = typing.get_type_hints(kind)
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise ConfigError(_unknown(_dotted(where, str(key)), str(key), known))
    converted = {key: _convert(hints[key], value, _dotted(where, key)) for key, value in values.items()}
    return kind(**converted)


def _dotted(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _unknown(path: str, key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown config key {path!r}; {hint}available: {', '.join(known)}"


def _convert(hint: Any, value: Any, path: str) -> Any:
    if dataclasses.is_dataclass(hint) and value is None:  # a section whose keys are all commented out
        return typing.cast(type, hint)()
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, path)
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        return _convert(next(o for o in options if o is not type(None)), value, path)
    if origin is typing.Literal:
        return _one_of(typing.get_args(hint), value, path)
    if origin is tuple:
        item = typing.get_args(hint)[0]
        parts = value if isinstance(value, list | tuple) else [value]
        return tuple(_convert(item, part, path) for part in parts)
    if hint is float:
        value = _number(value)
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"config key {path!r} must be a finite number, not {value}")
    if isinstance(hint, type) and (not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool)):
        raise ConfigError(f"config key {path!r} must be of type {hint.__name__}, not {_shown(value)}")
    return value


def _number(value: Any) -> Any:
    """Return an integer, or a text such as 1e-3, which YAML does not read as a number, as a float; else the value."""
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and re.fullmatch(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+", value):
        return float(value)
    return value


def _one_of(options: tuple[Any, ...], value: Any, path: str) -> Any:
    if value not in options:
        raise ConfigError(f"config key {path!r} must be one of {', '.join(map(str, options))}, not {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    return f"{value!r} ({type(value).__name__})"


def read(path: Path) -> dict[str, Any]:
    """Return the overrides of a YAML file; ConfigError if it cannot be read."""
    import yaml

    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"config {path} cannot be read: {fault}") from fault
    except yaml.YAMLError as fault:
        raise ConfigError(f"config {path} is not YAML: {' '.join(str(fault).split())}") from fault
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"config {path}: expected keys and values, found {_shown(loaded)}")
    return loaded


def assignments(texts: Iterable[str]) -> dict[str, Any]:
    """Return the overrides of ``key.sub=value`` texts with YAML values; ConfigError if one is not of that form."""
    import yaml

    out: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {text!r}: expected key=value, such as track.min_seconds=0.3")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError as fault:
            raise ConfigError(f"--set {text!r}: the value is not YAML") from fault
        for part in reversed(key.strip().split(".")):
            parsed = {part: parsed}
        out = merge(out, parsed)
    return out


def merge(first: Overrides, second: Overrides) -> dict[str, Any]:
    """Merge two overrides recursively; where both set a key, the second wins."""
    out = dict(first)
    for key, value in second.items():
        old = out.get(key)
        out[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return out


def plain(config: Any) -> dict[str, Any]:
    """Return a config dataclass as a nested mapping for YAML or JSON."""
    out: dict[str, Any] = dataclasses.asdict(config)
    return out
