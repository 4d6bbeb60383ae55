"""The benches of pose maps and of the integration of readings: what is read where, and how it is counted."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "tools"))


def bench(name):
    pytest.importorskip("torch")
    return importlib.import_module(f"benches.{name}")


def two_people(module, joint):
    """A picture of two people, the second a metre behind, whose given joint is at the first one's in the picture."""
    rng = np.random.default_rng(0)
    cells = np.stack([np.stack([5.0 + 3 * np.arange(19), np.full(19, row)], -1) for row in (8.0, 30.0)])
    cells[1, joint] = cells[0, joint]
    truth = rng.normal(0, 0.3, (2, 19, 3))
    maps = np.full((19, 3, 40, 70), np.nan)
    hidden = np.zeros((2, 19), bool)
    hidden[1, joint] = True
    return module.Picture(
        maps, cells, cells, np.full((2, 19), 0.9), truth, np.array([3.0, 4.0]), hidden, np.ones((2, 19), bool)
    )


def test_a_map_of_own_joints_has_the_nearer_person_where_two_meet():
    module = bench("seeds_pose_maps")
    one = two_people(module, 7)
    read = module.own_joint_maps(one, np.zeros(one.maps.shape))
    rest = np.arange(19) != 7
    np.testing.assert_allclose(read[:, rest], one.truth[:, rest])
    np.testing.assert_allclose(read[1, 7], one.truth[0, 7])
    right = module.right_joints(one, read)
    assert right.tolist() == [[35, 35], [0, 1]]  # the root is not counted
    assert module.right_joints(one, np.full_like(read, np.nan))[:, 0].tolist() == [0, 0]


def test_rows_are_means_of_seeds_and_claims_need_more_than_the_spread():
    module = bench("seeds_pose_maps")
    how = module.MapBudget(1, 2, (2, 3))
    counts = {(policy, noise): np.zeros((2, 2, 2, 2), np.int64) for policy in module.POLICIES
              for noise in module.NOISES_MM}  # fmt: skip
    for (policy, _), value in counts.items():
        value[..., 1] = 100
        value[..., 0] = 80 if policy == module.FULL_MAPS else 60
        value[1, ..., 0] += 2
    tables = module.pose_map_rows(how, counts)
    assert len(tables) == 2
    for rows in tables.values():
        assert rows[3]["read at"] == "full read-out" and rows[3]["all"] == 81 and rows[3]["2 people"] == 81
        assert rows[0]["joints"] == 400 and rows[0]["all ±"] == pytest.approx(np.sqrt(2))
    lines = module.claim_lines(counts)
    assert len(lines) == 6 and all("holds here (+20.0 points" in line for line in lines)


def test_a_claim_of_the_integration_is_by_differences_of_seeds():
    module = bench("seeds_integration")
    run = {f"{name}_mm_hidden": value for name, value in
           {"first": 140.0, "second": 90.0, "mean": 69.5, "oracle": 60.0, "mixed": 70.0}.items()}  # fmt: skip
    runs = [{name: value + more for name, value in run.items()} for more in (0.0, 30.0)]
    runs[1]["mean_mm_hidden"] += 2.0
    line = module.claim(runs, "here")
    assert "beats top-down alone holds (+70.0 mm, spread 0.0)" in line
    assert "mean (fair control) is not decided (+0.5 mm, spread 1.4)" in line
    rows = module.mix_rows(runs)
    assert rows[-1]["who"] == "+ integration" and rows[-1]["hidden mm"] == 85.0
