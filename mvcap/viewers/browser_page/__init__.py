"""The page of the viewer: sources in JavaScript, and the one script that the build makes of them and of three.js."""

from __future__ import annotations

from pathlib import Path

from mvcap.errors import InputError

_FOLDER = Path(__file__).parent


def page_file(name: str) -> Path:
    """Return a file of the page: index.html, style.css or viewer.js; InputError where the script is not built."""
    path = _FOLDER / name
    if not path.is_file():
        raise InputError(
            f"{path}: the viewer's script is not built; run tools/setup in the source tree (it needs npm), or install "
            "a wheel of mvcap, which has it"
        )
    return path
