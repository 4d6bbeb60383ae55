"""Sessions that are interrupted go on where they stopped, and end in the same bytes; a full disk is one line."""

import resource
from contextlib import contextmanager

import pytest
from ray_casters import needs_rays
from small_sessions import RIG, SMALL, files_of

from mvcap.datasets import session_footage, session_truth
from mvcap.datasets.sessions import generate_session
from mvcap.errors import InputError, SessionError

pytestmark = needs_rays


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session_footage, "CHUNK_FRAMES", 2)
        patch.setattr(session_truth, "TRUTH_FRAMES", 2)
        made = generate_session(RIG, tmp_path_factory.mktemp("session") / "out", **SMALL)
        yield files_of(made.folder)


@contextmanager
def files_of_at_most(size):
    """Let no file grow larger; the operating system says so as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_interrupted_session_goes_on_where_it_stopped(whole, tmp_path):
    out, told = tmp_path / "out", []

    def until(name, frame):
        def progress(stage, done, total):
            told.append((stage, done))
            if (stage, done) == (name, frame):
                raise KeyboardInterrupt

        return progress

    for stop in (("board cam01", 3), ("render cam01", 3), ("events cam01", 3), ("render cam02", 5)):
        with pytest.raises(KeyboardInterrupt):
            generate_session(RIG, out, **SMALL, progress=until(*stop))
        assert [path.name for path in tmp_path.iterdir()] == ["out.unfinished"]
    with pytest.raises(InputError, match="begun with seed 5, not 6; run it with those again, or remove it"):
        generate_session(RIG, out, **{**SMALL, "seed": 6})
    assert files_of(generate_session(RIG, out, **SMALL, progress=until("", -1)).folder) == whole
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    for name, frames in (("render cam01", (1, 2, 3, 3, 4, 5)), ("render cam02", (1, 2, 3, 4, 5, 5)),
                         ("events cam01", (1, 2, 3, 2, 3, 4, 5)), ("board cam01", (1, 2, 3, 3))):  # fmt: skip
        shown = [done for stage, done in told if stage == name and done]
        assert shown[: len(frames)] == list(frames), name


def test_a_full_disk_is_one_line_and_the_next_run_goes_on(whole, tmp_path):
    out = tmp_path / "out"
    for size, done in ((60_000, "sound/cam02.wav"),):
        with files_of_at_most(size), pytest.raises(SessionError, match=r"free some space .* it goes on") as fault:
            generate_session(RIG, out, **SMALL)
        assert "\n" not in str(fault.value) and "unfinished" not in str(fault.value)
        assert (tmp_path / "out.unfinished" / done).exists() and not out.exists()
        assert not [path for path in (tmp_path / "out.unfinished").rglob(".*") if path.is_file()]
    assert files_of(generate_session(RIG, out, **SMALL).folder) == whole
