"""What is wrong with the pictures or the board themselves, where they give no rig: the causes behind the symptoms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calib.arrays import Bools
from calib.boards import Board, BoardSet, Chessboard
from calib.calibration import CAUSE, Calibration, Finding
from calib.errors import CalibrationError
from calib.observations import Observations
from calib.quality.verdict import with_findings
from mvcap.calibration.moments import Moments

_APART = 0.1  # of the time from one moment to the next: pictures farther apart are not of one moment
_LEAST = 3  # detections of a view, for saying from which side it sees the board
_MOST_TRIED = 60  # moments of a trial with a flipped view
_MOST_FLIPPED = 8  # views of a chessboard that are tried flipped


@dataclass(frozen=True)
class Sides:
    """Number of detections of the board by each view, and of those that show it mirrored."""

    seen: Mapping[str, int]
    mirrored: Mapping[str, int]

    def only_mirrored(self) -> list[str]:
        """The views that never see the front."""
        return [view for view, count in self.seen.items() if count >= _LEAST and self.mirrored[view] == count]


Solve = Callable[[Observations], Calibration]


def made_from_board(
    solve: Solve, seen: Observations, material: Moments, board: Board | None, sides: Sides
) -> Calibration:
    """The calibration of the observations; what is wrong with board or pictures stands first where it is of no use.

    Raises CalibrationError, which begins with the cause where one is found.
    """
    if board is None:
        return solve(seen)
    try:
        made = solve(seen)
    except CalibrationError as error:
        causes = [*_board_causes(board), *_rate_causes(material), *_flipped(solve, seen, board, sides)]
        if not causes:
            raise
        first = causes[0]
        raise CalibrationError(f"{first.about}: {first.what}; {first.todo} ({error})") from None
    never_front = [] if sides.only_mirrored() != list(_seen_by(sides)) else [_mirrored_all(sides)]
    if made.verdict != "do not use" and not made.unconnected:
        mild = [replace(one, severity="note") for one in (*_board_causes(board), *_rate_causes(material))]
        return with_findings(made, [*mild, *never_front])
    causes = [*_board_causes(board), *_rate_causes(material)]
    causes += [] if causes else _flipped(solve, seen, board, sides)
    return with_findings(made, [*causes, *never_front])


def _seen_by(sides: Sides) -> list[str]:
    return [view for view, count in sides.seen.items() if count >= _LEAST]


def _board_causes(board: Board) -> list[Finding]:
    """A finding on a chessboard that looks the same when it is turned by half."""
    singles = board.boards if isinstance(board, BoardSet) else (board,)
    kind = next((one for one in singles if isinstance(one, Chessboard) and one.symmetric), None)
    if kind is None:
        return []
    both = "even" if kind.columns % 2 == 0 else "odd"
    what = (
        f"{kind.spec} looks the same when it is turned by half, as {kind.columns} and {kind.rows} are both {both}: "
        "cameras that see it upside down to each other take different corners for the first"
    )
    todo = "film a chessboard with one side even and one odd, or a ChArUco board"
    return [Finding("refuse", "the board", what, todo, CAUSE)]


def _rate_causes(material: Moments) -> list[Finding]:
    """A finding on videos of different frame rates whose pictures are not of the same moments."""
    rates = {view.name: view.footage.rate_hz for view in material.views if view.footage is not None}
    if len(rates) < 2 or max(rates.values()) < 1.001 * min(rates.values()):
        return []
    with np.errstate(all="ignore"):
        several = np.isfinite(material.time_s).sum(1) >= 2
        times = material.time_s[several]
        apart = np.nanmax(times, 1) - np.nanmin(times, 1) if len(times) else np.zeros(0)
    if not len(apart) or np.percentile(apart, 90) < _APART / max(rates.values()):
        return []
    listed = ", ".join(f"{view} {rate:.4g}" for view, rate in rates.items())
    what = (
        f"their frame rates differ ({listed} Hz), so the pictures of one moment are up to "
        f"{1000 * apart.max():.0f} ms apart"
    )
    todo = "film with one rate, or hold the board still in each pose and give its moments with timestamps.csv or images"
    return [Finding("refuse", "the videos", what, todo, CAUSE)]


def _mirrored_all(sides: Sides) -> Finding:
    what = (
        f"no view ever shows the front of the board, all {sum(sides.seen.values())} detections are mirrored: if the "
        "pictures are flipped, so is the world, and what is on the right comes out on the left"
    )
    todo = (
        "switch off mirroring in the cameras, or flip the videos (ffmpeg -vf hflip), and calibrate again; it is right "
        "only for a board that was printed mirrored or filmed through its back"
    )
    return Finding("limit", "the rig", what, todo, 4)


def _flipped(solve: Solve, seen: Observations, board: Board, sides: Sides) -> list[Finding]:
    """A finding for each view whose pictures fit those of the others when they are flipped left to right."""
    if isinstance(board, Chessboard):
        trials = [[view] for view in seen.views] if len(seen.views) <= _MOST_FLIPPED else []
    else:
        alone = sides.only_mirrored()
        trials = [alone] if alone and len(alone) < len(_seen_by(sides)) else []
    chosen = np.unique(np.rint(np.linspace(0, len(seen.moments) - 1, _MOST_TRIED)).astype(int))
    for views in trials:
        flipped = _with_flipped(seen.at(chosen), views, board)
        try:
            made = None if flipped is None else solve(flipped)
        except CalibrationError:
            continue
        if made is not None and made.verdict != "do not use" and set(made.rig.names) >= set(views):
            return [_about_flipped(view) for view in views]
    return []


def _about_flipped(view: str) -> Finding:
    what = "its pictures are mirrored: flipped left to right, they fit those of the other cameras"
    todo = f"switch off mirroring in {view}, or flip its video (ffmpeg -vf hflip), and calibrate again"
    return Finding("refuse", view, what, todo, CAUSE)


def _with_flipped(seen: Observations, views: Sequence[str], board: Board) -> Observations | None:
    """The observations with the pictures of some views flipped left to right; None where that cannot be said."""
    count = len(board.target)
    xy, sigma = np.array(seen.xy), np.array(seen.sigma)
    back = len(seen.target) == 2 * count
    for view in views:
        row = seen.views.index(view)
        own, spread = (xy[row, :, count:], sigma[row, :, count:]) if back else (xy[row], sigma[row])
        flipped = np.stack([seen.sizes[row][0] - 1 - own[..., 0], own[..., 1]], -1)
        order = _mirrored_order(board) if isinstance(board, Chessboard) else np.arange(count)
        if order is None or (not back and not isinstance(board, Chessboard)):
            return None
        xy[row, :, :count], sigma[row, :, :count] = flipped[:, order], spread[:, order]
        xy[row, :, count:], sigma[row, :, count:] = np.nan, np.nan
    left: Bools = np.isfinite(sigma[:, :, count:])
    if back and not left.any():
        return replace(seen, target=board.target, xy=xy[:, :, :count], sigma=sigma[:, :, :count])
    return replace(seen, xy=xy, sigma=sigma)


def _mirrored_order(board: Chessboard) -> np.ndarray[tuple[int], np.dtype[np.intp]] | None:
    """The corners of a chessboard in the order in which its mirror image is read; None where two orders are possible.

    A mirror image has the colours of the board only where the side with an even number of corners is reversed.
    """
    if board.symmetric:
        return None
    rows = np.arange(board.columns * board.rows).reshape(board.rows, board.columns)
    return np.asarray((rows[:, ::-1] if board.columns % 2 == 0 else rows[::-1]).ravel())
