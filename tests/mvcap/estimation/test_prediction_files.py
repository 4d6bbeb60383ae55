"""What readers of other estimators' files share: names, numbers, boxes and ids, right or refused in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcap.errors import InputError
from mvcap.estimation.prediction_files import (
    IMPORTED_SKELETONS,
    FilePerson,
    FileSkeleton,
    box_of,
    check_frames,
    existing_folder,
    file_skeleton,
    fingerprint,
    flat_numbers,
    frame_number,
    ident_of,
    imported_skeleton,
    keypoint_pairs,
    keypoints,
    match_views,
    read_json,
    rows_of,
    without_empty_rows,
)
from mvcap.structures.contracts import View
from mvcap.structures.skeleton import SKELETONS

COCO = SKELETONS["coco17"]


def refused(call, *arguments, words=()):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    for word in [words] if isinstance(words, str) else words:
        assert word in message, message


# Names


names = st.lists(st.text("ab_1", min_size=1, max_size=4), min_size=1, max_size=4, unique=True)


@settings(max_examples=40)
@given(names, st.lists(st.text("ab_1", min_size=1, max_size=6), max_size=6, unique=True))
def test_every_view_has_a_file_that_is_named_after_it(views, files):
    found = {name: Path(name) for name in files}
    try:
        chosen = match_views(views, found, "folder", Path("x"))
    except InputError as fault:
        assert "\n" not in str(fault)
        assert not set(views) <= set(files)  # exact names are always found
        return
    assert sorted(chosen) == sorted(views) and len(set(chosen.values())) == len(views)
    for name, path in chosen.items():
        assert str(path) == name or str(path).startswith(f"{name}_")


def test_a_view_prefers_its_own_name_and_nothing_is_guessed():
    found = {name: Path(name) for name in ("b", "a_json", "a", "c_left", "d_1", "d_2")}
    assert match_views(["a", "b", "c"], found, "folder", Path("x")) == {
        "a": Path("a"), "b": Path("b"), "c": Path("c_left")
    }  # fmt: skip
    refused(match_views, ["a", "d"], found, "folder", Path("x"), words=("x", "d_1", "folder"))
    refused(match_views, ["a"], {}, "file", Path("x"), words="a")


def test_what_another_view_is_named_after_is_not_taken():
    found = {"a_b": Path("a_b")}
    refused(match_views, ["a", "a_b"], found, "folder", Path("x"), words="a")
    assert match_views(["a"], found, "folder", Path("x")) == {"a": Path("a_b")}


@settings(max_examples=40)
@given(st.integers(0, 10**9), st.integers(1, 12), st.sampled_from(("cam{}_keypoints.json", "v2.{}.json", "{}.jpg")))
def test_frame_numbers_come_back(number, digits, pattern):
    assert frame_number(pattern.format(f"{number:0{digits}d}")) == number


def test_a_name_without_digits_has_no_frame():
    refused(frame_number, "first.json", words="first.json")


@pytest.mark.parametrize("name", IMPORTED_SKELETONS)
def test_skeletons_of_files_are_those_listed(name):
    assert imported_skeleton(name) is SKELETONS[name]
    refused(imported_skeleton, "blazepose33", words=IMPORTED_SKELETONS)


def test_a_folder_has_to_be_there(tmp_path):
    assert existing_folder(str(tmp_path), "coco") == tmp_path
    (tmp_path / "file").write_text("")
    for folder in ("", str(tmp_path / "none"), str(tmp_path / "file")):
        refused(existing_folder, folder, "coco", words="estimators.coco.folder")


# Numbers


@pytest.mark.parametrize("kind", IMPORTED_SKELETONS)
def test_triplets_and_pairs_are_the_same_people(kind):
    one = SKELETONS[kind]
    rng = np.random.default_rng(0)
    xy, score = rng.uniform(0, 900, (len(one), 2)), rng.uniform(0, 1, len(one))
    flat = np.concatenate([xy, score[:, None]], axis=1).ravel().tolist()
    for got in (keypoints(flat, one, "a.json"), keypoint_pairs(xy.tolist(), score.tolist(), one, "a.json")):
        np.testing.assert_array_equal(got[0], xy)
        np.testing.assert_array_equal(got[1], score)


def test_a_wrong_number_of_keypoints_names_the_skeleton_to_set():
    refused(keypoints, [0.0] * 78, COCO, "a.json", words=("a.json", "coco17", "halpe26"))
    refused(keypoints, [0.0] * 75, COCO, "a.json", words=("body25 or body25b",))
    refused(keypoints, [0.0] * 50, COCO, "a.json", words="17")
    refused(keypoint_pairs, [[0, 0]] * 26, [0] * 26, COCO, "a.json", words="halpe26")
    refused(keypoint_pairs, [[0, 0]] * 17, [0] * 16, COCO, "a.json", words=("34", "16"))
    refused(keypoint_pairs, [[0, 0, 0]] * 17, [0] * 17, COCO, "a.json", words="51")


@pytest.mark.parametrize("values", ["abc", [1, [2]], ["a"], {"x": 1}, [{}], object()])
def test_what_are_no_numbers(values):
    refused(flat_numbers, values, "a.json entry 3", words="a.json entry 3")


def test_numbers_may_be_nested_and_empty():
    assert flat_numbers([[1, 2], [3, 4]], "").tolist() == [1, 2, 3, 4]
    assert flat_numbers([], "").tolist() == [] and flat_numbers(7, "").tolist() == [7]


@settings(max_examples=40)
@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.floats(0.1, 1e4), st.floats(0.1, 1e4))
def test_both_ways_to_write_a_box_are_one_box(left, top, wide, high):
    assert box_of([left, top, wide, high], "", wide=True) == (left, top, left + wide, top + high)
    assert box_of([left, top, left + wide, top + high], "", wide=False) == (left, top, left + wide, top + high)
    assert box_of([[left, top, wide, high]], "", wide=False) == (left, top, wide, high)


def test_there_need_be_no_box():
    for values in (None, [], [1, 2, 3]):
        assert box_of(values, "", wide=True) is None
    refused(box_of, ["left", 0, 1, 1], "a.json", False, words="a.json")


@pytest.mark.parametrize(
    ("value", "ident"), [(4, 4), ([4.0], 4), ([[7], 2], 7), (None, -1), ([], -1), (float("nan"), -1), ([np.inf], -1)]
)
def test_ids_as_trackers_write_them(value, ident):
    if value == [[7], 2]:
        refused(ident_of, value, "a.json", words="a.json")
    else:
        assert ident_of(value, "") == ident


# Rows


def person(frame, xy=None, score=None, box=None, carried=-1):
    xy = np.arange(34.0).reshape(17, 2) + 10 * frame if xy is None else xy
    return FilePerson(frame, xy, np.full(17, 0.5) if score is None else score, box, carried)


def test_rows_keep_the_order_and_leave_out_bodies_without_joints():
    nothing = np.full((17, 2), np.nan)
    people = [person(2, carried=5), person(0, nothing), person(1), person(3, score=np.zeros(17))]
    rows = rows_of(people, COCO, 3, 0.35)
    assert rows.frame.tolist() == [2, 1] and rows.carried.tolist() == [5, -1]
    assert (rows.view == 3).all() and (rows.person == -1).all()
    np.testing.assert_array_equal(rows.xy[0], people[0].xy)
    assert len(rows_of([], COCO, 0, 0.35)) == len(rows_of([person(0, nothing)], COCO, 0, 0.35)) == 0


def test_a_box_is_the_files_where_it_is_one_else_that_of_the_joints():
    given_box, turned = (-5.0, -7.0, 40.0, 50.0), (40.0, 50.0, -5.0, -7.0)
    people = [person(0, box=given_box), person(0, box=turned), person(0), person(0, box=(0.0, 0.0, np.nan, 9.0))]
    rows = rows_of(people, COCO, 0, 0.35)
    own = [0, 1, 32, 33]
    np.testing.assert_array_equal(rows.box, [given_box, own, own, own])
    # The noise goes with the size of the box that counts.
    assert rows.noise_px[0, 0] > rows.noise_px[1, 0] == rows.noise_px[2, 0]


def test_rows_without_joints_are_dropped_and_others_are_as_they_were():
    rows = rows_of([person(0), person(1)], COCO, 0, 0.35)
    blank = rows.with_columns(
        xy=np.where([[[True]], [[False]]], np.nan, rows.xy), score=rows.score * [[0], [1]],
        noise_px=np.where([[True], [False]], np.nan, rows.noise_px),
    )  # fmt: skip
    left = without_empty_rows(blank)
    assert left.frame.tolist() == [1] and left.xy.tobytes() == rows.xy[1:].tobytes()


# Files


def test_json_is_read_or_named(tmp_path):
    path = tmp_path / "a.json"
    for document in ({"people": [1, 2.5, None]}, [], "text"):
        path.write_text(json.dumps(document))
        assert read_json(path) == document
    for data in (b"", b'{"a": 1', b"\xff\xfe\x01", b"nothing"):
        path.write_bytes(data)
        refused(read_json, path, words=str(path))
    for other in (tmp_path, tmp_path / "none.json"):
        refused(read_json, other, words=str(other))


def test_frames_have_to_be_those_of_the_session():
    view = View(0, "left", (640, 480), 60.0, 5)
    check_frames([], view, Path("a"))
    check_frames(range(5), view, Path("a"))
    refused(check_frames, [2, 5, 1], view, Path("a.json"), words=("a.json", "left", "5 frames"))


def test_fingerprints_follow_names_sizes_and_contents(tmp_path):
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    one.write_text("content"), two.write_text("content")
    seen = {fingerprint([]), fingerprint([one]), fingerprint([two]), fingerprint([one, two]), fingerprint([two, one])}
    assert len(seen) == 5 and all(len(digest) == 64 for digest in seen)
    assert fingerprint([one, two]) in seen
    one.write_text("contend")
    assert fingerprint([one]) not in seen


def test_of_a_large_file_only_both_ends_are_read(tmp_path):
    path, size = tmp_path / "large", (64 << 20) + 1

    def written(at, data):
        with path.open("wb") as stream:
            stream.truncate(size)  # without its middle on the disk
            stream.seek(at)
            stream.write(data)
        return fingerprint([path])

    blank = written(0, b"\0")
    assert written(0, b"a") != blank != written(size - 1, b"a")
    assert written(32 << 20, b"a") == blank
    path.open("ab").write(b"\0")
    assert fingerprint([path]) != blank


def test_no_two_views_get_one_file(tmp_path):
    found = {"cam_json": Path("cam_json")}
    refused(match_views, ["cam", "cam_json"], found, "folder", tmp_path, words="view cam ")
    found = {"cam_1_x": Path("cam_1_x"), "cam_2": Path("cam_2")}
    assert match_views(["cam_1", "cam"], found, "folder", tmp_path)["cam_1"] == Path("cam_1_x")
    refused(match_views, ["cam", "cam_1"], {"cam_1_x": Path("cam_1_x")}, "folder", tmp_path, words="view cam ")
    one = match_views(["a", "a_json"], {"a": Path("a"), "a_json": Path("a_json")}, "folder", tmp_path)
    assert one == {"a": Path("a"), "a_json": Path("a_json")}


def test_layouts_with_face_and_hands_have_the_body_first():
    assert file_skeleton("wholebody133") == FileSkeleton(SKELETONS["coco23"], 133)
    assert file_skeleton("halpe136") == FileSkeleton(SKELETONS["halpe26"], 136)
    xy, score = keypoints(np.arange(399.0).tolist(), SKELETONS["coco23"], "a.json", 133)
    assert xy.shape == (23, 2) and xy[22].tolist() == [66, 67] and score[22] == 68
    refused(
        keypoints, [0.0] * 51, SKELETONS["coco23"], "a.json", 133, words=("133 keypoints", "set the skeleton to coco17")
    )
