"""Picture of cost against cameras and against people."""

from __future__ import annotations

from pathlib import Path

from benches.section import Row


def draw(by_cameras: list[Row], by_people: list[Row], path: Path) -> None:
    """Write a PNG of two plots: CPU ms a frame by the number of cameras and by the number of people."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    series = {"good": "associate + triangulate", "fair": "... fair calibration", "bad": "... bad calibration",
              "refine, all people": "refine"}  # fmt: skip
    for axis, rows, along, what in zip(
        axes, (by_cameras, by_people), ("cameras", "people"), ("4 people", "8 cameras"), strict=True
    ):
        for key, label in series.items():
            if key in rows[0]:
                axis.plot([row[along] for row in rows], [row[key] for row in rows], "o-", label=label)
        axis.set(xlabel=along, ylabel="CPU ms a frame, one thread", title=what, ylim=(0, None))
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
