"""Joints that one view sees, or none: how far off ``bones`` and the learned refiner are, and whether they know it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benches.measures import WITHIN
from benches.section import Row, Section, clock, say
from mvcap.refiners.bones import Bones, BonesConfig
from mvcap.refiners.graph import GraphRefiner, GraphRefinerConfig
from mvcap.refiners.graph_features import vocabulary_joints
from mvcap.structures.poses import full_covariance
from mvcap.structures.synthetic_take import SyntheticTake
from mvcap.tasks.prg import person_cases

REFINERS = {"bones": lambda: Bones(BonesConfig()), "graph": lambda: GraphRefiner(GraphRefinerConfig())}
SEEN = {"no view": 0, "one view": 1, "two views or more": 2}
MEASURED = (
    "refined poses of people of held-out takes with true identities; limbs vanish from all views but one, or from all, "
    "for 0.15 to 4 s, on top of what hides them in the take. Views: those that have the joint at this frame; mm: mean "
    "distance of joints that both refiners keep; kept: share of them that each keeps; CPU ms a person and frame"
)


def hidden_joints(section: Section, takes: Sequence[SyntheticTake]) -> None:
    """A row for each refiner and number of views."""
    say(f"refiners on {len(takes)} takes with hidden joints")
    found: dict[str, list[Any]] = {name: [] for name in REFINERS}
    spent, frames = dict.fromkeys(REFINERS, 0.0), 0
    for seed, take in enumerate(takes):
        with threadpool_limits(1):
            people = [case for case in person_cases(take, seed) if case[3]]
        for poses, evidence, truth, _ in people:
            frames += len(poses)
            views = _views(poses, evidence.rows, truth)
            for name, make in REFINERS.items():
                with clock() as timed, threadpool_limits(1):
                    refined = make().refine(poses, evidence)
                spent[name] += timed.cpu_s
                found[name].append(_against(refined, truth, views))
    both = {name: np.concatenate(rows) for name, rows in found.items()}
    kept = np.logical_and.reduce([np.isfinite(rows[:, 1]) for rows in both.values()])
    for seen, count in SEEN.items():
        for name, rows in both.items():
            mine = rows[:, 0] == count if count < 2 else rows[:, 0] >= count
            section.add("refiners, joints by views that see them", _row(seen, name, rows, mine, kept))
    for name, seconds in spent.items():
        section.facts.append(f"refiner {name}: {1000 * seconds / max(frames, 1):.2f} ms a person and frame")
    section.facts.append(MEASURED)


def _row(seen: str, name: str, rows: Any, mine: Any, kept: Any) -> Row:
    used, own = rows[mine & kept], rows[mine & np.isfinite(rows[:, 1])]
    inside = {share: float((own[:, 2] < limit).mean()) if len(own) else None for share, limit in WITHIN.items()}
    return {
        "refiner": f"{seen}, {name}",
        "mm": 1000 * float(used[:, 1].mean()) if len(used) else None,
        "median mm": 1000 * float(np.median(used[:, 1])) if len(used) else None,
        "joints": int(mine.sum()),
        "kept": float(np.isfinite(rows[mine, 1]).mean()) if mine.any() else None,
        **inside,
    }


def _views(poses: Any, rows: Any, truth: Any) -> Any:
    """Number of views (T', J) that have each joint at the frames of the truth."""
    place = {int(frame): at for at, frame in enumerate(truth.frame)}
    out = np.zeros((len(truth), len(poses.skeleton)), np.int64)
    for row in range(len(rows)):
        if int(rows.frame[row]) in place:
            out[place[int(rows.frame[row])]] += rows.score[row] > 0
    return out


def _against(refined: Any, truth: Any, views: Any) -> Any:
    """Views, distance m (NaN = dropped) and squared distance in deviations of the true joints that graphs know."""
    joints = vocabulary_joints(truth.skeleton)
    joints = joints[joints >= 0]
    place = {int(frame): at for at, frame in enumerate(refined.frame)}
    at = np.array([place.get(int(frame), -1) for frame in truth.frame])
    xyz = np.where((at >= 0)[:, None, None], refined.xyz[at], np.nan)[:, joints].astype(np.float64)
    cov = full_covariance(refined.cov[at][:, joints].astype(np.float64))
    off = xyz - truth.xyz[:, joints]
    known = np.isfinite(off).all(-1) & np.isfinite(cov).all((-1, -2))
    square = np.full(known.shape, np.nan)
    square[known] = (off[known] * np.linalg.solve(cov[known], off[known][..., None])[..., 0]).sum(-1)
    apart = np.where(known, np.linalg.norm(off, axis=-1), np.nan)
    there = np.isfinite(truth.xyz[:, joints]).all(-1)
    return np.stack([views[:, joints][there], apart[there], square[there]], -1)
