"""Datasheet of a dataset: where it comes from, what was kept and dropped and why, how it is split, and its licence."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mvcap.datasets.ground_truth import SPLITS, GroundTruth, JointVisibility
from mvcap.datasets.quality_gates import JOINT_GATES, PERSON_GATE
from mvcap.structures.npz import write_text
from mvcap.structures.skeleton import DERIVED

SHEET, MANUAL = "datasheet.json", "README.md"
_STATED_NONE = "not stated: ask who recorded the people before the dataset is passed on"


def split_counts(truth: GroundTruth) -> dict[str, dict[str, Any]]:
    """Return of each split its frames, images, people, visible joints and all joints of images."""
    out: dict[str, dict[str, Any]] = {}
    for one in truth.frames():
        held = out.setdefault(one.split, {"frames": 0, "images": 0, "persons": set(), "joints": 0, "visible": 0})
        held["frames"] += 1
        held["images"] += int(one.pictured.sum())
        held["persons"] |= set(one.persons.tolist())
        held["joints"] += int((one.visibility > 0).sum())
        held["visible"] += int((one.visibility == JointVisibility.VISIBLE).sum())
    return {split: {**out[split], "persons": sorted(out[split]["persons"])} for split in SPLITS if split in out}


def write_datasheet(folder: Path, truth: GroundTruth, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write datasheet.json and README.md; return what stands in them.

    facts: licence, provenance, settings, gates (rows of ``GateCounts.table``), dropped_frames, formats, masks.
    """
    sheet = {
        "name": truth.name,
        "licence": facts.get("licence") or _STATED_NONE,
        "views": list(truth.views),
        "rate_hz": truth.rate_hz,
        "skeleton": truth.skeleton.name,
        "joints": list(truth.skeleton.joints),
        "splits": split_counts(truth),
        **{key: value for key, value in facts.items() if key != "licence"},
        "visibility": {one.name.lower(): int(one) for one in JointVisibility},
    }
    write_text(folder / SHEET, json.dumps(sheet, indent=1, sort_keys=False, allow_nan=False, default=str) + "\n")
    write_text(folder / MANUAL, "\n".join(_manual(sheet)) + "\n")
    return sheet


def gate_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the table of the gates as lines of a Markdown table."""
    gates = (*JOINT_GATES, PERSON_GATE)
    lines = [
        f"| person | of | total | kept | {' | '.join(gates)} |",
        f"|{'---|' * (len(gates) + 4)}",
    ]
    for row in rows:
        dropped = " | ".join(str(row.get(gate, "")) for gate in gates)
        lines.append(f"| {row['person']} | {row['what']} | {row['total']} | {row['kept']} | {dropped} |")
    return lines


def _manual(sheet: Mapping[str, Any]) -> list[str]:
    lines = [f"# {sheet['name']}", "", f"Licence: {sheet['licence']}.", ""]
    rate = f"; frames count at {sheet['rate_hz']:.6g} Hz" if sheet["rate_hz"] else ""
    joints = f"{len(sheet['joints'])} joints ({sheet['skeleton']})"
    lines += [f"{len(sheet['views'])} views ({', '.join(sheet['views'])}), {joints}{rate}.", ""]
    lines += ["## Splits", "", "| split | frames | images | people | joints in images | of these visible |",
              "|---|---|---|---|---|---|"]  # fmt: skip
    for split, held in sheet["splits"].items():
        people = ", ".join(map(str, held["persons"]))
        lines.append(
            f"| {split} | {held['frames']} | {held['images']} | {people} | {held['joints']} | {held['visible']} |"
        )
    if sheet.get("dropped_frames"):
        lines += ["", "Frames in no split: " + ", ".join(f"{n} ({why})" for why, n in sheet["dropped_frames"].items())]
    if sheet.get("gates"):
        told = "What was kept, and what each gate dropped; a joint counts under the first that it failed."
        lines += ["", "## Quality gates", "", told, "", *gate_lines(sheet["gates"])]
    lines += ["", "## How the truth was made", ""]
    lines += [str(text) for text in sheet.get("method", ())]
    derived = [f"{name} = {_recipe(name)}" for name in DERIVED if name not in sheet["joints"]]
    lines += ["", "Joints that a format asks for and this dataset lacks are missing in it (NaN, or as the format flags"]
    lines += ["them), but for those that are the middle of others: " + "; ".join(derived) + "."]
    made = sheet.get("provenance", {})
    lines += ["", "## Provenance", "", f"From {made.get('session', 'a session')}, with mvcap {made.get('mvcap', '')}."]
    lines += [f"Footage, rig, and the settings and inputs of every stage: {SHEET}."]
    lines += ["", "## Settings", "", "```json", json.dumps(sheet.get("settings", {}), indent=1, default=str), "```"]
    return lines


def _recipe(name: str) -> str:
    if any(weight < 0 for weight in DERIVED[name].values()):
        return "missing (it would be extrapolated)"
    return f"mean of {', '.join(DERIVED[name])}"
