"""S9: whether a graph of joints weighted by their confidence, before a temporal network, helps with hidden joints."""

from __future__ import annotations

from functools import partial
from typing import Any

from benches.section import Options, Section
from benches.seeds_training import Budget, Variant, rooms, row_of, verdict
from mvcap.lifting.body_joints import BODY, HIPS
from mvcap.lifting.virtual_camera import FEATURES
from mvcap.tasks.lift import BODY_M

FULL, QUICK = Budget(160, 40, 700, 3, 32), Budget(12, 6, 20, 2, 8)
ROWS = {"none": ("TCN alone", 112), "fixed": ("graph of fixed affinity, TCN", 96),
        "confidence": ("graph weighted by confidence, TCN (the paper)", 96)}  # fmt: skip
"""Title and width, by which all have about the same number of parameters."""


def network(graph: str, width: int) -> Any:
    """Return a new network of a graph."""
    from mvcap.nn.temporal_lift import TemporalLift

    return TemporalLift(len(BODY), FEATURES, BODY.bones.tolist(), HIPS, BODY_M, width, graph=graph)


def confidence(options: Options, section: Section) -> None:
    """Add a row for each kind of graph before the same temporal network."""
    how = QUICK if options.quick else FULL
    samples, rows = rooms(options, how), {}
    for kind, (title, width) in ROWS.items():
        variant = Variant(title, partial(network, kind, width), how.batch)
        rows[kind] = row_of(variant, options, how, samples)
        section.add("S9: graph before the temporal network, mm about the root; hidden: score below 0.5", rows[kind])
    claims = (("confidence", "none", "S9 claims that a graph before the TCN helps with hidden joints"),
              ("confidence", "fixed", "S9 claims that confidence as affinity helps with hidden joints"))  # fmt: skip
    section.facts += [verdict(rows[better], rows[worse], "hidden mm", claim) for better, worse, claim in claims]
    section.facts.append(f"S9: {how.steps} steps of {how.batch} windows on {how.takes} takes, {how.seeds} seeds")
