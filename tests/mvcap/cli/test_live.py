"""`mvcap live` on the command line: what it did in two lines, and what is wrong in one."""

import json
import socket

import pytest
from live_take import cameras, oracle_take

from mvcap.cli import main


def test_it_tells_rates_and_delays_and_sends_people(tmp_path, capsys, monkeypatch):
    rig, settings = oracle_take(tmp_path)
    monkeypatch.setattr("mvcap.live._SETTINGS", {"oracle": settings})
    with cameras(rig) as sources, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)
        where = [
            "--rig",
            str(tmp_path / "rig.yaml"),
            "--udp",
            f"127.0.0.1:{listener.getsockname()[1]}",
            "--seconds",
            "2",
        ]
        main.main(["live", *sources, *where, "--estimator", "oracle", "--no-page"])
        assert json.loads(listener.recv(70_000))["axes"] == "z-up"
    first, second = capsys.readouterr().out.splitlines()
    assert "a second" in first and "from capture to people" in first and first.endswith("2 people")
    assert second == "ended: the time is up"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["a=http://h/", "b=http://h/"], "rig.yaml"),
        (["a=http://h/", "b=http://h/", "--udp", "9000"], "give it as HOST:PORT"),
        (["a=http://h/", "b=http://h/", "--osc", "h:99999"], "give it as HOST:PORT"),
        (["a=http://h/", "b=http://h/", "--estimator", "oracle", "--mode", "fast"], "--mode belongs to"),
        (["a"], "NAME=ADDRESS"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, capsys, words, text):
    with pytest.raises(SystemExit) as caught:
        main.main(["live", *words, "--rig", str(tmp_path / "rig.yaml"), "--no-page"])
    error = capsys.readouterr().err
    assert caught.value.code == 2 and text in error and error.count("\n") == 1
