"""Read settings from YAML into frozen dataclasses; an unknown key or a wrong type is an error that lists valid ones.

Overrides are plain nested mappings, as in YAML. Defaults are defined only in the dataclasses.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from mvcap.errors import ConfigError, PluginError

Overrides = Mapping[str, Any]
D = TypeVar("D")

PLUGIN_VARIABLE = "MVCAP_PLUGINS"
"""Environment variable with the modules, or ``package.module:Name``, that sessions may name, separated by commas."""
_NAMING = ("estimator", "associator", "refiner", "lifter", "root_depth")
_MOST_PARTS = 64
_allowed: set[str] = set()


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
    text = repr(value)
    return f"{text if len(text) <= 200 else text[:197] + '...'} ({type(value).__name__})"


def read(path: Path) -> dict[str, Any]:
    """Return the overrides of a YAML file; ConfigError if it cannot be read."""
    from calib.bounded_files import bounded_text, parse_yaml, reason_of

    try:
        text = bounded_text(path)
    except (OSError, ValueError) as fault:
        raise ConfigError(f"config {path} cannot be read: {reason_of(fault)}") from fault
    try:
        loaded = parse_yaml(text)
    except ValueError as fault:
        raise ConfigError(f"config {path} is {fault}") from fault
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"config {path}: expected keys and values, found {_shown(loaded)}")
    return loaded


def assignments(texts: Iterable[str]) -> dict[str, Any]:
    """Return the overrides of ``key.sub=value`` texts; ConfigError if one is not of that form.

    A value is a number, a truth value or null as in YAML; YAML if it begins with a quote, [ or {; else text as it
    stands, with its # and colons. A plug-in's name may have dots: ``refiners.package.module:Class.gain=2``.
    """
    out: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {text!r}: expected key=value, such as track.min_seconds=0.3")
        parts = _parts(key.strip())
        if len(parts) > _MOST_PARTS or re.search("[\x00-\x1f\x7f\ud800-\udfff]", text):
            raise ConfigError(f"--set {text[:80]!r}: expected key=value without control characters")
        try:
            parsed = _value(value.strip())
        except ValueError as fault:
            raise ConfigError(f"--set {text!r}: the value is {fault}; put text in quotes") from fault
        for part in reversed(parts):
            parsed = {part: parsed}
        out = merge(out, parsed)
    return out


def _parts(key: str) -> list[str]:
    """Split a key at its dots, except those of a plug-in's module: ``refiners``, ``my.module:Class``, ``gain``."""
    named = re.fullmatch(rf"({'|'.join(f'{kind}s' for kind in _NAMING)})\.([^:]+:[^:.]+)(?:\.(.+))?", key)
    if named is None:
        return key.split(".")
    return [named[1], named[2], *(named[3].split(".") if named[3] else [])]


def _value(text: str) -> Any:
    """Return the value of a ``--set``; ValueError if it begins like YAML and is not."""
    from calib.bounded_files import parse_yaml

    if text[:1] in ("'", '"', "[", "{"):
        return parse_yaml(text)
    try:
        parsed = None if not text else text if "#" in text or text[0] in "!&" else parse_yaml(text)
    except ValueError:
        return text
    return parsed if parsed is None or isinstance(parsed, bool | int | float) else text


def foreign_plugins(overrides: Overrides) -> list[str]:
    """Return the names ``"package.module:Name"`` of plug-ins in overrides: importing them runs their code."""
    found: list[Any] = [overrides.get(kind) for kind in _NAMING]
    for kind in _NAMING:
        section = overrides.get(f"{kind}s")
        found += list(section) if isinstance(section, Mapping) else []
    export = overrides.get("export")
    formats = export.get("formats") if isinstance(export, Mapping) else None
    found += formats if isinstance(formats, list | tuple) else [formats]
    return [name for name in dict.fromkeys(name for name in found if isinstance(name, str)) if ":" in name]


def allow_plugins(*names: str) -> None:
    """Allow sessions to name these modules, or plug-ins ``"package.module:Name"``, until the process ends."""
    _allowed.update(names)


def allowed_plugins() -> frozenset[str]:
    """Return what ``allow_plugins`` has allowed in this process, for processes that it starts."""
    return frozenset(_allowed)


def allowed_overrides(overrides: Overrides, path: Path) -> dict[str, Any]:
    """Return the overrides of a file of settings; PluginError if they name a foreign plug-in that nobody allowed.

    A session, with its file or others, may come from somebody else, and importing a module runs it. What the user of
    this process names himself (``--set``, ``Session.override``, ``allow_plugins``, the environment variable
    MVCAP_PLUGINS) is allowed.
    """
    for name in foreign_plugins(overrides):
        if not _is_allowed(name):
            raise PluginError(
                f"{path} names the plug-in {name!r}, which is not of mvcap, so using this file would run its code;"
                f" if you trust it, give `mvcap --allow-plugin {name} ...` or set {PLUGIN_VARIABLE}={name}; "
                "otherwise remove it from the file"
            )
    return dict(overrides)


def _is_allowed(name: str) -> bool:
    module = name.partition(":")[0]
    listed = {entry.strip() for entry in os.environ.get(PLUGIN_VARIABLE, "").split(",")} - {""}
    return any(entry in (name, module) or module.startswith(f"{entry}.") for entry in _allowed | listed)


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
