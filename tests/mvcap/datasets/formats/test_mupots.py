import json

import numpy as np
import pytest
from recorded_take import dataset_of_walkers, same_truth
from scipy.io import loadmat

from calib.geometry import transform
from mvcap.datasets.formats.mupots import MUPOTS17, MupotsSequences
from mvcap.datasets.ground_truth import JointVisibility, as_skeleton
from mvcap.errors import InputError


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mupots")
    truth = dataset_of_walkers(folder)
    MupotsSequences().write(truth, folder / "mupots")
    return truth, folder / "mupots"


def test_it_is_read_back(written):
    truth, folder = written
    back = MupotsSequences().read(folder)
    wanted = as_skeleton(truth, MUPOTS17)
    same_truth(wanted, back, ("xyz", "xy"), atol=1e-6)
    for one, other in zip(wanted.frames(), back.frames(), strict=True):
        for kinds in ((JointVisibility.VISIBLE,), (JointVisibility.SELF_OCCLUDED, JointVisibility.OCCLUDED),
                      (JointVisibility.OUT_OF_VIEW,), (JointVisibility.UNKNOWN,)):  # fmt: skip
            np.testing.assert_array_equal(np.isin(one.visibility, kinds), np.isin(other.visibility, kinds))


def test_loaders_of_the_data_set_read_it(written):
    """The way that public loaders go: annotations[t][p]['annot3'][0, 0], occlusion_labels[t][p]."""
    truth, folder = written
    sequences = json.loads((folder / "sequences.json").read_text())["sequences"]
    name, about = next((name, one) for name, one in sequences.items() if one["view"] == 1)
    annotations = loadmat(folder / name / "annot.mat")["annotations"]
    occluded = loadmat(folder / name / "occlusion.mat")["occlusion_labels"]
    frames = list(truth.of_split("train"))
    assert annotations.shape == occluded.shape == (len(frames), 2) and about["frames"] == [one.frame for one in frames]
    camera = truth.rig[1]
    for row, one in enumerate(frames):
        valid = [int(annotations[row][person]["isValidFrame"][0, 0].item()) for person in (0, 1)]
        assert valid == [int(person in one.persons) for person in (1, 2)]
        cell = annotations[row][0]
        assert cell["annot3"][0, 0].shape == cell["univ_annot3"][0, 0].shape == (3, 17)
        joint = MUPOTS17.index("left_knee")
        np.testing.assert_allclose(cell["annot2"][0, 0][:, joint], one.xy[0, 1, 13], atol=1e-9)
        expected = 1e3 * transform(camera.cam_from_world, one.xyz[0, 13])
        np.testing.assert_allclose(cell["annot3"][0, 0][:, joint], expected, atol=1e-6)
        root = cell["annot3"][0, 0][:, 14]
        np.testing.assert_allclose(
            cell["univ_annot3"][0, 0][:, joint] - root, (expected - root) / truth.sizes[1], atol=1e-6
        )
        lost = [MUPOTS17.index(joint) for joint in ("head_top", "spine", "head", "left_wrist")]
        assert np.isnan(cell["annot3"][0, 0][:, lost]).all() and np.isnan(occluded[row][0][0, lost]).all()
        hidden = one.visibility[0, 1, 13] != JointVisibility.VISIBLE
        assert occluded[row][0][0, joint] == hidden
        assert (folder / name / f"img_{row:06d}.png").exists()


def test_files_are_the_same_each_time(written, tmp_path):
    truth, folder = written
    MupotsSequences().write(truth, tmp_path)
    for path in folder.rglob("*.mat"):
        assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes()


def test_damaged_files_are_one_line(written, tmp_path):
    with pytest.raises(InputError, match=r"sequences\.json: cannot be read as the sequences of MuPoTS-3D"):
        MupotsSequences().read(tmp_path)
    _, folder = written
    (tmp_path / "sequences.json").write_text((folder / "sequences.json").read_text())
    (tmp_path / "TS1").mkdir()
    for data in (b"", b"MATLAB", (folder / "TS1" / "annot.mat").read_bytes()[:300]):
        (tmp_path / "TS1" / "annot.mat").write_bytes(data)
        with pytest.raises(InputError, match=r"annot\.mat: cannot be read as MATLAB's file of annotations"):
            MupotsSequences().read(tmp_path)
