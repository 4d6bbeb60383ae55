"""Networks that arrive as TensorFlow.js graph models: converted once, and kept beside the other models in the cache."""

from __future__ import annotations

from pathlib import Path

from mvcap import assets
from mvcap.structures.npz import written_whole

_VERSION = 1  # of the conversion; with another one the files in the cache are made again


def converted_network(name: str) -> Path:
    """Return the ONNX file of an asset that is a graph model, such as ``movenet-thunder``; fetch and convert it first.

    Raises AssetError if the asset cannot be fetched or converted.
    """
    folder = assets.path(name)
    made = assets.cache_dir() / "models" / f"{name}-{network_identity(name)}-{_VERSION}.onnx"
    if not made.is_file():
        from mvcap.estimation.tfjs_graph import convert_graph

        converted = convert_graph(folder / f"{name}.json")
        with written_whole(made) as temporary:
            temporary.write_bytes(converted)
    return made


def network_identity(name: str) -> str:
    """Return 16 digits that identify the files of an asset: its structure and its weights."""
    import hashlib

    files = [asset.sha256 for asset in assets.select([name])]
    return files[0][:16] if len(files) == 1 else hashlib.sha256("".join(files).encode()).hexdigest()[:16]
