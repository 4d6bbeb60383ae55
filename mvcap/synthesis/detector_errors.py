"""Parameters of the errors of 2D estimators: one set for each kind of estimator, and random sets like them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

GROUPS = ("head", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot")
"""Groups of joints; the tuples of ``DetectorModel`` have one number for each."""


@dataclass(frozen=True)
class DetectorModel:
    """Error model of a 2D estimator. Shares are 0..1; logits are of shares or scores; sizes are px."""

    skeleton: str = "halpe26"
    """Skeleton of its joints."""
    noise_factor: float = 0.18
    """Noise that it states, in units of a careful annotator's at score 1 (``Detections2D.build``)."""
    whole_size: bool = True
    """Whether the stated noise scales with the whole body's size; False: with the size of the row's own box."""
    noise: tuple[float, ...] = (1.15, 1.0, 0.74, 0.92, 0.8, 0.82, 0.65, 0.77)
    """Typical error of visible joints by ``GROUPS``, in units of the stated noise."""
    tail: float = 0.36
    """Spread of the error scale: standard deviation of its logarithm. 0 = Gaussian."""
    tail_row: float = 0.1
    """The same for all joints of a row together: crops that miss part of their person."""
    hidden_noise: float = 1.7
    """Factor on the errors of occluded joints."""
    floor_px: float = 0.7
    """Error that does not depend on body size, from the grid of the network's output."""
    outliers: float = 0.0012
    """Share of the visible joints that are outliers on or near the body."""
    hidden_outliers: float = 0.12
    """The same for occluded joints."""
    outlier_size: float = 0.2
    """Standard deviation of outliers, in body sizes."""
    together: float = 0.1
    """Share of the error's variance that is common to the joints of a row."""
    lasting: float = 0.85
    """Share of the error's variance that is correlated in time."""
    lasting_s: float = 0.5
    """Correlation time of errors, misses and confusions, s."""
    defined_m: float = 0.008
    """Standard deviation of the offset of the estimator's definition of a joint, along each axis of the body: the same
    in all views; twice as large for hips."""
    score: tuple[float, ...] = (1.9, 1.6, 1.7, 1.6, 0.9, 1.4, 1.4, 1.1)
    """Typical score of visible joints of a body of 100 px by ``GROUPS``, logit."""
    score_size: float = 0.0
    """Increase with the logarithm of the size, logit."""
    score_spread: float = 0.5
    """Its standard deviation between joints, logit."""
    score_row: float = 0.4
    """Its standard deviation between rows, logit."""
    score_hidden: float = 1.8
    """Decrease for occluded joints, logit."""
    score_error: float = 0.0
    """Decrease where the error scale is e times its typical value, logit."""
    score_lies: float = 0.03
    """Share of the joints whose score is unrelated to their error."""
    missed: tuple[float, ...] = (-3.0, -4.5, -3.5, -3.2, -4.0, -3.8, -3.5, -2.5)
    """Share of missed joints among the visible ones of a body of 100 px by ``GROUPS``, logit."""
    missed_hidden: float = 3.0
    """Increase for occluded joints, logit."""
    missed_turned: float = 4.5
    """Increase for joints of a face that is turned away, logit."""
    missed_small: float = 0.5
    """Increase for a body e times as small, logit."""
    person_missed: float = -4.5
    """Share of missed people among those in full view, 100 px large, logit."""
    person_small: float = 1.0
    """Increase for a body e times as small, logit."""
    person_hidden: float = 6.0
    """Increase for a fully occluded body against one in full view, logit."""
    person_cut: float = 3.0
    """Increase for a body fully outside the picture against one in it, logit."""
    outside: float = 0.0
    """Share of the joints outside the picture that are estimated nevertheless: at its edge, or beyond."""
    body_swaps: float = 0.004
    """Share of the rows with a left-right swap of the whole body."""
    leg_swaps: float = 0.006
    """Share of the rows with a left-right swap of the legs."""
    arm_swaps: float = 0.004
    """Share of the rows with a left-right swap of the arms."""
    merges: float = 0.04
    """Share of the rows overlapping another one that take over one of its limbs, or swap one with it."""
    screens: float = 0.2
    """Expected number of objects in a view that occlude people behind them."""
    splits: float = 0.04
    """Share of the rows that are split in two: an arm, a leg, the head or a half of the body apart."""
    splits_hidden: float = 2.0
    """Increase for a fully occluded body against one in full view, logit."""
    lone_joints: float = 0.0004
    """Share of the joints that form a row of their own."""
    duplicates: float = 0.005
    """Share of the rows that are detected a second time, whole or in part, slightly different."""
    copies: float = 0.0
    """Share of the rows that are repeated once or more, exactly the same."""
    furniture: float = 0.06
    """Expected number, per view, of static objects that are false positives in about every second frame. Each is also a
    false positive in every fifth of the other views."""
    phantoms: float = 0.02
    """Expected number of other false positives per view and frame."""
    phantom_score: float = -0.8
    """Typical score of the joints of false positives, logit."""
    phantom_joints: float = 0.2
    """Least share of a body's joints that false positives have; the most is all."""
    least_joints: int = 2
    """Rows of fewer joints are not output."""

    def randomised(self, rng: np.random.Generator) -> DetectorModel:
        """Return another estimator of about this quality: any skeleton, every parameter drawn around its value here."""
        drawn: dict[str, object] = {"skeleton": str(rng.choice(list(_KINDS), p=list(_KINDS.values())))}
        for name in _SHARES:
            share, odds = getattr(self, name), float(np.exp(rng.normal(0, 0.7)))
            drawn[name] = share * odds / (1 - share + share * odds)
        drawn |= {name: getattr(self, name) * float(np.exp(rng.normal(0, 0.3))) for name in _SCALES}
        drawn |= {name: getattr(self, name) + float(rng.normal(0, 0.4)) for name in _LOGITS}
        for name, spread in _BY_GROUP.items():
            away = rng.normal(0, spread) + rng.normal(0, 0.5 * spread, len(GROUPS))
            held = np.array(getattr(self, name))
            drawn[name] = tuple((held * np.exp(away) if name == "noise" else held + away).tolist())
        drawn["outside"] = float(rng.uniform(0, 1)) if rng.random() < 0.25 else self.outside
        drawn["copies"] = float(rng.uniform(0, 0.15)) if rng.random() < 0.1 else 0.0
        drawn["whole_size"] = bool(rng.random() < 0.5)
        return replace(self, **drawn)  # type: ignore[arg-type]


