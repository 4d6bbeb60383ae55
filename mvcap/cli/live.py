"""The verb ``live`` of the command line."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvcap.cli.live_pages import serve_page, stopped_by_signals
from mvcap.errors import InputError

if TYPE_CHECKING:
    from mvcap.recording.recorder import Recorder
    from mvcap.streaming.senders import Sender

_MODES = ("fast", "balanced", "best")


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="NAME=SOURCE...")
@click.option(
    "--rig", type=click.Path(path_type=Path), required=True, metavar="FILE", help="Calibration of the cameras."
)
@click.option("--mode", type=click.Choice(_MODES), help="Of the estimator people. [default: fast]")
@click.option("--estimator", default="people", show_default=True, metavar="NAME", help="Who finds people in 2D.")
@click.option("--record", type=click.Path(path_type=Path), metavar="FOLDER", help="Record everything meanwhile.")
@click.option("--seconds", type=float, metavar="S", help="How long. [default: until Ctrl-C, or stopped on the page]")
@click.option("--udp", metavar="HOST:PORT", help="Send people as datagrams of JSON.")
@click.option("--osc", metavar="HOST:PORT", help="Send people as OSC, /mvcap/person/ID/JOINT x y z (extra 'live').")
@click.option("--websocket", is_flag=True, help="Serve people as JSON over WebSocket (extra 'live').")
@click.option("--no-page", is_flag=True, help="Serve no page.")
@click.option(
    "--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address of page and WebSocket."
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of the page. [default: any free one]")
def live(sources: tuple[str, ...], rig: Path, **options: Any) -> None:
    """Show people in 3D while they move: NAME=SOURCE as of mvcap record, NAME a camera of the calibration.

    The newest moment is always the next one looked at; frames in between are counted, not worked through late.
    """
    from mvcap.live import live as run

    if options["mode"] is not None and options["estimator"] != "people":
        raise InputError("--mode belongs to the estimator people")
    with ExitStack() as stack:
        senders = _senders(stack, options)
        server: list[Any] = []
        made = run(
            sources, rig, estimator=options["estimator"], settings={"mode": options["mode"]} if options["mode"] else {},
            senders=senders, record=options["record"], seconds=options["seconds"],
            opened=lambda recorder: server.extend(_opened(recorder, stack, options)),
            told=lambda *moment: server[0].show(*moment) if server else None,
        )  # fmt: skip
    delays = f"{1000 * made.delay_s[0]:.0f} ms, 95 % within {1000 * made.delay_s[1]:.0f} ms"
    click.echo(
        f"{made.moments} moments in {made.seconds:.1f} s, {made.rate_hz:.2f} a second, {made.passed} frames passed "
        f"over; from capture to people {delays}; {made.people} people"
    )
    click.echo(f"ended: {made.reason}")
    if made.recording is not None:
        click.echo(f"go on with: mvcap reconstruct {made.recording}/videos --rig {rig}")


def _opened(recorder: Recorder, stack: ExitStack, options: dict[str, Any]) -> list[Any]:
    """Let Ctrl-C end it in good order; serve the page."""
    stopped_by_signals(recorder, stack)
    if options["no_page"]:
        return []
    from mvcap.streaming.live_server import LiveServer

    server = LiveServer(recorder, options["host"], options["port"])
    serve_page(server, stack)
    return [server]


def _senders(stack: ExitStack, options: dict[str, Any]) -> list[Sender]:
    """Those that were asked for."""
    from mvcap.streaming.senders import OscSender, UdpSender, WebSocketSender

    made: list[Sender] = []
    if options["udp"]:
        made.append(UdpSender(*_host_port("--udp", options["udp"])))
    if options["osc"]:
        made.append(OscSender(*_host_port("--osc", options["osc"])))
    if options["websocket"]:
        served = WebSocketSender(options["host"])
        click.echo(f"people: {served.url}")
        made.append(served)
    for sender in made:
        stack.callback(sender.close)
    return made


def _host_port(option: str, text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise InputError(f"{option} {text}: give it as HOST:PORT, as in 127.0.0.1:9000")
    return host, int(port)


COMMANDS: tuple[click.Command, ...] = (live,)
