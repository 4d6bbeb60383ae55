"""Job generate: a dataset for each YAML file of a folder, which names its session and how it is made."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calib.bounded_files import bounded_text
from mvcap.config import merge, read
from mvcap.errors import ConfigError, InputError
from mvcap.generate import generate
from mvcap.structures.image_folders import natural_order

_OWN = ("session", "out", "progress")
_SUFFIXES = (".yaml", ".yml")
_SHEET = "datasheet.json"


class GenerateJob:
    """Job generate: items are NAME.yaml with ``session`` and keywords of ``mvcap.generate``; datasets are NAME."""

    def items(self, folder: Path) -> list[str]:
        """Return the names of the YAML files in the folder."""
        names = [path.name for path in folder.iterdir() if path.suffix in _SUFFIXES and path.name[0] != "."]
        if not names:
            raise InputError(f"{folder}: holds no .yaml files that say what to generate; each names a session")
        if double := {Path(name).stem for name in names if sum(Path(one).stem == Path(name).stem for one in names) > 1}:
            raise InputError(f"{folder}: two files are named {min(double)}; their datasets would be one folder")
        return sorted(names, key=natural_order)

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raise ConfigError for a keyword that ``generate`` does not have."""
        _check(settings, "--set")

    def run(self, item: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Generate a dataset, unless it is there: its folder gets its name when it is whole."""
        out = item.with_suffix("")
        if not (out / _SHEET).exists():
            asked = merge(read(item), settings)
            session = asked.pop("session", None)
            if not isinstance(session, str):
                raise ConfigError(f"{item}: names no session; add `session: FOLDER`, relative to the file")
            _check(asked, str(item))
            generate(item.parent / session, out, **asked)
        sheet = json.loads(bounded_text(out / _SHEET))
        splits = sheet["splits"]
        told = [f"{name} {held['frames']} frames, {held['images']} images" for name, held in splits.items()]
        return {"about": "; ".join(told), "page": f"{out.name}/README.md"}

    def stands(self, item: Path, facts: Mapping[str, Any]) -> bool:
        """Whether the dataset is there."""
        return (item.with_suffix("") / _SHEET).is_file()


def _check(asked: Mapping[str, Any], where: str) -> None:
    known = [name for name in inspect.signature(generate).parameters if name not in _OWN]
    for key in asked:
        if key not in known:
            raise ConfigError(f"{where}: generate has no setting {key!r}; there are: {', '.join(known)}")
