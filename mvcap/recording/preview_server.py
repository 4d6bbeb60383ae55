"""The page of a recording: pictures, rates and lost frames of all views, and its beginning and end."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

from mvcap.errors import InputError
from mvcap.recording.preview import Preview
from mvcap.recording.recorder import Recorder
from mvcap.recording.view_recorder import QUEUE_FRAMES
from mvcap.structures.token_server import TokenHandler, TokenServer

_FILES = {"": "preview_page.html", "preview_page.js": "preview_page.js", "preview_page.css": "preview_page.css"}


class PreviewServer(TokenServer):
    """Serves the page of one recorder under a token; InputError where the port cannot be had."""

    def __init__(self, recorder: Recorder, preview: Preview, host: str = "127.0.0.1", port: int = 0) -> None:
        self.recorder, self.preview = recorder, preview
        super().__init__(_Handler, host, port)

    def status(self) -> dict[str, Any]:
        """Return what the page shows, as JSON values."""
        state = self.recorder.state
        return {
            "folder": self.recorder.folder.name if self.recorder.folder else "",
            "phase": state.phase,
            "seconds": state.seconds,
            "free_gb": state.free_bytes / 1e9,
            "reason": state.reason,
            "views": [
                {
                    "name": view.name,
                    "connected": view.state.connected,
                    "fault": view.state.fault,
                    "rate_hz": view.state.lost.rate_hz,
                    "declared_hz": view.state.format.rate_hz if view.state.format else None,
                    "size": view.state.format.size if view.state.format else None,
                    "written": view.state.written,
                    "lost": view.state.lost.lost,
                    "queued": view.queued / QUEUE_FRAMES,
                    "reconnections": view.state.reconnections,
                    **self.preview.facts(view.name),
                }
                for view in self.recorder.views
            ],
        }


class _Handler(TokenHandler):
    takes_actions = True

    def send_path(self, path: str, body: bool) -> None:
        """Send the page, its facts or the newest picture of a view."""
        server = cast(PreviewServer, self.server)
        if path in _FILES:
            self.send_page(Path(__file__).parent / _FILES[path], body)
        elif path == "status.json":
            self.send_json(server.status(), body)
        elif found := re.fullmatch(r"view/(\d{1,4})\.jpg", path):
            views = server.recorder.views
            if int(found[1]) >= len(views):
                raise InputError(f"no view {found[1]}")
            view = views[int(found[1])]
            codec = view.state.format.codec if view.state.format else ""
            self.send_bytes(server.preview.jpeg(view.name, codec), "image/jpeg", body)
        else:
            raise InputError("there is nothing here")

    def take_action(self, path: str) -> None:
        """Begin or end the recording."""
        recorder = cast(PreviewServer, self.server).recorder
        if path == "start":
            recorder.start()
        elif path == "stop":
            recorder.stop("ended on the page")
        else:
            raise InputError(f"no action {path!r}")
