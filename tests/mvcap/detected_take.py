"""Small generated takes of walkers, as a simulated estimator sees them: nothing is drawn from motion clips."""

from dataclasses import replace

import numpy as np
from generated_people import crossing, disturbed

from mvcap.structures.synthetic_take import SyntheticTake
from mvcap.synthesis.detector_errors import GROUPS, OPENPOSE
from mvcap.synthesis.detector_simulator import simulate_detector

_NEVER = -30.0
CLEAR = replace(
    OPENPOSE, skeleton="halpe26", noise=(0.0,) * len(GROUPS), floor_px=0.0, outliers=0.0, hidden_outliers=0.0,
    defined_m=0.0, score_lies=0.0, missed=(_NEVER,) * len(GROUPS), missed_hidden=0.0, missed_turned=0.0,
    missed_small=0.0, person_missed=_NEVER, person_small=0.0, person_hidden=0.0, person_cut=0.0, body_swaps=0.0,
    leg_swaps=0.0, arm_swaps=0.0, merges=0.0, splits=0.0, lone_joints=0.0, duplicates=0.0, furniture=0.0, phantoms=0.0,
    screens=0.0,
)  # fmt: skip
"""An estimator without errors: it finds every joint of every person in its place."""


def detected_take(people=3, cameras=4, frames=6, rate_hz=20.0, model=OPENPOSE, calibration="good", seed=0):
    """A take of people who cross, ``calibration`` of ``generated_people.CALIBRATIONS``."""
    truth, rig, rate_hz = crossing(people, cameras, frames, rate_hz)
    rows, whose = simulate_detector(model, truth, rig, np.random.default_rng(seed), rate_hz)
    return SyntheticTake(truth, rig, disturbed(rig, calibration), rate_hz, rows, whose)
