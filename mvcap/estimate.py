"""The verb ``estimate``: detect people and their 2D joints in the images of every view, with any estimator."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from calib.arrays import Image
from mvcap import plugins, stages
from mvcap.errors import ConfigError, InputError
from mvcap.estimation.flow_fusion import FlowFrame, FlowWindow, reduced_gray
from mvcap.progress import Progress, silent
from mvcap.structures.artefact import Artefact, Origin
from mvcap.structures.contracts import UNKNOWN_FRAMES, Estimator, FileEstimator, State, View
from mvcap.structures.detections import Detections2D
from mvcap.structures.row_checks import check_images, check_rate, check_rig
from mvcap.structures.session import Session
from mvcap.structures.timeline import check_length

_VERSION = 1
_RGB = (3, (3,), np.dtype(np.uint8))

Moment = NDArray[np.uint8] | Sequence[Image | None]
"""Images of C views at one moment: (C, H, W, 3), or C images (H, W, 3)."""


@dataclass(frozen=True)
class EstimateConfig:
    """Settings of ``mvcap estimate``: people in the images of every view."""

    threads: int = 0
    """Views processed in parallel; 0 = the number of processors. The result does not depend on it. Lower it where
    memory is short."""
    every: int = 1
    """Look at every N-th frame only, for an N-th of the time; ``refine`` fills the frames in between, with larger
    covariances. Raise it for footage of high rate and slow motion: at 60 Hz, 2 or 3 cost little accuracy."""

    temporal: str = "none"
    """``flow``: carry the joints of the frames before and after along optical flow and fuse them by score with those
    found, for estimators of images that track people. Helps where people hide each other for a moment."""
    flow_frames: int = 2
    """With ``flow``: how many images before and after are used. A person missed in fewer images than twice that is put
    in between."""

    def __post_init__(self) -> None:
        if self.temporal not in ("none", "flow"):
            raise ConfigError(f"config key 'estimate.temporal' must be none or flow, not {self.temporal!r}")
        if not 1 <= self.flow_frames <= 10:
            raise ConfigError("config key 'estimate.flow_frames' must be 1 to 10")
        if self.threads < 0:
            raise ConfigError("config key 'estimate.threads' must be 0 or more")
        if self.every < 1:
            raise ConfigError("config key 'estimate.every' must be 1 or more")


def estimate(
    session: str | Path | Session, *, redo: bool = False, progress: Progress = silent
) -> Artefact[Detections2D]:
    """Detect people in every view of a session with the estimator that its settings name.

    With ``estimate.every`` N, frames whose number N does not divide have no rows; an estimator of images is given the
    others as footage of an N-th of the rate. An interrupted run resumes at its last finished chunk. ``redo``: discard
    the detections and the results of all later stages, and detect again.
    """
    session = Session.of(session)
    config = session.settings("estimate", EstimateConfig)
    estimator, settings = plugins.load_plugin("estimator", session.overrides)
    step = config.every if estimator.needs_images else 1
    number_of, counts = _file_numbers(session, estimator, step)
    rate_hz = session.rate_hz / step
    views = tuple(View(i, v.name, v.size, rate_hz, int(counts[i])) for i, v in enumerate(session.views))
    source = estimator.prepare(views)
    if redo:
        stages.discard(session, "estimate")
    inputs = {"take": session.identity, "source": source}
    if (number_of != np.arange(session.frames)[:, None] // step).any():
        inputs["numbers"] = hashlib.sha256(np.ascontiguousarray(number_of, np.int64).tobytes()).hexdigest()
    settings |= {stages.EVERY: config.every} if config.every > 1 else {}
    if config.temporal == "flow":
        if not estimator.needs_images:
            name = settings["estimator"]
            raise ConfigError(f"estimate.temporal=flow needs images, and estimator {name!r} reads none; set it to none")
        settings |= {"estimate.temporal": "flow", "estimate.flow_frames": config.flow_frames}
    origin = Origin("estimate", _VERSION, settings, inputs)
    work = _Views(session, estimator, views, number_of, config)
    place = session.artefact("estimate", Detections2D)
    with _one_opencv_thread(config.temporal == "flow"), ThreadPoolExecutor(work.threads) as pool:

        def make(start: int, stop: int, state: State) -> tuple[Detections2D, State]:
            jobs = [pool.submit(work.one_chunk, view, start, stop, _of_view(state, view)) for view in views]
            done = [job.result() for job in jobs]
            rows = Detections2D.concatenate([rows for rows, _ in done], estimator.skeleton)
            after: State = {}
            for view, (_, own) in zip(views, done, strict=True):
                after |= _named(str(view.index), own)
            return rows[np.argsort(rows.frame, kind="stable")], after

        try:
            return stages.run_stage(session, place, origin, estimator.skeleton.stored_name, make, progress)
        finally:
            work.stopped = True  # on an interrupt, the threads stop at once instead of finishing their chunk


def _file_numbers(session: Session, estimator: Estimator, step: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the number (T, C) that an estimator has for a view's image at each frame, and how many (C,) a view has.

    Files of a view (setting ``folder``) count the images of its footage: they were made from it, with the images that
    the session leaves out. One file for all views, and known poses, count the frames of the whole take. An estimator of
    images counts those that it is given, every step-th of the session, as if recorded at a lower rate.
    """
    frame = np.tile(np.arange(session.frames)[:, None], (1, len(session.views)))
    if estimator.needs_images:
        return frame // step, np.full(len(session.views), -(-session.frames // step))
    if isinstance(estimator, FileEstimator) and hasattr(getattr(estimator, "config", None), "folder"):
        return np.asarray(session.number_of), np.asarray(session.number_count)
    return frame + session.first, np.maximum(session.number_count, session.first + session.frames)


