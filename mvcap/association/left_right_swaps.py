"""Left and right: two-dimensional estimators exchange them, of whole bodies seen from behind or of a limb.

One view cannot tell; several can: joints as named do not fit the other views' rays, the exchanged ones do. Bodies are
looked at in pairs of views first; only where some pair would fit better exchanged, a body is made of all views and
every row of it tried against the body that the others make, as named and with the whole body, an arm or a leg, or the
outer part of one, exchanged. Two views that contradict each other make no body to try a third against: of so few, each
row is tried against every other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.arrays import Bools, Floats, Ints
from mvcap.association.correlation_clustering import pairs_within, swapped_rows
from mvcap.association.ray_affinity import EXCHANGE_NATS, BodyRays, body_evidence, body_total, ray_distances
from mvcap.association.tracked_bodies import BodyEstimates, estimate_bodies, unknown_bodies
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import Skeleton

_WRONG = -1.0  # evidence of a joint below which a pair of views contradicts itself
_ENOUGH = 4  # views of which all but one are still sure of a body if one of them is wrong
_CHAINS = (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"))
_BEYOND = {"wrist": ("pinky", "index", "thumb"), "ankle": ("heel", "toe")}


def correct_swaps(rows: Detections2D, rig: Rig) -> Detections2D:
    """Return associated rows of any frames with left and right joints exchanged where a person's other views say so."""
    mine = np.flatnonzero(rows.person >= 0)
    if not len(mine):
        return rows
    found, kind = rows[mine], rows.skeleton
    group = found.frame.astype(np.int64) * (int(found.person.max()) + 1) + found.person
    asked = np.flatnonzero(_doubtful(found.of_body(), group, rig))
    if not len(asked):
        return rows
    swap = np.zeros(found.score.shape, np.bool_)
    rays = BodyRays.of(found[asked], rig)
    some = np.zeros(rays.seen.shape, np.bool_)
    _whole(group[asked], rays, some, kind)
    _limbs(group[asked], rays, some, kind)
    swap[asked] = some
    return _exchanged(rows, mine, swap) if swap.any() else rows


def _doubtful(rows: Detections2D, group: Ints, rig: Rig) -> Bools:
    """Which rows (M,) are of bodies in which a pair of views contradicts itself about a joint and its mirror joint."""
    rays, mirror = BodyRays.of(rows, rig), rows.skeleton.mirror
    first, second = _pairs(group, rays.view)
    wrong = np.nan_to_num(ray_distances(rays, first, second).evidence()) < _WRONG
    both = wrong & wrong[:, mirror] & (mirror != np.arange(len(mirror)))
    return np.isin(group, group[first[both.any(1)]])


def _whole(group: Ints, rays: BodyRays, swap: Bools, kind: Skeleton) -> None:
    """Exchange whole rows in ``swap`` (M, J) where pairs of views fit better so."""
    first, second = _pairs(group, rays.view)
    mirrored = rays.exchanged(np.ones(len(rays.view), bool), kind.mirror)
    same = body_total(ray_distances(rays, first, second).evidence()[:, kind.body])
    crossed = body_total(ray_distances(rays, first, second, mirrored).evidence()[:, kind.body]) - EXCHANGE_NATS
    for one in np.unique(group[first[crossed > same]]):
        rows, here = np.flatnonzero(group == one), group[first] == one
        place = np.searchsorted(rows, first[here]), np.searchsorted(rows, second[here])
        alike = np.zeros((len(rows), len(rows)))
        alike[place] = (same - crossed)[here]
        swap[rows[swapped_rows(alike + alike.T)]] = True


def _pairs(group: Ints, view: NDArray[np.integer]) -> tuple[Ints, Ints]:
    """Pairs of rows (P,), (P,) of one group and different views."""
    first, second = pairs_within(group)
    apart = view[first] != view[second]
    return first[apart], second[apart]


