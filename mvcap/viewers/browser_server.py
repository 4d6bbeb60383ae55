"""Web server of the viewer's page: a session's scene, its videos and point clouds under a token."""

from __future__ import annotations

import re
import threading
from typing import cast

from mvcap.errors import InputError
from mvcap.structures.token_server import TokenHandler, TokenServer
from mvcap.viewers.browser_page import page_file
from mvcap.viewers.browser_scene import Scene
from mvcap.viewers.browser_videos import MOSAIC, ProxyVideos


class ViewServer(TokenServer):
    """Serves one session's scene and videos; ``url`` is where. port 0: any free one.

    Raises InputError where the port cannot be had.
    """

    def __init__(self, scene: Scene, videos: ProxyVideos, host: str = "127.0.0.1", port: int = 0) -> None:
        self.scene, self.videos = scene, videos
        self._series: tuple[tuple[str, ...], bytes] | None = None
        self._series_lock = threading.Lock()
        super().__init__(_Handler, host, port)

    def series(self) -> bytes:
        """The curves over the take, computed once for each state of the session."""
        self.scene.check_unchanged()
        with self._series_lock:
            made = self.scene.made
            if self._series is None or self._series[0] != made:
                self._series = made, self.scene.series()
            return self._series[1]


class _Handler(TokenHandler):
    def send_path(self, path: str, body: bool) -> None:
        """Send the page, a description, arrays or a video."""
        server = cast(ViewServer, self.server)
        what, _, name = path.partition("/")
        if path in ("", "viewer.js", "style.css"):
            self.send_page(page_file(path or "index.html"), body)
        elif path == "scene.json":
            self.send_json(server.scene.description(), body)
        elif path == "series.bin":
            self.send_bytes(server.series(), "application/octet-stream", body)
        elif what in ("poses", "projected"):
            kind, _, start = name.removesuffix(".bin").partition("/")
            if not re.fullmatch(r"\d{1,9}", start):
                raise InputError(f"no chunk {name!r}")
            make = server.scene.chunk if what == "poses" else server.scene.projected
            self.send_bytes(make(kind, int(start)), "application/octet-stream", body)
        elif what == "video" and name.endswith(".json"):
            self.send_json(server.videos.proxy(_view(name.removesuffix(".json"))).as_dict(), body)
        elif what == "video" and name.endswith(".mp4"):
            proxy = server.videos.proxy(_view(name.removesuffix(".mp4")))
            if proxy.done < 1:
                raise InputError("the video is not made yet")
            self.send_file(proxy.path, "video/mp4", body)
        elif path == "skin.bin":
            self.send_bytes(server.scene.skin(), "application/octet-stream", body)
        elif what in ("cloud", "shape", "meshes"):
            scene = server.scene
            numbered = {"cloud": scene.cloud, "shape": scene.shape, "meshes": scene.motion}[what]
            self.send_bytes(numbered(_number(name.removesuffix(".bin"))), "application/octet-stream", body)
        else:
            raise InputError("there is nothing here")


def _view(name: str) -> int | None:
    """The number of a view in an address, None for the mosaic; InputError for anything else."""
    if name == MOSAIC:
        return None
    if not re.fullmatch(r"\d{1,4}", name):
        raise InputError(f"no video {name!r}")
    return int(name)


def _number(name: str) -> int:
    """The frame or the person in an address; InputError for anything else."""
    if not re.fullmatch(r"\d{1,9}", name):
        raise InputError(f"there is nothing numbered {name!r}")
    return int(name)
