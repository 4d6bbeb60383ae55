"""Tables of DeepLabCut and SLEAP in every layout: the points that were written, or one line that names the file."""

import pickle

import numpy as np
import pytest
from point_files import (
    POINTS,
    known_points,
    write_dlc_csv,
    write_dlc_fixed,
    write_dlc_table,
    write_sleap_csv,
    write_sleap_h5,
)

from mvcap.errors import InputError
from mvcap.estimation.deeplabcut_files import read_deeplabcut
from mvcap.estimation.point_tables import PointTable, point_rows, skeleton_of_points, video_name
from mvcap.estimation.sleap_files import read_sleap
from mvcap.structures.contracts import View
from mvcap.structures.skeleton import SKELETONS

LABELS = [("labeled-data", "left", f"img{number:03d}.png") for number in (0, 3, 7, 20)]
DLC = {"csv": write_dlc_csv, "table.h5": write_dlc_table, "fixed.h5": write_dlc_fixed}
SLEAP = {"csv": write_sleap_csv, "analysis.h5": write_sleap_h5}


def write(kinds, ending, folder, *points, **options):
    if ending.endswith("h5"):
        pytest.importorskip("h5py")
    return kinds[ending](folder / f"left.{ending}", *points, **options)


def dense(table, people):
    """Positions (T, P, J, 2) of a table, NaN where there is no row."""
    out = np.full((table.frame.max() + 1, people, len(table.names), 2), np.nan)
    out[table.frame, np.maximum(table.carried, 0)] = table.xy
    return out


@pytest.mark.parametrize("ending", DLC)
@pytest.mark.parametrize("people", [1, 3])
def test_deeplabcut_in_every_layout(tmp_path, ending, people):
    xy, score = known_points(people=people)
    table = read_deeplabcut(write(DLC, ending, tmp_path, xy, score))
    assert table.names == POINTS and set(table.carried) == ({-1} if people == 1 else set(range(people)))
    np.testing.assert_array_equal(dense(table, people), xy)
    np.testing.assert_array_equal(table.score.reshape(score.shape), score)


@pytest.mark.parametrize("ending", ["csv", "fixed.h5"])
def test_deeplabcut_labels_have_the_frames_of_their_images_and_no_likelihood(tmp_path, ending):
    xy, _ = known_points(people=1)
    table = read_deeplabcut(write(DLC, ending, tmp_path, xy, None, index=LABELS))
    assert table.frame.tolist() == [0, 3, 7, 20] and np.isnan(table.score).all()
    np.testing.assert_array_equal(table.xy, xy[:, 0])


def test_points_that_only_one_has_are_not_a_person(tmp_path):
    path = write_dlc_csv(tmp_path / "a.csv", *known_points(people=2))
    path.write_text(path.read_text().replace("ind2", "single"))
    assert len(read_deeplabcut(path).frame) == 4


@pytest.mark.parametrize("ending", SLEAP)
def test_sleap_in_every_layout(tmp_path, ending):
    xy, score = known_points()
    table = read_sleap(write(SLEAP, ending, tmp_path, xy, score))
    assert table.names == POINTS and len(table.frame) == 7  # one of the eight is missing
    np.testing.assert_array_equal(dense(table, 2), xy)


@pytest.mark.parametrize("dims", [("frame", "track", "node", "xy"), ("track", "frame", "xy", "node")])
def test_sleap_says_the_order_of_its_axes(tmp_path, dims):
    pytest.importorskip("h5py")
    xy, score = known_points()
    np.testing.assert_array_equal(dense(read_sleap(write_sleap_h5(tmp_path / "a.h5", xy, score, dims)), 2), xy)


