import errno
import os
from pathlib import Path

import pytest

from mvcap.datasets.output_folder import built_folder, place_copy, write_bytes
from mvcap.errors import InputError, SessionError


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    out = tmp_path / "made"
    with built_folder(out) as folder:
        write_bytes(folder / "deep" / "one.bin", b"1")
        assert not out.exists()
    assert (out / "deep" / "one.bin").read_bytes() == b"1" and [path.name for path in tmp_path.iterdir()] == ["made"]
    assert [path.name for path in out.iterdir()] == ["deep"]
    with pytest.raises(KeyboardInterrupt), built_folder(tmp_path / "other") as folder:
        write_bytes(folder / "two.bin", b"2")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_what_is_there_is_kept(tmp_path):
    (tmp_path / "made").mkdir()
    with built_folder(tmp_path / "made") as folder:  # an empty folder is free
        write_bytes(folder / "one.bin", b"1")
    for there in ("made", "made/one.bin"):
        with pytest.raises(InputError, match="there is something already"), built_folder(tmp_path / there):
            pass
    assert (tmp_path / "made" / "one.bin").read_bytes() == b"1"


def test_leftovers_of_killed_processes_are_removed_and_nothing_else(tmp_path):
    left = tmp_path / ".made.0123abcd.part"
    left.mkdir()
    (left / ".being_written").touch()
    own = tmp_path / ".made.0123abce.part"
    own.mkdir()  # without the mark it is not ours
    with built_folder(tmp_path / "made"):
        assert not left.exists() and own.exists()


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with (
        pytest.raises(SessionError, match=r"made cannot be written: No space left on device; free some space or"),
        built_folder(tmp_path / "made") as folder,
    ):
        write_bytes(folder / "one.bin", b"1")
    assert not list(tmp_path.iterdir())


def test_a_copy_is_another_name_of_the_file(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"1")
    place_copy(tmp_path / "a", tmp_path / "deep" / "b")
    assert (tmp_path / "deep" / "b").samefile(tmp_path / "a")
    monkeypatch.setattr(os, "link", lambda *names: (_ for _ in ()).throw(OSError(errno.EPERM, "no links here")))
    place_copy(tmp_path / "a", tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == b"1" and not (tmp_path / "c").samefile(tmp_path / "a")
