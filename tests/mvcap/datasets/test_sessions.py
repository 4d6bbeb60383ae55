"""Synthetic sessions: whole, repeatable, read by the other verbs, and true."""

import importlib.util
import json

import av
import numpy as np
import pytest
from ray_casters import NEEDED, needs_rays
from small_sessions import RIG, files_of

import mvcap
from calib import Camera, Rig
from calib.geometry import pose
from mvcap.datasets import sessions
from mvcap.errors import InputError
from mvcap.rendering.view_renderer import Shutter
from mvcap.structures.pose_file import load_truth

ASKED = {"body": "capsules", "people": 2, "seconds": 0.2, "rate_hz": 10.0, "seed": 4, "depth": True, "pixels": True,
         "events_hz": 20.0, "board_s": 0.2, "unsynchronised_s": 0.3, "shutter": Shutter(0.02, 0.002)}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    if not any(importlib.util.find_spec(name) for name in ("open3d", "embreex")):
        pytest.skip(NEEDED)
    stages = []
    out = tmp_path_factory.mktemp("generated") / "take"
    result = sessions.generate_session(RIG, out, progress=lambda *said: stages.append(said), **ASKED)
    assert [path.name for path in out.parent.iterdir()] == ["take"]
    return result, stages


def test_a_session_has_all_that_was_asked(made):
    result, stages = made
    names = set(files_of(result.folder))
    for camera in RIG.names:
        assert {f"videos/{camera}.mp4", f"board/{camera}.mp4", f"sound/{camera}.wav"} <= names
        assert {f"{kind}/{camera}/00000{frame}.{end}" for frame in (0, 1)
                for kind, end in (("depth", "png"), ("pixels", "npz"), ("events", "npz"))} <= names  # fmt: skip
    assert {"rig.yaml", "truth.npz", "visibility.npz", "generated.json", "board/board.txt"} <= names
    for name in {stage for stage, _, _ in stages}:
        counts = [(done, total) for stage, done, total in stages if stage == name]
        assert counts[-1][0] == counts[-1][1] and sorted(counts) == counts


def test_the_same_seed_gives_the_same_bytes(made, tmp_path):
    again = sessions.generate_session(RIG, tmp_path / "again", **ASKED)
    assert files_of(again.folder) == files_of(made[0].folder)


def test_footage_goes_into_a_session_and_truth_fits_it(made):
    result, _ = made
    folder = result.folder
    session = mvcap.init(folder / "videos", folder / "rig.yaml", folder.parent / "session")
    assert (session.frames, session.rate_hz, session.names) == (2, 10.0, RIG.names)
    truth = load_truth(folder / "truth.npz", session.frames, session.rate_hz)
    scores = mvcap.score(truth, truth, session.rig)
    assert scores["mpjpe_mm"] == 0 and len(truth) == 4
    assert truth.skeleton.name == "halpe26" and np.isfinite(truth.xyz).all()


def test_truth_is_where_the_pixels_are(made):
    result, _ = made
    facts = json.loads((result.folder / "generated.json").read_text())
    assert facts["late_s"]["cam01"] == 0 and -0.3 <= facts["late_s"]["cam02"] < 0
    middle = [result.truth.skeleton.joints.index(name) for name in ("left_hip", "right_hip", "neck")]
    camera, hit = RIG[0], []
    for frame in (0, 1):
        with np.load(result.folder / "pixels" / "cam01" / f"{frame:06d}.npz") as held:
            person, depth = held["person"], held["depth"]
        for row in result.truth.of(frame=frame).xyz:
            xy = camera.project(row[middle].astype(float))
            inside = ((xy > 0) & (xy < np.array(camera.size) - 1)).all(-1)
            x, y = np.rint(xy[inside]).astype(int).T
            hit += (person[y, x] > 0).tolist()
        assert 0 < depth.max() < 20
    assert len(hit) >= 6 and np.mean(hit) > 0.8
    with np.load(result.folder / "events" / "cam01" / "000001.npz") as events:
        assert (np.diff(events["time_us"]) >= 0).all() and events["time_us"].max(initial=0) <= 100_000
    with av.open(str(result.folder / "videos" / "cam01.mp4")) as video:
        assert len(list(video.decode(video=0))) == 2 and video.streams.audio


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"people": 0}, "people: 1 to"),
        ({"seconds": 0.0}, "at least one frame"),
        ({"seconds": float("nan")}, "at least one frame"),
        ({"seed": -1}, "seed"),
        ({"board_s": -1.0}, "board_s: 0 or more"),
        ({"shutter": Shutter(0.5)}, "shorten"),
        ({"body": "wax"}, "body: anny or capsules"),
        ({"board": "nothing", "board_s": 1.0}, "nothing"),
    ],
)
def test_settings_that_cannot_be_are_one_line(tmp_path, wrong, words):
    with pytest.raises(mvcap.MvcapError if "board" not in wrong else Exception, match=words) as fault:
        sessions.generate_session(RIG, tmp_path / "out", **{"people": 1, "seconds": 1.0, **wrong})
    assert "\n" not in str(fault.value) and not list(tmp_path.iterdir())


def test_a_rig_without_a_floor_is_refused(tmp_path):
    turned = pose(np.diag([1.0, -1, -1]), np.zeros(3))
    down = Rig(tuple(Camera(camera.lens, camera.cam_from_world @ turned) for camera in RIG))
    with pytest.raises(InputError, match="align the rig first"):
        sessions.generate_session(down, tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note").write_text("mine")
    with pytest.raises(InputError, match="something already"):
        sessions.generate_session(RIG, tmp_path / "full")


@needs_rays
def test_a_session_before_anything_is_done_leaves_nothing(tmp_path):
    def stop(stage, done, total):
        if stage == "truth":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sessions.generate_session(RIG, tmp_path / "out", people=1, seconds=0.2, body="capsules", progress=stop)
    assert not list(tmp_path.iterdir())


@needs_rays
def test_bodies_of_makehuman_are_dressed_and_filmed(tmp_path):
    pytest.importorskip("anny", reason="bodies need the package anny (extra generate)")
    made = sessions.generate_session(RIG, tmp_path / "out", people=1, seconds=0.1, rate_hz=10, sound=False)
    facts = json.loads((made.folder / "generated.json").read_text())
    assert 1.3 < facts["persons"][0]["stature_m"] < 2.1 and "MakeHuman" in facts["body"]
    assert facts["settings"]["body"] in sessions.BODIES and not (made.folder / "sound").exists()
