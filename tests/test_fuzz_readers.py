"""Every reader gets valid files damaged by seed: the right kind of result or one line, in bounded time and memory.

MVCAP_FUZZ=10 tries ten times as many; a failure names the seed and keeps the file.
"""

import collections
import json
import os
import pickle
import signal
import sys
import time
import warnings
import zlib
from pathlib import Path

import cv2
import foreign_files
import numpy as np
import point_files
import pytest
from damaged_inputs import damaged
from ring_rigs import make_rig
from synthetic_take import RATE_HZ, make_session, ring_rig, truth, write_openpose

import mvcap
from calib import FORMATS, Rig, load_rig, save_rig
from calib.boards import board_from
from calib.errors import CalibrationError
from mvcap import config
from mvcap.calibration.control_points import read_control_points
from mvcap.cli.main import one_line
from mvcap.cli.settings import check_overrides
from mvcap.errors import MvcapError
from mvcap.estimation.model_card import read_card
from mvcap.evaluation import comparison
from mvcap.stages import STAGES
from mvcap.structures.detection_table import write_detections_npz, write_detections_parquet
from mvcap.structures.detections import Detections2D
from mvcap.structures.footage import Footage
from mvcap.structures.pose_file import load_poses, save_poses
from mvcap.structures.poses import Poses3D
from mvcap.structures.session import Session
from mvcap.structures.skeleton import skeleton
from mvcap.structures.skeleton_file import load_skeleton

EACH = 75 * int(os.environ.get("MVCAP_FUZZ", "1"))
MOST_S, MOST_MB = 3.0, 200
NAMES = ring_rig(2).names
FRAMES = 3
RIG = ring_rig(2)
Reader = collections.namedtuple("Reader", "make read check")


def is_rig(rig):
    assert isinstance(rig, Rig) and all(np.isfinite(part).all() for part in (rig.K, rig.cam_from_world))


def are_detections(rows):
    assert isinstance(rows, Detections2D) and not np.isinf(rows.xy).any()
    assert ((rows.score >= 0) & (rows.score <= 1)).all() and (rows.frame >= 0).all()
    assert ((rows.view >= 0) & (rows.view < 2)).all() and (np.isfinite(rows.xy).all(-1) == (rows.score > 0)).all()


def are_poses(poses):
    assert isinstance(poses, Poses3D) and poses.xyz.shape[1:] == (len(poses.skeleton), 3)


def is_something(value):
    assert value is not None


# --- calibrations ----------------------------------------------------------------------------------------------------


def saved(name, format):
    def make(folder):
        save_rig(make_rig(2, distortion=[0.1, 0, 0, 0]), folder / name, format)
        return folder / name

    return make


def opencap(folder):
    (folder / "left.pickle").write_bytes(pickle.dumps(foreign_files.opencap_values(), 2))
    return folder / "left.pickle"


RIGS = {
    "rig": saved("rig.yaml", "rig"),
    "qualisys": saved("rig.qca.txt", "qualisys"),
    "panoptic": saved("calibration.json", "panoptic"),
    "toml": saved("rig.toml", "toml"),
    "opencv": saved("rig.json", "opencv"),
    "opencv yml": saved("rig.yml", "opencv"),
    "opencv xml": saved("rig.xml", "opencv"),
    "easymocap": saved("intri.yml", "easymocap"),
    "colmap": saved("images.bin", "colmap"),
    "colmap text": saved("images.txt", "colmap"),
    "kalibr": foreign_files.camchain,
    "caliscope": lambda folder: foreign_files.caliscope(folder, *[foreign_files.caliscope_camera()] * 2),
    "vicon": lambda folder: foreign_files.xcp(folder, 'VICON_RADIAL="6e-8 3e-14"'),
    "optitrack": foreign_files.mcal,
    "opencap": opencap,
    "multical": lambda folder: foreign_files.multical(folder, ["a", "b"], "a"),
    "mccalib": foreign_files.mccalib,
    "dlt": lambda folder: foreign_files.dlt(folder, True),
}


# --- detections ------------------------------------------------------------------------------------------------------


def seen():
    """Rows of one person in two views, each a table."""
    poses = truth(FRAMES, 1)
    parts = []
    for view, camera in enumerate(RIG):
        xy = camera.project(poses.xyz.astype(float))
        parts.append(Detections2D.build(skeleton("coco17"), 0, view, xy, np.full(xy.shape[:-1], 0.5), 2.0))
        parts[-1] = parts[-1].with_columns(frame=np.arange(FRAMES, dtype=np.int32))
    return parts


