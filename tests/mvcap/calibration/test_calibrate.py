"""``mvcap calibrate`` on real files: what it writes and keeps, how it goes on, and one line for whatever is wrong."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from board_footage import Look, footage, pictures
from generated_boards import Take, arc_rig, carried, volume_points, volume_rms
from synthetic_take import make_session, recordings, save_rig

import mvcap
from calib import Rig, load_rig
from calib.boards import board_from
from calib.observe import looks_like
from calib.quality.consistency import check_consistency
from mvcap.calibration import board_detections
from mvcap.calibration.control_points import read_control_points
from mvcap.cli import main
from mvcap.structures.detections import Detections2D
from mvcap.structures.session import Session

BOARD = board_from("charuco:7x5:120mm:90mm:DICT_5X5_100")
SIZE, FRAMES, FILMED_M = (480, 270), 16, (0.8, 1.2, 0.9)
CLEAN = Look(noise=1.0, exposure_s=0.0, crf=12)


def take(cameras=2, frames=FRAMES, size=SIZE, board=BOARD, **rest):
    way = carried(board, 5, volume_m=FILMED_M, turns_deg=(25.0, 25.0, 35.0))
    return Take(arc_rig(cameras, 4, degrees=50, radius_m=2.2, size=size), way, board, frames, 1.0, **rest)


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """Two videos of a board that is carried about."""
    folder = tmp_path_factory.mktemp("board") / "take0"
    footage(take(), folder, CLEAN)
    return folder


@pytest.fixture(scope="module")
def made(filmed):
    """The calibration of these videos, made once, and the folder that it is in."""
    out = filmed.parent / "made"
    return mvcap.calibrate(filmed, board=BOARD.spec, out=out), out


@pytest.fixture
def brief(monkeypatch):
    """Reports are written without pictures."""

    def write_report(calibration, folder, *, title, force):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "calibration.json").write_text(json.dumps({"verdict": {"level": calibration.verdict}}))
        (folder / "calibration.html").write_text(title)

    monkeypatch.setattr("calib.report.page.write_report", write_report)


@pytest.fixture
def solved(made, brief, monkeypatch):
    """Calibrations need no solving: each is the one made; returns what they were of."""
    asked = []

    def solve(seen, old, fix_lenses, photos, progress):
        asked.append((seen, old, fix_lenses, photos))
        return made[0]

    monkeypatch.setattr(sys.modules["mvcap.calibrate"], "_solved", solve)
    return asked


@pytest.fixture
def stills(tmp_path):
    """Write pictures of a take as images named by camera and moment; returns their folder."""

    def write(true, folder="stills", frames=None, views=None):
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        for view, camera in enumerate(true.rig):
            if views is None or view in views:
                for number, picture in zip(
                    frames or range(true.frames), pictures(true, view, CLEAN, frames=frames), strict=True
                ):
                    cv2.imwrite(str(place / f"{camera.name}_{number:03d}.png"), picture)
        return place

    return write


@pytest.fixture
def refused(brief, capsys, tmp_path, monkeypatch):
    """The command line refuses with status 2 and one line that holds these words, and leaves no rig behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mvcap.calibration.observer.looks_like", lambda pictures, board: None)  # it takes seconds

    def check(*arguments, words=()):
        with pytest.raises(SystemExit) as end:
            main.main(["calibrate", *map(str, arguments)])
        error = capsys.readouterr().err
        assert end.value.code == 2 and error.startswith("mvcap: ") and error.count("\n") == 1, error
        for word in [words] if isinstance(words, str) else words:
            assert word in error, error
        assert not [path for path in tmp_path.rglob("rig.yaml") if path.parent.name.endswith(".calibration")]

    return check


# What it makes


def test_a_rig_with_its_report(made):
    calibration, out = made
    assert calibration.verdict in ("good", "usable with limits")
    assert volume_rms(calibration.rig, take().rig, volume_points(FILMED_M)) < 1.0
    rig = load_rig(out / "rig.yaml")
    assert rig.names == ("cam01", "cam02") and np.allclose(rig.P, calibration.rig.P)
    assert json.loads((out / "calibration.json").read_text())["verdict"]["level"] == calibration.verdict
    assert "<html" in (out / "calibration.html").read_text()
    assert len(list((out / "sightings").glob("cam0*.npz"))) == 2


