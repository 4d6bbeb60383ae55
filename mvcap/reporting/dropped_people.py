"""What tracking dropped: the sentences of the verdict and of a take in which nobody is left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mvcap.reporting.reason import REFUSE, Reason

_WORTH_SAYING = 0.02  # larger shares of the person-frames are reported
_WHY = {
    "duration": "seen for at most {longest_s:.2g} s: lower track.min_seconds to keep them",
    "views": "seen by fewer views than the others",
    "size": "limbs far from a human's lengths, as where views see different people",
    "agreement": "the views contradict each other",
    "joints": "too few joints in 3D",
    "score": "scores far below those of the others",
    "alone": "inside another person, as a second detection of one body",
    "too_few_joints": "too few joints in 3D to track",
}


def dropped_share(summary: Mapping[str, Any]) -> float:
    """Return the share, 0..1, of the person-frames with joints in 3D that tracking dropped; 0 where unknown."""
    dropped = _dropped(summary)
    return float(dropped.get("person_frames", 0)) / max(int(dropped.get("of_person_frames", 0)), 1)


def dropped_sentence(summary: Mapping[str, Any]) -> str | None:
    """Return how many person-frames tracking dropped and why, where it is more than 2 % of all; else None."""
    dropped, share = _dropped(summary), dropped_share(summary)
    if share <= _WORTH_SAYING:
        return None
    return f"tracking dropped {_counted(dropped, share)}, as false positives: {_listed(dropped)}"


def all_dropped(summary: Mapping[str, Any]) -> Iterator[Reason]:
    """Yield the reason why nobody is left, where the views agree on people and tracking dropped all of them."""
    dropped = _dropped(summary)
    if not summary["people"] and dropped.get("person_frames"):
        counted = _counted(dropped, dropped_share(summary))
        yield Reason(REFUSE, f"views agree on people, but tracking dropped them all: {counted}: {_listed(dropped)}")


def _counted(dropped: Mapping[str, Any], share: float) -> str:
    frames = f"{dropped['person_frames']} of {dropped['of_person_frames']} person-frames ({share:.0%})"
    persons = dropped["persons"]
    return f"{persons} person{'s' * (persons != 1)} in 3D, {frames}" if persons else frames


def _listed(dropped: Mapping[str, Any]) -> str:
    reasons = sorted(dropped["reasons"].items(), key=lambda one: -one[1]["person_frames"])
    return "; ".join(f"{one['person_frames']} {_WHY[name].format(**one)}" for name, one in reasons if name in _WHY)


def _dropped(summary: Mapping[str, Any]) -> Mapping[str, Any]:
    return (summary.get("identities") or {}).get("dropped") or {}
