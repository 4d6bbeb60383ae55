"""XML of the vendors: text in any encoding, cameras with and without a pose, numbers that are named when missing."""

from xml.etree import ElementTree

import numpy as np
import pytest

from calib.errors import CalibrationError, RigFileError
from calib.formats import markup

TEXT = (
    '<Rig><Camera ID="ä"><Pose X="1"/></Camera><Camera ID="b"/><Room><Camera ID="c"><Pose/></Camera></Room>'
    "<Camera><Lens/></Camera></Rig>"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_text_is_read_in_utf_8_and_with_its_mark_in_utf_16(tmp_path, encoding):
    path = tmp_path / "a.xml"
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    path.write_bytes(mark + TEXT.encode(encoding))
    assert [camera.get("ID") for camera in markup.load(path).iter("Camera")] == ["ä", "b", "c", None]


@pytest.mark.parametrize("data", [b"", b"<Rig><Camera>", b"plain text", b"\xff\xfe<", b"\xe4\xf6", b"<a></b>"])
def test_what_is_no_xml_is_damaged_in_one_line(tmp_path, data):
    (tmp_path / "a.xml").write_bytes(data)
    with pytest.raises(RigFileError, match=r"a\.xml.*damaged") as refused:
        markup.load(tmp_path / "a.xml")
    assert "\n" not in str(refused.value)


def test_what_cannot_be_read_is_named(tmp_path):
    for path in (tmp_path / "none.xml", tmp_path):
        with pytest.raises(RigFileError, match="cannot be read") as refused:
            markup.load(path)
        assert str(refused.value).startswith(f"{path}: ")


def test_cameras_with_a_pose_are_apart_from_the_names_of_those_without(tmp_path):
    (tmp_path / "a.xml").write_text(TEXT, encoding="utf-8")
    placed, others = markup.cameras(tmp_path / "a.xml", "ID", "Pose")
    assert [camera.get("ID") for camera in placed] == ["ä", "c"] and others == ["b", ""]
    assert markup.cameras(tmp_path / "a.xml", "ID", "Nothing")[0] == []


def test_the_attributes_of_a_child_are_given_and_a_missing_child_is_named():
    camera = ElementTree.fromstring('<Camera><Lens F="9"/><Lens F="8"/></Camera>')
    assert markup.child(camera, "Lens", "east") == {"F": "9"}
    with pytest.raises(CalibrationError, match=r"'east'.*<Pose>"):
        markup.child(camera, "Pose", "east")


def test_a_number_is_read_or_has_its_default():
    assert markup.number({"F": " 9.5e2 "}, "F", "east") == 950.0
    assert markup.number({}, "SKEW", "east", 0.0) == 0.0
    assert markup.number({"SKEW": "2"}, "SKEW", "east", 0.0) == 2.0


@pytest.mark.parametrize("attributes", [{}, {"F": ""}, {"F": "wide"}, {"F": "1 2"}, {"F": "nan"}])
def test_a_number_that_is_none_is_named_with_its_camera(attributes):
    with pytest.raises(CalibrationError, match=r"'east'.*F"):
        markup.number(attributes, "F", "east")


def test_rows_of_numbers_have_the_length_that_is_asked_for():
    np.testing.assert_array_equal(markup.several({"P": "1 -2.5  3e-1"}, "P", "east", 3), [1, -2.5, 0.3])
    for row in ({"P": "1 2"}, {"P": "1 2 3 4"}, {"P": "a b c"}, {}):
        with pytest.raises(CalibrationError, match=r"'east'.*P"):
            markup.several(row, "P", "east", 3)
