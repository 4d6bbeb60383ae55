"""Claims on names: one holder at a time, dead ones are taken over by one process, nothing is left behind."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from mvcap.batching.claims import STALE_S, Claims, file_key
from mvcap.batching.holder import Holder, is_zombie, started_ticks
from mvcap.errors import SessionError


def dead_holder():
    """A process of this host that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return replace(Holder.this_process(), pid=process.pid, started="1")


def foreign(claims, key, number, age_s):
    """A claim of another host, with a heartbeat of this age."""
    held = replace(Holder.this_process(), host="elsewhere", place="")
    claims.path(key, number).write_text(held.text())
    then = time.time() - age_s
    os.utime(claims.path(key, number), (then, then))


def test_one_of_many_gets_a_claim(tmp_path):
    claims = Claims(tmp_path)
    with ThreadPoolExecutor(16) as pool:
        taken = [claim for claim in pool.map(lambda _: claims.take("a", 1), range(64)) if claim]
    assert len(taken) == 1 and [path.name for path in tmp_path.iterdir()] == ["a.1.claim"]
    assert claims.numbers() == {"a": 1} and taken[0].is_held() and not claims.is_stale("a", 1)
    taken[0].release()
    assert claims.numbers() == {} and claims.take("a", 1)


def test_keys_with_dots_and_numbers_are_kept_apart(tmp_path):
    claims = Claims(tmp_path)
    for key in ("a", "a.1", "a.1.claim", ".b"):
        assert claims.take(key, 2 if key == "a.1" else 1)
    assert claims.numbers() == {"a": 1, "a.1": 2, "a.1.claim": 1}  # names with a leading dot are no items


def test_long_names_are_shortened_and_stay_apart(tmp_path):
    one, two = "ü" * 120 + "1", "ü" * 120 + "2"
    assert file_key("take 1") == "take 1"
    assert file_key(one) != file_key(two) and len(os.fsencode(file_key(one))) <= 180
    assert Claims(tmp_path).take(file_key(one), 1)


def test_a_claim_of_a_dead_process_is_stale_at_once(tmp_path):
    claims = Claims(tmp_path)
    claims.path("a", 1).write_text(dead_holder().text())
    assert claims.is_stale("a", 1)
    now = Holder.this_process()
    assert not now.is_dead() and now.started == started_ticks(os.getpid()) != ""
    again = replace(now, started="1")  # another process had this number
    assert again.is_dead() and not replace(again, host="elsewhere").is_dead()
    assert not replace(again, place="another boot").is_dead()


def test_a_process_that_waits_for_its_parent_is_dead():
    process = subprocess.Popen([sys.executable, "-c", ""])
    until = time.monotonic() + 20
    while not is_zombie(process.pid) and time.monotonic() < until:
        time.sleep(0.01)
    assert replace(Holder.this_process(), pid=process.pid, started="").is_dead()
    process.wait()


def test_an_old_heartbeat_is_stale_and_a_damaged_claim_waits_for_that(tmp_path):
    claims = Claims(tmp_path)
    foreign(claims, "young", 1, STALE_S - 20)
    foreign(claims, "old", 1, STALE_S + 5)
    claims.path("cut", 1).write_text('{"host": "he')
    assert [claims.is_stale(key, 1) for key in ("young", "old", "cut", "gone")] == [False, True, False, False]
    os.utime(claims.path("cut", 1), (1, 1))
    assert claims.is_stale("cut", 1) and claims.holder("cut", 1) is None
    assert claims.holder("old", 1).host == "elsewhere"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_one_of_many_takes_a_stale_claim_over_and_its_old_holder_knows(tmp_path):
    claims = Claims(tmp_path)
    old = claims.take("a", 1)
    os.utime(claims.path("a", 1), (1, 1))
    assert claims.is_stale("a", 1) and old.is_held()
    with ThreadPoolExecutor(16) as pool:
        taken = [claim for claim in pool.map(lambda _: claims.take("a", 2), range(64)) if claim]
    assert len(taken) == 1 and taken[0].is_held() and not old.is_held()
    old.release()  # of what it no longer holds: nothing
    assert claims.numbers() == {"a": 2}
    claims.forget("a")
    assert claims.numbers() == {} and not taken[0].is_held()


def test_the_heartbeat_renews_the_time(tmp_path):
    claims = Claims(tmp_path, stale_s=1.2)  # every 0.2 s
    claim = claims.take("a", 1)
    os.utime(claims.path("a", 1), (1, 1))
    with claim.heartbeat():
        until = time.monotonic() + 20
        while claims.is_stale("a", 1) and time.monotonic() < until:
            time.sleep(0.05)
        assert not claims.is_stale("a", 1)
    assert Claims(tmp_path).heartbeat_s == 10 and claims.heartbeat_s == pytest.approx(0.2)


def test_without_links_a_claim_is_created(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    claims = Claims(tmp_path)
    first = claims.take("a", 1)
    assert first.is_held() and claims.take("a", 1) is None


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(SessionError, match=r"a\.1\.claim cannot be written: No such file .*; .*choose a folder"):
        Claims(tmp_path / "gone").take("a", 1)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"host": 1}', "\x00"])
def test_what_is_no_claim_has_no_holder(text):
    assert Holder.parse(text) is None
