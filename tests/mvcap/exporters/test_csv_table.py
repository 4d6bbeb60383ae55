"""CSV: any table reads it, numbers come back to the last digit of a float, and an empty cell is what is unknown."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from walking_take import COCO, poses, take

from mvcap.errors import SessionError
from mvcap.exporters.csv_table import write
from mvcap.structures.long_table import COLUMNS
from mvcap.structures.pose_stream import PoseStream
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import skeleton


def read(path):
    """The remark of the first line and the rows below the names of the columns."""
    remark, *rest = path.read_text(encoding="utf-8").split("\n")
    rows = list(csv.DictReader(io.StringIO("\n".join(rest))))
    return remark, rows


def stream(table, frames, rate_hz=25.0, name="walk", axes="z-up"):
    persons = tuple(np.unique(table.person).tolist())
    return PoseStream(table.skeleton, lambda: iter([table]), frames, rate_hz, persons, name, axes)


def test_every_joint_of_every_row_is_a_line_and_numbers_are_exact(tmp_path):
    table = poses(6, missing=0.2)
    [path] = write(take(table, 6, step=2), tmp_path / "walk.anything")
    assert path == tmp_path / "walk.csv" and list(tmp_path.iterdir()) == [path]
    _, rows = read(path)
    assert len(rows) == 17 * len(table) and tuple(rows[0]) == COLUMNS
    for column, values in (
        ("x_m", table.xyz[..., 0]), ("y_m", table.xyz[..., 1]), ("z_m", table.xyz[..., 2]), ("score", table.score),
        ("error_px", table.error_px),
    ):  # fmt: skip
        read_back = np.array([float(row[column] or "nan") for row in rows], np.float32)
        np.testing.assert_array_equal(read_back, values.ravel())
    assert [int(row["frame"]) for row in rows] == np.repeat(table.frame, 17).tolist()
    assert [int(row["person"]) for row in rows] == np.repeat(table.person, 17).tolist()
    assert [row["joint"] for row in rows] == list(COCO.joints) * len(table)


def test_a_missing_joint_is_an_empty_cell_and_no_view(tmp_path):
    table = poses(3, missing=0.0)
    gone = (slice(None), 4)
    xyz, score = table.xyz.copy(), table.score.copy()
    xyz[gone], score[gone] = np.nan, 0
    [path] = write(stream(table.with_columns(xyz=xyz, score=score), 3), tmp_path / "a")
    _, rows = read(path)
    for row in rows:
        missing = row["joint"] == COCO.joints[4]
        assert all((row[name] == "") == missing for name in ("x_m", "y_m", "z_m", "error_px", "sigma_m"))
        assert (row["score"] in ("0", "0.0")) == missing and (row["views"] == "0") == missing


@settings(max_examples=25)
@given(rate=st.floats(0.01, 1000), frames=st.integers(1, 4), axes=st.sampled_from(("z-up", "y-up")))
def test_the_first_line_describes_the_numbers(tmp_path_factory, rate, frames, axes):
    table = poses(frames)
    [path] = write(stream(table, frames, rate, axes=axes), tmp_path_factory.mktemp("csv") / "a")
    remark, rows = read(path)
    read_back = dict(part.split("=") for part in remark.partition(": ")[2].split())
    assert (
        remark.startswith("# ")
        and read_back["unit"] == "m"
        and read_back["axes"] == axes
        and read_back["skeleton"] == "coco17"
    )
    assert float(read_back["rate_hz"]) == rate and int(read_back["frames"]) == frames
    np.testing.assert_allclose(
        [float(row["time_s"]) for row in rows], np.repeat(table.frame, 17) / rate, rtol=1e-12, atol=1e-15
    )


def test_up_is_y_where_it_is_asked_for(tmp_path):
    table = poses(2, missing=0.0)
    [plain], [turned] = (write(stream(table, 2, axes=axes), tmp_path / axes) for axes in ("z-up", "y-up"))
    for one, other in zip(read(plain)[1], read(turned)[1], strict=True):
        x, y, z = (float(one[name]) for name in ("x_m", "y_m", "z_m"))
        np.testing.assert_allclose([float(other[name]) for name in ("x_m", "y_m", "z_m")], [x, z, -y], rtol=1e-6)
        assert other["sigma_m"] == one["sigma_m"] or float(other["sigma_m"]) == pytest.approx(float(one["sigma_m"]))


@pytest.mark.parametrize("kind", ["coco17", "halpe26", "mvor10"])
def test_no_people_are_a_table_without_lines(tmp_path, kind):
    [path] = write(stream(Poses3D.empty(skeleton(kind)), 7), tmp_path / "a")
    remark, rows = read(path)
    assert rows == [] and f"skeleton={kind}" in remark and path.read_text().count("\n") == 2


def test_a_name_with_a_comma_stays_out_of_the_table(tmp_path):
    table = poses(1)
    [path] = write(stream(table, 1, name='one, two "three"'), tmp_path / "a")
    remark, rows = read(path)
    assert "three" not in remark and len(rows) == 17 * len(table)


def test_a_path_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SessionError, match="cannot be written") as caught:
        write(stream(poses(1), 1), tmp_path / "file" / "a")
    assert "\n" not in str(caught.value)
