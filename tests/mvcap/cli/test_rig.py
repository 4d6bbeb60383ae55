"""``mvcap rig``: what it prints, what it refuses, and that the Python calls do the same."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from generated_boards import BOARD, Bump, Take, arc_rig, board_observations, carried
from synthetic_take import ring_rig, save_rig

from calib import Camera, Rig, load_rig
from calib.geometry import pose, rotation_from_vector
from mvcap.cli import main
from mvcap.errors import InputError
from mvcap.rig import check, compare, convert, show


@pytest.fixture
def call(capsys, tmp_path, monkeypatch):
    """The command line in this process, in a folder with a calibration: status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    save_rig(ring_rig(3, size=(640, 480)), tmp_path / "a.yaml")

    def called(*arguments):
        status = 0
        try:
            main.main(["rig", *(str(argument) for argument in arguments)])
        except SystemExit as end:
            status = end.code or 0
        return status, *capsys.readouterr()

    return called


def refused(answer, *words):
    status, text, error = answer
    assert status == 2 and not text and error.startswith("mvcap: ") and error.count("\n") == 1, answer
    assert all(word in error for word in words), error


def test_show_says_it_in_words_json_and_a_picture(call, tmp_path):
    status, text, error = call("show", "a.yaml", "--picture", "a.png")
    assert status == 0 and not error
    lines = text.splitlines()
    assert lines[0] == "a.yaml: 3 cameras, format rig, metres, by the format"
    assert [line.split()[:2] for line in lines[2:5]] == [[f"cam{number}", "640x480"] for number in (1, 2, 3)]
    assert "distances m" in lines and lines[-1] == "picture: a.png"
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    held = json.loads(call("show", "a.yaml", "--json")[1])
    rig = load_rig("a.yaml")
    assert [one["position_m"] for one in held["cameras"]] == [pytest.approx(list(one.position)) for one in rig]
    assert held["distances_m"][0][1] == pytest.approx(np.linalg.norm(rig.positions[0] - rig.positions[1]))
    assert show.show("a.yaml").as_dict() == held
    refused(call("show", "a.yaml", "--picture", "none/a.png"), "cannot be written")
    refused(call("show", "none.yaml"), "no such file")
    (tmp_path / "b.txt").write_text("hello")
    refused(call("show", "b.txt"), "formats are rig, qualisys", "kalibr")


def test_many_cameras_show_no_table_of_distances(call):
    save_rig(ring_rig(14), "many.yaml")
    text = call("show", "many.yaml")[1]
    assert "nearest neighbour" in text and len(text.splitlines()) == 17


def test_convert_writes_every_format_and_says_what_is_lost(call, tmp_path):
    for target, format, lost in (
        ("b.toml", "toml", ""), ("b.json", "opencv", ""), ("b.qca.txt", "qualisys", ""),
        ("camchain.yaml", "kalibr", "world"), ("b.yaml", "rig", ""),
    ):  # fmt: skip
        status, text, error = call("convert", "a.yaml", target)
        assert status == 0 and text == f"{target}: format {format}\n" and lost in error, error
        assert load_rig(target).names == load_rig("a.yaml").names
    for target, format, file in (("c", "colmap", "c/images.txt"), ("d", "easymocap", "d/extri.yml")):
        status, text, _ = call("convert", "a.yaml", target, "--to", format, "--json")
        said = json.loads(text)
        assert status == 0 and said["format"] == format and bool(said["lost"]) == (format == "colmap")
        refused(call("convert", "b.toml", target, "--to", format), file, "--force")
    assert call("convert", "a.yaml", "e", "--to", "panoptic")[0] == 0
    refused(call("convert", "a.yaml", "f", "--to", "vicon"), "only read", "colmap")
    refused(call("convert", "a.yaml", "f", "--to", "word"), "no calibration format")
    assert not (tmp_path / "f").exists()


def test_nothing_is_written_over_without_force(call, tmp_path):
    save_rig(ring_rig(2), "b.yaml")
    before = (tmp_path / "b.yaml").read_bytes()
    refused(call("convert", "a.yaml", "b.yaml"), "b.yaml exists already", "--force")
    assert (tmp_path / "b.yaml").read_bytes() == before
    with pytest.raises(InputError):
        convert.convert("a.yaml", "b.yaml")
    assert call("convert", "a.yaml", "b.yaml", "--force")[0] == 0 and len(load_rig("b.yaml")) == 3


def test_units_and_sizes_are_asked_for(call):
    save_rig(ring_rig(3).scaled_world(1000), "mm.toml")
    refused(call("show", "mm.toml"), "does not declare its unit", "--unit mm")
    assert "lengths in mm, as given" in call("show", "mm.toml", "--unit", "mm")[1]
    refused(call("show", "mm.toml", "--unit", "feet"), "not a unit")
    assert call("convert", "mm.toml", "m.yaml", "--unit", "0.001")[0] == 0
    np.testing.assert_allclose(load_rig("m.yaml").positions, ring_rig(3).positions, atol=1e-9)
    P = [one.lens.K @ one.cam_from_world[:3] for one in ring_rig(3)]
    np.savetxt("dlt.csv", np.transpose([(p / p[2, 3]).ravel()[:11] for p in P]), delimiter=",")
    refused(call("show", "dlt.csv"), "image size")
    assert "1280x720" in call("show", "dlt.csv", "--size", "1280x720")[1]
    refused(call("show", "dlt.csv", "--size", "big"), "1920x1080")


