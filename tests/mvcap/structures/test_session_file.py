"""A session that somebody sent: names of views, damaged values, links, foreign files, and what killed runs left."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from synthetic_take import ring_rig

from calib import Rig
from calib.names import name_fault
from mvcap.errors import SessionError
from mvcap.structures import own_files
from mvcap.structures.artefact import Artefact, Origin
from mvcap.structures.npz import write_text, written_whole
from mvcap.structures.session import Session
from mvcap.structures.session_file import check_names, read_session_file
from mvcap.structures.table import Table

BAD_NAMES = [
    "../../outside", "a/b", "a\\b", "/abs", "\\\\server\\x", "..", ".", "C:", "C:x", "c:\\x", "nul", "COM1.mp4", "con",
    "lpt9.x", "a\nb", "a\0b", "\x1b[2J", "a\u202eb", "a\u2028b", "\x7f", "\ud800", " a", "a ", "a.", "...", "",
    "x" * 201, "\u00e4" * 101, 3, None, ["a"], True,
]  # fmt: skip
GOOD_NAMES = ["cam01", "cam$_$", "$x^$", "<!--<script>", "__proto__", "K\u00fcche 2", "\u30ab\u30e1\u30e9", "a..b",
              "-x", "#1", "console", "a b", "%s", "'", '"', "*", "null"]  # fmt: skip


@pytest.fixture
def session(tmp_path):
    return Session.create(ring_rig(3), tmp_path / "take", frames=10, rate_hz=25.0)


def change(session, **changes):
    path = session.folder / "session.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_a_name_that_is_more_than_a_name_is_refused_on_opening(session, name):
    assert name_fault(name)
    views = yaml.safe_load((session.folder / "session.yaml").read_text())["views"]
    views[1]["name"] = name
    (session.folder / "session.yaml").write_bytes(json.dumps({  # as it escapes what YAML would not write
        "views": views, "rate_hz": 25.0, "frames": 10, "notes": []}).encode())  # fmt: skip
    with pytest.raises(SessionError) as caught:
        Session.open(session.folder)
    assert "\n" not in str(caught.value) and str(caught.value).isprintable()


@pytest.mark.parametrize("name", GOOD_NAMES, ids=ascii)
def test_all_other_names_are_only_names(tmp_path, name):
    made = Session.create(_named(ring_rig(3), name), tmp_path / "take", frames=5, rate_hz=25.0)
    again = Session.open(made.folder)
    assert again.names[0] == name == again.rig.names[0] and name_fault(name) is None


def _named(rig, name):
    first = dataclasses.replace(rig[0], lens=dataclasses.replace(rig[0].lens, name=name))
    return Rig((first, *rig.cameras[1:]))


@pytest.mark.parametrize("name", ["../x", "a/b", "nul", "a\tb"])
def test_a_rig_with_such_a_name_makes_no_session(tmp_path, name):
    with pytest.raises(SessionError, match="rename the view"):
        Session.create(_named(ring_rig(3), name), tmp_path / "take", frames=5, rate_hz=25.0)
    assert not (tmp_path / "take").exists()


def test_a_name_that_is_there_twice_is_refused():
    with pytest.raises(SessionError, match="two views are named 'a'"):
        check_names(["a", "b", "a"], "x")


@pytest.mark.parametrize(
    "changes",
    [
        {"frames": 10**12}, {"frames": -1}, {"frames": "10"}, {"frames": 1.5}, {"frames": True}, {"rate_hz": "x"},
        {"rate_hz": float("nan")}, {"rate_hz": 0}, {"rate_hz": 10**400}, {"views": []}, {"views": None}, {"views": {}},
        {"views": [1]}, {"views": [{"name": "a"}]}, {"notes": "text"}, {"notes": [1]},
        {"views": [{"name": "a", "path": "", "size": [2, -2], "identity": ""}]},
        {"views": [{"name": "a", "path": "\0", "size": [2, 2], "identity": ""}]},
        {"views": [{"name": "a", "path": [], "size": [2, 2], "identity": ""}]},
        {"views": [{"name": "a", "path": "", "size": [10**9, 2], "identity": ""}]},
    ],
    ids=str,
)  # fmt: skip
def test_impossible_values_are_refused_in_one_line(session, changes):
    change(session, **changes)
    with pytest.raises(SessionError, match=r"session\.yaml is damaged .*mvcap init") as caught:
        Session.open(session.folder)
    assert "\n" not in str(caught.value)


def test_a_timeline_or_rig_of_another_session_is_refused(session, tmp_path):
    change(session, frames=11)
    with pytest.raises(SessionError, match=r"session\.yaml has 11 frames, timeline\.npz 10: the file was"):
        Session.open(session.folder).frame_of  # noqa: B018
    change(session, frames=10)
    other = Session.create(_named(ring_rig(3), "other"), tmp_path / "other", frames=10, rate_hz=25.0)
    (other.folder / "rig.yaml").replace(session.folder / "rig.yaml")
    with pytest.raises(SessionError, match="are not the views"):
        Session.open(session.folder).rig  # noqa: B018


needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")


@needs_links
@pytest.mark.parametrize(
    "place",
    ["overlays", "artefacts", "artefacts/estimate", "exports", "masks", "masks/cam1", "plots", "config.yaml",
     "rig.yaml", "poses.npz", "report.html", "artefacts/estimate/0000000.npz", "artefacts/estimate/manifest.json",
     "anything"],
)  # fmt: skip
def test_links_inside_a_session_are_refused_and_what_they_point_to_stays(session, tmp_path, place):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "wedding.mp4").write_text("movie")
    link = session.folder / place
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(outside if not link.suffix else outside / "wedding.mp4")
    with pytest.raises(SessionError, match="is a link"):
        Session.open(session.folder)
    assert (outside / "wedding.mp4").read_text() == "movie"


@needs_links
def test_a_link_to_the_session_and_links_of_its_footage_are_read(session, tmp_path):
    (tmp_path / "film.mp4").write_text("")
    (session.folder / "film.mp4").symlink_to(tmp_path / "film.mp4")
    views = yaml.safe_load((session.folder / "session.yaml").read_text())["views"]
    change(session, views=[{**view, "path": str(session.folder / "film.mp4")} for view in views])
    assert Session.open(session.folder).has_footage()
    (tmp_path / "link").symlink_to(session.folder)
    assert Session.open(tmp_path / "link").names == session.names


@needs_links
def test_a_link_that_calls_itself_footage_but_has_a_name_of_ours_is_refused(session, tmp_path):
    (tmp_path / "films").mkdir()
    (session.folder / "overlays").symlink_to(tmp_path / "films")
    views = yaml.safe_load((session.folder / "session.yaml").read_text())["views"]
    change(session, views=[{**view, "path": str(session.folder / "overlays" / "a.mp4")} for view in views])
    with pytest.raises(SessionError, match="is a link"):
        Session.open(session.folder)


def filled(folder):
    artefact = Artefact(folder, Table)
    artefact.begin(Origin("estimate", 1, {}, {}), "coco17", 100, 50)
    for name in ("0000000.npz", "0000050.npz"):
        (folder / name).write_bytes(b"rows")
    return artefact


def test_removing_a_stage_deletes_only_what_mvcap_wrote(tmp_path):
    artefact = filled(tmp_path / "estimate")
    artefact.remove()
    assert not (tmp_path / "estimate").exists()
    artefact = filled(tmp_path / "estimate")
    others = [tmp_path / "estimate" / name for name in ("thesis.txt", "1.npz", "chapter/1.txt", "0000000.npz.bak")]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    artefact.remove()
    assert artefact.manifest is None and all(path.read_text() == "mine" for path in others)
    assert sorted(path.name for path in (tmp_path / "estimate").iterdir()) == sorted(
        {path.relative_to(tmp_path / "estimate").parts[0] for path in others}
    )


@needs_links
def test_an_artefact_that_became_a_link_is_not_removed(tmp_path):
    filled(tmp_path / "thesis")
    (tmp_path / "estimate").symlink_to(tmp_path / "thesis")
    with pytest.raises(SessionError, match="is a link"):
        Artefact(tmp_path / "estimate", Table).remove()
    assert len(list((tmp_path / "thesis").iterdir())) == 3


LEFT = [".poses.npz.d6706d9f.npz", "exports/.take.csv.d6706d9f.csv", "artefacts/track/.manifest.json.00112233.json",
        "artefacts/track/.0000050.npz.abcdef01.npz", "overlays/.cam1-00112233.mp4", "overlays/.cam1.mp4.00112233.mp4",
        "masks/cam1/.0000001.png.00112233.png", "plots/.x.svg.00112233.svg", ".rig.yaml.2147483646.part"]  # fmt: skip
KEPT = [".git", ".poses.npz", ".notes.d6706d9f.txt", ".poses.npz.d6706d9.npz", "poses.npz.d6706d9f.npz",
        ".x.csv.D6706D9F.csv", "exports/take.csv", "artefacts/track/0000000.npz", "videos/.a.mp4.d6706d9f.mp4",
        "..d6706d9f.npz", f".rig.yaml.{os.getpid()}.part"]  # fmt: skip


def test_temporary_files_of_killed_runs_are_removed_at_the_next_opening_and_nothing_else(session):
    for name in (*LEFT, *KEPT):
        path = session.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    folder = session.folder / "exports" / ".folder.csv.d6706d9f.csv"
    folder.mkdir()
    Session.open(session.folder)
    assert [name for name in LEFT if (session.folder / name).exists()] == []
    assert [name for name in KEPT if not (session.folder / name).exists()] == [] and folder.is_dir()


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks; an open file cannot be deleted there")
def test_a_file_that_another_process_is_writing_is_kept_and_removed_once_that_is_killed(session):
    code = (
        "import sys, time, pathlib\nfrom mvcap.structures.npz import written_whole\n"
        f"with written_whole(pathlib.Path({str(session.folder / 'poses.npz')!r})) as part:\n"
        "    part.write_text('half'); print('ready', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
    try:
        assert process.stdout.readline() == b"ready\n"
        (part,) = session.folder.glob(".poses.npz.*")
        Session.open(session.folder)
        assert part.exists()
    finally:
        process.kill()
        process.wait()
    Session.open(session.folder)
    assert not part.exists()


def test_writing_leaves_nothing_behind_and_locks_nothing_for_long(tmp_path):
    write_text(tmp_path / "a.txt", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"] and not own_files.is_locked(tmp_path / "a.txt")
    with pytest.raises(RuntimeError), written_whole(tmp_path / "b.txt") as part:
        assert own_files.is_locked(part) or sys.platform == "win32"
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_opening_a_session_of_many_files_takes_little_time(session):
    folder = session.folder / "artefacts" / "estimate"
    folder.mkdir(parents=True)
    for number in range(2000):
        (folder / f"{50 * number:07d}.npz").touch()
    begun = time.process_time()
    Session.open(session.folder)
    assert time.process_time() - begun < 0.5


def test_a_file_that_may_not_be_read_says_so_and_is_not_called_damaged(session, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied", "x")

    filled(session.folder / "artefacts" / "estimate")
    monkeypatch.setattr(Path, "open", refuse)
    for read in (
        lambda: read_session_file(session.folder / "session.yaml"),
        lambda: session.frame_of,
        lambda: session.rig_identity,
        lambda: session.artefact("estimate", Table).manifest,
        lambda: session.artefact("estimate", Table).read(0),
    ):
        with pytest.raises(SessionError, match=r"cannot be read .*Permission denied") as caught:
            read()
        assert "damaged" not in str(caught.value) and "remove" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"frames": "x"}, {"frames": 10**12}, {"frames": 0}, {"chunk_frames": 0}, {"chunk_frames": 1.5}, {"complete": 1},
        {"skeleton": ["coco17"]}, {"settings": []}, {"inputs": None}, {"version": "1"}, {"fingerprint": 3},
    ],
    ids=str,
)  # fmt: skip
def test_a_manifest_of_impossible_values_is_refused(tmp_path, changes):
    artefact = filled(tmp_path / "estimate")
    path = tmp_path / "estimate" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(SessionError, match=r"manifest\.json is damaged") as caught:
        artefact.manifest  # noqa: B018
    assert "\n" not in str(caught.value)


def test_a_chunk_of_a_huge_shape_is_refused(tmp_path):
    artefact = filled(tmp_path / "estimate")
    np.savez(tmp_path / "estimate" / "0000000.npz", frame=np.zeros(4))
    data = (tmp_path / "estimate" / "0000000.npz").read_bytes()
    (tmp_path / "estimate" / "0000000.npz").write_bytes(data.replace(b"(4,), }", b"(9**9,)"))
    with pytest.raises(SessionError, match=r"0000000\.npz cannot be read .*--redo estimate"):
        artefact.read(0)
