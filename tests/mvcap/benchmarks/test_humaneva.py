"""HumanEva: the longest sequence of each action, projected into the defined ring of four cameras."""

import contextlib

import numpy as np
import pytest
from benchmark_folders import write_humaneva
from synthetic_take import recordings

from mvcap.benchmarks import humaneva
from mvcap.errors import InputError
from mvcap.evaluation.benchmark_clip import Options

DATA = recordings() and recordings() / "motion" / "humaneva"


def sequence(frames, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (frames, 15, 3)).astype(np.float32)


SEQUENCES = {
    "Train/S1": {"Walking 1 chunk0": sequence(4), "Walking 1 chunk1": sequence(7, 1), "Box 1 chunk0": sequence(2, 2)},
    "Validate/S1": {"Walking 1 chunk0": sequence(6, 3)},
    "Validate/S3": {"Jog 1 chunk2": sequence(3, 4)},
}


def test_a_clip_is_the_longest_sequence_of_subject_and_action(tmp_path):
    write_humaneva(tmp_path, SEQUENCES)
    clips = humaneva.read(tmp_path, Options())
    assert [(clip.name, clip.frames) for clip in clips] == [("S1-Box", 2), ("S1-Walking", 7), ("S3-Jog", 3)]
    walking, jog = clips[1], clips[2]
    np.testing.assert_array_equal(walking.truth.xyz, sequence(7, 1))
    assert walking.truth.frame.tolist() == list(range(7)) and set(walking.truth.person.tolist()) == {1}
    assert set(jog.truth.person.tolist()) == {3} and jog.scored.all() and jog.rate_hz == 60


def test_options_choose_clips_views_and_noise(tmp_path):
    write_humaneva(tmp_path, SEQUENCES)
    [clip] = humaneva.read(tmp_path, Options(noise_px=3.0, views=("view4", "view1"), clips=("S3-Jog",)))
    assert clip.name == "S3-Jog" and clip.rig.names == ("view4", "view1")
    assert clip.estimator(tmp_path)["estimators"]["oracle"]["noise_px"] == 3
    default = humaneva.read(tmp_path, Options())[0]
    assert default.estimator(tmp_path)["estimators"]["oracle"]["noise_px"] == 2 and len(default.rig) == 4
    with pytest.raises(InputError, match=r"S3-Walking.*S1-Box, S1-Walking, S3-Jog"):
        humaneva.read(tmp_path, Options(clips=("S3-Walking",)))
    with pytest.raises(InputError, match="--detections"):
        humaneva.read(tmp_path, Options(detections="labels"))


def test_the_ring_is_as_stated():
    rig = humaneva.ring()
    assert rig.names == ("view1", "view2", "view3", "view4")
    np.testing.assert_allclose(np.linalg.norm(rig.positions[:, :2], axis=1), 5)
    np.testing.assert_allclose(rig.positions[:, 2], 2)
    np.testing.assert_allclose(rig["view1"].position[:2], np.full(2, 5 / np.sqrt(2)))
    np.testing.assert_allclose(rig.project(np.array([[0, 0, 1.0]]))[:, 0], np.full((4, 2), (639.5, 359.5)), atol=1e-9)
    above, below = rig.project(np.array([[0, 0, 1.5], [0, 0, 0.5]])).swapaxes(0, 1)
    assert (above[:, 1] < below[:, 1]).all()  # image y points down
    np.testing.assert_allclose(np.linalg.norm(rig.positions - np.roll(rig.positions, 1, 0), axis=1), 5 * np.sqrt(2))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_short_is_named(tmp_path, share):
    write_humaneva(tmp_path, SEQUENCES)
    path = tmp_path / "data_3d_humaneva15.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"data_3d_humaneva15\.npz") as caught:
        humaneva.read(tmp_path, Options())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("held", [np.zeros(3), np.array([1, 2], dtype=object), np.array("text")])
def test_another_array_is_refused(tmp_path, held):
    np.savez(tmp_path / "data_3d_humaneva15.npz", positions_3d=held)
    with pytest.raises(InputError, match=r"data_3d_humaneva15\.npz"):
        humaneva.read(tmp_path, Options())


class Harm:
    """Unpickled, it would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_runs_nothing(tmp_path):
    write_humaneva(tmp_path, {"Train/S1": {"Walking 1": Harm(tmp_path / "written")}})
    with pytest.raises(InputError, match=r"data_3d_humaneva15\.npz"):
        humaneva.read(tmp_path, Options())
    assert not (tmp_path / "written").exists()
    np.savez(tmp_path / "data_3d_humaneva15.npz", poses=np.zeros(3))
    with pytest.raises(InputError, match="positions_3d"):
        humaneva.read(tmp_path, Options())


@pytest.mark.skipif(not (DATA and DATA.is_dir()), reason="no recordings of HumanEva; set MVCAP_DATA")
def test_real_bodies_stand_and_their_left_is_left():
    for clip in humaneva.read(DATA, Options(clips=("S1-Walking", "S2-Walking"))):
        kind = clip.truth.skeleton
        xyz = {joint: clip.truth.xyz[:, kind.index(joint)].astype(float) for joint in kind.joints}
        assert (xyz["head"][:, 2] > xyz["thorax"][:, 2]).mean() > 0.9
        across = xyz["left_hip"] - xyz["right_hip"]
        ahead = np.cross(across, [0, 0, 1.0])
        walked = np.gradient(xyz["pelvis"], axis=0)
        assert ((ahead * walked).sum(-1) > 0).mean() > 0.9
        seen = clip.rig.project(clip.truth.xyz.astype(float))
        assert ((seen > 0) & (seen < [1280, 720])).all(-1).mean() > 0.95


@pytest.mark.parametrize(
    "held",
    [{"Train/S1": np.zeros(3)}, {"Train/S1": {"Walking 1": 3}}, {"Train/S1": {"Walking 1": np.zeros((4, 17, 3))}},
     {"Train/Sx": {"Walking 1": np.zeros((4, 15, 3))}}, {"Train/S1": {"Walking 1": np.zeros((4, 15, 3), "U1")}},
     {"Train/S1": 3}, {1: {}}, {}, [], "text"],
)  # fmt: skip
def test_other_content_is_named(tmp_path, held):
    write_humaneva(tmp_path, held)
    with pytest.raises(InputError, match=r"data_3d_humaneva15\.npz"):
        humaneva.read(tmp_path, Options())


def test_a_damaged_file_is_named(tmp_path):
    write_humaneva(tmp_path, {"Train/S1": {"Walking 1": np.ones((4, 15, 3), np.float32)}})
    path = tmp_path / "data_3d_humaneva15.npz"
    whole = path.read_bytes()
    for at in range(0, len(whole), 29):
        data = bytearray(whole)
        data[at] ^= 0xFF
        path.write_bytes(bytes(data))
        with contextlib.suppress(InputError):
            humaneva.read(tmp_path, Options())
