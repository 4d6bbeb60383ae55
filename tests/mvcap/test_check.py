"""The verb ``check``: whole takes pass, what is wrong is found with its view, copies are repaired, and nothing damaged
makes it raise anything but one line.
"""

import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from damaged_clips import KINDS, SIZE, clip, clips, mutated
from numbered_videos import numbered_picture, read_number, write_numbered
from synthetic_take import ring_rig

import mvcap
from calib import save_rig
from mvcap.errors import InputError, MvcapError
from mvcap.structures.footage import Footage
from mvcap.structures.session import Session
from mvcap.structures.video_writer import write_video

DEMO = Path(os.environ.get("MVCAP_CACHE", Path.home() / ".cache" / "mvcap")) / "demo-multiperson"
MOST_S = 10.0
FUZZED = 40 * int(os.environ.get("MVCAP_FUZZ", "1"))


def found(check):
    return [(one.kind, one.severity, one.views) for one in check.findings]


def take(folder, views=3, frames=60):
    for index in range(views):
        write_numbered(folder / f"cam{index + 1}.mp4", range(frames), index)
    return folder


def room(seed, frames=50, size=(320, 240)):
    """Pictures of a room with noise, in which somebody walks."""
    rng = np.random.default_rng(seed)
    back = cv2.resize(rng.normal(0, 1, (60, 80, 3)), size, interpolation=cv2.INTER_CUBIC)
    back = cv2.normalize(back, None, 30, 200, cv2.NORM_MINMAX)
    out = []
    for frame in range(frames):
        image = back + rng.normal(0, 2, back.shape)
        place = int(140 + 120 * np.sin(0.15 * frame + 2 * seed))
        image[60:220, place : place + 28] = 220
        out.append(np.clip(image, 0, 255).astype(np.uint8))
    return out


def test_a_whole_take_has_nothing_and_is_only_read(tmp_path):
    folder = tmp_path / "take"
    folder.mkdir()
    for seed in range(2):
        write_video(folder / f"cam{seed}.mp4", room(seed), 25.0, (320, 240))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    check = mvcap.check(folder)
    assert check.good and check.findings == () and [view.name for view in check.views] == ["cam0", "cam1"]
    assert {(view.frames, view.looked_at, view.size, view.codec) for view in check.views} == {
        (50, 50, (320, 240), "h264")
    }
    assert [view.rate_hz for view in check.views] == [pytest.approx(25)] * 2
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before


@pytest.mark.footage
@pytest.mark.skipif(not (DEMO / "cam01.mp4").exists(), reason="needs the demo take in the cache")
def test_the_demo_is_not_accused():
    check = mvcap.check(DEMO)
    assert check.good and found(check) == [] and len(check.views) == 4


def test_gaps_and_lengths(tmp_path):
    folder = take(tmp_path / "take", views=1)
    write_numbered(folder / "cam2.mp4", [one for one in range(60) if not 20 <= one < 40], 1)
    write_numbered(folder / "cam3.mp4", range(50), 2)
    check = mvcap.check(folder)
    assert ("gap", "warning", ("cam2",)) in found(check) and ("length", "warning", ("cam3",)) in found(check)
    assert not check.good


def test_two_views_of_one_camera_are_found_and_others_are_not(tmp_path):
    for seed in range(2):
        write_video(tmp_path / f"cam{seed}.mp4", room(seed), 25.0, (320, 240))
    darker = [cv2.resize((0.7 * image).astype(np.uint8), (160, 120), interpolation=cv2.INTER_AREA) for image in room(0)]
    write_video(tmp_path / "cam2.mkv", [darker[0], darker[0], *darker[:-2]], 25.0, (160, 120), crf=30)
    [same] = [one for one in mvcap.check(tmp_path).findings if one.kind == "same camera"]
    assert same.views == ("cam0", "cam2") and same.figures["lag_frames"] == 2 and same.severity == "error"


def test_a_frozen_view_of_a_take(tmp_path):
    folder = take(tmp_path / "take", views=1, frames=90)
    shown = [min(number, 40) if number < 70 else number for number in range(90)]
    pictures = [numbered_picture(number, 1) for number in shown]
    write_video(folder / "cam2.mp4", pictures, 60000 / 1001, pictures[0].shape[1::-1], crf=16)
    [one] = [one for one in mvcap.check(folder).findings if one.kind == "frozen"]
    assert one.views == ("cam2",) and one.severity == "warning" and "cam1 changes as usual" in one.meaning
    assert one.start_s == pytest.approx(40 / 59.94, abs=0.05) and one.stop_s == pytest.approx(69 / 59.94, abs=0.08)


