"""Names of cameras: one that is a path, or no name on some system, is refused wherever a rig is read or written."""

import pytest
import yaml
from ring_rigs import make_rig

from calib import RigFileError, load_rig, save_rig
from calib.names import name_fault


@pytest.mark.parametrize("name", ["../x", "a/../b", "/abs", "a\\b", "..", "C:x", "nul", "a\nb", "x" * 201, "a."])
def test_a_name_of_a_camera_that_is_no_name_is_refused_read_and_written(tmp_path, name):
    path = tmp_path / "rig.yaml"
    save_rig(make_rig(2, names=["east", "west"]), path)
    document = yaml.safe_load(path.read_text())
    document["cameras"][1]["name"] = name
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(RigFileError, match="rename the camera") as caught:
        load_rig(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    with pytest.raises(RigFileError, match="rename the camera"):
        save_rig(make_rig(1, names=[name]), tmp_path / "made.toml")
    assert not (tmp_path / "made.toml").exists()


def test_what_reads_like_a_sign_of_another_language_is_a_name():
    assert [name_fault(name) for name in ("cam$_$", "a..b", "<b>", "K\u00fcche 2", "-x")] == [None] * 5
