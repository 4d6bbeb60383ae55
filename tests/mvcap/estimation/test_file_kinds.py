"""Files are recognised by what is in them, for messages only; what is not known is not guessed."""

import json

import pytest
from point_files import known_points, write_dlc_csv, write_dlc_table, write_sleap_csv, write_sleap_h5

from mvcap.estimation.file_kinds import file_kind, other_estimator


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [("a.json", '{"people": []}', "openpose"), ("a.json", '[{"image_id": 1, "keypoints": []}]', "coco"),
     ("a.json", '[{"image_id": "1.jpg", "idx": 3}]', "alphapose"), ("a.json", '{"a": 1}', None), ("a.csv", "1,2", None),
     ("a.txt", "4 100\n", "openpose_parts"), ("a.txt", "notes", None), ("a.npz", "", "table"), ("a.mp4", "", None)],
)  # fmt: skip
def test_a_file_is_of_the_program_whose_words_are_in_it(tmp_path, name, text, kind):
    (tmp_path / name).write_text(text)
    assert file_kind(tmp_path / name) == kind


def test_tables_of_points(tmp_path):
    assert file_kind(write_dlc_csv(tmp_path / "a.csv", *known_points())) == "deeplabcut"
    assert file_kind(write_sleap_csv(tmp_path / "b.csv", *known_points())) == "sleap"
    pytest.importorskip("h5py")
    assert file_kind(write_dlc_table(tmp_path / "a.h5", *known_points())) == "deeplabcut"
    assert file_kind(write_sleap_h5(tmp_path / "b.h5", *known_points())) == "sleap"


def test_nothing_is_proposed_for_files_of_the_right_kind_or_of_none(tmp_path):
    assert other_estimator(tmp_path, "coco") == other_estimator(tmp_path / "none", "coco") == ""
    (tmp_path / "a.json").write_text(json.dumps([{"image_id": 1, "keypoints": [1]}]))
    assert other_estimator(tmp_path, "coco") == other_estimator(tmp_path, "alphapose") == ""
    assert "estimator=coco" in other_estimator(tmp_path, "openpose")
