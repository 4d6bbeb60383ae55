"""S9: a top-down and a bottom-up reading of one person as one, beside each alone and their inverse-covariance mean."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benches.section import Options, Row, Section, say
from benches.seeds_training import together
from calib.arrays import Floats
from mvcap.datasets.people import TakeConfig, make_take
from mvcap.errors import StaleError
from mvcap.integration.body_readings import BodyReadings
from mvcap.integration.people_apart import body_penetration, front_odds, move_apart
from mvcap.integration.reading_match import match_readings, reading_similarity
from mvcap.integration.reading_mix import BODY, ReadingMixer
from mvcap.progress import silent
from mvcap.structures.synthetic_take import SyntheticTake
from mvcap.synthesis.detector_errors import OPENPOSE
from mvcap.synthesis.detector_simulator import simulate_detector
from mvcap.synthesis.random_rigs import random_rig
from mvcap.synthesis.scenes import random_scene
from mvcap.tasks.integrate import IntegrateTask, mix_figures
from mvcap.training.lifted_readings import LiftedTake
from mvcap.training.loop import Learner, TrainConfig, seeded
from mvcap.training.reading_models import ReadingErrors, ReadingPair, random_errors, reading_pair
from mvcap.training.samples import Samples, Source, prepare

CONTROLS = (
    ("first", "top-down alone"), ("second", "bottom-up alone"), ("mean", "inverse-covariance mean (fair control)"),
    ("oracle", "oracle: the nearer to the truth (not a method)"), ("mixed", "+ integration"),
)  # fmt: skip
COLUMNS = {
    "hidden mm": "mm_hidden", "mm": "mm_all", "hidden in 68 %": "inside_68_hidden",
    "hidden in 95 %": "inside_95_hidden", "in 68 %": "inside_68_all", "in 95 %": "inside_95_all",
}  # fmt: skip
"""Column -> end of the metric's name."""
TAUGHT = "S9: integration, networks of this budget, joints that both read; hidden: by another person"
LIFTED = "S9: integration with the shipped lifter temporal, pose maps of 45 mm; shipped weights"
APART = "S9: two people close together, distances of roots off by 6 % each"
STATURE = 0.06
"""Relative standard deviation of a root's distance that one view leaves: of adults' statures."""


@dataclass(frozen=True)
class MixBudget:
    """How much is learned and measured."""

    takes: int
    held_out: int
    steps: int
    seeds: int
    lifted: int
    """Takes of each seed that the shipped lifter lifts."""
    close: int
    """Scenes of each seed with people close together."""


FULL, QUICK = MixBudget(120, 30, 800, 3, 8, 60), MixBudget(10, 4, 20, 2, 1, 3)


def integration_section(options: Options, section: Section) -> None:
    """Add the tables of the integration."""
    how = QUICK if options.quick else FULL
    runs = [taught_figures(options, how, seed) for seed in range(how.seeds)]
    section.tables[TAUGHT] = mix_rows(runs)
    lifted = [lifted_figures(how, seed) for seed in range(how.seeds)]
    section.tables[LIFTED] = mix_rows(lifted)
    close = [apart_figures(how, seed) for seed in range(how.seeds)]
    section.tables[APART] = [{"roots": name, **together(_shared([run[name] for run in close]))} for name in close[0]]
    section.facts += [claim(runs, "networks of this budget"), claim(lifted, "shipped lifter and weights")]
    section.facts += [matched_line(how), front_line(how)]
    section.facts.append(
        f"S9: {how.steps} steps on {how.takes} takes, {how.seeds} seeds. Each reading has its own root, and nothing is "
        "fitted to the truth. The published gain, PCK_abs 45.7 to 48.0, has depths fitted to the truth: not comparable"
    )


