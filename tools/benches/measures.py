"""Baseline triangulation, and how far a result is from the truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from benches.section import Row

SAME_BODY_M = 0.5
"""An estimate further from the truth than this, on average over the joints, is a false positive."""
WITHIN = {"68 %": 3.5059, "95 %": 7.8147}
"""Squared Mahalanobis distances that hold so much of a normal distribution in three dimensions."""


def plain_dlt(rig: Any, xy: Any) -> Any:
    """Points (N, 3) of pixels (C, N, 2), NaN = unseen: undistorted, unweighted, one SVD a point, nothing rejected."""
    bare, pose = rig.undistort(xy), rig.cam_from_world[:, :3]
    out = np.full((bare.shape[1], 3), np.nan)
    for point in range(bare.shape[1]):
        seen = np.isfinite(bare[:, point, 0])
        if seen.sum() >= 2:
            rows = bare[seen, point, :, None] * pose[seen, 2][:, None] - pose[seen, :2]
            last = np.linalg.svd(rows.reshape(-1, 4))[2][-1]
            out[point] = last[:3] / last[3]
    return out


def by_person(rows: Any, number: Any, views: int) -> tuple[Any, Any]:
    """Keys (G, 2) of frame and person number, and pixels (C, G, J, 2) of the rows that have one."""
    mine = number >= 0
    keys, place = np.unique(np.stack([rows.frame[mine], number[mine]], -1), axis=0, return_inverse=True)
    xy = np.full((views, len(keys), *rows.xy.shape[1:]), np.nan)
    xy[rows.view[mine], place.ravel()] = rows.xy[mine]
    return keys, xy


def all_rows(session: Any, stage: str) -> Any:
    """Whole artefact of a stage as one table."""
    from mvcap import stages
    from mvcap.structures.skeleton import skeleton

    place = stages.detections(session, stage) if stage in stages.STAGES[:2] else stages.poses(session, stage)
    chunks = list(place.chunks())
    return type(chunks[0]).concatenate(chunks, skeleton(place.skeleton_name))


def against_truth(xyz: Any, frame: Any, person: Any, true: Any, joints: Any = None, cov: Any = None) -> Row:
    """Errors of joints xyz (M, J, 3) of rows; people are matched to the truth frame by frame, one to one.

    ``joints`` (K,): those that count; all when left out. ``cov`` (M, J, 6): share of joints in their own ellipsoids.
    ``covered``: share of the true people that have a counterpart; ``false a frame``: people found who have none; rows
    without any joint are false positives.
    """
    from scipy.optimize import linear_sum_assignment

    asked = np.arange(true.xyz.shape[1]) if joints is None else np.asarray(joints)
    pairs: list[tuple[int, int]] = []
    switches, last = 0, {}
    someone = np.isfinite(xyz).all(-1).any(-1)
    order = np.flatnonzero(someone)[np.argsort(frame[someone], kind="stable")]
    for at in np.unique(true.frame):
        real = np.flatnonzero(true.frame == at)
        found = order[slice(*np.searchsorted(frame[order], (at, at + 1)))]
        off = np.linalg.norm(xyz[found][None][:, :, asked] - true.xyz[real][:, None][:, :, asked], axis=-1)
        known = np.isfinite(off)
        mean = np.where(known, off, 0).sum(-1) / np.maximum(known.sum(-1), 1)
        mean[known.sum(-1) == 0] = 9.0
        for a, b in zip(*linear_sum_assignment(mean), strict=True):
            if mean[a, b] < SAME_BODY_M:
                who, number = int(true.person[real[a]]), int(person[found[b]])
                switches += last.get(who, number) != number
                last[who] = number
                pairs.append((real[a], found[b]))
    there, mine = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    off_m = xyz[mine][:, asked] - true.xyz[there][:, asked]
    flat = 1000 * np.linalg.norm(off_m, axis=-1)
    flat = flat[np.isfinite(flat)]
    frames = len(np.unique(true.frame))
    return {
        "MPJPE mm": float(flat.mean()) if len(flat) else None,
        "joints found": len(flat) / max(len(true.frame) * len(asked), 1),
        "covered": len(pairs) / max(len(true.frame), 1),
        "false a frame": (int(someone.sum()) - len(pairs)) / max(frames, 1),
        "id switches": switches,
        **({} if cov is None else inside_ellipsoids(off_m, cov[mine][:, asked])),
    }


def inside_ellipsoids(off_m: Any, cov: Any) -> Row:
    """Shares of the errors (K, J, 3) m inside the ellipsoids of covariances (K, J, 6) that should hold 68 and 95 %."""
    from mvcap.structures.poses import full_covariance

    known = np.isfinite(off_m).all(-1) & np.isfinite(cov).all(-1) & (cov[..., [0, 3, 5]] > 0).all(-1)
    if not known.any():
        return dict.fromkeys(WITHIN)
    off, matrix = off_m[known].astype(np.float64), full_covariance(cov[known].astype(np.float64))
    square = np.einsum("ni,ni->n", off, np.linalg.solve(matrix, off[..., None])[..., 0])
    return {name: float((square <= limit).mean()) for name, limit in WITHIN.items()}


def pair_f1(frame: Any, view: Any, said: Any, real: Any) -> float:
    """F1 of pairs of rows of one frame in two views: said to be one body, and being one."""
    hit = claimed = there = 0
    for at in np.unique(frame):
        mine = frame == at
        two = np.triu(view[mine][:, None] != view[mine][None], 1)
        one = (said[mine][:, None] == said[mine][None]) & (said[mine] >= 0)[:, None] & two
        same = (real[mine][:, None] == real[mine][None]) & two
        hit, claimed, there = hit + int((one & same).sum()), claimed + int(one.sum()), there + int(same.sum())
    return 2 * hit / max(claimed + there, 1)


def whose(said: Any, told: Any) -> Any:
    """True person (M,) of rows that association may have split or turned left to right, by the rows that tell it.

    A row is whom it shares the most points with, whatever joint they are called; -1 where it shares none.
    """
    out = np.full(len(said), -1)
    place = told.frame.astype(np.int64) * (1 + int(told.view.max(initial=0))) + told.view
    order = np.argsort(place, kind="stable")
    mine = said.frame.astype(np.int64) * (1 + int(told.view.max(initial=0))) + said.view
    starts, stops = (np.searchsorted(place[order], mine, side=side) for side in ("left", "right"))
    for row, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        real = order[start:stop]
        points = said.xy[row][np.isfinite(said.xy[row]).all(-1)]
        shared = (told.xy[real][:, :, None] == points[None, None]).all(-1).any(1).sum(-1)
        if len(real) and shared.max() > 0:
            out[row] = told.carried[real[np.argmax(shared)]]
    return out
