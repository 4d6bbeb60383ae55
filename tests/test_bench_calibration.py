"""The bench of calibration: the same problem for every solver, and OpenCV's given what it needs."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from generated_boards import Take, arc_rig, board_observations, carried, volume_rms

sys.path.append(str(Path(__file__).parents[1] / "tools"))
bundles, calibration = (importlib.import_module(f"benches.{name}") for name in ("bundles", "calibration"))


@pytest.fixture(scope="module")
def problem():
    return bundles.scattered(4, 120)


def test_problem_is_what_its_unknowns_say(problem):
    assert (np.isfinite(problem.xy[..., 0]).sum(0) >= 2).all()
    assert np.allclose(bundles.moved(problem, start(problem)).projected(), problem.projected())


def start(problem):
    lenses = np.concatenate([bundles.numbers(lens) for lens in problem.lenses])
    return np.concatenate([np.zeros(6 * len(problem.lenses)), lenses, problem.points.ravel()])


def test_scipy_cannot_better_what_ours_found(problem):
    mine = bundles.ours(problem)
    assert bundles.scipy_trf(mine).cost() > 0.995 * mine.cost()
    assert mine.cost() < np.isfinite(problem.xy[..., 0]).sum() < 0.2 * problem.cost()


def test_pycolmap_agrees_where_it_is_installed(problem):
    pytest.importorskip("pycolmap")
    assert bundles.pycolmap(problem).cost() == pytest.approx(bundles.ours(problem).cost(), rel=1e-3)


def test_board_problem_is_solved():
    row = bundles.boards(3, 12)
    assert row["sightings"] > 300 and 2 < row["iterations"] < 60


def test_opencv_is_right_where_all_boards_are_complete_and_exact():
    take = Take(arc_rig(2, 3, degrees=40), carried(seed=4, turns_deg=(30, 25, 20)), frames=40)
    exact = board_observations(take, 0.0)
    row = calibration.multiview(take, exact.xy, complete=True)
    assert row["volume mm"] < 0.1 and row["px"] < 0.01 and row["boards"] == int(exact.seen.all(-1).sum())
    assert calibration.corner_errors(exact, take) == {"corners px": 0.0, "in their sigmas": 0.0}


def test_rig_of_opencv_is_the_rig():
    take = Take(arc_rig(3, 3), carried(), frames=2)
    first = take.rig[0].cam_from_world
    poses = [camera.cam_from_world @ np.linalg.inv(first) for camera in take.rig]
    rig = calibration.rig_of(take, take.rig.K, [camera.lens.distortion for camera in take.rig],
                             [one[:3, :3] for one in poses], [one[:3, 3:] for one in poses])  # fmt: skip
    assert volume_rms(rig, take.rig) < 1e-6
