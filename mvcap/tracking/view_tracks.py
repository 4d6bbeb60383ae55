"""Tracking of people in the pixels of one view, frame by frame: what is known of earlier frames is a few arrays.

A body is its joints as last seen, which move along with its torso; the state of a Kalman filter is the torso's position
and velocity (constant velocity, forgotten after some seconds). Lengths are in units of the body's size in the picture,
the root of the area of its box, which is about one metre of the body: so speeds and accelerations are those of
``TrackConfig`` whatever the lens and the distance. The cost of taking a detection for a tracked body is made of the
median over joints of their distance in standard deviations, the change of size, and whether the estimator's own tracker
says otherwise; bodies that have not been seen for a while pay for the room in which they may be. The assignment of
least cost is found by the Hungarian algorithm. Two rows that share no joint may be parts of one body; second detections
of one are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.arrays import Bools, Floats, Ints
from mvcap.structures.contracts import State
from mvcap.structures.detections import Detections2D, body_size, joint_box
from mvcap.tracking.kalman_tracker import cheapest_pairs, torso_weights
from mvcap.tracking.tracklets import TrackConfig

_MIN_JOINTS = 3
_REACH = 0.5  # largest motion of a limb relative to the torso, in body sizes
_SHAPE = 0.06  # standard deviation of what a detector takes for a joint, in body sizes
_UNCOMPARED = 0.4  # standard deviation between the middles of different parts of a body, in body sizes
_SIZE_SIGMA, _SIZE_RATE = 0.25, 0.3  # standard deviation of the logarithm of a body's size, and its growth per second
_SIZE_GAIN = 0.2  # share of a new size in the size of a body
_CARRIED_SIGMA = 2.0  # what another id of the estimator's own tracker adds to a distance, in standard deviations
_LASTS_S = 0.12  # correlation time of an acceleration
_COPY_SHARE = 0.8  # two rows with this share of joints within their noise of each other show one body


@dataclass(frozen=True)
class ViewBodies:
    """The K bodies that are followed in one view."""

    ident: Ints
    """(K,) number of the track."""
    seen: Ints
    """(K,) frame of the last observation."""
    carried: Ints
    """(K,) id of the estimator's own tracker, -1 = none."""
    size: Floats
    """(K,) px."""
    place: Floats
    """(K, 4) px and px/s: position and velocity of the torso at the last observation."""
    spread: Floats
    """(K, 3) variance of each coordinate of the position, their covariance, and variance of the velocity."""
    xy: Floats
    """(K, J, 2) px, joints as last seen, moved along with the torso; NaN if never seen."""
    noise: Floats
    """(K, J) px, their standard deviation."""
    joint_seen: Ints
    """(K, J) frame in which each joint was last seen."""

    @classmethod
    def none(cls, joints: int) -> ViewBodies:
        """No bodies."""
        none = np.zeros(0, np.int64)
        size, place, spread, noise = np.zeros(0), np.zeros((0, 4)), np.zeros((0, 3)), np.zeros((0, joints))
        seen = np.zeros((0, joints), np.int64)
        return cls(none, none, none, size, place, spread, np.zeros((0, joints, 2)), noise, seen)

    def __getitem__(self, which: NDArray[np.integer] | Bools) -> ViewBodies:
        return ViewBodies(*(getattr(self, field.name)[which] for field in fields(self)))

    def joined(self, other: ViewBodies) -> ViewBodies:
        """These bodies and others."""
        return ViewBodies(
            *(np.concatenate([getattr(self, field.name), getattr(other, field.name)]) for field in fields(self))
        )


