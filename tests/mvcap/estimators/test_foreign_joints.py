"""Files with other joints, other scales and missing parts: read right, or refused in one line that says the way out."""

import json

import numpy as np
import pytest
from point_files import known_points, write_dlc_csv, write_dlc_fixed, write_dlc_table, write_sleap_csv, write_sleap_h5
from synthetic_take import ring_rig

import mvcap
from mvcap.errors import InputError
from mvcap.estimators.alphapose import AlphaPose
from mvcap.estimators.coco import Coco
from mvcap.estimators.deeplabcut import DeepLabCut
from mvcap.estimators.openpose import OpenPose
from mvcap.estimators.sleap import Sleap
from mvcap.estimators.table import DetectionTable
from mvcap.structures.contracts import View
from mvcap.structures.skeleton import SKELETONS

VIEW = View(0, "left", (1280, 720), 25.0, 3)
LAYOUTS = {"coco17": 17, "coco18": 18, "coco23": 23, "halpe26": 26, "wholebody133": 133, "halpe136": 136,
           "body135": 135, "mpii16": 16}  # fmt: skip
BODY = {"wholebody133": "coco23", "halpe136": "halpe26", "body135": "body25b"}


def flat(count, score=0.5):
    """x = 100 + joint, y = 200 + 2 joint, and a score, of so many keypoints."""
    return [value for joint in range(count) for value in (100.0 + joint, 200.0 + 2 * joint, score)]


def dump(path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def openpose(folder, people, **settings):
    """One view of three frames with the same people."""
    for frame in range(3):
        dump(folder / "left_json" / f"left_{frame:012d}_keypoints.json", {"people": people})
    return OpenPose(OpenPose.Config(folder=str(folder), **settings))


def coco(folder, people, **settings):
    dump(folder / "left.json", [{"image_id": frame, **one} for frame in range(3) for one in people])
    return Coco(Coco.Config(folder=str(folder), **settings))


def alphapose(folder, people, **settings):
    items = [{"image_id": f"{frame}.jpg", "idx": 1, **one} for frame in range(3) for one in people]
    dump(folder / "left.json", items)
    return AlphaPose(AlphaPose.Config(folder=str(folder), **settings))


def table(folder, people, **settings):
    """Our own layout, written by hand, from keypoints of COCO-17."""
    joints = np.array([one["keypoints"] for one in people], float).reshape(len(people), -1, 3)
    zeros = np.zeros(len(people), int)
    np.savez(folder / "a.npz", frame=zeros, view=zeros, xy=joints[..., :2], score=joints[..., 2], skeleton="coco17",
             view_names=["left"])  # fmt: skip
    return DetectionTable(DetectionTable.Config(file=str(folder / "a.npz"), **settings))


READERS = {
    "openpose": (openpose, "pose_keypoints_2d"),
    "coco": (coco, "keypoints"),
    "alphapose": (alphapose, "keypoints"),
    "table": (table, "keypoints"),
}


def found(estimator, frame=0):
    estimator.prepare((VIEW,))
    return estimator.estimate(None, frame, VIEW, {}).rows


def refused(call, *words):
    with pytest.raises(InputError) as caught:
        call()
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value), str(caught.value)


# ---- numbers of keypoints -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", ["openpose", "coco", "alphapose"])
@pytest.mark.parametrize(("layout", "count"), LAYOUTS.items())
@pytest.mark.parametrize("setting", ["auto", "by name"])
def test_the_body_of_every_layout_is_read(tmp_path, reader, layout, count, setting):
    make, key = READERS[reader]
    estimator = make(tmp_path, [{key: flat(count)}], skeleton=layout if setting == "by name" else "auto")
    rows = found(estimator)
    kind = SKELETONS[BODY.get(layout, layout)]
    assert estimator.skeleton is kind and rows.skeleton is kind and len(rows) == 1
    np.testing.assert_array_equal(rows.xy[0, :, 0], 100 + np.arange(len(kind)))


@pytest.mark.parametrize(("layout", "count"), [("coco18", 18), ("wholebody133", 133), ("halpe136", 136)])
def test_another_number_of_keypoints_names_the_setting(tmp_path, layout, count):
    refused(lambda: found(coco(tmp_path, [{"keypoints": flat(count)}])), "left.json", f"set the skeleton to {layout}")
    refused(lambda: found(coco(tmp_path, [{"keypoints": flat(9)}])), "left.json", "skeleton file")


