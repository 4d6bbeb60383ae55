"""Job generate: YAML files become datasets beside them, once."""

import pytest
from recorded_take import recorded_session

from mvcap.batch import batch
from mvcap.errors import ConfigError, InputError
from mvcap.jobs.generate import GenerateJob


def test_a_file_becomes_a_dataset_once(tmp_path):
    recorded_session(tmp_path / "take", frames=12)
    folder = tmp_path / "wanted"
    folder.mkdir()
    (folder / "second.yaml").write_text("session: ../take/take.mvcap\nevery: 2\nimages: none\nmasks: none\n")
    (folder / "empty.yaml").write_text("every: 2\n")
    made = batch(folder, "generate", workers=1, settings={"splits": {"by": "none"}})
    assert [one["state"] for one in made.sessions] == ["failed", "done"]
    assert "names no session" in made.sessions[0]["reason"] and "frames" in made.sessions[1]["facts"]["about"]
    assert (folder / made.sessions[1]["facts"]["page"]).exists()
    job, item = GenerateJob(), folder / "second.yaml"
    assert job.stands(item, {}) and job.run(item, {}) == made.sessions[1]["facts"]  # not made again


def test_keywords_are_those_of_the_verb(tmp_path):
    GenerateJob().check({"every": 2})
    with pytest.raises(ConfigError, match="--set: generate has no setting 'evry'; there are: formats, every, "):
        GenerateJob().check({"evry": 2})
    with pytest.raises(InputError, match=r"holds no \.yaml files"):
        GenerateJob().items(tmp_path)
    for name in ("a.yaml", "a.yml"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="two files are named a"):
        GenerateJob().items(tmp_path)
