"""The verb ``view`` of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mvcap.cli.options import session_argument
from mvcap.cli.progress_bar import bar
from mvcap.errors import InputError

CAMERA_PATHS = ("front", "side", "top", "orbit", "follow")


@click.command()
@session_argument
@click.option("--truth", type=click.Path(path_type=Path), metavar="FILE",
              help="Poses to show beside those of the session (poses.npz), in its world and frames.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the page. [default: any free one]")
@click.option("--host", metavar="ADDRESS", help="Address to serve on; with another one, machines that know the whole "
              "address can look. [default: 127.0.0.1]")  # fmt: skip
@click.option("--no-open", is_flag=True, help="Only print the address; do not open a browser.")
@click.option("--export", "file", type=click.Path(path_type=Path), metavar="FILE.html",
              help="Write the page and the session as one file that opens without network; serve nothing.")  # fmt: skip
@click.option("--videos", is_flag=True, help="With --export: with the videos, small.")
@click.option("--rrd", type=click.Path(path_type=Path), metavar="FILE",
              help="Write a recording of Rerun (extra 'rerun'); serve nothing.")  # fmt: skip
@click.option("--png", type=click.Path(path_type=Path), metavar="FILE", help="Write a picture in 3D; serve nothing.")
@click.option("--time", "time_s", type=float, metavar="SECONDS", help="With --png: its moment. [default: 0]")
@click.option("--mp4", type=click.Path(path_type=Path), metavar="FILE", help="Write a video in 3D; serve nothing.")
@click.option("--path", "camera_path", type=click.Choice(CAMERA_PATHS), help="With --png or --mp4: where from.")
@click.option("--window", is_flag=True, help="Show a window of Open3D (extra 'cloud') instead: --viewer window.")
@click.option("--viewer", default="browser", show_default=True, metavar="NAME", help="How it is shown.")
def view(session: Path, truth: Path | None, viewer: str, window: bool, **options: Any) -> None:
    """Look at a session in the browser: people, cameras, videos and curves on one timeline.

    Ends with Ctrl-C. Only this machine, and only who has the address that is printed, can open the page.
    """
    page = {"port": options.pop("port"), "host": options.pop("host")}
    page["open_page"] = False if options.pop("no_open") else None
    files = options
    if files["videos"] and files["file"] is None:
        raise InputError("--videos belongs to --export FILE.html; the page that is served shows the videos anyway")
    if files["time_s"] is not None and files["png"] is None:
        raise InputError("--time belongs to --png FILE.png")
    if files["camera_path"] is not None and files["png"] is None and files["mp4"] is None:
        raise InputError("--path belongs to --png FILE.png or --mp4 FILE.mp4")
    if truth is not None and not (files["file"] or files["rrd"]) and (files["png"] or files["mp4"]):
        raise InputError("--truth belongs to the page, to --export FILE.html and to --rrd FILE.rrd")
    if any(files[name] is not None for name in ("file", "rrd", "png", "mp4")):
        _write(session, truth, **files)
        return
    from mvcap.view import view as run

    def started(where: str) -> None:
        click.echo(f"{session}: {where}  (Ctrl-C ends)")

    given = {name: value for name, value in page.items() if value is not None}
    try:
        run(session, "window" if window else viewer, truth=truth, started=started, **given)
    except KeyboardInterrupt:
        click.echo("")


def _write(
    session: Path,
    truth: Path | None,
    file: Path | None,
    videos: bool,
    rrd: Path | None,
    png: Path | None,
    time_s: float | None,
    mp4: Path | None,
    camera_path: str | None,
) -> None:
    """Write the files that were asked for and print their names."""
    from mvcap.view import export_picture, export_recording, export_video, export_view

    with bar(False) as progress:
        if file is not None:
            click.echo(export_view(session, file, videos=videos, truth=truth, progress=progress))
        if rrd is not None:
            click.echo(export_recording(session, rrd, truth=truth, progress=progress))
        if png is not None:
            click.echo(export_picture(session, png, time_s=time_s or 0.0, camera_path=camera_path or "front"))
        if mp4 is not None:
            click.echo(export_video(session, mp4, camera_path=camera_path or "orbit", progress=progress))


COMMANDS: tuple[click.Command, ...] = (view,)
