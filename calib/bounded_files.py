"""Text formats read within limits: a file that somebody else wrote costs little time and memory, whatever is in it.

YAML, JSON, TOML and XML become plain values: mappings with text as keys where the format has no others, lists, text,
numbers, truth values and None. Every fault is a ValueError of one line without the file's name, which the caller adds;
`reason_of` gives the line for an OSError too. Limits: bytes, depth of nesting, values, and values that aliases repeat.
Refused as well: keys that are there twice, half characters (surrogates), entities in XML. Whole numbers beyond 64 bits
become floating point, infinite above 1e308. Plain dates and times in YAML and TOML are text.
"""

import io
import json
import pickletools
import stat
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml
from yaml.composer import Composer
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.resolver import Resolver

MOST_BYTES = 16 << 20
"""Largest file of settings or of a calibration."""
MOST_DEPTH = 64
"""Deepest nesting of lists and mappings."""
MOST_NODES = 500_000
"""Most values of a YAML file."""
MOST_REPEATED = 50_000
"""Most values that the aliases of a YAML file repeat."""
_WHOLE = 1 << 63
_FAULTS = (
    *(yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError),
    *(RecursionError, MemoryError, ElementTree.ParseError),
)
"""What a damaged text can raise while it is parsed."""


def bounded_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """The content of a regular file of at most so many bytes; OSError or ValueError otherwise.

    Pipes and devices are refused, as reading them may never end.
    """
    about = path.stat()
    if stat.S_ISDIR(about.st_mode):
        raise IsADirectoryError(21, "is a folder", str(path))
    if not stat.S_ISREG(about.st_mode):
        raise ValueError("not a regular file")
    with path.open("rb") as file:
        data = file.read(min(about.st_size, most) + 1)
    if len(data) > most:
        raise ValueError(f"larger than {most / (1 << 20):g} MB")
    return data


