"""Picture of association against the number of cameras."""

from __future__ import annotations

from pathlib import Path

from benches.section import Row


def draw(rows: list[Row], path: Path) -> None:
    """Write a PNG of F1 and of false people a frame by the number of cameras: a line for each associator and crowd."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
    styles = {"geometry": ("C0", "o"), "graph": ("C1", "s")}
    kinds = sorted({(row["people"], row["who"]) for row in rows})
    for axis, key, words in zip(
        axes, ("F1", "false a frame", "ms a frame"), ("F1 of association", "false people a frame", "CPU ms a frame"),
        strict=True,
    ):  # fmt: skip
        for people, who in kinds:
            mine = [row for row in rows if (row["people"], row["who"]) == (people, who)]
            colour, mark = styles[who]
            line = "-" if people == kinds[-1][0] else ":"
            axis.plot([row["cameras"] for row in mine], [row[key] for row in mine], color=colour, marker=mark,
                      linestyle=line, label=f"{who}, {people} people")  # fmt: skip
        axis.set(xlabel="cameras", ylabel=words)
        axis.grid(alpha=0.3)
    for axis in axes[1:]:
        axis.set_ylim(bottom=0)
    axes[0].legend(fontsize=8, loc="lower right")
    figure.suptitle("generated crowds on unseen rigs, the same weights for all", fontsize=10)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
