"""Offsets of views in a session's folder, evidence, and the sound of files."""

import json

import numpy as np
import pytest
from sounding_clips import write_sounding

from mvcap.errors import InputError, SessionError
from mvcap.structures.sound import read_sound
from mvcap.structures.sync_evidence import SyncEvidence
from mvcap.structures.view_offsets import ViewOffsets, read_view_offsets


def kept(folder, **changes):
    views = [
        {"name": "a", "offset_s": 0.0, "drift_ppm": 0.0, "offset_sigma_s": 0.0},
        {"name": "b", "offset_s": 0.1, "drift_ppm": 50.0, "offset_sigma_s": 0.002},
    ]
    held = {"take": "T", "middle_s": 5.0, "views": views, **changes}
    (folder / "sync.json").write_text(json.dumps(held))


def test_offsets_are_read_and_give_frames(tmp_path):
    assert read_view_offsets(tmp_path, ("a", "b"), "T") is None
    kept(tmp_path)
    found = read_view_offsets(tmp_path, ("a", "b"), "T")
    assert np.allclose(found.late_frames(np.array([0, 150, 300]), 30.0)[:, 1], 3 + np.array([-0.0075, 0, 0.0075]))
    assert found.nearest(10, 30.0)[:, 1].tolist() == [3, 4, 5, 6, 7, 8, 9, -1, -1, -1]
    kept(tmp_path, middle_s=6.0)
    assert read_view_offsets(tmp_path, ("a", "b"), "T").fingerprint != found.fingerprint


@pytest.mark.parametrize("changes", [{"take": "other"}, {"views": []}, {"middle_s": None}])
def test_offsets_of_another_take_and_damaged_ones_are_refused(tmp_path, changes):
    kept(tmp_path, **changes)
    with pytest.raises(SessionError, match="remove it, or run `mvcap sync"):
        read_view_offsets(tmp_path, ("a", "b"), "T")


def test_nearest_frames_without_delay_are_the_frames():
    same = ViewOffsets(np.zeros(2), np.zeros(2), np.zeros(2), 1.0, "")
    assert (same.nearest(5, 25.0) == np.arange(5)[:, None]).all()


def test_nothing_found_refuses_every_view():
    assert SyncEvidence.nothing(2, "why").refused == {0: "why", 1: "why"}


def test_sound_is_read_and_its_absence_is_said(tmp_path):
    wave = np.sin(np.arange(16000) * 0.3)
    begins, samples = read_sound(write_sounding(tmp_path / "a.mkv", wave), 16000)
    assert begins == pytest.approx(0, abs=1e-3) and len(samples) == 16000
    assert np.corrcoef(samples, wave)[0, 1] > 0.999
    with pytest.raises(InputError, match="has no sound"):
        read_sound(write_sounding(tmp_path / "b.mkv", wave, silent=True), 16000)
