"""The verb ``view``: show a session, or write what is shown as a page, a picture or a video."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mvcap import plugins
from mvcap.cloud import cloud_frame_at, cloud_frames, read_cloud
from mvcap.drawing.scene_picture import Cloud
from mvcap.drawing.scene_video import scene_pictures, scene_video
from mvcap.errors import InputError
from mvcap.export import take_of
from mvcap.progress import Progress, silent
from mvcap.structures.npz import written_whole
from mvcap.structures.session import Session
from mvcap.viewers.browser_single_file import write_single_file


def view(
    session: str | Path | Session,
    viewer: str = "browser",
    *,
    truth: str | Path | None = None,
    started: Callable[[str], None] = lambda where: None,
    **options: Any,
) -> None:
    """Show a session's cameras, people, point clouds and videos on one timeline, until the process is interrupted.

    viewer: ``browser``, a page that only this machine and only who has its address can open; ``window`` of Open3D; or
    ``rerun``. truth: a file of poses to show beside them (``poses.npz``, in the world and frames of the session).
    started: called with the address, or the title. options: the viewer's own. Of the browser: ``host``, the address to
    listen on (another one than the default lets other machines see the session, if they have the whole address),
    ``port`` (default 0: any free one) and ``open_page`` (default True). Raises SessionError for a session without
    poses, InputError for an option that the viewer does not have and where it cannot be started.
    """
    show = plugins.find_plugin("viewer", viewer)
    known = inspect.signature(show).parameters
    for name in options:
        if name not in known:
            raise InputError(f"viewer {viewer!r} has no option {name!r}")
    show(Session.of(session), truth=truth, started=started, **options)


def export_view(
    session: str | Path | Session,
    file: str | Path,
    *,
    videos: bool = False,
    truth: str | Path | None = None,
    progress: Progress = silent,
) -> Path:
    """Write what the browser shows as one file of HTML that opens from disk, without network; return it.

    videos: with the mosaic of all views. Raises SessionError for a session without poses or a file that cannot be
    written.
    """
    _check_name(file, ".html", "--export")
    return write_single_file(Session.of(session), file, videos=videos, truth=truth, progress=progress)


def export_picture(
    session: str | Path | Session,
    file: str | Path,
    *,
    time_s: float = 0.0,
    camera_path: str = "front",
    size: tuple[int, int] = (1280, 720),
) -> Path:
    """Write a PNG of a session's people, cameras and point cloud in 3D at a time; return it.

    camera_path: one of ``drawing.viewpoints.CAMERA_PATHS``. size: (w, h) px. Drawn without a GPU. Raises InputError for
    a time outside the take or an unknown path, SessionError for a session without poses or a file that cannot be
    written.
    """
    import cv2

    session = Session.of(session)
    take = take_of(session, "refine")
    _check_name(file, ".png", "--png")
    frame = int(time_s * session.rate_hz + 1e-6) if math.isfinite(time_s) and time_s >= 0 else -1
    if not 0 <= frame < session.frames:
        raise InputError(f"--time {time_s:g}: the take lasts from 0 to {(session.frames - 1) / session.rate_hz:.3f} s")
    pictures = scene_pictures(take, [frame], session.rig, camera_path=camera_path, size=size, cloud_at=_clouds(session))
    _, picture = next(iter(pictures))
    path = Path(file)
    with written_whole(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
    return path


def export_video(
    session: str | Path | Session,
    file: str | Path,
    *,
    camera_path: str = "orbit",
    size: tuple[int, int] = (1280, 720),
    progress: Progress = silent,
) -> Path:
    """Write an MP4 of a session's people, cameras and point clouds in 3D from a camera path; return it.

    camera_path: one of ``drawing.viewpoints.CAMERA_PATHS``. size: (w, h) px. Drawn without a GPU. Raises InputError for
    an unknown path or a file that cannot be written, SessionError for a session without poses.
    """
    _check_name(file, ".mp4", "--mp4")
    session = Session.of(session)
    take = take_of(session, "refine")
    return scene_video(
        file, take, session.rig, camera_path=camera_path, size=size, cloud_at=_clouds(session), progress=progress
    )


def export_recording(
    session: str | Path | Session,
    file: str | Path,
    *,
    truth: str | Path | None = None,
    progress: Progress = silent,
) -> Path:
    """Write a session's people, covariances, cameras and point clouds as a recording of Rerun (.rrd); return it.

    Needs the extra ``rerun``: InputError without it. Raises SessionError for a session without poses or a file that
    cannot be written.
    """
    from mvcap.viewers.rerun import write_recording

    _check_name(file, ".rrd", "--rrd")
    return write_recording(Session.of(session), file, truth=truth, progress=progress)


def _check_name(file: str | Path, suffix: str, option: str) -> None:
    if Path(file).suffix.lower() != suffix:
        raise InputError(f"{option} {file}: give a name that ends in {suffix}")


def _clouds(session: Session) -> Callable[[int], Cloud | None]:
    """The cloud of a frame, or the last one before it for as long as clouds are apart."""
    frames = cloud_frames(session)

    def at(frame: int) -> Cloud | None:
        shown = cloud_frame_at(frames, frame)
        found = None if shown is None else read_cloud(session, shown)
        return None if found is None else (found.xyz, found.rgb)

    return at
