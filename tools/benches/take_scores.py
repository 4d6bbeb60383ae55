"""How well an associator tells people apart on generated takes, whose truth is known row by row."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mvcap.association.tracked_bodies import TrackedBodies
from mvcap.metrics.association import row_pairs
from mvcap.structures.detections import Detections2D
from mvcap.structures.synthetic_take import SyntheticTake

COUNTED = ("asked", "declined")
"""What the memory of a learned associator counts: frames that the networks were asked about, and left to geometry."""


@dataclass
class TakeScores:
    """Counts over takes."""

    true: int = 0
    told: int = 0
    right: int = 0
    switches: int = 0
    frames: int = 0
    false_people: int = 0
    seen_people: int = 0
    found_people: int = 0
    seconds: float = 0.0
    asked: int = 0
    """Frames that a network was asked about."""
    declined: int = 0
    """Frames of those that it left to geometry."""

    @property
    def f1(self) -> float:
        """F1 of pairs of rows."""
        return 2 * self.right / max(self.true + self.told, 1)

    @classmethod
    def sum(cls, parts: Iterable[TakeScores]) -> TakeScores:
        """Counts of all parts together."""
        held = list(parts)
        return cls(*(sum(getattr(part, field.name) for part in held) for field in fields(cls)))

    def row(self) -> dict[str, float]:
        """Figures, as a line of a table."""
        return {
            "f1": self.f1,
            "precision": self.right / max(self.told, 1),
            "recall": self.right / max(self.true, 1),
            "switches": self.switches,
            "false_people_per_frame": self.false_people / max(self.frames, 1),
            "found_percent": 100 * self.found_people / max(self.seen_people, 1),
            "ms_per_frame": 1000 * self.seconds / max(self.frames, 1),
        }


def scores(associator: Any, takes: Sequence[SyntheticTake], forget: bool = False) -> TakeScores:
    """Run an associator on takes and count.

    A person is seen at a frame where two views have a row of theirs, found where rows of two views have one number and
    most of them are theirs; every other number with rows of two views is a false person. A switch is a change of the
    number that a true person has from one frame to the next at which they are found. ``forget``: no tracking,
    every frame is associated alone (the calibration error is still estimated); numbers mean nothing then.
    """
    out = TakeScores()
    for take in takes:
        rows = take.rows.with_columns(carried=np.arange(len(take.rows)))
        begun = time.process_time()
        with threadpool_limits(1):
            run = _forgetting if forget else _following
            found, memory = run(associator, rows, take)
        out.seconds += time.process_time() - begun
        out.asked, out.declined = (had + int(memory.get(name, 0)) for had, name in
                                   zip((out.asked, out.declined), COUNTED, strict=True))  # fmt: skip
        _count(out, found, take.person[found.carried], take)
    return out


def _following(associator: Any, rows: Detections2D, take: SyntheticTake) -> tuple[Detections2D, Mapping[str, Any]]:
    found, memory = associator.associate(rows, take.rig, take.rate_hz, {})
    return found, memory


def _forgetting(associator: Any, rows: Detections2D, take: SyntheticTake) -> tuple[Detections2D, Mapping[str, Any]]:
    """Frame by frame, everybody forgotten in between."""
    parts, memory = [rows[:0]], dict[str, Any]()
    for frame in np.unique(rows.frame):
        part, told = associator.associate(rows[rows.frame == frame], take.rig, take.rate_hz, memory)
        parts.append(part)
        counts = {name: told[name] for name in COUNTED if name in told}
        people = TrackedBodies.of_state({name: value for name, value in told.items() if name not in counts})
        memory = {**people.without(np.arange(len(people))).state(), **counts}
    return Detections2D.concatenate(parts, rows.skeleton), memory


def _count(out: TakeScores, found: Detections2D, who: NDArray[np.int64], take: SyntheticTake) -> None:
    counted = row_pairs(found, who)
    out.true, out.told, out.right = out.true + counted.true, out.told + counted.predicted, out.right + counted.right
    last: dict[int, int] = {}
    out.frames += int(take.truth.frame.max(initial=-1)) + 1
    for frame in np.unique(found.frame):
        mine = found.frame == frame
        person, view, true = found.person[mine], found.view[mine], who[mine]
        out.seen_people += sum(len(set(view[true == one])) > 1 for one in np.unique(true[true >= 0]))
        here: dict[int, int] = {}
        for number in np.unique(person[person >= 0]):
            of = person == number
            if len(set(view[of])) < 2:
                continue
            one, count = Counter(true[of].tolist()).most_common(1)[0]
            if one < 0 or 2 * count <= of.sum() or one in here:
                out.false_people += 1
            else:
                here[one] = int(number)
        out.found_people += len(here)
        out.switches += sum(one in last and last[one] != number for one, number in here.items())
        last.update(here)
