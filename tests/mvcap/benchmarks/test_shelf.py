"""Shelf: the truth's joints, the cameras and what was not found come back as they were written."""

import json

import numpy as np
import pytest
from benchmark_folders import people_as, write_people, write_shelf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_take import recordings

from mvcap.benchmarks import shelf
from mvcap.errors import InputError
from mvcap.evaluation.benchmark_clip import Options
from mvcap.metrics.association import actors, project_poses
from mvcap.structures.skeleton import skeleton

DATA = recordings() and recordings() / "shelf_dev"


@pytest.mark.parametrize("kind", ["shelf15", "skel19"])
def test_people_come_back(tmp_path, kind):
    write_people(tmp_path / "people.txt", kind, 5, people=3, lost=((2, 1, "left_knee"), (4, 3, "pelvis")))
    found, frames = shelf.read_people(tmp_path / "people.txt")
    frame, person, xyz = people_as(kind, 5, people=3)
    names = skeleton(kind).joints
    xyz[(frame == 2) & (person == 1), names.index("left_knee")] = np.nan
    xyz[(frame == 4) & (person == 3), names.index("pelvis")] = np.nan
    assert frames == 5 and found.skeleton.name == kind
    assert found.frame.tolist() == frame.tolist() and found.person.tolist() == person.tolist()
    np.testing.assert_allclose(found.xyz, xyz, atol=1e-6)


def test_frames_after_the_last_person_count(tmp_path):
    (tmp_path / "gt.txt").write_text("15 3\n0\n0\n0\n")
    found, frames = shelf.read_people(tmp_path / "gt.txt")
    assert frames == 3 and len(found) == 0 and found.xyz.shape == (0, 15, 3)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keep=st.floats(0, 0.999))
def test_a_file_that_ends_early_is_named_wherever_it_ends(tmp_path, keep):
    path = tmp_path / "gt.txt"
    write_people(path, "shelf15", 2)
    words = path.read_text().split()
    path.write_text(" ".join(words[: int(keep * len(words))]))
    with pytest.raises(InputError, match=r"gt\.txt") as caught:
        shelf.read_people(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "17 2\n1", "people", "15 2 one", "\xff\xfe"])
def test_what_are_no_people(tmp_path, text):
    (tmp_path / "gt.txt").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"gt\.txt"):
        shelf.read_people(tmp_path / "gt.txt")
    with pytest.raises(InputError, match=r"none\.txt"):
        shelf.read_people(tmp_path / "none.txt")


def test_the_clip_has_the_cameras_the_truth_and_the_candidates(tmp_path):
    rig = write_shelf(tmp_path)
    [clip] = shelf.read(tmp_path, Options(views=("3", "0")))
    assert clip.rig.names == ("3", "0") and clip.frames == 10 and clip.rate_hz == 25 and clip.scored.all()
    np.testing.assert_allclose(clip.rig.cam_from_world, rig.cam_from_world[[3, 0]], atol=1e-9)
    _, person, xyz = people_as("shelf14", 10)
    assert clip.truth.skeleton.name == "shelf14" and clip.truth.person.tolist() == person.tolist()
    np.testing.assert_allclose(clip.truth.xyz, xyz, atol=1e-6)
    assert set(clip.pcp_rules) == {"4da", "voxelpose"} and clip.labels is None and not clip.moments
    chosen = clip.estimator(tmp_path)
    assert chosen["estimator"] == "openpose_parts"
    assert chosen["estimators"]["openpose_parts"]["folder"] == str((tmp_path / "detection").resolve())
    with pytest.raises(InputError, match="--noise"):
        shelf.read(tmp_path, Options(noise_px=1.0))


def test_rounded_rotations_become_rotations(tmp_path):
    rig = write_shelf(tmp_path, digits=3)
    [clip] = shelf.read(tmp_path, Options())
    R = clip.rig.cam_from_world[:, :3, :3]
    np.testing.assert_allclose(R @ R.swapaxes(1, 2), np.broadcast_to(np.eye(3), (5, 3, 3)), atol=1e-12)
    np.testing.assert_allclose(R, rig.cam_from_world[:, :3, :3], atol=2e-3)


@pytest.mark.parametrize("change", [{}, {"K": [1, 2]}, {"RT": "a"}, {"imgSize": None}, {"RT": [float("nan")] * 12}])
def test_damaged_cameras_are_named(tmp_path, change):
    write_shelf(tmp_path, frames=1)
    path = tmp_path / "calibration.json"
    held = json.loads(path.read_text())
    held["2"] = {**held["2"], **change} if change else 3
    path.write_text(json.dumps(held))
    with pytest.raises(InputError, match=r"calibration\.json") as caught:
        shelf.read(tmp_path, Options())
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not (DATA and DATA.is_dir()), reason="no recordings of Shelf; set MVCAP_DATA")
def test_the_real_truth_has_the_middle_of_the_hips_as_its_last_joint():
    table, frames = shelf.read_people(DATA / "gt.txt")
    assert frames > table.frame.max() and table.skeleton.name == "shelf15"
    np.testing.assert_allclose(table.xyz[:, 14], table.xyz[:, 2:4].mean(1), atol=1e-4)
    [clip] = shelf.read(DATA, Options(views=("0", "3")))
    assert clip.rig.names == ("0", "3") and clip.truth.skeleton.name == "shelf14"
    seen = project_poses(clip.truth, clip.rig)
    assert (actors(seen, seen) == seen.person).mean() > 0.97


@pytest.mark.parametrize(
    "text",
    ["nan 2", "15 nan", "15 inf", "15 2 inf", "15 -3", "15 1 -1", "15 1.5", "15 1 1 nan", "15 1 1e300", "15.5 1"],
)
def test_numbers_that_count_nothing_are_named(tmp_path, text):
    (tmp_path / "gt.txt").write_text(text)
    with pytest.raises(InputError, match=r"gt\.txt"):
        shelf.read_people(tmp_path / "gt.txt")
