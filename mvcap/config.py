"""YAML to frozen dataclasses, strictly: an unknown key or a wrong type is an error that says what there is instead.

Overrides are plain nested mappings, as YAML holds them. Defaults live in the dataclasses and nowhere else.
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
    """Make a config dataclass of a mapping of overrides; ConfigError names the key, what is wrong and what is meant."""
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
    return f"unknown config key {path!r}; {hint}there are: {', '.join(known)}"


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
            raise ConfigError(f"config key {path!r} is a finite number, not {value}")
    if isinstance(hint, type) and (not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool)):
        raise ConfigError(f"config key {path!r} is a {hint.__name__}, not {_shown(value)}")
    return value


def _number(value: Any) -> Any:
    """A whole number, and what YAML takes for text as it lacks a dot (1e-3), as a float; all else as it is."""
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and re.fullmatch(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+", value):
        return float(value)
    return value


def _one_of(options: tuple[Any, ...], value: Any, path: str) -> Any:
    if value not in options:
        raise ConfigError(f"config key {path!r} is one of {', '.join(map(str, options))}, not {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    return f"{value!r} ({type(value).__name__})"


def read(path: Path) -> dict[str, Any]:
    """Overrides of a YAML file; ConfigError where it cannot be read."""
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
    """Overrides of ``key.sub=value`` texts, the values as YAML; ConfigError where one is not of that form."""
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
    """Both overrides; where they name the same key, the second's value."""
    out = dict(first)
    for key, value in second.items():
        old = out.get(key)
        out[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return out


def plain(config: Any) -> dict[str, Any]:
    """Return a config dataclass as the nested mapping that YAML or JSON holds."""
    out: dict[str, Any] = dataclasses.asdict(config)
    return out
