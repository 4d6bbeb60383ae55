"""Job reconstruct: its items, its facts, and when a result no longer stands."""

import pytest
from batch_takes import write_sessions

from mvcap.errors import InputError, PluginError
from mvcap.jobs.reconstruct import ReconstructJob
from mvcap.structures.session import Session


def test_a_session_is_done_and_stands_until_it_changes(tmp_path):
    write_sessions(tmp_path, 1)
    job, item = ReconstructJob(), tmp_path / "take0"
    facts = job.run(item, {"track": {"min_seconds": 0.2}})
    assert facts["verdict"] in ("trust", "limits", "do not trust") and "20 frames" in facts["about"]
    assert (tmp_path / facts["page"]).exists() and job.stands(item, facts)
    assert job.run(item, {"track": {"min_seconds": 0.2}}) == facts  # nothing is computed again
    Session.open(item).override({"report": {"wanted_mm": 20.0}})
    assert not job.stands(item, facts)
    assert not job.stands(tmp_path / "gone", facts) and not job.stands(item, {})


def test_items_are_the_sessions_in_order(tmp_path):
    for name in ("take10", "take9", ".hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "session.yaml").touch()
    (tmp_path / "notes").mkdir()
    assert ReconstructJob().items(tmp_path) == ["take9", "take10"]
    with pytest.raises(InputError, match="no folder in it is a session; make some with `mvcap init"):
        ReconstructJob().items(tmp_path / "notes")
    with pytest.raises(PluginError, match="no refiner"):
        ReconstructJob().check({"refiner": "bone"})
