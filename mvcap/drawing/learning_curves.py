"""Learning curves of a training run: the loss and each metric on held-out samples, over the steps."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_COLUMNS = 3
_LOSS, _HELD_OUT, _FAINT = "#0072b2", "#d55e00", "#d8d8d8"


def learning_curves(lines: Sequence[Mapping[str, Any]], title: str) -> bytes:
    """Return a PNG of the lines of ``metrics.jsonl``: training and held-out loss, then each held-out metric."""
    from matplotlib.figure import Figure

    names = [name for name in (lines[-1]["held_out"] if lines else ()) if name != "loss"]
    rows = -(-(1 + len(names)) // _COLUMNS)
    columns = min(_COLUMNS, 1 + len(names))
    figure = Figure(figsize=(3.6 * columns + 0.4, 2.5 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    steps = [line["step"] for line in lines]
    loss, held_out = [line["loss"] for line in lines], [line["held_out"].get("loss", np.nan) for line in lines]
    panels[0].plot(steps, loss, color=_LOSS, label="training")
    panels[0].plot(steps, held_out, color=_HELD_OUT, label="held out, averaged weights")
    if all(value > 0 for value in loss):
        panels[0].set_yscale("log")
    panels[0].set_title("loss", loc="left", fontsize=10)
    panels[0].legend(frameon=False, fontsize=8)
    for axes, name in zip(panels[1:], names, strict=False):
        values = [line["held_out"].get(name, np.nan) for line in lines]
        axes.plot(steps, values, color=_HELD_OUT)
        axes.set_title(f"{name}: {values[-1]:.4g}", loc="left", fontsize=10, parse_math=False)
    for axes in panels:
        axes.grid(color=_FAINT, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(which="both", labelsize=8)
        axes.set_xlabel("step", fontsize=9)
    for axes in panels[1 + len(names) :]:
        axes.remove()
    figure.suptitle(title, fontsize=11, x=0.01, ha="left", parse_math=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, facecolor="white")
    return buffer.getvalue()
