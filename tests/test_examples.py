"""The examples run as they stand, end with status 0, and print what they promise."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "tools" / "examples"
EXAMPLES = sorted(FOLDER.glob("[0-9]_*.py"))


def run(path, *arguments):
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    place = {"PYTHONPATH": str(FOLDER.parents[1])}
    line = [sys.executable, "-W", "error", str(path), *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, text=True, env={**os.environ, **threads, **place}, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_five_and_each_is_short():
    assert [path.name[0] for path in EXAMPLES] == list("12345")
    for path in EXAMPLES:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) < 40 and text.startswith('"""'), path


def test_own_detections(tmp_path):
    said = run(EXAMPLES[0], tmp_path)
    assert "people [1, 2] positions (75, 2, 17, 3)" in said
    wrist = [float(number) for number in re.search(r"m: \[(.*)\]", said)[1].split(", ")]
    assert wrist == pytest.approx([0.35, -1.45, 0.87], abs=0.03)
    names = {"take.npz", "take.csv", "take.c3d", "take_person01.trc", "take_person02.trc"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_opencv_cameras(tmp_path):
    said = run(EXAMPLES[1], tmp_path / "rig.toml")
    off_px, off_mm = re.search(r"error ([\d.]+) px, error in 3D ([\d.]+) mm", said).groups()
    assert 0.3 < float(off_px) < 2 and float(off_mm) < 10
    assert (tmp_path / "rig.toml").exists() and "('north', 'west', 'south', 'east')" in said


def test_live_loop():
    lines = run(EXAMPLES[2]).splitlines()
    found = [re.match(r" (\d\.\d) s  person (\d)  pelvis at \[(.*)\] m", line) for line in lines[:-1]]
    assert len(found) == 6
    for match in found:  # one walks on each side, all the time under the same number
        second, person, place = float(match[1]), int(match[2]), [float(x) for x in match[3].split(",")]
        side = 1 if person == 0 else -1
        assert place == pytest.approx([0.6 * side, side * (-1.5 + second), 0.92], abs=0.05)
    assert re.match(r"\d+\.\d ms a moment", lines[-1])


def test_score_other_tool():
    rows = {line[:14].strip(): line[14:].split() for line in run(EXAMPLES[3]).splitlines()[1:]}
    assert set(rows) == {"plain DLT", "mvcap, raw", "mvcap"}
    assert float(rows["mvcap"][0]) < float(rows["plain DLT"][0]) < 20
    assert all(row[1] == "100" and row[2] == "0" for row in rows.values())


def test_new_refiner():
    raw, refined = map(float, re.search(r"mm: ([\d.]+) ([\d.]+)", run(EXAMPLES[4])).groups())
    assert refined < raw < 20
