"""A page in the web browser: skeletons, cameras, point clouds and videos on one timeline, for this machine only."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mvcap.structures.session import Session
from mvcap.viewers import has_display
from mvcap.viewers.browser_page import page_file
from mvcap.viewers.browser_scene import Scene
from mvcap.viewers.browser_server import ViewServer
from mvcap.viewers.browser_videos import FOLDER, ProxyVideos


def show(
    session: Session,
    *,
    truth: str | Path | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    open_page: bool = True,
    started: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve the page until the process is interrupted; open it in the browser if there is a display.

    started: called with the address of the page. Raises SessionError for a session without poses, InputError where the
    page is not built or the port cannot be had.
    """
    with ExitStack() as stack:
        stack.callback(_set_interrupt, signal.getsignal(signal.SIGINT))  # registered first, so done last
        server = view_server(session, stack, truth=truth, host=host, port=port)
        stack.callback(_set_interrupt, signal.SIG_IGN)  # a second Ctrl-C does not disturb what the first one ends
        for url in server.urls:
            started(url)
        if open_page and has_display():
            import webbrowser

            webbrowser.open(server.url)
        server.serve_forever()


def view_server(
    session: Session,
    stack: ExitStack,
    *,
    truth: str | Path | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> ViewServer:
    """Return a server of the page that is ready to serve; the stack closes it and removes what it made beside."""
    for name in ("index.html", "style.css", "viewer.js"):
        page_file(name)
    scene = Scene(session, truth)
    scene.session.rig  # noqa: B018 - a rig that cannot be read is said here, not in the page
    videos = ProxyVideos(session, _proxy_folder(session, stack))
    server = ViewServer(scene, videos, host, port)
    stack.callback(server.server_close)
    stack.callback(videos.stop)
    videos.proxy(None)  # begins now: it is what takes longest
    return server


def _set_interrupt(handler: Any) -> None:
    """Set what an interrupt does; other threads than the main one cannot."""
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)


def _proxy_folder(session: Session, stack: ExitStack) -> Path:
    """Where proxies are kept: in the session, and for one that cannot be written only as long as the page is shown."""
    folder = session.folder / FOLDER
    if os.access(folder if folder.exists() else session.folder, os.W_OK):
        return folder
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mvcap-proxies-", ignore_cleanup_errors=True)))
