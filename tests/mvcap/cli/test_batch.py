"""``mvcap batch`` on the command line: table, status, JSON, and a disk that is full."""

import json
import os
import resource
import subprocess
import sys

from click.testing import CliRunner
from toy_jobs import JOB, told_items

from mvcap.cli import batch as command


def said(*words):
    return CliRunner().invoke(command.batch, [str(word) for word in words])


def test_a_table_and_a_status(tmp_path):
    folder = told_items(tmp_path, a=2, b={"fail": "dark"})
    told = said(folder, "--verb", JOB, "--workers", 1, "--set", "size=4")
    lines = told.output.splitlines()
    assert told.exit_code == 1 and lines[0].split() == ["session", "state", "verdict", "seconds", "about"]
    assert lines[1].split()[:3] == ["a_0000.yaml", "done", "good"] and lines[1].endswith("4 letters")
    assert lines[3].endswith("dark") and lines[4].startswith("3 sessions: 2 done, 1 failed, ")
    assert lines[5] == f"report: {folder / 'batch.html'}"
    (folder / "b.yaml").write_text("{}")
    told = said(folder, "--verb", JOB, "--set", "size=4", "--redo", "failed", "--json", "--no-wait")
    assert told.exit_code == 0 and json.loads(told.output)["done"] == 3


def test_settings_of_sessions_are_checked(tmp_path):
    told = said(tmp_path, "--set", "track.min_second=1")
    assert told.exit_code == 1 and "did you mean 'min_seconds'" in str(told.exception)
    (tmp_path / "mine.yaml").write_text("track: [")
    told = said(tmp_path, "--config", tmp_path / "mine.yaml")
    assert told.exit_code == 1 and "mine.yaml is" in str(told.exception)


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tmp_path):
    folder = told_items(tmp_path, a=2)
    line = [sys.executable, "-m", "mvcap.cli", "batch", str(folder), "--verb", JOB, "--workers", "1"]
    path = os.pathsep.join(place for place in sys.path if place)

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))  # claims are larger, as if there were no space

    told = subprocess.run(
        line, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path},
        preexec_fn=limited, check=False,
    )  # fmt: skip
    assert told.returncode == 2 and len(told.stderr.splitlines()) == 1
    assert "cannot be written: File too large; free some space" in told.stderr
    assert not any((folder / ".mvcap_batch").rglob("*.*")) and not (folder / "batch.json").exists()
