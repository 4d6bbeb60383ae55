"""The verb ``estimate``: people in the pictures of every view, by any estimator."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calib.arrays import Image
from mvcap import plugins, stages
from mvcap.errors import ConfigError
from mvcap.progress import Progress, silent
from mvcap.structures.artefact import Artefact, Origin
from mvcap.structures.contracts import Estimator, State, View
from mvcap.structures.detections import Detections2D
from mvcap.structures.session import Session

_VERSION = 1


@dataclass(frozen=True)
class EstimateConfig:
    """Settings of the verb ``estimate``."""

    threads: int = 0
    """Views worked on at the same time; 0 = as many as there are processors. The result does not depend on it."""

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise ConfigError("config key 'estimate.threads' is 0 or more")


def estimate(
    session: str | Path | Session, *, redo: bool = False, progress: Progress = silent
) -> Artefact[Detections2D]:
    """Find people in every view of a session with the estimator that its settings name.

    Resumes where an interrupted run stood. ``redo`` remakes the detections and drops what was made of them.
    """
    session = session if isinstance(session, Session) else Session.open(session)
    config = session.settings("estimate", EstimateConfig)
    estimator, settings = plugins.load_plugin("estimator", session.overrides)
    views = tuple(View(i, v.name, v.size, session.rate_hz, session.frames) for i, v in enumerate(session.views))
    source = estimator.prepare(views)
    if redo:
        stages.discard(session, "estimate")
    origin = Origin("estimate", _VERSION, settings, {"take": session.identity, "source": source})
    work = _Views(session, estimator, views, config.threads or os.cpu_count() or 1)
    place = session.artefact("estimate", Detections2D)
    with ThreadPoolExecutor(work.threads) as pool:

        def make(start: int, stop: int, state: State) -> tuple[Detections2D, State]:
            jobs = [pool.submit(work.one_view, view, start, stop, _of_view(state, view)) for view in views]
            done = [job.result() for job in jobs]
            rows = Detections2D.concatenate([rows for rows, _ in done], estimator.skeleton)
            after = {
                f"{view.index}.{key}": value
                for view, (_, own) in zip(views, done, strict=True)
                for key, value in own.items()
            }
            return rows[np.argsort(rows.frame, kind="stable")], after

        try:
            return stages.run_stage(session, place, origin, estimator.skeleton.name, make, progress)
        finally:
            work.stopped = True  # who interrupts does not wait until every view is at the end of its chunk


class _Views:
    """All views of a session, each read once from front to back, whatever the chunks."""

    def __init__(self, session: Session, estimator: Estimator, views: tuple[View, ...], threads: int) -> None:
        self.session = session
        self.estimator = estimator
        self.threads = min(threads, len(views))
        self.stopped = False
        self._images: dict[int, Iterator[tuple[int, Image | None]]] = {}

    def one_view(self, view: View, start: int, stop: int, state: State) -> tuple[Detections2D, State]:
        """Rows of one view in frames start to stop, and the estimator's state after them."""
        found = []
        for frame in range(start, stop):
            if self.stopped:
                break
            if self.session.frame_of[frame, view.index] < 0:
                continue
            image = self._image(view, frame) if self.estimator.needs_images else None
            if image is None and self.estimator.needs_images:
                continue
            result = self.estimator.estimate(image, frame, view, state)
            state = result.state
            if result.masks is not None:
                self._keep_masks(result.masks, frame, view)
            if len(result.rows):
                found.append(result.rows)
        return Detections2D.concatenate(found, self.estimator.skeleton), state

    def _image(self, view: View, frame: int) -> Image | None:
        if view.index not in self._images:
            self._images[view.index] = self.session.images(view.index, frame)
        for shown, image in self._images[view.index]:
            if shown == frame:
                return image
        return None

    def _keep_masks(self, masks: NDArray[np.uint8], frame: int, view: View) -> None:
        import cv2

        from mvcap.structures.npz import written_whole

        with written_whole(self.session.folder / "masks" / view.name / f"{frame:07d}.png") as temporary:
            temporary.write_bytes(cv2.imencode(".png", masks)[1].tobytes())  # imwrite keeps a full disk to itself


def _of_view(state: State, view: View) -> State:
    prefix = f"{view.index}."
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
