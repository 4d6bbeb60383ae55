"""Files of other estimators and of our own: known values come back, broken input is refused in one clear line."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mvcap.errors import ConfigError, InputError
from mvcap.estimation.prediction_files import frame_number, match_views
from mvcap.estimators.alphapose import AlphaPose, AlphaPoseConfig
from mvcap.estimators.coco import Coco, CocoConfig
from mvcap.estimators.openpose import OpenPose, OpenPoseConfig
from mvcap.estimators.table import DetectionTable, DetectionTableConfig
from mvcap.plugins import TABLE, plugin_class
from mvcap.structures.contracts import View
from mvcap.structures.detection_table import write_detections_npz, write_detections_parquet
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import SKELETONS

DATA = Path(os.environ.get("MVCAP_DATA", Path(__file__).parents[4] / "shared" / "data"))
OPENPOSE = DATA / "pose2sim_multiperson" / "openpose" / "pose"
CAMERAS = ("cam01", "cam02", "cam03", "cam04")
BODY25, COCO17 = SKELETONS["body25"], SKELETONS["coco17"]


def views(*names: str, frames: int = 3) -> tuple[View, ...]:
    return tuple(View(index, name, (640, 480), 60.0, frames) for index, name in enumerate(names))


def triplets(joints: int, start: float = 10.0) -> list[float]:
    """Flat x, y, score of ``joints`` joints: x = start + joint, y = 2 x, score 0.5."""
    return [value for joint in range(joints) for value in (start + joint, 2 * (start + joint), 0.5)]


def dump(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def openpose_folder(root: Path, name: str, people: list[int], first: int = 0, joints: int = 25) -> Path:
    for frame, count in enumerate(people, start=first):
        bodies = [{"person_id": [-1], "pose_keypoints_2d": triplets(joints, 10.0 * (p + 1))} for p in range(count)]
        dump(root / name / f"{name}_{frame:012d}_keypoints.json", {"version": 1.3, "people": bodies})
    return root / name


def openpose(root: Path, **settings: Any) -> OpenPose:
    return OpenPose(OpenPoseConfig(folder=str(root), **settings))


def rows(estimator: Any, frame: int, view: View) -> Detections2D:
    found: Detections2D = estimator.estimate(None, frame, view, {}).rows
    return found


def one_line(caught: pytest.ExceptionInfo[InputError]) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- matching -----------------------------------------------------------------------------------------------------


def test_views_are_matched_by_name_not_by_order() -> None:
    found = {name: Path(name) for name in ("b", "a_json", "a_b_left", "c_x", "d_1", "d_2")}
    assert match_views(["a", "b", "c"], found, "folder", Path("x")) == {
        "a": Path("a_json"), "b": Path("b"), "c": Path("c_x")
    }  # fmt: skip
    with pytest.raises(InputError, match=r"view d.*a_b_left"):
        match_views(["d"], found, "folder", Path("x"))


@pytest.mark.parametrize(
    ("name", "number"),
    [("cam1_000000000012_keypoints.json", 12), ("cam01.0007.json", 7), ("0.jpg", 0), ("v2_0100.png", 100)],
)
def test_frame_number_is_the_last_group_of_digits(name: str, number: int) -> None:
    assert frame_number(name) == number


def test_imports_are_in_the_table_of_plugins() -> None:
    for name in ("openpose", "coco", "alphapose", "table", "oracle", "topdown"):
        assert plugin_class("estimator", name).Config.__name__.endswith("Config")
        assert name in TABLE["estimator"]


# ---- OpenPose -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not OPENPOSE.is_dir(), reason="no Pose2Sim demo detections; set MVCAP_DATA")
def test_openpose_reads_the_pose2sim_demo() -> None:
    estimator = openpose(OPENPOSE)
    cameras = views(*CAMERAS, frames=100)
    identity = estimator.prepare(cameras)
    assert len(identity) == 64 and identity == openpose(OPENPOSE).prepare(cameras)
    seen = [rows(estimator, frame, view) for view in cameras for frame in range(0, 100, 25)]
    assert all(2 <= len(table) <= 4 for table in seen)
    first = json.loads((OPENPOSE / "cam01_json" / "cam01.0000.json").read_text())["people"][0]["pose_keypoints_2d"]
    found = rows(estimator, 0, cameras[0])
    np.testing.assert_allclose(found.xy[0, 0], first[:2], rtol=1e-6)
    assert np.isnan(found.xy[0, 1]).all() and found.score[0, 1] == 0
    noise = np.nanmedian(np.concatenate([table.noise_px.ravel() for table in seen]))
    assert 5 < noise < 40


@pytest.mark.skipif(not OPENPOSE.is_dir(), reason="no Pose2Sim demo detections; set MVCAP_DATA")
def test_openpose_names_a_missing_file_of_the_demo(tmp_path: Path) -> None:
    shutil.copytree(OPENPOSE / "cam01_json", tmp_path / "cam01_json")
    (tmp_path / "cam01_json" / "cam01.0041.json").unlink()
    with pytest.raises(InputError, match=r"cam01\.0041\.json is missing"):
        openpose(tmp_path).prepare(views("cam01", frames=100))
    estimator = openpose(tmp_path, missing="empty")
    estimator.prepare(views("cam01", frames=100))
    assert len(rows(estimator, 41, views("cam01")[0])) == 0
    assert len(rows(estimator, 42, views("cam01")[0])) > 0


@pytest.mark.parametrize("first", [0, 1, 250])
def test_openpose_may_count_from_any_number(tmp_path: Path, first: int) -> None:
    openpose_folder(tmp_path, "left", [1, 0, 2], first)
    estimator = openpose(tmp_path)
    (view,) = views("left")
    estimator.prepare((view,))
    assert [len(rows(estimator, frame, view)) for frame in range(3)] == [1, 0, 2]
    found = rows(estimator, 2, view)
    np.testing.assert_array_equal(found.xy[1, :, 0], 20 + np.arange(25))
    assert found.frame.tolist() == [2, 2] and found.person.tolist() == [-1, -1]


def test_openpose_works_without_prepare_in_another_process(tmp_path: Path) -> None:
    openpose_folder(tmp_path, "left", [1, 1, 1])
    assert len(rows(openpose(tmp_path), 1, views("left")[0])) == 1


def test_openpose_lists_both_sides_of_unmatched_names(tmp_path: Path) -> None:
    openpose_folder(tmp_path, "left_json", [1, 1, 1])
    with pytest.raises(InputError) as caught:
        openpose(tmp_path).prepare(views("left", "right"))
    message = one_line(caught)
    assert "view right" in message and "left_json" in message and "left, right" in message


@pytest.mark.parametrize("frames", [2, 4])
def test_openpose_tells_both_counts(tmp_path: Path, frames: int) -> None:
    openpose_folder(tmp_path, "left", [1, 1, 1])
    with pytest.raises(InputError, match=rf"3 frames .* has {frames}"):
        openpose(tmp_path).prepare(views("left", frames=frames))


def test_openpose_missing_end_needs_the_first_number(tmp_path: Path) -> None:
    openpose_folder(tmp_path, "left", [1, 1, 1], first=1)
    with pytest.raises(InputError, match="first_frame"):
        openpose(tmp_path, missing="empty").prepare(views("left", frames=4))
    estimator = openpose(tmp_path, missing="empty", first_frame=0)
    estimator.prepare(views("left", frames=4))
    assert [len(rows(estimator, frame, views("left")[0])) for frame in range(4)] == [0, 1, 1, 1]


@pytest.mark.parametrize("text", ['{"people": [{"pose_key', "", "\x00\xff", "[]", '{"people": 3}', '{"people": [1]}'])
def test_openpose_names_a_broken_file(tmp_path: Path, text: str) -> None:
    folder = openpose_folder(tmp_path, "left", [1, 1, 1])
    (folder / "left_000000000001_keypoints.json").write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=r"left_000000000001_keypoints\.json") as caught:
        openpose(tmp_path).prepare(views("left"))
    one_line(caught)


def test_openpose_wrong_number_of_keypoints_names_the_skeleton_to_set(tmp_path: Path) -> None:
    openpose_folder(tmp_path, "left", [1, 1, 1], joints=17)
    with pytest.raises(InputError, match="set the skeleton to coco17"):
        openpose(tmp_path, skeleton="body25").prepare(views("left"))
    openpose(tmp_path, skeleton="coco17").prepare(views("left"))
    with pytest.raises(InputError, match="body25, body25b, coco17, halpe26"):
        openpose(tmp_path, skeleton="coco19")
    with pytest.raises(ConfigError):
        openpose(tmp_path, missing="maybe")


@pytest.mark.parametrize(("joints", "name"), [(17, "coco17"), (26, "halpe26"), (25, "body25b")])
def test_openpose_tells_the_skeleton_by_the_number_of_keypoints(tmp_path: Path, joints: int, name: str) -> None:
    openpose_folder(tmp_path, "left", [1, 1, 1], joints=joints)
    estimator = openpose(tmp_path)
    estimator.prepare(views("left"))
    assert estimator.skeleton.name == name


def test_openpose_tells_body_25_by_its_middle_hip(tmp_path: Path) -> None:
    joints = np.array([[100 + 3 * j, 100 + 20 * j, 0.9] for j in range(25)], dtype=float)
    joints[8, :2] = (joints[9, :2] + joints[12, :2]) / 2
    dump(tmp_path / "left" / "left_0_keypoints.json", {"people": [{"pose_keypoints_2d": joints.ravel().tolist()}]})
    estimator = openpose(tmp_path)
    estimator.prepare((View(0, "left", (640, 480), 30.0, 1),))
    assert estimator.skeleton.name == "body25"


def test_openpose_bodies_without_joints_are_no_rows(tmp_path: Path) -> None:
    nobody = {"person_id": [-1], "pose_keypoints_2d": [0.0] * 75}
    nothing = {"person_id": [-1], "pose_keypoints_2d": [float("nan")] * 75}
    dump(tmp_path / "left" / "left_0.json", {"people": [nobody, nothing]})
    estimator = openpose(tmp_path)
    estimator.prepare(views("left", frames=1))
    assert len(rows(estimator, 0, views("left")[0])) == 0


def test_openpose_identity_follows_the_content(tmp_path: Path) -> None:
    folder = openpose_folder(tmp_path, "left", [1, 1, 1])
    before = openpose(tmp_path).prepare(views("left"))
    path = folder / "left_000000000001_keypoints.json"
    path.write_text(path.read_text().replace("0.5", "0.6"))
    assert openpose(tmp_path).prepare(views("left")) != before


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_missing_folder_is_told(folder: str) -> None:
    for estimator in (OpenPose(OpenPoseConfig(folder)), Coco(CocoConfig(folder)), AlphaPose(AlphaPoseConfig(folder))):
        with pytest.raises(InputError, match="folder"):
            estimator.prepare(views("left"))


# ---- COCO and MMPose ----------------------------------------------------------------------------------------------


def coco(root: Path, **settings: Any) -> Coco:
    return Coco(CocoConfig(folder=str(root), **settings))


def check_known(estimator: Any, frame: int) -> None:
    """One body of ``triplets`` in the frame, nobody in the next."""
    (view,) = views("left")
    estimator.prepare((view,))
    found = rows(estimator, frame, view)
    assert len(found) == 1 and found.frame.tolist() == [frame]
    np.testing.assert_array_equal(found.xy[0, :, 0], 10 + np.arange(17))
    np.testing.assert_array_equal(found.xy[0, :, 1], 20 + 2 * np.arange(17))
    np.testing.assert_array_equal(found.score[0], np.full(17, 0.5, np.float32))
    np.testing.assert_array_equal(found.box[0], [8, 18, 40, 60])
    assert len(rows(estimator, frame + 1, view)) == 0


RESULT = {"keypoints": triplets(17), "score": 0.9, "bbox": [8, 18, 32, 42], "category_id": 1}
INSTANCE = {
    "keypoints": [[10 + j, 20 + 2 * j] for j in range(17)], "keypoint_scores": [0.5] * 17, "bbox": [[8, 18, 40, 60]],
}  # fmt: skip
IMAGES = [{"id": 900 + n, "file_name": f"left/{n + 5:06d}.jpg"} for n in range(3)]


@pytest.mark.parametrize("image_id", [1, "000001.jpg"])
def test_coco_results(tmp_path: Path, image_id: int | str) -> None:
    dump(tmp_path / "left.json", [{**RESULT, "image_id": image_id}])
    check_known(coco(tmp_path), 1)


def test_coco_results_with_annotations_beside_them(tmp_path: Path) -> None:
    dump(tmp_path / "left.json", [{**RESULT, "image_id": 901}])
    dump(tmp_path / "left_annotations.json", {"images": IMAGES, "annotations": [], "categories": []})
    check_known(coco(tmp_path), 1)


def test_coco_annotations_have_labels_for_scores(tmp_path: Path) -> None:
    labelled = [2.0 if n % 3 == 2 else value for n, value in enumerate(triplets(17))]
    labelled[2] = 0
    labelled[5] = 1
    dump(tmp_path / "left.json", {"images": IMAGES, "annotations": [{"image_id": 901, "keypoints": labelled}]})
    estimator = coco(tmp_path)
    estimator.prepare(views("left"))
    found = rows(estimator, 1, views("left")[0])
    assert found.score[0, :3].tolist() == [0, 0.5, 1] and np.isnan(found.xy[0, 0]).all()


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("first", [0, 1])
def test_mmpose_predictions(tmp_path: Path, wrapped: bool, first: int) -> None:
    frames = [{"frame_id": n + first, "instances": [INSTANCE] if n == 1 else []} for n in range(3)]
    dump(tmp_path / "results_left.json", {"meta_info": {}, "instance_info": frames} if wrapped else frames)
    check_known(coco(tmp_path), 1)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([{"frame_id": n, "instances": []} for n in (0, 2, 3)], "frame 1 is missing"),
        ([{"frame_id": n, "instances": []} for n in (0, 1, 1)], "frame 1 is unexpected, or listed twice"),
        ([{"frame_id": n, "instances": []} for n in range(5)], "5 frames where view left of the session has 3"),
        ([{**RESULT, "image_id": 3}], "has frame 3"),
        ([{**RESULT, "image_id": "first.jpg"}], "first.jpg"),
        ([{**RESULT, "image_id": 0, "keypoints": triplets(26)}], "set the skeleton to halpe26"),
        ([{**RESULT, "image_id": 0, "keypoints": ["a"] * 51}], "not a list of numbers"),
        ([{"frame_id": n, "instances": [{**INSTANCE, "keypoint_scores": [1]}]} for n in range(3)], "1 scores"),
        ([{"frame_id": n, "instances": [7]} for n in range(3)], "entry 0"),
        ({"annotations": [{"image_id": 5, "keypoints": triplets(17)}], "images": IMAGES}, "image_id 5"),
        ({"annotations": []}, "images"),
        ({"people": []}, "neither COCO"),
        ([1, 2], "neither COCO"),
    ],
)
def test_coco_refuses_in_one_line(tmp_path: Path, document: Any, message: str) -> None:
    path = dump(tmp_path / "left.json", document)
    with pytest.raises(InputError, match=message) as caught:
        coco(tmp_path).prepare(views("left"))
    assert str(path) in one_line(caught) or "first.jpg" in message


@pytest.mark.parametrize("kind", [Coco, AlphaPose])
def test_files_truncated_unmatched_or_of_nobody(tmp_path: Path, kind: type[Any]) -> None:
    estimator = kind(kind.Config(folder=str(tmp_path)))
    path = dump(tmp_path / "left.json", [])
    estimator.prepare(views("left"))
    assert len(rows(estimator, 0, views("left")[0])) == 0
    dump(path, [{**RESULT, "image_id": "0.jpg", "keypoints": [float("nan")] * 51}])
    estimator.prepare(views("left"))
    assert len(rows(estimator, 0, views("left")[0])) == 0
    with pytest.raises(InputError, match=r"view right .*left, right.*files there: left"):
        estimator.prepare(views("left", "right"))
    path.write_text(path.read_text()[:-9])
    with pytest.raises(InputError, match=r"left\.json: not JSON, or truncated"):
        estimator.prepare(views("left"))


# ---- AlphaPose ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["left.json", "left/alphapose-results.json"])
def test_alphapose_results(tmp_path: Path, place: str) -> None:
    body = {"image_id": "1.jpg", "keypoints": triplets(17), "score": 2.9, "box": [8, 18, 32, 42], "idx": [4.0]}
    dump(tmp_path / place, [body])
    estimator = AlphaPose(AlphaPoseConfig(str(tmp_path)))
    check_known(estimator, 1)
    assert rows(estimator, 1, views("left")[0]).carried.tolist() == [4]


def test_alphapose_halpe26_by_count_and_wrong_frames(tmp_path: Path) -> None:
    dump(tmp_path / "left.json", [{"image_id": "7.jpg", "keypoints": triplets(26), "score": 3.0}])
    with pytest.raises(InputError, match="set the skeleton to halpe26"):
        AlphaPose(AlphaPoseConfig(str(tmp_path))).prepare(views("left"))
    with pytest.raises(InputError, match=r"has frame 7.* 3 frames"):
        AlphaPose(AlphaPoseConfig(str(tmp_path), "halpe26")).prepare(views("left"))
    estimator = AlphaPose(AlphaPoseConfig(str(tmp_path), "halpe26", first_frame=6))
    estimator.prepare(views("left"))
    assert len(rows(estimator, 1, views("left")[0])) == 1
    with pytest.raises(InputError, match="before the session's first"):
        AlphaPose(AlphaPoseConfig(str(tmp_path), "halpe26", first_frame=9)).prepare(views("left"))


# ---- our own table ------------------------------------------------------------------------------------------------


def made_chunks(frames: int = 60, chunk: int = 7) -> list[Detections2D]:
    """Rows of two views with missing joints and ids, some frames empty."""
    rng = np.random.default_rng(3)
    tables = []
    for frame in range(frames):
        for view in range(2):
            count = int(rng.integers(0, 4))
            score = rng.random((count, 17)) * (rng.random((count, 17)) > 0.3)
            xy = rng.uniform(0, 400, (count, 17, 2))
            made = Detections2D.build(COCO17, frame, view, xy, score, 0.5, carried=rng.integers(0, 9, count))
            tables.append(made.with_columns(person=rng.integers(-1, 3, count).astype(np.int32)))
    return [Detections2D.concatenate(tables[i : i + 2 * chunk], COCO17) for i in range(0, len(tables), 2 * chunk)]


def write(path: Path, chunks: list[Detections2D], names: tuple[str, ...] = ("right", "left")) -> DetectionTable:
    (write_detections_npz if path.suffix == ".npz" else write_detections_parquet)(path, iter(chunks), names, COCO17)
    return DetectionTable(DetectionTableConfig(str(path)))


def same_bits(a: Detections2D, b: Detections2D) -> bool:
    return all(getattr(a, name).tobytes() == getattr(b, name).tobytes() for name in a.columns() if name != "view")


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_table_round_trip_is_bit_exact_and_by_name(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mvcap.structures.detection_table._ROWS", 16)  # several row groups
    chunks = made_chunks()
    estimator = write(tmp_path / f"detections.{ending}", chunks)
    assert estimator.skeleton.name == "coco17"
    cameras = views("left", "right", frames=60)  # the file has them the other way round
    assert estimator.prepare(cameras) == DetectionTable(estimator.config).prepare(cameras)
    whole = Detections2D.concatenate(chunks, COCO17)
    for frame in range(60):
        for view in cameras:
            wanted = whole[(whole.frame == frame) & (whole.view == 1 - view.index)]
            found = rows(estimator, frame, view)
            assert same_bits(found, wanted) and (found.view == view.index).all()
    assert not list(tmp_path.glob(".*"))  # no temporary file is left


def test_table_npz_stays_on_the_disk(tmp_path: Path) -> None:
    estimator = write(tmp_path / "detections.npz", made_chunks())
    assert isinstance(estimator._file._arrays["xy"], np.memmap)  # type: ignore[attr-defined]
    with np.load(tmp_path / "detections.npz") as loaded:
        compressed = dict(loaded)
    np.savez_compressed(tmp_path / "other.npz", **compressed)
    other = DetectionTable(DetectionTableConfig(str(tmp_path / "other.npz")))
    view = views("left", frames=60)[0]
    assert same_bits(rows(other, 5, view), rows(estimator, 5, view))


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_table_without_rows(tmp_path: Path, ending: str) -> None:
    estimator = write(tmp_path / f"empty.{ending}", [])
    estimator.prepare(views("left"))
    assert len(rows(estimator, 0, views("left")[0])) == 0


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_table_refuses_other_views_frames_and_broken_files(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"detections.{ending}"
    estimator = write(path, made_chunks())
    with pytest.raises(InputError, match=r"no view top .*left, top; in the file: .*right"):
        estimator.prepare(views("left", "top", frames=60))
    with pytest.raises(InputError, match=r"has frame \d+ .* 3 frames"):
        estimator.prepare(views("left"))
    whole = path.read_bytes()
    for part in (b"", whole[:100], whole[: len(whole) // 2]):
        path.write_bytes(part)
        with pytest.raises(InputError, match="detections"):
            DetectionTable(DetectionTableConfig(str(path)))
    path.unlink()
    for file in ("", str(path)):
        with pytest.raises(InputError, match=r"table\.file"):
            DetectionTable(DetectionTableConfig(file))


def test_table_failed_writing_leaves_nothing(tmp_path: Path) -> None:
    chunks = made_chunks()
    for ending in ("npz", "parquet"):
        with pytest.raises(ValueError, match="order of frames"):
            write(tmp_path / f"x.{ending}", chunks[::-1])
        with pytest.raises(ValueError, match="needs a name"):
            write(tmp_path / f"x.{ending}", chunks, ("left",))
    assert not list(tmp_path.iterdir())


def test_table_made_elsewhere_with_the_least_columns(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    columns: dict[str, Any] = {"frame": [2, 0], "view": ["left", "left"]}
    for number, joint in enumerate(COCO17.joints):
        columns[f"{joint}_x"], columns[f"{joint}_y"] = [float(number + 1), None], [2.0 * number, None]
        columns[f"{joint}_score"] = [0.5, None]
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    np.savez(
        tmp_path / "a.npz", frame=[2, 0], view=[0, 0], view_names=["left"], skeleton="coco17",
        xy=[[[n + 1, 2 * n] for n in range(17)], [[0.0, 0.0]] * 17], score=[[0.5] * 17, [0.0] * 17],
    )  # fmt: skip
    for name in ("a.parquet", "a.npz"):
        estimator = DetectionTable(DetectionTableConfig(str(tmp_path / name)))
        estimator.prepare(views("left"))
        assert estimator.skeleton.name == "coco17"
        found = rows(estimator, 2, views("left")[0])
        np.testing.assert_array_equal(found.xy[0], [[n + 1, 2 * n] for n in range(17)])
        assert np.isfinite(found.noise_px).all() and found.carried.tolist() == [-1] and found.box[0, 2] == 17
        assert len(rows(estimator, 0, views("left")[0])) == 0
    parquet.write_table(pa.table({"frame": [0], "view": ["a"], "tail_x": [1.0]}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match="tail"):
        DetectionTable(DetectionTableConfig(str(tmp_path / "b.parquet")))
