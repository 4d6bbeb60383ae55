"""A model of 2D estimators: from true people in a rig's views to detections, with the true person of each joint.

No images are rendered: joints are projected, bodies of capsules occlude each other, and the errors of estimators are
added. Noise, scores, misses, splits and false positives are fitted to real detections by
``tools/benches/detector_fit.py``; parameters that the data do not determine (left-right swaps, merges, occluding
objects, definition offsets) are guesses, which ``randomised`` varies.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calib import Rig
from mvcap.structures.detections import Detections2D, body_size, joint_box
from mvcap.structures.poses import Poses3D
from mvcap.structures.skeleton import Skeleton, skeleton
from mvcap.synthesis.detector_errors import DetectorModel
from mvcap.synthesis.detector_joints import project_joints
from mvcap.synthesis.detector_people import (
    SeenRows,
    copy_rows,
    duplicate_rows,
    false_positives,
    merge_neighbours_rows,
    split_rows,
    swap_left_right,
)

_LEAST_SIZE = 0.1
"""Least share of the body's size for the stated noise, where it scales with the row's own box."""
_BEYOND = 0.02
"""Largest distance of joints beyond the edge of the picture, as a share of its size."""


def simulate_detector(
    model: DetectorModel, truth: Poses3D, rig: Rig, rng: np.random.Generator, rate_hz: float = 25.0
) -> tuple[Detections2D, NDArray[np.int32]]:
    """Detections of true people (``halpe26``) in all views, and the true person of each joint.

    Frames count from 0 to the truth's last. Returns the rows in order of frames and views, ``person`` and ``carried``
    -1, and (M, J) the true person of each joint, -1 = no person or missing. A left-right swap does not change the
    person.
    """
    kind = skeleton(model.skeleton)
    people = np.unique(truth.person)
    if not len(truth):
        return Detections2D.empty(kind), np.zeros((0, len(kind)), np.int32)
    points = project_joints(model, kind, truth, people, rig, rng, rate_hz)
    swap_left_right(model, kind, points, rng)
    merge_neighbours_rows(model, kind, points, rng)
    extra = [*false_positives(model, kind, points, rig, rng)]
    extra += duplicate_rows(model, kind, points, rng)
    extra += split_rows(model, kind, points, rng)
    rows = copy_rows(model, SeenRows.concatenate([points.rows(), *extra]), rng)
    last = points.last[rows.view][:, None]
    margin = _BEYOND * last if model.outside else 0.5
    rows.xy = np.clip(rows.xy, -margin, last + margin)
    return _build_rows(model, kind, rows, people, rng)


def _build_rows(
    model: DetectorModel, kind: Skeleton, rows: SeenRows, people: NDArray[np.integer], rng: np.random.Generator
) -> tuple[Detections2D, NDArray[np.int32]]:
    """The rows as the estimator outputs them: in order, without too small ones, with boxes and stated noise."""
    joints = np.isfinite(rows.xy[..., 0])
    keep = np.flatnonzero(joints.sum(-1) >= np.where(rows.lone, 1, model.least_joints))
    keep = keep[np.lexsort((rng.random(len(keep)), rows.view[keep], rows.frame[keep]))]
    some = rows[keep]
    out = Detections2D.build(kind, 0, 0, some.xy, some.score, model.noise_factor)
    missing = out.score == 0
    # A box of few joints is smaller than its body; without a least size, its noise could be zero.
    size = np.maximum(body_size(joint_box(some.xy)), some.size * (1.0 if model.whole_size else _LEAST_SIZE))
    noise = model.noise_factor * kind.sigma * size[:, None] / np.where(missing, np.nan, out.score)
    out = out.with_columns(frame=some.frame, view=some.view, noise_px=noise)
    number = np.append(people, -1)[some.whose]
    return out, np.where(missing, -1, number).astype(np.int32)
