"""The page of a live view: the people of the newest moment in every view and in 3D, and how late they are."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.drawing.overlay import draw, shrink
from mvcap.drawing.scene_picture import scene_picture
from mvcap.drawing.viewpoints import people_box, viewpoint_on
from mvcap.errors import InputError
from mvcap.recording.recorder import Recorder
from mvcap.streaming.moments import Moment
from mvcap.streaming.people_message import LiveMoment
from mvcap.structures.poses import Poses3D
from mvcap.structures.token_server import TokenHandler, TokenServer

_FILES = {"": "live_page.html", "live_page.js": "live_page.js", "live_page.css": "live_page.css"}
_VIEW_PX, _SCENE = 480, (960, 540)
_RECENT = 0.1  # weight of the newest time in the averages that are shown


class LiveServer(TokenServer):
    """Serves the page of one live view under a token; InputError where the port cannot be had.

    Pictures are drawn when they are asked for, of the newest moment. ``show`` takes each moment.
    """

    def __init__(self, recorder: Recorder, host: str = "127.0.0.1", port: int = 0) -> None:
        self.recorder = recorder
        self._lock = threading.Lock()
        self._shown: tuple[LiveMoment, Moment, Rig] | None = None
        self._box: NDArray[np.float64] | None = None
        self._made: dict[str, tuple[int, bytes]] = {}
        self._moments = self._passed = 0
        self._delay_s = self._interval_s = 0.0
        super().__init__(_Handler, host, port)

    def show(self, people: LiveMoment, moment: Moment, delay_s: float, rig: Rig) -> None:
        """Take a moment; what was drawn of the one before stays until the next picture is asked for."""
        with self._lock:
            before = self._shown
            interval = moment.at_s - before[1].at_s if before else 0.0
            weight = _RECENT if self._moments > 1 else 1.0
            self._delay_s += weight * (delay_s - self._delay_s)
            self._interval_s += weight * (interval - self._interval_s)
            self._moments += 1
            self._passed += moment.passed
            self._shown = people, moment, rig
            self._box = self._grown(people.poses)

    def _grown(self, poses: Poses3D) -> NDArray[np.float64] | None:
        """The box of all people so far, so that the view does not move with them."""
        if not np.isfinite(poses.xyz).any():
            return self._box
        box = people_box([poses])
        if self._box is None:
            return box
        return np.stack([np.minimum(self._box[0], box[0]), np.maximum(self._box[1], box[1])])

    def status(self) -> dict[str, Any]:
        """Return what the page shows, as JSON values."""
        with self._lock:
            people = self._shown[0].poses.person.tolist() if self._shown else []
            return {
                "phase": self.recorder.state.phase,
                "moments": self._moments,
                "passed": self._passed,
                "delay_s": self._delay_s,
                "rate_hz": 1 / self._interval_s if self._interval_s > 0 else 0.0,
                "people": sorted({one for one in people if one > 0}),
                "views": [view.name for view in self.recorder.views],
                "faults": [view.state.fault for view in self.recorder.views if view.state.fault],
            }

    def view_picture(self, index: int) -> bytes:
        """Return a view's image with the people over it, as JPEG; InputError before the first moment."""

        def drawn(people: LiveMoment, moment: Moment, rig: Rig) -> NDArray[np.uint8]:
            if not 0 <= index < len(rig):
                raise InputError(f"no view {index}")
            camera, image = rig[index], moment.images[index]
            width, height = camera.size
            if image is None or image.shape[:2] != (height, width):
                image = np.full((height, width, 3), 90, np.uint8)
            shown = people.rows[people.rows.view == index]
            return shrink(draw(image, people.poses, camera, detections=shown, title=camera.name), _VIEW_PX)[0]

        return self._drawn(f"view {index}", drawn)

    def scene(self) -> bytes:
        """Return the people in 3D, as JPEG; InputError before the first moment."""

        def drawn(people: LiveMoment, moment: Moment, rig: Rig) -> NDArray[np.uint8]:
            box = self._box if self._box is not None else people_box([])
            viewpoint = viewpoint_on("front", box, 0.0, _SCENE, rig)
            return scene_picture(people.poses, rig, viewpoint=viewpoint, size=_SCENE, box=box)

        return self._drawn("scene", drawn)

    def _drawn(self, name: str, make: Callable[[LiveMoment, Moment, Rig], NDArray[np.uint8]]) -> bytes:
        import cv2

        with self._lock:
            shown, number = self._shown, self._moments
            held = self._made.get(name)
        if shown is None:
            raise InputError("nothing is there yet")
        if held is None or held[0] != number:
            coded = cv2.imencode(".jpg", make(*shown)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
            held = number, coded.tobytes()
            with self._lock:
                self._made[name] = held
        return held[1]


class _Handler(TokenHandler):
    takes_actions = True

    def send_path(self, path: str, body: bool) -> None:
        """Send the page, its facts or a picture."""
        server = cast(LiveServer, self.server)
        if path in _FILES:
            self.send_page(Path(__file__).parent / _FILES[path], body)
        elif path == "status.json":
            self.send_json(server.status(), body)
        elif path == "scene.jpg":
            self.send_bytes(server.scene(), "image/jpeg", body)
        elif found := re.fullmatch(r"view/(\d{1,4})\.jpg", path):
            self.send_bytes(server.view_picture(int(found[1])), "image/jpeg", body)
        else:
            raise InputError("there is nothing here")

    def take_action(self, path: str) -> None:
        """End the live view."""
        if path != "stop":
            raise InputError(f"no action {path!r}")
        cast(LiveServer, self.server).recorder.stop("ended on the page")