class ViewTracker:
    """Follows the people of one view; has the contract of an associator, for a rig of one camera."""

    follows = True

    def __init__(self, config: TrackConfig) -> None:
        self.config = config

    def associate(
        self, rows: Detections2D, rig: Rig, rate_hz: float, memory: State
    ) -> tuple[Detections2D, State]:  # fmt: skip
        """Return the rows with the number of their track in ``person``, -1 for second detections of a body.

        Numbers 0, 1, 2 ... are never reused. ``memory`` has the bodies followed at the last frame; rig: is not used.
        """
        bodies = ViewBodies.none(len(rows.skeleton))
        if memory:
            bodies = ViewBodies(*(np.array(memory[field.name]) for field in fields(ViewBodies)))
        following = int(memory["next_ident"]) if memory else 0
        person = np.full(len(rows), -1, np.int64)
        for frame in np.unique(rows.frame).tolist():
            mine = np.flatnonzero(rows.frame == frame)
            mine = mine[single_detections(rows[mine])]
            ident, bodies, following = self._frame(rows[mine], frame, rate_hz, bodies, following)
            person[mine] = ident
        state: State = {field.name: np.asarray(getattr(bodies, field.name)) for field in fields(bodies)}
        return rows.with_columns(person=person), {**state, "next_ident": np.array(following)}

    def _frame(
        self, rows: Detections2D, frame: int, rate_hz: float, bodies: ViewBodies, following: int
    ) -> tuple[Ints, ViewBodies, int]:
        """Track (M,) of each row of a frame, the bodies followed then, and the next number of a track."""
        bodies = bodies[frame - bodies.seen <= max(1.0, self.config.occlusion_s * rate_hz)]
        late = (frame - bodies.seen) / rate_hz
        predicted = _moved(bodies, late, self.config)
        size = np.maximum(body_size(joint_box(rows.xy.astype(np.float64))), 1.0)
        cost = self._costs(predicted, late, (frame - bodies.joint_seen) / rate_hz, rows, size)
        pairs = cheapest_pairs(cost, self.config.gate_sigma)
        ident = np.full(len(rows), -1, np.int64)
        track, row = (np.array([pair[end] for pair in pairs], np.int64) for end in (0, 1))
        ident[row] = bodies.ident[track]
        ident = _with_parts(ident, rows, cost, self.config.gate_sigma, bodies.ident)
        followed = _updated(predicted[track], frame, rows, row, size)
        new = np.flatnonzero(ident < 0)
        ident[new] = following + np.arange(len(new))
        started = self._started(frame, rows, new, size, ident)
        lost = np.ones(len(bodies.ident), np.bool_)
        lost[track] = False
        return ident, bodies[lost].joined(followed).joined(started), following + len(new)

    def _costs(self, bodies: ViewBodies, late: Floats, joint_late: Floats, rows: Detections2D, size: Floats) -> Floats:
        """Cost (K, M), in standard deviations, of taking rows for bodies; late (K,) s since these were seen."""
        xy, noise = rows.xy.astype(np.float64), rows.noise_px.astype(np.float64)
        limb = np.minimum(self.config.limb_speed_mps * joint_late, _REACH) * bodies.size[:, None]
        variance = bodies.noise**2 + limb**2 + bodies.spread[:, :1] + (_SHAPE * bodies.size[:, None]) ** 2
        apart = xy[None] - bodies.xy[:, None]
        both: Bools = np.asarray(np.isfinite(apart).all(-1))
        with np.errstate(invalid="ignore"):
            sigma = np.linalg.norm(apart, axis=-1) / np.sqrt(variance[:, None] + noise[None] ** 2)
        median = _lower_median(sigma, both)
        few = both.sum(-1) < _MIN_JOINTS
        if few.any():
            far = np.linalg.norm(torso_middles(rows)[None] - bodies.place[:, None, :2], axis=-1)
            room = np.sqrt(bodies.spread[:, :1] + (_UNCOMPARED * bodies.size[:, None]) ** 2)
            median = np.where(few, far / room, median)
        resized = np.log(size[None] / bodies.size[:, None]) / (_SIZE_SIGMA + _SIZE_RATE * late[:, None])
        given = rows.carried.astype(np.int64)[None]
        other = (given >= 0) & (bodies.carried[:, None] >= 0) & (given != bodies.carried[:, None])
        fresh = np.maximum(np.median(np.nan_to_num(bodies.noise), axis=-1), 1e-3 * bodies.size) ** 2
        room_nats = np.log1p(bodies.spread[:, 0] / fresh)[:, None] / 4
        square = median**2 + np.minimum(np.abs(resized), 2.0) ** 2 + (_CARRIED_SIGMA * other) ** 2
        return np.asarray(np.sqrt(square + room_nats))

    def _started(self, frame: int, rows: Detections2D, new: Ints, size: Floats, ident: Ints) -> ViewBodies:
        count, joints = len(new), len(rows.skeleton)
        middle = torso_middles(rows)[new].reshape(-1, 2)
        noise = rows.noise_px[new].astype(np.float64)
        spread = np.zeros((count, 3))
        spread[:, 0] = (0.05 * size[new]) ** 2
        spread[:, 2] = (self.config.speed_mps * size[new]) ** 2
        return ViewBodies(
            ident[new], np.full(count, frame), rows.carried[new].astype(np.int64), size[new],
            np.concatenate([middle, np.zeros((count, 2))], axis=1), spread, rows.xy[new].astype(np.float64), noise,
            np.full((count, joints), frame),
        )  # fmt: skip


def single_detections(rows: Detections2D) -> Ints:
    """Rows of a frame that are no second detection of a body of another row, with at least three joints."""
    xy, noise = rows.xy.astype(np.float64), rows.noise_px.astype(np.float64)
    weight = rows.score.sum(1)
    order = np.argsort(-weight, kind="stable")
    kept: list[int] = []
    for row in order.tolist():
        both = np.isfinite(xy[kept]).all(-1) & np.isfinite(xy[row]).all(-1)
        with np.errstate(invalid="ignore"):
            near = ((xy[kept] - xy[row]) ** 2).sum(-1) < noise[kept] ** 2 + noise[row] ** 2
        fewer = np.minimum(np.isfinite(xy[kept]).all(-1).sum(-1), np.isfinite(xy[row]).all(-1).sum())
        shared = both.sum(-1)
        copy = (shared >= np.maximum(0.6 * fewer, _MIN_JOINTS)) & ((near & both).sum(-1) > _COPY_SHARE * shared)
        if np.isfinite(xy[row]).all(-1).sum() >= _MIN_JOINTS and not copy.any():
            kept.append(row)
    return np.array(sorted(kept), np.int64)


