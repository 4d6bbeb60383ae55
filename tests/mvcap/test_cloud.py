"""The verb cloud: from a session with masks to files that can be read, resumed and refused."""

import json
import shutil
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
from capsule_people import CIRCLES, capsule_body, circle_rig, rendered, signed_distance
from synthetic_take import COCO, RATE_HZ

import mvcap
from calib import save_rig
from mvcap.cli.main import main
from mvcap.cloud import cloud_frames
from mvcap.errors import InputError, MvcapError, SessionError, StaleError
from mvcap.structures.poses import Poses3D
from mvcap.structures.session import Session

FRAMES = 3


def people_at(frame):
    return [capsule_body(frame / RATE_HZ, circle) for circle in CIRCLES]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A session of two people, with masks as the estimator keeps them."""
    folder, rig = tmp_path_factory.mktemp("cloud"), circle_rig(4, size=(320, 240))
    save_rig(rig, folder / "rig.yaml")
    xyz = np.stack([[one.joints for one in people_at(frame)] for frame in range(FRAMES)])
    mvcap.write_poses(Poses3D.from_dense(xyz, COCO), folder / "truth.npz", rate_hz=RATE_HZ)
    session = Session.create(folder / "rig.yaml", folder / "take", frames=FRAMES, rate_hz=RATE_HZ)
    oracle = {"poses": str(folder / "truth.npz"), "rig": str(folder / "rig.yaml"), "noise_px": 0.3}
    session.override({"estimator": "oracle", "estimators": {"oracle": oracle}})
    for name in ("estimate", "associate", "triangulate", "track"):
        getattr(mvcap, name)(session)
    for frame in range(FRAMES):
        moment = rendered(people_at(frame), rig)
        for view, label in zip(session.views, moment.labels, strict=True):
            path = session.folder / "masks" / view.name / f"{frame:07d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".png", label)[1].tobytes())
    return session


@pytest.fixture
def session(made, tmp_path):
    shutil.copytree(made.folder, tmp_path / "take")
    return Session.open(tmp_path / "take")


def test_every_frame_gets_a_file_with_the_people_of_the_tracks(session):
    calls = []
    done = mvcap.cloud(session, spacing=0.03, progress=lambda *words: calls.append(words))
    assert [path.name for path in done.files] == [f"{frame:07d}.ply" for frame in range(FRAMES)]
    assert calls == [("cloud", frame + 1, FRAMES) for frame in range(FRAMES)] and cloud_frames(session) == [0, 1, 2]
    tracked = session.artefact("track", Poses3D).between(0, FRAMES)
    for frame in range(FRAMES):
        made = mvcap.read_cloud(session, frame)
        assert set(made.persons.tolist()) == set(tracked.of(frame=frame).person.tolist())
        for one in made.persons.tolist():
            row = tracked.of(person=one, frame=frame)
            near = min(people_at(frame), key=lambda body: np.abs(np.nanmean(body.joints - row.xyz[0], 0)).max())
            assert np.median(np.abs(signed_distance(near, made.of(one).xyz))) < 0.04
    assert mvcap.read_cloud(session.folder, 99) is None


def test_it_resumes_where_it_stopped(session):
    def stop(stage, done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mvcap.cloud(session, spacing=0.04, progress=stop)
    assert cloud_frames(session) == [0, 1]
    mvcap.cloud(session, spacing=0.04)
    before = {path: path.stat().st_mtime_ns for path in (session.folder / "clouds").glob("*.ply")}
    again = mvcap.cloud(session, spacing=0.04)
    assert again.points == 0 and len(again.files) == FRAMES
    assert before == {path: path.stat().st_mtime_ns for path in again.files}


def test_other_settings_are_refused_unless_they_replace(session):
    first = mvcap.cloud(session, spacing=0.04, frames="0:1")
    with pytest.raises(StaleError, match="--redo"):
        mvcap.cloud(session, spacing=0.05)
    second = mvcap.cloud(session, spacing=0.05, frames=(1, 3), every=2, format="pcd", redo=True)
    assert [path.name for path in second.files] == ["0000002.pcd"] and not first.files[0].exists()
    assert len(mvcap.read_cloud(session, 2)) > 100
    (session.folder / "clouds" / "clouds.json").write_text("{")
    with pytest.raises(StaleError):
        mvcap.cloud(session)


def test_a_folder_of_ones_own(session, tmp_path):
    done = mvcap.cloud(session, spacing=0.05, out=tmp_path / "points", frames=":1")
    assert done.files == (tmp_path / "points" / "0000000.ply",) and not (session.folder / "clouds").exists()
    (tmp_path / "points" / "7.ply").write_text("not ours")
    mvcap.cloud(session, spacing=0.06, out=tmp_path / "points", frames=":1", redo=True)
    assert (tmp_path / "points" / "7.ply").read_text() == "not ours"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"frames": "5:9"}, "frames 0 to 2"),
        ({"frames": "a:b"}, "not A:B"),
        ({"frames": "1"}, "not A:B"),
        ({"every": 0}, "every must be 1 or more"),
        ({"method": "visual_hul"}, "did you mean 'visual_hull'"),
        ({"spacing": 0.0}, "spacing_m"),
        ({"format": "xyz"}, "ply, pcd"),
    ],
)
def test_what_cannot_be_done_is_one_line(session, asked, words):
    with pytest.raises(MvcapError, match=words) as caught:
        mvcap.cloud(session, **asked)
    assert "\n" not in str(caught.value)


def test_masks_that_are_missing_or_damaged(session):
    path = session.folder / "masks" / session.names[1] / "0000001.png"
    path.write_bytes(b"\x89PNG")
    with pytest.raises(InputError, match=r"0000001\.png"):
        mvcap.cloud(session, spacing=0.04)
    path.unlink()
    assert len(mvcap.cloud(session, spacing=0.04).files) == FRAMES  # one view less
    for mask in (session.folder / "masks").glob("*/*.png"):
        mask.unlink()
    with pytest.raises(InputError, match=r"has no masks.*'oracle' makes none; the estimators people"):
        mvcap.cloud(session, spacing=0.04)


def test_detections_that_changed_are_stale(session):
    manifest = session.folder / "artefacts" / "associate" / "manifest.json"
    held = json.loads(manifest.read_text())
    held["inputs"]["estimate"] = "other"
    manifest.write_text(json.dumps(held))
    with pytest.raises(StaleError, match="other detections"):
        mvcap.cloud(session)


def test_a_full_disk_leaves_no_part_of_a_file(session, monkeypatch):
    def full(path, cloud):
        raise SessionError(f"{path} cannot be written: No space left on device")

    monkeypatch.setattr(sys.modules["mvcap.cloud"], "save_cloud", full)
    with pytest.raises(SessionError, match="No space left"):
        mvcap.cloud(session, spacing=0.05)
    assert cloud_frames(session) == []


def test_the_command_line(session, capsys):
    main(["cloud", str(session.folder), "--frames", "0:2", "--spacing", "0.05", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert len(said["files"]) == 2
    with pytest.raises(SystemExit) as caught:
        main(["cloud", str(session.folder), "--method", "nothing"])
    assert caught.value.code == 2 and capsys.readouterr().err.count("\n") == 1
    main(["cloud", str(session.folder), "--redo", "--set", "densifiers.visual_hull.spacing_m=0.06"])
    assert "3 files of 3 frames" in capsys.readouterr().out


def test_arrays(tmp_path):
    moment = rendered([capsule_body()], circle_rig(4, size=(320, 240)))
    made = mvcap.cloud_arrays(moment, spacing_m=0.04)
    assert len(made) > 300
    mvcap.save_cloud(tmp_path / "a.ply", made)
    assert len(mvcap.load_cloud(tmp_path / "a.ply")) == len(made)
    with pytest.raises(InputError, match="labels are of 1 views"):
        mvcap.cloud_arrays(replace(moment, labels=moment.labels[:1]))
    with pytest.raises(InputError, match="camera 'cam1' must be"):
        mvcap.cloud_arrays(replace(moment, images=(np.zeros((2, 2, 3), np.uint8), *moment.images[1:])))
