"""The joints of associated people as observations of free points by a rig's views."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.observations import Observations
from calib.targets import free_points
from mvcap.errors import InputError
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import Skeleton

MOST_MOMENTS = 2000
"""Most frames used; neighbouring ones are almost redundant."""


def joint_observations(rows: Detections2D, rig: Rig, rate_hz: float, most: int = MOST_MOMENTS) -> Observations:
    """Joints of associated rows at up to `most` frames as free points: N = slots of people x joints.

    A person keeps the same slot as long as they are seen, so that velocities can be computed; a slot is used again by
    others. Raises InputError where no two views see the same person.
    """
    frames = np.unique(rows.frame)
    frames = frames[:: max(1, -(-len(frames) // most))]
    rows = rows[np.isin(rows.frame, frames)]
    keys, row_of = np.unique(np.stack([rows.frame, rows.person], -1), axis=0, return_inverse=True)
    moment = np.searchsorted(frames, keys[:, 0])
    if not len(keys):
        raise InputError(
            "no person is seen by two views in this take; film somebody who walks where all views see them"
        )
    slot = _slots(moment, keys[:, 1])
    people, joints = int(slot.max()) + 1, len(rows.skeleton)
    shape = (len(rig), len(frames), people, joints)
    xy, sigma = np.full((*shape, 2), np.nan), np.full(shape, np.nan)
    at = rows.view.astype(np.int64), moment[row_of.ravel()], slot[row_of.ravel()]
    xy[at], sigma[at] = rows.xy, rows.noise_px
    flat = (*shape[:2], people * joints)
    time_s = np.broadcast_to(frames / rate_hz, flat[:2])
    names = tuple(f"{frame / rate_hz:.2f} s" for frame in frames.tolist())
    sizes = tuple(camera.size for camera in rig)
    points = free_points(flat[2])
    return Observations(points, rig.names, sizes, xy.reshape(*flat, 2), sigma.reshape(flat), time_s, names)


def mirrored_joints(kind: Skeleton, columns: int) -> NDArray[np.int64]:
    """A number for each column of ``joint_observations``: the same for a joint, left and right, of everybody."""
    joint = np.arange(len(kind))
    return np.asarray(np.minimum(joint, kind.mirror)[np.arange(columns) % len(kind)])


def _slots(moment: NDArray[np.integer], person: NDArray[np.integer]) -> NDArray[np.int64]:
    """A slot (K,) for each person at a moment, in order of moments; the same while the person is present."""
    out = np.zeros(len(moment), np.int64)
    held: dict[int, int] = {}
    starts = np.flatnonzero(np.diff(moment, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(moment)], strict=True):
        present = person[start:stop].tolist()
        held = {one: held[one] for one in present if one in held}
        free = (slot for slot in range(len(held) + len(present)) if slot not in held.values())
        slots = {**held}
        for one in present:
            if one not in slots:
                slots[one] = next(free)
        held = slots
        out[start:stop] = [held[one] for one in present]
    return out
