"""Detections of views with different clocks at common times: joints interpolated between a view's own frames."""

from __future__ import annotations

import numpy as np

from calib.arrays import Bools, Floats, Ints
from mvcap.structures.detections import Detections2D, body_size
from mvcap.structures.row_source import RowSource

_GATE, _LIMB = 0.5, 0.4
"""Largest step of a person, and of a joint against its person, between two frames, in body sizes at 25 Hz."""
_GATE_HZ = 25.0
_RIVAL = 2.0  # times the distance of the nearest row, beyond which another row makes no ambiguity
_SPEED = 2.0  # body sizes a second: a joint that is not interpolated has moved by that
_JOINTS = 4


def at_common_times(
    found: RowSource[Detections2D], start: int, stop: int, late: Floats, rate_hz: float, step: int = 1
) -> Detections2D:
    """Return the rows of the common frames start to stop (exclusive): the view's row nearest in time, interpolated.

    late (stop - start, C): frames by which views are late. step: only every step-th frame of a view has rows. The row
    in the frame on the other side has to be the same person beyond doubt. Where there is none, the joints stay, with a
    noise that grows with the time difference; a joint that jumps against its person, as in a swap of left and right,
    stays so too.
    """
    frames = np.arange(-(-start // step) * step, stop, step)
    own = (frames[:, None] + late[frames - start]) / step  # in frames with rows
    if not own.size:
        return found.between(start, start)
    low, high = int(np.floor(own.min())) - 2, int(np.ceil(own.max())) + 3
    rows = found.between(max(low * step, 0), max(high * step, 0))
    order = np.lexsort((rows.frame, rows.view))
    rows = rows[order]
    key = rows.view.astype(np.int64) * (1 << 40) + rows.frame // step
    parts = []
    for at, frame in enumerate(frames.tolist()):
        for view in range(late.shape[1]):
            moment = float(own[at, view])
            near = int(np.floor(moment + 0.5))
            way = 1 if moment > near else -1
            around = [_rows_at(key, view, near + way * place) for place in (-1, 0, 1, 2)]
            if len(around[1]):
                parts.append(_moved(rows, around, abs(moment - near), rate_hz / step, frame))
    return Detections2D.concatenate(parts, rows.skeleton)


def _rows_at(key: Ints, view: int, frame: int) -> Ints:
    if frame < 0:
        return np.zeros(0, np.int64)
    first, last = np.searchsorted(key, [view * (1 << 40) + frame, view * (1 << 40) + frame + 1])
    return np.arange(first, last)


def _moved(rows: Detections2D, around: list[Ints], share: float, rate_hz: float, frame: int) -> Detections2D:
    """Rows moved by a share (up to 0.5) of the way to the next frame, as rows of a frame.

    around: rows of the frame before, the nearest, the one on the other side of the wanted time, and the one behind.
    """
    before, here, there, after = around
    near = rows[here].with_columns(frame=np.full(len(here), frame, np.int32))
    if share == 0:
        return near
    size = body_size(near.box.astype(np.float64))
    noise = np.hypot(near.noise_px, (_SPEED * size * share / rate_hz)[:, None])
    xy, box = near.xy.astype(np.float64), near.box.astype(np.float64)
    grown = _GATE_HZ / rate_hz
    gate = _GATE * grown
    earlier = dict(_same_people(rows, here, before, size, gate))
    later = dict(_same_people(rows, there, after, body_size(rows.box[there].astype(np.float64)), gate))
    for one, other in _same_people(rows, here, there, size, gate):
        goal = rows[np.array([there[other]])]
        way = goal.xy[0] - xy[one]
        both = np.isfinite(way).all(-1)
        way = np.where(both[:, None], way, 0)
        aside = np.linalg.norm(way - np.median(way[both], axis=0), axis=-1)
        good = both & (aside < _LIMB * grown * size[one])
        bend = np.zeros_like(way)
        if one in earlier and other in later:
            ends = rows.xy[before[earlier[one]]].astype(np.float64) + rows.xy[after[later[other]]]
            bend = _bend(ends - xy[one] - goal.xy[0], _LIMB * grown * size[one])
        xy[one] += np.where(good[:, None], share * way - 0.5 * share * (1 - share) * bend, 0)
        variance = (1 - share) * near.noise_px[one] ** 2 + share * goal.noise_px[0] ** 2
        noise[one] = np.where(good, np.sqrt(variance), noise[one])
        box[one] += share * (goal.box[0] - box[one])
    return near.with_columns(xy=xy, noise_px=noise, box=box)


def _bend(twice: Floats, most: float) -> Floats:
    """Second difference (J, 2) px a frame squared from twice its value; 0 where unknown or that of a joint that jumps.

    A straight line between two frames cuts the corner by an eighth of it: 4 mm for the arms of a runner at 30 Hz.
    """
    bend = 0.5 * twice
    return np.where((np.linalg.norm(bend, axis=-1) < most)[:, None], bend, 0.0)


def _same_people(rows: Detections2D, here: Ints, there: Ints, size: Floats, gate: float) -> list[tuple[int, int]]:
    """Pairs of rows that are the same person without doubt: nearest to each other, and no third one nearly so near."""
    if not len(there):
        return []
    apart = np.linalg.norm(rows.xy[here][:, None].astype(np.float64) - rows.xy[there][None], axis=-1)
    enough: Bools = np.isfinite(apart).sum(-1) >= _JOINTS
    middle = np.full(apart.shape[:2], np.inf)
    middle[enough] = np.nanmedian(apart[enough], axis=-1)
    cost = middle / size[:, None]
    mine, theirs = rows.carried[here][:, None], rows.carried[there][None]
    cost[(mine >= 0) & (theirs >= 0) & (mine != theirs)] = np.inf
    out = []
    for one in range(len(here)):
        other = int(cost[one].argmin())
        own = cost[one, other]
        rivals = np.concatenate([np.delete(cost[one], other), np.delete(cost[:, other], one)])
        if own < gate and not (rivals < _RIVAL * max(own, 0.05)).any():
            out.append((one, other))
    return out
