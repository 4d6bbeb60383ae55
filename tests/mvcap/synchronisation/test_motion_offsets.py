"""Offsets from people seen by a known rig: right where there is an answer, refused where there can be none."""

from itertools import combinations

import numpy as np
import pytest
from unsynchronised_take import LATE, unsynchronised

from mvcap.synchronisation.epipolar_evidence import essential, gains, score_shifts
from mvcap.synchronisation.joint_tracks import joints_of_views
from mvcap.synchronisation.offset_refinement import TakePart, refine_offsets
from mvcap.synchronisation.view_placing import place_views

RATE_HZ, FRAMES = 30.0, 240


def lines(rig):
    pairs = combinations(range(len(rig)), 2)
    return {(a, b): essential(rig[a].cam_from_world, rig[b].cam_from_world) for a, b in pairs}


def placed(views, rig):
    pairs = [score_shifts(views, a, b, line, FRAMES // 2, RATE_HZ) for (a, b), line in lines(rig).items()]
    return place_views(pairs, len(rig), RATE_HZ)


@pytest.mark.parametrize("kind", ["walk", "run", "jump", "two"])
def test_offsets_are_found_to_a_fifth_of_a_frame(kind):
    rows, rig, _ = unsynchronised(kind, 3, FRAMES)
    views = joints_of_views(rows, rig, FRAMES)
    found = placed(views, rig)
    assert not found.refused
    start = np.array([found.late[view] for view in range(4)], float)
    fine = refine_offsets([TakePart(0, views)], start, lines(rig), FRAMES / 2, RATE_HZ)
    late = fine.late - fine.late[0]
    assert np.abs(late - LATE).max() < 0.2
    assert np.sqrt(np.diag(fine.covariance))[:4].max() < 0.2
    assert np.abs(fine.drift).max() < 2e-4 and 0.5 < fine.residual < 1.5


def test_unrelated_people_are_refused():
    views = []
    for view in range(4):
        rows, rig, _ = unsynchronised("walk", 60 + view, FRAMES)
        views.append(joints_of_views(rows.of(view=view), rig, FRAMES)[view])
    found = placed(views, rig)
    assert not found.late and set(found.refused) == {0, 1, 2, 3}


def test_a_person_who_stands_is_refused_with_two_offsets_named():
    rows, rig, _ = unsynchronised("walk", 0, FRAMES, late=(0, 0, 0, 0), drift=(0, 0, 0, 0))
    standing = rows.with_columns(frame=rows.frame)
    rng = np.random.default_rng(0)
    first = {view: rows.of(view=view, frame=100).xy[0] for view in range(4)}
    still = np.stack([first[view] for view in rows.view.tolist()]) + rng.normal(0, 3, rows.xy.shape)
    standing = rows.with_columns(xy=still, score=np.where(np.isfinite(still[..., 0]), 0.9, 0),
                                 noise_px=np.where(np.isfinite(still[..., 0]), 3.0, np.nan))  # fmt: skip
    found = placed(joints_of_views(standing, rig, FRAMES), rig)
    assert not found.late and "equally likely" in found.refused[0]


def test_gains_are_bounded():
    nats = gains(np.array([0.0, 1.0, 100.0, np.nan]))
    assert nats[0] > nats[1] > nats[2] >= 0 and nats[3] == 0
