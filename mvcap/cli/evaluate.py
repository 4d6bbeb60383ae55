"""``mvcap evaluate``: score the pipeline, or the poses of another program, on a public benchmark."""

from __future__ import annotations

from typing import Any

import click

from mvcap.cli.options import benchmark_and_files, benchmark_options, settings_options
from mvcap.cli.progress_bar import bar


@click.command()
@click.argument("words", nargs=-1, metavar="[KIND DIR] [FILE...]")
@benchmark_options
@settings_options
def evaluate(words: tuple[str, ...], others: tuple[str, ...], changes: dict[str, Any], **asked: Any) -> None:
    """Score the whole pipeline, or a file of poses, against the ground truth of a public benchmark.

    KIND: shelf, campus, mvor, panoptic or humaneva; DIR: its files. Without KIND and DIR, --compare compares the FILEs.
    """
    from mvcap.evaluate import evaluate as run
    from mvcap.evaluation import comparison

    json_file, plot_file = asked.pop("json_file"), asked.pop("plot_file")
    benchmark, earlier = benchmark_and_files(words, others)
    results = comparison.read(earlier)
    if benchmark:
        with bar(False) as progress:
            measured = run(*benchmark, overrides=changes, progress=progress, **asked)
        if json_file:
            comparison.write(json_file, measured)
        results = {**comparison.stages_of(measured), **results}
    click.echo(comparison.comparison_table(results))
    if plot_file:
        comparison.plot(results, plot_file)


COMMANDS: tuple[click.Command, ...] = (evaluate,)
