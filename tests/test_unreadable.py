"""Files and folders that may not be read: one line that says so, never a traceback and never "damaged"."""

import os
from pathlib import Path

import pytest
from synthetic_take import ring_rig, write_clip

import mvcap
from calib import load_rig, save_rig
from calib.errors import RigFileError
from mvcap.cli.main import main
from mvcap.errors import InputError
from mvcap.structures.footage import Footage


def denied(*arguments, **options):
    raise PermissionError(13, "Permission denied", "x")


@pytest.fixture
def files(tmp_path):
    save_rig(ring_rig(2), tmp_path / "rig.yaml")
    for name in ("cam1", "cam2"):
        write_clip(tmp_path / "videos" / f"{name}.mp4", frames=3)
    return tmp_path


@pytest.mark.parametrize("call", ["open", "stat"])
def test_a_calibration(files, monkeypatch, call):
    monkeypatch.setattr(Path, call, denied)
    with pytest.raises(RigFileError, match=r"cannot be read \(Permission denied\); make it readable"):
        load_rig(files / "rig.yaml")


@pytest.mark.parametrize("call", ["open", "stat"])
def test_footage(files, monkeypatch, call):
    monkeypatch.setattr(Path, call, denied)
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied\); make it readable"):
        Footage.probe(files / "videos" / "cam1.mp4")


def test_a_folder_of_footage(files, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match="videos: the folder cannot be read"):
        mvcap.init(files / "videos", files / "rig.yaml", files / "take")
    assert not (files / "take").exists()


@pytest.mark.parametrize("line", [["report", "take"], ["reconstruct", "take"], ["rig", "show", "rig.yaml"]])
def test_every_verb_says_it_in_one_line(files, monkeypatch, capsys, line):
    monkeypatch.setattr(Path, "stat", denied)
    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(SystemExit) as caught:
        main(line)
    said = capsys.readouterr().err
    assert caught.value.code == 2 and said.count("\n") == 1 and "Permission denied" in said
