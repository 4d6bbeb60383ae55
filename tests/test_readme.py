"""What the READMEs say is so: Python and plug-ins run; commands, names, settings, links and figures are right."""

import inspect
import json
import os
import re
import shlex
import sys
from functools import cache, partial
from itertools import takewhile
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import cv2
import numpy as np
import pytest
import yaml
from benches import stated
from board_footage import Look, pictures
from generated_boards import Take, arc_rig, carried, volume_points, volume_rms
from synthetic_take import RATE_HZ, make_session, ring_rig, run, truth, write_clip
from test_architecture import FLOORS, GROUND, HELP_S, LONGEST_FILE, LONGEST_FUNCTION

import calib
import mvcap
from calib import FORMATS as CALIBRATIONS
from calib import Camera, Lens, Rig, load_rig, save_rig
from calib.boards import board_from
from calib.calibration import Verdict
from calib.errors import RigFileError
from calib.formats import writable
from calib.geometry import pose, vector_from_rotation
from mvcap import assets, config, plugins
from mvcap.cli import settings
from mvcap.cli.main import cli
from mvcap.estimation.model_card import DetectorCard, PoseCard
from mvcap.reporting import verdict
from mvcap.stages import STAGES
from mvcap.structures.contracts import MaskedMoment
from mvcap.structures.footage import Footage
from mvcap.structures.pose_file import save_poses
from mvcap.structures.poses import Poses3D, Provenance
from mvcap.structures.skeleton import SKELETONS, skeleton
from mvcap.structures.view_track import LiftedBody, ViewTrack
from mvcap.weights import networks

ROOT = Path(__file__).parents[1]
READMES = ("README.md", "calib/README.md", "mvcap/README.md", "configs/README.md", "tools/README.md")
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in READMES}
PROSE = {name: re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL) for name, text in TEXTS.items()}
WHOLE = "\n".join(TEXTS.values())
ALL_PROSE = "\n".join(PROSE.values())
PRESETS = sorted((ROOT / "configs").glob("*.yaml"))
EXAMPLES = sorted((ROOT / "tools" / "examples").glob("[0-9]_*.py"))
FRAMES, SIZE = 25, (160, 90)
LONGEST_README = 200
ADDED = {
    "keypoint_csv": "estimator", "known_ids": "associator", "above_floor": "refiner", "wide_csv": "exporter",
    "own_lab": "benchmark", "joint_check": "task", "step_through": "viewer", "joint_balls": "densifier",
    "test_card": "source", "stated_delays": "synchroniser", "marker_files": "job", "in_order": "runner",
    "yolo_pose": "dataset_format", "winter_coat": "body_model", "fronto_parallel": "lifter",
    "on_the_floor": "root_depth",
    "camera_csv": "calibration format",
}  # fmt: skip
"""Plug-ins that are shown in full, by the name of their file."""
SHOWN = {
    "session": ("README.md", "mvcap.init("),
    "arrays": ("README.md", "write_poses("),
    "board": ("calib/README.md", "Finder("),
    "rig": ("calib/README.md", "rig.rays("),
    "settings": ("configs/README.md", "session.override("),
    "library": ("mvcap/README.md", "refine_rows("),
    "level": ("mvcap/README.md", "level_poses("),
    "live": ("mvcap/README.md", "live.step("),
    "lifter": ("mvcap/README.md", "lifter.lift(track)"),
    "root_depth": ("mvcap/README.md", "root_depth.place(track, lifted)"),
    "integration": ("mvcap/README.md", "mix_lifted("),
}
"""All other Python: a name for each block, the file that it is in, and what only it has."""
WORDS = (
    r"\bnobody\b", r"\bwho is who\b", r"\btaken for (each other|another|nobody)\b", r"\bworth\b", r"\bsights?\b",
    r"\b(mis)?judge[sd]?\b", r"\bin step\b", r"\bout of step\b", r"\bput right\b", r"\bby and by\b", r"\bwhence\b",
    r"\bthereby\b", r"\blately\b", r"\bmade up\b", r"\bagility\b",
)  # fmt: skip
"""Words that the field has better ones for."""


# --- reading ---------------------------------------------------------------------------------------------------------


def blocks(language, name=None):
    text = WHOLE if name is None else TEXTS[name]
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def shown(name):
    """The one block of that name in ``SHOWN``."""
    readme, only = SHOWN[name]
    [code] = [block for block in blocks("python", readme) if only in block and not block.startswith("# ")]
    return code


def added():
    """Files of the plug-ins, name -> code."""
    files = [re.match(r"# ([a-z_]+)\.py\n", block) for block in blocks("python")]
    return {match[1]: match.string for match in files if match}