class _Views:
    """All views of a session; each view's images are read once, in order, across chunks."""

    def __init__(
        self,
        session: Session,
        estimator: Estimator,
        views: tuple[View, ...],
        number_of: NDArray[Any],
        config: EstimateConfig,
    ) -> None:
        self.session = session
        self.estimator = estimator
        self.number_of = number_of
        self.every = config.every
        self.one_chunk = self._found if config.temporal == "none" else self._fused
        self._span = config.flow_frames * config.every
        self.threads = min(config.threads or os.cpu_count() or 1, len(views))
        self.stopped = False
        self._images: dict[int, Iterator[tuple[int, Image | None]]] = {}

    def _found(self, view: View, start: int, stop: int, state: State) -> tuple[Detections2D, State]:
        """Return the detections of one view in frames start to stop (exclusive), and the estimator's state after."""
        found = []
        for _, rows, _, after in self._detected(view, start, stop, state):
            state = after
            found.append(rows)
        return Detections2D.concatenate(found, self.estimator.skeleton), state

    def _fused(self, view: View, start: int, stop: int, state: State) -> tuple[Detections2D, State]:
        """Return the same, fused along optical flow; detection is ahead of ``stop``, the state holds what it saw."""
        window = FlowWindow.of_state(_part(state, "window"), self._span, view.index, self.estimator.skeleton)
        own, found = _part(state, "own"), []
        begin, end = int(state.get("next", start)), min(stop + self._span, self.session.frames)
        for frame, rows, image, after in self._detected(view, begin, end, own):
            own = after
            window.add(FlowFrame(frame, rows, *reduced_gray(image)))
            found += window.fused(min(frame - self._span + 1, stop))
        found += window.fused(stop)
        held = {"next": np.array(max(begin, end)), **_named("own", own)}
        rows = Detections2D.concatenate(found, self.estimator.skeleton)
        return rows, held | _named("window", window.state(self.estimator.skeleton))

    def _detected(
        self, view: View, start: int, stop: int, state: State
    ) -> Iterator[tuple[int, Detections2D, Any, State]]:
        """Yield the frames of a view that were looked at, their rows and image, and the estimator's state after."""
        for frame in range(-(-start // self.every) * self.every, stop, self.every):
            if self.stopped:
                break
            if self.session.frame_of[frame, view.index] < 0:
                continue
            image = self._image(view, frame) if self.estimator.needs_images else None
            if image is None and self.estimator.needs_images:
                continue
            result = self.estimator.estimate(image, int(self.number_of[frame, view.index]), view, state)
            state = result.state
            if result.masks is not None:
                self._keep_masks(result.masks, frame, view)
            yield frame, result.rows.with_columns(frame=np.full(len(result.rows), frame, np.int32)), image, state

    def _image(self, view: View, frame: int) -> Image | None:
        if view.index not in self._images:
            self._images[view.index] = self.session.images(view.index, frame, every=self.every, recorded=True)
        for shown, image in self._images[view.index]:
            if shown == frame:
                return image
        return None

    def _keep_masks(self, masks: NDArray[np.uint8], frame: int, view: View) -> None:
        import cv2

        from mvcap.structures.npz import written_whole

        with written_whole(self.session.folder / "masks" / view.name / f"{frame:07d}.png") as temporary:
            temporary.write_bytes(cv2.imencode(".png", masks)[1].tobytes())  # imwrite hides a full disk


def _of_view(state: State, view: View) -> State:
    return _part(state, str(view.index))


def _part(state: State, prefix: str) -> State:
    return {name.removeprefix(f"{prefix}."): value for name, value in state.items() if name.startswith(f"{prefix}.")}


def _named(prefix: str, state: State) -> State:
    return {f"{prefix}.{name}": value for name, value in state.items()}


@contextmanager
def _one_opencv_thread(needed: bool) -> Iterator[None]:
    """Let OpenCV use one thread for a while: its optical flow depends on their number, and views run in parallel."""
    if not needed:
        yield
        return
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def detect(
    images: Moment | Iterable[Moment],
    estimator: str | Estimator = "people",
    *,
    names: Sequence[str] | None = None,
    rate_hz: float = 25.0,
    frame: int = 0,
    memory: State | None = None,
    **settings: Any,
) -> Detections2D:
    """Detect people in images of C synchronised views; return their rows, in order of frames.

    images: one moment, (C, H, W, 3) uint8 RGB or a sequence of C images (H, W, 3), None for a view that dropped the
    frame; or an iterable of such moments, of which one at a time is in memory. estimator: a name of ``plugins.TABLE``
    with its ``settings``, or an object with the protocol ``Estimator``. names: names of the views. frame: number of the
    first moment. memory: a dict that holds the estimator's state between calls; pass the same one for later moments.
    Raises InputError for images of another shape, AssetError if a model cannot be fetched.
    """
    rate_hz = check_rate(rate_hz)
    check_length(frame + 1, f"frame={frame}")
    plugin: Estimator = plugins.instance("estimator", estimator, settings)
    state: State = dict(memory or {})
    views: tuple[View, ...] = ()
    parts = []
    moments: Iterable[Any] = [images] if _is_moment(images) else images
    for number, moment in enumerate(moments, frame):
        pictures = [None if picture is None else np.asarray(picture) for picture in moment]
        if wrong := [
            one
            for one in pictures
            if one is not None and ((one.ndim, one.shape[-1:], one.dtype) != _RGB or not one.size)
        ]:
            raise InputError(f"images must be (H, W, 3) uint8 RGB, not {wrong[0].shape} {wrong[0].dtype}")
        if views:
            check_images(pictures, len(views))
        else:
            if names is not None:
                check_images(pictures, len(names))
            called = names or [f"cam{index + 1}" for index in range(len(pictures))]
            sizes = [(0, 0) if one is None else (one.shape[1], one.shape[0]) for one in pictures]
            every = zip(called, sizes, strict=True)
            views = tuple(View(i, name, size, rate_hz, UNKNOWN_FRAMES) for i, (name, size) in enumerate(every))
            plugin.prepare(views)
        for view, picture in zip(views, pictures, strict=True):
            if picture is None:
                continue
            result = plugin.estimate(picture, number, view, _of_view(state, view))
            state = {name: value for name, value in state.items() if not name.startswith(f"{view.index}.")}
            state |= _named(str(view.index), result.state)
            parts.append(result.rows)
    if memory is not None:
        memory.clear()
        memory.update(state)
    return Detections2D.concatenate(parts, plugin.skeleton)


def load_detections(
    path: str | Path, estimator: str, rig: Rig, *, frames: int | None = None, rate_hz: float = 25.0, **settings: Any
) -> Detections2D:
    """Read 2D detections of another program; return their rows in order of frames.

    path: the folder with one file or subfolder per camera of the rig, named after it, or the file with all views.
    estimator: ``openpose``, ``openpose_parts``, ``coco``, ``alphapose``, ``deeplabcut``, ``sleap``, ``table``, or
    another name of ``plugins.TABLE`` that reads files. frames: length of the take, default that of the files.
    ``settings``: further settings of the estimator.
    Raises InputError, which names the file, for missing or damaged files and for files of other views.
    """
    kind = plugins.plugin_class("estimator", estimator)
    fields = {field.name for field in dataclasses.fields(kind.Config)}
    place = next((name for name in ("folder", "file") if name in fields), None)
    if place is None:
        raise InputError(f"estimator {estimator!r} reads no files of detections; use detect for images")
    plugin = plugins.instance("estimator", estimator, {place: str(path), **settings})
    count = frames
    views = tuple(View(i, one.name, one.size, rate_hz, UNKNOWN_FRAMES) for i, one in enumerate(check_rig(rig)))
    if count is None and isinstance(plugin, FileEstimator):
        count = plugin.frame_count(views)
    if count is None:
        raise InputError(f"estimator {estimator!r} does not know the length of the take; give frames")
    check_length(count, str(path))
    views = tuple(dataclasses.replace(view, frames=count) for view in views)
    plugin.prepare(views)
    parts = [plugin.estimate(None, frame, view, {}).rows for frame in range(count) for view in views]
    return Detections2D.concatenate(parts, plugin.skeleton)


def _is_moment(images: Any) -> bool:
    """Return whether these are the images of one moment, and not a series of moments."""
    if isinstance(images, np.ndarray):
        return images.ndim == 4
    return isinstance(images, Sequence) and all(one is None or np.ndim(one) == 3 for one in images)