def test_mmpose_predictions_of_the_whole_body(tmp_path):
    person = {"keypoints": np.reshape(flat(133), (-1, 3))[:, :2].tolist(), "keypoint_scores": [0.5] * 133}
    dump(tmp_path / "left.json", [{"frame_id": n, "instances": [person, {"bbox": [[1, 2, 3, 4]]}]} for n in range(3)])
    rows = found(Coco(Coco.Config(folder=str(tmp_path), skeleton="auto")))
    assert len(rows) == 1 and rows.skeleton.name == "coco23" and rows.xy[0, 22].tolist() == [122, 244]


def test_coco18_of_openpose_is_in_the_order_of_its_model(tmp_path):
    rows = found(openpose(tmp_path, [{"pose_keypoints_2d": flat(18)}]))
    assert rows.xy[0, rows.skeleton.index("neck"), 0] == 101 and rows.xy[0, rows.skeleton.index("left_ear"), 0] == 117


# ---- a skeleton of one's own ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", ["openpose", "coco", "alphapose"])
def test_joints_of_ones_own_come_from_a_skeleton_file(tmp_path, reader):
    make, key = READERS[reader]
    path = tmp_path / "own.yaml"
    path.write_text("joints: [lsho, rsho, lhip, rhip, prop]\n")
    estimator = make(tmp_path, [{key: flat(5)}], skeleton=str(path))
    rows = found(estimator)
    assert rows.xy[0, :, 0].tolist() == [100, 101, 102, 103, 104] and rows.skeleton.index("left_hip") == 2
    before = estimator.prepare((VIEW,))
    path.write_text(path.read_text() + "limbs: [[lhip, prop]]\n")
    assert estimator.prepare((VIEW,)) != before  # what is made with it is stale
    refused(lambda: make(tmp_path, [{key: flat(5)}], skeleton=str(tmp_path / "none.yaml")), "none.yaml")


def test_a_table_of_ones_own_joints_gets_its_skeleton(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    (tmp_path / "own.yaml").write_text("joints: [lsho, rsho, lhip, rhip, prop]\n")
    columns = {"frame": [0], "view": ["left"]}
    for number, joint in enumerate(("lsho", "rsho", "lhip", "rhip", "prop")):
        columns |= {f"{joint}_x": [10.0 + number], f"{joint}_y": [20.0 * number + 1], f"{joint}_score": [0.5]}
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    refused(lambda: DetectionTable(DetectionTable.Config(str(tmp_path / "a.parquet"))), "estimators.table.skeleton")
    rows = found(
        DetectionTable(DetectionTable.Config(str(tmp_path / "a.parquet"), skeleton=str(tmp_path / "own.yaml")))
    )
    assert rows.xy[0, :, 0].tolist() == [10, 11, 12, 13, 14]


# ---- missing joints and people -------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("score", [0.05, 0.49, 1.0])
def test_a_joint_at_zero_is_missing_whatever_its_score(tmp_path, reader, score):
    make, key = READERS[reader]
    values = flat(17)
    values[9 * 3 : 9 * 3 + 3] = [0.0, -0.0, score]
    values[10 * 3 : 10 * 3 + 3] = [0.0, 5.0, score]  # on the edge of the image is a place
    rows = found(make(tmp_path, [{key: values}]))
    assert np.isnan(rows.xy[0, 9]).all() and rows.score[0, 9] == 0 and rows.xy[0, 10].tolist() == [0, 5]
    assert rows.box[0].tolist() == [0, 5, 116, 232]


def test_joints_at_zero_are_missing_in_arrays_too():
    rig = ring_rig(3)
    rows = mvcap.Detections2D.build(
        SKELETONS["coco17"], 0, 0, [np.reshape(flat(17), (-1, 3))[:, :2]], np.ones((1, 17)), 1
    )
    zeros = rows.with_columns(xy=np.where(np.arange(17)[:, None] == 4, 0, rows.xy), person=np.zeros(1))
    for view in (1, 2):
        zeros = mvcap.Detections2D.concatenate([zeros, zeros[:1].with_columns(view=np.full(1, view))], zeros.skeleton)
    linked = mvcap.associate_rows(zeros, rig)
    assert (linked.score[:, 4] == 0).all() and np.isnan(linked.xy[:, 4]).all()
    assert np.isnan(mvcap.triangulate_rows(zeros, rig).xyz[0, 4]).all()


@pytest.mark.parametrize("empty", [{}, {"keypoints": None}, {"keypoints": []}], ids=["no key", "null", "empty"])
@pytest.mark.parametrize("reader", ["openpose", "coco", "alphapose"])
def test_a_person_without_keypoints_is_left_out(tmp_path, reader, empty):
    make, key = READERS[reader]
    other = ({key: empty["keypoints"]} if empty else {}) | {"hand_left_keypoints_2d": flat(21)}
    assert len(found(make(tmp_path, [other, {key: flat(17)}, other]))) == 1


@pytest.mark.parametrize(("reader", "words"), [("openpose", "pose_keypoints_2d"), ("coco", "keypoints")])
def test_nobody_with_keypoints_is_named(tmp_path, reader, words):
    refused(lambda: found(READERS[reader][0](tmp_path, [{"face_keypoints_2d": flat(70)}])), words)


# ---- shares of the image -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("span", [(0, 1), (-1, 1)], ids=["0 to 1", "-1 to 1"])
def test_shares_of_the_image_are_refused(tmp_path, reader, span):
    make, key = READERS[reader]
    joints = np.c_[np.random.default_rng(0).uniform(*span, (17, 2)), np.full(17, 0.9)]
    refused(
        lambda: found(make(tmp_path, [{key: joints.ravel().tolist()}])), str(tmp_path), "coordinates are not pixels"
    )


@pytest.mark.parametrize("write", [write_dlc_csv, write_sleap_csv])
def test_shares_of_the_image_are_refused_in_tables_of_points(tmp_path, write):
    xy, score = known_points(frames=3)
    write(tmp_path / "left.csv", xy / 1000, score)
    kind = DeepLabCut if write is write_dlc_csv else Sleap
    refused(lambda: found(kind(kind.Config(folder=str(tmp_path)))), "left.csv", "coordinates are not pixels")


def test_annotations_of_images_of_another_size_are_refused(tmp_path):
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 640, "height": 360} for n in range(3)]
    dump(tmp_path / "left.json", {"images": images, "annotations": [{"image_id": 0, "keypoints": flat(17, 2)}]})
    refused(lambda: found(Coco(Coco.Config(folder=str(tmp_path)))), "left.json", "640 x 360", "1280 x 720")