def _shared(runs: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    """The figures that all runs have."""
    return [{name: run[name] for name in runs[0] if all(name in other for other in runs)} for run in runs]


def mix_rows(runs: Sequence[dict[str, float]]) -> list[Row]:
    """A row for each control and the integration: errors and shares inside ellipsoids, mean and spread of seeds."""
    out: list[Row] = []
    for name, title in CONTROLS:
        held = [{key: run[f"{name}_{end}"] for key, end in COLUMNS.items() if f"{name}_{end}" in run} for run in runs]
        out.append({"who": title, **together(_shared(held))})
    return out


def claim(runs: Sequence[dict[str, float]], name: str) -> str:
    """A line on whether the integration beats each fair control on hidden joints, by the differences of seeds."""
    said = []
    for short, title in CONTROLS[:3]:
        gains = np.array([run[f"{short}_mm_hidden"] - run["mixed_mm_hidden"] for run in runs])
        gain, spread = float(gains.mean()), float(np.std(gains, ddof=1)) if len(gains) > 1 else float("nan")
        holds = "holds" if gain > 2 * spread else "fails" if gain < -2 * spread else "is not decided"
        said.append(f"beats {title} {holds} ({gain:+.1f} mm, spread {spread:.1f})")
    return f"S9, hidden joints, {name}: integration " + "; ".join(said)


def taught_figures(options: Options, how: MixBudget, seed: int) -> dict[str, float]:
    """Metrics of a network taught with this budget and seed."""
    train, held_out = _samples(options, how)
    task, place = IntegrateTask(), options.work / f"integration-run-{seed}"
    config = TrainConfig(steps=how.steps, takes=how.takes, threads=1, measure_s=1e6, measured=8)
    place.mkdir(parents=True, exist_ok=True)
    with threadpool_limits(1), seeded(seed, 1):
        learner = Learner(task, task.network(), config, seed, "cpu")
        learner.learn(train, held_out, place, "bench", silent, lambda line: None)
        found = task.metrics(learner.average, held_out)
    shutil.rmtree(place)
    say(f"seeds: integration, seed {seed}: {found.get('mixed_mm_hidden', float('nan')):.1f} mm of hidden joints")
    return found


def _samples(options: Options, how: MixBudget) -> tuple[Samples, Samples]:
    folder, take = options.work / f"integration-{how.takes}-{how.held_out}", dict(IntegrateTask.defaults["take"])
    sources = [Source("mvcap.tasks.integrate:IntegrateTask", split, count, 0, take)
               for split, count in (("train", how.takes), ("held_out", how.held_out))]  # fmt: skip
    try:
        train, held_out = prepare(sources, folder, 1, silent)
    except StaleError:
        shutil.rmtree(folder)
        train, held_out = prepare(sources, folder, 1, silent)
    return train, held_out


# --- the shipped lifter ----------------------------------------------------------------------------------------------


def lifted_figures(how: MixBudget, seed: int) -> dict[str, float]:
    """Metrics of the shipped network with readings of the shipped lifter and of pose maps, on generated takes."""
    mixers = {"mean": ReadingMixer(learned=False), "mixed": ReadingMixer()}
    rows = []
    for number in range(how.lifted):
        detector = replace(OPENPOSE, skeleton=BODY.name)
        config = TakeConfig("held_out", (3, 5), (2, 2), 36, (12.0, 12.0), detector=detector)
        take = make_take(200_000 + 100 * seed + number, config)
        rng = np.random.default_rng([seed, number])
        for pair in lifted_pairs(take, 0, rng):
            rows += joint_rows(pair, mixers)
    say(f"seeds: integration with the shipped lifter, seed {seed}: {sum(map(len, rows))} joints")
    return mix_figures(rows)


def lifted_pairs(take: SyntheticTake, view: int, rng: np.random.Generator) -> Iterator[ReadingPair]:
    """Pairs of some frames of a view, the lifter's reading and that of pose maps, about the middle of the hips."""
    errors, lifter = ReadingErrors(1.0, (1.0, 1.0), 0.045, False, 1.0, 0.0), LiftedTake(take, view)
    for frame in range(4, 36, 6):
        pair = reading_pair(take, view, frame, errors, rng)
        if pair is not None:
            yield lifter.pair(pair, frame)


def joint_rows(pair: ReadingPair, mixers: dict[str, ReadingMixer]) -> list[NDArray[Any]]:
    """Rows (N, 10) of joints that both read: hidden; mm of first, second, mean, oracle, mixed; squared distances."""
    args = (pair.first, pair.second, pair.rays, pair.covered, pair.nearer)
    parts = [pair.first, pair.second, *(mixer(*args).readings for mixer in mixers.values())]
    both = pair.first.known & pair.second.known
    if not both.any():
        return []
    far, square = [], []
    for one in parts:
        error = (one.joints - pair.truth)[both]
        far.append(1000 * np.linalg.norm(error, axis=-1))
        square.append((error * np.linalg.solve(one.covariance[both], error[..., None])[..., 0]).sum(-1))
    far.insert(3, np.minimum(far[0], far[1]))
    return [np.stack([pair.hidden[both], *far, *square], -1)]


# --- matching, and bodies apart --------------------------------------------------------------------------------------


def close_pairs(seed: int, scenes: int) -> Iterator[ReadingPair]:
    """Three people each in rooms of 1.5 to 2.5 m, as two cameras see them."""
    rng = np.random.default_rng([seed, 9])
    for _ in range(scenes):
        truth = random_scene(rng, 3, 5.0, 2.0, "held_out", room_m=(1.5, 2.5))
        rig = random_rig(rng, 2)
        rows, whose = simulate_detector(OPENPOSE.randomised(rng), truth, rig, rng, 2.0)
        take, errors = SyntheticTake(truth, rig, rig, 2.0, rows, whose), replace(random_errors(rng), direct=True)
        for view in range(2):
            for frame in range(0, 10, 2):
                pair = reading_pair(take, view, frame, errors, rng)
                if pair is not None and len(pair.person) > 1:
                    yield pair


def apart_figures(how: MixBudget, seed: int) -> dict[str, dict[str, float]]:
    """Shares of pairs of people in each other and in the wrong order, and errors of roots, before and after."""
    rng, counts = np.random.default_rng([seed, 10]), {}
    for pair in close_pairs(seed, how.close):
        far = np.linalg.norm(pair.root, axis=-1)
        root = pair.root * (1 + STATURE * rng.standard_normal((len(far), 1)))
        root = root + 0.01 * far[:, None] * rng.standard_normal(root.shape)
        sigma = (STATURE * far, 0.01 * far)
        front = front_odds(BODY, pair.first.joints + root[:, None], pair.score)
        ways = {"as placed": root}
        for name, evidence in (("moved apart", None), ("moved apart, by who hides whom too", front)):
            ways[name] = move_apart(BODY, pair.first.joints, root, *sigma, evidence).root
        deep = body_penetration(BODY, pair.first.joints + root[:, None])
        for name, roots in ways.items():
            counts.setdefault(name, []).append(_pairs_of(pair, roots, deep))
        counts.setdefault("truth", []).append(_pairs_of(pair, pair.root, deep, pair.truth))
    return {name: _apart_row(np.concatenate(rows)) for name, rows in counts.items()}


def _pairs_of(pair: ReadingPair, root: Floats, deep: Floats, joints: Floats | None = None) -> Floats:
    """Rows (N, 4) of two people: in each other, in the wrong order, error of roots in mm, if placed in each other."""
    body = pair.first.joints if joints is None else joints
    inside = body_penetration(BODY, body + root[:, None])
    far, true = np.linalg.norm(root, axis=-1), np.linalg.norm(pair.root, axis=-1)
    off = 1000 * np.linalg.norm(root - pair.root, axis=-1)
    one, other = np.triu_indices(len(far), 1)
    wrong = (far[one] < far[other]) != (true[one] < true[other])
    return np.stack([inside[one, other] > 0.01, wrong, 0.5 * (off[one] + off[other]), deep[one, other] > 0.01], -1)


def _apart_row(rows: Floats) -> dict[str, float]:
    placed = rows[rows[:, 3] > 0]
    out = {"in each other %": 100 * rows[:, 0].mean(), "wrong order %": 100 * rows[:, 1].mean(),
           "root mm": rows[:, 2].mean()}  # fmt: skip
    if len(placed):
        out |= {"wrong order of those placed in each other %": 100 * placed[:, 1].mean(),
                "their root mm": placed[:, 2].mean()}  # fmt: skip
    return {name: float(value) for name, value in out.items()}


def matched_line(how: MixBudget) -> str:
    """A line on how often readings are matched right, by the picture alone and with 3D."""
    from scipy.optimize import linear_sum_assignment

    rng, flat, both, count = np.random.default_rng(3), 0, 0, 0
    for pair in close_pairs(99, how.close):
        order = rng.permutation(len(pair.person))
        xy = (pair.xy + rng.normal(0, 3.0, pair.xy.shape))[order]
        second = pair.second[order]
        nothing = BodyReadings(BODY, np.full_like(second.joints, np.nan), second.covariance, second.score)
        _, column = linear_sum_assignment(reading_similarity(pair.first, pair.detected, nothing, xy), maximize=True)
        flat += int((order[column] == np.arange(len(order))).sum())
        pairs = match_readings(pair.first, pair.detected, second, xy)
        both += int((order[pairs[:, 1]] == pairs[:, 0]).sum())
        count += len(order)
    share = 100 / max(count, 1)
    return (f"S9, people close together: {share * both:.1f} % of {count} readings matched to the right person by the "
            f"picture and 3D, {share * flat:.1f} % by the picture alone")  # fmt: skip


def front_line(how: MixBudget) -> str:
    """A line on how often the evidence of who hides whom is right, beside what it states."""
    rng, stated, right = np.random.default_rng(4), [], []
    for pair in close_pairs(98, how.close):
        far = np.linalg.norm(pair.root, axis=-1)
        places = pair.first.joints + (pair.root * (1 + STATURE * rng.standard_normal((len(far), 1))))[:, None]
        odds = front_odds(BODY, places, pair.score)
        for one, other in zip(*np.triu_indices(len(far), 1), strict=True):
            if abs(odds[one, other]) > 0.1:
                stated.append(1 / (1 + np.exp(-abs(odds[one, other]))))
                right.append((odds[one, other] > 0) == (far[one] < far[other]))
    if not right:
        return "S9, who hides whom: no two people cover each other"
    return (f"S9, who hides whom: right about who is in front in {100 * np.mean(right):.1f} % of {len(right)} pairs, "
            f"states {100 * np.mean(stated):.1f} %")  # fmt: skip
