"""The verb ``record`` of the command line."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvcap.cli.live_pages import serve_page, stopped_by_signals
from mvcap.errors import InputError

if TYPE_CHECKING:
    from mvcap.recording.recorder import Recorder, Recording

CODECS = ("copy", "h264", "ffv1", "mjpeg")
_LINE_S = 0.5
_CUT_SHORT = 1


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("sources", nargs=-1, required=True, metavar="NAME=SOURCE...")
@click.option("--rig", type=click.Path(path_type=Path), metavar="FILE",
              help="Calibration of the cameras: FOLDER becomes a session.")  # fmt: skip
@click.option("--seconds", type=float, metavar="S", help="How long. [default: until Ctrl-C, or stopped on the page]")
@click.option("--codec", type=click.Choice(CODECS), default="copy", show_default=True,
              help="How video is stored; copy keeps H.264, H.265 and MJPEG as they come.")  # fmt: skip
@click.option("--keep-free", type=click.FloatRange(0.0), default=2.0, show_default=True, metavar="GB",
              help="End in good order when less is free on the disk.")  # fmt: skip
@click.option("--wait", is_flag=True, help="Begin when Enter is pressed, or started on the page.")
@click.option("--exposure", metavar="MS", help="Of cameras that take it: a number, auto, or lock (as it is now).")
@click.option("--gain", metavar="NUMBER", help="The same, in the camera's own unit.")
@click.option("--white-balance", metavar="K", help="The same, colour temperature.")
@click.option(
    "--board", metavar="SPEC|FILE", help="Show on the page which parts of each picture this board has covered."
)
@click.option("--people", is_flag=True, help="Show on the page how many people each view sees.")
@click.option("--no-page", is_flag=True, help="Serve no page.")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address of the page.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of the page. [default: any free one]")
def record(folder: Path, sources: tuple[str, ...], **options: Any) -> None:
    """Record live cameras, each given as NAME=SOURCE, into FOLDER/videos, on one clock.

    A source is webcam:0 or /dev/video0, rtsp://..., http://... (MJPEG), a video file, a folder of images, or
    KIND:ADDRESS. What was lost is counted and listed in FOLDER/recording.json.
    """
    from mvcap.record import record as run
    from mvcap.structures.camera_controls import CameraControls

    controls = CameraControls(options["exposure"], options["gain"], options["white_balance"])
    with ExitStack() as stack:
        line = _Line(stack, options["wait"])
        made = run(
            folder, sources, rig=options["rig"], seconds=options["seconds"], codec=options["codec"],
            keep_free_gb=options["keep_free"], waits=options["wait"],
            controls=controls, noted=lambda said: click.echo(said, err=True),
            opened=lambda recorder: _opened(recorder, stack, options), tick=line.show,
        )  # fmt: skip
    _told(made, options["rig"])


def _opened(recorder: Recorder, stack: ExitStack, options: dict[str, Any]) -> None:
    """Serve the page, and let Ctrl-C end the recording in good order."""
    stopped_by_signals(recorder, stack)
    if options["people"] and options["no_page"]:
        raise InputError("--people shows on the page how many there are; leave out --no-page")
    if not options["no_page"]:
        from mvcap.record import count_people
        from mvcap.recording.preview import Preview
        from mvcap.recording.preview_server import PreviewServer

        preview = Preview(list(recorder.sources), _finders(options["board"], len(recorder.sources)))
        recorder.listen(preview.listen)
        if options["people"]:
            counter = count_people(recorder, preview)
            counter.start()
            stack.callback(counter.stop)
        serve_page(PreviewServer(recorder, preview, options["host"], options["port"]), stack)
    if options["wait"] and sys.stdin.isatty():
        threading.Thread(target=_start_by_enter, args=(recorder,), daemon=True).start()


def _start_by_enter(recorder: Recorder) -> None:
    sys.stdin.readline()
    recorder.start()


def _finders(board: str | None, count: int) -> list[Any]:
    """A finder of the board for each view."""
    if board is None:
        return []
    from calib.boards import board_from
    from calib.observe import Finder

    found = board_from(board)
    return [Finder(found) for _ in range(count)]


class _Line:
    """One line on a terminal that tells how it goes; nothing where there is none."""

    def __init__(self, stack: ExitStack, waits: bool) -> None:
        self._shown, self._waits = 0.0, waits
        self._there = sys.stderr.isatty()
        if self._there:
            stack.callback(lambda: click.echo("", err=True))

    def show(self, recorder: Recorder) -> None:
        """Write the line again, twice a second."""
        if not self._there or time.monotonic() - self._shown < _LINE_S:
            return
        self._shown = time.monotonic()
        state = recorder.state
        views = ", ".join(
            f"{view.name} {view.state.lost.rate_hz or 0:.1f} Hz {view.state.written}"
            + (f" lost {view.state.lost.lost}" if view.state.lost.lost else "")
            + ("" if view.state.connected else " AWAY")
            for view in recorder.views
        )
        phase = "press Enter to record" if state.phase == "ready" and self._waits else state.phase
        text = f"{phase} {state.seconds:6.1f} s, {state.free_bytes / 1e9:.1f} GB free: {views}"
        click.echo(f"\r\x1b[K{text}", nl=False, err=True)


def _told(made: Recording, rig: Path | None) -> None:
    """Print what was recorded, and what to do next."""
    for view in made.views:
        rate = "" if view.rate_hz is None else f", {view.rate_hz:.3f} Hz delivered"
        says = "" if view.declared_hz is None or view.rate_hz is None else f" (it says {view.declared_hz:.3f})"
        back = f", came back {view.reconnections} times" if view.reconnections else ""
        click.echo(f"{view.name}: {view.frames} frames in {view.seconds:.2f} s{rate}{says}, {view.lost} lost{back}")
        if view.controls:
            listed = (f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in
                      view.controls.items())  # fmt: skip
            click.echo(f"{view.name}: {', '.join(listed)}")
        for note in view.notes:
            click.echo(f"{view.name}: {note}", err=True)
    click.echo(f"ended: {made.reason}")
    if not made.complete:
        click.echo(f"mvcap: {made.folder}: cut short, all that was written plays: {made.reason}", err=True)
        sys.exit(_CUT_SHORT)
    if rig is not None:
        click.echo(f"session: {made.folder}")
    else:
        click.echo(f"go on with: mvcap reconstruct {made.folder}/videos --rig RIG")


COMMANDS: tuple[click.Command, ...] = (record,)
