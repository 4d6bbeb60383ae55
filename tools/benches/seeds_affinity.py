"""S2: whether the affinity of joints should be a skeleton's, learned for all clips, or the clip's own."""

from __future__ import annotations

from functools import partial
from typing import Any

from benches.section import Options, Section
from benches.seeds_training import Budget, Variant, rooms, row_of, verdict
from mvcap.lifting.body_joints import BODY, HIPS
from mvcap.lifting.virtual_camera import FEATURES
from mvcap.tasks.lift import BODY_M

FULL, QUICK = Budget(160, 40, 300, 3, 16), Budget(12, 6, 20, 2, 8)
ROWS = {
    "fixed": ("fixed skeleton (the paper's baseline)", 56),
    "static": ("static, learned (the fair control)", 48),
    "dynamic": ("dynamic, blended with the skeleton (the paper)", 52),
    "both": ("dynamic on static", 44),
}
"""Title and width, by which all have about the same number of parameters."""


def network(affinity: str, width: int) -> Any:
    """Return a new network of an affinity."""
    from mvcap.nn.dynamic_graph import DynamicGraph

    return DynamicGraph(len(BODY), FEATURES, BODY.bones.tolist(), HIPS, BODY_M, width, affinity=affinity)


def affinity(options: Options, section: Section) -> None:
    """Add a row for each kind of affinity, with the same temporal kernel and about the same number of parameters."""
    how = QUICK if options.quick else FULL
    samples, rows = rooms(options, how), {}
    for kind, (title, width) in ROWS.items():
        variant = Variant(title, partial(network, kind, width), how.batch)
        rows[kind] = row_of(variant, options, how, samples)
        section.add("S2: affinity between joints, mm about the root", rows[kind])
    claims = (("dynamic", "fixed", "S2 claims that dynamic affinity beats the skeleton"),
              ("static", "fixed", "fair control: learned static affinity beats the skeleton"),
              ("dynamic", "static", "dynamic affinity beats the learned static one"),
              ("both", "static", "dynamic on top of static beats static alone"))  # fmt: skip
    section.facts += [verdict(rows[better], rows[worse], "mm", claim) for better, worse, claim in claims]
    section.facts.append(
        f"S2: {how.steps} steps of {how.batch} windows on {how.takes} takes, {how.seeds} seeds: a small budget. Longer "
        "runs of a prototype, 1,500 to 4,000 steps of two seeds, had static 20 mm ahead of the skeleton and dynamic on "
        "static within 2 mm of static"
    )
