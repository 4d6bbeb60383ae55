"""Time spans of a take in which something holds, found in bins of equal length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 600
"""Largest number of bins in which a take is searched."""


def bin_count(frames: int) -> int:
    """Return the number of bins of a take."""
    return max(1, min(frames, BINS))


def frame_bins(frame: NDArray[np.integer], frames: int) -> NDArray[np.int64]:
    """Return the bin (M,) of each frame (M,) of a take of so many frames."""
    return np.asarray(frame.astype(np.int64) * bin_count(frames) // max(frames, 1))


def in_looked_frames(frame: NDArray[np.integer], frames: int, step: int) -> tuple[NDArray[np.int64], int]:
    """Return frames (M,) and the length of their take counted in the frames that ``step`` divides.

    A frame in between counts as the one before it.
    """
    return np.asarray(frame.astype(np.int64) // step), -(-frames // step)


def span_in_words(span: Mapping[str, Any]) -> str:
    """Return a span of a summary, ``from_s`` to ``to_s``, in words."""
    return f"from {span['from_s']:.1f} s to {span['to_s']:.1f} s"


def longest_spans(
    marked: NDArray[np.bool_], duration_s: float, at_least_s: float, at_most: int
) -> list[tuple[float, float]]:
    """Return begin and end, s, of the longest runs of marked bins (B,), in order of time."""
    edge = np.concatenate([[False], marked, [False]])
    edges = np.flatnonzero(edge[1:] != edge[:-1]).reshape(-1, 2) * duration_s / max(len(marked), 1)
    long = edges[edges[:, 1] - edges[:, 0] >= at_least_s]
    longest = long[np.argsort(long[:, 0] - long[:, 1], kind="stable")[:at_most]]
    return [(float(begin), float(end)) for begin, end in sorted(longest.tolist())]
