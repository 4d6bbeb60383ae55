"""The verb ``batch`` on sessions and other items: the same results whoever runs it, and what is refused."""

import json

import pytest
from batch_takes import results, write_sessions
from toy_jobs import JOB, leftovers, runs, told_items

import mvcap
from mvcap.errors import ConfigError, InputError, PluginError


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory):
    """Results of a plain loop."""
    folder = write_sessions(tmp_path_factory.mktemp("loop"), 3)
    for number in range(3):
        mvcap.reconstruct(folder / f"take{number}")
    return results(folder)


@pytest.mark.parametrize("engine", ["local", "dask"])
def test_sessions_are_as_those_of_a_loop(tmp_path, one_by_one, engine):
    if engine == "dask":
        pytest.importorskip("distributed")
    folder = write_sessions(tmp_path, 3)
    shown = []
    made = mvcap.batch(folder, engine=engine, workers=2, progress=lambda *told: shown.append(told))
    assert made.complete and made.count("done") == 3 and results(folder) == one_by_one
    assert shown[-1] == ("sessions", 3, 3)
    held = json.loads((folder / "batch.json").read_text())
    assert [one["facts"]["verdict"] for one in held["sessions"]] == [
        json.loads((folder / f"take{number}" / "report.json").read_text())["verdict"]["level"] for number in range(3)
    ]
    assert 'href="take2/report.html"' in (folder / "batch.html").read_text() and leftovers(folder) == []


def test_what_is_done_is_skipped_until_its_result_is_gone(tmp_path):
    folder = told_items(tmp_path, a=3)
    assert mvcap.batch(folder, JOB, workers=1).complete
    (folder / "results" / "a_0001.yaml").unlink()
    assert mvcap.batch(folder, JOB, workers=1).complete
    assert list(runs(folder).values()) == [1, 2, 1]
    with pytest.raises(InputError, match=r"a_0000\.yaml and 2 more: done with other settings than these; give the sa"):
        mvcap.batch(folder, JOB, settings={"size": 3})


def test_failed_items_are_run_again_when_asked(tmp_path):
    folder = told_items(tmp_path, a=1, b={"fail": "dark"})
    first = mvcap.batch(folder, JOB, workers=1)
    assert not first.complete and first.sessions[1]["reason"] == "dark"
    (folder / "b.yaml").write_text("{}")
    assert mvcap.batch(folder, JOB, workers=1).count("failed") == 1 and runs(folder)["b.yaml"] == 1
    assert mvcap.batch(folder, JOB, workers=1, redo="failed").complete
    assert runs(folder) == {"a_0000.yaml": 1, "b.yaml": 2}


def test_bad_input_is_one_line_and_nothing_is_written(tmp_path):
    folder = told_items(tmp_path / "items", a=1)
    for options, error, words in (
        ({"workers": 0}, InputError, "--workers 0: give one process or more"),
        ({"stale_s": 0.0}, InputError, "--stale 0: give 1 s or more"),
        ({"stale_s": float("nan")}, InputError, "--stale nan"),
        ({"redo": "all"}, InputError, "--redo all: give failed, or nothing"),
        ({"engine": "slurm"}, PluginError, "no runner 'slurm'; .*there are: local, dask"),
        ({"scheduler": "tcp://x:1"}, InputError, "--scheduler is for --engine dask"),
        ({"settings": {"colour": 1}}, ConfigError, "--set colour: there is no such setting"),
        ({"settings": {"size": object()}}, ConfigError, "settings of a batch are numbers"),
    ):
        with pytest.raises(error, match=words):
            mvcap.batch(folder, JOB, **options)
    with pytest.raises(PluginError, match="no job 'reconstuct'; did you mean 'reconstruct'"):
        mvcap.batch(folder, "reconstuct")
    with pytest.raises(InputError, match="no folder in it is a session"):
        mvcap.batch(folder)
    with pytest.raises(InputError, match="gone: no such folder"):
        mvcap.batch(tmp_path / "gone")
    assert [path.name for path in folder.iterdir()] == ["a_0000.yaml"]


def test_a_damaged_session_fails_and_the_others_are_done(tmp_path):
    folder = write_sessions(tmp_path, 2, frames=5)
    (folder / "take0" / "rig.yaml").write_text("cameras: [")
    made = mvcap.batch(folder, workers=1)
    assert (made.count("done"), made.count("failed")) == (1, 1)
    assert "rig.yaml" in made.sessions[0]["reason"] and "\n" not in made.sessions[0]["reason"]
