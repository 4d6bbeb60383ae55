"""The command line: every verb says what it does, and whatever is wrong is one line on what to do and exit status 2."""

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from synthetic_take import command, make_session, ring_rig, run, save_rig, write_clip, write_openpose

import mvcap
from mvcap import assets, stages
from mvcap.cli import main
from mvcap.structures.detections import Detections2D

VERBS = ("board", "calibrate", "init", "reconstruct", *stages.STAGES, "export", "report", "evaluate", "train", "assets",
         "rig", "doctor", "cloud", "view", "record", "live", "check", "sync", "generate", "batch", "mesh")  # fmt: skip
SMALL = (64, 48)
FRAMES = 12


@pytest.fixture
def call(capsys):
    """The command line in this process: status, standard output, standard error."""

    def called(*arguments):
        status = 0
        try:
            main.main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = end.code or 0
        return status, *capsys.readouterr()

    return called


@pytest.fixture
def refused(call):
    """The command line refuses with status 2 and one line that holds these words."""

    def check(*arguments, words=()):
        status, _, error = call(*arguments)
        assert status == 2, error
        assert error.startswith("mvcap: ") and error.count("\n") == 1 and error.endswith("\n"), error
        for word in [words] if isinstance(words, str) else words:
            assert word in error, error

    return check


@pytest.fixture
def take(tmp_path, monkeypatch):
    """Three small clips and their calibration in the working folder."""
    monkeypatch.chdir(tmp_path)
    for index in (1, 2, 3):
        write_clip(tmp_path / "videos" / f"cam{index}.mp4", FRAMES, SMALL, seed=index)
    save_rig(ring_rig(3, size=SMALL), tmp_path / "rig.yaml")
    return tmp_path


# What it says of itself


GROUPED = [f"{group} {verb}" for group in ("assets", "rig") for verb in main.cli.commands[group].commands]


@pytest.mark.parametrize("verb", [*VERBS, *GROUPED])
def test_every_verb_has_help(call, verb):
    status, text, error = call(*verb.split(), "--help")
    assert status == 0 and not error and text.startswith("Usage: ")
    assert re.search(r"\n\n  [A-Z][^\n]{15,}", text), "no sentence on what it does"
    for option in re.findall(r"\n  (?:-\w, )?(--[\w-]+)[^\n]*", text):
        assert re.search(rf"{option}\b[^\n]*(  +|\n +)[A-Za-z]", text), f"{option} is not explained"


def test_the_verbs_are_those():
    assert set(main.cli.commands) == set(VERBS)
    assert {verb for verb in VERBS if verb not in ("assets", "rig")} <= set(mvcap.__all__)


def test_without_a_verb_there_is_help(call):
    status, _, error = call()
    assert status == 2 and "Usage: " in error and "reconstruct" in error


@pytest.mark.parametrize(
    "arguments",
    [
        ("recontruct",),
        ("init",),
        ("init", "a", "--rgi", "b"),
        ("init", "a"),
        ("track",),
        ("export", "s", "--axes", "up"),
        ("reconstruct", "s", "--redo", "everything"),
        ("reconstruct", "s", "--frames", "many"),
        ("assets", "fetch"),
        ("--wrong",),
    ],
)
def test_wrong_usage_is_one_line(refused, arguments):
    refused(*arguments)


