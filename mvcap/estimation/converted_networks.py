"""Networks that arrive as TensorFlow.js graph models: converted once, and kept beside the other models in the cache."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from mvcap import assets
from mvcap.errors import AssetError, SessionError
from mvcap.structures.npz import written_whole

_VERSION = 1  # of the conversion; with another one the files in the cache are made again
_DIGITS = 16  # of the sha256 of a converted file, in its name


def converted_network(name: str) -> Path:
    """Return the ONNX file of an asset that is a graph model, such as ``movenet-thunder``; fetch and convert it first.

    A file whose content is not what its name says is made again. Raises AssetError if the asset cannot be fetched or
    converted, or the cache cannot be written.
    """
    folder = assets.path(name)
    stem = f"{name}-{network_identity(name)}-{_VERSION}-"
    before = [path for path in assets.converted_files(name) if path.name.startswith(stem)]
    for made in before:
        if made.stem.removeprefix(stem) == _digits(made.read_bytes()):
            return made
    from mvcap.estimation.tfjs_graph import convert_graph

    converted = convert_graph(folder / f"{name}.json")
    made = assets.cache_dir() / "models" / f"{stem}{_digits(converted)}.onnx"
    try:
        with written_whole(made) as temporary:
            temporary.write_bytes(converted)
    except SessionError as fault:
        raise AssetError(f"{fault}; or set MVCAP_CACHE to a writable folder") from fault
    with suppress(OSError):
        for broken in before:
            if broken != made:
                broken.unlink()
    return made


def _digits(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


def network_identity(name: str) -> str:
    """Return 16 digits that identify the files of an asset: its structure and its weights."""
    files = [asset.sha256 for asset in assets.select([name])]
    return files[0][:16] if len(files) == 1 else hashlib.sha256("".join(files).encode()).hexdigest()[:16]
