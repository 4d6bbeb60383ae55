"""Covariances against truth: generated takes in which one view sees people, on wrong rigs and with late views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benches.section import Options, Row, Section, say
from calib import Rig
from mvcap.datasets.people import TakeConfig, make_take
from mvcap.refine import refine_rows
from mvcap.structures.detections import Detections2D
from mvcap.structures.poses import Poses3D, Provenance, full_covariance
from mvcap.structures.synthetic_take import SyntheticTake
from mvcap.synthesis.detector_errors import OPENPOSE, OPENPOSE_WEAK, TOPDOWN, DetectorModel
from mvcap.synthesis.detector_simulator import simulate_detector
from mvcap.synthesis.random_rigs import disturb_rig
from mvcap.tasks.prg import drop_limbs, truth_in_skeleton
from mvcap.triangulation.robust_triangulation import TriangulateConfig, triangulate_rows

TAKES, QUICK_TAKES = 40, 6
REFINERS = ("bones", "graph")
ALONE_S = (0.2, 5.0)
TURNED_DEG = (0.2, 1.0)
WRONG, LATE = 0.35, 0.2  # shares of the takes with a wrong rig, and with a late view
WAYS = {"inside": 0.35, "leaving": 0.3, "hidden limbs": 0.25, "all views": 0.1}
INSIDE = {"68 %": 1.0, "95 %": 1.96}
MEASURED = (
    "people of generated takes with true identities and held-out motions. One view sees a person for 0.2 to 5 s inside "
    "the volume or when leaving or entering it, or limbs are hidden; a third of the rigs is turned by 0.2 to 1 degree, "
    "in a fifth of the takes a view is late by up to a frame. 'worst' and 'ray': share of joints inside 1 and 1.96 "
    "standard deviations along the covariance's longest axis and along the view's ray; aim 68 and 95 %. mm: error, "
    "sigma: median of the longest axis"
)


def covariance(options: Options) -> Section:
    """A row for each refiner, provenance and number of views."""
    section = Section("Covariances of joints", MEASURED)
    count = QUICK_TAKES if options.quick else TAKES
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in REFINERS}
    for seed in range(count):
        say(f"take {seed + 1} of {count}")
        take = one_view_take(seed)
        if take is None:
            continue
        for name in REFINERS:
            with threadpool_limits(1):
                refined = refine_rows(take.raw, take.rows, take.rig, rate_hz=take.rate_hz, refiner=name)
            found[name].append(_against(take, refined))
    for name, parts in found.items():
        rows = np.concatenate(parts)
        for source in (Provenance.MEASURED, Provenance.ONE_VIEW, Provenance.INTERPOLATED, Provenance.PREDICTED,
                       Provenance.PRIOR, Provenance.REJECTED):  # fmt: skip
            label = source.name.lower().replace("_", " ")
            _add(section, "by provenance", f"{name}, {label}", rows[rows[:, 0] == source])
        for views in (0, 1, 2, 3, 4):
            mine = rows[:, 1] == views if views < 4 else rows[:, 1] >= views
            _add(section, "by views that detected the joint", f"{name}, {views}{' or more' * (views == 4)}", rows[mine])
        for low, high in ((0, 0.2), (0.2, 0.5), (0.5, 1), (1, 5)):
            mine = (rows[:, 2] <= 1) & (rows[:, 3] > low) & (rows[:, 3] <= high)
            _add(section, "of one view for", f"{name}, {low:g} to {high:g} s", rows[mine])
    return section


@dataclass(frozen=True)
class OneViewTake:
    """A take with true identities."""

    rig: Rig
    rate_hz: float
    rows: Detections2D
    raw: Poses3D
    truth: Poses3D


def one_view_take(seed: int) -> OneViewTake | None:
    """The take of a seed; None where nobody can be triangulated."""
    rng = np.random.default_rng([seed, 13])
    seconds = rng.uniform(6, 12)
    rate_hz = float(np.exp(rng.uniform(np.log(12), np.log(50))))
    model = (OPENPOSE, OPENPOSE_WEAK, TOPDOWN)[rng.integers(3)].randomised(rng)
    frames = round(seconds * rate_hz)
    config = TakeConfig("held_out", (1, 2), (2, 6), frames, (rate_hz, rate_hz), detector=model)
    take = make_take(seed, config)
    if not len(take.truth):
        return None
    rows, person = take.rows, _owner(take.person)
    if rng.random() < WRONG:
        wrong = disturb_rig(rng, take.rig, rng.uniform(*TURNED_DEG) / np.sqrt(3), 0.0)
        take = SyntheticTake(take.truth, take.seen_by, wrong, rate_hz, rows, take.person)
    if rng.random() < LATE:
        rows, person = _with_late_view(take, model, rows, person, rng)
    rows = _first_of_each(rows.with_columns(person=person))
    rows = _seen_by_one_view(rows, len(take.rig), rate_hz, rng)
    raw = triangulate_rows(rows, take.rig, TriangulateConfig())
    if not np.isfinite(raw.xyz).any():
        return None
    return OneViewTake(take.rig, rate_hz, rows, raw, truth_in_skeleton(take.truth, rows.skeleton))


def _owner(person: NDArray[np.int32]) -> NDArray[np.int32]:
    """The person (M,) to whom most joints (M, J) of each row belong, -1 = none."""
    return np.array([np.bincount(one[one >= 0]).argmax() if (one >= 0).any() else -1 for one in person], np.int32)


def _with_late_view(
    take: SyntheticTake, model: DetectorModel, rows: Detections2D, person: NDArray[np.int32], rng: np.random.Generator
) -> tuple[Detections2D, NDArray[np.int32]]:
    """Rows of which a view shows the people as they were up to a frame before."""
    view, share = int(rng.integers(len(take.rig))), rng.uniform(0.3, 1.0)
    truth = take.truth[np.lexsort((take.truth.frame, take.truth.person))]
    xyz = truth.xyz.astype(np.float64)
    follows = (np.diff(truth.person) == 0) & (np.diff(truth.frame) == 1)
    late = xyz.copy()
    late[1:][follows] = (1 - share) * xyz[1:][follows] + share * xyz[:-1][follows]
    seen, whose = simulate_detector(model, truth.with_columns(xyz=late), take.seen_by, rng, take.rate_hz)
    keep, other = rows.view != view, seen.view == view
    both = Detections2D.concatenate([rows[keep], seen[other]], rows.skeleton)
    return both, np.concatenate([person[keep], _owner(whose[other])])


def _first_of_each(rows: Detections2D) -> Detections2D:
    """The first row of each person in each view and frame."""
    rows = rows[rows.person >= 0]
    key = np.stack([rows.frame, rows.view, rows.person], -1)
    _, first = np.unique(key, axis=0, return_index=True)
    return rows[np.sort(first)]


def _seen_by_one_view(rows: Detections2D, views: int, rate_hz: float, rng: np.random.Generator) -> Detections2D:
    """Rows in which each person is seen by one view for a while, or has hidden limbs."""
    parts = []
    for who in np.unique(rows.person).tolist():
        mine = rows[rows.person == who]
        first, last = int(mine.frame.min()), int(mine.frame.max())
        way = rng.choice(list(WAYS), p=list(WAYS.values()))
        alone, lasts = int(rng.integers(views)), np.exp(rng.uniform(*np.log(ALONE_S))) * rate_hz
        if way == "hidden limbs":
            mine = drop_limbs(mine, views, rate_hz, rng)
        elif way != "all views":
            start = rng.uniform(first, max(last - lasts - rate_hz, first + 1))
            if way == "leaving":
                start = last - lasts if rng.random() < 0.7 else first - 1
            gone = (mine.frame >= start) & (mine.frame <= start + lasts + 1) & (mine.view != alone)
            mine = mine[~gone]
        parts.append(mine)
    out = Detections2D.concatenate(parts, rows.skeleton)
    return out[np.lexsort((out.view, out.frame))]


def _against(take: OneViewTake, refined: Poses3D) -> NDArray[np.float64]:
    """Rows of joints: provenance, views of the joint and of the person, s since two, error m, sigma m, and errors in
    standard deviations along the longest axis and the ray."""
    truth = {key: at for at, key in enumerate(zip(take.truth.frame.tolist(), take.truth.person.tolist(), strict=True))}
    at = np.array([truth.get(key, -1) for key in zip(refined.frame.tolist(), refined.person.tolist(), strict=True)])
    refined = refined[at >= 0]
    off = refined.xyz.astype(np.float64) - take.truth.xyz[at[at >= 0]]
    cov = full_covariance(refined.cov.astype(np.float64))
    seen = np.zeros((len(take.rig), *off.shape[:2]), np.bool_)
    row = {key: at for at, key in enumerate(zip(refined.frame.tolist(), refined.person.tolist(), strict=True))}
    place = np.array(
        [row.get(key, -1) for key in zip(take.rows.frame.tolist(), take.rows.person.tolist(), strict=True)]
    )
    seen[take.rows.view[place >= 0], place[place >= 0]] = take.rows.score[place >= 0] > 0
    persons = seen.any(2).sum(0)
    view = np.where(seen.any(0), seen.argmax(0), seen.any(2).argmax(0)[:, None])
    ray = refined.xyz - np.asarray(take.rig.positions)[view]
    known = np.isfinite(off).all(-1) & np.isfinite(cov).all((-1, -2))
    at_row = np.nonzero(known)[0]
    values, axes = np.linalg.eigh(cov[known])
    sigma = np.sqrt(values[:, 2])
    ray = ray[known] / np.linalg.norm(ray[known], axis=-1, keepdims=True)
    along = np.abs((ray * off[known]).sum(-1)) / np.sqrt(np.einsum("na,nab,nb->n", ray, cov[known], ray))
    worst = np.abs((axes[:, :, 2] * off[known]).sum(-1)) / sigma
    since_s = _since_two(refined, persons)[at_row] / take.rate_hz
    return np.stack([
        refined.provenance[known], seen.sum(0)[known], persons[at_row], since_s,
        np.linalg.norm(off[known], axis=-1), sigma, worst, along,
    ], -1)  # fmt: skip


def _since_two(poses: Poses3D, views: NDArray[np.integer]) -> NDArray[np.float64]:
    """Frames (M,) to the nearest one in which two views see the person."""
    out = np.full(len(poses), np.inf)
    for who in np.unique(poses.person):
        mine = np.flatnonzero(poses.person == who)
        two = poses.frame[mine[views[mine] > 1]]
        if len(two):
            out[mine] = np.abs(poses.frame[mine][:, None] - two).min(1)
    return out


def _add(section: Section, table: str, label: str, rows: Any) -> None:
    if len(rows) < 50:
        return
    row: Row = {"joints": label, "number": len(rows), "median mm": 1000 * float(np.median(rows[:, 4])),
                "sigma mm": 1000 * float(np.median(rows[:, 5]))}  # fmt: skip
    for name, column in (("worst", 6), ("ray", 7)):
        for share, limit in INSIDE.items():
            row[f"{name} {share}"] = 100 * float((rows[:, column] < limit).mean())
    section.add(table, row)
