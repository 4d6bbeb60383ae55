"""The whole way: people whose truth is known, processes that are killed, settings that change, and real footage."""

import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from synthetic_take import COCO, PEOPLE, RATE_HZ, command, make_session, run, truth

import mvcap
from mvcap import assets, stages
from mvcap.errors import AssetError, StaleError
from mvcap.structures.footage import Footage
from mvcap.structures.poses import Poses3D
from mvcap.structures.session import Session
from mvcap.structures.skeleton import skeleton
from mvcap.structures.video_writer import write_video

FRAMES = 120
CLIP_FRAMES = 16


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """Four people among five cameras, reconstructed from detections with 2 px of noise; the session and its summary."""
    session = make_session(tmp_path_factory.mktemp("walk"), FRAMES, settings={"outliers": 0.01})
    session.override({"export": {"formats": ["all"]}})
    return session, mvcap.reconstruct(session)


def everybody(session, stage):
    return Poses3D.concatenate(list(stages.poses(session, stage).chunks()), COCO)


def errors_m(poses):
    """Distance (T, P, J) m of each person from the true one that is nearest, and who that is (T, P)."""
    found = poses.dense(FRAMES, np.unique(poses.person))
    true = truth(FRAMES).dense(FRAMES, np.arange(1, PEOPLE + 1))
    distance = np.linalg.norm(found[:, :, None] - true[:, None], axis=-1)
    who = np.nanmean(distance, axis=-1).argmin(-1)
    return np.take_along_axis(distance, who[:, :, None, None], axis=2)[:, :, 0], who


def test_everybody_is_found_once_with_one_id(walk):
    session, summary = walk
    assert [person["id"] for person in summary["people"]] == [1, 2, 3, 4]
    assert [person["frames"] for person in summary["people"]] == [FRAMES] * PEOPLE
    for stage in ("track", "refine"):
        _, who = errors_m(everybody(session, stage))
        assert (who == who[0]).all() and sorted(who[0]) == [0, 1, 2, 3]


def test_joints_are_where_they_were(walk):
    raw, refined = (errors_m(everybody(walk[0], stage))[0] for stage in ("track", "refine"))
    assert np.isfinite(refined).mean() > 0.999
    assert np.nanmean(raw) < 0.012
    assert np.nanmean(refined) <= np.nanmean(raw)
    assert np.nanpercentile(refined, 99) < 0.05


def test_bones_keep_their_lengths(walk):
    for person in walk[1]["people"]:
        assert person["bone_spread"] <= 0.01 and person["bone_spread"] <= person["bone_spread_raw"] <= 0.06
        assert person["median_reprojection_px"] < 3 and person["views_used"] == 5


def test_the_report_trusts_what_is_right(walk):
    session, summary = walk
    assert summary == json.loads((session.folder / "report.json").read_text(encoding="utf-8"))
    assert summary["verdict"]["level"] == "trust" and summary["warnings"] == []
    assert set(summary["seconds_per_frame"]) == set(stages.STAGES) and summary["frames"] == FRAMES
    assert 0.8 < summary["normalised_residual"] < 1.3
    page = (session.folder / "report.html").read_text(encoding="utf-8")
    assert "<html" in page and "http://" not in page.replace("http://www.w3.org", "") and len(page) > 10_000


def test_files_can_be_read_back(walk):
    session, _ = walk
    refined, raw = (everybody(session, stage) for stage in ("refine", "track"))
    with np.load(session.folder / "poses.npz", allow_pickle=False) as archive:
        about = json.loads(str(archive["about"]))
        for name in Poses3D.columns():
            assert archive[name].tobytes() == getattr(refined, name).tobytes()
            assert archive[f"raw_{name}"].tobytes() == getattr(raw, name).tobytes()
    assert (about["unit"], about["axes"], about["rate_hz"], about["skeleton"]) == ("m", "z-up", RATE_HZ, "coco17")
    assert list(about["stages"]) == sorted(stages.STAGES) and about["views"] == list(session.names)
    files = [path for path in (session.folder / "exports").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".trc", ".c3d", ".bvh", ".csv", ".parquet", ".json", ".glb"}
    assert all(path.stat().st_size > 1000 for path in files if not path.stem.endswith("_held"))
    again = mvcap.export(session, ["json"], folder=session.folder / "again")
    assert again[-1].read_bytes() == (session.folder / "exports" / again[-1].name).read_bytes()