def test_the_command_line_says_what_came_of_it(filmed, solved, made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made[1] / "sightings", tmp_path / "take0.calibration" / "sightings")
    main.main(["calibrate", str(filmed), "--board", BOARD.spec])
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("report: ") and Path(said[0][8:]).name == "calibration.html"
    assert Path(said[1][5:]) == tmp_path / "take0.calibration" / "rig.yaml" and Path(said[1][5:]).exists()
    assert said[2] == made[0].summary()
    main.main(["calibrate", str(filmed), "--board", BOARD.spec, "--force", "--json"])
    assert json.loads(capsys.readouterr().out)["verdict"]["level"] == made[0].verdict


def test_nothing_is_looked_at_twice(filmed, made, solved, tmp_path, monkeypatch):
    out = tmp_path / "out"
    shutil.copytree(made[1] / "sightings", out / "sightings")
    looked, found = [], board_detections.Finder.find

    def find_and_count(self, image):
        looked.append(image.shape)
        if len(looked) == 9:
            raise KeyboardInterrupt
        return found(self, image)

    monkeypatch.setattr(board_detections.Finder, "find", find_and_count)
    mvcap.calibrate(filmed, board=BOARD, out=out, frames=8)
    mvcap.calibrate(filmed, board=BOARD, out=out, force=True)
    assert not looked
    again = tmp_path / "again"
    with pytest.raises(KeyboardInterrupt):
        mvcap.calibrate(filmed, board=BOARD, out=again)
    assert not (again / "rig.yaml").exists()
    mvcap.calibrate(filmed, board=BOARD, out=again)
    assert len(looked) == 2 * FRAMES + 1
    first, last = solved[1][0], solved[-1][0]
    assert np.array_equal(first.xy, last.xy, equal_nan=True) and first.refused == last.refused
    (again / "sightings").joinpath(next((again / "sightings").iterdir()).name).write_bytes(b"broken")
    mvcap.calibrate(filmed, board=BOARD, out=again, force=True)
    assert len(looked) == 3 * FRAMES + 1


