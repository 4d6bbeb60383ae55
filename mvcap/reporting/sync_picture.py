"""A picture of the evidence of ``mvcap sync``: the score of every delay, for each method and pair of views."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from calib.arrays import Floats
from mvcap.structures.sync_evidence import SyncEvidence

_COLUMNS, _MOST = 4, 60


def draw_evidence(path: Path, names: tuple[str, ...], evidence: Mapping[str, SyncEvidence], late_s: Floats) -> None:
    """Write a PNG with one plot of each pair: the curve, and a line at the delay that was found from all evidence."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = [(method, pair) for method, one in evidence.items() for pair in one.pairs if len(pair.delay_s)][:_MOST]
    rows = max(-(-len(curves) // _COLUMNS), 1)
    figure = Figure(figsize=(4.2 * _COLUMNS, 2.4 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axis in axes[len(curves) :]:
        axis.set_axis_off()
    for axis, (method, pair) in zip(axes, curves, strict=False):
        at = np.flatnonzero(pair.score != 0)
        kept = slice(int(at[0]), int(at[-1]) + 1) if len(at) else slice(None)
        axis.plot(pair.delay_s[kept], pair.score[kept], linewidth=0.8, color="#2166ac")
        told = late_s[pair.b] - late_s[pair.a]
        if np.isfinite(told):
            axis.axvline(told, color="#b2182b", linewidth=0.9, linestyle="--")
        axis.set_title(f"{method}: {names[pair.b]} after {names[pair.a]}", fontsize=8)
        axis.set_xlabel("delay, s", fontsize=7)
        axis.set_ylabel(pair.what, fontsize=7)
        axis.tick_params(labelsize=6)
    figure.savefig(path, dpi=90, format="png")
