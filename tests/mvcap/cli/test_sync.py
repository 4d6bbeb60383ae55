"""The verb ``sync`` of the command line on a session: what it prints, and how offsets are removed."""

from click.testing import CliRunner
from synthetic_take import make_session

from mvcap.cli import sync as command


def test_a_session_without_offsets_has_none_to_remove(tmp_path):
    session = make_session(tmp_path, 20)
    told = CliRunner().invoke(command.sync, [str(session.folder), "--remove"])
    assert told.exit_code == 0 and told.output == "there were no offsets\n"


def test_remove_takes_one_session(tmp_path):
    told = CliRunner().invoke(command.sync, [str(tmp_path), str(tmp_path), "--remove"])
    assert told.exit_code == 1 and "--remove takes one session" in str(told.exception)
