"""The verb ``live``: people in 3D while they move, with a bounded delay, to a page and to other programs."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib import Rig, fit_to_images, load_rig, match_views
from mvcap import plugins
from mvcap.associate import associate_rows
from mvcap.errors import InputError
from mvcap.record import named_sources
from mvcap.recording.recorder import Recorder, Recording
from mvcap.streaming.moments import Moment, MomentPicker
from mvcap.streaming.people_message import LiveMoment, people_message
from mvcap.streaming.senders import Sender
from mvcap.structures.contracts import UNKNOWN_FRAMES, Associator, Estimator, State, View
from mvcap.structures.detections import Detections2D
from mvcap.structures.live_frames import LiveSource
from mvcap.structures.poses import Poses3D
from mvcap.track import drop_duplicates
from mvcap.tracking.online_ids import OnlineIds
from mvcap.tracking.tracklet_linking import TrackletLinker
from mvcap.tracking.tracklets import TrackConfig
from mvcap.triangulation.robust_triangulation import triangulate_rows

_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "people": {"mode": "fast", "detect_every_s": 1.0, "carry_s": 1.0},  # a search of a whole image costs most
}
"""Settings of estimators that differ live."""
Told = Callable[[LiveMoment, Moment, float, Rig], None]
"""Called with people, images, delay s and the cameras of every moment."""
_TRIAL = 8  # moments whose times tell the rate; the first two load networks
_PACE = 0.6  # of the usual pace
_WAIT_S = 0.05
_DELAYS = 20_000


class Live:
    """People moment by moment: the functions of ``reconstruct`` up to ``track --live``, with their states kept between.

    rate_hz: about how often a second ``step`` is called, rather too low than too high; times may be irregular.
    estimator, associator: names of ``plugins.TABLE``, or objects of their contracts; settings: of the estimator, of
    which ``people`` has other defaults here. A person's number is given after ``TrackConfig.delay_s`` and never
    changes. Memory grows with the number of tracklets only.
    """

    def __init__(
        self, rig: Rig, estimator: str | Estimator = "people", *, associator: str | Associator = "geometry",
        rate_hz: float = 10.0, settings: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.rig, self.rate_hz = rig, rate_hz
        own = _SETTINGS.get(estimator, {}) if isinstance(estimator, str) else {}
        self._estimator: Estimator = plugins.instance("estimator", estimator, {**own, **(settings or {})})
        self._estimator.prepare(
            tuple(View(index, camera.name, camera.size, rate_hz, UNKNOWN_FRAMES) for index, camera in enumerate(rig))
        )
        self._threads = ThreadPoolExecutor(min(len(rig), os.cpu_count() or 1))
        self._associator: Associator = plugins.instance("associator", associator, {})
        self.restart(rate_hz)

    def restart(self, rate_hz: float) -> None:
        """Forget everybody, and go on at another rate."""
        self.rate_hz = rate_hz
        follows = bool(getattr(self._associator, "follows", False))
        linker = TrackletLinker(self._estimator.skeleton, TrackConfig(live=True), rate_hz, follows)
        self._ids = OnlineIds(linker)
        self._found: list[State] = [{} for _ in self.rig]
        self._memory: State = {}
        self._first_s: float | None = None
        self._frame = -1

    def step(self, images: Sequence[NDArray[np.uint8] | None], time_s: float) -> LiveMoment:
        """Return the people at a time s, later than the one before; images: C of (H, W, 3) RGB, None = view is away."""
        self._first_s = time_s if self._first_s is None else self._first_s
        self._frame = max(round((time_s - self._first_s) * self.rate_hz), self._frame + 1)
        found = self._detections(images)
        rows = associate_rows(found, self.rig, rate_hz=self.rate_hz, associator=self._associator, memory=self._memory)
        poses = triangulate_rows(rows[rows.person >= 0], self.rig)
        if len(poses):
            idents = self._ids.link(poses)
            person = self._ids.names(idents.astype(np.int64), poses.frame.astype(np.int64))
            known = drop_duplicates(poses.with_columns(person=person)[person > 0])
            poses = Poses3D.concatenate([known, poses.with_columns(person=person)[person <= 0]], poses.skeleton)
        return LiveMoment(self._frame, time_s, poses, rows)

    def _detections(self, images: Sequence[NDArray[np.uint8] | None]) -> Detections2D:
        """2D people of all views, which are looked at side by side."""

        def of_view(index: int) -> Detections2D:
            image, camera = images[index], self.rig[index]
            if image is None:
                return Detections2D.empty(self._estimator.skeleton)
            view = View(index, camera.name, camera.size, self.rate_hz, UNKNOWN_FRAMES)
            found = self._estimator.estimate(image, self._frame, view, self._found[index])
            self._found[index] = found.state
            return found.rows

        parts = list(self._threads.map(of_view, range(len(self.rig))))
        return Detections2D.concatenate(parts, self._estimator.skeleton)


@dataclass(frozen=True)
class LiveSummary:
    """What a live view did."""

    moments: int
    passed: int
    """Frames of the fastest view that were not looked at, because the one before was still worked on."""
    seconds: float
    rate_hz: float
    """Moments a second."""
    delay_s: tuple[float, float]
    """Median and 95 % quantile of the time from capture to the people, s."""
    people: int
    """Persons who got a number."""
    reason: str
    recording: Path | None = None


def live(
    sources: Mapping[str, str | LiveSource] | Sequence[str],
    rig: str | Path | Rig,
    *,
    estimator: str | Estimator = "people",
    associator: str | Associator = "geometry",
    settings: Mapping[str, Any] | None = None,
    senders: Sequence[Sender] = (),
    record: str | Path | None = None,
    seconds: float | None = None,
    opened: Callable[[Recorder], None] = lambda recorder: None,
    told: Told = lambda people, moment, delay_s, rig: None,
) -> LiveSummary:
    """Show people in 3D while they move, until ``Recorder.stop``; the newest moment is always the next one looked at.

    sources: as ``record`` takes them; every view is a camera of the rig. settings: of the estimator, such as ``{"mode":
    "fast"}``. record: a folder to record everything into meanwhile. opened: called with the recorder. told: called with
    every moment. Raises SourceError and InputError as ``record`` does.
    """
    found = named_sources(sources)
    if len(found) < 2:
        raise InputError("one view only; 3D needs two or more")
    matched = match_views(rig if isinstance(rig, Rig) else load_rig(Path(rig)), list(found), allow_extra=True)
    recorder = Recorder(None if record is None else Path(record), found, seconds=seconds)
    picker = MomentPicker(recorder.views)
    recorder.listen(picker.listen)
    opened(recorder)
    with ThreadPoolExecutor(1, thread_name_prefix="record") as thread:
        running = thread.submit(recorder.run)
        try:
            _wait_until_open(recorder, running)
            sizes = {view.name: view.state.format.size for view in recorder.views if view.state.format}
            fitted, _ = fit_to_images(matched, sizes)
            people = Live(fitted, estimator, associator=associator, settings=settings)
            return _follow(people, picker, recorder, senders, told)
        finally:
            recorder.stop()
            wait([running])
            picker.close()


def _wait_until_open(recorder: Recorder, running: Future[Recording]) -> None:
    """Wait for the sources; raise what the recorder raised."""
    while recorder.state.phase in ("opening", "ready") and not running.done():
        time.sleep(_WAIT_S)
    if running.done():
        running.result()


def _follow(
    people: Live,
    picker: MomentPicker,
    recorder: Recorder,
    senders: Sequence[Sender],
    told: Told,
) -> LiveSummary:
    """Work on the newest moment again and again until the recorder is stopped."""
    delays: deque[float] = deque(maxlen=_DELAYS)
    moments = passed = 0
    persons: set[int] = set()
    trial: list[float] = []
    begun = time.monotonic()
    wall_s = time.time() - begun
    while recorder.state.phase == "recording":
        moment = picker.newest()
        if moment is None:
            picker.came.wait(_WAIT_S)
            continue
        made = people.step(moment.images, moment.at_s)
        if len(trial) < _TRIAL:
            trial.append(moment.at_s)
            if len(trial) == _TRIAL:
                people.restart(_rate(trial[2:]))
                begun = time.monotonic()
            continue
        delay_s = time.monotonic() - moment.at_s
        delays.append(delay_s)
        moments, passed = moments + 1, passed + moment.passed
        persons |= set(made.poses.person[made.poses.person > 0].tolist())
        message = people_message(made, wall_s + moment.at_s, delay_s)
        for sender in senders:
            sender.send(message)
        told(made, moment, delay_s, people.rig)
    took_s = time.monotonic() - begun
    quantiles = np.quantile(delays, [0.5, 0.95]) if delays else np.full(2, np.nan)
    return LiveSummary(
        moments, passed, took_s, moments / max(took_s, 1e-9), (float(quantiles[0]), float(quantiles[1])), len(persons),
        recorder.state.reason, recorder.folder,
    )  # fmt: skip


def _rate(times_s: Sequence[float]) -> float:
    """Moments a second to follow people by, from the times of some: below the usual pace.

    A moment that comes early is the next one all the same; between those that come late people would count as missed.
    """
    return float(_PACE / np.median(np.diff(times_s)))
