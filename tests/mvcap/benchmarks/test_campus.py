"""Campus: cameras in millimetres, truth in cells, and the frames that its protocol counts."""

import json

import numpy as np
import pytest
from benchmark_folders import people_as, write_campus
from scipy.io import savemat
from synthetic_take import recordings

from mvcap.benchmarks import campus
from mvcap.errors import InputError
from mvcap.evaluation.benchmark_clip import Options
from mvcap.structures.pose_file import load_poses

DATA = recordings() and recordings() / "motion" / "campus"
FRAMES = (349, 350, 351, 500, 750, 751)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("campus")
    return folder, write_campus(folder, FRAMES, lost={(350, 2), (500, 1), (500, 3)})


def test_people_and_cameras_come_back(written):
    folder, rig = written
    [clip] = campus.read(folder, Options())
    np.testing.assert_allclose(clip.rig.cam_from_world, rig.cam_from_world, atol=1e-9)
    assert [camera.size for camera in clip.rig] == [(360, 288)] * 3 and clip.rate_hz == 25 and clip.frames == 401
    rows = sorted(zip(clip.truth.frame.tolist(), clip.truth.person.tolist(), strict=True))
    # Frames outside 350 to 750 are no part of the clip, and who has no pose has no row.
    assert rows == [(0, 1), (0, 3), (1, 1), (1, 2), (1, 3), (150, 2), (400, 1), (400, 2), (400, 3)]
    frame, person, xyz = people_as("shelf14", len(FRAMES), 3)
    for at, who, one in zip(clip.truth.frame, clip.truth.person, clip.truth.xyz, strict=True):
        wanted = xyz[(frame == FRAMES.index(at + 350)) & (person == who)][0]
        np.testing.assert_allclose(one, wanted, atol=1e-6)


def test_the_frames_of_the_protocol_count(written):
    [clip] = campus.read(written[0], Options())
    assert (np.flatnonzero(clip.scored) + 350).tolist() == [*range(350, 471), *range(650, 751)]


def test_options_choose_views_and_noise(written, tmp_path):
    [clip] = campus.read(written[0], Options(views=("2", "0"), noise_px=0.0))
    assert clip.rig.names == ("2", "0")
    oracle = clip.estimator(tmp_path)["estimators"]["oracle"]
    assert oracle["noise_px"] == 0 and len(load_poses(tmp_path / "truth.npz")) == 9
    [default] = campus.read(written[0], Options())
    assert default.estimator(tmp_path)["estimators"]["oracle"]["noise_px"] == 1
    for asked in (Options(detections="labels"), Options(clips=("campus",))):
        with pytest.raises(InputError, match="campus"):
            campus.read(written[0], asked)


@pytest.mark.parametrize("change", [None, {"R": [1]}, {"T": "a"}, {"fx": "wide"}])
def test_damaged_cameras_are_named(written, tmp_path, change):
    held = json.loads((written[0] / "calibration_campus.json").read_text())
    held["1"] = {**held["1"], **change} if change else []
    (tmp_path / "calibration_campus.json").write_text(json.dumps(held))
    with pytest.raises(InputError, match=r"calibration_campus\.json") as caught:
        campus.read(tmp_path, Options())
    assert "\n" not in str(caught.value)


def noise(path):
    path.write_bytes(bytes(range(1, 250)) * 3)


def half(path):
    write_campus(path.parent, (350,))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def other(path):
    savemat(path, {"actor": np.zeros(3)})


def numbers(path):
    savemat(path, {"actor3D": np.arange(3)})


@pytest.mark.parametrize("spoil", [noise, half, other, numbers, lambda path: None])
def test_damaged_truth_is_named(written, tmp_path, spoil):
    (tmp_path / "calibration_campus.json").write_bytes((written[0] / "calibration_campus.json").read_bytes())
    spoil(tmp_path / "actorsGT.mat")
    with pytest.raises(InputError, match=r"actorsGT\.mat") as caught:
        campus.read(tmp_path, Options())
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not (DATA and DATA.is_dir()), reason="no recordings of Campus; set MVCAP_DATA")
def test_the_real_truth_has_the_frames_and_people_of_its_protocol():
    [clip] = campus.read(DATA, Options(noise_px=2.0))
    assert clip.scored.sum() == 222 and clip.frames == 401
    scored = clip.truth[clip.scored[clip.truth.frame]]
    assert np.bincount(scored.person).tolist() == [0, 49, 189, 138]
    xy = clip.rig.project(clip.truth.xyz.astype(float))
    assert ((xy > 0) & (xy < [360, 288])).all(-1).mean() > 0.5


def test_an_empty_truth_is_named(tmp_path):
    write_campus(tmp_path, (350,))
    (tmp_path / "actorsGT.mat").write_bytes(b"")
    with pytest.raises(InputError, match=r"actorsGT\.mat"):
        campus.read(tmp_path, Options())


def test_a_damaged_compressed_truth_is_named(tmp_path):
    from scipy.io import loadmat

    write_campus(tmp_path, (350,))
    path = tmp_path / "actorsGT.mat"
    savemat(path, {"actor3D": loadmat(path)["actor3D"]}, do_compression=True)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"actorsGT\.mat"):
        campus.read(tmp_path, Options())
