"""``mvcap sync`` on sessions and videos: the offsets, what the later stages make of them, and refusals."""

import json

import numpy as np
import pytest
from sounding_clips import write_sounding
from synthetic_take import COCO
from unsynchronised_take import LATE, unsynchronised

import mvcap
from calib import save_rig
from mvcap.cli.main import cli
from mvcap.errors import InputError, StaleError
from mvcap.structures.detection_table import write_detections_npz

RATE_HZ = 30.0


def session_of(folder, kind="walk", seed=0, frames=240, **take):
    """A session whose detections come from a file, and the true joints (T, P, 17, 3) m."""
    rows, rig, truth = unsynchronised(kind, seed, frames, **take)
    folder.mkdir(parents=True, exist_ok=True)
    save_rig(rig, folder / "rig.yaml")
    write_detections_npz(folder / "rows.npz", [rows], rig.names, COCO)
    session = mvcap.Session.create(folder / "rig.yaml", folder / "take", frames=frames, rate_hz=RATE_HZ)
    session.override({"estimator": "table", "estimators": {"table": {"file": str(folder / "rows.npz")}}})
    return session, truth


def mpjpe_m(session, truth):
    """Mean error of the joints of a take of one person, and how many are found."""
    poses = mvcap.Session.open(session.folder).artefact("refine", mvcap.Poses3D)
    rows = poses.between(0, session.frames)
    main = max(rows.persons.tolist(), key=lambda one: len(rows.of(person=one)))
    mine = rows.of(person=main)
    return float(np.nanmean(np.linalg.norm(mine.xyz - truth[mine.frame, 0], axis=-1))), len(mine)


def test_a_session_is_synchronised_and_reconstructed(tmp_path):
    session, truth = session_of(tmp_path)
    found = mvcap.sync(session)
    late = found.late_s * RATE_HZ
    assert found.complete and np.allclose(late - late[0], LATE, atol=0.2)
    assert all(methods == ("motion",) for methods in found.methods)
    held = json.loads((session.folder / "sync.json").read_text())
    assert len(held["evidence"]["motion"]["pairs"]) == 6 and (session.folder / "sync.png").stat().st_size > 10_000
    mvcap.reconstruct(session.folder)
    # The median view is late by 0 or 7 frames itself.
    shift = round(float(np.median(np.array(LATE) - late)))
    error, count = mpjpe_m(session, np.roll(truth, shift, axis=0))
    assert error < 0.03 and count > 180


def test_half_a_frame_matters_and_sync_gets_it_back(tmp_path):
    errors = {}
    for synchronised in (False, True):
        session, truth = session_of(
            tmp_path / str(synchronised), "run", 3, 150, late=(0.0, 0.5, -0.45, 0.3), drift=(0,) * 4, noise_px=1.5,
            calibration=False,
        )  # fmt: skip
        if synchronised:
            found = mvcap.sync(session)
            assert np.allclose((found.late_s - found.late_s[0]) * RATE_HZ, (0.0, 0.5, -0.45, 0.3), atol=0.15)
        mvcap.reconstruct(session.folder)
        errors[synchronised], count = mpjpe_m(session, truth)
        assert count > 120
    assert errors[True] < 0.6 * errors[False], errors


def test_results_are_stale_when_offsets_change(tmp_path):
    session, _ = session_of(tmp_path, frames=240)
    mvcap.estimate(session)
    mvcap.associate(session)
    mvcap.sync(session)
    with pytest.raises(StaleError, match="associate"):
        mvcap.associate(session.folder)
    assert mvcap.unsync(session.folder) and not mvcap.unsync(session.folder)
    mvcap.associate(session.folder)


def test_a_session_without_an_answer_is_left_as_it_was(tmp_path):
    session, _ = session_of(tmp_path, frames=40)
    mvcap.estimate(session)
    before = sorted(session.folder.rglob("*"))
    with pytest.raises(InputError, match="not synchronised, and nothing changed: cam1, cam2, cam3, cam4: motion: "):
        mvcap.sync(session)
    assert sorted(session.folder.rglob("*")) == before


def test_videos_are_synchronised_by_sound_on_the_command_line(tmp_path):
    from click.testing import CliRunner

    whole = np.random.default_rng(0).normal(size=16000 * 22)
    one = write_sounding(tmp_path / "a.mkv", whole[: 16000 * 16])
    two = write_sounding(tmp_path / "b.mkv", whole[16000 * 2 : 16000 * 18])
    three = write_sounding(tmp_path / "c.mkv", whole, silent=True)
    told = CliRunner().invoke(cli, ["sync", str(one), str(two), "--apart", "1", "--out", str(tmp_path / "out.json")])
    assert told.exit_code == 0 and "2000.0" in told.output and "audio" in told.output, told.output
    views = {view["name"]: view for view in json.loads((tmp_path / "out.json").read_text())["views"]}
    assert views["b.mkv"]["offset_s"] - views["a.mkv"]["offset_s"] == pytest.approx(-2.0, abs=1e-4)
    told = CliRunner().invoke(cli, ["sync", str(one), str(two), str(three)])
    assert told.exit_code == 1 and "c.mkv" in told.output and "no sound" in told.output


def test_one_video_is_too_few(tmp_path):
    with pytest.raises(InputError, match="two videos"):
        mvcap.sync([tmp_path / "a.mkv"])


def test_people_are_estimated_in_videos_without_a_calibration(tmp_path):
    files = [write_sounding(tmp_path / f"{name}.mkv", np.zeros(16000) + 1, frames=8) for name in "ab"]
    found = mvcap.sync(files, method="motion")
    assert found.refused["a.mkv"] == "motion: people are seen for 0.0 s only; speeds need 6 s"