# ---- DeepLabCut and SLEAP ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "write"),
    [(DeepLabCut, "leftDLC_resnet50_studioshuffle1_100000.csv", write_dlc_csv),
     (DeepLabCut, "left.h5", write_dlc_table), (DeepLabCut, "leftDLC_dlcrnetms5_el.h5", write_dlc_fixed),
     (Sleap, "labels.v001.000_left.analysis.h5", write_sleap_h5), (Sleap, "left.analysis.csv", write_sleap_csv)],
)  # fmt: skip
def test_people_of_deeplabcut_and_sleap(tmp_path, kind, name, write):
    if name.endswith("h5"):
        pytest.importorskip("h5py")
    xy, score = known_points(frames=3)
    write(tmp_path / name, xy, score)
    estimator = kind(kind.Config(folder=str(tmp_path)))
    both, one = found(estimator), found(estimator, 2)
    np.testing.assert_allclose(both.xy[:, estimator.skeleton.index("left_knee")], xy[0, :, 5], rtol=1e-6)
    np.testing.assert_allclose(both.score, score[0], rtol=1e-6)
    assert both.carried.tolist() == [0, 1] and one.carried.tolist() == [0]
    assert estimator.frame_count((VIEW,)) == 3 and estimator.skeleton.labels[5] == "LKnee"
    again = kind(kind.Config(folder=str(tmp_path)))
    assert len(again.estimate(None, 1, VIEW, {}).rows) == 2  # without prepare, as in another process


def test_a_view_with_other_points_is_named(tmp_path):
    write_dlc_csv(tmp_path / "left.csv", *known_points(frames=3))
    path = write_dlc_csv(tmp_path / "right.csv", *known_points(frames=3))
    path.write_text(path.read_text().replace("LKnee", "LAnkle"))
    views = (VIEW, View(1, "right", (1280, 720), 25.0, 3))
    refused(lambda: DeepLabCut(DeepLabCut.Config(folder=str(tmp_path))).prepare(views), "right.csv", "LAnkle", "left")