def test_compare_names_the_camera_that_differs(call):
    rig = load_rig("a.yaml")
    assert call("convert", "a.yaml", "b.toml")[0] == 0
    status, text, error = call("compare", "a.yaml", "b.toml")
    assert status == 0 and not error and "RMS 0.00 mm" in text and "B aligned to A rigidly" in text
    other = Rig((rig[0], rig[1], Camera(rig[2].lens.scaled(1), rig[2].cam_from_world))).scaled_world(1.02)
    save_rig(other, "c.yaml")
    held = json.loads(call("compare", "a.yaml", "c.yaml", "--json")[1])
    assert held["scale"] == pytest.approx(1 / 1.02) and held["alignment"] == "rigid" and held["points"]["rms_mm"] > 5
    fitted = json.loads(call("compare", "a.yaml", "c.yaml", "--json", "--scale")[1])
    assert fitted["points"]["rms_mm"] < 1e-3 and fitted["alignment"] == "similarity"
    assert compare.comparison_dict(compare.compare(rig, "c.yaml")) == held
    save_rig(ring_rig(4, size=(640, 480)), "four.yaml")
    assert "only in B: cam4" in call("compare", "a.yaml", "four.yaml")[1]
    save_rig(ring_rig(3).select(["cam1"]), "one.yaml")
    refused(call("compare", "a.yaml", "one.yaml"), "fewer than two cameras")


@pytest.fixture
def filmed(monkeypatch, tmp_path):
    """A board is filmed, and found in the pictures as well as boards are; a rig of four cameras in four.yaml."""

    def film(*bumps):
        take = Take(arc_rig(4, 1), carried(BOARD, 1), BOARD, 60, 5.0, bumps=bumps)
        seen = board_observations(take)
        views = [SimpleNamespace(name=camera.name, size=camera.size) for camera in take.rig]
        material = SimpleNamespace(names=take.rig.names, views=views)
        monkeypatch.setattr(check, "find_moments", lambda source, every_s, most: material)
        monkeypatch.setattr(check, "_board", lambda material, board, folder, progress: seen)
        save_rig(take.rig, tmp_path / "four.yaml")
        return take.rig

    return film


BOARDED = ("--board", BOARD.spec)


def test_check_finds_nothing_where_nothing_moved(call, filmed, tmp_path):
    filmed()
    status, text, error = call("check", "four.yaml", "take", *BOARDED, "--repair", "new.yaml")
    assert status == 0 and text.splitlines()[-1].startswith("unmoved: "), text
    assert "nothing was repaired" in error and not (tmp_path / "new.yaml").exists()


def test_check_names_who_moved_and_repairs_it(call, filmed):
    rig = filmed(Bump(arc_rig(4, 1).names[2], 30, (0.0, 1.0, 0.0)))
    held = json.loads(call("check", "four.yaml", "take", *BOARDED, "--repair", "new.yaml", "--json")[1])
    assert held["check"]["verdict"] == "moved" and held["repair"]["cameras"] == [rig.names[2]]
    assert {change["camera"] for change in held["check"]["changes"]} == {rig.names[2]}
    assert abs(held["check"]["changes"][0]["since"] - 30) <= 3
    turned = load_rig("new.yaml")[2].cam_from_world[:3, :3] @ rig[2].cam_from_world[:3, :3].T
    assert np.degrees(np.arccos((np.trace(turned) - 1) / 2)) == pytest.approx(1, abs=0.05)
    found = compare.compare("four.yaml", "new.yaml").cameras
    assert max(found, key=lambda one: one.rotation_deg).name == rig.names[2]
    refused(call("check", "four.yaml", "take", *BOARDED, "--repair", "new.yaml"), "new.yaml exists already", "--force")
    status, text, _ = call("check", "four.yaml", "take", *BOARDED, "--repair", "new.yaml", "--force")
    assert status == 0 and text.count("repaired from moment") == 1 and "rig: new.yaml" in text
    refused(call("check", "four.yaml", "take"), "--board", "session")
    refused(call("check", "a.yaml", "take", *BOARDED), "views without a camera")


def test_align_by_measured_points(call, tmp_path):
    """A rig whose world is turned, shifted and in half metres comes back to where its points were measured."""
    true = load_rig("a.yaml")
    points = np.array([[0, 0, 0], [1, 0, 0.2], [0, 1.2, 0], [0.5, -0.8, 1.5], [-0.9, 0.3, 0.8]])
    (tmp_path / "points.csv").write_text(
        "name,x_m,y_m,z_m\n" + "".join(f"p{i},{x},{y},{z}\n" for i, (x, y, z) in enumerate(points))
    )
    rows = [f"{camera.name},p{i},{u},{v}" for camera in true for i, (u, v) in enumerate(camera.project(points))]
    (tmp_path / "pixels.csv").write_text("\n".join(["view,name,u,v", *rows, ""]))
    world = pose(rotation_from_vector([0.3, -0.2, 1.0]), (1.0, 2.0, -0.5))
    save_rig(true.moved(world).scaled_world(0.5), "off.yaml")
    line = ("align", "off.yaml", "floor.yaml", "--points", "points.csv", "--pixels", "pixels.csv")
    status, text, error = call(*line)
    assert status == 0 and not error and text.endswith("rig: floor.yaml\n") and "5 points fit to 0.0 mm" in text
    np.testing.assert_allclose(load_rig("floor.yaml").positions, true.positions, atol=1e-5)
    refused(call(*line), "floor.yaml exists already", "--force")
    held = json.loads(call(*line, "--force", "--json")[1])
    assert held["scale"] == pytest.approx(2) and held["rms_m"] < 1e-5 and held["file"] == "floor.yaml"
    refused(call("align", "off.yaml", "x.yaml"), "--points", "--people", "--board")
    refused(call("align", "off.yaml", "x.yaml", "--board", "chessboard:9x6:30mm"), "--take")
