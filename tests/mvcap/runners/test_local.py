"""Runner local: every item once, whatever ends; stops in good order; what no worker can get past is one line."""

import os
import signal
import subprocess
import sys
import time

import pytest
from toy_jobs import JOB, leftovers, runs, told_items

from mvcap.batching.work_queue import DIED, WorkQueue
from mvcap.errors import InputError, SessionError
from mvcap.progress import silent
from mvcap.runners import local_worker
from mvcap.runners.local import LocalRunner


def until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    assert true()


def test_a_thousand_items_are_each_done_once_by_four_processes(tmp_path):
    queue = WorkQueue.open(told_items(tmp_path, a=1000), JOB)
    shown = []
    LocalRunner(4).run(queue, {}, True, lambda *told: shown.append(told))
    counts = runs(tmp_path)
    assert len(counts) == 1000 and set(counts.values()) == {1} and leftovers(tmp_path) == []
    assert list(queue.state().ended.values()) == ["done"] * 1000
    assert len({path.read_text() for path in (tmp_path / "log").iterdir()}) > 1  # by several
    assert shown[0][0] == "sessions" and shown[-1] == ("sessions", 1000, 1000)


def test_items_that_fail_break_or_kill_do_not_stop_the_others(tmp_path):
    wishes = {"b": {"fail": "dark"}, "c": {"wrong": True}, "d": {"die": True}}
    queue = WorkQueue.open(told_items(tmp_path, a=5, **wishes), JOB)
    LocalRunner(2).run(queue, {}, True, silent)
    ended = queue.state().ended
    assert {name for name, state in ended.items() if state == "failed"} == {"b.yaml", "c.yaml", "d.yaml"}
    assert queue.read_record("d.yaml")["reason"] == DIED and runs(tmp_path)["d.yaml"] == 3
    assert queue.read_record("c.yaml")["reason"].startswith("ZeroDivisionError")
    assert runs(tmp_path)["c.yaml"] == 1 and leftovers(tmp_path) == []


def started(folder, *options):
    """``mvcap batch`` in a process of its own."""
    line = [sys.executable, "-m", "mvcap.cli", "batch", folder, "--verb", JOB, *options]
    path = os.pathsep.join([str(place) for place in sys.path if place])
    return subprocess.Popen(
        [*map(str, line)], env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE, text=True
    )


def workers_of(folder):
    return {int(line) for path in (folder / "log").glob("*") for line in path.read_text().split()}


def test_a_killed_worker_is_replaced(tmp_path):
    folder = told_items(tmp_path, a={"sleep_s": 3}, b={"sleep_s": 3}, c={"sleep_s": 0.1})
    with started(folder, "--workers", "2") as process:
        until(lambda: len(workers_of(folder)) == 2)
        os.kill(min(workers_of(folder)), signal.SIGKILL)
        assert process.wait(60) == 0
    assert sorted(runs(folder).values()) == [1, 1, 2] and leftovers(folder) == []


def test_an_interruption_releases_the_claims(tmp_path):
    folder = told_items(tmp_path, a={"sleep_s": 30}, b={"sleep_s": 30}, c={"sleep_s": 30})
    with started(folder, "--workers", "2") as process:
        until(lambda: len(workers_of(folder)) == 2)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=40)
    assert process.returncode == 130 and said.strip() == "mvcap: interrupted; run the same command again to resume"
    assert leftovers(folder) == [] and not (folder / "results").exists()
    assert WorkQueue.open(folder, JOB).state().open == ("a.yaml", "b.yaml", "c.yaml")


def test_workers_of_a_killed_batch_stop(tmp_path):
    folder = told_items(tmp_path, a={"sleep_s": 60}, b={"sleep_s": 60})
    with started(folder, "--workers", "2") as process:
        until(lambda: len(workers_of(folder)) == 2)
        process.kill()
    until(lambda: leftovers(folder) == [])


def test_a_stale_claim_of_another_host_is_waited_for(tmp_path):
    queue = WorkQueue.open(told_items(tmp_path, a=2), JOB, stale_s=3.0)
    [name, _] = queue.names
    claim = queue.claims.take(name, 1)
    text = claim.holder.text().replace(claim.holder.host, "elsewhere")
    queue.claims.path(name, 1).write_text(text)
    LocalRunner(1).run(queue, {}, False, silent)
    assert queue.state().held == (name,)
    LocalRunner(1).run(queue, {}, True, silent)
    assert queue.read_record(name)["attempt"] == 2


def test_workers_that_cannot_go_on_end_it_in_one_line(tmp_path, monkeypatch):
    queue = WorkQueue.open(told_items(tmp_path, a=2), JOB)
    lost = WorkQueue(queue.folder, "no_such_module:Job", queue.names)
    lost.place.mkdir()
    with pytest.raises(SessionError, match="no_such_module:Job' cannot be loaded"):
        LocalRunner(2).run(lost, {}, True, silent)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(SessionError, match="worker processes end before they have begun: ended with status 1"):
        LocalRunner(1).run(queue, {}, True, silent)


def test_a_queue_that_vanishes_is_one_line(tmp_path):
    queue = WorkQueue.open(told_items(tmp_path, a=2), JOB)
    queue.place.rmdir()
    with pytest.raises(SessionError, match="cannot be read: No such file or directory; it must stay"):
        LocalRunner(1).run(queue, {}, True, silent)


def test_a_scheduler_is_for_dask(tmp_path):
    with pytest.raises(InputError, match="--engine dask"):
        LocalRunner(1, "tcp://10.0.0.1:8786")


def test_a_request_is_one_line():
    reader, writer = os.pipe()
    os.write(writer, b'{"a": 1}\n')
    assert local_worker.request_line(reader) == b'{"a": 1}\n'
    os.close(writer)
    assert local_worker.request_line(reader) == b""
    os.close(reader)
