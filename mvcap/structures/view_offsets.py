"""By how much each view of a take is late, and how fast its clock runs, as ``mvcap sync`` found it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calib.arrays import Floats, Ints
from calib.bounded_files import bounded_bytes, reason_of
from mvcap.errors import SessionError

SYNC_FILE = "sync.json"
_KEYS = ("offset_s", "drift_ppm", "offset_sigma_s")


@dataclass(frozen=True, eq=False)
class ViewOffsets:
    """Delays of C views on the common clock.

    late_s (C,): view c shows at its own time t + late_s what happens at the common time t, in the middle of the take;
    drift (C,): its change, s a second; middle_s: where the middle is. late_sigma_s (C,): standard deviation of late_s.
    fingerprint: identity of all of it.
    """

    late_s: Floats
    late_sigma_s: Floats
    drift: Floats
    middle_s: float
    fingerprint: str

    def late_frames(self, frame: Ints, rate_hz: float) -> Floats:
        """Return the delay (T, C) of each view, frames, at frames (T,) of the common clock."""
        since = np.asarray(frame, np.float64)[:, None] / rate_hz - self.middle_s
        return np.asarray((self.late_s + self.drift * since) * rate_hz)

    def nearest(self, frames: int, rate_hz: float) -> Ints:
        """Return the view's own frame (T, C) nearest to each of the common frames 0 .. T - 1; -1 = outside."""
        at = np.arange(frames)
        own = np.floor(at[:, None] + self.late_frames(at, rate_hz) + 0.5).astype(np.int64)
        return np.where((own >= 0) & (own < frames), own, -1)


def read_view_offsets(folder: Path, names: tuple[str, ...], take: str) -> ViewOffsets | None:
    """Return the offsets in a session's folder, None if it has none; SessionError if they are not of this take."""
    path = folder / SYNC_FILE
    if not path.exists():
        return None
    try:
        text = bounded_bytes(path)
        held: dict[str, Any] = json.loads(text)
        views = {str(view["name"]): view for view in held["views"]}
        table = np.array([[views[name][key] for key in _KEYS] for name in names], np.float64)
        middle, made_of = float(held["middle_s"]), str(held["take"])
    except (OSError, ValueError, KeyError, TypeError) as fault:
        why = reason_of(fault) if isinstance(fault, OSError | ValueError) else f"no {fault}"
        raise SessionError(f"{path} cannot be read ({why}); remove it, or run `mvcap sync {folder}` again") from fault
    if made_of != take or not (np.isfinite(table).all() and np.isfinite(middle) and (np.abs(table) < 1e6).all()):
        raise SessionError(
            f"{path} is not of this take, or its numbers are none; remove it, or run `mvcap sync {folder}` again"
        )
    print_of = hashlib.sha256(np.append(table, middle).tobytes()).hexdigest()
    return ViewOffsets(table[:, 0], table[:, 2], table[:, 1] * 1e-6, middle, print_of)
