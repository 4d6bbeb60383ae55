"""Calibration of rendered rigs whose truth is known, beside OpenCV's in the same run, and the solver beside others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benches import bundles
from benches.section import Clock, Options, Row, Section, clock, say

MEASURED = (
    "rendered videos of a ChArUco board of 120 mm squares, 1280x720, f 1000 to 1060 px, 3.5 m away, with noise, blur, "
    "a hand over it and H.264. volume mm: RMS of 390 noise-free points of the shared 1.6 x 2.4 x 1.9 m, triangulated "
    "with the rig that was found, aligned without scale; predicted: what the calibration itself expects of its volume; "
    "px: what each reports, which is not accuracy. CPU s of one thread, reading of the videos left out. `stated` rows "
    "are of other footage of the same description, not of this run"
)
STATED: dict[str, tuple[tuple[float, float, float], ...]] = {
    "aniposelib 0.8.0": ((0.057, 1.66, 32), (0.048, 1.66, 35), (0.062, 2.48, 51)),
    "Caliscope 0.11.8": ((0.146, 0.75, 26), (0.141, 0.65, 22), (0.145, 0.54, 41)),
    "OpenCV 5, complete boards": ((0.115, 0.51, 9), (0.110, 0.35, 9), (0.113, 0.10, 19)),
    "multical 0.4.0": ((0.086, 0.28, 8.4),),
}
"""px, volume mm and CPU s of the three sets."""
_LEAST_POINTS = 6  # of a partial board that OpenCV is given


def calibration(options: Options) -> Section:
    """The three sets of PEERS.md, then bundle adjustment beside others."""
    import generated_boards as boards

    section = Section("calibration: rendered boards with truth, and the solver", MEASURED)
    for number, name in enumerate(list(boards.SETS)[: 1 if options.quick else None]):
        say(f"calibration, {name}: drawing and encoding")
        take = boards.peers_take(name)
        paths = boards.footage(take, options.work / "calibration" / str(number))
        one_set(section, name, take, paths, options)
        for who, figures in STATED.items():
            if number < len(figures):
                px, volume, cpu = figures[number]
                section.add(name, {"who": f"{who}, stated", "px": px, "volume mm": volume, "CPU s": cpu})
    bundles.solvers(section, options)
    return section


def one_set(section: Section, name: str, take: Any, paths: list[Path], options: Options) -> None:
    """Ours and OpenCV's on one set."""
    from calib.calibrate import calibrate

    say(f"calibration, {name}: finding boards")
    seen, finding = found(take, paths)
    say(f"calibration, {name}: calibrating")
    with clock() as timed:
        made = calibrate(seen)
    volume = volume_of(made.rig, take)
    predicted, off = 1000 * made.accuracy.predicted_rms_m, corner_errors(seen, take)
    px = float(np.sqrt((made.rms_px**2).mean()))
    section.add(name, {"who": f"ours: {made.verdict}", "px": px, "volume mm": volume, "predicted": predicted,
                       "predicted / true": predicted / volume if volume else None, "CPU s": timed.cpu_s,
                       "finding CPU s": finding.cpu_s, "boards": int(seen.seen.any(-1).sum()), **off})  # fmt: skip
    if options.quick:
        return
    theirs, finding = found_by_opencv(take, paths)
    say(f"calibration, {name}: OpenCV (minutes)")
    for kind, corners, xy in (
        ("complete", "theirs", theirs),
        ("complete", "ours", seen.xy),
        ("partial", "ours", seen.xy),
    ):
        row = multiview(take, xy, kind == "complete")
        row |= {"finding CPU s": finding.cpu_s} if corners == "theirs" else {}
        section.add(name, {"who": f"OpenCV calibrateMultiview, {kind} boards, corners {corners}", **row})


def volume_of(rig: Any, take: Any) -> float | None:
    """RMS of the volume, mm; None where a camera is missing."""
    import generated_boards as boards

    return boards.volume_rms(rig, take.rig) if set(rig.names) == set(take.rig.names) else None


def greys(path: Path) -> Iterator[Any]:
    """Grey pictures (H, W) of a video."""
    import cv2

    film = cv2.VideoCapture(str(path))
    while (read := film.read())[0]:
        yield cv2.cvtColor(read[1], cv2.COLOR_BGR2GRAY)