@pytest.mark.parametrize("suffix", ["csv", "CSV"])
def test_labels_of_deeplabcut_lie_in_folders_of_the_views(tmp_path, suffix):
    xy, _ = known_points(frames=2, people=1)
    index = [("labeled-data", "left", f"img{n}.png") for n in (0, 2)]
    write_dlc_csv(tmp_path / "left" / f"CollectedData_me.{suffix}", xy, None, index)
    rows = found(DeepLabCut(DeepLabCut.Config(folder=str(tmp_path))), 2)
    assert len(rows) == 1 and (rows.score == 1).all()


def test_load_detections_reads_them_all(tmp_path):
    rig = ring_rig(2)
    xy, score = known_points(frames=5)
    for name in rig.names:
        write_dlc_csv(tmp_path / f"{name}.csv", xy, score)
    rows = mvcap.load_detections(tmp_path, "deeplabcut", rig)
    assert len(rows) == 2 * 9 and rows.skeleton.index("LHip") == 3


# ---- the wrong estimator -------------------------------------------------------------------------------------------


def test_files_of_another_program_name_its_estimator(tmp_path):
    write_dlc_csv(tmp_path / "deeplabcut" / "left.csv", *known_points())
    for folder in ("sleap", "slp", "own"):
        (tmp_path / folder).mkdir()
    write_sleap_csv(tmp_path / "sleap" / "left.csv", *known_points())
    openpose(tmp_path / "openpose", [{"pose_keypoints_2d": flat(25)}])
    coco(tmp_path / "coco", [{"keypoints": flat(17)}])
    (tmp_path / "slp" / "left.slp").write_bytes(b"\x89HDF")
    table(tmp_path / "own", [{"keypoints": flat(17)}])
    for folder in ("deeplabcut", "sleap", "openpose"):
        given = Coco.Config(folder=str(tmp_path / folder))
        refused(lambda: Coco(given).prepare((VIEW,)), f"set estimator={folder}", f"estimators.{folder}.folder")  # noqa: B023
    for kind in (OpenPose, DeepLabCut, Sleap):
        refused(lambda: kind(kind.Config(folder=str(tmp_path / "coco"))).prepare((VIEW,)), "set estimator=coco")  # noqa: B023
    refused(lambda: Coco(Coco.Config(folder=str(tmp_path / "slp"))).prepare((VIEW,)), "export them as analysis HDF5")
    refused(lambda: Coco(Coco.Config(folder=str(tmp_path / "own"))).prepare((VIEW,)), "set estimator=table")


# ---- damaged files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "person",
    [{"keypoints": flat(17), "image_id": 3_000_000_000}, {"keypoints": flat(17), "image_id": [1]},
     {"keypoints": flat(17), "image_id": 10**400}, {"keypoints": {"x": 1}}, {"keypoints": flat(17), "track_id": 1e300}],
)  # fmt: skip
def test_impossible_values_are_refused(tmp_path, person):
    refused(lambda: found(coco(tmp_path, [person])), "left.json")


def test_numbers_beyond_all_others_are_missing(tmp_path):
    assert len(found(coco(tmp_path, [{"keypoints": [10**400] * 51}]))) == 0
    rows = found(coco(tmp_path, [{"keypoints": flat(17), "bbox": [10**400] * 4}]))
    assert rows.box[0].tolist() == [100, 200, 116, 232]


@pytest.mark.parametrize(
    "document",
    [{"annotations": [1], "images": []}, {"annotations": [], "images": [{"id": [1], "file_name": "1"}]},
     {"annotations": [], "images": [{"id": 1, "file_name": 3}]}],
)  # fmt: skip
def test_annotations_of_other_types_are_refused(tmp_path, document):
    dump(tmp_path / "left.json", document)
    refused(lambda: found(Coco(Coco.Config(folder=str(tmp_path)))), "left.json")


def test_deep_json_and_far_frame_numbers_are_refused(tmp_path):
    estimator = openpose(tmp_path, [{"pose_keypoints_2d": flat(25)}])
    (tmp_path / "left_json" / "left_000000000001_keypoints.json").write_text("[" * 100_000)
    refused(lambda: found(estimator), "000001_keypoints.json", "nested too deeply")
    openpose(tmp_path, [{"pose_keypoints_2d": flat(25)}])
    dump(tmp_path / "left_json" / f"left_{10**17}_keypoints.json", {"people": []})
    refused(lambda: found(OpenPose(OpenPose.Config(folder=str(tmp_path), missing="empty"))), "left_json", "frames")
