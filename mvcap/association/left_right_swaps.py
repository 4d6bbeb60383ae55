"""Left-right swaps: 2D estimators swap the sides of a whole body seen from behind, or of a single limb.

One view cannot reveal a swap, several can: the joints as labelled do not fit the other views' rays, the swapped ones
do. Pairs of views are compared first. Only where a pair contradicts itself, a body is estimated from all views, and
each of its rows is compared with the body of the other views: as labelled, and with the whole body, an arm or a leg, or
the outer part of one, swapped. With fewer than four views, two views that contradict each other give no reliable body
to compare a third with; there, each row is compared with every other row.
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

_CONTRADICTION_NATS = -1.0  # evidence of a joint below which a pair of views contradicts itself
_ENOUGH_VIEWS = 4  # with this many, the others still give a certain body if one view is wrong
_CHAINS = (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"))
_EXTREMITIES = {"wrist": ("pinky", "index", "thumb"), "ankle": ("heel", "toe")}


def correct_swaps(rows: Detections2D, rig: Rig) -> Detections2D:
    """Return associated rows, of any frames, with left-right swaps corrected where a person's other views show them."""
    mine = np.flatnonzero(rows.person >= 0)
    if not len(mine):
        return rows
    found, kind = rows[mine], rows.skeleton
    group = found.frame.astype(np.int64) * (int(found.person.max()) + 1) + found.person
    candidates = np.flatnonzero(_possibly_swapped(found.of_body(), group, rig))
    if not len(candidates):
        return rows
    swap = np.zeros(found.score.shape, np.bool_)
    rays = BodyRays.of(found[candidates], rig)
    swapped = np.zeros(rays.seen.shape, np.bool_)
    _swap_bodies(group[candidates], rays, swapped, kind)
    _swap_limbs(group[candidates], rays, swapped, kind)
    swap[candidates] = swapped
    return _apply_swaps(rows, mine, swap) if swap.any() else rows


def _possibly_swapped(rows: Detections2D, group: Ints, rig: Rig) -> Bools:
    """Which rows (M,) are of a body on which two views disagree about both a joint and its mirror joint."""
    rays, mirror = BodyRays.of(rows, rig), rows.skeleton.mirror
    first, second = _pairs(group, rays.view)
    wrong = np.nan_to_num(ray_distances(rays, first, second).evidence()) < _CONTRADICTION_NATS
    both = wrong & wrong[:, mirror] & (mirror != np.arange(len(mirror)))
    return np.isin(group, group[first[both.any(1)]])


def _swap_bodies(group: Ints, rays: BodyRays, swap: Bools, kind: Skeleton) -> None:
    """Mark whole rows in ``swap`` (M, J) as swapped where pairs of views agree better that way."""
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


def _swap_limbs(group: Ints, rays: BodyRays, swap: Bools, kind: Skeleton) -> None:
    """Mark parts of rows in ``swap`` (M, J) as swapped where they then fit the body of the other views better."""
    parts, mirror = _parts(kind), kind.mirror
    numbers, own = np.unique(group, return_inverse=True)
    seen = np.zeros((len(numbers), int(rays.view.max(initial=0)) + 1), np.bool_)
    seen[own, rays.view] = True
    few = (seen.sum(1) < _ENOUGH_VIEWS)[own, None]
    for _ in range(2):
        now = rays.exchanged(swap, mirror)
        bodies = estimate_bodies(now, own, unknown_bodies(len(numbers), len(kind)))
        joint_gain = np.where(few, _pairwise_gain(now, own, mirror), _body_gain(now, bodies, mirror))
        gain = np.stack([_part_gain(joint_gain, part) for part in parts], axis=1)
        best = gain.argmax(1)
        improved = np.flatnonzero(gain.max(1) > EXCHANGE_NATS)
        if not len(improved):
            return
        # Swap one row of a body at a time: the worst row may be why the others seem wrong.
        improved = improved[np.argsort(-gain.max(1)[improved], kind="stable")]
        for row in improved[np.unique(own[improved], return_index=True)[1]]:
            swap[row, parts[best[row]]] ^= True


def _pairwise_gain(rays: BodyRays, group: Ints, mirror: NDArray[np.int64]) -> Floats:
    """Gain (M, J) in nats of each row's joints with all other views if swapped; 0 where unknown."""
    first, second = _pairs(group, rays.view)
    mirrored = rays.exchanged(np.ones(len(rays.view), bool), mirror)
    distances, crossed = ray_distances(rays, first, second), ray_distances(rays, first, second, mirrored)
    gain, out = np.nan_to_num(crossed.evidence() - distances.evidence()), np.zeros(rays.seen.shape)
    np.add.at(out, first, gain)
    np.add.at(out, second, gain[:, mirror])
    return out


def _body_gain(rays: BodyRays, bodies: BodyEstimates, mirror: NDArray[np.int64]) -> Floats:
    """Gain (M, J) in nats of each row's joints for the body of the other views if swapped; 0 where unknown."""
    xyz, cov, known = bodies.without
    same = body_evidence(rays, xyz, cov, known)[:, 0]
    crossed = body_evidence(rays, xyz[:, :, mirror], cov[:, :, mirror], known[:, :, mirror])[:, 0]
    return np.nan_to_num(crossed[:, mirror] - same)


def _part_gain(joint_gain: Floats, part: NDArray[np.int64]) -> Floats:
    """Gain (M,) of each row from swapping the joints ``part``; only joints known on both sides count."""
    return np.asarray(body_total(np.where(joint_gain[:, part] == 0, np.nan, joint_gain[:, part])))


def _parts(kind: Skeleton) -> list[NDArray[np.int64]]:
    """Sets of joints that are swapped together: the body, and every limb or outer part of one, both sides."""
    parts = [np.flatnonzero(kind.mirror != np.arange(len(kind)))]
    for chain in _CHAINS:
        for start in range(len(chain)):
            names = set(chain[start:])
            names |= {end for name in names for end in _EXTREMITIES.get(name, ())}
            sides = [joint.split("_") for joint in kind.joints]
            part = [j for j, words in enumerate(sides) if len(words) > 1 and names & set(words)]
            if part:
                parts.append(np.array(part, np.int64))
    return parts


def _apply_swaps(rows: Detections2D, mine: NDArray[np.int64], swap: Bools) -> Detections2D:
    full = np.zeros(rows.score.shape, np.bool_)
    full[mine] = swap
    mirror = rows.skeleton.mirror
    return rows.with_columns(
        xy=np.where(full[..., None], rows.xy[:, mirror], rows.xy),
        score=np.where(full, rows.score[:, mirror], rows.score),
        noise_px=np.where(full, rows.noise_px[:, mirror], rows.noise_px),
        metric=None if rows.metric is None else np.where(full[..., None], rows.metric[:, mirror], rows.metric),
    )
