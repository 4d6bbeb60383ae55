"""JSON: strict, a frame a line, every frame there, joints by name, null for what is missing."""

import json

import numpy as np
import pytest
from walking_take import COCO, RATE_HZ, poses, take

from mvcap.errors import SessionError
from mvcap.exporters.json_frames import write
from mvcap.structures.pose_stream import PoseStream
from mvcap.structures.poses import Poses3D


def strict(name):
    pytest.fail(f"{name} is no JSON")


def read(path):
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=strict)


def stream(table, frames, **more):
    held = {"rate_hz": RATE_HZ, "persons": tuple(np.unique(table.person).tolist()), "name": "walk", **more}
    return PoseStream(table.skeleton, lambda: iter([table]), frames, **held)


def test_numbers_come_back_to_a_thousandth_of_a_millimetre(tmp_path):
    table = poses(5, missing=0.2)
    [path] = write(take(table, 5, step=2), tmp_path / "walk.anything")
    assert path == tmp_path / "walk.json" and list(tmp_path.iterdir()) == [path]
    held = read(path)
    assert held["joint_values"] == ["x", "y", "z", "score"]
    rows = 0
    for frame in held["frames"]:
        assert frame["time_s"] == pytest.approx(frame["frame"] / RATE_HZ, abs=1e-6)
        for person in frame["people"]:
            mine = table[(table.frame == frame["frame"]) & (table.person == person["id"])]
            found = np.array([person["joints"][joint] for joint in COCO.joints], float)
            np.testing.assert_allclose(found[:, :3], mine.xyz[0], atol=6e-7)
            np.testing.assert_allclose(found[:, 3], mine.score[0], atol=6e-7)
            rows += len(mine)
    assert rows == len(table)


def test_every_frame_is_there_and_stands_on_a_line_of_its_own(tmp_path):
    table = poses(600, missing=0.0)
    table = table[np.isin(table.frame, (0, 299, 300, 598))]  # on both sides of where the writer cuts
    [path] = write(stream(table, 600), tmp_path / "a")
    lines = path.read_text().split("\n")
    assert len(lines) == 600 + 3
    frames = [json.loads(line.rstrip(","), parse_constant=strict) for line in lines[1:601]]
    assert [frame["frame"] for frame in frames] == list(range(600))
    assert [frame["frame"] for frame in frames if frame["people"]] == [0, 299, 300, 598]
    assert read(path)["frames"] == frames


def test_the_head_describes_the_numbers(tmp_path):
    [path] = write(stream(poses(1), 1, rate_hz=29.97, name='one "two"\nthree', axes="y-up"), tmp_path / "a")
    held = read(path)
    assert (held["format"], held["unit"], held["axes"], held["rate_hz"]) == ("mvcap-poses-1", "m", "y-up", 29.97)
    assert held["name"] == 'one "two"\nthree'
    assert held["skeleton"] == {"name": "coco17", "joints": list(COCO.joints), "bones": COCO.bones.tolist()}


def test_up_is_y_where_it_is_asked_for(tmp_path):
    table = poses(1, missing=0.0)
    [path] = write(stream(table, 1, axes="y-up"), tmp_path / "a")
    [person] = [one for one in read(path)["frames"][0]["people"] if one["id"] == table.person[0]]
    x, y, z = table.xyz[0, 0].tolist()
    assert person["joints"][COCO.joints[0]][:3] == pytest.approx([x, z, -y], abs=1e-6)


def test_a_missing_joint_is_null_and_its_score_nought(tmp_path):
    table = poses(1, missing=0.0)
    xyz, score = table.xyz.copy(), table.score.copy()
    xyz[:, 3], score[:, 3] = np.nan, 0
    [path] = write(stream(table.with_columns(xyz=xyz, score=score), 1), tmp_path / "a")
    for person in read(path)["frames"][0]["people"]:
        assert person["joints"][COCO.joints[3]] == [None, None, None, 0]
        assert all(None not in values for joint, values in person["joints"].items() if joint != COCO.joints[3])


def test_a_person_without_joints_is_left_out(tmp_path):
    table = poses(1, missing=0.0)
    blank = table.with_columns(
        xyz=np.where((table.person == 1)[:, None, None], np.nan, table.xyz),
        score=np.where((table.person == 1)[:, None], 0, table.score),
    )
    [path] = write(stream(blank, 1), tmp_path / "a")
    assert [person["id"] for person in read(path)["frames"][0]["people"]] == [2]


@pytest.mark.parametrize("frames", [0, 3])
def test_a_take_without_people(tmp_path, frames):
    [path] = write(stream(Poses3D.empty(COCO), frames), tmp_path / "a")
    assert [frame["people"] for frame in read(path)["frames"]] == [[]] * frames


def test_a_path_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SessionError, match="cannot be written") as caught:
        write(stream(poses(1), 1), tmp_path / "file" / "a")
    assert "\n" not in str(caught.value)
