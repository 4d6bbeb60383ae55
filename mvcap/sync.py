"""The verb ``sync``: put views of unsynchronised cameras on one clock with a stated confidence, or refuse.

A session's offsets are kept in sync.json, with a picture of the evidence beside it. Its detections stay as they are:
the stages after ``estimate`` take them at the common times, interpolated between a view's own frames.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from calib.arrays import Floats
from mvcap import config, plugins, stages
from mvcap.errors import InputError
from mvcap.progress import Progress, silent
from mvcap.structures.npz import write_text, written_whole
from mvcap.structures.session import Session
from mvcap.structures.sync_evidence import SyncEvidence, UnsynchronisedTake
from mvcap.structures.view_offsets import SYNC_FILE
from mvcap.synchronisation.combination import combine
from mvcap.synchronisation.take_making import take_of_people, take_of_session, take_of_videos

METHODS = ("motion", "audio", "timecode")
_IF_NEEDED = "flash"  # every picture has to be decoded for it


@dataclass(frozen=True, eq=False)
class SyncResult:
    """Offsets of C views against the median view: late_s, drift (C,), and their standard deviations.

    View c shows at its own time t + late_s what the median view shows at t, in the middle of the take, middle_s.
    refused: why, by the name of the view; the numbers of such a view are NaN. evidence: what each method found.
    """

    names: tuple[str, ...]
    late_s: Floats
    drift: Floats
    late_sigma_s: Floats
    drift_sigma: Floats
    middle_s: float
    methods: tuple[tuple[str, ...], ...]
    refused: Mapping[str, str]
    evidence: Mapping[str, SyncEvidence] = field(repr=False)

    @property
    def complete(self) -> bool:
        """Whether every view has an answer."""
        return not self.refused

    def record(self) -> dict[str, Any]:
        """Return everything as plain values, for a JSON file."""
        rows = zip(
            self.names, self.late_s, self.late_sigma_s, self.drift * 1e6, self.drift_sigma * 1e6, self.methods,
            strict=True,
        )  # fmt: skip
        keys = ("offset_s", "offset_sigma_s", "drift_ppm", "drift_sigma_ppm")
        views = []
        for name, *values, methods in rows:
            numbers = {
                key: float(value) if np.isfinite(value) else None for key, value in zip(keys, values, strict=True)
            }
            views.append({"name": name, **numbers, "methods": list(methods), "refused": self.refused.get(name)})
        return {"format": 1, "middle_s": self.middle_s, "views": views, "evidence": self._evidence()}

    def _evidence(self) -> dict[str, Any]:
        out = {}
        for method, one in self.evidence.items():
            pairs = [
                {
                    "views": [self.names[pair.a], self.names[pair.b]], "best_s": _plain(pair.best_s),
                    "next_best_s": _plain(pair.rival_s), "ratio": _plain(pair.ratio),
                }
                for pair in one.pairs
            ]  # fmt: skip
            refused = {self.names[view]: reason for view, reason in one.refused.items()}
            figures = {key: _plain(value) for key, value in one.figures.items()}
            out[method] = {"pairs": pairs, "refused": refused, **figures}
        return out


def sync(
    session: str | Path | Session | Sequence[str | Path],
    *,
    method: str = "auto",
    out: str | Path | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    progress: Progress = silent,
) -> SyncResult:
    """Find by how much each view is late, and how fast its clock runs.

    session: a session, whose sync.json and sync.png are written if every view has an answer; or several videos without
    a rig, whose result is returned only. method: a name of the kind synchroniser, or auto = timecode, motion (of a
    session) and sound, combined, and flash where a view is without an answer still.
    settings: those of the methods by name. out: file for the result as JSON, also with refused views.
    Raises InputError for a session where a view is refused, with the reason, or for less than two views; nothing of
    the session is changed then.
    """
    held = Session.of(session) if isinstance(session, str | Path | Session) else None
    paths = [] if isinstance(session, str | Path | Session) else [Path(one) for one in session]
    with tempfile.TemporaryDirectory(prefix="mvcap-") as folder:
        if held is not None:
            take = take_of_session(held, method in ("auto", "motion"), progress)
        elif method == "motion":
            take = take_of_people(paths, Path(folder), progress)
        else:
            take = take_of_videos(paths)
        result = _found(take, method, settings or {}, progress)
    if out is not None:
        write_text(Path(out), json.dumps(result.record(), indent=1) + "\n")
    if held is not None:
        if not result.complete:
            groups: dict[str, list[str]] = {}
            for name, reason in result.refused.items():
                groups.setdefault(reason, []).append(name)
            why = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in groups.items())
            raise InputError(f"{held.folder}: not synchronised, and nothing changed: {why}")
        _keep(held, take, result)
    return result


def unsync(session: str | Path | Session) -> bool:
    """Remove what ``sync`` found from a session; return whether there was something."""
    held = Session.of(session)
    with stages.sole_use(held):
        there = (held.folder / SYNC_FILE).exists()
        (held.folder / SYNC_FILE).unlink(missing_ok=True)
        (held.folder / "sync.png").unlink(missing_ok=True)
    return there


def _found(
    take: UnsynchronisedTake, method: str, settings: Mapping[str, Mapping[str, Any]], progress: Progress
) -> SyncResult:  # fmt: skip
    if len(take.names) < 2:
        raise InputError("a take of one view has nothing to be synchronised with")
    evidence: dict[str, SyncEvidence] = {}

    def look(name: str) -> None:
        kind = plugins.plugin_class("synchroniser", name)
        made = kind(config.build(kind.Config, settings.get(name, {}), f"synchronisers.{name}"))
        evidence[name] = made.find(take, progress)

    for name in METHODS if method == "auto" else (method,):
        if method != "auto" or name != "motion" or take.rows is not None:
            look(name)
    result = _combined(take, evidence)
    if method == "auto" and not result.complete and any(take.footage):
        look(_IF_NEEDED)
        result = _combined(take, evidence)
    return result


def _combined(take: UnsynchronisedTake, evidence: Mapping[str, SyncEvidence]) -> SyncResult:
    count = len(take.names)
    late, drift, covariance, contradictions = combine(evidence, count)
    refused = {take.names[view]: f"contradiction: {reason}" for view, reason in contradictions.items()}
    for view in np.flatnonzero(np.isnan(late)).tolist():
        first, *others = [name for name, one in evidence.items() if view in one.refused] or [""]
        reason = f"{first}: {evidence[first].refused[view]}" if first else "is linked with too few other views"
        refused[take.names[view]] = reason + (f" (nor is it told by {', '.join(others)})" if others else "")
    for name in refused:
        late[take.names.index(name)] = np.nan
    if (np.isfinite(late).sum()) < 2:
        refused = {name: refused.get(name, "no other view has an answer") for name in take.names}
        late = np.full(count, np.nan)
    methods = tuple(
        tuple(name for name, one in evidence.items() if np.isfinite(late[view]) and np.isfinite(one.late_s[view]))
        for view in range(count)
    )
    result = SyncResult(
        take.names, late, drift, np.full(count, np.nan), np.full(count, np.nan), take.seconds / 2, methods, refused,
        evidence,
    )  # fmt: skip
    return _against_median(result, covariance)


def _against_median(result: SyncResult, covariance: Floats) -> SyncResult:
    """The result relative to the view in the middle."""
    known = np.flatnonzero(np.isfinite(result.late_s))
    if not len(known):
        return replace(result, drift=np.full(len(result.names), np.nan))
    middle = int(known[np.argsort(result.late_s[known], kind="stable")[(len(known) - 1) // 2]])
    count = len(result.names)
    sigma = []
    for first in (0, count):
        variance = np.diag(covariance)[first : first + count]
        with_middle = covariance[first + middle, first : first + count]
        sigma.append(np.sqrt(np.maximum(variance + variance[middle] - 2 * with_middle, 0)))
    unknown = ~np.isfinite(result.late_s)
    return replace(
        result,
        late_s=result.late_s - result.late_s[middle],
        drift=np.where(unknown, np.nan, result.drift - result.drift[middle]),
        late_sigma_s=np.where(unknown, np.nan, sigma[0]),
        drift_sigma=np.where(unknown, np.nan, sigma[1]),
    )


def _keep(session: Session, take: UnsynchronisedTake, result: SyncResult) -> None:
    """Write the picture, then the offsets."""
    from mvcap.reporting.sync_picture import draw_evidence

    with stages.sole_use(session):
        with written_whole(session.folder / "sync.png") as temporary:
            draw_evidence(temporary, take.names, result.evidence, result.late_s)
        text = json.dumps({"take": session.identity, **result.record()}, indent=1)
        write_text(session.folder / SYNC_FILE, text + "\n")


def _plain(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