def test_a_process_of_its_own_shows_no_traceback_unless_asked(tmp_path):
    result = run("init", "nowhere", "--rig", "none.yaml", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "mvcap: nowhere: no such file or folder; check the path\n"
    result = run("-v", "init", "nowhere", "--rig", "none.yaml", cwd=tmp_path)
    assert result.returncode != 0 and "Traceback" in result.stderr and "InputError: nowhere" in result.stderr
    assert not list(tmp_path.iterdir())


def test_nobody_reads_the_output(tmp_path):
    with subprocess.Popen(command("assets", "list"), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
    assert process.returncode in (0, 1)


def test_doctor_and_assets_answer_in_words_and_json(call, tmp_path, monkeypatch):
    monkeypatch.setenv("MVCAP_CACHE", str(tmp_path))
    status, text, _ = call("doctor")
    assert status == 0 and "mvcap assets fetch blazepose-detector" in text and str(tmp_path) in text
    findings = json.loads(call("doctor", "--json")[1])
    assert {"python", "numpy", "cache"} <= {finding["subject"] for finding in findings}
    listed = json.loads(call("assets", "list", "--json")[1])
    assert {row["state"] for row in listed} == {"missing"} and len(listed) == len(assets.ASSETS)
    assert "Apache-2.0" in call("assets", "list")[1]


# Bad input


def test_footage_that_cannot_be_used(refused, take):
    videos, rig = take / "videos", ("--rig", "rig.yaml", "--session", "made")
    refused("init", "none.mp4", "videos/cam2.mp4", *rig, words="none.mp4: no such file")
    refused("init", "videos/cam1.mp4", *rig, words=("cam2", "--subset"))
    for angle in ("0", "200", "nan", "inf"):
        refused("reconstruct", "videos/cam1.mp4", "--fov", angle, "--session", "made", words="--fov")
    refused("init", "videos", "--session", "made", words=("3 views need a calibration", "--rig"))
    for height in ("1", "1=", "1=tall", "a=1.8"):
        refused("reconstruct", "videos", *rig, "--height", height, words=("--height", "1=1.78"))
    refused("reconstruct", "videos", *rig, "--height", "1=17", words=("heights_m", "metres"))
    assert not (take / "made").exists()
    refused("init", "videos", "videos/cam1.mp4", *rig, words="two views are named 'cam1'")
    refused("init", "videos", "--rig", "none.yaml", words="none.yaml: there is no such file")
    refused("init", "videos", "--rig", "videos/cam1.mp4", words="not a known calibration format")
    data = (videos / "cam2.mp4").read_bytes()
    for broken, words in ((b"", "is empty"), (b"a letter\n" * 99, "is not a video"), (data[:-500], "is cut short")):
        (videos / "cam2.mp4").write_bytes(broken)
        refused("init", "videos", *rig, words=("cam2.mp4: ", words))
        refused("reconstruct", "videos", *rig, words=("cam2.mp4: ", words))
    write_clip(videos / "cam2.mp4", FRAMES - 3, SMALL)
    refused("init", "videos", *rig, words=("cam2.mp4: ", f"cam2 {FRAMES - 3}", "--trim"))
    write_clip(videos / "cam2.mp4", FRAMES, SMALL, rate_hz=30.0)
    refused("init", "videos", *rig, words="frame rates differ")
    assert sorted(path.name for path in take.iterdir()) == ["rig.yaml", "videos"]


@pytest.mark.parametrize(
    ("pattern", "replacement", "words"),
    [
        (r"name: cam2", "name: kitchen", ("cam2", "kitchen")),
        (r"name: cam2", "name: cam1", ("more than one camera is named 'cam1'",)),
        (r"K:\n?\s*- \[[^,]*,", "K:\n  - [0.0,", ("singular",)),
        (r"cam_from_world:\n?\s*- \[[^,]*,", "cam_from_world:\n  - [3.0,", ("rotation",)),
        (r"cam_from_world:\n?\s*- \[[^,]*,", "cam_from_world:\n  - [.nan,", ("NaN",)),
        (r"length: m\b", "length: inches", ("units.length",)),
        (r"cameras:", "cameras: [", ("damaged",)),
    ],
)
def test_calibrations_that_cannot_be_used(refused, take, pattern, replacement, words):
    text = (take / "rig.yaml").read_text()
    bad, count = re.subn(pattern, replacement, text, count=1)
    assert count == 1
    (take / "rig.yaml").write_text(bad)
    refused("reconstruct", "videos", "--rig", "rig.yaml", "--session", "made", words=words)
    assert not (take / "made").exists()


def test_settings_there_are_not(refused, take):
    (take / "mine.yaml").write_text("track: {min_second: 1}\n")
    (take / "broken.yaml").write_text("track: [1\n")
    line = ("reconstruct", "videos", "--rig", "rig.yaml", "--session", "made")
    refused(*line, "--config", "mine.yaml", words=("track.min_second", "did you mean 'min_seconds'"))
    refused(*line, "--config", "broken.yaml", words="is not YAML")
    refused(*line, "--config", "none.yaml", words="none.yaml cannot be read")
    refused(*line, "--set", "trak.join_s=1", words="did you mean 'track'")
    refused(*line, "--set", "track.join_s=soon", words="'track.join_s' must be of type float, not 'soon'")
    refused(*line, "--set", "track.join_s", words="expected key=value")
    refused(*line, "--set", "estimator=blazpose", words="did you mean 'blazepose'")
    refused(*line, "--set", "estimator=no.such:Thing", words="cannot be loaded")
    refused(*line, "--set", "estimators.oracle.noise_p=3", words="did you mean 'noise_px'")
    assert not (take / "made").exists()


def test_the_session_is_made_and_named(call, refused, take):
    status, text, error = call("init", "videos", "--rig", "rig.yaml", "--session", "made", "--set", "track.join_s=1")
    assert status == 0 and not error and text.endswith(f"session: {take / 'made'}\n") and "3 views" in text
    facts = json.loads(call("init", "videos", "--rig", "rig.yaml", "--session", "made", "--json")[1])
    assert facts["frames"] == FRAMES and facts["views"] == ["cam1", "cam2", "cam3"]
    assert mvcap.Session.open("made").overrides == {"track": {"join_s": 1}}
    call("init", "videos", "--rig", "rig.yaml")
    assert (take / f"{take.name}.mvcap" / "session.yaml").exists()
    refused("init", "-", "--rig", "rig.yaml", words="mvcap reconstruct -")
    write_clip(take / "videos" / "cam1.mp4", FRAMES, SMALL, seed=9)
    refused("init", "videos", "--rig", "rig.yaml", "--session", "made", words="another folder")
    refused("estimate", "made", "--set", "estimator=oracle", words="oracle")


def test_what_is_no_session(refused, call, take):
    for verb in (*stages.STAGES, "export", "report"):
        refused(verb, "nowhere", words="is not a session")
    refused("reconstruct", "nowhere", words="no such file or folder")
    refused("reconstruct", "-", "--rig", "rig.yaml", words=("--session", "--frames", "--rate"))
    assert call("init", "videos", "--rig", "rig.yaml", "--session", "made")[0] == 0
    for verb, before in zip((*stages.STAGES[1:], "export", "report"), (*stages.STAGES, "refine"), strict=True):
        refused(verb, "made", words=f"run `mvcap {before} made` first")
    (take / "made" / "config.yaml").write_text("trak: {}\n")
    refused("estimate", "made", words="did you mean 'track'")


def test_a_model_with_the_wrong_sha256(refused, call, take, monkeypatch):
    monkeypatch.setenv("MVCAP_CACHE", str(take / "cache"))
    network = "movenet-thunder/movenet-thunder.json"
    broken = take / "cache" / assets.ASSETS[network].file
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"x" * assets.ASSETS[network].size)
    words = (str(broken), "is broken", f"mvcap assets fetch {network}")
    refused("assets", "verify", network, words=words)
    refused("reconstruct", "videos", "--rig", "rig.yaml", "--session", "made", words=words)
    assert call("assets", "remove", network) == (0, f"{broken}\n", "")
    refused("assets", "fetch", "blazpose", words="blazpose: no asset has this name")


# OpenPose's files


OPENPOSE = ("--frames", str(FRAMES), "--rate", "25", "--set", "estimator=openpose", "--set", "export.formats=[json]")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_openpose(tmp_path_factory.mktemp("openpose"), FRAMES)


@pytest.fixture
def openpose(written, tmp_path, monkeypatch):
    """Return the command that reconstructs a copy of OpenPose's files in the working folder."""
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    line = ("reconstruct", "-", "--rig", "rig.yaml", "--session", "made", *OPENPOSE)
    return *line, "--set", "estimators.openpose.folder=pose"


def one_file(frame=5):
    return Path("pose") / "cam2_json" / f"cam2.{frame:04d}.json"


def test_people_come_out_of_openpose_files(call, openpose):
    status, text, _ = call(*openpose, "--json")
    summary = json.loads(text)
    assert status == 0 and summary["frames"] == FRAMES and len(summary["people"]) == 2
    status, text, error = call("reconstruct", "made")
    assert status == 0 and not error and text.count("person ") == 2 and "verdict: " in text
    assert text.splitlines()[-1].startswith("session: ")


def test_openpose_with_a_missing_frame(refused, call, openpose):
    one_file().unlink()
    refused(*openpose, words=("cam2.0005.json is missing",))
    status, text, _ = call(*openpose, "--set", "estimators.openpose.missing=empty", "--json")
    assert status == 0 and [person["frames"] for person in json.loads(text)["people"]] == [FRAMES] * 2


@pytest.mark.parametrize(
    "text",
    ["", '{"version": 1.3, "people": [{"pose', '{"version": 1.3}', "[]", '{"people": [{"pose_keypoints_2d": [1]}]}'],
)
def test_openpose_with_a_file_that_is_none(refused, openpose, text):
    one_file().write_text(text)
    refused(*openpose, words="cam2.0005.json")


def test_openpose_with_a_frame_of_nobody(call, openpose):
    one_file().write_text('{"version": 1.3, "people": []}')
    status, text, _ = call(*openpose, "--json")
    assert status == 0 and len(json.loads(text)["people"]) == 2


def test_openpose_with_nobody_at_all(call, openpose, tmp_path):
    for path in tmp_path.glob("pose/*/*.json"):
        path.write_text('{"version": 1.3, "people": []}')
    nobody(call(*openpose), tmp_path / "made")


def test_openpose_of_other_views(refused, openpose, tmp_path):
    (tmp_path / "pose" / "cam2_json").rename(tmp_path / "pose" / "kitchen_json")
    refused(*openpose, words=("cam2", "kitchen"))
    refused(*openpose, "--set", "estimators.openpose.folder=none", words="none is not a folder")


# Takes in which there is little or nothing


def nobody(answer, folder):
    """The run ended well, with a report that says that nobody was found."""
    status, text, error = answer
    assert status == 0 and not error, error
    assert "verdict: do not trust" in text
    held = json.loads((folder / "report.json").read_text())
    assert held["people"] == [] and any("no people were found" in line for line in held["warnings"])
    assert (folder / "report.html").exists() and (folder / "poses.npz").exists()


def test_no_people_is_a_warning(call, tmp_path):
    session = make_session(tmp_path, FRAMES, settings={"missing": 1.0})
    nobody(call("reconstruct", session.folder), session.folder)
    assert call("export", session.folder, "--format", "all")[0] == 0


def test_people_whose_joints_are_all_nan_are_nobody(call, tmp_path):
    session = make_session(tmp_path, FRAMES)
    session.override({"estimator": "blind_estimator:Blind"})
    nobody(call("reconstruct", session.folder), session.folder)
    assert sum(len(rows) for rows in stages.detections(session, "estimate").chunks()) == FRAMES * 5 * 2
    assert call("export", session.folder, "--format", "all")[0] == 0


def test_people_in_one_view_only_are_nobody(call, tmp_path):
    session = make_session(tmp_path, FRAMES)
    mvcap.estimate(session)
    artefact = session.artefact("estimate", Detections2D)
    rows = artefact.read(0)
    artefact.write(0, rows[rows.view == 2])
    nobody(call("reconstruct", session.folder), session.folder)


def test_every_verb_of_a_take_without_rows(call, tmp_path):
    session = make_session(tmp_path, FRAMES, settings={"missing": 1.0})
    for verb in stages.STAGES:
        status, text, error = call(verb, session.folder, "--json")
        facts = json.loads(text)
        assert status == 0 and not error and facts["complete"] and facts["frames"] == FRAMES
    for verb in ("export", "report"):
        assert call(verb, session.folder)[0] == 0


def test_one_frame_and_two_views(call, tmp_path):
    session = make_session(tmp_path, 1, people=1, cameras=2)
    status, text, _ = call("reconstruct", session.folder, "--json", "--set", "track.min_seconds=0")
    assert status == 0 and [person["frames"] for person in json.loads(text)["people"]] == [1]


@pytest.mark.parametrize(("scale", "words"), [(1000.0, "1000 times too big"), (0.001, "1000 times too small")])
def test_people_of_the_wrong_size_name_the_unit(call, tmp_path, scale, words):
    session = make_session(tmp_path, FRAMES, people=2)
    save_rig(ring_rig(scale=scale), session.folder / "rig.yaml")
    status, text, _ = call("reconstruct", session.folder)
    assert status == 0 and "verdict: do not trust" in text
    assert words in text and "--rig-unit" in text


def test_a_stale_stage_is_refused_and_the_setting_named(refused, call, tmp_path):
    session = make_session(tmp_path, FRAMES, people=1)
    assert call("reconstruct", session.folder, "--set", "export.formats=[json]")[0] == 0
    words = ("gate_sigma was 3.0, now 4", "--redo track")
    refused("reconstruct", session.folder, "--set", "track.gate_sigma=4", words=words)
    assert call("reconstruct", session.folder, "--redo", "track")[0] == 0
    assert call("track", session.folder)[0] == 0


def test_a_format_there_is_not(refused, call, tmp_path):
    session = make_session(tmp_path, FRAMES, people=1)
    assert call("reconstruct", session.folder)[0] == 0
    refused("export", session.folder, "--format", "tcr", words="did you mean 'trc'")
    (tmp_path / "file").write_text("")
    refused("export", session.folder, "--folder", tmp_path / "file", words="cannot be written")
    refused("export", session.folder, "--folder", "/proc/none", words="cannot be written")
    files = tmp_path / "files"
    status, text, _ = call("export", session.folder, "--format", "csv", "--folder", files, "--stage", "track")
    assert status == 0 and len(list(files.iterdir())) == len(text.split())


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on files")
def test_a_disk_that_fills_ends_a_stage_in_one_line(tmp_path):
    session = make_session(tmp_path, FRAMES)
    limited = ["bash", "-c", 'ulimit -f 8; exec "$@"', "-", *command("reconstruct", session.folder)]
    result = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert result.returncode == 2 and result.stderr.startswith("mvcap: ") and result.stderr.count("\n") == 1, result
    assert "cannot be written" in result.stderr
    assert not list(session.folder.glob("**/.*")) and not list(session.folder.glob("artefacts/*/*.npz"))
    assert run("reconstruct", session.folder).returncode == 0


def test_a_refused_setting_is_not_kept(tmp_path):
    session = make_session(tmp_path, 12, people=2)
    mvcap.reconstruct(session)
    before = session.overrides
    refused = run("track", session.folder, "--set", "track.gate_sigma=4.5")
    assert refused.returncode == 2 and "gate_sigma was 3.0, now 4.5" in refused.stderr
    assert session.overrides == before
    assert run("track", session.folder, "--set", "track.gate_sigma=4.5", "--redo").returncode == 0
    assert session.overrides["track"] == {"gate_sigma": 4.5}


def test_stages_are_verbs_in_their_order():
    from mvcap import stages
    from mvcap.cli import session as verbs

    names = [command.name for command in verbs.COMMANDS]
    assert [name for name in names if name in stages.STAGES] == list(stages.STAGES)
    redo = next(option for option in verbs.reconstruct.params if option.name == "redo")
    assert tuple(redo.type.choices) == stages.STAGES


# Options that make a session


def test_options_that_a_session_cannot_take_are_refused(call, refused, take):
    call("init", "videos", "--rig", "rig.yaml", "--session", "made")
    for options in (("--rate", "50"), ("--rate", "25.1"), ("--rate", "nan"), ("--from", "1f"), ("--to", "0.2"),
                    ("--rig", "rig.yaml"), ("--trim",), ("--subset",), ("--frames", "3"), ("--size", "64x48"),
                    ("--session", "other")):  # fmt: skip
        refused("reconstruct", "made", *options, words=("made is a session", f"{options[0]} cannot change"))
    refused("reconstruct", "made", "--rate", "50", words="of 12 frames at 25 Hz")
    refused("init", "made", "--rig", "rig.yaml", words=("is a session already", "mvcap reconstruct made"))
    refused("reconstruct", "videos", "--rig", "rig.yaml", "--session", "made", "--rate", "50", words="at 25 Hz, not 50")
    refused("reconstruct", "videos", "--rig", "rig.yaml", "--frames", "5", words=("--frames", "--from and --to"))
    refused("reconstruct", "videos", "--rig", "rig.yaml", "--size", "64x48", words="--size")
    assert not (take / "other").exists()


def test_a_part_of_a_take(call, refused, take):
    line = ("init", "videos", "--rig", "rig.yaml", "--session", "made")
    status, text, error = call(*line, "--from", "0.08", "--to", "10f", "--json")
    assert status == 0 and json.loads(text)["frames"] == 8 and not error
    for wrong, words in (("soon", "give seconds"), ("-1", "give seconds"), ("99f", "at or behind the end")):
        refused("init", "videos", "--rig", "rig.yaml", "--session", "none", "--from", wrong, words=("--from", words))
    assert not (take / "none").exists()


def test_without_videos_what_is_missing_or_too_much_is_said(refused, take):
    line = ("reconstruct", "-", "--rig", "rig.yaml", "--session", "none", "--rate", "25")
    refused(*line, words="--frames and --rate")
    refused(*line, "--frames", "1000000000", words="more than any take has")
    refused(*line, "--frames", "9", "--trim", words="--trim is for videos")
    refused(*line, "--frames", "9", "--size", "big", words="--size big: give width x height")
    refused(*line, "--frames", "9", "--size", "100x100", words=("64x48", "not the size given, 100x100"))
    for rate in ("inf", "nan", "0", "1e9"):
        refused(*line[:-2], "--frames", "9", "--rate", rate, words="rate_hz must be")
    refused(*line, "--frames", "9", "--to", "10f", words="the take has 9 frames")
    refused("reconstruct", "-", "videos", "--rig", "rig.yaml", words="'-' stands for no videos")
    assert not (take / "none").exists()


def test_a_length_that_contradicts_the_stages(refused, call, tmp_path):
    session = make_session(tmp_path / "take", 6, people=1)
    assert call("reconstruct", session.folder, "--set", "export.formats=[json]")[0] == 0
    path = session.folder / "session.yaml"
    path.write_text(path.read_text().replace("frames: 6", "frames: 3"))
    for verb in ("report", "export"):
        refused(verb, session.folder, words=("session.yaml has 3 frames", "6"))
    refused("rig", "level", session.folder, words="session.yaml has 3 frames")
    artefact = session.artefact("refine", stages.Table)
    artefact.note(complete=False)  # as a killed run leaves it
    refused("refine", session.folder, words=("session.yaml has 3 frames", "6"))
    refused("track", session.folder, words=("session.yaml has 3 frames", "6"))


def test_settings_of_a_run_that_changed_nothing_are_put_back(call, refused, tmp_path):
    session = make_session(tmp_path, 12, people=2)
    before = session.overrides
    asked = ("--set", "estimator=openpose", "--set", f"estimators.openpose.folder={tmp_path / 'none'}")
    refused("reconstruct", session.folder, *asked, words="none")
    assert session.overrides["estimator"] == "openpose", "a session without results keeps what its first run asked for"
    session.keep_overrides(before)
    assert call("reconstruct", session.folder)[0] == 0
    results = {path: path.read_bytes() for path in session.folder.rglob("*.*") if path.is_file()}
    refused("reconstruct", session.folder, "--redo", "estimate", *asked, words="none")
    assert {path: path.read_bytes() for path in session.folder.rglob("*.*") if path.is_file()} == results


@contextmanager
def in_use_elsewhere(folder):
    """Another process at work on a session."""
    import fcntl

    held = os.open(folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    yield
    os.close(held)


@pytest.mark.skipif(sys.platform == "win32", reason="no locks on folders")
def test_two_runs_at_once_are_refused(refused, call, tmp_path):
    session = make_session(tmp_path, 12, people=2)
    with in_use_elsewhere(session.folder):
        for verb in ("reconstruct", "estimate"):
            refused(verb, session.folder, words=("another mvcap is working on this session", "wait"))
    assert call("reconstruct", session.folder)[0] == 0
    with in_use_elsewhere(session.folder):
        refused("reconstruct", session.folder, "--redo", "track", words="another mvcap")
    assert call("track", session.folder)[0] == 0
