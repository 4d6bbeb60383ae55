"""C3D read back by another reader: points, gaps, parts, more labels than a row holds."""

from dataclasses import replace

import numpy as np
import pytest
from exported_take import DENSE, FRAMES, TABLE, expected
from walking_take import COCO, RATE_HZ, take

from mvcap.errors import InputError
from mvcap.export import export_take
from mvcap.exporters import c3d, c3d_file
from mvcap.structures.poses import Poses3D


@pytest.mark.parametrize("axes", ["z-up", "y-up"])
def test_c3d(tmp_path, axes):
    ezc3d = pytest.importorskip("ezc3d")
    (path,) = export_take(take(TABLE, FRAMES, axes=axes), tmp_path, ["c3d"])
    file = ezc3d.c3d(str(path))
    point = file["parameters"]["POINT"]
    assert point["LABELS"]["value"] == [f"P{p}_{joint}" for p in (1, 2) for joint in COCO.joints]
    assert point["UNITS"]["value"] == ["mm"] and point["RATE"]["value"][0] == RATE_HZ
    assert (point["X_SCREEN"]["value"], point["Y_SCREEN"]["value"]) == (["+X"], ["+Z" if axes == "z-up" else "+Y"])
    assert file["parameters"]["MVCAP"]["AXES"]["value"] == [axes]
    xyz = file["data"]["points"][:3].transpose(2, 1, 0).reshape(FRAMES, 2, 17, 3)
    whole = np.stack([expected(axes, 1), expected(axes, 2)], 1)
    np.testing.assert_allclose(xyz, whole * 1000, atol=1e-3)
    residual = file["data"]["meta_points"]["residuals"][0].T.reshape(FRAMES, 2, 17)
    np.testing.assert_array_equal(residual == -1, np.isnan(whole).any(-1))
    assert set(np.unique(residual)) == {-1, 0}
    assert path.stat().st_size % 512 == 0


def test_a_long_c3d_becomes_parts_without_a_gap(tmp_path, monkeypatch):
    ezc3d = pytest.importorskip("ezc3d")
    monkeypatch.setattr(c3d, "PART_FRAMES", 12)
    monkeypatch.setattr(c3d, "_BLOCK_FRAMES", 5)
    paths = export_take(take(TABLE, FRAMES), tmp_path, ["c3d"])
    assert [path.name for path in paths] == ["walk.c3d", *(f"walk_part{n:02d}.c3d" for n in range(2, len(paths) + 1))]
    got, start = np.full(DENSE.shape, np.nan), 0
    for path in paths:
        file = ezc3d.c3d(str(path))
        assert file["parameters"]["MVCAP"]["FRAME_START"]["value"][0] == start
        xyz, labels = file["data"]["points"][:3], file["parameters"]["POINT"]["LABELS"]["value"]
        assert xyz.shape[2] <= 12
        for index, label in enumerate(labels):
            person, _, joint = label.partition("_")
            got[start : start + xyz.shape[2], int(person[1:]) - 1, COCO.index(joint)] = xyz[:, index].T / 1000
        start += xyz.shape[2]
    assert start == FRAMES
    np.testing.assert_allclose(got, DENSE, atol=1e-6)


def test_c3d_with_more_points_than_a_row_of_labels_holds(tmp_path):
    ezc3d = pytest.importorskip("ezc3d")
    crowd = [TABLE.with_columns(person=TABLE.person + 2 * k, group=TABLE.group + 2 * k) for k in range(20)]
    whole = Poses3D.concatenate(crowd, COCO)
    many = replace(take(whole[np.argsort(whole.frame, kind="stable")], FRAMES), persons=tuple(range(1, 41)))
    (path,) = export_take(many, tmp_path, ["c3d"])
    file = ezc3d.c3d(str(path))
    point = file["parameters"]["POINT"]
    labels = [*point["LABELS"]["value"], *point["LABELS2"]["value"], *point["LABELS3"]["value"]]
    assert labels == [f"P{p}_{joint}" for p in range(1, 41) for joint in COCO.joints]
    xyz = file["data"]["points"][:3].transpose(2, 1, 0).reshape(FRAMES, 20, 2, 17, 3)
    np.testing.assert_allclose(xyz[:, 13] / 1000, DENSE, atol=1e-6)


def test_c3d_begins_another_part_where_more_people_come_than_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(c3d_file, "POINTS_AT_MOST", 17)
    alone = TABLE[(TABLE.person == 1) == (TABLE.frame < 15)]
    paths = export_take(take(alone, FRAMES), tmp_path, ["c3d"])
    assert len(paths) == 2
    with pytest.raises(InputError, match="cannot hold 2 people"):
        export_take(take(TABLE, FRAMES), tmp_path, ["c3d"])
