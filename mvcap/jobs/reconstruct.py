"""Job reconstruct: all stages of each session of a folder, its files and its report."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mvcap import stages
from mvcap.errors import InputError, MvcapError
from mvcap.plugins import DEFAULT, check_sections
from mvcap.reconstruct import reconstruct
from mvcap.structures.image_folders import natural_order
from mvcap.structures.session import Session

_INPUTS = ("session.yaml", "rig.yaml", "timeline.npz", "config.yaml", "sync.json")


class ReconstructJob:
    """Job reconstruct: its items are the sessions in a folder, its settings are saved in each of them."""

    def items(self, folder: Path) -> list[str]:
        """Return the names of the sessions that lie in the folder."""
        names = [path.parent.name for path in folder.glob("*/session.yaml") if not path.parent.name.startswith(".")]
        if not names:
            raise InputError(f"{folder}: no folder in it is a session; make some with `mvcap init --session`")
        return sorted(names, key=natural_order)

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raise ConfigError or PluginError for a plug-in or a setting of one that does not exist."""
        check_sections(settings, DEFAULT)

    def run(self, item: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Reconstruct a session, or finish that; return its verdict and what to find again."""
        session = Session.open(item)
        session.override(settings)
        summary = reconstruct(session)
        verdict = summary["verdict"]
        people = len(summary["people"])
        told = f"{people} {'person' if people == 1 else 'people'} in {summary['frames']} frames"
        return {
            "verdict": verdict["level"],
            "about": "; ".join([told, *map(str, verdict["reasons"][:1])]),
            "page": f"{item.name}/report.html",
            "results": stages.origins(session),
            "inputs": _inputs(item),
        }

    def stands(self, item: Path, facts: Mapping[str, Any]) -> bool:
        """Whether the results are those, their report is there, and the session's own files have not changed."""
        try:
            held = stages.origins(Session.open(item))
        except MvcapError:
            return False
        whole = set(stages.STAGES) <= held.keys() and (item / "report.json").exists()
        return whole and held == facts.get("results") and _inputs(item) == facts.get("inputs")


def _inputs(item: Path) -> dict[str, str]:
    """The sha256 of the session's own small files."""
    files = [item / name for name in _INPUTS if (item / name).is_file()]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
