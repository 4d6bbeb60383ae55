"""Which cameras have moved, and since when, from a take of free points: one after the other, each tested in three ways.

A change is kept where the evidence, clustered in time and by groups of points, hardly comes about without it; where it
matters in the volume; and where it fits better at moments that were not used to fit it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from calib.arrays import Bools, Floats
from calib.changes.events import Event, in_volume
from calib.changes.evidence import CHANGE
from calib.changes.free_points import (
    EDGE,
    MODELS,
    Clustered,
    FreeTake,
    Guess,
    Hypothesis,
    Soft,
    free_dimensions,
    guesses,
)
from calib.changes.steps import fit_changes

_TRIED = 3  # cameras whose hypotheses are refined fully
_TIE = 14.0  # twice the log likelihood ratio by which the best camera has to exceed another
_SIMPLER = 16.0  # the same for a model with more numbers
_FLAT = 14.0  # twice the log likelihood ratio below which a change is not examined further
_RARER = {"turned": -7.0, "shifted": 16.0, "zoomed": 16.0}  # the same for a model: a bump turns a camera
_FOLDS = 4
_FAR_DEG, _FAR_M = 20.0, 1.0  # largest change of a camera by which its people are still found
_AGREE = 3.0  # times the typical residual of the others that a moved camera may have
_HELD_OUT = 0.05  # largest probability that held-out moments fit better by accident
_JOINTS_M = 0.018  # estimators differ by so much about where a joint is: a smaller displacement is no alarm
_LIKELY = 0.95
_FREEDOM = 0.6  # of the cells in one direction of clustering: effective degrees of freedom of the covariance


@dataclass(frozen=True, eq=False)
class FoundChange:
    """A change of a camera with its model, covariance (7, 7) and the probability that noise alone produces as much.

    rivals: cameras that explain it as well. held_out: probability that blocks of moments which its fit left out fit
    better by accident.
    """

    event: Event
    model: str
    covariance: Floats
    chance: float
    rivals: tuple[int, ...]
    held_out: float


@dataclass(frozen=True, eq=False)
class FreeSearch:
    """The changes found, the take without and with them, and the cameras refused as they fit no better held out.

    many: more cameras have moved than have not, so none can be named. detectable_m (C,): smallest turn that would have
    been found, as a displacement at the points.
    """

    take: FreeTake
    changes: tuple[FoundChange, ...]
    before: Soft
    found: Hypothesis
    many: bool
    detectable_m: Floats


def search_free(take: FreeTake, false_alarms: float, matters_m: float) -> FreeSearch:
    """Find the changes of cameras in a take, the one that explains most first."""
    base = take.refine((), ())
    before, facts, many = base.soft, [], False
    for _ in range(len(take.rig) + 1):
        trial = _best_trial(take, base)
        if trial is None:
            break
        models, rivals = trial
        chances = [change_chance(take, one, take.clustered(one)) for one in models]
        # A bump turns a camera: what looks like no turn needs more evidence.
        needed = false_alarms if chances[-1] <= false_alarms or models[0].models[-1] == "turned" else false_alarms**3
        row = next((row for row, chance in enumerate(chances) if chance <= needed), None)
        if row is None:
            break
        hypothesis, chance = models[row], chances[row]
        event = hypothesis.events[-1]
        if in_volume(event.motion, hypothesis.cells.spread[event.camera]) < max(matters_m, _JOINTS_M):
            break
        if not _is_plausible(hypothesis):
            break
        held_out = held_out_chance(take, base, hypothesis)
        if held_out > _HELD_OUT or chance * held_out > false_alarms**2:
            break
        hypothesis = _dated(take, base, hypothesis)
        share = hypothesis.events[-1].since / len(take.index)
        if 0 < share < EDGE or share > 1 - EDGE:
            break
        base = hypothesis
        take.excess = take.excess_of(base.soft)
        facts.append((chance, rivals, held_out))
        moved = {one.camera for one in base.events}
        if len(take.rig) > 2 and 2 * len(moved) >= len(take.rig):
            many = True
            break
        if rivals and len(take.rig) == 2:
            break
    whole = take.clustered(base)
    found = tuple(
        FoundChange(event, model, whole.covariance[row], *facts[row])
        for row, (event, model) in enumerate(zip(base.events, base.models, strict=True))
    )
    return FreeSearch(take, found, before, base, many, _detectable(take, base, whole, false_alarms))


def _is_plausible(hypothesis: Hypothesis) -> bool:
    """Whether the camera of the last change is still near its place, and then agrees with the others about as well.

    Else its people are others than those of the other views: nothing is known of it.
    """
    event = hypothesis.events[-1]
    far = np.linalg.norm(event.motion[:3]) > np.deg2rad(_FAR_DEG) or np.linalg.norm(event.motion[3:6]) > _FAR_M
    typical = [float(np.median(of[of > 0])) if (of > 0).any() else np.nan for of in hypothesis.soft.size2]
    others = np.nanmedian(np.delete(typical, event.camera))
    return bool(not far and typical[event.camera] <= _AGREE**2 * others)


def _best_trial(take: FreeTake, base: Hypothesis) -> tuple[list[Hypothesis], tuple[int, ...]] | None:
    """The change that explains most in addition, in its best model and as a turn; other cameras that explain it as
    well."""
    best_of: dict[int, list[Guess]] = {}
    for guess in guesses(take, base.soft):
        best_of.setdefault(guess.event.camera, []).append(guess)
    cameras = sorted(best_of, key=lambda camera: -best_of[camera][0].gained)[:_TRIED]
    trials = {camera: _with(take, base, best_of[camera][0]) for camera in cameras}
    if not trials:
        return None
    order = sorted(trials, key=lambda camera: float(trials[camera].cost.sum()))
    best = trials[order[0]]
    if base.cost.sum() - best.cost.sum() < _FLAT * take.excess:
        return None
    turned = _timed(take, base, best, best_of[order[0]])
    best = _modelled(take, base, turned)
    gained = float(base.cost.sum() - best.cost.sum())
    rivals = [c for c in order[1:] if trials[c].cost.sum() < best.cost.sum() + min(_TIE * take.excess, gained / 2)]
    return [best] if best is turned else [best, turned], tuple(rivals)


def _with(take: FreeTake, base: Hypothesis, guess: Guess) -> Hypothesis:
    return take.refine((*base.events, guess.event), (*base.models, "turned"), base.soft.seen.start)


def _timed(take: FreeTake, base: Hypothesis, best: Hypothesis, mine: Sequence[Guess]) -> Hypothesis:
    """The change of a camera since before the take, or since a moment of it where that explains more."""
    whole = best.events[-1].since == 0
    other = next((_with(take, base, guess) for guess in mine if (guess.event.since == 0) != whole), best)
    early, late = (best, other) if whole else (other, best)
    return late if late.cost.sum() < early.cost.sum() - _SIMPLER * take.excess else early


def _modelled(take: FreeTake, base: Hypothesis, best: Hypothesis) -> Hypothesis:
    """The last change with the simplest model that explains nearly as much."""
    *events, event = best.events
    *models, model = best.models
    for other in (*(kind for kind in ("turned", "shifted") if kind != model), "zoomed"):
        start = replace(event, motion=np.zeros(CHANGE))
        trial = take.refine((*events, start), (*models, other), best.soft.seen.start)
        if trial.cost.sum() < best.cost.sum() - _RARER[other] * take.excess:
            best = trial
    if best.models[-1] == "zoomed":
        return best
    whole = take.refine(best.events, (*models, "moved"), best.soft.seen.start)
    return whole if whole.cost.sum() < best.cost.sum() - _SIMPLER * take.excess else best


def change_chance(take: FreeTake, hypothesis: Hypothesis, clustered: Clustered) -> float:
    """Probability that noise alone gives a last change as large, of all that were tried (Hotelling's T2)."""
    from scipy.special import fdtrc

    event, kept = hypothesis.events[-1], free_dimensions(hypothesis.models[-1])
    motion, cover = event.motion[kept], clustered.covariance[-1][np.ix_(kept, kept)]
    square = float(motion @ np.linalg.solve(cover, motion))
    turned = hypothesis.models[-1] == "turned"
    estimated = float(clustered.share[-1]) if turned and event.since == 0 else 1.0
    count, freedom = len(motion), _freedom(take, estimated, event.since)
    tried = len(take.rig) * (take.blocks if event.since else 1)
    tried *= 1 if turned else len(MODELS)
    return min(1.0, tried * float(fdtrc(count, freedom - count + 1, square * (freedom - count + 1) / freedom / count)))


def _freedom(take: FreeTake, estimated: float, since: int = 0) -> float:
    """Degrees of freedom of the covariance of a change, which has few blocks on one side where it is early or late.

    estimated: share of the covariance that comes from cells; the rest is known (Satterthwaite's approximation).
    """
    share = since / len(take.index)
    cells = max(_FREEDOM * (take.groups + take.blocks) * (4 * share * (1 - share) if since else 1.0), 7.0)
    return cells / min(max(estimated, 0.05), 1.0) ** 2


def held_out_chance(take: FreeTake, base: Hypothesis, hypothesis: Hypothesis) -> float:
    """Probability (Student's t) that changes take away as much cost from blocks that their fit left out by accident."""
    from scipy.special import stdtr

    cells, event = hypothesis.cells, min(hypothesis.events[len(base.events) :], key=lambda one: one.since)
    blocks = len(cells.first) - 1
    block_of = np.searchsorted(cells.first, np.arange(len(take.index)), "right") - 1
    fold = np.arange(blocks) * _FOLDS // blocks if blocks < 2 * _FOLDS else (np.arange(blocks) // 2) % _FOLDS
    gain = np.zeros(blocks)
    for one in range(_FOLDS):
        events = _fitted_without(take, hypothesis, fold == one)
        moments = np.flatnonzero(fold[block_of] == one)
        cost = take.soft(events, hypothesis.soft.seen.start).cost
        gain += np.bincount(block_of[moments], (base.cost - cost)[moments], blocks)
    shown = (cells.information != 0).any((1, 2)) & (cells.first[:-1] >= event.since)
    gain = gain[shown]
    if len(gain) < 2:
        return 1.0
    return float(stdtr(len(gain) - 1, -gain.mean() / max(gain.std(ddof=1) / np.sqrt(len(gain)), 1e-12)))


def _fitted_without(take: FreeTake, hypothesis: Hypothesis, left_out: Bools) -> tuple[Event, ...]:
    """The changes fitted to the blocks that are not left out."""
    cells, steps = hypothesis.cells, take.steps(hypothesis.events, hypothesis.models, hypothesis.cells)
    used = ~left_out
    some = replace(cells, information=cells.information[used], score=cells.score[used])
    fit = fit_changes(some, take.prior, [replace(step, share=step.share[used]) for step in steps], take.excess)
    return tuple(
        replace(event, motion=event.motion + change * free_dimensions(model))
        for event, model, change in zip(hypothesis.events, hypothesis.models, fit.changes, strict=True)
    )


def _dated(take: FreeTake, base: Hypothesis, hypothesis: Hypothesis) -> Hypothesis:
    """The last change at the most likely moment, with a 95 % interval; refined again."""
    *events, event = hypothesis.events
    if event.since == 0:
        return hypothesis
    whole = take.soft((*events, replace(event, since=0, until=0)), hypothesis.soft.seen.start).cost
    gain = np.concatenate([np.cumsum((base.cost - whole)[::-1])[::-1], [0.0]]) / 2 / take.excess
    share = np.exp(gain - gain.max())
    upto = np.cumsum(share / share.sum())
    last = len(take.index) - 1
    first, since, final = (min(int(np.searchsorted(upto, at)), last) for at in (0.025, 0.5, 0.975))
    dated = replace(event, since=max(since, 1), until=max(since, 1), earliest=first, latest=max(final, since))
    return take.refine((*events, dated), hypothesis.models, hypothesis.soft.seen.start)


def _detectable(take: FreeTake, found: Hypothesis, whole: Clustered, false_alarms: float) -> Floats:
    """The smallest turn (C,) of each camera that would have been found, m at the points."""
    from scipy.special import fdtri

    out = np.full(len(take.rig), np.nan)
    for view in range(len(take.rig)):
        if not whole.cells.count[view]:
            continue
        trial = Event(view, 0, 0, np.zeros(CHANGE), 0, 0)
        others = [row for row, event in enumerate(found.events) if event.camera != view]
        events = (*(found.events[row] for row in others), trial)
        steps = take.steps(events, (*(found.models[row] for row in others), "turned"), whole.cells)
        fit = fit_changes(whole.cells, take.prior, steps, take.excess)
        covers, shares = take.covariances(fit)
        cover, freedom = covers[-1][:3, :3], _freedom(take, float(shares[-1]))
        need = 3 * freedom / (freedom - 2) * fdtri(3, freedom - 2, 1 - false_alarms / len(take.rig))
        root = np.linalg.cholesky(whole.cells.spread[view, :3, :3] + 1e-12 * np.eye(3))
        out[view] = np.sqrt(need * float(np.linalg.eigvalsh(root.T @ cover @ root)[-1]))
    return out


def moment_of(take: FreeTake, at: int, moments: int) -> int:
    """Moment of the whole take of a moment of the thinned one."""
    return int(take.index[at]) if at < len(take.index) else moments