def people(rows):
    for frame, xy, score in zip(rows.frame, rows.xy, rows.score, strict=True):
        yield int(frame), np.concatenate([xy, score[:, None]], 1).ravel().tolist()


def openpose(folder):
    write_openpose(folder, FRAMES, 1, 2)
    return next((folder / "pose").glob("*/*.json"))


def coco(folder):
    for name, rows in zip(NAMES, seen(), strict=True):
        listed = [{"image_id": frame, "keypoints": flat, "score": 0.9} for frame, flat in people(rows)]
        (folder / f"{name}.json").write_text(json.dumps(listed))
    return folder / f"{NAMES[0]}.json"


def alphapose(folder):
    for name, rows in zip(NAMES, seen(), strict=True):
        listed = [{"image_id": f"{frame}.jpg", "keypoints": flat, "score": 2.0, "idx": 1, "box": [1, 2, 30, 40]}
                  for frame, flat in people(rows)]  # fmt: skip
        (folder / f"{name}.json").write_text(json.dumps(listed))
    return folder / f"{NAMES[0]}.json"


def table(ending, write):
    def make(folder):
        rows = Detections2D.concatenate(seen(), skeleton("coco17"))
        write(folder / f"table{ending}", [rows[np.argsort(rows.frame, kind="stable")]], NAMES, skeleton("coco17"))
        return folder / f"table{ending}"

    return make


def points(write, ending):
    def make(folder):
        for name in NAMES:
            write(folder / f"{name}{ending}", *point_files.known_points(people=1))
        return folder / f"{NAMES[0]}{ending}"

    return make


def detections(estimator, place="folder", **settings):
    def read(path):
        where = path if place == "file" else path.parents[1] if estimator == "openpose" else path.parent
        return mvcap.load_detections(where, estimator, RIG, **settings)

    return read


# --- sessions --------------------------------------------------------------------------------------------------------


def finished(folder):
    session = make_session(folder, FRAMES, people=1, cameras=2)
    session.override({"track": {"min_seconds": 0.01}})
    for stage in STAGES:
        getattr(mvcap, stage)(session)
    return session.folder


def part_of_session(name):
    return lambda folder: finished(folder) / name


def read_session(path):
    """All that a session's files hold, as report and export read them."""
    folder = next(place for place in path.parents if place.name == "session")
    session = Session.open(folder)
    found = [session.names, session.rig, session.frame_of, session.time_s, session.identity, session.rig_identity]
    check_overrides(session.overrides)
    for stage in STAGES:
        kind = Detections2D if stage in ("estimate", "associate") else Poses3D
        artefact = session.artefact(stage, kind)
        if artefact.complete:
            found += [artefact.fingerprint, artefact.skeleton, *artefact.chunks()]
    mvcap.export(session, ["csv"], folder=folder.parent / "out")
    return found


# --- settings and small files ----------------------------------------------------------------------------------------


def written(name, content):
    def make(folder):
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name).write_bytes(data)
        return folder / name

    return make


BOARD = "- {board: charuco, columns: 7, rows: 5, square: 120 mm, marker: 90 mm}\n- tags:DICT_4X4_50:100mm:0,1,5\n"
KALIBR_BOARD = "target_type: aprilgrid\ntagCols: 6\ntagRows: 6\ntagSize: 0.088\ntagSpacing: 0.3\n"
CARD = Path(__file__).parents[1] / "configs" / "models"
CONFIG = Path(__file__).parents[1] / "configs" / "default.yaml"
CONTROL = (
    "unit: m\npoints: {a: [0, 0, 0], b: [1, 0, 0], c: [0, 1.5, 0], d: [1, 1, 2]}\n"
    "pixels: {cam1: {a: [1, 2], b: [3, 4]}}\n"
)
CONTROL_CSV = "name,x_m,y_m,z_m\na,0,0,0\nb,1,0,0\nc,0,1.5,0\nd,1,1,2\n"
SKELETON = "joints: [lhip, rhip, lknee, rknee, lankle, rankle]\n"
SCORES = json.dumps({"benchmark": "shelf", "raw": None, "pcp": {"4da": {"average": 97.0, "actors": [1, 2]}}})


def picture(ending):
    def make(folder):
        image = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
        for number in range(3):
            cv2.imwrite(str(folder / f"frame_{number:03d}{ending}"), image)
        return folder / f"frame_001{ending}"

    return make


def read_pictures(path):
    return list(Footage.probe(path.parent, rate_hz=RATE_HZ).read(0, 3))


def read_settings(path):
    overrides = config.read(path)
    check_overrides(overrides)
    return overrides