def bounded_text(path: Path, most: int = MOST_BYTES) -> str:
    """The text of a file in UTF-8, with or without a byte order mark; OSError or ValueError otherwise."""
    text = bounded_bytes(path, most).decode("utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def reason_of(fault: BaseException) -> str:
    """What is wrong, in one line of at most 300 characters: an OSError's reason, else the message or the kind."""
    told = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
    line = " ".join(told.split())
    return (line if len(line) <= 300 else f"{line[:297]}...") or type(fault).__name__


def parse_yaml(text: str) -> Any:
    """The plain values of a YAML document; ValueError for a text that is damaged or beyond the limits."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            value = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except _FAULTS as fault:
        raise ValueError(f"not YAML: {reason_of(fault)}") from None
    return _within_limits(value)


def compose_yaml(text: str) -> Any:
    """The nodes of a YAML document, for a reader with rules of its own; None without any. ValueError as parse_yaml."""
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except _FAULTS as fault:
        raise ValueError(f"not YAML: {reason_of(fault)}") from None


def parse_json(text: str | bytes) -> Any:
    """The plain values of a JSON text; ValueError for one that is damaged or nested too deeply."""
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except _FAULTS as fault:
        why = "nested too deeply" if isinstance(fault, RecursionError) else reason_of(fault)
        raise ValueError(f"not JSON: {why}") from None
    return _within_limits(value)


def parse_toml(text: str) -> dict[str, Any]:
    """The plain values of a TOML text; ValueError for one that is damaged or nested too deeply."""
    if any(line.partition("=")[0].count(".") > MOST_DEPTH for line in text.split("\n")):
        raise ValueError(f"not TOML: nested more than {MOST_DEPTH} deep")  # quick where the parser is not
    try:
        value = tomllib.loads(text)
    except _FAULTS as fault:
        why = "nested too deeply" if isinstance(fault, RecursionError) else reason_of(fault)
        raise ValueError(f"not TOML: {why}") from None
    settled: dict[str, Any] = _within_limits(value)
    return settled


def parse_xml(text: str) -> ElementTree.Element:
    """The root element of an XML text; ValueError for one that is damaged, nested too deeply or defines entities."""
    if "<!ENTITY" in text:
        raise ValueError("not XML of a program that is known: it defines entities")
    try:
        root = ElementTree.fromstring(text)
    except _FAULTS as fault:
        raise ValueError(f"not XML: {reason_of(fault)}") from None
    level, depth = [root], 0
    while level:
        depth += 1
        if depth > MOST_DEPTH:
            raise ValueError(f"not XML that is known: nested more than {MOST_DEPTH} deep")
        level = [child for element in level for child in element]
    return root


def check_pickle(data: bytes) -> None:
    """Raise ValueError for a pickle whose memory numbers are beyond its length: reading it would fill the memory."""
    try:
        for number, (code, argument, _) in enumerate(pickletools.genops(io.BytesIO(data))):
            if "PUT" in code.name and int(argument or 0) > number:
                raise ValueError("a memory number beyond the length of the file")
    except _FAULTS as fault:
        raise ValueError(f"not a pickle: {reason_of(fault)}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r} is in it twice")
    return values


def _within_limits(value: Any) -> Any:
    """The value with numbers and text that are safe to use; ValueError where it is nested too deeply."""
    held: list[Any] = [value]
    level: list[dict[Any, Any] | list[Any]] = [held]
    depth = 0
    while level:
        if depth > MOST_DEPTH:
            raise ValueError(f"nested more than {MOST_DEPTH} deep")
        depth += 1
        level = [inner for container in level for inner in _settle(container)]
    return held[0]


def _settle(container: dict[Any, Any] | list[Any]) -> Iterable[dict[Any, Any] | list[Any]]:
    """Settle the values of one list or mapping in place; the lists and mappings in it."""
    if isinstance(container, dict):
        for key in container:
            if isinstance(key, str):
                _check_characters(key)
    kinds = set(map(type, container.values() if isinstance(container, dict) else container))
    if kinds <= {float, bool, type(None)}:
        return []
    inner = []
    for key, value in list(container.items() if isinstance(container, dict) else enumerate(container)):
        kind = type(value)
        if kind is dict or kind is list:
            inner.append(value)
        elif kind is int and not -_WHOLE <= value < _WHOLE:
            container[key] = _as_float(value)
        elif kind is str:
            _check_characters(value)
        elif kind not in (float, int, bool, type(None)):
            container[key] = str(value)  # TOML's dates and times
    return inner


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _check_characters(text: str) -> None:
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(f"half a character in {text[:40]!a}")


class _Composer(Composer):
    """Composes nodes and counts them: values, depth, and the values that aliases repeat."""

    def __init__(self) -> None:
        super().__init__()
        self._nodes = self._repeated = self._depth = 0
        self._weight: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """The next node; ValueError beyond the limits."""
        events: Any = self
        if events.check_event(yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self._weight:
                raise ValueError("an alias that contains itself")
            self._repeated += self._weight[id(node)]
            self._nodes += self._weight[id(node)]
            if self._repeated > MOST_REPEATED:
                raise ValueError(f"its aliases repeat more than {MOST_REPEATED} values")
            return node
        self._nodes += 1
        before = self._nodes
        self._depth += 1
        if self._depth > MOST_DEPTH + 1:
            raise ValueError(f"nested more than {MOST_DEPTH} deep")
        if self._nodes > MOST_NODES:
            raise ValueError(f"more than {MOST_NODES} values")
        node = super().compose_node(parent, index)
        self._depth -= 1
        self._weight[id(node)] = self._nodes - before + 1
        return node


class _Constructor(SafeConstructor):
    """Constructs mappings without repeated keys, lists, text, numbers and truth values, and nothing else."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node; ConstructorError for a key that is in it twice."""
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge" and key.id == "scalar"]
        if len(set(keys)) < len(keys):
            twice = next(key for number, key in enumerate(keys) if key in keys[:number])
            raise ConstructorError(None, None, f"the key {twice!r} is in it twice", node.start_mark)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def _plain_constructors() -> dict[Any, Any]:
    kept = [f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map")]
    return {tag: SafeConstructor.yaml_constructors[tag] for tag in (*kept, None)}


def _plain_resolvers() -> dict[Any, Any]:
    """YAML's rules for plain scalars without dates and times and without numbers of base 60 such as 1:30."""
    listed: dict[Any, Any] = {}
    for first, rules in Resolver.yaml_implicit_resolvers.items():
        listed[first] = [(tag, pattern) for tag, pattern in rules if not tag.endswith(":timestamp")]
    return listed


_Constructor.yaml_constructors = _plain_constructors()
_Events: Any = getattr(yaml.cyaml, "CParser", yaml.SafeLoader) if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader


class _Loader(_Composer, _Events, _Constructor, Resolver):  # type: ignore[misc]
    """YAML within the limits: libyaml's events where there are, the nodes in Python."""

    yaml_implicit_resolvers = _plain_resolvers()

    def __init__(self, text: str) -> None:
        _Events.__init__(self, text)
        _Composer.__init__(self)
        _Constructor.__init__(self)
        Resolver.__init__(self)

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """The tag of a scalar, list or mapping: digits with colons are text, not numbers of base 60."""
        if kind is yaml.ScalarNode and implicit[0] and ":" in value and value[:1] in "+-.0123456789":
            return "tag:yaml.org,2002:str"
        return Resolver.resolve(self, kind, value, implicit)  # type: ignore[no-untyped-call]
