"""Rows of generated takes as estimators see them, without a session, and what association makes of them."""

import tempfile
from pathlib import Path

import numpy as np

from calib import save_rig
from mvcap import plugins
from mvcap.estimators.oracle import Oracle, OracleConfig
from mvcap.metrics.association import row_pairs
from mvcap.structures.contracts import View
from mvcap.structures.detections import Detections2D
from mvcap.structures.pose_file import save_poses


def seen(take, **errors):
    """Rows of a take (truth, rig, rate) with the oracle's errors; column ``carried`` tells the true person."""
    truth, rig, rate_hz = take
    frames = int(truth.frame.max()) + 1
    with tempfile.TemporaryDirectory() as folder:
        save_poses(Path(folder) / "truth.npz", truth)
        save_rig(rig, Path(folder) / "rig.yaml")
        oracle = Oracle(OracleConfig(f"{folder}/truth.npz", f"{folder}/rig.yaml", **errors))
        parts = [
            oracle.estimate(None, frame, View(index, camera.name, camera.size, rate_hz, frames), {}).rows
            for frame in range(frames)
            for index, camera in enumerate(rig)
        ]
    return Detections2D.concatenate(parts, truth.skeleton)


def told(rows):
    """The rows associated by their truth."""
    return rows.with_columns(person=rows.carried)


def associated(rows, rig, rate_hz, chunk=50, **config):
    """Rows after the associator ``geometry``, chunk by chunk, and its memory at the end."""
    associator, _ = plugins.load_plugin("associator", {"associators": {"geometry": config}})
    memory, parts = {}, []
    for start in range(0, int(rows.frame.max(initial=0)) + 1, chunk):
        mine = (rows.frame >= start) & (rows.frame < start + chunk)
        found, memory = associator.associate(rows[mine], rig, rate_hz, memory)
        parts.append(found)
    return Detections2D.concatenate(parts, rows.skeleton), memory


def scores(rows):
    """Precision and recall of pairs, by the truth that the rows carry; people who are not there are nobody."""
    found = row_pairs(rows, np.where(rows.carried > 0, rows.carried, -1))
    return found.precision, found.recall


def numbers(rows):
    """By true person, the numbers that most of its rows of a frame have, in order, without repeats."""
    out = {}
    for who in np.unique(rows.carried[rows.carried > 0]):
        mine = (rows.carried == who) & (rows.person >= 0)
        given = [np.bincount(rows.person[mine & (rows.frame == at)]).argmax() for at in np.unique(rows.frame[mine])]
        out[int(who)] = [int(a) for a, b in zip(given, [-1, *given], strict=False) if a != b]
    return out
