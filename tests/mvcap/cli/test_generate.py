"""``mvcap generate``: what it prints, and that bad input is one line that leaves nothing."""

import json

import pytest
from click.testing import CliRunner
from recorded_take import recorded_session
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
        (["--gate", "sigma_mm=0.001"], "no frame has truth (no person with truth: "),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(session, tmp_path, words, said):
    done = run("generate", "--from", session.folder, tmp_path / "out", "--every", "6", *words)
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert not list(tmp_path.iterdir())
