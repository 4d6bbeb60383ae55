"""How people in views are seen: what is measured of real and of generated rows alike, in figures and in a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvcap.metrics.association import actors
from mvcap.structures.detections import Detections2D, body_size
from mvcap.synthesis.detector_errors import GROUPS
from mvcap.synthesis.detector_joints import group_of

_SCORES = np.linspace(0, 1, 21)


@dataclass(frozen=True)
class Scene:
    """Rows and who is known to be there."""

    rows: Detections2D
    true: Detections2D
    """Where joints are in the views, NaN outside the picture; person = who."""
    hidden: NDArray[np.bool_]
    """(M', J') of ``true``: behind a body."""
    pictures: int
    unknown: NDArray[np.bool_]
    """(M,) rows that may be of people who are there and not in ``true``."""


def measured(of: Scene) -> dict[str, Any]:
    """Figures and distributions of a scene's rows."""
    who = actors(of.rows, of.true)
    true_row = {key: at for at, key in enumerate(zip(*_keys(of.true, of.true.person), strict=True))}
    at = np.array([true_row.get(key, -1) for key in zip(*_keys(of.rows, who), strict=True)], np.int64)
    known = np.flatnonzero(at >= 0)
    names = [joint for joint in of.rows.skeleton.joints if joint in of.true.skeleton.joints]
    a, b = ([one.skeleton.index(name) for name in names] for one in (of.rows, of.true))
    off = (of.rows.xy[known][:, a] - of.true.xy[at[known]][:, b]).astype(float)
    unit = off / of.rows.noise_px[known][:, a][..., None]
    group = group_of(of.rows.skeleton)[a]
    out = {"names": names, "group": group, "score": of.rows.score[known][:, a], "hidden": of.hidden[at[known]][:, b],
           "ratio": np.linalg.norm(unit, axis=-1), "size": body_size(of.true.box)[at[known]]}  # fmt: skip
    out["share"] = np.linalg.norm(off, axis=-1) / out["size"][:, None]
    out |= _shares(of, at, known, a, b, group) | _false(of, at) | _likeness(of, unit, off, at, known, a)
    return out


def _keys(rows: Detections2D, who: NDArray[np.integer]) -> tuple[list[int], ...]:
    return rows.frame.tolist(), rows.view.tolist(), who.tolist()


def _shares(
    of: Scene, at: NDArray[np.int64], known: NDArray[np.int64], a: list[int], b: list[int], group: NDArray[np.int64]
) -> dict[str, Any]:
    """How often people and joints are missing, and how many rows they have."""
    rows = np.bincount(at[known], minlength=len(of.true))
    given = np.isfinite(of.rows.xy[known][:, a, 0])
    times = np.zeros((len(of.true), len(a)), int)
    np.add.at(times, at[known], given)
    there, behind = np.isfinite(of.true.xy[:, b, 0]), of.hidden[:, b]
    someone = there.sum(1) >= 3
    visible = (there & ~behind).sum(1) / len(b)
    bins = np.clip((visible * 5).astype(int), 0, 4)
    found = someone & (rows > 0)
    missing = {}
    for word, which in (("seen", ~behind), ("hidden", behind)):
        use = there & which & found[:, None]
        missing[word] = [float((times == 0)[:, group == g][use[:, group == g]].mean()) if use[:, group == g].any()
                         else np.nan for g in range(len(GROUPS))]  # fmt: skip
    most = np.zeros(len(of.true), int)
    np.maximum.at(most, at[known], given.sum(1))
    second = given.sum(1) < most[at[known]]
    return {
        "person missed": [float((rows == 0)[someone & (bins == k)].mean()) if (someone & (bins == k)).any() else np.nan
                          for k in range(5)],
        "people": int(someone.sum()), "missing": missing,
        "rows": np.bincount(np.clip(rows[found], 1, 5), minlength=6)[1:] / max(found.sum(), 1),
        "twice": float((times[found] > 1).sum() / max((times[found] > 0).sum(), 1)),
        "fragment joints": given.sum(1)[second], "joints": most[found],
    }  # fmt: skip


def _false(of: Scene, at: NDArray[np.int64]) -> dict[str, Any]:
    """Rows that are false positives."""
    false = (at < 0) & ~of.unknown
    score = of.rows.score[false]
    return {"false": float(false.sum() / of.pictures), "false score": score[score > 0],
            "false joints": (score > 0).sum(1)}  # fmt: skip


