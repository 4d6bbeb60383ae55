"""Figures of a take do not depend on the chunks in which it comes."""

from reported_take import FRAMES, seen_people, uneven_rig
from synthetic_take import RATE_HZ

from mvcap.associate import associate_rows
from mvcap.reporting.take_figures import TakeFigures
from mvcap.track import track_rows
from mvcap.triangulation.reprojection_residuals import residuals
from mvcap.triangulation.robust_triangulation import triangulate_rows

RIG = uneven_rig(4)


def test_figures_are_the_same_in_one_chunk_and_in_many():
    rows = associate_rows(seen_people(RIG), RIG, rate_hz=RATE_HZ)
    poses = track_rows(triangulate_rows(rows, RIG), rate_hz=RATE_HZ, frames=FRAMES)

    def figures(step):
        found = TakeFigures(RIG, FRAMES, RATE_HZ, 12.0)
        for start in range(0, FRAMES, step):
            chunk = poses[(poses.frame >= start) & (poses.frame < start + step)]
            mine = rows[(rows.frame >= start) & (rows.frame < start + step)]
            halves = [residuals(part, chunk, RIG) for part in (mine[: len(mine) // 3], mine[len(mine) // 3 :])]
            found.add(chunk, halves, chunk)
        return found.summary([rows]), found.people()

    whole, people = figures(FRAMES)
    assert (whole, people) == figures(5)
    assert whole["joints"]["views"] == whole["joints"]["measured"] > 0 and whole["joints"]["moved"] == 0
    assert 0 < whole["accuracy"]["share_within"] <= 1 and set(people) == {1, 2}
