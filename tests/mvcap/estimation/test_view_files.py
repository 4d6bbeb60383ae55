"""Formats of one file per view: read once, a frame at a time, and everything that counts is in the fingerprint."""

import numpy as np
import pytest

from mvcap.errors import InputError
from mvcap.estimation.point_tables import PointTable
from mvcap.estimation.view_files import PointTableConfig, PointTableFiles, ViewFiles
from mvcap.structures.contracts import View
from mvcap.structures.detections import Detections2D
from mvcap.structures.skeleton import skeleton

KIND = skeleton("coco17")
VIEWS = (View(0, "left", (640, 480), 25.0, 10), View(1, "right", (640, 480), 25.0, 10))


class Numbers(ViewFiles):
    """Frames of a person as lines of a text file."""

    skeleton = KIND

    def __init__(self, folder):
        super().__init__("coco17")
        self.folder, self.reads = folder, 0

    def files_of(self, views):
        return {view.name: self.folder / f"{view.name}.txt" for view in views}

    def files_beside(self, files):
        return sorted(self.folder.glob("*.also"))

    def read(self, path, view):
        self.reads += 1
        frame = np.array([int(line) for line in path.read_text().split()])
        xy, score = np.full((len(frame), 17, 2), 100.0), np.ones((len(frame), 17))
        return Detections2D.build(KIND, frame, view.index, xy, score, 0.35)


@pytest.fixture
def numbers(tmp_path):
    (tmp_path / "left.txt").write_text("0\n2\n2\n5\n")
    (tmp_path / "right.txt").write_text("7\n")
    return Numbers(tmp_path)


def test_frames_come_one_at_a_time_and_files_are_read_once(numbers):
    numbers.prepare(VIEWS)
    assert [len(numbers.estimate(None, frame, VIEWS[0], {}).rows) for frame in range(6)] == [1, 0, 2, 0, 0, 1]
    assert numbers.reads == 2
    assert not numbers.needs_images


def test_an_estimate_without_preparation_reads_its_view(numbers):
    assert len(numbers.estimate(None, 7, VIEWS[1], {}).rows) == 1 and numbers.reads == 1


def test_the_take_lasts_to_the_last_person_of_any_view(numbers):
    assert numbers.frame_count(VIEWS) == 8


def test_the_fingerprint_is_of_all_files_that_count(numbers, tmp_path):
    first = numbers.prepare(VIEWS)
    assert numbers.prepare(VIEWS) == first
    (tmp_path / "left.also").write_text("more")
    second = numbers.prepare(VIEWS)
    (tmp_path / "right.txt").write_text("8\n")
    assert len({first, second, numbers.prepare(VIEWS)}) == 3


class Points(PointTableFiles):
    """Tables of points that are given."""

    def __init__(self, tables, **settings):
        super().__init__(PointTableConfig(**settings))
        self.tables = tables

    def files_of(self, views):
        return {view.name: self.tables[view.name] for view in views}

    def table_of(self, path):
        return PointTable(path, np.arange(3), np.full(3, -1), np.full((3, len(path), 2), 50.0), np.ones((3, len(path))))


def test_the_skeleton_follows_from_the_names_of_the_points():
    points = Points({"left": KIND.joints, "right": KIND.joints})
    rows = [points.read(points.files_of(VIEWS)[view.name], view) for view in VIEWS]
    assert points.skeleton.joints == KIND.joints and [len(one) for one in rows] == [3, 3]


def test_views_of_other_points_are_refused():
    points = Points({"left": KIND.joints, "right": KIND.joints[:-1]})
    points.read(KIND.joints, VIEWS[0])
    with pytest.raises(InputError):
        points.read(KIND.joints[:-1], VIEWS[1])
