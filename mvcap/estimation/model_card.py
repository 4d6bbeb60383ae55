"""Model cards: YAML files that describe the inputs and outputs of a person detector and a pose network.

See ``configs/models`` for examples. An unknown or missing key, or a value of the wrong type, is an error that names it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from calib.bounded_files import bounded_text, parse_yaml, reason_of
from mvcap.errors import AssetError, ConfigError, InputError
from mvcap.structures.skeleton import skeleton

_COLOURS = ("rgb", "bgr")
_OUTPUTS = ("simcc", "heatmap")


@dataclass(frozen=True)
class DetectorCard:
    """A person detector: input (1, 3, S, S), outputs ``dets`` (1, N, 5) and ``labels`` (1, N) after NMS."""

    file: str
    """File name, in the folder of the card or in ``estimators.topdown.models``."""
    size: int
    """Side S of the input, px; the image lies in its top left corner, the rest is grey (114)."""
    mean: tuple[float, float, float]
    """Subtracted from the channels 0..255, in the order of ``colour``."""
    std: tuple[float, float, float]
    """Divides the channels."""
    colour: str = "bgr"
    """Order of the channels: ``rgb`` or ``bgr``."""
    person_label: int = 0
    """The label of the class person."""
    threshold: float = 0.3
    """Boxes with a score above this are used."""
    sha256: str = ""
    """sha256 of the file; checked if given."""
    source: str = ""
    """Source of the file, such as an address."""
    licence: str = ""
    """Licence of the file."""

    def __post_init__(self) -> None:
        _check("detector", self.colour, _COLOURS, "colour")
        if self.size < 1 or min(self.std) <= 0:
            raise ConfigError("model card: detector.size and detector.std must be positive")


@dataclass(frozen=True)
class PoseCard:
    """A network that estimates the joints of the person in a crop: input (N, 3, H, W)."""

    file: str
    """File name, in the folder of the card or in ``estimators.topdown.models``."""
    size: tuple[int, int]
    """Width and height of the input, px."""
    mean: tuple[float, float, float]
    """Subtracted from the channels 0..255, in the order of ``colour``."""
    std: tuple[float, float, float]
    """Divides the channels."""
    output: str
    """``simcc``: two outputs (N, J, bins of x) and (N, J, bins of y); ``heatmap``: one output (N, J, h, w)."""
    skeleton: str
    """Name of the skeleton of its joints, see ``mvcap.structures.skeleton``."""
    colour: str = "rgb"
    """Order of the channels: ``rgb`` or ``bgr``."""
    box_scale: float = 1.25
    """Size of the crop divided by the size of the person's box."""
    sha256: str = ""
    """sha256 of the file; checked if given."""
    source: str = ""
    """Source of the file, such as an address."""
    licence: str = ""
    """Licence of the file."""

    def __post_init__(self) -> None:
        _check("pose", self.colour, _COLOURS, "colour")
        _check("pose", self.output, _OUTPUTS, "output")
        skeleton(self.skeleton)
        if min(self.size) < 1 or min(self.std) <= 0 or self.box_scale <= 0:
            raise ConfigError("model card: pose.size, pose.std and pose.box_scale must be positive")


@dataclass(frozen=True)
class ModelCard:
    """The two networks of a top-down estimator."""

    detector: DetectorCard
    pose: PoseCard


C = TypeVar("C", DetectorCard, PoseCard)


def read_card(path: Path) -> ModelCard:
    """Read a model card; InputError if it cannot be read, ConfigError for a wrong key or value."""
    try:
        document = parse_yaml(bounded_text(path))
    except (OSError, ValueError) as fault:
        raise InputError(
            f"{path}: cannot be read as a model card ({reason_of(fault)}); set estimators.topdown.card to a model card"
        ) from fault
    if not isinstance(document, dict) or set(document) != {"detector", "pose"}:
        raise ConfigError(f"{path}: a model card has two parts, detector and pose; see configs/models for examples")
    return ModelCard(_part(document, "detector", DetectorCard, path), _part(document, "pose", PoseCard, path))


def model_file(card: DetectorCard | PoseCard, folder: Path) -> Path:
    """Return the path of a network's file; AssetError if it is missing or its sha256 is not that of the card."""
    path = folder / card.file
    if not path.is_file():
        source = f"from {card.source} " if card.source else ""
        raise AssetError(
            f"{path}: the network file is missing; download it {source}to this path, or set estimators.topdown.models"
        )
    if card.sha256:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != card.sha256.lower():
            raise AssetError(
                f"{path}: sha256 is {found}, but {card.sha256} in the card; download it again or correct the card"
            )
    return path


def _part(document: Mapping[str, Any], name: str, kind: type[C], path: Path) -> C:
    given = document[name]
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: {name} is not a table of keys; see configs/models for examples")
    known = {spec.name: spec for spec in fields(kind)}
    unknown = [str(key) for key in given if key not in known]
    missing = [key for key, spec in known.items() if spec.default is MISSING and key not in given]
    if unknown or missing:
        fault = f"unknown key {', '.join(unknown)}" if unknown else f"key {', '.join(missing)} is missing"
        raise ConfigError(f"{path}: {name}: {fault}; the keys are {', '.join(known)}")
    return kind(**{key: _value(value, str(known[key].type), f"{path}: {name}.{key}") for key, value in given.items()})


def _value(value: Any, kind: str, where: str) -> Any:
    """Return the value converted to the type of its field, given as annotation text; ConfigError for another type."""
    if kind.startswith("tuple"):
        element, count = ("int", 2) if "int" in kind else ("float", 3)
        if not isinstance(value, list) or len(value) != count:
            raise ConfigError(f"{where} is {value!r}; it must be a list of {count} numbers")
        return tuple(_value(item, element, where) for item in value)
    accepted = {"int": (int,), "float": (int, float), "str": (str,)}[kind]
    if not isinstance(value, accepted) or isinstance(value, bool):
        raise ConfigError(f"{where} is {value!r}; it must be a {'text' if kind == 'str' else 'number'}")
    return float(value) if kind == "float" else value


def _check(part: str, value: str, allowed: tuple[str, ...], key: str) -> None:
    if value not in allowed:
        raise ConfigError(f"model card: {part}.{key} is {value!r}; it must be {' or '.join(allowed)}")
