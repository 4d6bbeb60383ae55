"""S7: the distance k that a crop's size tells, alone, times a constant, times a learned correction, or not used at all.

People of generated takes in random views, by simulated estimators. With a spread of statures of 0 % every body has one
size, which a network can know; with 6 % it cannot; the real one is that of the generated bodies, children among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benches.section import Options, Row, Section, say
from calib.arrays import Floats
from mvcap.datasets.people import TakeConfig, make_take
from mvcap.root_depths.distance_aware_features import FEATURES, JOINTS, person_crops
from mvcap.structures.anthropometry import body_scale
from mvcap.structures.view_track import ViewTrack
from mvcap.tasks.depth import view_tracks

NEAR_M = 0.25
"""Distance of a root from the true one up to which it counts as found (AP_root@25)."""
FIELDS_DEG = ((35.0, 60.0), (60.0, 85.0), (85.0, 110.0))
SPREADS = ("0 %", "6 %", "real")
_VIEWS, _EVERY, _LEAST_JOINTS = 8, 5, 4
_HELD_OUT = 7_000_000
_WIDTH, _BLOCKS, _RATE, _BATCH = 96, 2, 2e-3, 384


@dataclass(frozen=True)
class Budget:
    """How much is learned and measured."""

    takes: int
    held_out: int
    steps: int
    seeds: int


FULL, QUICK = Budget(250, 80, 1000, 3), Budget(20, 10, 40, 2)


@dataclass(frozen=True)
class Crops:
    """N people, each in one frame of one view."""

    node: Floats
    """(N, 26, 4)"""
    k_m: Floats
    """(N,)"""
    ray: Floats
    """(N, 3) unit ray through the middle of the detected hips, or of the crop"""
    root: Floats
    """(N, 3) m"""
    size: Floats
    """(N,) size of the body over that of an adult of 1.72 m"""
    draw: Floats
    """(N,) a standard normal number for each person of a take"""
    score: Floats
    image: Floats
    """(N,) number of the picture"""
    field_deg: Floats

    def scale(self, spread: str) -> Floats:
        """Return the factor (N,) on all lengths that gives statures this spread; the pictures stay the same."""
        factors = {"0 %": 1 / self.size, "6 %": np.exp(0.06 * self.draw) / self.size, "real": np.ones(len(self.size))}
        return factors[spread]

    def way(self, spread: str) -> Floats:
        """Return the true distances (N,) m."""
        return np.asarray(np.linalg.norm(self.root, axis=-1) * self.scale(spread))


def root_depth(options: Options, section: Section) -> None:
    """Add a row for each way to tell the distance and each spread of statures."""
    how = QUICK if options.quick else FULL
    say(f"seeds: S7, {how.takes} takes")
    train, test = crops_of("train", how.takes), crops_of("held_out", how.held_out)
    rows: dict[tuple[str, str], Row] = {}
    for spread in SPREADS:
        ratio = train.way(spread) / train.k_m
        fixed = {"k alone": test.k_m, "k times the best constant": test.k_m * np.median(ratio)}
        runs = {title: [figures(test, way, spread)] for title, way in fixed.items()}
        for title, kind in (("k times a learned correction", "k"), ("a network without k", "none"),
                            ("a network that is told k", "told")):  # fmt: skip
            say(f"seeds: S7, {title}, statures {spread}")
            runs[title] = [figures(test, learned(kind, train, test, spread, how, seed), spread)
                           for seed in range(how.seeds)]  # fmt: skip
        for title, some in runs.items():
            rows[title, spread] = {"who": title, "statures": spread, **_together(some)}
    for row in rows.values():
        section.add("S7: distance of the root from one view, people found by the estimator", row)
    section.facts += [*_verdicts(rows), (
        f"S7: {len(train.size)} crops to learn from, {len(test.size)} held out, {how.steps} steps, {how.seeds} seeds; "
        "AP: AP_root at 25 cm, matched in each picture; the direction is that of the detected hips in all rows"
    )]  # fmt: skip


def crops_of(split: str, takes: int) -> Crops:
    """People of generated takes in random views."""
    config = TakeConfig(split="train" if split == "train" else "held_out", people=(1, 4), cameras=(2, 2), frames=20)
    found: list[dict[str, Any]] = []
    for take_at in range(takes):
        seed = take_at + (_HELD_OUT if split != "train" else 0)
        take, rng = make_take(seed, config), np.random.default_rng([seed, 7])
        draw = rng.standard_normal(1000)
        for view in range(_VIEWS):
            for person, track, root in view_tracks(take.truth, take.rate_hz, rng):
                mine = take.truth[take.truth.person == person]
                size = float(np.median(body_scale(mine.skeleton, mine.xyz)))
                found.append({**_crop(track, root), "size": size, "draw": draw[person % 1000],
                              "image": (take_at * _VIEWS + view) * 1000, "rate": take.rate_hz})  # fmt: skip
    return Crops(
        *(np.concatenate([one[name] for one in found]) for name in ("node", "k_m", "ray", "root")),
        *(np.concatenate([np.full(len(one["k_m"]), one[name]) for one in found]) for name in ("size", "draw")),
        np.concatenate([one["score"] for one in found]),
        np.concatenate([one["image"] + np.rint(one["time_s"] * one["rate"]) for one in found]),
        np.concatenate([np.full(len(one["k_m"]), one["field"]) for one in found]),
    )


def _crop(track: ViewTrack, root: Floats) -> dict[str, Any]:
    """Every fifth frame of a track with enough joints."""
    crops = person_crops(track)
    frames = np.flatnonzero((crops.node[..., 3].sum(-1) >= _LEAST_JOINTS) & (root[:, 2] > 0))[::_EVERY]
    hips = [track.skeleton.joints.index(f"{side}_hip") for side in ("left", "right")
            if f"{side}_hip" in track.skeleton.joints]  # fmt: skip
    middle = track.rays()[frames][:, hips].sum(1)
    middle = np.where(np.isfinite(middle).all(-1, keepdims=True), middle, crops.axis[frames])
    field = 2 * np.rad2deg(np.arctan(max(track.lens.size) / 2 / track.lens.K[0, 0]))
    return {
        "node": crops.node[frames], "k_m": crops.k_m[frames], "root": root[frames], "field": field,
        "ray": middle / np.linalg.norm(middle, axis=-1, keepdims=True), "score": track.score[frames].mean(-1),
        "time_s": track.time_s[frames],
    }  # fmt: skip


def learned(kind: str, train: Crops, test: Crops, spread: str, how: Budget, seed: int) -> Floats:
    """Distances (N,) m of the held-out people by a network: times k, without k, or told k as one more feature."""
    import torch

    from mvcap.nn.root_depth import RootDepthNet

    def inputs(crops: Crops) -> Any:
        more = np.zeros((len(crops.node), 1, FEATURES), np.float32)
        more[:, 0, 0] = np.log(crops.k_m) if kind == "told" else 0
        return torch.from_numpy(np.concatenate([crops.node, more], 1).astype(np.float32))

    base = [crops.k_m if kind == "k" else np.full(len(crops.k_m), np.median(train.way(spread)))
            for crops in (train, test)]  # fmt: skip
    target = torch.from_numpy(np.log(train.way(spread) / base[0]).astype(np.float32))
    node, order = inputs(train), np.random.default_rng(seed)
    with threadpool_limits(1), torch.random.fork_rng():
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        network = RootDepthNet(len(JOINTS) + 1, FEATURES, _WIDTH, _BLOCKS)
        optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, how.steps)
        for _ in range(how.steps):
            some = torch.from_numpy(order.integers(len(node), size=_BATCH))
            loss = (network(node[some])[0] - target[some]).abs().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        with torch.inference_mode():
            found = network.eval()(inputs(test))[0].numpy()
    return np.asarray(base[1] * np.exp(found))


def figures(test: Crops, way: Floats, spread: str) -> dict[str, float]:
    """AP_root at 25 cm by field of view, and the mean distance of the roots with its parts, mm."""
    true = test.root * test.scale(spread)[:, None]
    found = test.ray * way[:, None]
    out = {"AP": average_precision(found, true, test.score, test.image)}
    for low, high in FIELDS_DEG:
        some = (test.field_deg >= low) & (test.field_deg < high)
        if some.any():
            name = f"AP {low:.0f}-{high:.0f}°"
            out[name] = average_precision(found[some], true[some], test.score[some], test.image[some])
    off = 1000 * np.abs(found - true)
    parts = dict(zip(("x mm", "y mm", "z mm"), off.mean(0).tolist(), strict=True))
    relative = np.abs(way / np.linalg.norm(true, axis=-1) - 1)
    return {**out, "MRPE mm": float(np.linalg.norm(found - true, axis=-1).mean() * 1000), **parts,
            "% of distance": float(100 * np.median(relative))}  # fmt: skip


def average_precision(found: Floats, true: Floats, score: Floats, image: Floats) -> float:
    """AP_root at 25 cm, %: of detections by descending score, each matched to the nearest root left in its picture.

    The area under precision over recall as a sum of rectangles, with the precision of the later point (the code of
    3DMPPE). People whom the estimator missed do not count.
    """
    left: dict[float, list[int]] = {}
    for at, number in enumerate(image.tolist()):
        left.setdefault(number, []).append(at)
    hits = np.zeros(len(found))
    for rank, at in enumerate(np.argsort(-score, kind="stable").tolist()):
        some = left[float(image[at])]
        away = np.linalg.norm(true[some] - found[at], axis=-1)
        if len(some) and away.min() < NEAR_M:
            hits[rank] = 1
            some.pop(int(away.argmin()))
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(100 * (precision * hits).sum() / max(len(true), 1))


def _together(runs: list[dict[str, float]]) -> Row:
    """Means, and the standard deviations of the two main figures where there are several seeds."""
    row: Row = {}
    for name in runs[0]:
        values = [run[name] for run in runs]
        row[name] = float(np.mean(values))
        if name in ("AP", "MRPE mm"):
            row[f"{name} ±"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return row


def _verdicts(rows: Mapping[tuple[str, str], Row]) -> list[str]:
    """Whether the correction helps over k alone, as the paper claims, and over the controls that it omits."""
    out = []
    for spread in SPREADS:
        best = rows["k times a learned correction", spread]
        for control in ("k alone", "k times the best constant", "a network without k", "a network that is told k"):
            gain = best["AP"] - rows[control, spread]["AP"]
            noise = float(np.hypot(best["AP ±"] or 0, rows[control, spread]["AP ±"] or 0))
            holds = "holds" if gain > 2 * noise else "fails" if gain < -2 * noise else "is not decided"
            out.append(f"S7, statures {spread}: the learned correction of k is better than {control}: {holds} "
                       f"({gain:+.1f} points of AP, spread {noise:.1f})")  # fmt: skip
    return out
