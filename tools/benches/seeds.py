"""Learned systems for one camera beside their papers' claims and fair controls, each trained with several seeds."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

from benches.section import Options, Section, say

SYSTEMS = {
    "S2 joint affinity": "benches.seeds_affinity:affinity",
    "S7 root depth": "benches.seeds_root_depth:root_depth",
    "S8 pose maps": "benches.seeds_pose_maps:pose_map_section",
    "S9 joint confidence": "benches.seeds_confidence:confidence",
    "S9 integration": "benches.seeds_integration:integration_section",
    "lifters on recordings": "benches.seeds_recordings:recordings",
    "root depths on recordings": "benches.seeds_root_recordings:root_recordings",
}
"""Name of a system -> function (options, section) that adds its tables and facts."""
MEASURED = (
    "each system with a small budget of takes and steps, the same for all its rows; mean and standard deviation over "
    "seeds of the weights and the order of samples. Scored on motion held out. No pose is fitted to the truth, no bone "
    "rescaled to it and no root given, unless a column says so (PA: after the best similarity)"
)


def seeds(options: Options) -> Section:
    """Tables of all systems."""
    section = Section("seeds: learned systems for one camera", MEASURED)
    if find_spec("torch") is None:
        section.facts.append("left out: it needs torch: pip install 'mvcap[learn]'")
        return section
    for name, target in SYSTEMS.items():
        say(f"seeds: {name}")
        module, _, function = target.partition(":")
        run: Callable[[Options, Section], None] = getattr(import_module(module), function)
        run(options, section)
    return section