def _with_parts(ident: Ints, rows: Detections2D, cost: Floats, gate: float, tracks: Ints) -> Ints:
    """Tracks (M,) of rows where those that no track has take the nearest one whose row shares no joint with them."""
    out, seen = ident.copy(), np.isfinite(rows.xy).all(-1)
    for row in np.flatnonzero(ident < 0).tolist() if len(tracks) else ():
        track = int(cost[:, row].argmin())
        same = out == tracks[track]
        if cost[track, row] < gate and same.any() and not (seen[same].any(0) & seen[row]).any():
            out[row] = tracks[track]
    return out


def _moved(bodies: ViewBodies, late: Floats, config: TrackConfig) -> ViewBodies:
    """Bodies where they are expected so many seconds (K,) later."""
    a, b, d = bodies.spread.T
    speed = (config.speed_mps * bodies.size) ** 2
    # White acceleration with the setting's standard deviation over its correlation time keeps velocities at the usual
    # speed if they are forgotten after this time (an Ornstein-Uhlenbeck process).
    memory = config.speed_mps**2 / (config.acceleration_mps2**2 * _LASTS_S)
    kept = np.exp(-late / memory)
    path = memory * (1 - kept)
    spread = np.stack(
        [
            a + 2 * b * path + d * path**2 + 2 * speed * memory * (late - 2 * path + memory * (1 - kept**2) / 2),
            kept * (b + d * path) + speed * memory * (1 - kept) ** 2,
            kept**2 * d + speed * (1 - kept**2),
        ],
        -1,
    )
    step = bodies.place[:, 2:] * path[:, None]
    place = np.concatenate([bodies.place[:, :2] + step, bodies.place[:, 2:] * kept[:, None]], axis=1)
    return ViewBodies(
        bodies.ident, bodies.seen, bodies.carried, bodies.size, place, spread, bodies.xy + step[:, None], bodies.noise,
        bodies.joint_seen,
    )  # fmt: skip


def _updated(bodies: ViewBodies, frame: int, rows: Detections2D, row: Ints, size: Floats) -> ViewBodies:
    """Predicted bodies (N,) after their observations, the rows (N,)."""
    xy, noise = rows.xy[row].astype(np.float64), rows.noise_px[row].astype(np.float64)
    known: Bools = np.asarray(np.isfinite(xy).all(-1))
    both: Bools = np.asarray(known & np.isfinite(bodies.xy).all(-1))
    weight = torso_weights(both, rows.skeleton)
    off: Floats = np.einsum("nj,njx->nx", weight, np.where(both[..., None], xy - bodies.xy, 0.0))
    variance = np.einsum("nj,nj->n", weight, np.where(both, noise, 0.0) ** 2)
    # Different parts of a body were seen: their middles say little of how it moved.
    unlike: Bools = ~np.asarray(both.any(-1))
    off = np.where(unlike[:, None], torso_middles(rows)[row].reshape(-1, 2) - bodies.place[:, :2], off)
    variance = np.where(unlike, (_UNCOMPARED * bodies.size) ** 2, variance)
    a, b, d = bodies.spread.T
    gain, pull = a / (a + variance), b / (a + variance)
    place = bodies.place.copy()
    place[:, :2] += gain[:, None] * off
    place[:, 2:] += pull[:, None] * off
    step = gain[:, None] * off
    carried = rows.carried[row].astype(np.int64)
    return ViewBodies(
        bodies.ident,
        np.full(len(row), frame),
        np.where(carried >= 0, carried, bodies.carried),
        bodies.size * (size[row] / bodies.size) ** _SIZE_GAIN,
        place,
        np.stack([a - gain * a, b - gain * b, d - pull * b], -1),
        np.where(known[..., None], xy, bodies.xy + step[:, None]),
        np.where(known, noise, bodies.noise),
        np.where(known, frame, bodies.joint_seen),
    )


def torso_middles(rows: Detections2D) -> Floats:
    """Middle (M, 2) px of the torso, or of all joints where none of the torso is known; NaN without joints."""
    xy = rows.xy.astype(np.float64)
    weight = torso_weights(np.asarray(np.isfinite(xy).all(-1)), rows.skeleton)
    return np.asarray(np.einsum("mj,mjx->mx", weight, np.nan_to_num(xy)))


def _lower_median(values: Floats, known: Bools) -> Floats:
    """Lower median (K, M) of the known values (K, M, J); infinite where none is known."""
    ordered = np.sort(np.where(known, values, np.inf), axis=-1)
    middle = np.maximum((known.sum(-1) - 1) // 2, 0)
    return np.asarray(np.take_along_axis(ordered, middle[..., None], axis=-1)[..., 0])