# The comments name the data of each fit; `tools/benches/detector_fit.py` reports and plots it. OpenPose's candidates of
# Shelf's frames 0-74, grouped by the estimator `openpose_parts`, two people in full view; its people of the demo.
OPENPOSE = DetectorModel(skeleton="body25")
# OpenPose on small and half occluded people, unlike its training data: MVOR, day 1.
OPENPOSE_WEAK = replace(
    OPENPOSE, skeleton="coco17", noise_factor=0.35, whole_size=False, noise=tuple(0.6 * one for one in OPENPOSE.noise),
    score=tuple(one - 0.4 for one in OPENPOSE.score), score_hidden=1.2, score_error=0.15,
    missed_hidden=2.0, person_missed=-1.3, person_hidden=0.5, person_cut=1.0, screens=1.5, copies=0.11, furniture=0.12,
    phantoms=0.06, phantom_score=0.0,
)  # fmt: skip
# A top-down network that gives every joint of one person: BlazePose on both demos, against our own 3D.
TOPDOWN = replace(
    OPENPOSE, skeleton="blazepose33", noise_factor=0.3, whole_size=False,
    noise=(1.55, 0.64, 0.58, 0.62, 0.63, 0.6, 0.62, 0.82), tail=0.55, tail_row=0.75, together=0.35, hidden_noise=3.0,
    score=(5.5, 5.5, 3.6, 2.7, 5.5, 3.6, 3.2, 2.6), score_spread=1.2, score_row=0.6, score_hidden=1.5,
    missed=(-8.0,) * len(GROUPS), missed_hidden=0.0, missed_turned=0.0, missed_small=0.0, person_missed=-2.7,
    person_hidden=3.5, outside=1.0, splits=0.0, lone_joints=0.0, duplicates=0.003, merges=0.08, leg_swaps=0.01,
    furniture=0.8, phantoms=0.03, phantom_score=1.3, phantom_joints=1.0,
)  # fmt: skip

_KINDS = {"halpe26": 0.25, "body25": 0.25, "coco17": 0.25, "blazepose33": 0.1, "mvor10": 0.08, "shelf14": 0.07}
_SHARES = ("outliers", "hidden_outliers", "together", "lasting", "score_lies", "body_swaps", "leg_swaps", "arm_swaps",
           "merges", "splits", "lone_joints", "duplicates")  # fmt: skip
_SCALES = ("noise_factor", "tail", "tail_row", "hidden_noise", "floor_px", "outlier_size", "lasting_s", "defined_m",
           "score_size", "score_spread", "score_row", "score_hidden", "score_error", "missed_hidden", "missed_turned",
           "missed_small", "person_small", "person_hidden", "person_cut", "splits_hidden", "screens", "furniture",
           "phantoms")  # fmt: skip
_LOGITS = ("person_missed", "phantom_score")
_BY_GROUP = {"noise": 0.25, "score": 0.6, "missed": 0.5}