def test_no_rig_is_written_over(filmed, solved, made, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(made[1] / "sightings", out / "sightings")
    mvcap.calibrate(filmed, board=BOARD, out=out)
    before = (out / "rig.yaml").stat().st_mtime_ns
    with pytest.raises(mvcap.MvcapError, match=r"rig.yaml exists already.*--out.*--force"):
        mvcap.calibrate(filmed, board=BOARD, out=out)
    assert (out / "rig.yaml").stat().st_mtime_ns == before
    mvcap.calibrate(filmed, board=BOARD, out=out, force=True)
    assert (out / "rig.yaml").stat().st_mtime_ns > before
    with pytest.raises(mvcap.MvcapError, match="is a file"):
        mvcap.calibrate(filmed, board=BOARD, out=out / "rig.yaml")


def test_a_bad_rig_replaces_none(filmed, solved, made, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("mvcap.calibration.observer.looks_like", lambda pictures, board: None)
    out = tmp_path / "out"
    shutil.copytree(made[1] / "sightings", out / "sightings")
    mvcap.calibrate(filmed, board=BOARD, out=out)
    good = (out / "rig.yaml").read_bytes()
    bad = replace(made[0], verdict="do not use", reason="nothing fits", next_action="film again")
    monkeypatch.setattr(sys.modules["mvcap.calibrate"], "_solved", lambda *rest, **more: bad)
    with pytest.raises(SystemExit) as end:
        main.main(["calibrate", str(filmed), "--board", BOARD.spec, "--out", str(out), "--force"])
    said = capsys.readouterr()
    assert end.value.code == 2 and said.err.count("\n") == 1 and said.err.startswith("mvcap: do not use")
    assert "nothing fits" in said.err and "film again" in said.err
    assert str(out / "rejected" / "calibration.html") in said.out
    assert (out / "rig.yaml").read_bytes() == good and (out / "rejected" / "rig.yaml").exists()
    monkeypatch.setattr(sys.modules["mvcap.calibrate"], "_solved", lambda *rest, **more: made[0])
    mvcap.calibrate(filmed, board=BOARD, out=out, force=True)
    assert not (out / "rejected" / "rig.yaml").exists()


def test_a_session_gets_its_rig_by_force_only(filmed, solved, made, tmp_path):
    old = take().rig.scaled_world(1.1)
    session = mvcap.init([filmed / "cam01.mp4", filmed / "cam02.mp4"], old, tmp_path / "session")
    calibration = mvcap.calibrate(session, board=BOARD)
    assert (session.folder / "calibration" / "rig.yaml").exists()
    assert np.allclose(Session.open(session.folder).rig.P, old.P)
    mvcap.calibrate(session.folder, board=BOARD, force=True)
    assert np.allclose(Session.open(session.folder).rig.P, calibration.rig.P)


def test_an_earlier_rig_brings_its_lenses(filmed, solved, made, tmp_path):
    true = take(3).rig
    save_rig(true, tmp_path / "old.yaml")
    shutil.copytree(made[1] / "sightings", tmp_path / "sightings")
    mvcap.calibrate(filmed, board=BOARD, rig=tmp_path / "old.yaml", fix_lenses=True, out=tmp_path)
    _, old, fixed, _ = solved[-1]
    assert old.names == ("cam01", "cam02") and fixed and np.allclose(old.K, true.K[:2])


def test_lens_photos_are_of_one_camera_each(solved, stills, tmp_path):
    place = stills(take(frames=3))
    for view in (0, 1):
        (tmp_path / "photos" / f"int_cam0{view + 1}_img").mkdir(parents=True)
        for number, picture in enumerate(pictures(take(frames=4), view, CLEAN, frames=range(2 + view))):
            cv2.imwrite(str(tmp_path / "photos" / f"int_cam0{view + 1}_img" / f"{number}.png"), picture)
    mvcap.calibrate(place, board=BOARD, lens_photos=tmp_path / "photos", out=tmp_path / "out")
    seen, _, _, photos = solved[-1]
    assert seen.views == ("cam01", "cam02") and seen.moments == ("000", "001", "002") and np.isnan(seen.time_s).all()
    assert [(one.views, one.seen.any(2).sum()) for one in photos] == [(("cam01",), 2), (("cam02",), 3)]


def test_an_unreadable_image_is_named_and_the_others_go_on(solved, stills, tmp_path):
    place = stills(take(frames=3))
    (place / "cam02_001.png").write_bytes(b"a letter")
    mvcap.calibrate(place, board=BOARD, out=tmp_path / "out")
    [refusal] = [one for one in solved[-1][0].refused if "can be read" in one.reason]
    assert (refusal.view, refusal.moment) == ("cam02", "001") and "cam02_001.png" in refusal.reason


def test_people_need_lenses_and_detections(solved, made, tmp_path, monkeypatch):
    session = make_session(tmp_path, 5, people=1, cameras=2)
    asked = []

    def by_people(source, lenses, **rest):
        asked.append((source, lenses, rest))
        return made[0]

    monkeypatch.setattr("mvcap.calibration.from_people.calibrate_from_people", by_people)
    mvcap.calibrate(session, people=True, height_m=1.7)
    [(source, lenses, rest)] = asked
    assert source.folder == session.folder and [lens.name for lens in lenses] == ["cam1", "cam2"]
    assert rest["height_m"] == 1.7 and rest["start"] is None
    assert session.artefact("estimate", Detections2D).manifest["frames"] == 5
    save_rig(session.rig, tmp_path / "old.yaml")
    mvcap.calibrate(session, people=True, rig=tmp_path / "old.yaml", out=tmp_path / "out")
    assert asked[-1][2]["start"].names == ("cam1", "cam2")
    with pytest.raises(mvcap.MvcapError, match=r"no pictures.*--people"):
        mvcap.calibrate(session, board=BOARD, out=tmp_path / "other")


def test_a_board_to_print(tmp_path, capsys):
    main.main(["board", "chessboard:5x4:30mm", str(tmp_path / "board.pdf")])
    said = capsys.readouterr().out
    assert (tmp_path / "board.pdf").read_bytes().startswith(b"%PDF") and "--board chessboard:5x4:30mm" in said
    with pytest.raises(SystemExit):
        main.main(["board", "chessboard:5x4:30mm", str(tmp_path / "board.pdf")])
    assert "already" in capsys.readouterr().err
    main.main(["board", "chessboard:5x4:30mm", str(tmp_path / "board.svg"), "--json"])
    assert json.loads(capsys.readouterr().out)["board"] == "chessboard:5x4:30mm"


# Measured points of the scene

POINTS = {
    "a": (0, 0, 0),
    "b": (300, 0, 0),
    "c": (0, 400, 0),
    "d": (300, 400, 200),
    "e": (-400, 200, 300),
    "f": (0, 0, 250),
}


def scene(folder, unit="mm", rig=None):
    rig = rig or take().rig
    rows = [f"{name},{x},{y},{z}" for name, (x, y, z) in POINTS.items()]
    (folder / "points.csv").write_text("\n".join([f"name,x_{unit},y_{unit},z_{unit}", *rows]))
    xy = rig.project(np.array(list(POINTS.values())) / 1000 + (0, 0, 1.1))
    seen = dict(zip(rig.names, xy, strict=True))
    rows = [f"{view},{name},{u},{v}" for view, own in seen.items() for name, (u, v) in zip(POINTS, own, strict=True)]
    (folder / "pixels.csv").write_text("\n".join(["view,name,u,v", *rows]))
    return folder / "points.csv", folder / "pixels.csv"


def test_measured_points_place_the_cameras(filmed, tmp_path, refused):
    points, pixels = scene(tmp_path)
    true = take().rig
    save_rig(true, tmp_path / "lenses.yaml")
    rest = ("--rig", tmp_path / "lenses.yaml", "--fix", "lens", "--out", tmp_path / "out")
    refused(filmed, "--scene-points", points, *rest, words=("click.html", "--scene-pixels"))
    page = (tmp_path / "out" / "click.html").read_text()
    assert '"points": ["a", "b", "c", "d", "e", "f"]' in page and page.count("data:image/jpeg;base64,") == 2
    found = mvcap.calibrate(
        filmed, scene_points=points, scene_pixels=pixels, rig=true, fix_lenses=True, out=tmp_path / "out"
    )
    moved = np.array(true.positions) - (0, 0, 1.1)
    assert np.allclose(found.rig.positions, moved, atol=1e-3)


def test_scene_points_that_cannot_be_used(filmed, tmp_path, refused):
    points, pixels = scene(tmp_path)
    common = ("--scene-points", points, "--scene-pixels", pixels)
    for old, new, words in (
        ("name,x_mm,y_mm,z_mm", "name,x,y,z", "has no unit"),
        ("x_mm,y_mm,z_mm", "x_m,y_m,z_m", "millimetres?"),
        ("300,400,200", "300,four,200", "line 5 is not a name and numbers"),
        ("\nb,", "\na,", "names 'a' again"),
        ("\nb,", "\nx,", "has pixels of 'b'"),
    ):
        text = points.read_text()
        points.write_text(text.replace(old, new))
        refused(filmed, *common, words=(str(points), words))
        points.write_text(text)
    lines = pixels.read_text().splitlines()
    for broken, words in (
        ([lines[0], *(line for line in lines if line.startswith("cam01"))], "'cam02': has pixels of 0"),
        ([*lines, "cam09,a,1,1"], "'cam09'"),
        ([*lines[:-1], "cam02,f,5000,1"], "outside its 480x270"),
        (["view,name,x,y", *lines[1:]], "needs the columns view,name,u,v"),
    ):
        pixels.write_text("\n".join(broken))
        refused(filmed, *common, words=words)
    refused(filmed, "--scene-points", tmp_path / "none.csv", words="none.csv: cannot be read")


def test_points_of_a_yaml_file(tmp_path):
    path = tmp_path / "scene.yaml"
    text = (
        "unit: cm\npoints: {a: [0, 0, 0], b: [100, 0, 0], c: [0, 100, 0], d: [0, 0, 50]}\npixels: {cam1: {a: [1, 2]}}\n"
    )
    path.write_text(text)
    found = read_control_points(path)
    assert found.xyz["b"] == (1.0, 0.0, 0.0) and found.pixels == {"cam1": {"a": (1.0, 2.0)}}
    for old, new, words in (
        ("unit: cm\n", "", "unit"),
        ("[100, 0, 0]", "[100, 0]", "'b'"),
        ("points", "point", "damaged|not a YAML"),
    ):
        path.write_text(text.replace(old, new))
        with pytest.raises(mvcap.MvcapError, match=words):
            read_control_points(path)


# Bad input


def test_no_board_at_all(stills, refused):
    true = take(frames=4)
    place = stills(
        replace(true, path=lambda t: np.tile(np.diag([1.0, 1, 1, 1]) + 99 * np.eye(4, k=3), (np.size(t), 1, 1)))
    )
    refused(place, "--board", BOARD.spec, words=(BOARD.spec, "is in none of the 8 pictures"))
    refused(place, words=("give the board that was filmed", "--board chessboard:9x6:30mm"))


def test_boards_that_no_one_has(filmed, refused):
    refused(filmed, "--board", "charuco:7x5:120:90", words="unit")
    refused(filmed, "--board", "charuco:7x5:120m:90m", words=("120 m", "mm"))
    refused(filmed, "--board", "chess:9x6:30mm", words="the kind has to be one of")
    refused(filmed, "--board", "none.yaml", words="none.yaml: cannot be read")


def test_one_view_only(stills, refused):
    refused(stills(take(frames=2), views=[0]), "--board", BOARD.spec, words=("one view only, 'cam01'", "two or more"))


def test_a_board_in_one_view_only(stills, refused):
    place = stills(take(frames=2), views=[0])
    for number in range(2):
        cv2.imwrite(str(place / f"cam02_00{number}.png"), np.full((270, 480), 90, np.uint8))
    refused(place, "--board", BOARD.spec, words=("seen by cam01 alone", "cam02 see it at once"))


def test_a_board_that_two_views_never_see_at_once(stills, refused):
    true = take(frames=4)
    place = stills(true, frames=[0, 1], views=[0])
    stills(true, frames=[2, 3], views=[1])
    refused(place, "--board", BOARD.spec, words=("no two cameras ever see", "cam01 and cam02"))


def test_another_board_than_was_filmed(filmed, refused, monkeypatch):
    monkeypatch.setattr("mvcap.calibration.observer.looks_like", looks_like)
    words = ("chessboard:9x6:30mm is in none of the 8 pictures", "seem to show charuco:7x5:", "DICT_5X5_")
    refused(filmed, "--board", "chessboard:9x6:30mm", "--frames", "4", words=words)


def test_a_board_of_another_size_that_was_found_all_the_same(filmed, made, brief, tmp_path, monkeypatch, refused):
    bad = replace(made[0], verdict="do not use", reason="nothing fits", next_action="film again")
    monkeypatch.setattr(sys.modules["mvcap.calibrate"], "_solved", lambda *rest, **more: bad)
    monkeypatch.setattr(
        "mvcap.calibration.observer.looks_like", lambda pictures, board: f"{len(pictures)} show another"
    )
    refused(filmed, "--board", BOARD.spec, "--frames", "4", words=("12 show another", "next: give the board"))


def test_pictures_of_two_rigs(stills, refused):
    true, other = take(frames=16), arc_rig(2, 9, degrees=90, radius_m=2.0, size=SIZE)
    place = stills(true, frames=range(9))
    stills(replace(true, rig=other), frames=range(9, 16))
    refused(
        place, "--board", BOARD.spec, words=("do not use", "fit one rig", "from 009 to 01", "images of another rig")
    )


def test_a_board_that_is_never_tilted(stills, refused):
    way = carried(BOARD, 5, volume_m=FILMED_M, turns_deg=(0.0, 0.0, 20.0))
    place = stills(Take(arc_rig(2, 4, degrees=6, radius_m=2.2, size=SIZE), way, BOARD, 10, 1.0))
    refused(place, "--board", BOARD.spec, words=("do not use", "focal length", "tilted"))


def test_lengths_that_an_earlier_rig_contradicts(made):
    calibration, seen = made[0], made[0].observations
    for times, severities in ((1.0, []), (1.01, []), (2.0, ["limit"])):
        judged = check_consistency(calibration, seen, calibration.rig.scaled_world(1 / times))
        assert [one.severity for one in judged.findings[len(calibration.findings) :]] == severities
    assert judged.verdict == "usable with limits"
    assert "stand 2 times as far apart" in judged.reason and "0.5 times the given ones" in judged.next_action
    other = take(3).rig.select(["cam03", "cam02"])
    names = zip(other, seen.views, strict=True)
    renamed = Rig(tuple(replace(one, lens=replace(one.lens, name=name)) for one, name in names))
    assert check_consistency(calibration, seen, renamed.scaled_world(2.0)).findings == calibration.findings


def test_sizes_that_differ_within_a_view(stills, refused):
    place = stills(take(frames=3))
    cv2.imwrite(str(place / "cam02_001.png"), np.zeros((480, 640), np.uint8))
    refused(place, "--board", BOARD.spec, words=("cam02", "640x480", "480x270"))


def test_rigs_and_options_that_do_not_fit(filmed, tmp_path, refused):
    save_rig(take(2).rig.select(["cam01"]), tmp_path / "one.yaml")
    board = ("--board", BOARD.spec)
    refused(filmed, *board, "--rig", tmp_path / "one.yaml", words=("views without a camera: cam02",))
    refused(filmed, *board, "--rig", tmp_path / "none.yaml", words="there is no such file")
    refused(filmed, *board, "--fix", "lens", words="--rig")
    refused(filmed, *board, "--every", "0", words="above 0")
    refused(filmed, *board, "--people", "--scene-points", "a.csv", words="choose one")
    refused(filmed, "--people", words=("lenses", "--rig"))
    refused(filmed, *board, "--lens-photos", tmp_path / "none", words="no such folder")
    save_rig(take(size=(960, 540)).rig, tmp_path / "large.yaml")
    refused(filmed, *board, "--rig", tmp_path / "large.yaml", words=("960x540", "480x270"))


def test_empty_and_missing_folders(tmp_path, refused):
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "--board", BOARD.spec, words="holds no videos and no images")
    refused(tmp_path / "none", "--board", BOARD.spec, words="no such folder")
    for number in (1, 2):
        (tmp_path / "empty" / f"cam1_{number}.png").write_bytes(b"")
        (tmp_path / "empty" / f"cam2_{number}.png").write_bytes(b"")
    refused(tmp_path / "empty", "--board", BOARD.spec, words="none of its 2 pictures can be read")


# Recordings of others


@pytest.fixture
def recorded():
    """The folder of recorded calibrations."""
    folder = recordings()
    if folder is None or not (folder / "calibration_caliscope").is_dir():
        pytest.skip("the recordings are not here: put them under ../shared/data, or name their folder in MVCAP_DATA")
    return folder / "calibration_caliscope"


def test_an_inverted_board_that_one_camera_sees_from_behind(recorded, brief, tmp_path):
    spec = "charuco:4x5:54mm:40.5mm:DICT_4X4_1000:inverted"
    made = mvcap.calibrate(recorded / "4_cam_recording" / "calibration", board=spec, frames=16, out=tmp_path)
    assert made.rig.names == ("cam_0", "cam_1", "cam_2", "cam_3") and not made.unconnected
    assert made.observations.time_s.shape == (4, 16) and np.nanmax(np.ptp(made.observations.time_s, axis=0)) < 0.05


def test_recordings_of_no_board(recorded, refused):
    refused(
        recorded / "h264_extrinsic", "--board", "chessboard:9x6:30mm", "--frames", "5", words="none of the 10 pictures"
    )
