"""What rigs will see of people in a room, and how accurately; a layout that is proposed: ``mvcap rig plan``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calib import Rig, load_rig, save_rig
from calib.report.json_values import json_values
from mvcap.errors import InputError, SessionError
from mvcap.progress import Progress, silent
from mvcap.rig_design.expected_accuracy import PlanFigures, plan_figures
from mvcap.rig_design.floor_maps import floor_maps
from mvcap.rig_design.layout_search import Mounts, search_layout
from mvcap.rig_design.plan_request import CameraKind, PlanRequest
from mvcap.rig_design.standing_crowds import crowds
from mvcap.structures.npz import write_text, written_whole

_DRAWS = 6
_PROPOSED = "proposed"


@dataclass(frozen=True, eq=False)
class PlannedRig:
    """A rig and what is expected of it. rates_hz: of each camera; history_mm: of the search, if it was proposed."""

    name: str
    rig: Rig
    rates_hz: tuple[float, ...]
    figures: PlanFigures
    history_mm: tuple[float, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Figures, positions and maps as plain values, None where there is none."""
        figures = self.figures
        maps = {
            "places_m": figures.crowds.places,
            "error_mm": figures.error_map_mm,
            "views": figures.view_map,
            "whole_body_views": figures.whole_map,
        }
        cameras = [
            {"camera": camera.name, "position_m": camera.position, "size": camera.size, "rate_hz": rate,
             "field_deg": _field_deg(camera)}
            for camera, rate in zip(self.rig, self.rates_hz, strict=True)
        ]  # fmt: skip
        held = {"name": self.name, **figures.summary(), "cameras": cameras, "maps": maps}
        made: dict[str, Any] = json_values(held | {"search_mm": self.history_mm})
        return made


@dataclass(frozen=True, eq=False)
class RigPlan:
    """Rigs for one room; the proposed one, if it was asked for, is the last. files: what was written."""

    request: PlanRequest
    rigs: tuple[PlannedRig, ...]
    notes: tuple[str, ...]
    files: tuple[Path, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        asked = asdict(self.request) | {"area_m": self.request.area}
        rigs = [one.as_dict() for one in self.rigs]
        return {"request": json_values(asked), "rigs": rigs, "notes": list(self.notes)}


def plan(
    request: PlanRequest,
    *,
    kinds: Sequence[CameraKind] = (),
    rigs: Sequence[str | Path | Rig] = (),
    mounts: Mounts | None = None,
    rate_hz: float = 60.0,
    unit: str | float | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    force: bool = False,
    progress: Progress = silent,
) -> RigPlan:
    """Expect what rigs see of people in a room; with kinds of cameras, propose a layout of them.

    rigs: calibrations in a world whose origin is the middle of the floor, z up; rate_hz: of their cameras. mounts:
    where the proposed cameras may be. out: a folder for plan.json, plan.png and, if one is proposed, rig.yaml. seed: of
    the random people and of the search; the same seed gives the same plan. force: overwrite files in `out`.
    Raises InputError for a request that makes no sense, or files that exist or cannot be written.
    """
    if not kinds and not rigs:
        raise InputError("give --cameras for a layout to propose, or --rig for one to look at")
    place = None if out is None else _place(Path(out), bool(kinds), force)
    people = crowds(request, _DRAWS, seed)
    made = []
    for number, given in enumerate(rigs):
        rig = given if isinstance(given, Rig) else load_rig(given, unit=unit)
        name = f"rig {number + 1}" if isinstance(given, Rig) else _name_of(Path(given))
        rates = (rate_hz,) * len(rig)
        made.append(PlannedRig(name, rig, rates, plan_figures(rig, people, request, rates)))
    if kinds:
        found = search_layout(request, kinds, mounts, seed=seed, progress=progress)
        figures = plan_figures(found.rig, people, request, found.rates_hz)
        made.append(PlannedRig(_PROPOSED, found.rig, found.rates_hz, figures, found.history_mm))
    notes = tuple(note for one in made if one.name != _PROPOSED for note in _about_world(one, request))
    whole = RigPlan(request, tuple(made), notes)
    return whole if place is None else RigPlan(request, whole.rigs, notes, _write(whole, place))


def _place(out: Path, proposes: bool, force: bool) -> Path:
    """The folder of a plan; InputError if it is a file, or has one."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give a folder with --out")
    for name in ("plan.json", "plan.png", *(["rig.yaml"] if proposes else [])):
        if (out / name).exists() and not force:
            raise InputError(f"{out / name} exists already; choose another folder with --out, or give --force")
    return out


def _write(made: RigPlan, out: Path) -> tuple[Path, ...]:
    """Write the picture, the figures, and the proposed rig."""
    files = [out / "plan.png", out / "plan.json"]
    try:
        with written_whole(files[0]) as temporary:
            temporary.write_bytes(floor_maps(made.request, [(one.name, one.rig, one.figures) for one in made.rigs]))
        write_text(files[1], json.dumps(made.as_dict(), indent=1) + "\n")
    except SessionError as fault:
        raise InputError(str(fault)) from None
    if made.rigs[-1].name == _PROPOSED:
        files.append(out / "rig.yaml")
        save_rig(made.rigs[-1].rig, files[-1])
    return tuple(files)


def _about_world(one: PlannedRig, request: PlanRequest) -> list[str]:
    """Notes on cameras that are not in the room: the rig's world may not be that of the plan."""
    half = np.array(request.room_m[:2]) / 2 + 0.5
    away = (np.abs(one.rig.positions[:, :2]) > half).any(1) | (one.rig.positions[:, 2] < -0.1)
    names = [camera.name for camera, outside in zip(one.rig, away, strict=True) if outside]
    if not names:
        return []
    return [
        f"{one.name}: {', '.join(names)} outside the room; its world must have its origin at the middle of the floor"
    ]


def _name_of(path: Path) -> str:
    return path.resolve().parent.name if path.stem == "rig" else path.stem


def _field_deg(camera: Any) -> float:
    """Horizontal field of view, degrees."""
    width, height = camera.size
    _, (one, other) = camera.rays(np.array([[-0.5, height / 2], [width - 0.5, height / 2]]))
    return float(np.rad2deg(np.arccos(np.clip(one @ other, -1, 1))))