def test_sessions_are_checked_and_changed_footage_is_told(tmp_path):
    rig = ring_rig(2, size=(320, 180))
    save_rig(rig, tmp_path / "rig.yaml")
    for index, name in enumerate(rig.names):
        write_numbered(tmp_path / "videos" / f"{name}.mp4", range(30), index)
    session = mvcap.init(tmp_path / "videos", rig=tmp_path / "rig.yaml", folder=tmp_path / "s.mvcap")
    for given in (session, tmp_path / "s.mvcap", [str(tmp_path / "s.mvcap")]):
        check = mvcap.check(given)
        assert [view.name for view in check.views] == list(rig.names)
        assert "changed" not in {one.kind for one in check.findings}
    write_numbered(tmp_path / "videos" / f"{rig.names[1]}.mp4", range(1, 31), 1)
    assert ("changed", "error", (rig.names[1],)) in found(mvcap.check(session))
    bare = Session.create(rig, tmp_path / "bare", frames=5, rate_hz=25)
    with pytest.raises(InputError, match="no footage to check"):
        mvcap.check(bare)
    (tmp_path / "videos" / f"{rig.names[1]}.mp4").unlink()
    with pytest.raises(InputError, match="missing"):
        mvcap.check(session)


@pytest.mark.parametrize(("source", "told"), [("none.mp4", "no such file"), ("empty", "contains no videos")])
def test_no_footage_is_one_line(tmp_path, source, told):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=told) as error:
        mvcap.check(tmp_path / source)
    assert "\n" not in str(error.value)


def test_repair_writes_copies_of_what_can_be_repaired_and_says_what_cannot(tmp_path):
    folder = take(tmp_path / "take", views=1)
    whole = clip(folder / "fast.mp4").read_bytes()
    (folder / "fast.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "lost.mp4").write_bytes(clip(tmp_path / "h264.mp4").read_bytes()[:2000])
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    check = mvcap.check(folder, repair_to=tmp_path / "out" / "copies")
    copied, lost = check.repaired
    assert (copied.view, copied.findings, copied.refused) == ("fast", (), "") and lost.view == "lost" and lost.refused
    assert copied.copies == (str(tmp_path / "out" / "copies" / "fast.mkv"),) and 20 < copied.pictures[0] < 40
    assert Footage.probe(copied.copies[0]).frames == copied.pictures[0]
    assert [path.name for path in (tmp_path / "out" / "copies").iterdir()] == ["fast.mkv"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    with pytest.raises(InputError, match="nothing is overwritten"):
        mvcap.check(folder, repair_to=tmp_path / "out" / "copies")
    with pytest.raises(InputError, match="is a file"):
        mvcap.check(folder, repair_to=folder / "fast.mp4")


def test_a_copy_shows_the_pictures_of_the_original(tmp_path):
    write_numbered(tmp_path / "long.mkv", range(100))
    data = (tmp_path / "long.mkv").read_bytes()
    (tmp_path / "long.mkv").write_bytes(data[: len(data) * 3 // 4])
    [repaired] = mvcap.check(tmp_path / "long.mkv", repair_to=tmp_path / "out").repaired
    numbers = [read_number(image) for _, image in Footage.probe(repaired.copies[0]).read()]
    assert numbers == list(range(repaired.pictures[0])) and len(numbers) > 50


def test_no_place_for_a_copy_is_told(tmp_path):
    whole = clip(tmp_path / "fast.mp4").read_bytes()
    (tmp_path / "fast.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    (tmp_path / "file").write_text("mine")
    [one] = mvcap.check(tmp_path / "fast.mp4", repair_to=tmp_path / "file" / "sub").repaired
    assert "cannot be written" in one.refused and not one.copies


# Damage by seed


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return clips(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_give_a_result_or_one_line(tmp_path, whole, kind):
    """Truncated files, flipped bytes, zeroed ranges and exchanged blocks; MVCAP_FUZZ=5 tries all 200."""
    [source] = [path for path in whole if path.name == kind]
    rig = ring_rig(2, size=SIZE)
    save_rig(rig, tmp_path / "rig.yaml")
    for seed in range(FUZZED // len(KINDS)):
        path = tmp_path / f"{seed}_{kind}"
        path.write_bytes(mutated(source.read_bytes(), 1000 * list(KINDS).index(kind) + seed))
        before = time.monotonic()
        check = mvcap.check(path)
        assert all(one.meaning and one.advice and "\n" not in one.meaning for one in check.findings)
        for reader in (Footage.probe, lambda path: _init(path, source, tmp_path, rig)):
            try:
                reader(path)
            except MvcapError as error:
                assert "\n" not in str(error)
        assert time.monotonic() - before < MOST_S


def _init(path, source, folder, rig):
    views = [f"{rig.names[0]}={path}", f"{rig.names[1]}={source}"]
    return mvcap.init(views, rig=rig, folder=folder / f"{path.stem}.mvcap", trim=True)
