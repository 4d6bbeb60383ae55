"""The verb ``generate``: datasets from a recorded take, through Python and the command line."""

import errno
import json
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from recorded_take import recorded_session, same_truth
from synthetic_take import run

import mvcap
from mvcap import plugins
from mvcap.datasets.ground_truth import as_skeleton
from mvcap.generate import dataset_writers

GAP = {"gap_s": 0.1}


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return recorded_session(tmp_path_factory.mktemp("take"))


@pytest.fixture(scope="module")
def made(session, tmp_path_factory):
    told = []
    out = tmp_path_factory.mktemp("out") / "dataset"
    found = mvcap.generate(
        session, out, formats=["all"], every=3, splits=GAP, licence="CC0-1.0", progress=lambda *one: told.append(one)
    )
    return found, told


def test_every_format_holds_the_same_truth(made):
    found, _ = made
    assert set(found.formats) == set(plugins.TABLE["dataset_format"])
    writers = dataset_writers(["all"])
    whole = writers["parquet"].read(found.folder / "parquet")
    assert {one.frame % 3 for one in whole.frames()} == {0}
    for name, writer in writers.items():
        back = writer.read(found.folder / name)
        same_truth(as_skeleton(whole, back.skeleton), back, ("xyz",), atol=1e-5)


def test_splits_are_apart_and_the_sheet_is_true(made):
    found, told = made
    sheet = json.loads((found.folder / "datasheet.json").read_text())
    assert sheet["licence"] == "CC0-1.0" and sheet["provenance"]["rig"]["cameras"] == ["cam1", "cam2", "cam3"]
    whole = dataset_writers(["parquet"])["parquet"].read(found.folder / "parquet")
    for split in ("train", "val", "test"):
        frames = [one.frame for one in whole.of_split(split)]
        assert sheet["splits"][split]["frames"] == len(frames) > 0
    ends = [[one.frame for one in whole.of_split(split)] for split in ("train", "val", "test")]
    assert all(later[0] - earlier[-1] > 2 for earlier, later in pairwise(ends))
    pictures = list((found.folder / "images").rglob("*.jpg"))
    assert len(pictures) == sum(one["images"] for one in sheet["splits"].values())
    assert sheet["dropped_frames"] == {"gap": 10 - sum(map(len, ends))}
    for row in sheet["gates"]:
        assert row["total"] == row["kept"] + sum(
            value for key, value in row.items() if key not in ("person", "what", "total", "kept")
        )
    text = (found.folder / "datasheet.json").read_text() + (found.folder / "README.md").read_text()
    assert str(found.folder.parent.parent) not in text  # no places of this machine
    assert told[-1][1] == told[-1][2] and {one[0] for one in told} >= {"frames", "coco", "mupots"}
    assert not (found.folder / "truth").exists() and [path.name for path in found.folder.parent.iterdir()] == [
        "dataset"
    ]


def test_the_same_session_gives_the_same_bytes(session, made, tmp_path):
    found, _ = made
    mvcap.generate(session, tmp_path / "again", formats=["all"], every=3, splits=GAP, licence="CC0-1.0")
    files = sorted(path.relative_to(found.folder) for path in found.folder.rglob("*") if path.is_file())
    assert files == sorted(
        path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*") if path.is_file()
    )
    other = [path for path in files if (found.folder / path).read_bytes() != (tmp_path / "again" / path).read_bytes()]
    assert other == []


def test_sessions_that_are_no_truth_are_refused(session, tmp_path):
    bare = mvcap.Session.create(session.rig, tmp_path / "bare", frames=3, rate_hz=25)
    for words, said in (
        (["--from", bare.folder], "stage 'refine' is not done"),
        (["--from", tmp_path / "none"], "none"),
        ([], "give one reconstructed session"),
    ):
        done = run("generate", *words, tmp_path / "out")
        assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(mvcap.MvcapError, match="there is something already"):
        mvcap.generate(session, tmp_path / "full")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare", "full"]


def test_a_disk_that_fills_is_one_line_and_leaves_nothing(session, tmp_path, monkeypatch):
    """The third image does not fit."""
    written, count = Path.write_bytes, []

    def fills(path, data):
        count.append(path)
        if len(count) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written(path, data)

    monkeypatch.setattr(Path, "write_bytes", fills)
    with pytest.raises(mvcap.MvcapError, match=r"out cannot be written: No space left on device; free some space or"):
        mvcap.generate(session, tmp_path / "out", splits=GAP)
    assert not list(tmp_path.iterdir()) and len(count) == 3


def test_interruption_leaves_nothing(session, tmp_path):
    def stop(stage, done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mvcap.generate(session, tmp_path / "out", splits=GAP, progress=stop)
    assert not list(tmp_path.iterdir())


class Lines:
    """A format of one's own: a line a person."""

    def write(self, truth, folder):
        folder.mkdir(parents=True)
        lines = [f"{one.frame} {person}" for one in truth.frames() for person in one.persons]
        (folder / "people.txt").write_text("\n".join(lines))


def test_a_format_of_ones_own(session, tmp_path):
    found = mvcap.generate(session, tmp_path / "out", formats=[f"{__name__}:Lines"], every=10, splits={"by": "none"},
                           images="none", masks="none")  # fmt: skip
    assert np.loadtxt(found.folder / found.formats[0] / "people.txt").shape == (6, 2)
    assert not (found.folder / "images").exists()
