"""The verb ``doctor``: list the installed packages and models, and how to get the missing ones."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mvcap import assets
from mvcap.downloads import HttpsSource
from mvcap.estimation.onnx_network import available_devices

_PACKAGES: dict[str, str] = {
    "numpy": "everything",
    "scipy": "everything",
    "opencv-contrib-python-headless": "images (on macOS and Windows: opencv-contrib-python)",
    "av": "reading and writing video",
    "ai-edge-litert": "BlazePose, of the estimators people and blazepose",
    "onnxruntime": "MoveNet, the estimator topdown, and the shipped networks",
    "onnx": "converting networks of other forms",
    "pyarrow": "parquet files",
    "matplotlib": "plots of the report",
    "jinja2": "report.html",
    "torch": "mvcap train (extra 'learn')",
    "open3d-cpu": "point clouds of depth cameras, mvcap view --window, mvcap generate --rig (extra 'cloud')",
    "anny": "mvcap generate --rig (extra 'generate')",
    "websockets": "people of mvcap live over WebSocket (extra 'live')",
    "python-osc": "people of mvcap live over OSC (extra 'live')",
    "distributed": "mvcap batch --engine dask (extra 'batch')",
    "rerun-sdk": "mvcap view --rrd and --viewer rerun (extra 'rerun')",
}
_RUNTIMES = ("gpu", "directml", "openvino")
_OPTIONAL = {"torch", "open3d-cpu", "anny", "websockets", "python-osc", "distributed", "rerun-sdk"}


@dataclass(frozen=True)
class Check:
    """Result of one check."""

    subject: str
    state: Literal["ok", "missing", "broken", "optional"]
    detail: str
    """What was found, and how to fix it if it is not ok."""


def doctor() -> list[Check]:
    """Check this machine; the detail of every check that is not ok says how to fix it."""
    packages = [*map(_package, _PACKAGES), *_one_cv2(), *_usb()]
    return [_python(), _cores(), _devices(), *packages, *_models(), _cache(), _browser(), _viewer()]


def _python() -> Check:
    version = platform.python_version()
    good = sys.version_info >= (3, 11)
    return Check("python", "ok" if good else "broken", version if good else f"{version}; install 3.11 or newer")


def _cores() -> Check:
    return Check("processors", "ok", f"{os.cpu_count()}; no GPU is needed")


def _devices() -> Check:
    """Say where networks of the estimators ``people`` and ``topdown`` can run."""
    if _version("onnxruntime") is None and not any(_version(f"onnxruntime-{kind}") for kind in _RUNTIMES):
        return Check("devices", "missing", "for networks; pip install onnxruntime")
    found = available_devices()
    advice = "" if len(found) > 1 else f" (faster with a build for your device: onnxruntime-{', -'.join(_RUNTIMES)})"
    return Check("devices", "ok", f"networks run on {' and '.join(found)}{advice}")


def _package(name: str) -> Check:
    use = _PACKAGES[name]
    found = _version(name)
    if found is None and name == "opencv-contrib-python-headless":
        found = _version("opencv-contrib-python")
    if found is not None:
        return Check(name, "ok", f"{found}, for {use}")
    state: Literal["optional", "missing"] = "optional" if name in _OPTIONAL else "missing"
    return Check(name, state, f"for {use}; pip install {name}")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _one_cv2() -> list[Check]:
    flavours = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
    there = [name for name in flavours if _version(name) is not None]
    if len(there) < 2:
        return []
    return [Check("cv2", "broken", f"{' and '.join(there)} overwrite each other; uninstall all, install the last one")]


def _usb() -> list[Check]:
    """Return a check of the library that Open3D cannot be imported without on Linux."""
    if sys.platform != "linux" or not (_version("open3d-cpu") or _version("open3d")) or find_library("usb-1.0"):
        return []
    return [Check("libusb", "broken", "Open3D needs it; on Debian: apt-get install libusb-1.0-0")]


def _models() -> list[Check]:
    """Return a check for each asset or group of assets; the state of a group is that of its worst file."""
    groups: dict[str, list[tuple[assets.Asset, assets.AssetState]]] = {}
    for asset, state in assets.status():
        groups.setdefault(asset.name.split("/")[0], []).append((asset, state))
    out = []
    for name, files in groups.items():
        states = {state for _, state in files}
        state = next(state for state in ("broken", "missing", "ok") if state in states)
        advice = f"for {files[0][0].needed_by}"
        if state != "ok":
            packages = {file.source.package_size for file, _ in files if not isinstance(file.source, HttpsSource)}
            size = sum(packages) or sum(file.size for file, _ in files)
            advice += f"; mvcap assets fetch {name} (downloads {size / 1e6:.0f} MB)"
        out.append(Check(name, state, advice))
    return out


def _cache() -> Check:
    return Check("cache", "ok", f"{assets.cache_dir()} (set MVCAP_CACHE to change it)")


def _browser() -> Check:
    found = next((name for name in ("chromium", "google-chrome", "firefox") if shutil.which(name)), None)
    return Check("browser", "ok" if found else "optional", found or "any browser opens report.html and mvcap view")


def _viewer() -> Check:
    built = (Path(__file__).parent / "viewers" / "browser_page" / "viewer.js").is_file()
    advice = "the page of mvcap view is not built; run tools/setup in the source tree, with npm on PATH or online"
    return Check("viewer", "ok" if built else "missing", "the page of mvcap view" if built else advice)
