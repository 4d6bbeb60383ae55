"""Synthetic sessions from the command line: what goes together, one line for what does not, and a whole one."""

import json

import pytest
from click.testing import CliRunner
from generated_people import ring_rig
from ray_casters import needs_rays

from calib import Camera, Rig, save_rig
from mvcap.cli import synthetic_session
from mvcap.cli.generate import generate
from mvcap.errors import InputError


@pytest.fixture
def rig_file(tmp_path):
    small = Rig(tuple(Camera(camera.lens.scaled(1 / 12), camera.cam_from_world) for camera in ring_rig(2)))
    save_rig(small, tmp_path / "rig.yaml")
    return tmp_path / "rig.yaml"


def refused(*words):
    result = CliRunner().invoke(generate, [str(word) for word in words])
    assert isinstance(result.exception, InputError) and "\n" not in str(result.exception)
    return str(result.exception)


def test_options_that_do_not_go_together_are_one_line(tmp_path, rig_file):
    out = tmp_path / "out"
    assert "--from SESSION" in refused(out, "--rig", rig_file, "--from", tmp_path)
    assert refused(out, "--people", 2).startswith("--people belongs to a synthetic session")
    assert refused(out, "--no-sound", "--from", tmp_path).startswith("--no-sound belongs")
    assert "people: 1 to" in refused(out, "--rig", rig_file, "--people", 0)
    assert not out.exists()


def test_every_option_is_a_setting():
    from mvcap.datasets.sessions import SessionConfig
    from mvcap.rendering.view_renderer import Shutter

    known = set(SessionConfig.__dataclass_fields__) | set(Shutter.__dataclass_fields__)
    assert set(synthetic_session.SYNTHETIC) <= known
    options = {param.name for param in generate.params}
    assert set(synthetic_session.SYNTHETIC) <= options


@needs_rays
def test_a_session_is_made_and_said(tmp_path, rig_file):
    line = [str(tmp_path / "out"), "--rig", str(rig_file), "--people", "1", "--seconds", "0.1", "--rate", "10"]
    result = CliRunner().invoke(
        generate,
        [*line, "--seed", "3", "--exposure", "0.01", "--no-sound", "--body", "capsules", "--no-furniture", "--json"],
    )
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout.splitlines()[-1])
    assert said["frames"] == 1 and said["settings"]["shutter"] == {"exposure_s": 0.01, "readout_s": 0.0}
    assert said["settings"]["seed"] == 3 and not (tmp_path / "out" / "sound").exists()
    assert sorted(path.name for path in (tmp_path / "out" / "videos").iterdir()) == ["cam01.mp4", "cam02.mp4"]
