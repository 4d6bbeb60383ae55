"""What others reach, as stated: measured once by this project on the same work, or published. Not of this run."""

from __future__ import annotations

from collections.abc import Mapping

from benches.section import Row

POSE2SIM = "Pose2Sim 0.10.49, stated"


def _pose2sim(association: float, triangulation: float, filtering: float, raw: float, filtered: float) -> Row:
    return {"who": POSE2SIM, "assoc ms": association, "tri ms": triangulation, "filter ms": filtering, "raw mm": raw,
            "filtered mm": filtered}  # fmt: skip


def _nothing(all_ms: float) -> Row:
    return {"who": f"{POSE2SIM}: {all_ms:g} ms in all, nothing triangulated"}


SYNTHETIC: Mapping[str, tuple[Row, ...]] = {
    "4x1": (
        _pose2sim(1.2, 5.2, 5.7, 9.7, 4.6),
        {"who": "aniposelib 0.8.0 triangulate, stated", "tri ms": 0.16, "raw mm": 18.5},
        {"who": "aniposelib 0.8.0 ransac, stated", "tri ms": 403.0, "raw mm": 16.9},
        {"who": "aniposelib 0.8.0 optim, stated", "filter ms": 78.0, "filtered mm": 7.5},
    ),
    "5x4": (_pose2sim(16.0, 24.7, 26.1, 10.1, 6.4),),
    "8x4": (_pose2sim(27.0, 44.0, 29.0, 9.5, 6.8),),
    "5x4 outliers": (_pose2sim(16.0, 50.0, 28.0, 19.9, 8.1),),
    "4x1 strong lens": (_pose2sim(2.6, 6.2, 6.7, 14.8, 8.7),),
    "4x1 bad": (_nothing(22),),
    "8x1 bad": (_nothing(111),),
    "12x1 bad": (_nothing(1930),),
    "crossing 5x5": ({"who": POSE2SIM, "id switches": 2},),
    "crossing 8x5": ({"who": POSE2SIM, "raw mm": 15.6, "id switches": 8, "covered": 0.977},),
}
"""Rows by case; CPU ms a frame of one thread, mm without alignment."""

SHELF: tuple[Row, ...] = (
    {"who": "4D Association, C++, full, stated", "PCP 4da": 96.29, "PCP voxelpose": 94.88, "recall@500": 100.0,
     "s a frame": 0.0065},
    {"who": "4D Association, authors' 3D newest, stated", "PCP 4da": 96.27, "PCP voxelpose": 96.07,
     "recall@500": 100.0},
    {"who": "4D Association, authors' 3D older, stated", "PCP 4da": 97.92, "PCP voxelpose": 94.48, "recall@500": 100.0},
    {"who": "4D Association, triangulation only, stated", "PCP 4da": 95.43, "PCP voxelpose": 95.14,
     "recall@500": 100.0, "s a frame": 0.004},
    {"who": "pairwise triangulate-and-group, stated", "PCP 4da": 95.11, "PCP voxelpose": 94.66, "recall@500": 100.0,
     "precision": 0.9955, "recall": 0.9359, "F1": 0.965, "s a frame": 0.011},
    {"who": "Pose2Sim association + DLT, stated", "PCP 4da": 88.08, "PCP voxelpose": 88.14, "recall@500": 96.1,
     "precision": 0.9928, "recall": 0.9304, "F1": 0.961, "s a frame": 0.009},
    {"who": "mvpose SVT, no re-ID, + DLT, stated", "PCP 4da": 86.31, "PCP voxelpose": 86.02, "recall@500": 98.0,
     "precision": 0.9645, "recall": 0.9354, "F1": 0.950, "s a frame": 0.005},
    {"who": "true association + plain DLT, stated", "PCP voxelpose": 96.5},
    {"who": "graph-based, other detections, published", "PCP voxelpose": 97.7},
    {"who": "VoxelPose, other detections, published", "PCP voxelpose": 97.0},
    {"who": "PlaneSweepPose, other detections, published", "PCP voxelpose": 97.9},
    {"who": "MvP, other detections, published", "PCP voxelpose": 97.4},
    {"who": "Faster VoxelPose, other detections, published", "PCP voxelpose": 97.6},
)  # fmt: skip
"""Rows of all 301 frames, from the same OpenPose candidates unless said otherwise; PCP is the mean of actors 1 to 3."""

CAMPUS: tuple[Row, ...] = (
    {"who": "pairwise triangulate-and-group, stated", "1 px": 100.0, "2 px": 99.6, "4 px": 83.3},
    {"who": "Pose2Sim (0.3 m gate), stated", "1 px": 100.0, "2 px": 99.9, "4 px": 93.0},
    {"who": "mvpose SVT, stated", "1 px": 98.0, "2 px": 93.1, "4 px": 82.2},
)
"""PCP from the truth in 2D with this noise."""