def _likeness(
    of: Scene, unit: NDArray[np.float64], off: NDArray[np.float64], at: NDArray[np.int64], known: NDArray[np.int64],
    a: list[int],
) -> dict[str, Any]:  # fmt: skip
    """How much errors have in common within a row and from frame to frame, and how often sides are exchanged."""
    z = np.clip(unit - np.nanmedian(unit, (0, 1)), -3, 3)
    total, count = np.nansum(z, 1), np.isfinite(z[..., 0]).sum(1)
    square = np.nansum(z**2, 1)
    pairs = (count * (count - 1))[:, None]
    within = (total**2 - square).sum() / max(pairs.sum() * 2, 1) / np.nanmean(z**2)
    keys = zip(*_keys(of.rows[known], of.true.person[at[known]]), strict=True)
    place = {key: row for row, key in enumerate(keys) if count[row] > len(a) // 2}
    both = [(row, place[f + 1, v, p]) for (f, v, p), row in place.items() if (f + 1, v, p) in place]
    after = {}
    if both:
        one, two = np.array(both).T
        after["lag"] = float(np.nanmean(z[one] * z[two]) / np.nanmean(z**2))
    kind, swaps = of.rows.skeleton, {}
    mirror = [a.index(kind.mirror[j]) if kind.mirror[j] in a else k for k, j in enumerate(a)]
    true = of.true.xy[at[known]][:, [of.true.skeleton.index(kind.joints[j]) for j in a]]
    crossed = np.linalg.norm(of.rows.xy[known][:, a] - true[:, mirror], axis=-1)
    plain = np.linalg.norm(off, axis=-1)
    for word, parts in (("legs", ("knee", "ankle")), ("arms", ("elbow", "wrist"))):
        limb = [k for k, j in enumerate(a) if kind.joints[j].partition("_")[2] in parts]
        with np.errstate(invalid="ignore"):
            one, two = plain[:, limb].mean(1), crossed[:, limb].mean(1)
        seen_apart = np.isfinite(one + two) & (np.maximum(one, two) > 0.12 * body_size(of.true.box)[at[known]])
        swaps[word] = float((two < 0.5 * one)[seen_apart].mean()) if seen_apart.any() else np.nan
    return {"within": float(within), **after, "swaps": swaps}


# --- what is shown ---------------------------------------------------------------------------------------------------


def told(name: str, real: dict[str, Any], model: dict[str, Any]) -> None:
    """Print the figures of both."""
    print(f"\n{name}: real | model")
    for word, value in _LINES.items():
        print(f"  {word:34s} {value(real)} | {value(model)}")


def _of(values: Any, digits: int = 2) -> str:
    return " ".join(f"{value:.{digits}f}" for value in np.ravel(values))


def _quantiles(values: NDArray[np.floating], shares: tuple[float, ...], digits: int = 2) -> str:
    known = values[np.isfinite(values)]
    return _of(np.quantile(known, shares), digits) if len(known) else "-"


def _by_group(m: dict[str, Any], values: NDArray[np.floating]) -> str:
    some = [values[:, m["group"] == group] for group in range(len(GROUPS))]
    return _of([np.nanmedian(one) if np.isfinite(one).any() else np.nan for one in some])


def _by_score(m: dict[str, Any]) -> str:
    some = [m["ratio"][(m["score"] > low) & (m["score"] <= low + 0.2)] for low in np.arange(0, 1, 0.2)]
    return _of([np.nanmedian(one) if np.isfinite(one).any() else np.nan for one in some])


def _scores(m: dict[str, Any]) -> NDArray[np.floating]:
    return np.where(m["score"] > 0, m["score"], np.nan)


_RATIO = (0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 0.99)
_THREE = (0.1, 0.5, 0.9)
_LINES: dict[str, Callable[[dict[str, Any]], str]] = {
    "people x views": lambda m: str(m["people"]),
    "ratio seen, 10 25 50 75 90 97 99 %": lambda m: _quantiles(m["ratio"][~m["hidden"]], _RATIO),
    "ratio hidden": lambda m: _quantiles(m["ratio"][m["hidden"]], _RATIO),
    "median ratio by group": lambda m: _by_group(m, m["ratio"]),
    "median score by group": lambda m: _by_group(m, _scores(m)),
    "missing seen by group": lambda m: _of(m["missing"]["seen"]),
    "missing hidden by group": lambda m: _of(m["missing"]["hidden"]),
    "score seen 10 50 90 %": lambda m: _quantiles(_scores(m)[~m["hidden"]], _THREE),
    "score hidden": lambda m: _quantiles(_scores(m)[m["hidden"]], _THREE),
    "score false": lambda m: _quantiles(m["false score"], _THREE),
    "median ratio by score, fifths": _by_score,
    "hidden share of joints": lambda m: _of(m["hidden"][np.isfinite(m["ratio"])].mean()),
    "person missed by visible, fifths": lambda m: _of(m["person missed"]),
    "rows a person-view 1 2 3 4 5+": lambda m: _of(m["rows"], 3),
    "joints twice": lambda m: _of(m["twice"], 3),
    "joints of fragments, quartiles": lambda m: _quantiles(m["fragment joints"], (0.25, 0.5, 0.75), 0),
    "false rows a picture": lambda m: _of(m["false"], 3),
    "their joints, quartiles": lambda m: _quantiles(m["false joints"], (0.25, 0.5, 0.75), 0),
    "common in row, frame to frame": lambda m: _of([m["within"], m.get("lag", np.nan)]),
    "legs, arms exchanged": lambda m: _of(list(m["swaps"].values()), 3),
}


def drawn(name: str, real: dict[str, Any], model: dict[str, Any], path: Path) -> None:
    """Draw the distributions of both."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 4, figsize=(19, 8.5), layout="constrained")
    figure.suptitle(f"{name}: real (full lines) and model (dashed)")
    for one, dash in ((real, "-"), (model, "--")):
        ratio, score, behind = one["ratio"], one["score"], one["hidden"]
        for word, some, colour in (("seen", ~behind, "C0"), ("hidden", behind, "C3")):
            values = np.sort(ratio[some & np.isfinite(ratio)])
            axes[0, 0].plot(
                values, np.linspace(0, 1, len(values)), dash, color=colour, label=word if dash == "-" else None
            )
            axes[0, 1].plot(values, 1 - np.linspace(0, 1, len(values), endpoint=False), dash, color=colour)
            _bars(axes[0, 2], score[some & (score > 0)], dash, colour)
            axes[1, 1].plot(one["missing"][word], dash, marker="o", color=colour)
        _bars(axes[0, 2], one["false score"], dash, "0.5")
        edges = np.linspace(0.05, 0.95, 10)
        middle = [np.nanmedian(ratio[np.abs(score - edge) < 0.05]) for edge in edges]
        axes[0, 3].plot(edges, middle, dash, marker="o", color="C0")
        grouped = [ratio[:, one["group"] == g] for g in range(len(GROUPS))]
        high = [np.nanquantile(some, (0.5, 0.9)) if np.isfinite(some).any() else (np.nan,) * 2 for some in grouped]
        axes[1, 0].plot(np.array(high), dash, marker="o")
        axes[1, 2].plot(np.bincount(one["joints"], minlength=27) / len(one["joints"]), dash, color="C0")
        axes[1, 2].plot(
            np.bincount(one["fragment joints"], minlength=27) / max(len(one["joints"]), 1), dash, color="C1"
        )
        axes[1, 3].plot(one["person missed"], dash, marker="o", color="C0")
        axes[1, 3].plot(np.arange(5), one["rows"], dash, marker="s", color="C2")
    axes[0, 0].set(xlim=(0, 8), title="residual / stated noise, cumulative")
    axes[0, 0].legend()
    axes[0, 1].set(xscale="log", yscale="log", ylim=(1e-3, 1), xlim=(0.1, 100), title="its tail: share above")
    axes[0, 2].set(title="scores: seen blue, hidden red, false grey")
    axes[0, 3].set(title="median residual / stated noise by score")
    axes[1, 0].set(title="residual / stated noise by group: median, 90 %")
    axes[1, 1].set(title="share of joints missing by group: seen blue, hidden red")
    for axis in axes[1, :2]:
        axis.set_xticks(range(len(GROUPS)), GROUPS, rotation=45)
    axes[1, 2].set(title="joints of the largest row; orange: of others")
    axes[1, 3].set(title="blue: people missed by visible share; green: 1 2 ... rows")
    figure.savefig(path, dpi=70)
    plt.close(figure)


def _bars(axis: Any, values: NDArray[np.floating], dash: str, colour: str) -> None:
    count = np.histogram(values, _SCORES)[0] / max(len(values), 1)
    axis.plot((_SCORES[1:] + _SCORES[:-1]) / 2, count, dash, color=colour)
