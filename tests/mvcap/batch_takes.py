"""Folders of small sessions whose detections are given, and what their results are, for tests of batches."""

import hashlib

import numpy as np
from walking_take import COCO, RATE_HZ, detections, poses, rig

from mvcap.structures.detection_table import write_detections_npz
from mvcap.structures.session import Session


def write_sessions(folder, count, frames=20):
    """Make sessions take0, take1 ... in a folder; their detections lie in each of them."""
    for number in range(count):
        cameras, place = rig(), folder / f"take{number}"
        place.mkdir(parents=True)
        rows = detections(poses(frames, seed=number), cameras, seed=100 + number)
        write_detections_npz(place / "rows.npz", [rows], cameras.names, COCO)
        session = Session.create(cameras, place, frames=frames, rate_hz=RATE_HZ)
        session.override({"estimator": "table", "estimators": {"table": {"file": str(place / "rows.npz")}}})
    return folder


def results(folder):
    """The sha256 of the numbers in the poses of every session, and in the results of its stages."""
    found = {}
    for path in sorted([*folder.glob("*/poses.npz"), *folder.glob("*/artefacts/*/*.npz")]):
        with np.load(path, allow_pickle=False) as held:
            digest = hashlib.sha256()
            for name in sorted(held.files):
                if held[name].dtype.kind == "U":
                    continue  # provenance, with the seconds and the place of the detections
                digest.update(name.encode() + held[name].tobytes())
        found[path.relative_to(folder).as_posix()] = digest.hexdigest()
    return found
