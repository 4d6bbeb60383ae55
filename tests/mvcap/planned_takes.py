"""Takes in random rigs, with the errors that a plan assumes: what the plan expects, and what a reconstruction has."""

from dataclasses import replace

import numpy as np

import mvcap
from mvcap.rig_design.expected_accuracy import JointNoise, plan_figures
from mvcap.rig_design.plan_request import PlanRequest
from mvcap.rig_design.standing_crowds import HALPE, crowds
from mvcap.structures.poses import Poses3D
from mvcap.synthesis.detector_errors import OPENPOSE
from mvcap.synthesis.detector_simulator import simulate_detector
from mvcap.synthesis.random_rigs import disturb_rig, random_rig, shared_volume

NEVER = dict.fromkeys(
    ("tail", "tail_row", "outliers", "hidden_outliers", "together", "lasting", "defined_m", "score_lies", "body_swaps",
     "leg_swaps", "arm_swaps", "merges", "screens", "splits", "lone_joints", "duplicates", "furniture", "phantoms"),
    0.0,
)  # fmt: skip
GAUSSIAN = replace(OPENPOSE, skeleton="halpe26", **NEVER)
"""A detector with normal noise alone."""
FITTED = replace(OPENPOSE, skeleton="halpe26", defined_m=0.0)
"""The detector as fitted to recordings: heavy tails, outliers, swaps, objects in front, false positives."""


def errors_mm(seed, cameras, detector=GAUSSIAN, turned_deg=0.1, people=2, calibrations=4, associated=False):
    """Expected (S, J) and measured (N, S, J) errors, mm, of the first person's joints, NaN where there is none.

    N calibrations of the same rig are drawn. associated: people are matched by mvcap, not known.
    """
    rng = np.random.default_rng(seed)
    rig = random_rig(rng, cameras)
    centre, radius = shared_volume(rig)
    side = float(np.clip(1.4 * radius, 1.0, 5.0))
    scale = float(np.exp(0.4**2))  # disturb_rig: some cameras are better and some worse, this is the root mean square
    request = PlanRequest(room_m=(20.0, 20.0, 4.0), area_m=(side, side), people=people, detector="openpose",
                          turned_deg=turned_deg * scale, moved_m=0.02 * turned_deg * scale)  # fmt: skip
    people_there = crowds(request, 1, seed, most_places=60)
    people_there.xyz[..., :2] += centre
    expected = plan_figures(rig, people_there, request, [25.0] * cameras, JointNoise.of_model(detector))
    xyz = people_there.xyz
    frame, person = (axis.ravel() for axis in np.indices(xyz.shape[:2]))
    flat = np.zeros((len(frame), len(HALPE)))
    truth = Poses3D(HALPE, frame, person + 1, person + 1, xyz.reshape(len(frame), -1, 3), flat + 1, flat, flat,
                    np.zeros((*flat.shape, 6)), flat + 1)  # fmt: skip
    measured = []
    for _ in range(calibrations):
        actual = disturb_rig(rng, rig, turned_deg, 0.02 * turned_deg)
        rows, whose = simulate_detector(detector, truth, actual, rng, 25.0)
        known = rows.with_columns(person=np.where((whose > 0).any(1), whose.max(1), -1))
        linked = mvcap.associate_rows(rows, rig, rate_hz=25.0) if associated else known
        measured.append(_first_person_mm(mvcap.triangulate_rows(linked, rig), xyz))
    return expected.error_mm, np.array(measured)


def _first_person_mm(found, xyz):
    """Distances (S, J) mm of the nearest poses to the first person."""
    out = np.full((len(xyz), len(HALPE)), np.nan)
    for at in range(len(xyz)):
        apart = np.linalg.norm(found.of(frame=at).xyz.astype(float) - xyz[at, 0], axis=-1)
        near = np.array([np.nanmedian(one) if np.isfinite(one).any() else np.inf for one in apart])
        if len(near) and near.min() < 0.3:  # else another person, or none
            out[at] = 1e3 * apart[near.argmin()]
    return out
