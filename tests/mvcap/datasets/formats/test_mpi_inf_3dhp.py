import numpy as np
import pytest
from recorded_take import dataset_of_walkers, same_truth
from scipy.io import loadmat

from calib.geometry import transform
from mvcap.datasets.formats.mpi_inf_3dhp import MPI_INF_28, MpiInf3dhpSequences
from mvcap.datasets.ground_truth import as_skeleton
from mvcap.errors import InputError


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mpi")
    truth = dataset_of_walkers(folder)
    MpiInf3dhpSequences().write(truth, folder / "mpi")
    return truth, folder / "mpi"


def test_it_is_read_back(written):
    truth, folder = written
    back = MpiInf3dhpSequences().read(folder)
    assert back.views == truth.views and back.rate_hz == truth.rate_hz
    same_truth(as_skeleton(truth, MPI_INF_28), back, ("xyz", "xy"), atol=1e-6)


def test_loaders_of_the_data_set_read_it(written):
    """The way that public loaders go: annot3[camera][0][frame] reshaped to 28 joints, from MATLAB's cells."""
    truth, folder = written
    held = loadmat(folder / "S2" / "Seq1" / "annot.mat")
    frames = [one for one in truth.of_split("train") if 2 in one.persons]
    assert held["annot2"].shape == held["annot3"].shape == held["univ_annot3"].shape == (3, 1)
    assert held["annot2"][1][0].shape == (len(frames), 56) and held["annot3"][1][0].shape == (len(frames), 84)
    assert held["cameras"].ravel().tolist() == [0, 1, 2] and len(held["frames"]) == len(frames)
    knee, pelvis = MPI_INF_28.index("right_knee"), MPI_INF_28.index("pelvis")
    for row, one in enumerate(frames):
        at = one.persons.tolist().index(2)
        place = np.reshape(held["annot3"][1][0][row], (28, 3))
        np.testing.assert_allclose(place[knee], 1e3 * transform(truth.rig[1].cam_from_world, one.xyz[at, 14]))
        np.testing.assert_allclose(np.reshape(held["annot2"][1][0][row], (28, 2))[knee], one.xy[at, 1, 14])
        usual = np.reshape(held["univ_annot3"][1][0][row], (28, 3))
        np.testing.assert_allclose(usual[knee] - usual[pelvis], (place[knee] - place[pelvis]) / truth.sizes[2])
        assert np.isnan(place[MPI_INF_28.index("spine")]).all()
        assert (folder / "S2/Seq1/imageSequence/video_1" / f"img_{row + 1:06d}.png").exists()
    assert [MPI_INF_28.joints[at] for at in (4, 7, 9, 14, 18, 23)] == [
        "pelvis", "head_top", "left_shoulder", "right_shoulder", "left_hip", "right_hip",
    ]  # fmt: skip


def test_the_calibration_projects_the_poses(written):
    """Matrices by rows, x = intrinsic extrinsic X in mm; the rest is the distortion of the lens, below 2 px here."""
    truth, folder = written
    lines = [line.split() for line in (folder / "S1/Seq1/camera.calibration").read_text().splitlines()]
    matrices = {
        name: [np.reshape(list(map(float, line[1:])), (4, 4)) for line in lines if line[0] == name]
        for name in ("intrinsic", "extrinsic")
    }
    one = next(truth.frames())
    for view in range(3):
        seen = matrices["extrinsic"][view] @ [*(1e3 * one.xyz[0, 11]), 1]
        pixel = matrices["intrinsic"][view] @ [*(seen[:3] / seen[2]), 1]
        assert np.linalg.norm(pixel[:2] - one.xy[0, view, 11]) < 2
    assert [line[1:] for line in lines if line[0] == "size"] == [["320", "180"]] * 3


def test_damaged_files_are_one_line(written, tmp_path):
    with pytest.raises(InputError, match=r"sequences\.json: cannot be read as the sequences of MPI-INF-3DHP"):
        MpiInf3dhpSequences().read(tmp_path)
    _, folder = written
    (tmp_path / "sequences.json").write_text((folder / "sequences.json").read_text())
    with pytest.raises(InputError, match=r"annot\.mat: cannot be read"):
        MpiInf3dhpSequences().read(tmp_path)
