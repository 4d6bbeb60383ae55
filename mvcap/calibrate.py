"""The verb ``calibrate``: calibrate cameras from footage of a board, of measured points or of people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from calib import Rig, load_rig
from calib.boards import Board, board_from
from calib.calibration import Calibration, Finding
from calib.observations import Observations
from mvcap.calibration.destination import Destination, destination_of
from mvcap.calibration.image_sets import find_lens_photos
from mvcap.calibration.input_causes import made_from_board
from mvcap.calibration.moments import Moments, find_moments, rig_for_images
from mvcap.errors import InputError
from mvcap.progress import Progress, silent
from mvcap.structures.session import Session


def calibrate(
    source: str | Path | Session,
    *,
    board: str | Path | Board | None = None,
    rig: str | Path | Rig | None = None,
    rig_unit: str | None = None,
    fix_lenses: bool = False,
    lens_photos: str | Path | None = None,
    lens_board: str | Path | Board | None = None,
    scene_points: str | Path | None = None,
    scene_pixels: str | Path | None = None,
    people: bool = False,
    height_m: float | None = None,
    out: str | Path | None = None,
    force: bool = False,
    every_s: float | None = None,
    frames: int | None = None,
    progress: Progress = silent,
) -> Calibration:
    """Calibrate the cameras of a folder of footage or a session; write rig.yaml and a report into the folder `out`.

    board: the filmed board, as `calib.boards.board_from` takes it; or scene_points: a file of measured points, with
    scene_pixels if that file has no pixel coordinates; or people, one of whom is height_m tall. rig: an earlier
    calibration, whose intrinsics are a prior with 0.5 % uncertainty, or fixed with fix_lenses. lens_photos: a folder of
    photos for the intrinsics, showing lens_board if that is another board. every_s, frames: how often and how many
    moments are read. A calibration with the verdict "do not use" goes into `out`/rejected; an `out` that already has a
    rig is not overwritten unless force is set.
    Raises InputError or CalibrationError: one line that says how to fix it.
    """
    from mvcap.calibration.observer import Observer

    place = destination_of(source, out, force)
    place.check()
    if fix_lenses and rig is None:
        raise InputError("--fix lens keeps the intrinsics of an earlier calibration; give it with --rig")
    if people and scene_points is not None:
        raise InputError("--people and --scene-points are alternative calibration methods; choose one")
    material = find_moments(place.session or Path(str(source)), every_s, frames)
    if lens_photos is not None:
        material = replace(material, lens=find_lens_photos(Path(lens_photos)))
    observer, shown = Observer(place.folder, progress), _board(board)
    photos = observer.lenses(material.lens, shown if lens_board is None else _board(lens_board), frames)
    old = (
        None
        if rig is None
        else rig_for_images(rig if isinstance(rig, Rig) else _loaded(Path(rig), rig_unit, material), material)
    )
    if people:
        made = _from_people(place, material, old, photos, height_m, progress)
    elif scene_points is not None:
        pixels = None if scene_pixels is None else Path(scene_pixels)
        made = _solved(observer.scene(material, Path(scene_points), pixels), old, fix_lenses, photos, progress)
    else:
        solve = partial(_solved, old=old, fix_lenses=fix_lenses, photos=photos, progress=progress)
        made = made_from_board(solve, observer.board(material, shown), material, shown, observer.sides)
        made = made if shown is None else observer.doubted(made, material, shown)
    made = _with_notes(made, place.folder.name, material, photos)
    place.write(made)
    return made


def _from_people(
    place: Destination,
    material: Moments,
    old: Rig | None,
    photos: Sequence[Observations],
    height_m: float | None,
    progress: Progress,
) -> Calibration:
    from mvcap.calibration.from_people import from_people

    return from_people(place.session or place.folder / "session", material, old, photos, height_m, progress)


def _loaded(file: Path, unit: str | None, material: Moments) -> Rig:
    """Load a rig; sizes that its file does not hold are those of the pictures."""
    return load_rig(file, unit=unit, size={view.name: view.size for view in material.views})


def _with_notes(made: Calibration, name: str, material: Moments, photos: Sequence[Observations]) -> Calibration:
    """Return the calibration with the notes on the footage as findings, and with the photos without detections."""
    notes = (Finding("note", name, note, "check that this is correct") for note in material.notes)
    refused = (refusal for table in photos for refusal in table.refused)
    observations = replace(made.observations, refused=(*made.observations.refused, *refused))
    return replace(made, findings=(*made.findings, *notes), observations=observations)


def _solved(
    seen: Observations, old: Rig | None, fix_lenses: bool, photos: Sequence[Observations], progress: Progress
) -> Calibration:
    from calib.calibrate import calibrate as solve

    progress("solve", 0, 1)
    made = solve(seen, rig=old, fix_lenses=fix_lenses, lens_observations=photos)
    progress("solve", 1, 1)
    return made


def _board(given: str | Path | Board | None) -> Board | None:
    return board_from(given) if isinstance(given, str | Path) else given
