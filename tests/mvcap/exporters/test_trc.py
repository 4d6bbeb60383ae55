"""TRC as OpenSim reads it: a column for every number in every line, whichever markers are missing."""

import numpy as np
import pytest
from walking_take import COCO, poses, take

from mvcap.export import export_take
from mvcap.exporters import trc
from mvcap.structures.poses import Poses3D

FRAMES = 14
LAST, FIRST = COCO.joints[-1], COCO.joints[0]


def without(table, joints, frames):
    """The rows with these joints missing in these frames."""
    at = np.isin(table.frame, frames)[:, None] & np.isin(COCO.joints, joints)[None]
    xyz, score = table.xyz.copy(), table.score.copy()
    xyz[at], score[at] = np.nan, 0
    return table.with_columns(xyz=xyz, score=score)


WHOLE = poses(FRAMES, missing=0)
CASES = {
    "last marker": without(WHOLE, [LAST], [3, 4]),
    "last marker, last line": without(WHOLE, [LAST], [FRAMES - 1]),
    "first marker": without(WHOLE, [FIRST], [0, 5]),
    "all markers of some frames": without(WHOLE, COCO.joints, [0, 6, FRAMES - 1]),
    "a person leaves": WHOLE[(WHOLE.person == 1) | (WHOLE.frame < 9)],
    "a person comes late": WHOLE[(WHOLE.person == 1) | (WHOLE.frame >= 9)],
    "a person goes and returns": WHOLE[(WHOLE.person == 1) | (WHOLE.frame < 3) | (WHOLE.frame > 7)],
    "one marker never": without(WHOLE, [LAST], range(FRAMES)),
    "one person": WHOLE[(WHOLE.person == 2) & (WHOLE.frame < 9)],
    "many": poses(FRAMES, missing=0.6),
    "nothing missing": WHOLE,
}


def files_of(table, folder):
    """The TRC of every person of the take, by person."""
    stream = take(table, FRAMES, axes="y-up")
    return dict(zip(stream.persons, trc.write(stream, folder / "walk.trc"), strict=True))


def expected(table, person):
    """Positions (T, J, 3) m with y up, NaN where missing."""
    xyz = table.dense(FRAMES, np.array([person]))[:, 0]
    return np.stack([xyz[..., 0], xyz[..., 2], -xyz[..., 1]], -1)


def tokens(line):
    """The cells of a line as OpenSim's TRCFileAdapter counts them: nothing after the last tab is no cell."""
    cells = line.split("\t")
    return cells[:-1] if cells[-1] == "" else cells


@pytest.mark.parametrize("case", CASES)
def test_every_line_has_all_columns_by_the_rule_of_opensim(tmp_path, case):
    for person, path in files_of(CASES[case], tmp_path).items():
        lines = path.read_text().split("\n")
        labels = [name for name in tokens(lines[3])[2:] if name]
        assert tuple(labels) == COCO.joints and lines[-1] == ""
        rows = [tokens(line) for line in lines[6:-1]]
        assert len(rows) == FRAMES and {len(row) for row in rows} == {2 + 3 * len(labels)}
        assert all(cell for row in rows for cell in row), "no empty cell: a program may skip it and shift the others"
        numbers = np.array(rows, np.float64)[:, 2:].reshape(FRAMES, -1, 3)
        np.testing.assert_allclose(numbers, expected(CASES[case], person), atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_opensim_reads_the_same_numbers_from_the_first_line_to_the_last(tmp_path, case):
    opensim = pytest.importorskip("opensim")
    opensim.Logger.setLevelString("off")
    for person, path in files_of(CASES[case], tmp_path).items():
        want = expected(CASES[case], person)
        table = opensim.TimeSeriesTableVec3(str(path))
        assert table.getNumRows() == FRAMES and tuple(table.getColumnLabels()) == COCO.joints
        rows = [table.getRowAtIndex(index) for index in range(FRAMES)]
        got = [[[row.getElt(0, joint)[axis] for axis in range(3)] for joint in range(len(COCO))] for row in rows]
        np.testing.assert_allclose(got, want, atol=1e-6)
        markers = opensim.MarkerData(str(path))  # the reader of the Scale tool
        frames = [markers.getFrame(index) for index in range(markers.getNumFrames())]
        got = [[[one.getMarker(joint)[axis] for axis in range(3)] for joint in range(len(COCO))] for one in frames]
        np.testing.assert_allclose(got, want, atol=1e-6)
        assert markers.getUnits().getLabel() == "meters"


def test_a_name_with_a_tab_or_a_line_break_makes_no_further_cell(tmp_path):
    table = poses(2, missing=0)
    stream = take(table, 2, name="a\tb\nc")
    (path, _) = export_take(stream, tmp_path, ["trc"])
    lines = path.read_text().split("\n")
    assert len(lines) == 6 + 2 + 1 and lines[0].split("\t")[3:] == ["a_b_c_person01.trc", "axes=z-up"]


def test_a_take_without_people_has_no_file(tmp_path):
    stream = take(Poses3D.empty(COCO), 3)
    object.__setattr__(stream, "persons", ())
    assert trc.write(stream, tmp_path / "walk.trc") == [] and list(tmp_path.iterdir()) == []