def tables(heading):
    """Every table whose heading begins so: lists of rows, which are lists of cells."""
    found = re.findall(rf"^\| {re.escape(heading)} \|.*\n\|[-|]+\n((?:\|.*\n?)+)", ALL_PROSE, re.MULTILINE)
    return [[[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()] for table in found]


def table(heading):
    """Rows of the one table whose heading begins so."""
    found = tables(heading)
    assert len(found) == 1, f"{len(found)} tables begin with {heading!r}"
    return found[0]


def quoted(cell):
    """Names in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def first_column(heading):
    """Names in backticks in the first column of the one table whose heading begins so."""
    return [name for row in table(heading) for name in quoted(row[0])]


def command_lines():
    """Every `mvcap ...` line of the READMEs' shell blocks and of the comments of the presets."""
    presets = "\n".join(path.read_text(encoding="utf-8") for path in PRESETS)
    comments = re.sub(r"^#\s*", "", presets, flags=re.MULTILINE)
    joined = re.sub(r"\\\n\s*", " ", "\n".join([*blocks("sh"), comments]))
    return re.findall(r"^mvcap (?:-v )?[a-z]+(?: .*)?$", joined, re.MULTILINE)


@cache
def known_keys():
    def walk(values, path=""):
        for key, value in values.items():
            yield f"{path}{key}"
            if isinstance(value, dict):
                yield from walk(value, f"{path}{key}.")

    return set(walk(settings.defaults()))


def known(key):
    """Whether a key is a setting of mvcap, or of a plug-in that is shown."""
    match = re.fullmatch(r"(estimator|associator|refiner)s\.([a-z_]+):[A-Za-z]+\.([a-z_]+)", key)
    if match is None:
        return key in known_keys()
    return ADDED[match[2]] == match[1] and re.search(rf"^    {match[3]}: ", added()[match[2]], re.MULTILINE)


def slug(heading):
    """Anchor of a heading."""
    return re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-")


def executed(name, **names):
    """Names after a block of Python has run with these names there."""
    exec(compile(shown(name), f"{SHOWN[name][0]} ({name})", "exec"), names)
    return names


# --- Python runs -----------------------------------------------------------------------------------------------------


def test_every_block_of_code_is_run_or_checked():
    assert set(re.findall(r"^```([a-z]*)$", WHOLE, re.MULTILINE)) == {"", "sh", "python", "text", "yaml"}
    assert set(added()) == set(ADDED)
    assert sorted([*added().values(), *map(shown, SHOWN)]) == sorted(blocks("python"))


def test_the_skeleton_file_of_the_manual_is_read(tmp_path):
    [shown_file] = blocks("yaml")
    (tmp_path / "studio.yaml").write_text(shown_file)
    kind = mvcap.load_skeleton(tmp_path / "studio.yaml")
    assert kind.name == "studio" and kind.joints[-2:] == ("right_ankle", "racket") and len(kind.bones) == 3


def test_python_runs(tmp_path, monkeypatch, capsys):
    """On two people who walk before cameras that see noise: the oracle says where they are."""
    monkeypatch.chdir(tmp_path)
    rig = ring_rig(3, size=SIZE)
    save_poses(tmp_path / "truth.npz", truth(FRAMES, people=2))
    save_rig(rig, Path("truth_rig.yaml"))
    for camera in rig:
        write_clip(Path("take1/videos") / f"{camera.name}.mp4", FRAMES, SIZE, RATE_HZ)
    save_rig(rig, Path("take1/rig.yaml"))
    oracle = {"poses": str(tmp_path / "truth.npz"), "rig": str(tmp_path / "truth_rig.yaml"), "noise_px": 0.2}
    changes = {"estimator": "oracle", "estimators": {"oracle": oracle}}
    Path("take1.mvcap").mkdir()
    Path("take1.mvcap/config.yaml").write_text(yaml.safe_dump(changes))
    assert len(shown("session").splitlines()) <= 12
    names = executed("session")
    said = capsys.readouterr().out
    assert said.startswith(("trust", "limits", "do not trust"))
    assert np.isfinite(names["poses"]["xyz"][names["first"]]).any()
    assert names["summary"]["frames"] == FRAMES
    assert list(Path("take1.mvcap/exports").glob("*.c3d"))
    [drawn] = [block for block in blocks("text") if block.startswith("take1.mvcap/")]
    for line in drawn.splitlines()[1:]:
        for name in re.split(r"\s{2,}", line.strip())[0].split():
            for stage in STAGES:
                assert (Path("take1.mvcap") / name.replace("STAGE", stage)).exists(), name
    levelled = executed("level", poses=mvcap.load_poses("take1.mvcap/poses.npz"), rig=rig)
    assert levelled["made"].new_from_old.shape == (4, 4) and levelled["poses"].persons.tolist() == [1, 2]
    seen_live = partial(mvcap.Live, estimator="oracle", settings=oracle)
    dark = [np.zeros((SIZE[1], SIZE[0], 3), np.uint8)] * 3
    names = executed("live", mvcap=SimpleNamespace(Live=seen_live), rig=rig, images=dark, time_s=0.0)
    assert names["people"].poses.xyz.shape == (2, 17, 3) and names["live"].rate_hz == 5


def opencv_take(frames=FRAMES, people=2, cameras=4, noise_px=1.0, mixed=True):
    """Cameras and detections as OpenCV and a 2D estimator have them, and the truth (T, P, 17, 3) m."""
    rig, xyz = ring_rig(cameras), truth(frames, people).dense().astype(np.float64)
    dist = np.tile([-0.1, 0.02, 0, 0, 0], (cameras, 1))
    rvec = np.array([vector_from_rotation(one[:3, :3]) for one in rig.cam_from_world])
    tvec = rig.cam_from_world[:, :3, 3]
    xy = np.empty((frames, cameras, people, 17, 2))
    for view in range(cameras):
        seen = cv2.projectPoints(xyz.reshape(-1, 3), rvec[view], tvec[view], rig.K[view], dist[view])[0]
        order = slice(None, None, -1 if mixed and view % 2 else 1)  # another order of people in every other view
        xy[:, view] = seen.reshape(frames, people, 17, 2)[:, order]
    xy += np.random.default_rng(0).normal(0, noise_px, xy.shape)
    score = np.full(xy.shape[:-1], 0.9)
    return {"K": rig.K, "dist": dist, "rvec": rvec, "tvec": tvec, "xy": xy, "score": score}, xyz


def rig_and_rows(take, carried=False):
    cameras = (take[name] for name in ("K", "dist", "rvec", "tvec"))
    rig = Rig.from_opencv(*cameras, size=(1920, 1080))
    return rig, mvcap.Detections2D.from_dense(take["xy"], take["score"], "coco17", carried=carried)


def people_match(found, xyz, within_m=0.02):
    """The order (P,) in which people (T, P, J, 3) are those of the truth; each is near one, on average."""
    apart = np.array([[np.nanmean(np.linalg.norm(one - two, axis=-1)) for two in xyz.swapaxes(0, 1)]
                      for one in found.swapaxes(0, 1)])  # fmt: skip
    assert (apart.min(1) < within_m).all() and sorted(apart.argmin(1)) == list(range(xyz.shape[1])), apart
    return apart.argmin(1)


def test_arrays_become_people(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(shown("arrays").splitlines()) <= 12
    take, xyz = opencv_take()
    names = executed("arrays", **take)
    order = people_match(names["xyz"], xyz)
    assert names["xyz"].shape == (FRAMES, 2, 17, 3) and names["poses"].persons.tolist() == [1, 2]
    np.testing.assert_allclose(names["wrist"], xyz[:, order[0], 9], atol=0.1)
    assert Path("take.c3d").stat().st_size > 1000


def test_a_board_calibrates_cameras(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    board = board_from(re.search(r'board_from\("([^"]+)"\)', shown("board"))[1])
    room = np.array([0.7, 1.0, 0.8])
    path = carried(board, 1, volume_m=room, turns_deg=(32, 22, 25))
    take = Take(arc_rig(3, 1, radius_m=1.5, size=(640, 360)), path, board, frames=120)
    look = Look(noise=1.0, defocus_px=0.3)
    images = {camera.name: list(pictures(take, view, look, frames=range(0, 120, 3)))
              for view, camera in enumerate(take.rig)}  # fmt: skip
    names = executed("board", images=images)
    assert capsys.readouterr().out.startswith("good: 3 cameras")
    assert volume_rms(load_rig("rig.yaml"), take.rig, volume_points(room)) < 0.3
    assert 0 < np.nanmedian(names["error_m"]) < 0.001 and names["error_m"].shape == (125,)


def test_a_rig_projects_and_triangulates():
    take, xyz = opencv_take()
    names = executed("rig", **take, points=xyz[0].reshape(-1, 3))
    points = xyz[0].reshape(-1, 3)
    np.testing.assert_allclose(names["found"], points, atol=1e-6)
    assert np.nanmax(names["error_px"]) < 1e-4 and names["error_px"].shape == (4, len(points))
    away = points - names["origin"][0]
    along = names["direction"][0] * np.linalg.norm(away, axis=-1, keepdims=True)
    np.testing.assert_allclose(along, away, atol=1e-6)
    np.testing.assert_allclose(names["moved"].project(points * (1, -1, -1)), names["pixels"], atol=1e-6)


def test_settings_hold_for_sessions_and_arrays(tmp_path):
    take, xyz = opencv_take()
    rig, found = rig_and_rows(take)
    session = mvcap.Session.create(rig, tmp_path / "session", frames=FRAMES, rate_hz=RATE_HZ)
    names = executed("settings", mvcap=mvcap, session=session, rig=rig, found=found)
    settings.check_overrides(names["overrides"])
    assert session.overrides["refiners"]["butterworth"]["cutoff_hz"] == 8 and session.overrides["track"]
    people_match(names["poses"].dense(), xyz, 0.05)
    default = mvcap.reconstruct_rows(found, rig, rate_hz=25)
    assert np.nanmax(np.abs(default.dense() - names["poses"].dense())) > 0.001  # another refiner


def test_functions_on_arrays_run_one_after_another():
    take, xyz = opencv_take()
    rig, found = rig_and_rows(take)
    image = np.full((1080, 1920, 3), 255, np.uint8)
    asked = {"rig": rig, "found": found, "truth": Poses3D.from_dense(xyz, "coco17"), "image": image}
    names = executed("library", mvcap=mvcap, **asked)
    assert names["figures"]["mpjpe_mm"] < 20 and names["figures"]["id_switches"] == 0
    assert names["wrist"].shape == (FRAMES, 3) and len(names["table"]) == FRAMES * 2 * 17
    assert (names["picture"] != image).any() and names["picture"].shape == image.shape


# --- plug-ins run ----------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder, with the plug-ins as files in a folder of Python's path."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    for name, code in added().items():
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in ADDED:
        sys.modules.pop(name, None)


def said_by(place, line, *more):
    """Run a command line of the READMEs in a process of its own."""
    words = [*shlex.split(line, comments=True)[1:], *more]
    done = run(*words, environment={"PYTHONPATH": os.pathsep.join([str(place), str(ROOT)])})
    assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    return done.stdout


def command_with(text):
    [line] = [line for line in command_lines() if text in line]
    return line


def write_keypoint_csv(folder, take, rig):
    folder.mkdir()
    values = np.concatenate([take["xy"], take["score"][..., None]], -1)  # (T, C, P, J, 3)
    for view, name in enumerate(rig.names):
        lines = [[frame, *person.ravel()] for frame in range(len(values)) for person in values[frame, view]]
        np.savetxt(folder / f"{name}.csv", lines, delimiter=",", fmt="%.4f")


def test_an_added_estimator_refiner_and_exporter_run_in_a_session(place, monkeypatch):
    take, xyz = opencv_take()
    rig, _ = rig_and_rows(take)
    write_keypoint_csv(Path("csv"), take, rig)
    save_rig(rig, "rig.yaml")
    said_by(place, command_with("keypoint_csv:KeypointCsv"))
    before = mvcap.load_poses("take.mvcap/poses.npz")
    people_match(before.dense(FRAMES), xyz)
    floor = "refiners.above_floor:AboveFloor.floor_m=0.15"  # ankles are at 0.1 m
    monkeypatch.setenv("MVCAP_PLUGINS", "keypoint_csv,above_floor,wide_csv")  # what the session names by now
    said_by(place, command_with("above_floor:AboveFloor"), "--set", floor)
    after = mvcap.load_poses("take.mvcap/poses.npz")
    low = before.xyz[..., 2] < 0.149
    assert low.any() and np.allclose(after.xyz[low][:, 2], 0.15)
    assert np.allclose(after.xyz[~low], before.xyz[~low], atol=2e-3, equal_nan=True)
    said_by(place, command_with("wide_csv:write"))
    for person in after.persons:
        path = Path(f"take.mvcap/exports/take.mvcap_person{person:02d}.csv")
        about, head = path.read_text().splitlines()[:2]
        assert about == "# unit=m axes=y-up rate_hz=25" and head.startswith("frame,nose_x_m,nose_y_m,nose_z_m")
        cells = np.genfromtxt(path, delimiter=",", skip_header=2)
        frames, wanted = cells[:, 0].astype(int), after.dense(225, [person])[:, 0]
        assert frames.tolist() == list(range(225))
        x, y, z = np.moveaxis(cells[:, 1:].reshape(225, 17, 3), -1, 0)
        np.testing.assert_allclose(np.stack([x, -z, y], -1), wanted, atol=1e-4)


def test_an_added_estimator_reads_arrays_and_refuses_what_is_missing(place):
    take, _ = opencv_take(frames=4)
    rig, wanted = rig_and_rows(take)
    write_keypoint_csv(Path("csv"), take, rig)
    found = mvcap.load_detections("csv", "keypoint_csv:KeypointCsv", rig, frames=4)
    assert len(found) == len(wanted) == 4 * 4 * 2
    np.testing.assert_allclose(found.xy, wanted.xy, atol=1e-3)
    Path("csv/cam2.csv").unlink()
    with pytest.raises(mvcap.MvcapError, match=r"csv/cam2\.csv: no such file; set the folder"):
        mvcap.load_detections("csv", "keypoint_csv:KeypointCsv", rig, frames=4)


def test_an_added_associator_takes_ids_as_they_are(place):
    take, xyz = opencv_take(mixed=False)
    rig, found = rig_and_rows(take, carried=True)
    linked = mvcap.associate_rows(found, rig, rate_hz=25, associator="known_ids:KnownIds")
    assert (linked.person == linked.carried).all() and set(linked.person.tolist()) == {0, 1}
    poses = mvcap.reconstruct_rows(found, rig, rate_hz=25, overrides={"associator": "known_ids:KnownIds"})
    people_match(poses.dense(), xyz)


def test_an_added_refiner_holds_the_floor(place):
    take, _ = opencv_take()
    rig, found = rig_and_rows(take)
    linked = mvcap.associate_rows(found, rig, rate_hz=25)
    tracked = mvcap.track_rows(mvcap.triangulate_rows(linked, rig), rate_hz=25)
    asked = {"rate_hz": 25, "refiner": "above_floor:AboveFloor"}
    plain = mvcap.refine_rows(tracked, linked, rig, rate_hz=25)
    same, held = (mvcap.refine_rows(tracked, linked, rig, **asked, floor_m=floor) for floor in (-9.0, 0.5))
    np.testing.assert_array_equal(same.xyz, plain.xyz)
    np.testing.assert_allclose(held.xyz[..., 2], np.maximum(plain.xyz[..., 2], 0.5), atol=1e-6)
    with pytest.raises(mvcap.MvcapError, match="floor_m"):
        mvcap.refine_rows(tracked, linked, rig, **asked, floor=0.5)


def test_an_added_benchmark_is_evaluated(place):
    _, xyz = opencv_take()
    Path("folder").mkdir()
    save_rig(ring_rig(4), "folder/rig.yaml")
    np.save("folder/truth.npy", xyz)
    said_by(place, command_with("own_lab:read"), "--json", "ours.json")
    stages = json.loads(Path("ours.json").read_text())
    for figures in (stages, stages["raw"]):
        assert figures["mpjpe_mm"] < 15 and figures["id_switches"] == 0
    assert stages["scored_frames"] == FRAMES and stages["views"] == list(ring_rig(4).names)
    two = mvcap.evaluate("own_lab:read", "folder", noise_px=1.0, views=["cam1", "cam3"])
    assert two["views"] == ["cam1", "cam3"] and two["mpjpe_mm"] > stages["mpjpe_mm"]
    with pytest.raises(mvcap.MvcapError, match="--clips"):
        mvcap.evaluate("own_lab:read", "folder", clips=["one"])


def test_an_added_task_is_trained(place):
    if any(state != "ok" for asset, state in assets.status() if asset.name.startswith("motions")):
        pytest.skip("the motions for training are not in the cache")
    small = ["workers=1", "threads=1", "held_out_takes=2", "take.people=[2, 3]", "take.cameras=[2, 4]", "take.frames=8"]
    more = [word for setting in small for word in ("--set", setting)]
    said_by(place, command_with("joint_check:JointCheck"), "--takes", "4", "--steps", "150", *more)
    network = networks.read(Path("joint_check/joint_check.onnx"))
    joint = np.random.default_rng(0).random((3, 17, 3)).astype(np.float32)
    (odds,) = network(joint, np.ones((3, 17), bool))
    assert odds.shape == (3, 17) and np.isfinite(odds).all()
    assert (
        network.card["about"].startswith("Task ``joint_check:JointCheck``") and network.card["metrics"]["right"] > 0.8
    )
    lines = [json.loads(line) for line in Path("joint_check/metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 150 and lines[-1]["loss"] < 0.6


def test_the_densifier_runs(place):
    rig, poses = ring_rig(3), truth(1, people=2)
    images = tuple(np.zeros((camera.size[1], camera.size[0], 3), np.uint8) for camera in rig)
    labels = tuple(np.zeros(image.shape[:2], np.uint8) for image in images)
    moment = MaskedMoment(rig, images, labels, poses.person, poses.xyz)
    found = mvcap.cloud_arrays(moment, method="joint_balls:JointBalls", radius_m=0.1)
    assert len(found.xyz) == 2 * 17 * 200 and set(found.person.tolist()) == {1, 2}
    away = np.linalg.norm(found.xyz[:, None] - poses.xyz.reshape(-1, 3), axis=-1).min(-1)
    assert away.max() < 0.1001


def test_the_body_model_runs(place):
    poses = truth(3, people=1)
    padded, plain = (list(mvcap.mesh_rows(poses, body=name)) for name in ("winter_coat:load", "capsules"))
    assert [(person, frame) for person, frame, _ in padded] == [(1, 0), (1, 1), (1, 2)]
    apart = np.linalg.norm(padded[0][2] - plain[0][2], axis=-1)
    assert 0.02 < np.median(apart) < 0.04


def seen_walker(frames=40):
    """One walker in the view of one camera: the track, and the true joints about the hips in the camera's axes."""
    xyz, camera = truth(frames, people=1).dense()[:, 0].astype(np.float64), ring_rig(2)[0]
    shape = xyz.shape[:2]
    track = ViewTrack(skeleton("coco17"), camera.lens, np.arange(frames) / RATE_HZ, camera.project(xyz),
                      np.full(shape, 0.9), np.full(shape, 2.0))  # fmt: skip
    return track, (xyz - xyz[:, 11:13].mean(1, keepdims=True)) @ camera.cam_from_world[:3, :3].T


def test_a_track_is_lifted():
    track, wanted = seen_walker()
    names = executed("lifter", track=track)
    assert np.linalg.norm(names["joints"] - wanted, axis=-1).mean() < 0.2
    assert names["covariance"].shape == (40, 17, 3, 3)


def test_two_readings_are_mixed():
    track, wanted = seen_walker()
    rng, sigma = np.random.default_rng(0), np.array([0.03, 0.08])
    bodies = [LiftedBody(wanted + rng.normal(0, one, wanted.shape),
                         np.broadcast_to(one**2 * np.eye(3), (*wanted.shape, 3)), 0.06) for one in sigma]  # fmt: skip
    both = executed("integration", track=track, body=bodies[0], second_body=bodies[1])["both"]
    assert np.linalg.norm(both.joints - wanted, axis=-1).mean() < 0.07 and both.scale_sigma == 0.06


def test_the_lifter_runs(place):
    track, wanted = seen_walker()
    lifter = plugins.instance("lifter", "fronto_parallel:FrontoParallel", {"along_m": 0.3})
    body = lifter.lift(track)
    off = body.joints - wanted
    assert np.abs(off[..., :2]).mean() < 0.1 and np.allclose(body.joints[:, 11:13].mean(1), 0, atol=1e-9)
    square = (off * np.linalg.solve(body.covariance, off[..., None])[..., 0]).sum(-1)
    assert 0.5 < (square < 7.8).mean() <= 1


def level_walker(frames=40):
    """A walker before a level camera 1.6 m above the floor: the track, the true body and the true root (T, 3) m."""
    xyz = truth(frames, people=1).dense()[:, 0].astype(np.float64)
    axes = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # x right, y down, z ahead
    K = np.array([[900.0, 0, 639.5], [0, 900, 479.5], [0, 0, 1]])
    camera = Camera(Lens("view", (1280, 960), K, np.zeros(0)), pose(axes, -axes @ np.array([0, -5.0, 1.6])))
    seen = np.full(xyz.shape[:2], 0.9)
    track = ViewTrack(skeleton("coco17"), camera.lens, np.arange(frames) / RATE_HZ, camera.project(xyz), seen, 2 * seen)
    along = xyz @ axes.T + camera.cam_from_world[:3, 3]
    root = along[:, 11:13].mean(1)
    cov = np.broadcast_to(0.02**2 * np.eye(3), (*xyz.shape, 3))
    return track, LiftedBody(along - root[:, None], cov, 0.06), root


def test_a_lifted_body_is_placed():
    track, lifted, wanted = level_walker()
    names = executed("root_depth", track=track, lifted=lifted)
    off = np.linalg.norm(names["root"] - wanted, axis=-1)
    assert off.mean() < 0.4 and (names["along"] > names["across"]).all()


def test_the_root_depth_runs(place):
    track, lifted, wanted = level_walker()
    root_depth = plugins.instance("root_depth", "on_the_floor:OnTheFloor", {"ankle_m": 0.1})
    found = root_depth.place(track, lifted)
    assert np.median(np.linalg.norm(found.root - wanted, axis=-1)) < 0.3 and found.scale_sigma == 0


def test_the_viewer_runs(place, capsys):
    session = make_session(place, 3, people=2, cameras=3)
    mvcap.reconstruct(session)
    mvcap.view(session, "step_through:show", started=print)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "session: 3 frames" and [line.split()[0] for line in said[1:]] == ["0", "1", "2"]


def test_the_source_runs(place):
    made = mvcap.record("card", ["a=test_card:TestCard:64x48"], seconds=0.6, keep_free_gb=0)
    shown = [int(image.mean()) for _, image in Footage.probe("card/videos/a.mkv").read()]
    assert made.views[0].lost == 0 and len(shown) == made.views[0].frames > 8
    assert shown[-1] - shown[0] == pytest.approx(len(shown) - 1, abs=2)


def test_an_added_dataset_format_is_written(place):
    session = make_session(place, 6, people=2, cameras=3)
    mvcap.reconstruct(session)
    words = ["--format", "yolo_pose:YoloPose", "--images", "none", "--split", "by=none"]
    said_by(place, f"mvcap generate --from {session.folder} out", *words)
    poses, rig = mvcap.load_poses(session.folder / "poses.npz"), session.rig
    files = sorted(Path("out/yolo_pose/labels/train").glob("*.txt"))
    assert len(files) == 6 * 3
    people = np.loadtxt(files[0], ndmin=2)
    assert people.shape == (2, 5 + 17 * 3) and set(people[:, 7::3].ravel()) <= {0, 1, 2}
    seen = people[0, 5:].reshape(17, 3)
    xy = rig[0].project(poses.of(person=1, frame=0).xyz[0].astype(float))
    known = seen[:, 2] > 0
    np.testing.assert_allclose(seen[known, :2] * rig[0].size - 0.5, xy[known], atol=0.02)
    low, high = people[0, 1:3] - people[0, 3:5] / 2, people[0, 1:3] + people[0, 3:5] / 2
    assert known.sum() > 10 and (seen[known, :2] > low).all() and (seen[known, :2] < high).all()


def test_the_synchroniser_runs(place):
    session = make_session(place, 20, people=1, cameras=3)
    videos = [write_clip(place / f"{name}.mp4") for name in "abc"]
    for video, late in zip(videos, (0, 120, -80), strict=True):
        video.with_suffix(".delay.txt").write_text(str(late))
    found = mvcap.sync(videos, method="stated_delays:StatedDelays")
    assert found.complete and np.allclose(found.late_s, [0, 0.12, -0.08])
    assert found.late_sigma_s[1] == pytest.approx(0.02 * np.sqrt(2))
    with pytest.raises(mvcap.MvcapError, match=r"has no \.delay\.txt"):
        mvcap.sync(session, method="stated_delays:StatedDelays")


def test_the_job_and_the_runner_run(place):
    session = make_session(place / "monday", 3, people=2, cameras=3)
    mvcap.reconstruct(session)
    made = mvcap.batch(place / "monday", "marker_files:MarkerFiles", engine="in_order:InOrder")
    assert made.complete and made.sessions[0]["facts"] == {"about": "2 people"}
    assert (place / "monday" / "session.c3d").stat().st_size > 1000
    with pytest.raises(mvcap.MvcapError, match="run `mvcap batch"):
        mvcap.batch(place, "marker_files:MarkerFiles")


def test_an_added_calibration_format_is_read_and_written(place, monkeypatch):
    assert 'calib.FORMATS["camera_csv"] = "camera_csv"' in TEXTS["mvcap/README.md"]
    monkeypatch.setitem(calib.FORMATS, "camera_csv", "camera_csv")
    plain = ring_rig(3)
    assert save_rig(plain, "rig.csv", "camera_csv") == []
    found = load_rig("rig.csv")  # told by content
    np.testing.assert_allclose(found.P, plain.P, rtol=1e-9, atol=1e-9)
    assert found.names == plain.names and [camera.size for camera in found] == [camera.size for camera in plain]
    bent = Rig(
        (Camera(Lens("bent", (640, 480), plain.K[0], np.array([-0.1, 0, 0, 0, 0])), pose(np.eye(3), [0, 0, 1])),)
    )
    assert save_rig(bent, "bent.csv", "camera_csv") == ["the distortion of camera bent"]
    text = Path("rig.csv").read_text()
    Path("cut.csv").write_text(text[: len(text) // 2])
    with pytest.raises(RigFileError, match=r"cut\.csv: camera 'cam\d'"):
        load_rig("cut.csv")


def test_every_kind_that_can_be_added_is_shown():
    assert set(ADDED.values()) == {*plugins.TABLE, "calibration format"}
    for kind in ADDED.values():
        wanted = "training task" if kind == "task" else kind.replace("_", " ")
        assert re.search(rf"^### An? {wanted}$", TEXTS["mvcap/README.md"], re.MULTILINE), kind


# --- commands --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", command_lines())
def test_commands_exist(line):
    words = shlex.split(line, comments=True)[1:]
    words = words[1:] if words[0] in ("-v", "--verbose") else words
    assert words[0] in cli.commands, line
    command = cli.commands[words[0]]
    command = command.commands[words[1]] if hasattr(command, "commands") else command
    options = {text for option in command.params for text in option.opts}
    for word, value in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("--"):
            assert word in options, f"{line}: no option {word}"
        if word == "--set":
            key = value.partition("=")[0]
            of_a_job = words[0] == "batch" and key in inspect.signature(mvcap.calibrate).parameters
            assert known(key) or of_a_job, f"{line}: no setting {value}"
        if word == "--config" and value.startswith("configs/"):
            assert (ROOT / value).is_file()
        if word == "--redo" and words[0] == "reconstruct" and not value.isupper():
            assert value in STAGES


def test_other_commands_of_the_shell_blocks_exist():
    lines = re.sub(r"\\\n\s*", " ", "\n".join(blocks("sh"))).splitlines()
    for line in filter(None, lines):
        words = shlex.split(line, comments=True)
        if words[0] == "mvcap":
            assert line in command_lines()
            continue
        assert all((ROOT / word).exists() for word in words if "/" in word and not word.startswith(".venv")), line
        assert words[0].startswith(("tools/", ".venv/bin/python")), line
        assert words[0] != "tools/test" or rooms_exist(words[1:]), line


def rooms_exist(words):
    """Whether words after ``tools/test``, up to the first option, are folders of tests."""
    rooms = list(takewhile(lambda word: not word.startswith("-"), words))
    return all(list(ROOT.glob(f"tests/{room}")) or list(ROOT.glob(f"tests/*/{room}")) for room in rooms)


def options_of(*paths):
    """Options that programs beside the command line take, as their text has them."""
    text = "\n".join((ROOT / path).read_text(encoding="utf-8") for path in paths)
    return {*re.findall(r'add_argument\("(--[a-z]+)"', text), *re.findall(r"== (--[a-z]+) \]\]", text)}


def test_options_and_verbs_in_the_text_exist():
    groups = [command for command in cli.commands.values() if hasattr(command, "commands")]
    commands = [*cli.commands.values(), *(inner for group in groups for inner in group.commands.values())]
    options = {text for command in (cli, *commands) for option in command.params for text in option.opts}
    options |= {"--help", *options_of("tools/bench", "tools/test", "tools/readme/pictures.py")}
    named = {word for code in quoted(ALL_PROSE) for word in re.findall(r"(?<!\S)--[a-z-]+", code)}
    assert named <= options, named - options
    verbs = set(re.findall(r"`mvcap ([a-z]+)", ALL_PROSE))
    assert verbs <= set(cli.commands)
    for code in quoted(ALL_PROSE):  # an option beside its verb belongs to it
        words = code.split()
        if words[0] == "mvcap" and len(words) > 1 and words[1] in cli.commands:
            command = cli.commands[words[1]]
            command = command.commands[words[2]] if hasattr(command, "commands") and len(words) > 2 else command
            mine = {text for option in command.params for text in option.opts}
            assert {word for word in words if word.startswith("--")} <= {*mine, "--help"}, code


def test_programs_of_tools_have_their_options():
    named = [code.split() for code in quoted(ALL_PROSE) if code.startswith("tools/")]
    for program, *words in named:
        asked = {word for word in words if word.startswith("--")}
        assert asked <= (options_of(program) if asked else set()), program
        lower = [word for word in words if not word.isupper() and word != "..."]
        assert program != "tools/test" or rooms_exist(lower), words
        assert program != "tools/bench" or asked or set(lower) <= set(first_column("section")), words
    alone = set(first_column("program"))
    there = {f"tools/{path.name}" for path in (ROOT / "tools").iterdir() if path.is_file() and os.access(path, os.X_OK)}
    assert alone == there
    for picture in re.findall(r"`([a-z]+)`", PROSE["tools/README.md"].partition("## Pictures")[2]):
        text = (ROOT / "tools" / "readme" / "pictures.py").read_text(encoding="utf-8")
        assert f'"{picture}": {picture}' in text


# --- names -----------------------------------------------------------------------------------------------------------


def test_every_verb_and_format_is_in_its_table():
    assert first_column("verb") == sorted(cli.commands, key=first_column("verb").index)
    assert set(first_column("verb")) == set(cli.commands)
    read = table("format")
    assert {name for row in read for name in quoted(row[0])} == set(CALIBRATIONS)
    assert {quoted(row[0])[0] for row in read if row[3] == "yes"} == set(writable())
    assert set(first_column("exporter")) == {"poses.npz", *plugins.TABLE["exporter"]}


@pytest.mark.parametrize("kind", [kind for kind in plugins.TABLE if kind != "exporter"])
def test_every_plug_in_is_in_the_table_of_its_kind(kind):
    assert sorted(first_column(kind)) == sorted(plugins.TABLE[kind])


@pytest.mark.parametrize("kind", plugins.DEFAULT)
def test_the_default_of_a_kind_is_marked(kind):
    marked = [quoted(row[0]) for row in table(kind) if any("the default" in cell for cell in row[1:])]
    assert marked == [[plugins.DEFAULT[kind]]]


def test_what_goes_in_and_out_is_named_whole():
    rows = {row[0]: quoted(row[1]) for row in table("what | names")}
    assert sorted(rows["calibrations"]) == sorted(CALIBRATIONS)
    assert sorted(rows["people in 2D"]) == sorted(plugins.TABLE["estimator"])
    assert sorted(rows["exports"]) == sorted(["poses.npz", *plugins.TABLE["exporter"]])


def test_every_provenance_and_section_of_the_bench_is_in_its_table():
    told = [(row[0], row[1]) for row in table("code")]
    assert [int(code) for code, _ in told] == [int(one) for one in Provenance]
    for (_, words), one in zip(told, Provenance, strict=True):
        assert one.name.lower().replace("_", " ") in words
    bench = (ROOT / "tools" / "bench").read_text(encoding="utf-8")
    assert set(first_column("section")) == set(re.findall(r'^    "([a-z]+)": "benches', bench, re.MULTILINE))


def test_verdicts_are_those_of_the_reports():
    assert first_column("verdict") == list(get_args(Verdict))
    levels = ", ".join(f"`{level}`" for level in (verdict.TRUST, verdict.LIMITS))
    assert f"{levels} or `{verdict.REFUSE}`" in ALL_PROSE


def test_functions_on_arrays_exist_and_take_what_is_said():
    named = [call for row in table("call") for call in quoted(row[0])]
    assert len(named) > 20
    for call in named:
        name, bracket, inside = call.partition("(")
        thing = mvcap
        for part in name.split("."):
            thing = getattr(thing, part)
        parameters = inspect.signature(thing).parameters if bracket else {}
        for word in filter(None, inside.rstrip(")").split(", ")):
            assert word.rstrip("=") in parameters, call
            if bracket and word.endswith("="):
                assert parameters[word[:-1]].kind is not inspect.Parameter.POSITIONAL_ONLY
    public = {name for name in mvcap.__all__ if name.endswith(("_rows", "_poses", "_detections", "_rig"))}
    assert public | {"detect", "score", "draw"} <= {re.split(r"[.(]", call)[0] for call in named}


def test_skeletons_are_named_whole():
    line = re.search(r"Skeletons, by name: ([^.]+)\.", ALL_PROSE)[1]
    assert quoted(line) == list(SKELETONS)


def test_keys_of_model_cards_are_explained():
    told = set(first_column("key of a card"))
    assert told == {*DetectorCard.__dataclass_fields__, *PoseCard.__dataclass_fields__}
    cards = {re.search(r"\(([^)]+)\)", row[0])[1] for row in table("card")}
    assert cards == {f"models/{path.name}" for path in (ROOT / "configs" / "models").glob("*.yaml")}


def test_settings_named_exist():
    sections = "|".join(settings.defaults())
    named = re.findall(rf"`((?:{sections})\.(?!json|html|py\b)[a-z0-9_.]+)", ALL_PROSE)
    assert named
    for key in named:
        assert key in known_keys(), key
    tops = {key for row in table("keys") for key in quoted(row[0])}
    assert tops == set(settings.defaults())


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", READMES)
def test_tools_and_linked_files_exist(name):
    folder = (ROOT / name).parent
    links = re.findall(r"\]\(([^)]+)\)", PROSE[name])
    assert links
    for link in links:
        path, _, anchor = link.partition("#")
        target = (folder / path).resolve() if path else ROOT / name
        assert target.exists() and target.is_relative_to(ROOT), f"{name}: {link}"
        if anchor:
            prose = PROSE[target.relative_to(ROOT).as_posix()]
            assert anchor in {slug(line) for line in re.findall(r"^#+ (.*)$", prose, re.MULTILINE)}, f"{name}: {link}"
    for tool in set(re.findall(r"`(tools/[a-zA-Z0-9_./]+)", PROSE[name])):
        assert os.access(ROOT / tool, os.R_OK if "." in tool else os.X_OK), tool
    for path in set(re.findall(r"`((?:calib|mvcap|tests|configs|\.ci)/[a-zA-Z0-9_./]+)`", PROSE[name])):
        assert (ROOT / path).exists(), path


def test_pictures_are_shown_small_and_with_their_licence():
    linked = {(ROOT / name).parent / link for name in READMES for link in re.findall(r"\]\(([^)]+)\)", PROSE[name])}
    linked = {path.resolve() for path in linked}
    for picture in (ROOT / "tools" / "readme").glob("*.png"):
        assert picture.stat().st_size < 250_000 and picture in linked
    for picture in (ROOT / "tools" / "readme").glob("*.jpg"):
        assert picture in linked
        assert picture.stat().st_size < 200_000
        assert picture.name in (picture.parent / "LICENCE.txt").read_text(encoding="utf-8")
    shown_here = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", TEXTS["README.md"])
    assert shown_here == ["tools/readme/result.jpg"] and "(tools/readme/LICENCE.txt)" in TEXTS["README.md"]


def test_examples_are_linked():
    assert len(EXAMPLES) == 5
    for path in EXAMPLES:
        assert f"[{path.name}](tools/examples/{path.name})" in TEXTS["README.md"]
        assert f"[{path.name}](examples/{path.name})" in TEXTS["tools/README.md"]


def test_parts_of_the_tree_exist():
    [drawn] = [block for block in blocks("text") if block.startswith("calib/")]
    folder = ROOT
    for line in drawn.splitlines():
        entry = re.split(r"\s{2,}", line.strip())[0]
        for name in entry.split():
            place = (folder if line.startswith(" ") else ROOT) / name
            assert place.exists(), line
            folder = folder if line.startswith(" ") else place
    tree = {line.split("/")[0] for line in drawn.splitlines()}
    assert tree == {path.name for path in ROOT.iterdir() if path.is_dir() and path.name in {*tree, "calib", "mvcap",
                    "configs", "tests", "tools"}}  # fmt: skip


def test_folders_of_mvcap_stand_on_their_floors():
    told = {quoted(row[0])[0].removesuffix(".py"): int(row[2]) for row in table("folder or file")}
    law = {place: floor for floor, places in enumerate(FLOORS, 1) for place in places}
    assert told == {place: floor for place, floor in law.items() if place not in ("calib", "mvcap")}
    assert (
        f"`calib` is on floor {law['calib']}" in ALL_PROSE
        and f"`mvcap/__init__.py` on floor {law['mvcap']}" in ALL_PROSE
    )
    for row in table("folder or file"):
        name = quoted(row[0])[0]
        assert (ROOT / "mvcap" / name).is_file() == name.endswith(".py") and (ROOT / "mvcap" / name).exists()


def test_folders_of_calib_are_all_there():
    rooms = {path.parent.name for path in (ROOT / "calib").glob("*/__init__.py")}
    assert set(first_column("folder")) == rooms
    beside = quoted(PROSE["calib/README.md"].partition("Beside the folders:")[2])
    assert set(beside) == {path.stem for path in (ROOT / "calib").glob("*.py")} - {"__init__"}


def test_rules_of_the_code_are_those_that_are_tested():
    text = " ".join(PROSE["mvcap/README.md"].split())
    assert f"a function has at most {LONGEST_FUNCTION} lines, a file at most {LONGEST_FILE};" in text
    assert HELP_S == 0.3 and "answers in 0.3 seconds" in text
    ground = re.search(r"these files beside them: ([^;]+);", text)[1]
    assert set(quoted(ground)) == GROUND


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.name)
def test_presets_are_settings(path):
    settings.check_overrides(config.read(path))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.name)
def test_every_key_of_a_preset_has_a_comment(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if re.match(r"\s*[a-z0-9_]+:", line) and not line.rstrip().endswith(":"):
            assert "#" in line or lines[number - 1].lstrip().startswith("#") or path.name != "default.yaml", line


# --- figures ---------------------------------------------------------------------------------------------------------


def numbers(cell):
    return [float(number) for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", cell)]


CASES = {
    "4 x 1": "4x1",
    "5 x 4": "5x4",
    "5 x 4, 15 % of the joints off": "5x4 outliers",
    "8 x 5, crossing": "crossing 8x5",
}
"""Rows of the manual's table -> the cases that the bench states for other programs."""


def manual_rows():
    """Rows of generated takes in the manual, in the order of ``CASES``."""
    rows = table("cameras x people")
    assert len(rows) == len(CASES)
    assert all(row[0].startswith(name) for row, name in zip(rows, CASES, strict=True))
    return rows


def test_figures_of_pose2sim_are_those_stated():
    for row, case in zip(manual_rows(), CASES.values(), strict=True):
        [peer] = [one for one in stated.SYNTHETIC[case] if one["who"] == stated.POSE2SIM]
        for cell, key in ((row[4], "raw mm"), (row[5], "filtered mm")):
            assert (float(cell) if cell != "-" else None) == peer.get(key), (case, key)
        cost = peer["assoc ms"] + peer["tri ms"] if "tri ms" in peer else None
        assert (row[7] == "-") == (cost is None)
        if cost is not None:
            assert float(row[7]) == pytest.approx(cost, abs=0.5 if cost > 10 else 0.05)


def test_figures_of_the_front_page_are_those_of_the_manuals():
    rows = {row[0]: row[1:] for row in table("input")}
    short = [row for name, row in rows.items() if "generated" in name or "the same" in name]
    for (ours, theirs), manual, case in zip(short, manual_rows(), CASES.values(), strict=True):
        assert numbers(ours) == [float(manual[at]) for at in (1, 2, 6)]
        wanted = [float(manual[at]) for at in (4, 5, 7) if manual[at] != "-"]
        pose2sim, _, aniposelib = theirs.partition("; aniposelib")
        [peer] = [one for one in stated.SYNTHETIC[case] if one["who"] == stated.POSE2SIM]
        assert numbers(pose2sim) == [*wanted, *([peer["id switches"]] if "id switches" in peer else [])]
        if aniposelib:
            others = [one for one in stated.SYNTHETIC[case] if one["who"].startswith("aniposelib")]
            raw = next(one["raw mm"] for one in others if "triangulate" in one["who"])
            assert numbers(aniposelib) == [raw, next(one["filtered mm"] for one in others if "optim" in one["who"])]
    manual = PROSE["mvcap/README.md"]
    [shelf] = [row for name, row in rows.items() if name.startswith("Shelf")]
    pcp = {
        row[0]: row[1] for row in re.findall(r"^\| (mvcap|4D Association's own `skel.txt`) \| ([^|]+) \|", manual, re.M)
    }
    assert numbers(shelf[0]) == numbers(pcp["mvcap"])
    assert numbers(shelf[1].removeprefix("4D")) == numbers(pcp["4D Association's own `skel.txt`"])
    [boards] = [row for name, row in rows.items() if name.startswith("calibration")]
    assert boards[0] in PROSE["calib/README.md"] and boards[1].partition("` ")[2] in PROSE["calib/README.md"]
    [demo] = [row for name, row in rows.items() if name.startswith("the demo")]
    for number in numbers(demo[0]):
        assert f" {number:g} " in manual.partition("## Speed")[2]


def test_weights_and_wheels_are_as_large_and_old_as_said():
    size = sum(path.stat().st_size for path in networks.SHIPPED.glob("*.onnx"))
    assert f"The weights ({size / 1e6:.1f} MB in all)" in ALL_PROSE
    tasks = {path.stem for path in networks.SHIPPED.glob("*.onnx")}
    assert tasks == set(plugins.TABLE["task"])
    told = set(re.findall(r"`([a-z0-9@/-]+)` ([\d.]+) (?:wheel|package)", ALL_PROSE))
    assert told == {(asset.source.package, asset.source.version) for asset, _ in assets.status()}
    licences = {asset.licence for asset, _ in assets.status()}
    assert all(f"| {licence} |" in ALL_PROSE for licence in licences)


def test_the_changelog_has_this_version():
    log = TEXTS["README.md"].partition("## Changelog")[2].partition("\n## ")[0]
    assert re.findall(r"^\*\*([^*]+)\.\*\*", log, re.MULTILINE) == ["Unreleased", mvcap.__version__]


# --- form ------------------------------------------------------------------------------------------------------------


def test_the_front_page_is_short():
    assert len(TEXTS["README.md"].splitlines()) <= LONGEST_README
    for name in READMES[1:]:
        assert f"]({name})" in TEXTS["README.md"] and "](../README.md)" in TEXTS[name]


@pytest.mark.parametrize("name", READMES)
def test_words_are_the_fields(name):
    for word in WORDS:
        assert not re.search(word, TEXTS[name], re.IGNORECASE), f"{name}: {word}"
    for number, line in enumerate(TEXTS[name].splitlines(), 1):
        assert len(line) <= 120 or line.startswith("|"), f"{name}:{number} has {len(line)} characters"


def test_it_speaks_of_the_project_alone():
    for path in (*(ROOT / name for name in READMES), *PRESETS):
        assert not re.search(r"/home/|/root/|/tmp/|TODO", path.read_text(encoding="utf-8"))
