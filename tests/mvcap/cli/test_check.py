"""``mvcap check``: lines, JSON, exit status, and the table of the manual."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from damaged_clips import clip
from synthetic_take import run as process

from mvcap.cli import check
from mvcap.cli.main import cli
from mvcap.footage_checks.findings import KINDS

README = Path(__file__).parents[3] / "mvcap" / "README.md"


def run(*words):
    return CliRunner().invoke(cli, ["check", *map(str, words)])


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A whole clip, and one that is cut short."""
    folder = tmp_path_factory.mktemp("videos")
    clip(folder / "whole_h264.mp4")
    data = clip(folder / "cut_fast.mp4").read_bytes()
    (folder / "cut_fast.mp4").write_bytes(data[: len(data) * 2 // 3])
    return folder


def test_nothing_wrong_is_status_0(videos):
    done = run(videos / "whole_h264.mp4")
    assert done.exit_code == 0 and "whole_h264: 40 pictures, 64x48, 25 Hz, 1.56 s, h264" in done.stdout
    assert "nothing is wrong" in done.stdout and check.COMMANDS[0].name == "check"


def test_wrong_footage_is_status_1_with_what_and_what_to_do(videos):
    done = run(videos / "cut_fast.mp4", "--all")
    assert done.exit_code == 1
    assert re.search(r"^error: cut_fast at 0\.\d\d s: truncated: .* up to .*--repair", done.stdout, re.MULTILINE)


def test_json_holds_everything(videos):
    done = run(videos / "cut_fast.mp4", videos / "whole_h264.mp4", "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == 1 and told["good"] is False and [one["name"] for one in told["views"]] == [
        "cut_fast", "whole_h264"
    ]  # fmt: skip
    truncated = next(one for one in told["findings"] if one["kind"] == "truncated")
    assert truncated["views"] == ["cut_fast"] and truncated["repairable"] and truncated["figures"]["readable"] > 10
    assert told["repaired"] == []


def test_repair_says_what_was_written(videos, tmp_path):
    done = run(videos / "cut_fast.mp4", "--repair", "--out", tmp_path / "out")
    assert done.exit_code == 1 and re.search(r"^repaired: cut_fast: .*cut_fast\.mkv, \d+ pictures$", done.stdout, re.M)
    assert run(tmp_path / "out" / "cut_fast.mkv").exit_code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["none.mp4"], "no such file"),
        (["none.mp4", "--repair"], "--repair needs --out"),
        (["none.mp4", "--out", "x"], "--out belongs to --repair"),
    ],
)
def test_bad_input_is_status_2_and_one_line(words, told):
    done = process("check", *words)
    assert done.returncode == 2 and told in done.stderr and done.stderr.count("\n") == 1 and not done.stdout


def test_the_manual_lists_every_kind():
    text = README.read_text(encoding="utf-8").partition("## Checking footage")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE) == list(KINDS)
