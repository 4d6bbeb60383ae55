"""Where a calibration goes, what it replaces, and what it does not."""

from dataclasses import replace

import numpy as np
import pytest
from generated_boards import BOARD, Take, arc_rig, board_observations, carried
from synthetic_take import make_session

from calib import load_rig, save_rig
from calib.calibrate import calibrate
from mvcap.calibration.destination import Destination, destination_of
from mvcap.errors import InputError


@pytest.fixture(scope="module")
def made():
    """A calibration of two cameras by a board in ten frames."""
    take = Take(arc_rig(2, 1), carried(BOARD, 1), BOARD, 10, 5.0)
    found = calibrate(board_observations(take), rig=take.rig, fix_lenses=True)
    assert found.verdict != "do not use"
    return found


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    """Reports are written without their plots, which take seconds."""

    def write_report(calibration, folder, *, title, force):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "calibration.json").write_text(title)
        (folder / "calibration.html").write_text(calibration.verdict)

    monkeypatch.setattr("calib.report.page.write_report", write_report)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


GOOD = ["calibration.html", "calibration.json", "rig.yaml"]


# --- where it goes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "name"),
    [("take0", "take0"), ("take0/videos", "take0"), ("take0/extrinsics/images", "take0"), ("take0/Videos", "take0")],
)
def test_a_folder_of_footage_gives_the_name(tmp_path, source, name):
    (tmp_path / source).mkdir(parents=True)
    found = destination_of(tmp_path / source)
    assert found.folder.name == f"{name}.calibration" and not found.folder.is_absolute()
    assert found.session is None and not found.force


def test_a_folder_that_is_given_is_taken(tmp_path):
    assert destination_of(tmp_path, tmp_path / "out", True) == Destination(tmp_path / "out", None, True)


def test_a_session_keeps_its_calibration_with_it(tmp_path):
    session = make_session(tmp_path, 2, people=1, cameras=2)
    for source in (session, session.folder, str(session.folder)):
        found = destination_of(source)
        assert found.folder == session.folder / "calibration" and found.session.folder == session.folder
    assert destination_of(session, tmp_path / "out").folder == tmp_path / "out"


# --- what stands in the way ------------------------------------------------------------------------------------------


def test_a_rig_is_not_overwritten_unless_it_is_forced(tmp_path, made):
    place = Destination(tmp_path / "out")
    place.check()
    place.write(made)
    with pytest.raises(InputError, match=r"rig\.yaml.*--force"):
        place.check()
    replace(place, force=True).check()
    (tmp_path / "file").write_text("")
    for force in (False, True):
        with pytest.raises(InputError, match="--out"):
            Destination(tmp_path / "file", None, force).check()


# --- what is written -------------------------------------------------------------------------------------------------


def test_a_good_calibration_is_a_report_and_a_rig(tmp_path, made):
    place = Destination(tmp_path / "take0.calibration")
    place.write(made)
    assert place.of(made) == place.folder and files(place.folder) == GOOD
    again = load_rig(place.folder / "rig.yaml")
    np.testing.assert_allclose(again.P, made.rig.P, rtol=1e-9)
    assert (place.folder / "calibration.json").read_text() == "take0.calibration"


def test_a_rejected_calibration_goes_beside_and_replaces_nothing(tmp_path, made):
    place = Destination(tmp_path / "out", None, True)
    place.write(made)
    good = (place.folder / "rig.yaml").read_bytes()
    bad = replace(made, verdict="do not use", rig=arc_rig(2, 5))
    assert place.of(bad) == place.folder / "rejected"
    place.write(bad)
    assert files(place.folder) == sorted([*GOOD, *(f"rejected/{name}" for name in GOOD)])
    assert (place.folder / "rig.yaml").read_bytes() == good
    (place.folder / "rejected" / "notes.txt").write_text("mine")
    place.write(made)
    assert files(place.folder) == sorted([*GOOD, "rejected/notes.txt"]), (
        "what was rejected before goes, other files stay"
    )


def test_a_single_camera_that_is_left_is_no_rig(tmp_path, made):
    place = Destination(tmp_path / "out", None, True)
    place.write(replace(made, verdict="do not use"))
    place.write(replace(made, verdict="do not use", rig=made.rig.select(made.rig.names[:1])))
    assert files(place.folder) == ["rejected/calibration.html", "rejected/calibration.json"]
    place.write(replace(made, verdict="usable with limits", rig=made.rig.select(made.rig.names[:1])))
    assert "rig.yaml" in files(place.folder)  # a lens alone was asked for


@pytest.mark.parametrize(("force", "replaced"), [(False, False), (True, True)])
def test_a_session_gets_the_rig_by_force_only(tmp_path, made, force, replaced):
    session = make_session(tmp_path, 2, people=1, cameras=2)
    names = session.names
    rig = replace(made.rig, cameras=tuple(replace(camera, lens=replace(camera.lens, name=name))
                                          for camera, name in zip(made.rig, names, strict=True)))  # fmt: skip
    before = (session.folder / "rig.yaml").read_bytes()
    Destination(session.folder / "calibration", session, force).write(replace(made, rig=rig))
    after = load_rig(session.folder / "rig.yaml")
    assert ((session.folder / "rig.yaml").read_bytes() != before) == replaced
    assert not replaced or np.allclose(after.P, rig.P)
    bad = replace(made, verdict="do not use", rig=arc_rig(2, 5))
    kept = (session.folder / "rig.yaml").read_bytes()
    Destination(session.folder / "calibration", session, True).write(bad)
    assert (session.folder / "rig.yaml").read_bytes() == kept


def test_a_rejected_rig_does_not_stand_in_the_way(tmp_path, made):
    place = Destination(tmp_path / "out")
    place.write(replace(made, verdict="do not use"))
    place.check()
    save_rig(made.rig, place.folder / "rig.yaml")
    with pytest.raises(InputError):
        place.check()
