"""Boards that are not as described: bent and stretched prints are told with their size, true ones are not."""

import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from seen_boards import BOARD, arc_rig, in_place, problem_of, scattered, sightings

from calib import bundle
from calib.geometry import similarity
from calib.quality.board_shape import shape_findings
from calib.targets import Target, free_points, scene_points, wand

RIG = arc_rig(3, 6)
POSES = scattered(15, 4, turned=0.35)
TARGET = BOARD.target
MIDDLE = TARGET.points.mean(0)
AWAY = TARGET.points[:, 0] - MIDDLE[0]


def bent(out_m):
    """The board's points with its middle standing out."""
    bow = out_m * (1 - (AWAY / np.abs(AWAY).max()) ** 2)
    return TARGET.points + np.stack([0 * bow, 0 * bow, bow], -1)


@cache
def solution_of(true, moments=15):
    """What the rig's fit makes of images of a board whose true points are others than the given ones."""
    points = {
        "as given": TARGET.points, "bent": bent(0.03), "slightly bent": bent(0.003),
        "wide": TARGET.points * [1.015, 1, 1], "narrow": TARGET.points * [0.985, 1, 1],
        "much wider": TARGET.points * [1.06, 1, 1],
    }[true]  # fmt: skip
    seen = sightings(RIG, TARGET, in_place(replace(TARGET, points=points), POSES[:moments]), 0.1)
    return bundle.adjust(problem_of(seen, RIG, POSES[:moments], free=None), tolerance=1e-5)


def findings_of(true, moments=15):
    return shape_findings(solution_of(true, moments))


def test_a_board_that_is_as_described_is_not_found_fault_with():
    assert findings_of("as given") == []


def test_a_bend_that_displaces_nothing_is_not_mentioned():
    assert findings_of("slightly bent") == []


def test_a_bent_board_is_told_with_about_its_bend():
    (finding,) = findings_of("bent")
    assert finding.about == "the board" and finding.severity in ("limit", "refuse") and finding.todo
    millimetres = float(re.search(r"up to ([\d.]+) mm", finding.what)[1])
    _, R, t = similarity(bent(0.03), TARGET.points, scale=False)  # without what is a shift of the whole board
    assert millimetres == pytest.approx(
        1000 * np.linalg.norm(bent(0.03) @ R.T + t - TARGET.points, axis=-1).max(), rel=0.1
    )
    assert "for its height" not in finding.what


@pytest.mark.parametrize(("true", "word"), [("wide", "wider"), ("narrow", "narrower")])
def test_a_stretched_print_is_told_with_its_share(true, word):
    (finding,) = findings_of(true)
    share = re.search(r"([\d.]+) % (wider|narrower)", finding.what)
    assert share[2] == word and float(share[1]) == pytest.approx(1.5, abs=0.2)
    assert finding.severity == "limit"


def test_a_print_that_makes_the_rig_useless_is_refused():
    (finding,) = findings_of("much wider")
    assert finding.severity == "refuse" and "6.0 % wider" in finding.what


def test_too_few_moments_tell_nothing_about_a_shape():
    assert findings_of("bent", moments=14) == []


def test_a_shape_that_is_estimated_already_is_not_asked_about():
    solution = solution_of("bent")
    assert shape_findings(replace(solution, problem=replace(solution.problem, shape_sigma_m=0.01))) == []


@pytest.mark.parametrize(
    "target",
    [
        Target("small", TARGET.points[:9]),
        wand(np.linspace(0, 1, 35)),
        free_points(35),
        replace(scene_points(TARGET.points), name="scene"),
    ],
    ids=["few points", "wand", "free points", "measured points"],
)
def test_targets_without_a_flat_shape_of_many_points_are_not_asked_about(target):
    solution, count = solution_of("bent"), len(target)
    seen = solution.problem.observations
    other = replace(seen, target=target, xy=seen.xy[..., :count, :], sigma=seen.sigma[..., :count])
    problem = replace(solution.problem, observations=other, used=solution.problem.used[..., :count])
    assert shape_findings(replace(solution, problem=problem)) == []