def poses_file(folder):
    return save_poses(folder / "poses.npz", truth(FRAMES, 2))


READERS = {
    **{f"calibration {name}": Reader(make, lambda path: load_rig(path, unit="m", size=foreign_files.SIZE), is_rig)
       for name, make in RIGS.items()},
    "openpose": Reader(openpose, detections("openpose"), are_detections),
    "coco": Reader(coco, detections("coco"), are_detections),
    "alphapose": Reader(alphapose, detections("alphapose"), are_detections),
    "table npz": Reader(table(".npz", write_detections_npz), detections("table", "file"), are_detections),
    "table parquet": Reader(table(".parquet", write_detections_parquet), detections("table", "file"), are_detections),
    "deeplabcut": Reader(points(point_files.write_dlc_csv, ".csv"), detections("deeplabcut"), are_detections),
    "sleap": Reader(points(point_files.write_sleap_csv, ".csv"), detections("sleap"), are_detections),
    **{f"session {name}": Reader(part_of_session(name), read_session, is_something)
       for name in ("session.yaml", "rig.yaml", "timeline.npz", "config.yaml", "artefacts/refine/manifest.json",
                    "artefacts/associate/0000000.npz", "artefacts/refine/0000000.npz")},
    "poses.npz": Reader(poses_file, load_poses, are_poses),
    "settings": Reader(written("mine.yaml", CONFIG.read_bytes()), read_settings, is_something),
    "board": Reader(written("board.yaml", BOARD), board_from, is_something),
    "board of kalibr": Reader(written("board.yaml", KALIBR_BOARD), board_from, is_something),
    "model card": Reader(written("card.yaml", next(CARD.glob("*.yaml")).read_bytes()), read_card, is_something),
    "control points": Reader(written("points.yaml", CONTROL), read_control_points, is_something),
    "control points csv": Reader(written("points.csv", CONTROL_CSV), read_control_points, is_something),
    "skeleton": Reader(written("skeleton.yaml", SKELETON), load_skeleton, is_something),
    "scores": Reader(written("scores.json", SCORES), lambda path: comparison.read([path]), is_something),
    "picture png": Reader(picture(".png"), read_pictures, is_something),
    "picture jpg": Reader(picture(".jpg"), read_pictures, is_something),
}  # fmt: skip


def test_every_calibration_format_is_tried():
    assert {name.split()[0] for name in RIGS} == set(FORMATS)


class HangError(Exception):
    """A reader took too long."""


def memory_mb():
    """The largest memory of this process since the last call of ``forget_memory``, MB; 0 where that is not known."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def forget_memory():
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("the largest memory cannot be measured here") if sys.platform == "linux" else None


def tried(reader, path, counts):
    """One damaged file: count what came of it, or raise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            reader.check(reader.read(path))
            counts["read"] += 1
        except (MvcapError, CalibrationError) as fault:
            assert str(fault) and "\n" not in str(fault) and len(one_line(fault)) < 1600
            counts["refused"] += 1


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_refused_in_one_line_or_read(name, tmp_path, monkeypatch):
    monkeypatch.setattr(config, "_allowed", set())
    reader = READERS[name]
    path = reader.make(tmp_path)
    whole = path.read_bytes()
    reader.check(reader.read(path))
    counts = collections.Counter()

    def hang(number, frame):
        raise HangError

    forget_memory()
    before, begun = memory_mb(), time.process_time()
    old = signal.signal(signal.SIGALRM, hang) if hasattr(signal, "SIGALRM") else None
    for seed in range(EACH):
        path.write_bytes(damaged(whole, path.suffix, np.random.default_rng([zlib.crc32(name.encode()), seed])))
        place = f"{name}, seed {seed}: {path}"
        if old is not None:
            signal.setitimer(signal.ITIMER_REAL, 10 * MOST_S)
        started = time.process_time()
        try:
            tried(reader, path, counts)
        except (Exception, HangError) as fault:
            raise AssertionError(f"{place}: {type(fault).__name__}: {fault}") from fault
        finally:
            if old is not None:
                signal.setitimer(signal.ITIMER_REAL, 0)
        assert time.process_time() - started < MOST_S, place
        assert memory_mb() - before < MOST_MB, place
    if old is not None:
        signal.signal(signal.SIGALRM, old)
    if out := os.environ.get("MVCAP_FUZZ_LOG"):
        row = [name, EACH, counts["refused"], counts["read"], memory_mb() - before, time.process_time() - begun]
        with Path(out).open("a") as stream:
            stream.write("\t".join(map(str, row)) + "\n")
    assert counts["refused"] > EACH / 10