def found(take: Any, paths: list[Path]) -> tuple[Any, Clock]:
    """What our detection sees in the videos, and the time that it took."""
    from calib.observe import Finder, observations

    rows, spent = [], Clock()
    for name, path in zip(take.rig.names, paths, strict=True):
        finder = Finder(take.board)
        for time, image in zip(take.time_s, greys(path), strict=True):
            with clock() as timed:
                sighting = finder.find(image)
            spent.cpu_s += timed.cpu_s
            rows.append((name, f"{time:.2f} s", time, sighting))
    sizes = {camera.name: camera.size for camera in take.rig}
    return observations(take.board, take.rig.names, sizes, rows), spent


def corner_errors(seen: Any, take: Any) -> Row:
    """How far corners are from where they are, px, and whether that is as they were expected to be."""
    import generated_boards as boards

    true = boards.board_observations(take, 0.0)
    at = [true.moments.index(moment) for moment in seen.moments]
    off = seen.xy - true.xy[:, at]
    good = np.isfinite(off).all(-1)
    return {"corners px": float(np.sqrt((off[good] ** 2).mean())),
            "in their sigmas": float(np.sqrt(((off[good] / seen.sigma[good][:, None]) ** 2).mean()))}  # fmt: skip


def found_by_opencv(take: Any, paths: list[Path]) -> tuple[Any, Clock]:
    """Corners (C, T, N, 2) that OpenCV's detector sees, and the time that it took."""
    import cv2

    board = take.board
    known = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, board.dictionary))
    layout = cv2.aruco.CharucoBoard((board.columns, board.rows), board.square_m, board.marker_m, known)
    detector = cv2.aruco.CharucoDetector(layout)
    xy = np.full((len(paths), take.frames, len(board.target), 2), np.nan)
    spent = Clock()
    for view, path in enumerate(paths):
        for frame, image in enumerate(greys(path)):
            with clock() as timed:
                corners, ids, *_ = detector.detectBoard(image)
            spent.cpu_s += timed.cpu_s
            if ids is not None:
                xy[view, frame, ids.ravel()] = corners.reshape(-1, 2)
    return xy, spent


def multiview(take: Any, xy: Any, complete: bool) -> Row:
    """Figures of OpenCV's calibrateMultiview on corners (C, T, N, 2), complete boards only or partial ones too."""
    import cv2

    from calib import CalibrationError

    seen = np.isfinite(xy[..., 0])
    used = seen.all(-1) if complete else seen.sum(-1) >= _LEAST_POINTS
    frames = np.flatnonzero(used.any(0))
    nothing = np.zeros((0, 2), np.float32)
    points = np.nan_to_num(xy, nan=-1.0).astype(np.float32)  # below zero: not seen
    images = [[points[view, frame] if used[view, frame] else nothing for frame in frames] for view in range(len(xy))]
    shapes = [take.board.target.points.astype(np.float32)] * len(frames)
    sizes, models = [camera.size for camera in take.rig], np.zeros(len(xy), np.uint8)
    with clock() as timed:
        told = cv2.calibrateMultiview(shapes, images, sizes, used[:, frames].astype(np.uint8), models,
                                      None, None, None, None)  # fmt: skip
    row: Row = {"px": float(told[0]), "CPU s": timed.cpu_s, "boards": int(used.sum())}
    try:
        return row | {"volume mm": volume_of(rig_of(take, *told[1:5]), take)}
    except CalibrationError:  # numbers that no camera can have
        return row | {"volume mm": float("inf")}


def rig_of(take: Any, matrices: Any, coefficients: Any, rotations: Any, translations: Any) -> Any:
    """What calibrateMultiview found, as a rig."""
    from calib import Camera, Lens, Rig
    from calib.geometry import pose, rotation_from_vector

    parts = zip(take.rig, matrices, coefficients, rotations, translations, strict=True)
    return Rig(tuple(
        Camera(Lens(camera.name, camera.size, K, np.ravel(lens)[:5]),
               pose(R if R.shape == (3, 3) else rotation_from_vector(np.ravel(R)), np.ravel(t)))
        for camera, K, lens, R, t in parts
    ))  # fmt: skip
