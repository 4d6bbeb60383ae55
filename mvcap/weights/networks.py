"""Trained networks: where their weights are, their cards, and how they run.

A network is two files in one folder: ``<name>.onnx`` and ``<name>.card.yaml``, which lists its training data and
command, its metrics and the sha256 of its file. Those of the package work for any rig; ``mvcap train --rig`` may have
put better ones for one rig into the cache. onnxruntime runs them; torch is needed only for training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calib import Rig
from calib.bounded_files import bounded_text, parse_yaml, reason_of
from calib.camera import Camera
from mvcap.assets import cache_dir
from mvcap.errors import AssetError, ConfigError

SHIPPED = Path(__file__).parent
"""Folder of the weights shipped with the package."""

_KEYS = ("name", "command", "seed", "version", "data", "metrics", "limitations", "sha256")
_POSE_STEP, _PIXEL_STEP, _LENS_STEP = 1e-3, 1e-2, 1e-3
"""Rounding steps of a rig's fingerprint: m and entries of a rotation; px; coefficients of the distortion."""


@dataclass(frozen=True, eq=False)
class Network:
    """A network that runs on one thread; its inputs and outputs are named by ``inputs`` and ``outputs``."""

    path: Path
    card: Mapping[str, Any]

    @property
    def identity(self) -> str:
        """A short unique name of these weights: name and the first twelve letters of the file's sha256."""
        return f"{self.card['name']}-{str(self.card['sha256'])[:12]}"

    @cached_property
    def limits(self) -> Mapping[str, NDArray[np.float64]]:
        """Statistics of its training data, such as the range of each feature; empty where the card has none."""
        return {name: np.asarray(values, np.float64) for name, values in (self.card.get("limits") or {}).items()}

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(one.name for one in self._session.get_inputs())

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return tuple(one.name for one in self._session.get_outputs())

    @property
    def _session(self) -> Any:
        return _session(self.path, str(self.card["sha256"]))

    def __call__(self, *arrays: ArrayLike) -> tuple[NDArray[Any], ...]:
        """Outputs for the inputs, each converted to the type that the network takes."""
        wanted = self._session.get_inputs()
        if len(arrays) != len(wanted):
            raise ValueError(f"network {self.card['name']} takes {', '.join(self.inputs)}, not {len(arrays)} arrays")
        fed = {one.name: np.asarray(array, _TYPES[one.type]) for one, array in zip(wanted, arrays, strict=True)}
        return tuple(self._session.run(None, fed))


_TYPES: Mapping[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(bool)": np.bool_,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}


@lru_cache(maxsize=8)
def _session(path: Path, sha256: str) -> Any:
    """Session of the file, cached; with ``sha256`` in the key, a replaced file gets a new session."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except runtime_faults() as fault:
        reason = " ".join(str(fault).split())[:200]
        raise AssetError(f"{path}: not a network that onnxruntime can load ({reason}); {_remedy(path)}") from fault


def runtime_faults() -> tuple[type[Exception], ...]:
    """Return the exceptions that onnxruntime raises: classes of its own, whose only common base is Exception."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [value for value in vars(state).values() if isinstance(value, type) and issubclass(value, Exception)]
    return (RuntimeError, ValueError, *own)


def load_network(name: str, rig: Rig | None = None) -> Network:
    """Return the network of that name: the rig's own where it was fine-tuned for this rig, else the package's.

    Raises AssetError where a file is missing or damaged, ConfigError where its card is.
    """
    if rig is not None and card_path(own := rig_folder(rig) / f"{name}.onnx").is_file():
        return read(own)
    return read(SHIPPED / f"{name}.onnx")


def read(path: Path) -> Network:
    """Return the network of an ONNX file with its card in the same folder; the same errors as ``load_network``.

    Unchanged files are read and checked once.
    """
    return _read(path, _state(path), _state(card_path(path)))


def _state(path: Path) -> tuple[int, ...]:
    """Metadata that change when the file does; empty where it cannot be read."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


@lru_cache(maxsize=16)
def _read(path: Path, content_state: tuple[int, ...], card_state: tuple[int, ...]) -> Network:
    card = _card(path)
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise AssetError(f"{path}: the network cannot be read ({fault.strerror}); {_remedy(path)}") from fault
    found = hashlib.sha256(content).hexdigest()
    if found != card["sha256"]:
        raise AssetError(f"{path}: damaged: its sha256 is {found}, its card says {card['sha256']}; {_remedy(path)}")
    return Network(path, card)


def card_path(path: Path) -> Path:
    """Path of the card that belongs to an ONNX file."""
    return path.with_name(f"{path.stem}.card.yaml")


def rig_folder(rig: Rig) -> Path:
    """Folder in the cache for networks fine-tuned for the rig."""
    return cache_dir() / "networks" / rig_fingerprint(rig)


def rig_fingerprint(rig: Rig) -> str:
    """Fingerprint of sixteen letters of the cameras' poses and lenses, independent of their names and order.

    Values are rounded below what affects a network, so a file with fewer digits is the same rig. A rig in another world
    is another rig.
    """
    cameras = sorted(_digest(camera) for camera in rig)
    return hashlib.sha256("".join(cameras).encode()).hexdigest()[:16]


def _digest(camera: Camera) -> str:
    lens = camera.lens
    pose = np.rint(camera.cam_from_world[:3] / _POSE_STEP).astype(np.int64)
    focal = np.rint(lens.K[:2] / _PIXEL_STEP).astype(np.int64)
    bent = np.trim_zeros(np.rint(lens.distortion / _LENS_STEP).astype(np.int64), "b")
    parts = (lens.size, lens.model == "fisheye", pose.tolist(), focal.tolist(), bent.tolist())
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _card(path: Path) -> dict[str, Any]:
    place = card_path(path)
    try:
        card = parse_yaml(bounded_text(place))
    except FileNotFoundError as fault:
        what = "its card is missing" if path.exists() else "there is no such network"
        raise AssetError(f"{place if path.exists() else path}: {what}; {_remedy(path)}") from fault
    except (OSError, ValueError) as fault:
        reason = reason_of(fault)
        raise ConfigError(f"{place}: cannot be read as a card ({reason}); {_remedy(path)}") from fault
    missing = [key for key in _KEYS if not isinstance(card, dict) or key not in card]
    if missing:
        raise ConfigError(f"{place}: an incomplete card, it lacks {', '.join(missing)}; {_remedy(path)}")
    return dict(card)


def _remedy(path: Path) -> str:
    if path.parent == SHIPPED:
        return f"reinstall mvcap, or make it with `mvcap train {path.stem}`"
    if path.parent.parent == cache_dir() / "networks":
        return f"remove the folder {path.parent} or fine-tune again with `mvcap train {path.stem} --rig`"
    return f"make it with `mvcap train {path.stem}`"