@pytest.mark.parametrize(
    ("change", "words"),
    [(("bodyparts", "parts"), "bodyparts"), (("coords", "x"), "coords"), ((",likelihood", ",z"), "'z'"),
     (("\n0,", "\nfirst,"), "first"), (("\n1,", "\n1.5,"), "whole"), (("\n1,", "\n1,7,"), "Expected"),
     (("\n2,", "\nnan,"), "frame"), (("nose,nose,nose", "nose,nose,LHip"), "twice")],
)  # fmt: skip
def test_a_damaged_table_of_deeplabcut_is_named(tmp_path, change, words):
    path = write_dlc_csv(tmp_path / "a.csv", *known_points(people=1))
    path.write_text(path.read_text().replace(*change, 1))
    with pytest.raises(InputError, match=words) as caught:
        read_deeplabcut(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


class Command:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize("pickled", [pickle.dumps(Command()), b"", b"(lp0", pickle.dumps(3), pickle.dumps(["a"])])
def test_pickled_names_run_nothing(tmp_path, pickled, capsys):
    pytest.importorskip("h5py")
    path = write_dlc_table(tmp_path / "a.h5", *known_points(people=1), pickled=pickled)
    with pytest.raises(InputError, match=r"a\.h5"):
        read_deeplabcut(path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("read", [read_deeplabcut, read_sleap])
@pytest.mark.parametrize("name", ["a.csv", "a.h5", "none.csv", "none.h5"])
def test_what_is_no_table(tmp_path, read, name):
    if name.endswith("h5"):
        pytest.importorskip("h5py")
    if name.startswith("a"):
        (tmp_path / name).write_bytes(b"\x89HDF\r\n nothing\n,,,")
    with pytest.raises(InputError, match=name):
        read(tmp_path / name)


@pytest.mark.parametrize("kind", ["linked", "large"])
def test_data_in_other_files_and_far_too_large_data_are_not_read(tmp_path, kind):
    h5py = pytest.importorskip("h5py")
    path = write_sleap_h5(tmp_path / "a.h5", *known_points())
    with h5py.File(path, "a") as file:
        del file["tracks"]
        if kind == "linked":
            file["tracks"] = h5py.ExternalLink(str(tmp_path / "b.h5"), "tracks")
        else:
            file.create_dataset("tracks", (1000, 2, 7, 10**7), "f8", chunks=(1, 2, 7, 1000))
    with pytest.raises(InputError, match=r"a\.h5"):
        read_sleap(path)


@pytest.mark.parametrize(
    ("stem", "video"),
    [("cam1DLC_resnet50_studioshuffle1_100000", "cam1"), ("cam_2DLC_dlcrnetms5_x_el_filtered", "cam_2"),
     ("cam1", "cam1"), ("cam1.mp4.predictions.analysis", "cam1"), ("labels.v001.000_cam1.analysis", "cam1"),
     ("cam1.analysis", "cam1"), ("left_view", "left_view")],
)  # fmt: skip
def test_the_video_of_a_file(stem, video):
    assert video_name(stem) == video


def test_points_become_the_skeleton_that_has_their_names(tmp_path):
    where = tmp_path / "a.csv"
    coco = [joint.replace("left_", "L_") for joint in SKELETONS["coco17"].joints][::-1]
    assert skeleton_of_points(coco, "auto", where) is SKELETONS["coco17"]
    own = skeleton_of_points([*POINTS, "ball"], "auto", where)
    assert own.labels == (*POINTS, "ball") and own.index("left_knee") == own.index("LKnee")
    assert skeleton_of_points(POINTS, "halpe26", where) is SKELETONS["halpe26"]
    with pytest.raises(InputError, match=r"a\.csv.*left_hip.*skeleton file"):
        skeleton_of_points(["ankle1", "knee1", "hip1"], "auto", where)


def test_rows_are_in_the_order_of_frames_with_missing_joints():
    nothing = np.full(3, np.nan)
    xy = np.array([[[5, 6], [0, 0], [7, 8]], [[9, 9], [np.inf, 1], [1e300, 3]], [[0, 0], [0, 0], [0, 0]]], float)
    table = PointTable(("lhip", "rhip", "tip"), np.array([4, 3, 3]), np.array([1, 0, 1]), xy, np.array([nothing] * 3))
    kind = SKELETONS["coco17"]
    rows = point_rows(table, kind, View(0, "left", (640, 480), 25.0, 5), 0.3, 3, "a.csv")
    hips = [kind.index("left_hip"), kind.index("right_hip")]
    assert rows.frame.tolist() == [0, 1] and rows.carried.tolist() == [0, 1]
    np.testing.assert_array_equal(rows.xy[:, hips], [[[9, 9], [np.nan] * 2], [[5, 6], [np.nan] * 2]])
    for first, frames, words in ((4, 9, "before"), (0, 4, "has frame 4")):
        with pytest.raises(InputError, match=words):
            point_rows(table, kind, View(0, "left", (640, 480), 25.0, frames), 0.3, first, "a.csv")
    with pytest.raises(InputError, match="none of its points"):
        point_rows(PointTable(("a", "b", "c"), table.frame, table.carried, xy, table.score), kind,
                   View(0, "left", (640, 480), 25.0, 9), 0.3, 0, "a.csv")  # fmt: skip
