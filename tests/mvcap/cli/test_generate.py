"""``mvcap generate``: what it prints, and that bad input is one line that leaves nothing."""

import json

import pytest
from click.testing import CliRunner
from recorded_take import recorded_session, write_session_masks
from synthetic_take import run

from mvcap.cli.generate import generate


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return recorded_session(tmp_path_factory.mktemp("take"))


def test_the_command_line_prints_what_was_kept(session, tmp_path):
    words = ["--format", "coco,shelf", "--every", "5", "--split", "by=none", "--gate", "sigma_mm=60", "--masks", "none"]
    done = run("generate", "--from", session.folder, tmp_path / "out", *words, "--images", "png", "--blur-faces")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "train: 6 frames, 18 images of persons 1, 2"
    assert lines[1].startswith("person 1: ") and lines[1].split(";")[0].endswith("joints kept")
    assert lines[-1] == f"{tmp_path / 'out'}: coco, shelf"
    found = CliRunner().invoke(
        generate, ["--from", str(session.folder), str(tmp_path / "two"), "--split", "by=none", "--json"]
    )
    assert json.loads(found.output)["splits"]["train"]["frames"] == 30


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "cocoa"], "no dataset_format 'cocoa'; did you mean 'coco'?"),
        (["--gate", "sigma=3"], "unknown config key 'gates.sigma'"),
        (["--gate", "sigma_mm=0"], "gate 'sigma_mm' must be above 0"),
        (["--split", "gap_s=9"], "too few for 3 splits with gaps of 225 frames"),
        (["--images", "none", "--blur-faces"], "faces are blurred in images"),
        (["--images", "none", "--format", "voxelpose", "--split", "by=none"], "VoxelPose is trained on images"),
        (["--gate", "sigma_mm=0.001"], "gap: 4); loosen the gates, or reconstruct it again"),
        (
            ["--split", "by=person", "--split", "shares=[1,0,1]"],
            "people of several splits: 5); split by time, or record",
        ),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(session, tmp_path, words, said):
    done = run("generate", "--from", session.folder, tmp_path / "out", "--every", "6", *words)
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert not list(tmp_path.iterdir())


def test_composites_on_the_command_line(session, tmp_path):
    write_session_masks(session)
    words = ["--composite", "2", "--compose", "people=[1,2]", "--compose", "background=plain", "--blur-faces"]
    words += ["--targets", "paf,orpm", "--split", "by=none"]
    done = run("generate", "--from", session.folder, tmp_path / "out", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("train: 2 frames, 2 images of persons 1")
    assert len(list((tmp_path / "out" / "targets").rglob("*.npz"))) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--composite", "1", "--every", "2"], "--every does not go with --composite"),
        (["--composite", "1", "--masks", "none"], "--masks does not go with --composite"),
        (["--composite", "1", "--compose", "turn=3"], "unknown config key 'composite.turn'"),
        (["--compose", "seed=3"], "--compose and --backgrounds belong to --composite N"),
        (["--targets", "depth", "--split", "by=none"], "no targets 'depth'"),
        (["--composite", "1", "--backgrounds", "nowhere", "--split", "by=none"], "nowhere: is no folder"),
    ],
)
def test_bad_words_about_composites_are_one_line(session, tmp_path, words, said):
    write_session_masks(session)
    done = run("generate", "--from", session.folder, tmp_path / "out", *words)
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert not list(tmp_path.iterdir())


def test_sessions_without_masks_are_told_how_to_make_them(tmp_path):
    bare = recorded_session(tmp_path / "bare", frames=8, people=1)
    done = run("generate", "--from", bare.folder, tmp_path / "out", "--composite", "1", "--split", "by=none")
    assert done.returncode == 2 and "has no masks of people to cut them out by; make them with `mvcap" in done.stderr