def contents(folder, changed_by_reports=False):
    skipped = () if changed_by_reports else ("report.html", "report.json")
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in skipped]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_doing_it_twice_changes_nothing(walk):
    session, summary = walk
    shutil.rmtree(session.folder / "again", ignore_errors=True)
    before, seconds = contents(session.folder, changed_by_reports=True), []
    again = mvcap.reconstruct(Session.open(session.folder), progress=lambda stage, *_: seconds.append(stage))
    assert again == summary and seconds == []  # no stage had anything left to do
    assert contents(session.folder, changed_by_reports=True) == before


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Two people, fewer frames: the session before its first stage, a finished copy, and how to make a fresh copy."""
    session = make_session(tmp_path_factory.mktemp("copies"), 3 * stages.CHUNK_FRAMES, people=3)
    session.override({"report": {"overlays": False}, "export": {"formats": ["csv"]}})
    done = shutil.copytree(session.folder, session.folder.with_name("done"))
    mvcap.reconstruct(done)

    def fresh(folder, stage="estimate"):
        """Copy the session as it is when the work on a stage begins."""
        shutil.copytree(session.folder, folder)
        for name in stages.STAGES[: stages.STAGES.index(stage)]:
            shutil.copytree(done / "artefacts" / name, folder / "artefacts" / name)
        return folder

    return done, fresh


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
@pytest.mark.parametrize("stage", ["estimate", "associate"])
def test_killed_and_resumed_is_the_same_to_the_bit(undisturbed, tmp_path, stage):
    done, fresh = undisturbed
    for attempt in range(5):
        folder = fresh(tmp_path / str(attempt), stage)
        if killed_after_the_first_chunk(folder, stage):
            break
    else:
        pytest.skip("the stage was always faster than the kill")
    there = sorted(path.name for path in (folder / "artefacts" / stage).glob("[0-9]*.npz"))
    assert there and len(there) < 3 and not Session.open(folder).artefact(stage, Poses3D).complete
    marks = {name: (folder / "artefacts" / stage / name).stat().st_mtime_ns for name in there}
    result = run("reconstruct", folder)
    assert result.returncode == 0, result.stderr
    assert {name: (folder / "artefacts" / stage / name).stat().st_mtime_ns for name in there} == marks
    assert (folder / "poses.npz").read_bytes() == (done / "poses.npz").read_bytes()
    for name in stages.STAGES:
        mine, theirs = (sorted((at / "artefacts" / name).glob("[0-9]*.npz")) for at in (folder, done))
        assert [path.read_bytes() for path in mine] == [path.read_bytes() for path in theirs]


def killed_after_the_first_chunk(folder, stage):
    """Run a session and kill it as soon as a stage has left its first chunk; whether it was killed within the stage."""
    process = subprocess.Popen(command("reconstruct", folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first = folder / "artefacts" / stage / "0000000.npz"
    while process.poll() is None and not first.exists():
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    last = folder / "artefacts" / stage / f"{2 * stages.CHUNK_FRAMES:07d}.npz"
    return first.exists() and not last.exists()


@pytest.mark.skipif(os.name == "nt", reason="other signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_says_so_and_goes_on(undisturbed, tmp_path, number):
    done, fresh = undisturbed
    folder = fresh(tmp_path / "session", "associate")
    process = subprocess.Popen(command("reconstruct", folder), stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (folder / "artefacts" / "associate" / "0000000.npz").exists():
        time.sleep(0.002)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode in (0, 130)
    if process.returncode:
        assert error.strip() == "mvcap: interrupted; run the same command again to resume"
        assert not list(folder.glob("artefacts/*/.*"))
    assert run("reconstruct", folder).returncode == 0
    assert (folder / "poses.npz").read_bytes() == (done / "poses.npz").read_bytes()


def test_changed_settings_make_later_stages_stale(undisturbed, tmp_path):
    done, _ = undisturbed
    session = Session.open(shutil.copytree(done, tmp_path / "session"))
    before = contents(session.folder)
    session.override({"triangulate": {"gate_sigma": 2.5}})
    with pytest.raises(StaleError, match=r"triangulate: made with other settings.*gate_sigma was 3\.5, now 2\.5"):
        mvcap.reconstruct(session)
    assert contents(session.folder)["poses.npz"] == before["poses.npz"]
    mvcap.reconstruct(session, redo="triangulate")
    after = contents(session.folder)
    same = {name for name in before if before[name] == after[name]}
    assert {name for name in before if "/estimate/" in name or "/associate/" in name} <= same
    assert "poses.npz" not in same and "artefacts/track/manifest.json" not in same
    session.override({"triangulate": {"gate_sigma": 3.5}})
    mvcap.reconstruct(session, redo="triangulate")
    assert contents(session.folder)["poses.npz"] == before["poses.npz"]


def test_remaking_a_stage_alone_makes_what_follows_stale(undisturbed, tmp_path):
    done, _ = undisturbed
    session = Session.open(shutil.copytree(done, tmp_path / "session"))
    mvcap.associate(session, redo=True)
    assert session.artefact("estimate", Poses3D).complete
    assert all(session.artefact(name, Poses3D).manifest is None for name in ("triangulate", "track", "refine"))
    mvcap.reconstruct(session)
    assert (session.folder / "poses.npz").read_bytes() == (done / "poses.npz").read_bytes()


def test_an_input_that_changed_makes_a_stage_stale(undisturbed, tmp_path):
    done, _ = undisturbed
    session = Session.open(shutil.copytree(done, tmp_path / "session"))
    rig = (session.folder / "rig.yaml").read_text()
    (session.folder / "rig.yaml").write_text(rig + "# measured again\n")
    with pytest.raises(StaleError, match=r"associate: made with other .*input rig"):
        mvcap.reconstruct(Session.open(session.folder))


def test_the_number_of_threads_does_not_matter(undisturbed, tmp_path):
    done, fresh = undisturbed
    session = Session.open(fresh(tmp_path / "session"))
    session.override({"estimate": {"threads": 1}})
    mvcap.estimate(session)
    chunks = [(at / "artefacts" / "estimate" / "0000050.npz").read_bytes() for at in (session.folder, done)]
    assert chunks[0] == chunks[1]


# Real footage


def cut(source, target, frames):
    """Write the first frames of a video anew."""
    footage = Footage.probe(source)
    assert footage.frames >= frames
    write_video(target, (image for _, image in footage.read(0, frames)), footage.rate_hz, footage.size, crf=14)


def asset_or_skip(name):
    try:
        found = assets.find(name)
    except AssetError as fault:
        pytest.skip(str(fault))
    if found is None:
        pytest.skip(f"{name} is not in the cache; mvcap assets fetch {name}")
    return found


@pytest.mark.footage
def test_the_man_and_the_woman_are_found(tmp_path):
    take = asset_or_skip("demo-multiperson")
    for model in ("movenet-thunder", "movenet-lightning", "movenet-multipose", "blazepose-landmarks"):
        asset_or_skip(model)
    (tmp_path / "videos").mkdir()
    for path in sorted(take.glob("*.mp4")):
        cut(path, tmp_path / "videos" / path.name, CLIP_FRAMES)
    session = mvcap.init(tmp_path / "videos", take / "Calib.qca.txt", tmp_path / "session")
    assert session.frames == CLIP_FRAMES and len(session.views) == 4
    summary = mvcap.reconstruct(session)
    surrounded = [person for person in summary["people"] if person["views_used"] >= 3]  # two views see a bystander
    assert len(surrounded) == 2 and len(summary["people"]) <= 3, summary["people"]
    for person in surrounded:
        assert person["frames"] >= CLIP_FRAMES - 1
        assert person["median_reprojection_px"] < 20 and person["bone_spread"] <= 0.01
    names = {f"cam0{number}.mp4" for number in (1, 2, 3, 4)}
    assert {path.name for path in (session.folder / "overlays").iterdir()} >= names
    man, woman = (hips(session, person["id"]) for person in surrounded)
    assert 0.3 < np.linalg.norm(man - woman) < 6 and 0.6 < min(man[2], woman[2]) <= max(man[2], woman[2]) < 1.3


def hips(session, person):
    """Median place (3,) m of the middle of a person's hips."""
    artefact = stages.poses(session, "refine")
    kind, to = skeleton(artefact.skeleton_name), skeleton("body25")
    rows = Poses3D.concatenate(list(artefact.chunks()), kind)
    return np.nanmedian(kind.apply(to, rows[rows.person == person].xyz)[:, to.index("pelvis")], axis=0)
