"""The report over a batch: its table, batch.json and batch.html."""

import json

from toy_jobs import JOB, told_items

from mvcap.batching.batch_report import batch_result, text_table, write_batch_report
from mvcap.batching.work_queue import WorkQueue
from mvcap.batching.worker import attempt


def made(folder):
    names = {"good": {}, "bad": {"fail": "<b>dark</b> & late"}, "left": {}, "taken": {}}
    queue = WorkQueue.open(told_items(folder, **names), JOB)
    for name in ("good", "bad"):
        attempt(queue, f"{name}.yaml", {})
    queue.claims.take("taken.yaml", 1)
    return batch_result(queue, 12.4)


def test_a_table_has_all_items(tmp_path):
    result = made(tmp_path)
    assert result.summary() == "4 sessions: 1 done, 1 failed, 1 in work, 1 left" and not result.complete
    lines = text_table(result.rows())
    assert [line.split()[:2] for line in lines[1:]] == [["bad.yaml", "failed"], ["good.yaml", "done"],
                                                        ["left.yaml", "left"], ["taken.yaml", "in"]]  # fmt: skip
    assert lines[1].endswith("<b>dark</b> & late") and " good " in lines[2]
    assert all(len(line) <= 40 for line in text_table(result.rows(), 40))


def test_files_hold_the_same(tmp_path):
    result = made(tmp_path)
    files = write_batch_report(result)
    held = json.loads(files[0].read_text())
    assert held == result.as_dict() and (held["done"], held["in_work"], held["seconds"]) == (1, 1, 12.4)
    page = files[1].read_text()
    assert "&lt;b&gt;dark&lt;/b&gt; &amp; late" in page and '<a href="results/good.yaml">good.yaml</a>' in page
    assert page.count("<tr") == 5 and "<b>" not in page
