"""The queue of a folder: states, records, takeovers, attempts without a result; and the work of a process."""

import json
import os
from dataclasses import replace

import pytest
from toy_jobs import JOB, leftovers, runs, told_items

from mvcap.batching.holder import Holder
from mvcap.batching.job import Job
from mvcap.batching.work_queue import DIED, MOST_ATTEMPTS, WorkQueue
from mvcap.batching.worker import attempt, reason_line, work
from mvcap.errors import InputError, PluginError, SessionError
from mvcap.plugins import TABLE, find_plugin


def test_work_ends_every_item_and_leaves_records_alone(tmp_path):
    queue = WorkQueue.open(told_items(tmp_path, a=3, bad={"fail": "no\nlight"}), JOB)
    assert queue.state().open == queue.names and len(queue.names) == 4
    work(queue, {"size": 5}, first=2)
    state = queue.state()
    assert state.ended["bad.yaml"] == "failed" and list(state.ended.values()).count("done") == 3 and not state.open
    done, failed = queue.read_record("a_0001.yaml"), queue.read_record("bad.yaml")
    assert done["facts"]["about"] == "5 letters" and done["settings"] == {"size": 5} and done["attempt"] == 1
    assert failed["reason"] == "no light" and done["pid"] == os.getpid() and done["seconds"] >= 0
    assert leftovers(tmp_path) == [] and set(runs(tmp_path).values()) == {1}
    work(queue, {})
    assert set(runs(tmp_path).values()) == {1}
    queue.forget_records(["bad.yaml"])
    assert queue.state().open == ("bad.yaml",)


def test_a_fault_of_the_program_is_recorded_and_raised(tmp_path):
    queue = WorkQueue.open(told_items(tmp_path, a={"wrong": True}), JOB)
    with pytest.raises(ZeroDivisionError):
        attempt(queue, "a.yaml", {})
    assert queue.read_record("a.yaml")["reason"] == "ZeroDivisionError: a fault of two lines"
    assert leftovers(tmp_path) == []


def test_an_interrupted_item_is_released(tmp_path, monkeypatch):
    queue = WorkQueue.open(told_items(tmp_path, a=1), JOB)

    def interrupted(*_):
        assert queue.state().held == queue.names
        raise KeyboardInterrupt

    monkeypatch.setattr("toy_jobs.time.sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        work(queue, {})
    assert queue.state().open == queue.names and leftovers(tmp_path) == []


def test_what_another_program_works_on_is_left_and_taken_later(tmp_path):
    queue = WorkQueue.open(told_items(tmp_path, a={"busy_until": "free"}, b={}), JOB)
    work(queue, {}, wait=False)
    assert queue.state().open == ("a.yaml",) and not attempt(queue, "a.yaml", {})
    (tmp_path / "free").touch()
    work(queue, {})
    assert not queue.state().open and runs(tmp_path)["b.yaml"] == 1


def dead_claim(queue, name, number):
    claim = queue.claims.take(name, number)
    held = replace(claim.holder, started="1")  # a process of that number that ended before
    queue.claims.path(name, number).write_text(held.text())
    return claim


def test_a_dead_process_is_taken_over_and_counts_as_an_attempt(tmp_path):
    queue = WorkQueue.open(told_items(tmp_path, a=2), JOB)
    name = queue.names[0]
    late = dead_claim(queue, name, 1)
    assert queue.state().open == queue.names
    work(queue, {})
    assert queue.read_record(name)["attempt"] == 2
    before = queue.read_record(name)
    assert not queue.record(late, name, "failed", {"reason": "late"}) and queue.read_record(name) == before


def test_an_item_whose_processes_end_without_a_result_has_failed(tmp_path):
    queue = WorkQueue.open(told_items(tmp_path, a=1), JOB)
    [name] = queue.names
    for number in range(1, MOST_ATTEMPTS + 1):
        dead_claim(queue, name, number)
    work(queue, {})
    assert queue.read_record(name)["reason"] == DIED and runs(tmp_path) == {} and leftovers(tmp_path) == []


def test_claims_of_the_dead_can_be_given_up(tmp_path):
    queue = WorkQueue.open(told_items(tmp_path, a=2), JOB)
    dead_claim(queue, queue.names[0], 1)
    alive = queue.claims.take(queue.names[1], 1)
    queue.release_dead()
    assert queue.claims.numbers() == {queue.names[1]: 1} and alive.is_held()
    assert queue.holders(queue.names) == [Holder.this_process().host]


def test_a_claim_made_after_the_end_is_given_back(tmp_path, monkeypatch):
    queue = WorkQueue.open(told_items(tmp_path, a=1), JOB)
    [name] = queue.names
    looked = iter([False, True])
    monkeypatch.setattr(WorkQueue, "_has_record", lambda *_: next(looked))
    assert queue.take(name) is None and leftovers(tmp_path) == []


def test_a_damaged_record_is_no_record(tmp_path):
    queue = WorkQueue.open(told_items(tmp_path, a=1), JOB)
    (queue.place / f"{queue.names[0]}.done").write_text('{"state": "do')
    assert queue.read_record(queue.names[0]) == {}


def test_old_temporary_files_are_removed(tmp_path):
    queue = WorkQueue.open(told_items(tmp_path, a=1), JOB)
    old, new = queue.place / ".claim.old", queue.place / ".claim.new"
    for path in (old, new):
        path.touch()
    os.utime(old, (1, 1))
    queue.remove_leftovers()
    assert not old.exists() and new.exists()


def test_a_place_that_cannot_be_made_and_a_job_that_is_none(tmp_path):
    told_items(tmp_path, a=1)
    (tmp_path / ".mvcap_batch").write_text("")
    with pytest.raises(SessionError, match="cannot be made"):
        WorkQueue.open(tmp_path, JOB)
    with pytest.raises(PluginError, match="did you mean 'reconstruct'"):
        WorkQueue.open(tmp_path, "reconstuct")
    with pytest.raises(InputError, match=r"holds no \.yaml"):
        WorkQueue.open(told_items(tmp_path / "empty"), JOB)


def test_jobs_of_the_table_fulfil_the_contract():
    wanted = {name for name in vars(Job) if not name.startswith("_")}
    for name in TABLE["job"]:
        assert wanted <= set(dir(find_plugin("job", name)))


def test_a_reason_is_one_line():
    assert reason_line(InputError("a\n\x1b[31mb")) == "a \\x1b[31mb"
    assert reason_line(OSError(28, "No space left on device")) == "OSError: [Errno 28] No space left on device"
    assert len(reason_line(InputError("x" * 9000))) < 1600
    assert json.loads(json.dumps(reason_line(ValueError("\udc80"))))