def _limbs(group: Ints, rays: BodyRays, swap: Bools, kind: Skeleton) -> None:
    """Exchange parts of rows in ``swap`` (M, J) where they fit the body of the other views better."""
    parts, mirror = _parts(kind), kind.mirror
    numbers, own = np.unique(group, return_inverse=True)
    seen = np.zeros((len(numbers), int(rays.view.max(initial=0)) + 1), np.bool_)
    seen[own, rays.view] = True
    few = (seen.sum(1) < _ENOUGH)[own, None]
    for _ in range(2):
        now = rays.exchanged(swap, mirror)
        bodies = estimate_bodies(now, own, unknown_bodies(len(numbers), len(kind)))
        gained = np.where(few, _between(now, own, mirror), _fit(now, bodies, mirror))
        gain = np.stack([_gain(gained, part) for part in parts], axis=1)
        best = gain.argmax(1)
        worth = np.flatnonzero(gain.max(1) > EXCHANGE_NATS)
        if not len(worth):
            return
        # One row of a body at a time: the worst may be what makes the others look wrong.
        worth = worth[np.argsort(-gain.max(1)[worth], kind="stable")]
        for row in worth[np.unique(own[worth], return_index=True)[1]]:
            swap[row, parts[best[row]]] ^= True


def _between(rays: BodyRays, group: Ints, mirror: NDArray[np.int64]) -> Floats:
    """What each row's joints (M, J) gain with every other view if exchanged; 0 where nothing can be told."""
    first, second = _pairs(group, rays.view)
    mirrored = rays.exchanged(np.ones(len(rays.view), bool), mirror)
    met, crossed = ray_distances(rays, first, second), ray_distances(rays, first, second, mirrored)
    gain, out = np.nan_to_num(crossed.evidence() - met.evidence()), np.zeros(rays.seen.shape)
    np.add.at(out, first, gain)
    np.add.at(out, second, gain[:, mirror])
    return out


def _fit(rays: BodyRays, bodies: BodyEstimates, mirror: NDArray[np.int64]) -> Floats:
    """What each row's joints (M, J) gain in the body of the other views if exchanged; 0 where nothing can be told."""
    xyz, cov, known = bodies.without
    same = body_evidence(rays, xyz, cov, known)[:, 0]
    crossed = body_evidence(rays, xyz[:, :, mirror], cov[:, :, mirror], known[:, :, mirror])[:, 0]
    return np.nan_to_num(crossed[:, mirror] - same)


def _gain(gained: Floats, part: NDArray[np.int64]) -> Floats:
    """What exchanging the joints ``part`` gains each row (M,): only by joints that can be told both ways."""
    return np.asarray(body_total(np.where(gained[:, part] == 0, np.nan, gained[:, part])))


def _parts(kind: Skeleton) -> list[NDArray[np.int64]]:
    """Sets of joints that are exchanged together: the body, and every limb or outer part of one, both sides."""
    parts = [np.flatnonzero(kind.mirror != np.arange(len(kind)))]
    for chain in _CHAINS:
        for start in range(len(chain)):
            names = set(chain[start:])
            names |= {beyond for name in names for beyond in _BEYOND.get(name, ())}
            sides = [joint.split("_") for joint in kind.joints]
            part = [j for j, words in enumerate(sides) if len(words) > 1 and names & set(words)]
            if part:
                parts.append(np.array(part, np.int64))
    return parts


def _exchanged(rows: Detections2D, mine: NDArray[np.int64], swap: Bools) -> Detections2D:
    full = np.zeros(rows.score.shape, np.bool_)
    full[mine] = swap
    mirror = rows.skeleton.mirror
    return rows.with_columns(
        xy=np.where(full[..., None], rows.xy[:, mirror], rows.xy),
        score=np.where(full, rows.score[:, mirror], rows.score),
        noise_px=np.where(full, rows.noise_px[:, mirror], rows.noise_px),
    )
