"""The viewer and a session in one file of HTML, which opens from disk in any browser, without network."""

from __future__ import annotations

import base64
import json
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mvcap.progress import Progress, silent
from mvcap.structures.npz import written_whole
from mvcap.structures.session import Session
from mvcap.viewers.browser_page import page_file
from mvcap.viewers.browser_scene import CHUNK_FRAMES, Scene
from mvcap.viewers.browser_videos import FOLDER, MOSAIC, ProxyVideos

_CSP = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; media-src blob:; "
    "base-uri 'none'; form-action 'none'"
)
_STEP = 3 << 16  # bytes of base64 at once, a multiple of three
_STAGE = "export"


def write_single_file(
    session: Session,
    file: str | Path,
    *,
    videos: bool = False,
    truth: str | Path | None = None,
    progress: Progress = silent,
) -> Path:
    """Write the viewer's page with a session's poses, cameras and curves in it; return the file.

    videos: also the mosaic of all views. The file is written part by part and appears when it is whole. Raises
    SessionError where it cannot be written or the session has no poses, InputError where there are no videos.
    """
    path = Path(file)
    scene = Scene(session, truth)
    with ExitStack() as stack, written_whole(path) as temporary, temporary.open("w", encoding="utf-8") as out:
        out.write(_head())
        for part in _parts(scene, videos, stack, progress):
            out.write(part)
        out.write(f"<script>{_script()}</script>\n</body>\n</html>\n")
    return path


def _head() -> str:
    page = page_file("index.html").read_text(encoding="utf-8")
    style = page_file("style.css").read_text(encoding="utf-8")
    first = '<meta charset="utf-8">'
    page = page.replace(first, f'{first}\n<meta http-equiv="Content-Security-Policy" content="{_CSP}">', 1)
    page = page.replace('<link rel="stylesheet" href="style.css">', f"<style>{style}</style>", 1)
    return page.partition('<script src="viewer.js"></script>')[0]


def _script() -> str:
    return page_file("viewer.js").read_text(encoding="utf-8").replace("</script", "<\\/script")


def _parts(scene: Scene, videos: bool, stack: ExitStack, progress: Progress) -> Iterator[str]:
    """The data as elements that the page finds by their names: JSON, compressed arrays, a video."""
    about = scene.description()
    yield from _element("scene.json", _text(about))
    yield from _element("series.bin", _compressed(scene.series()))
    frames = scene.session.frames
    for start in range(0, frames, CHUNK_FRAMES):
        for kind in about["kinds"]:
            yield from _element(f"poses/{kind}/{start}.bin", _compressed(scene.chunk(kind, start)))
        yield from _element(f"projected/refine/{start}.bin", _compressed(scene.projected("refine", start)))
        progress(_STAGE, min(start + CHUNK_FRAMES, frames), frames)
    for frame in about["clouds"] or []:
        yield from _element(f"cloud/{frame}.bin", _compressed(scene.cloud(frame)))
    if about.get("meshes"):
        yield from _element("skin.bin", _compressed(scene.skin()))
        for person in about["meshes"]["persons"]:
            yield from _element(f"shape/{person}.bin", _compressed(scene.shape(person)))
        for start in range(0, frames, CHUNK_FRAMES):
            yield from _element(f"meshes/{start}.bin", _compressed(scene.motion(start)))
    if not videos:
        state = {"size": [0, 0], "tiles": [], "done": 0.0, "failed": "this file was exported without videos"}
        yield from _element(f"video/{MOSAIC}.json", _text(state))
        return
    folder = scene.session.folder / FOLDER
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mvcap-proxies-")))
    proxy = ProxyVideos(scene.session, folder if folder.is_dir() else scratch).make(None)
    yield from _element(f"video/{MOSAIC}.json", _text(proxy.as_dict()))
    with proxy.path.open("rb") as stream:
        yield from _element(f"video/{MOSAIC}.mp4", iter(lambda: stream.read(_STEP), b""))


def _text(content: Any) -> str:
    return json.dumps(content).replace("<", "\\u003c")


def _compressed(content: bytes) -> Iterator[bytes]:
    whole = zlib.compress(content, 6)
    return (whole[at : at + _STEP] for at in range(0, len(whole), _STEP))


def _element(name: str, content: str | Iterator[bytes]) -> Iterator[str]:
    yield f'<script type="application/octet-stream" id="data:{name}">'
    if isinstance(content, str):
        yield content
    else:
        for part in content:
            yield base64.b64encode(part).decode("ascii")
    yield "</script>\n"
