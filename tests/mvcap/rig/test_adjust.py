"""A session's rig adjusted to its people: only if held-out moments agree better, the old one kept, never silently."""

import json
import shutil

import numpy as np
import pytest
from generated_people import NOISE, circle, disturbed, make_session

import mvcap
from calib import CalibrationError, load_rig
from calib.geometry import similarity
from mvcap import stages
from mvcap.cli import main
from mvcap.errors import InputError
from mvcap.rig import adjust as verb
from mvcap.rig.adjust import adjust
from mvcap.structures.session import Session

FRAMES = 150


@pytest.fixture(scope="module")
def take():
    return circle(people=2, cameras=4, frames=FRAMES, rate_hz=30.0)


@pytest.fixture(scope="module")
def off(take, tmp_path_factory):
    """A finished take whose calibration is half a degree and 20 mm off in every camera; a copy for each test."""
    session = make_session(tmp_path_factory.mktemp("off"), take, "bad")
    for name in stages.STAGES:
        getattr(mvcap, name)(session)
    return session.folder


@pytest.fixture
def session(off, tmp_path):
    return Session.open(shutil.copytree(off, tmp_path / "take.mvcap"))


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def error_m(session, truth):
    """Median error of the refined joints after the best rigid alignment, m, and the scale that would be better."""
    poses = stages.poses(session, "refine").between(0, FRAMES)
    both = matched(poses, truth)
    _, R, t = similarity(*both, scale=False)
    return float(np.nanmedian(np.linalg.norm(both[0] @ R.T + t - both[1], axis=-1))), similarity(*both)[0]


def matched(poses, truth):
    """Joints (N, 3) of poses, and of the person of the truth who is nearest at that frame."""
    found, true = [], []
    for row in range(0, len(poses), 5):
        there = truth.xyz[truth.frame == poses.frame[row]]
        away = np.nanmedian(np.linalg.norm(there - poses.xyz[row], axis=-1), -1)
        found.append(poses.xyz[row])
        true.append(there[int(np.argmin(away))])
    return np.concatenate(found).astype(float), np.concatenate(true).astype(float)


def test_the_rig_is_adjusted_the_old_one_kept_and_association_begins_anew(session, take):
    old, before = session.rig, error_m(session, take[0])
    made = adjust(session)
    assert made.fit.better and made.fit.after_px < 0.8 * made.fit.before_px
    assert made.kept == session.folder / "rig_before_adjust.yaml" and load_rig(made.kept).names == old.names
    np.testing.assert_array_equal(load_rig(made.kept).cam_from_world, old.cam_from_world)
    np.testing.assert_allclose(Session.open(session.folder).rig.cam_from_world, made.rig.cam_from_world, atol=1e-9)
    assert any("mvcap reconstruct" in line for line in made.lines)
    again = Session.open(session.folder)
    assert stages.detections(again, "estimate").complete
    assert not (again.folder / "artefacts" / "associate").exists()
    mvcap.reconstruct(again)
    after = error_m(again, take[0])
    assert after[0] < 0.7 * before[0] and abs(after[1] - 1) < 0.01, "scale stays"
    heights = again.rig.positions[:, 2] - disturbed(take[1], "bad").positions[:, 2]
    assert np.abs(heights).max() < 0.06, "and so does the floor"
    second = adjust(again)
    assert not second.fit.better and second.file is None and any("no adjustment helps" in line for line in second.lines)


def test_with_out_the_session_stays_as_it_is(session, tmp_path, capsys):
    before = contents(session.folder)
    out = tmp_path / "new.yaml"
    main.main(["rig", "adjust", str(session.folder), "--out", str(out), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["better"] and told["rig"] == str(out) and told["kept"] is None and len(told["cameras"]) == 4
    assert told["after_px"] < told["before_px"] and load_rig(out).names == session.rig.names
    assert contents(session.folder) == before
    with pytest.raises(InputError, match="exists already"):
        adjust(session, out=out)
    main.main(["rig", "adjust", str(session.folder), "--out", str(out), "--force"])
    shown = capsys.readouterr().out
    assert "if adjusted px" in shown and "cam03" in shown and "keeps its old rig" in shown and f"rig: {out}" in shown


def test_a_good_rig_stays_and_nothing_is_written(take, tmp_path, capsys):
    session = make_session(tmp_path / "good", take, "good")
    mvcap.estimate(session)
    mvcap.associate(session)
    before = contents(session.folder)
    main.main(["rig", "adjust", str(session.folder)])
    assert "no adjustment helps" in capsys.readouterr().out
    assert contents(session.folder) == before


def test_an_adjustment_that_cannot_be_written_changes_nothing(session, monkeypatch):
    before = contents(session.folder)

    def broken(*_):
        raise CalibrationError("no space")

    monkeypatch.setattr(verb, "save_rig", broken)
    with pytest.raises(CalibrationError):
        adjust(session)
    assert contents(session.folder) == before


def test_old_rigs_are_not_overwritten(session):
    (session.folder / "rig_before_adjust.yaml").write_text("of before", encoding="utf-8")
    made = adjust(session)
    assert made.kept.name == "rig_before_adjust_2.yaml"
    assert (session.folder / "rig_before_adjust.yaml").read_text(encoding="utf-8") == "of before"


def test_too_short_a_take_is_refused_in_one_line(tmp_path):
    session = make_session(tmp_path, circle(people=1, cameras=4, frames=8, rate_hz=30.0), "bad", **NOISE)
    mvcap.estimate(session)
    mvcap.associate(session)
    with pytest.raises(CalibrationError, match=r"needs three views.*film people"):
        adjust(session)
