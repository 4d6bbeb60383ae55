"""People to other programs: real clients on loopback read what was sent, and others are refused."""

import json
import socket
import threading

import pytest

from mvcap.errors import InputError
from mvcap.streaming.senders import OscSender, UdpSender, WebSocketSender

MESSAGE = {
    "frame": 3, "time_s": 1.5, "joints": ["nose"], "people": [{"id": 4, "xyz": [[1.0, 2.0, 3.0]], "sigma_m": [0.1]}],
}  # fmt: skip


@pytest.fixture
def listener():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(10)
        yield made


def test_a_websocket_gives_each_moment_to_those_who_have_the_address():
    connect = pytest.importorskip("websockets.sync.client").connect
    exceptions = pytest.importorskip("websockets.exceptions")
    sender = WebSocketSender()
    try:
        with connect(sender.url) as one, connect(sender.url) as other:
            again = threading.Event()

            def send():
                while not again.wait(0.05):
                    sender.send(MESSAGE)

            thread = threading.Thread(target=send)
            thread.start()
            assert [json.loads(client.recv(10)) for client in (one, other)] == [MESSAGE, MESSAGE]
            again.set()
            thread.join()
        for wrong in (f"ws://127.0.0.1:{sender.port}/", f"{sender.url}x"):
            with pytest.raises(exceptions.InvalidStatus, match="403"):
                connect(wrong)
        with pytest.raises(InputError, match="cannot be served"):
            WebSocketSender(port=sender.port)
    finally:
        sender.close()


def test_a_slow_reader_holds_nobody_up_and_gets_the_newest():
    connect = pytest.importorskip("websockets.sync.client").connect
    sender = WebSocketSender()
    try:
        with connect(sender.url) as client:
            sender.send({"frame": 0})
            assert json.loads(client.recv(10)) == {"frame": 0}
            for frame in range(1, 500):
                sender.send({"frame": frame})
            frames = [0]
            while frames[-1] != 499:
                frames.append(json.loads(client.recv(10))["frame"])
            assert frames == sorted(frames)
    finally:
        sender.close()


def test_udp_is_json_and_smaller_if_it_would_be_too_large(listener):
    sender = UdpSender("localhost", listener.getsockname()[1])
    sender.send(MESSAGE)
    assert json.loads(listener.recv(70_000)) == MESSAGE
    one = {"xyz": [[0.1, 0.2, 0.3]] * 17, "sigma_m": [0.123] * 170}
    sender.send({**MESSAGE, "people": [{"id": n, **one} for n in range(60)]})
    got = json.loads(listener.recv(70_000))
    assert len(got["people"]) == 60 and "sigma_m" not in got["people"][0]
    sender.close()


def test_osc_has_an_address_for_each_joint(listener):
    messages = pytest.importorskip("pythonosc.osc_message")
    sender = OscSender("127.0.0.1", listener.getsockname()[1])
    sender.send(MESSAGE)
    got = [messages.OscMessage(listener.recv(2000)) for _ in range(2)]
    assert [(one.address, one.params) for one in got] == [
        ("/mvcap/frame", [3, 1.5]), ("/mvcap/person/4/nose", [1.0, 2.0, 3.0])
    ]  # fmt: skip
    sender.close()


def test_a_host_that_is_none_is_one_line():
    for made in (UdpSender, OscSender):
        with pytest.raises(InputError, match=r"no such host or port|pip install"):
            made("no such host", 1)
