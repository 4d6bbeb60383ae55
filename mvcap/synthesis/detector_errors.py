"""What 2D estimators get wrong, in numbers: one set for each kind of estimator, and how to draw one like them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

GROUPS = ("head", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot")
"""Kinds of joints that the tuples of ``DetectorModel`` have a number each for."""


@dataclass(frozen=True)
class DetectorModel:
    """How good, and how wrong, a 2D estimator is. Shares are 0..1; logits are of shares or scores; sizes are px."""

    skeleton: str = "halpe26"
    """Joints that it gives."""
    noise_factor: float = 0.18
    """Noise that it states, in units of a careful annotator's at score 1 (``Detections2D.build``)."""
    whole_size: bool = True
    """Whether the stated noise is of the whole body's size; False: of the size of the row's own box."""
    noise: tuple[float, ...] = (1.15, 1.0, 0.74, 0.92, 0.8, 0.82, 0.65, 0.77)
    """Typical error of the joints that are seen by ``GROUPS``, in units of the stated noise."""
    tail: float = 0.36
    """How much the size of errors varies: standard deviation of its logarithm. 0 = Gaussian."""
    tail_row: float = 0.1
    """The same for all joints of a row together: crops that slip off their person."""
    hidden_noise: float = 1.7
    """Errors of joints that something hides are so much larger."""
    floor_px: float = 0.7
    """Error that is there however small the body is: the grid on which the network looks."""
    outliers: float = 0.0012
    """Share of the seen joints that are somewhere else on or near the body."""
    hidden_outliers: float = 0.12
    """The same of hidden joints."""
    outlier_size: float = 0.2
    """Standard deviation of where those are, in body sizes."""
    together: float = 0.1
    """Share of the error's variance that the joints of a row have in common."""
    lasting: float = 0.85
    """Share of the error's variance that lasts from frame to frame."""
    lasting_s: float = 0.5
    """How long errors, misses and confusions last, s."""
    defined_m: float = 0.008
    """Standard deviation of where the estimator puts a joint from where it is, along each axis of the body: the same in
    all views; hips twice as far."""
    score: tuple[float, ...] = (1.9, 1.6, 1.7, 1.6, 0.9, 1.4, 1.4, 1.1)
    """Typical score of seen joints of a body of 100 px by ``GROUPS``, logit."""
    score_size: float = 0.0
    """How much it rises with the logarithm of the size, logit."""
    score_spread: float = 0.5
    """Its standard deviation between joints, logit."""
    score_row: float = 0.4
    """Its standard deviation between rows, logit."""
    score_hidden: float = 1.8
    """How much lower it is where something hides the joint, logit."""
    score_error: float = 0.0
    """How much lower it is where the error is e times as large as usual, logit."""
    score_lies: float = 0.03
    """Share of the joints whose score says nothing of them."""
    missed: tuple[float, ...] = (-3.0, -4.5, -3.5, -3.2, -4.0, -3.8, -3.5, -2.5)
    """Share of the seen joints of a body of 100 px that are missing by ``GROUPS``, logit."""
    missed_hidden: float = 3.0
    """How much more often hidden joints are missing, logit."""
    missed_turned: float = 4.5
    """How much more often those of a face that looks away are missing, logit."""
    missed_small: float = 0.5
    """How much more often for a body e times as small, logit."""
    person_missed: float = -4.5
    """Share of the people in full view, 100 px large, that are not found, logit."""
    person_small: float = 1.0
    """How much more often for a body e times as small, logit."""
    person_hidden: float = 6.0
    """How much more often for a body that is wholly hidden than for one in full view, logit."""
    person_cut: float = 3.0
    """How much more often for a body wholly outside the picture than for one in it, logit."""
    outside: float = 0.0
    """Share of the joints outside the picture that are guessed all the same: at its edge, or beyond."""
    body_swaps: float = 0.004
    """Share of the rows whose left and right are exchanged."""
    leg_swaps: float = 0.006
    """Share of the rows whose legs are exchanged."""
    arm_swaps: float = 0.004
    """Share of the rows whose arms are exchanged."""
    merges: float = 0.04
    """Share of the rows that overlap with another's which take a limb of it, or exchange one."""
    screens: float = 0.2
    """Things between the camera and people, which hide what is behind them: their expected number in a view."""
    splits: float = 0.04
    """Share of the rows that are two: an arm, a leg, the head or a half of the body apart."""
    splits_hidden: float = 2.0
    """How much more often for a body that is wholly hidden than for one in full view, logit."""
    lone_joints: float = 0.0004
    """Share of the joints that are a row of their own."""
    duplicates: float = 0.005
    """Share of the rows that come a second time, whole or in part, a little different."""
    copies: float = 0.0
    """Share of the rows that come twice or more times, exactly the same."""
    furniture: float = 0.06
    """Things that are taken for a person about every second frame: how many a view is expected to have of its own.
    Every fifth of the others takes them for one too."""
    phantoms: float = 0.02
    """Other people who are not there: their expected number in a view at a frame."""
    phantom_score: float = -0.8
    """Typical score of joints of furniture and phantoms, logit."""
    phantom_joints: float = 0.2
    """They have a share of a body's joints between this and all."""
    least_joints: int = 2
    """Rows of fewer joints are not given."""

    def randomised(self, rng: np.random.Generator) -> DetectorModel:
        """Return another estimator of about this quality: any skeleton, every parameter drawn round its value here."""
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


# What each was fitted to; how near it came is told and drawn by `tools/benches/detector_fit.py`. OpenPose's candidates
# of Shelf's frames 0-74, grouped by the estimator `openpose_parts`, two people in full view; its people of the demo.
OPENPOSE = DetectorModel(skeleton="body25")
# OpenPose on small and half hidden people, who were not what it was trained on: MVOR, day 1.
OPENPOSE_WEAK = replace(
    OPENPOSE, skeleton="coco17", noise_factor=0.35, whole_size=False, noise=tuple(0.6 * one for one in OPENPOSE.noise),
    score=tuple(one - 0.4 for one in OPENPOSE.score), score_hidden=1.2, score_error=0.15,
    missed_hidden=2.0, person_missed=-1.3, person_hidden=0.5, person_cut=1.0, screens=1.5, copies=0.11, furniture=0.12,
    phantoms=0.06, phantom_score=0.0,
)  # fmt: skip
# A network that is shown one person at a time and gives every joint: BlazePose on both demos, against our own 3D.
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
