"""Errors: one class catches all, what went wrong has its own, and each says in one line what and where."""

import pickle

import numpy as np
import pytest
from ring_rigs import make_rig

from calib import errors
from calib.boards import board_from
from calib.camera import Camera, Lens
from calib.formats import load_rig, save_rig
from calib.rig import Rig
from calib.targets import wand
from calib.views import fit_to_images, match_views

RAISED = {
    "a lens": (errors.CalibrationError, "'east'", lambda _: Lens("east", (0, 2), np.eye(3), [])),
    "a pose": (
        errors.CalibrationError,
        "'east'",
        lambda _: Camera(Lens("east", (8, 8), np.eye(3), []), np.ones((4, 4))),
    ),
    "an empty rig": (errors.CalibrationError, "one camera", lambda _: Rig(())),
    "a board": (errors.CalibrationError, "chessboard:9x6", lambda _: board_from("chessboard:9x6")),
    "a target": (errors.CalibrationError, "0.3", lambda _: wand([0.3])),
    "a missing file": (errors.RigFileError, "none.yaml", lambda folder: load_rig(folder / "none.yaml")),
    "an unknown format": (
        errors.RigFileError,
        "'tiff'",
        lambda folder: save_rig(make_rig(1), folder / "rig.tiff", "tiff"),
    ),
    "views": (errors.RigMismatchError, "north", lambda _: match_views(make_rig(2), ["north"])),
    "images": (errors.RigMismatchError, "'cam_1'", lambda _: fit_to_images(make_rig(1), {"cam_1": (3, 4)})),
}


@pytest.mark.parametrize("case", RAISED)
def test_each_fault_has_its_class_and_one_line_that_names_it(tmp_path, case):
    kind, word, fault = RAISED[case]
    with pytest.raises(errors.CalibrationError) as refused:
        fault(tmp_path)
    assert type(refused.value) is kind
    assert word in str(refused.value) and "\n" not in str(refused.value)


def test_the_kinds_are_apart_from_each_other_and_from_errors_of_programs():
    kinds = [one for one in vars(errors).values() if isinstance(one, type)]
    assert len(kinds) == 3
    assert all(issubclass(one, errors.CalibrationError) for one in kinds)
    assert not issubclass(errors.RigFileError, errors.RigMismatchError)
    assert not issubclass(errors.RigMismatchError, errors.RigFileError)
    assert not any(issubclass(one, ValueError | OSError | LookupError) for one in kinds)


@pytest.mark.parametrize("kind", [errors.CalibrationError, errors.RigFileError, errors.RigMismatchError])
def test_an_error_keeps_its_line_on_the_way_between_processes(kind):
    again = pickle.loads(pickle.dumps(kind("camera 'east': K is 2x3")))
    assert type(again) is kind and str(again) == "camera 'east': K is 2x3"
