"""Runner dask: every item once on a local cluster or a given scheduler, also when a worker is killed."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from toy_jobs import JOB, leftovers, runs, told_items

from mvcap.batching.work_queue import WorkQueue
from mvcap.errors import InputError
from mvcap.progress import silent
from mvcap.runners.dask import DaskRunner, dask_attempt

distributed = pytest.importorskip("distributed")


def test_a_task_does_an_item_once(tmp_path):
    queue = WorkQueue.open(told_items(tmp_path, a=1), JOB)
    asked = (str(tmp_path), JOB, queue.names[0], {"size": 3}, 120.0, [])
    assert dask_attempt(*asked) and not dask_attempt(*asked)
    assert queue.read_record(queue.names[0])["facts"]["about"] == "3 letters"


def test_a_local_cluster_does_all_though_a_worker_is_killed(tmp_path):
    wishes = {f"s{number}": {"sleep_s": 1.0} for number in range(4)}
    folder = told_items(tmp_path, a=20, b={"fail": "dark"}, c={"wrong": True}, **wishes)
    queue = WorkQueue.open(folder, JOB)

    def kill():
        log = folder / "log"
        while not (found := [path for path in log.glob("s*") if path.read_text()]):
            time.sleep(0.02)
        os.kill(int(found[0].read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    DaskRunner(2).run(queue, {}, True, silent)
    killer.join()
    state, counts = queue.state(), runs(folder)
    assert len(state.ended) == 26 and [name for name in state.ended if state.ended[name] == "failed"] == [
        "b.yaml", "c.yaml"
    ]  # fmt: skip
    assert sorted(counts.values()) == [1] * 25 + [2] and leftovers(folder) == []


def test_a_scheduler_that_runs_is_used(tmp_path):
    queue = WorkQueue.open(told_items(tmp_path, a=5), JOB)
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        DaskRunner(1, cluster.scheduler_address).run(queue, {}, True, silent)
    assert set(runs(tmp_path).values()) == {1} and len(queue.state().ended) == 5


def test_an_interruption_releases_the_claims(tmp_path):
    folder = told_items(tmp_path, a={"sleep_s": 30}, b={"sleep_s": 30}, c={"sleep_s": 30})
    line = [
        sys.executable,
        "-m",
        "mvcap.cli",
        "batch",
        str(folder),
        "--verb",
        JOB,
        "--workers",
        "2",
        "--engine",
        "dask",
    ]
    path = os.pathsep.join(place for place in sys.path if place)
    with subprocess.Popen(line, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 60
        while len(runs(folder)) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and said.strip() == "mvcap: interrupted; run the same command again to resume"
    assert leftovers(folder) == [] and len(WorkQueue.open(folder, JOB).state().open) == 3


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://x"])
def test_a_scheduler_that_does_not_answer_is_one_line(tmp_path, address, monkeypatch):
    monkeypatch.setattr("mvcap.runners.dask._CONNECT_S", 1.0)
    queue = WorkQueue.open(told_items(tmp_path, a=1), JOB)
    with pytest.raises(InputError, match="no scheduler of Dask answers there"):
        DaskRunner(1, address).run(queue, {}, True, silent)
